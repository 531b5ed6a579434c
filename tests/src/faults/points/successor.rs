//! The successor's steps. Under Double it hands the service back to its parent's new image.

use super::super::ends::{
    COMES_BACK, COMPLETES, Ends, GOES_ON, IS_BACK, Image, KEEPS, NOBODY, ROLLS_BACK, TAKES_BACK,
};
use super::super::kind::DESCRIBING;
use super::super::point::{Point, Scene, message, step};
use super::{BOTH, DOUBLE, SINGLE};

const fn both(name: &'static str, dies: Ends, hangs: Ends) -> Point {
    step(BOTH, Image::New, name, dies, hangs)
}

const fn single(name: &'static str, dies: Ends, hangs: Ends) -> Point {
    step(SINGLE, Image::New, name, dies, hangs)
}

const fn double(name: &'static str, dies: Ends, hangs: Ends) -> Point {
    step(DOUBLE, Image::New, name, dies, hangs)
}

/// Up to the predecessor's end.
///
/// No process kills an owner that hangs after it has sent SERVING. When it is resumed, Single's predecessor has exited. Under
/// Double the parent's new image has exited, because it did not receive the state.
pub(super) const BECOMES: &[Point] = &[
    both("decode", GOES_ON, GOES_ON).errors(DESCRIBING, GOES_ON).idle(),
    both("adopt", GOES_ON, GOES_ON).errors(DESCRIBING, GOES_ON).idle(),
    both("register", GOES_ON, GOES_ON).errors(DESCRIBING, GOES_ON).idle(),
    both("input Ready", GOES_ON, GOES_ON).idle(),
    both("before Send Ready", GOES_ON, GOES_ON).idle(),
    message(BOTH, Image::New, "send READY", GOES_ON).idle(),
    message(BOTH, Image::New, "send FAILED", GOES_ON).idle().scene(Scene::Fails),
    both("after Send Ready", ROLLS_BACK, ROLLS_BACK).idle(),
    both("input Message Commit", ROLLS_BACK, ROLLS_BACK).idle(),
    both("before Accept", ROLLS_BACK, ROLLS_BACK).idle(),
    both("after Accept", ROLLS_BACK, ROLLS_BACK).idle(),
    both("input Waiting", ROLLS_BACK, ROLLS_BACK),
    both("before Send Serving", ROLLS_BACK, ROLLS_BACK),
    message(BOTH, Image::New, "send SERVING", ROLLS_BACK),
    single("after Send Serving", ROLLS_BACK, COMPLETES.woken()).in_probation_of(Image::Old),
    single("input Message Released", NOBODY, COMPLETES.woken()),
    single("before Report PredecessorExited", NOBODY, COMPLETES.woken()),
    double("after Send Serving", ROLLS_BACK, KEEPS.woken()).in_probation_of(Image::Old),
    double("input Message Released", COMES_BACK, KEEPS.woken()),
    double("after Arm Reexec", COMES_BACK, KEEPS.woken()),
];

/// Double's second half: the child as the predecessor of its parent.
pub(super) const HANDS_BACK: &[Point] = &[
    double("input Message Ready", COMES_BACK, TAKES_BACK.woken()),
    double("before Send Commit", COMES_BACK, TAKES_BACK.woken()),
    message(DOUBLE, Image::New, "send COMMIT", TAKES_BACK).idle(),
    double("after Send Commit", COMES_BACK, COMES_BACK),
    double("before StopAccepting", COMES_BACK, COMES_BACK),
    double("after StopAccepting", COMES_BACK, COMES_BACK),
    double("input Message Serving", COMES_BACK, COMES_BACK),
    double("input Deadline IdleGrace", COMES_BACK, COMES_BACK).in_probation_of(Image::New),
    double("input Drained", COMES_BACK, COMES_BACK).idle().in_probation_of(Image::New),
    double("input Deadline Drain", COMES_BACK, COMES_BACK)
        .scene(Scene::OpenRequest)
        .in_probation_of(Image::New),
    double("before CloseUnfinished", COMES_BACK, COMES_BACK)
        .scene(Scene::OpenRequest)
        .in_probation_of(Image::New),
    double("input Deadline Probation", COMES_BACK, COMES_BACK),
    double("before Release", COMES_BACK, COMES_BACK),
    message(DOUBLE, Image::New, "send RELEASED", COMPLETES).idle(),
    double("after Release", IS_BACK, IS_BACK),
    double("before CloseListeners", IS_BACK, IS_BACK),
];
