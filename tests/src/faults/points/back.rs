//! The steps of the image that Double's parent execs in place.

use super::super::ends::{COMPLETES, Ends, Image, KEEPS, NOBODY, TAKES_BACK};
use super::super::kind::DESCRIBING;
use super::super::point::{Point, message, step};
use super::DOUBLE;

const fn back(name: &'static str, dies: Ends, hangs: Ends) -> Point {
    step(DOUBLE, Image::Back, name, dies, hangs)
}

/// From exec to the end of the restart.
pub(super) const BECOMES: &[Point] = &[
    back("decode", KEEPS, KEEPS).errors(DESCRIBING, KEEPS).idle(),
    back("pidfd_open", KEEPS, KEEPS).errors(DESCRIBING, KEEPS).idle(),
    back("adopt", KEEPS, KEEPS).errors(DESCRIBING, KEEPS).idle(),
    back("register", KEEPS, KEEPS).errors(DESCRIBING, KEEPS).idle(),
    back("input Ready", KEEPS, KEEPS).idle(),
    back("before Send Ready", KEEPS, KEEPS).idle(),
    message(DOUBLE, Image::Back, "send READY", KEEPS).idle(),
    back("after Send Ready", TAKES_BACK, TAKES_BACK).idle(),
    back("input Message Commit", TAKES_BACK, TAKES_BACK).idle(),
    back("before Accept", TAKES_BACK, TAKES_BACK).idle(),
    back("after Accept", TAKES_BACK, TAKES_BACK).idle(),
    back("input Waiting", TAKES_BACK, TAKES_BACK),
    back("before Send Serving", TAKES_BACK, TAKES_BACK),
    message(DOUBLE, Image::Back, "send SERVING", TAKES_BACK),
    back("after Send Serving", TAKES_BACK, COMPLETES.woken()).in_probation_of(Image::New),
    back("input Message Released", NOBODY, COMPLETES.woken()),
    back("before Report PredecessorExited", NOBODY, COMPLETES.woken()),
];
