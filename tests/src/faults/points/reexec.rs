//! The steps of the image that Double's parent execs in place.

use super::super::ends::{COMPLETES, Ends, Image, KEEPS, NOBODY, TAKES_BACK};
use super::super::kind::DESCRIBING;
use super::super::point::{Point, message, step};
use super::DOUBLE;

const fn reexec(name: &'static str, dies: Ends, hangs: Ends) -> Point {
    step(DOUBLE, Image::Reexec, name, dies, hangs)
}

/// From exec to the end of the restart.
pub(super) const BECOMES: &[Point] = &[
    reexec("decode", KEEPS, KEEPS).errors(DESCRIBING, KEEPS).idle(),
    reexec("pidfd_open", KEEPS, KEEPS).errors(DESCRIBING, KEEPS).idle(),
    reexec("adopt", KEEPS, KEEPS).errors(DESCRIBING, KEEPS).idle(),
    reexec("register", KEEPS, KEEPS).errors(DESCRIBING, KEEPS).idle(),
    reexec("input Ready", KEEPS, KEEPS).idle(),
    reexec("before Send Ready", KEEPS, KEEPS).idle(),
    message(DOUBLE, Image::Reexec, "send READY", KEEPS).idle(),
    reexec("after Send Ready", TAKES_BACK, TAKES_BACK).idle(),
    reexec("input Message Commit", TAKES_BACK, TAKES_BACK).idle(),
    reexec("before Accept", TAKES_BACK, TAKES_BACK).idle(),
    reexec("after Accept", TAKES_BACK, TAKES_BACK).idle(),
    reexec("input Waiting", TAKES_BACK, TAKES_BACK),
    reexec("before Send Serving", TAKES_BACK, TAKES_BACK),
    message(DOUBLE, Image::Reexec, "send SERVING", TAKES_BACK),
    reexec("after Send Serving", TAKES_BACK, COMPLETES.woken()).in_probation_of(Image::New),
    reexec("input Message Released", NOBODY, COMPLETES.woken()),
    reexec("before Report PredecessorExited", NOBODY, COMPLETES.woken()),
];
