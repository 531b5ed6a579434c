//! The settings.

use crate::support::{Leaves, builder, expect, observed, owner_of, soon};
use goagain::error::{LaunchError, StartError};
use goagain::signal::{Signal, SignalAction, Signals};
use goagain::strategy::{Launch, Launched, Next, View};
use goagain::{EventKind, Finish, Goagain, Strategy, Turn};
use nix::sys::signal::{SigSet, Signal as Raw};
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

/// A panic that does not go to the panic hook, which would print it.
fn quietly_panic() -> ! {
    resume_unwind(Box::new("at the disco"))
}

#[test]
fn everything_at_once() {
    let builder = builder()
        .ready_timeout(Duration::MAX)
        .drain_timeout(Duration::MAX)
        .idle_grace(Duration::MAX)
        .probation(Duration::MAX)
        .serving_timeout(Duration::MAX)
        .abort_timeout(Duration::MAX)
        .reexec_timeout(Duration::MAX)
        .on_hup(|| ())
        .on_usr1(|| Err::<(), _>("no log"))
        .before_exit(|| Ok::<(), std::io::Error>(()))
        .on_event(|_| ())
        .signals(Signals::none())
        .image("/nonexistent")
        .args(["--flag"]);
    assert!(format!("{builder:?}").contains("Leaves"));
    let (mut again, _http) = owner_of(builder);
    // Infinite times are used for timers, and added to each other.
    assert_eq!(again.handle().restart(), 1);
    assert_eq!(again.step(), Turn::Serve);
    again.handle().stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        assert_eq!(again.finish().unwrap(), Finish::Exit);
    });
}

#[test]
fn an_image_without_a_path_is_refused() {
    let error = builder().image("").isolated().unwrap_err();
    assert!(matches!(error, StartError::System { .. }));
    assert!(error.to_string().starts_with("cannot find the image of this process: "), "{error}");
}

#[test]
fn without_an_image_an_isolated_server_does_not_start_the_test_again() {
    let (builder, reports) = observed();
    let (mut again, _http) = owner_of(builder);
    again.handle().restart();
    assert_eq!(again.step(), Turn::Serve);
    let failed = expect(&reports, |report| matches!(report, EventKind::Failed { .. }));
    let reason = "an isolated server does not start its own program: choose an image with `Builder::image`";
    assert_eq!(failed.kind, EventKind::Failed { pid: None, reason: reason.into() });
}

#[test]
fn the_signals_are_a_table() {
    let signals = Signals::default().set(Signal::Term, SignalAction::StopGracefully).off(Signal::Usr1);
    let meant = Signal::ALL.map(|signal| signals.meaning(signal));
    let hup = Some(SignalAction::Reload);
    let (int, quit, term) =
        (SignalAction::StopNow, SignalAction::StopGracefully, SignalAction::StopGracefully);
    assert_eq!(meant, [hup, Some(int), Some(quit), Some(term), None, Some(SignalAction::Restart)]);
    assert_eq!(Signal::ALL.map(|signal| Signals::none().meaning(signal)), [None; 6]);
    assert_eq!(Signal::Term.to_string(), "SIGTERM");
    assert_eq!(Signal::Term.number(), Raw::SIGTERM as i32);
}

#[test]
fn unblock_signals_unblocks_the_signals_of_the_library_and_no_others() {
    // Each thread has a signal mask of its own.
    thread::spawn(|| {
        SigSet::from_iter([Raw::SIGHUP, Raw::SIGTERM, Raw::SIGWINCH]).thread_block().unwrap();
        goagain::signal::unblock_signals().unwrap();
        let mask = SigSet::thread_get_mask().unwrap();
        let blocked = [Raw::SIGHUP, Raw::SIGTERM, Raw::SIGWINCH].map(|signal| mask.contains(signal));
        assert_eq!(blocked, [false, false, true]);
    })
    .join()
    .unwrap();
}

#[test]
fn an_observer_that_panics_harms_neither_the_server_nor_the_next_one() {
    let (builder, reports) = observed();
    let quiet = Goagain::builder(Leaves).on_event(|_| quietly_panic());
    let (mut again, _http) = owner_of(quiet);
    again.handle().restart();
    assert_eq!(again.step(), Turn::Serve);

    let (mut again, _http) = owner_of(builder.image("/nonexistent").on_event(|_| quietly_panic()));
    again.handle().restart();
    assert_eq!(again.step(), Turn::Serve);
    expect(&reports, |kind| matches!(kind, EventKind::Requested { .. }));
    expect(&reports, |report| matches!(report, EventKind::Failed { .. }));
}

