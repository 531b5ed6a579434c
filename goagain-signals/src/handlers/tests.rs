//! Each test runs again in a process of its own, since handlers and their pipe belong to a whole process.

use super::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal as Raw, kill, raise};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

const ALONE: &str = "GOAGAIN_TEST_ALONE";

/// Runs this test in a process of its own, and returns how that ended; `None`: this is that process.
fn elsewhere(test: &str) -> Option<ExitStatus> {
    if std::env::var_os(ALONE).is_some() {
        return None;
    }
    let mut alone = Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", &format!("handlers::tests::{test}"), "--test-threads=1", "--nocapture"]);
    Some(alone.env(ALONE, "1").stdout(Stdio::null()).status().unwrap())
}

fn installed() -> Handlers {
    Handlers::install(&Signals::default(), None, None).unwrap()
}

fn wait(handlers: &Handlers) {
    let mut fds = [PollFd::new(handlers.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(30_000_u16)), Ok(1), "a signal arrives");
}

#[test]
fn a_signal_arrives_with_its_sender() {
    if let Some(status) = elsewhere("a_signal_arrives_with_its_sender") {
        return assert!(status.success());
    }
    let mut handlers = installed();
    handlers.queue();
    for (raw, signal) in [
        (Raw::SIGHUP, Signal::Hup),
        (Raw::SIGINT, Signal::Int),
        (Raw::SIGQUIT, Signal::Quit),
        (Raw::SIGTERM, Signal::Term),
        (Raw::SIGUSR1, Signal::Usr1),
        (Raw::SIGUSR2, Signal::Usr2),
    ] {
        kill(Pid::this(), raw).unwrap();
        wait(&handlers);
        let sender = Some(Pid::this().as_raw());
        assert_eq!(handlers.read(), [Arrived { signal, sender }]);
        assert_eq!(handlers.read(), []);
    }
}

#[test]
fn the_sender_may_be_a_child() {
    if let Some(status) = elsewhere("the_sender_may_be_a_child") {
        return assert!(status.success());
    }
    let mut handlers = installed();
    handlers.queue();
    let mut child = Command::new("/bin/sh").args(["-c", "kill -USR2 $PPID"]).spawn().unwrap();
    let pid = child.id().try_into().unwrap();
    assert!(child.wait().unwrap().success());
    wait(&handlers);
    assert_eq!(handlers.read(), [Arrived { signal: Signal::Usr2, sender: Some(pid) }]);
}

#[test]
fn a_full_pipe_loses_no_kind_of_signal() {
    if let Some(status) = elsewhere("a_full_pipe_loses_no_kind_of_signal") {
        return assert!(status.success());
    }
    let mut handlers = installed();
    handlers.queue();
    let sending = std::thread::spawn(|| {
        // Sent to the thread itself, each is handled before the next: none is merged with another by the kernel.
        (0..20_000).for_each(|_| raise(Raw::SIGHUP).unwrap());
        raise(Raw::SIGUSR1).unwrap();
        kill(Pid::this(), Raw::SIGUSR2).unwrap();
    });
    sending.join().unwrap();
    wait(&handlers);
    let mut arrived = handlers.read();
    let known = arrived.iter().filter(|arrived| arrived.sender.is_some()).count();
    assert!((1_000..20_000).contains(&known), "the pipe was full after {known}");
    // One that another thread handled may come a moment later, into the pipe that is empty by now.
    if !arrived.iter().any(|arrived| arrived.signal == Signal::Usr2) {
        wait(&handlers);
        arrived.extend(handlers.read());
    }
    for signal in [Signal::Hup, Signal::Usr1, Signal::Usr2] {
        assert!(arrived.iter().any(|arrived| arrived.signal == signal), "{signal} is lost");
    }
    assert!(
        arrived.contains(&Arrived { signal: Signal::Usr1, sender: None }),
        "only its sender is forgotten"
    );
    // What the pipe had no room for is read once, and the pipe works again.
    assert_eq!(handlers.read(), []);
    raise(Raw::SIGUSR1).unwrap();
    assert_eq!(handlers.read().len(), 1);
}

#[test]
fn before_the_loop_runs_reloads_wait_and_a_stop_has_its_default_action() {
    let test = "before_the_loop_runs_reloads_wait_and_a_stop_has_its_default_action";
    if let Some(status) = elsewhere(test) {
        return assert_eq!(status.signal(), Some(libc::SIGINT));
    }
    let mut handlers = installed();
    raise(Raw::SIGHUP).unwrap();
    assert_eq!(handlers.read().len(), 1);
    raise(Raw::SIGINT).unwrap();
    unreachable!("the default action of SIGINT ends the process");
}

