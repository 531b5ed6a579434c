//! The predecessor's steps.

use super::super::ends::{COMPLETES, Ends, GOES_ON, Image, KEEPS, NOBODY, ROLLS_BACK, TAKES_OVER};
use super::super::kind::{DESCRIBING, EXECUTING};
use super::super::point::{Point, Scene, message, step};
use super::{BOTH, DOUBLE, SINGLE};

/// The previous image, whose exec failed, is the owner again.
const RETURNS: Ends = GOES_ON;

const fn both(name: &'static str, dies: Ends, hangs: Ends) -> Point {
    step(BOTH, Image::Old, name, dies, hangs)
}

const fn single(name: &'static str, dies: Ends, hangs: Ends) -> Point {
    step(SINGLE, Image::Old, name, dies, hangs)
}

const fn double(name: &'static str, dies: Ends, hangs: Ends) -> Point {
    step(DOUBLE, Image::Old, name, dies, hangs)
}

/// Up to the end of the probation period, and the paths that do not reach it.
///
/// No process kills an owner that hangs before commit. Its successor gets no answer and exits. When the owner is resumed, it
/// finds READY and the end of the successor, commits, and rolls back at once.
pub(super) const COMMITS: &[Point] = &[
    both("input Restart", NOBODY, COMPLETES.woken()),
    both("before Spawn", NOBODY, COMPLETES.woken()),
    both("socketpair", NOBODY, COMPLETES.woken()).errors(DESCRIBING, GOES_ON),
    both("posix_spawn", NOBODY, COMPLETES.woken()).errors(EXECUTING, GOES_ON).catches(),
    both("pidfd_open", TAKES_OVER, ROLLS_BACK.woken()).errors(DESCRIBING, GOES_ON),
    both("after Spawn", TAKES_OVER, ROLLS_BACK.woken()),
    both("input Spawned", TAKES_OVER, ROLLS_BACK.woken()),
    both("input Message Ready", TAKES_OVER, ROLLS_BACK.woken()),
    both("before Send Commit", TAKES_OVER, ROLLS_BACK.woken()),
    message(BOTH, Image::Old, "send COMMIT", ROLLS_BACK).idle(),
    both("after Send Commit", TAKES_OVER, TAKES_OVER),
    both("before StopAccepting", TAKES_OVER, TAKES_OVER),
    both("after StopAccepting", TAKES_OVER, TAKES_OVER),
    both("before Report HandedOver", TAKES_OVER, TAKES_OVER),
    both("input Message Serving", TAKES_OVER, TAKES_OVER),
    both("input Deadline IdleGrace", TAKES_OVER, TAKES_OVER).in_probation_of(Image::Old),
    both("before CloseIdle", TAKES_OVER, TAKES_OVER).in_probation_of(Image::Old),
    both("input Drained", TAKES_OVER, TAKES_OVER).idle().in_probation_of(Image::Old),
    both("input Deadline Drain", TAKES_OVER, TAKES_OVER)
        .scene(Scene::OpenRequest)
        .in_probation_of(Image::Old),
    both("input Deadline LongLived", TAKES_OVER, TAKES_OVER)
        .scene(Scene::OpenRequest)
        .in_probation_of(Image::Old),
    both("before CloseLongLived", TAKES_OVER, TAKES_OVER)
        .scene(Scene::OpenRequest)
        .in_probation_of(Image::Old),
    both("before CloseUnfinished", TAKES_OVER, TAKES_OVER)
        .scene(Scene::OpenRequest)
        .in_probation_of(Image::Old),
    both("input Deadline Probation", TAKES_OVER, TAKES_OVER),
    both("before Release", TAKES_OVER, TAKES_OVER),
    both("input Message Failed", NOBODY, GOES_ON.woken()).scene(Scene::Fails),
    both("before Report Failed", NOBODY, GOES_ON.woken()).scene(Scene::Fails),
    both("input Deadline Ready", TAKES_OVER, GOES_ON.woken()).scene(Scene::Late),
    both("before Send Abort", TAKES_OVER, GOES_ON.woken()).scene(Scene::Late),
    message(BOTH, Image::Old, "send ABORT", GOES_ON).idle().scene(Scene::Late),
    both("after Send Abort", NOBODY, GOES_ON.woken()).scene(Scene::Late),
    both("before Report RolledBack", NOBODY, ROLLS_BACK.woken()).scene(Scene::Dies),
];

/// The release. A predecessor of Single that hangs after it is no longer the fallback and blocks nobody. The supervisor
/// handles it.
pub(super) const RELEASES: &[Point] = &[
    message(SINGLE, Image::Old, "send RELEASED", COMPLETES).idle(),
    single("after Release", COMPLETES, COMPLETES.woken()),
    single("input ReleaseSent", COMPLETES, COMPLETES.woken()),
    single("before CloseListeners", COMPLETES, COMPLETES.woken()),
    single("after CloseListeners", COMPLETES, COMPLETES.woken()),
    message(DOUBLE, Image::Old, "send RELEASED", TAKES_OVER).idle(),
    double("after Release", KEEPS, KEEPS).idle(),
    double("input ReleaseSent", KEEPS, KEEPS).idle(),
    double("before Exec", KEEPS, KEEPS).idle(),
    double("execve", KEEPS, KEEPS).errors(EXECUTING, RETURNS).catches().idle(),
];