#[test]
fn the_image_is_started_with_its_arguments() {
    let (builder, reports) = observed();
    let (mut again, _http) = owner_of(builder.image("/bin/sh").args(["-c", "exit 7"]));
    let handle = again.handle();
    handle.restart();
    let waiting = thread::spawn(move || again.wait());
    expect(&reports, |report| matches!(report, EventKind::Spawned { .. }));
    let failed = expect(&reports, |report| matches!(report, EventKind::Failed { .. }));
    let EventKind::Failed { reason, .. } = failed.kind else { unreachable!() };
    assert!(reason.contains('7'), "{reason}");
    handle.stop_now();
    soon(move || waiting.join().unwrap().unwrap());
}

#[test]
fn an_image_that_is_not_ready_in_time_is_killed_and_the_next_attempt_runs() {
    let (builder, reports) = observed();
    let short = Duration::from_millis(1);
    let builder = builder.image("/bin/sleep").args(["1000"]).ready_timeout(short).abort_timeout(short);
    let (mut again, _http) = owner_of(builder);
    let handle = again.handle();
    let waiting = thread::spawn(move || {
        again.wait().unwrap();
        again.finish().unwrap()
    });
    let mut pids = Vec::new();
    for attempt in [1, 2] {
        handle.restart();
        let spawned = expect(&reports, |report| matches!(report, EventKind::Spawned { .. }));
        let EventKind::Spawned { pid, .. } = spawned.kind else { unreachable!() };
        let failed = expect(&reports, |report| matches!(report, EventKind::Failed { .. }));
        assert_eq!((spawned.attempt, failed.attempt), (attempt, attempt));
        assert_eq!(
            failed.kind,
            EventKind::Failed { pid: Some(pid), reason: "the new process was not ready in time".into() }
        );
        pids.push(pid);
    }
    handle.stop_now();
    assert_eq!(soon(move || waiting.join().unwrap()), Finish::Exit);
    for pid in pids {
        // Reaped too: not even a zombie answers.
        let raw = nix::unistd::Pid::from_raw(pid.as_raw());
        assert_eq!(nix::sys::signal::kill(raw, None), Err(nix::Error::ESRCH));
    }
}

/// Goes wrong in the named method.
#[derive(Debug)]
enum Odd {
    PanicsInNext,
    PanicsInLaunch,
    Refuses,
}

impl Strategy for Odd {
    fn name(&self) -> &str {
        "odd"
    }

    fn launch(&mut self, launch: Launch<'_>) -> Result<Launched, LaunchError> {
        match self {
            Odd::PanicsInLaunch => quietly_panic(),
            Odd::Refuses => Err(LaunchError::refused("not on a Friday")),
            Odd::PanicsInNext => launch.spawn(),
        }
    }

    fn next(&self, _: View) -> Next {
        if matches!(self, Odd::PanicsInNext) { quietly_panic() } else { Next::Exit }
    }
}

#[test]
fn a_strategy_that_panics_in_next_is_an_error_at_the_start() {
    let error = Goagain::builder(Odd::PanicsInNext).isolated().unwrap_err();
    assert!(matches!(&error, StartError::Strategy(name) if name == "odd"));
    assert_eq!(error.to_string(), "the strategy `odd` panicked when asked for its decisions");
}

#[test]
fn a_launch_that_fails_does_not_change_the_owner() {
    for (odd, reason) in
        [(Odd::PanicsInLaunch, "the strategy's launch panicked"), (Odd::Refuses, "not on a Friday")]
    {
        let (sender, reports) = std::sync::mpsc::channel();
        let observer = move |observed: &goagain::Event| sender.send(observed.clone()).unwrap_or_default();
        let (mut again, _http) = owner_of(Goagain::builder(odd).image("/nonexistent").on_event(observer));
        again.handle().restart();
        assert_eq!(again.step(), Turn::Serve);
        let failed = expect(&reports, |report| matches!(report, EventKind::Failed { .. }));
        assert_eq!(failed.kind, EventKind::Failed { pid: None, reason: reason.into() });
        assert_eq!(failed.attempt, 1);
    }
}