#[test]
fn a_graceful_stop_before_the_loop_runs_dumps_no_core() {
    if let Some(status) = elsewhere("a_graceful_stop_before_the_loop_runs_dumps_no_core") {
        assert!(!status.core_dumped());
        return assert_eq!(status.signal(), Some(libc::SIGTERM));
    }
    let _handlers = installed();
    raise(Raw::SIGQUIT).unwrap();
    unreachable!("SIGQUIT ends the process as SIGTERM would");
}

#[test]
fn dropped_handlers_give_the_default_action_back() {
    if let Some(status) = elsewhere("dropped_handlers_give_the_default_action_back") {
        return assert_eq!(status.signal(), Some(libc::SIGTERM));
    }
    let handlers = installed();
    handlers.queue();
    drop(handlers);
    raise(Raw::SIGTERM).unwrap();
    unreachable!("the default action of SIGTERM ends the process");
}

#[test]
fn a_signal_without_an_action_keeps_its_disposition() {
    if let Some(status) = elsewhere("a_signal_without_an_action_keeps_its_disposition") {
        return assert_eq!(status.signal(), Some(libc::SIGUSR1));
    }
    let handlers = Handlers::install(&Signals::default().off(Signal::Usr1), None, None).unwrap();
    handlers.queue();
    raise(Raw::SIGUSR1).unwrap();
    unreachable!("the default action of SIGUSR1 ends the process");
}

#[test]
fn what_was_blocked_since_the_spawn_is_delivered_at_the_installation() {
    if let Some(status) = elsewhere("what_was_blocked_since_the_spawn_is_delivered_at_the_installation") {
        return assert!(status.success());
    }
    // As the image finds it: blocked, and pending already.
    SigSet::from_iter([Raw::SIGHUP, Raw::SIGUSR1, Raw::SIGUSR2]).thread_block().unwrap();
    raise(Raw::SIGUSR2).unwrap();
    let mut handlers = installed();
    let sender = Some(Pid::this().as_raw());
    assert_eq!(handlers.read(), [Arrived { signal: Signal::Usr2, sender }]);
    assert!(!SigSet::thread_get_mask().unwrap().contains(Raw::SIGHUP));
}

#[test]
fn what_the_image_before_exec_had_not_read_comes_first() {
    if let Some(status) = elsewhere("what_the_image_before_exec_had_not_read_comes_first") {
        return assert!(status.success());
    }
    let (read, write) = pipe().unwrap();
    let record = [libc::SIGHUP.to_ne_bytes(), 77_i32.to_ne_bytes()].concat();
    nix::unistd::write(&write, &record).unwrap();
    let mut handlers = Handlers::install(&Signals::default(), Some(read), None).unwrap();
    raise(Raw::SIGUSR1).unwrap();
    let arrived = handlers.read();
    assert_eq!(arrived[0], Arrived { signal: Signal::Hup, sender: Some(77) });
    assert_eq!(arrived[1].signal, Signal::Usr1);
}

#[test]
fn a_stop_that_was_sent_to_the_image_before_exec_has_its_effect_at_the_installation() {
    let test = "a_stop_that_was_sent_to_the_image_before_exec_has_its_effect_at_the_installation";
    if let Some(status) = elsewhere(test) {
        return assert_eq!(status.signal(), Some(libc::SIGTERM));
    }
    let (read, write) = pipe().unwrap();
    let record = [libc::SIGTERM.to_ne_bytes(), 77_i32.to_ne_bytes()].concat();
    nix::unistd::write(&write, &record).unwrap();
    let installed = Handlers::install(&Signals::default(), Some(read), None);
    unreachable!("the stop is served before this: {installed:?}");
}

#[test]
fn records_that_cannot_be_read_are_skipped() {
    let of = |signal: i32, sender: i32| [signal.to_ne_bytes(), sender.to_ne_bytes()].concat();
    assert_eq!(parse(&of(libc::SIGSEGV, 1)), None);
    let unknown = Some(Arrived { signal: Signal::Hup, sender: None });
    assert_eq!(parse(&of(libc::SIGHUP, 0)), unknown);
    assert_eq!(parse(&of(libc::SIGHUP, -1)), unknown);
}

#[test]
fn without_handlers_nothing_is_read_and_the_pipe_does_not_end() {
    let mut handlers = Handlers::none().unwrap();
    handlers.queue();
    assert_eq!(handlers.read(), []);
    let mut fds = [PollFd::new(handlers.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::ZERO), Ok(0));
}
