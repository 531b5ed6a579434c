//! Tests what can be checked within one process. `tests/exec` tests real parents and execs.

use std::io::Read;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::dup;

use super::*;
use crate::{Message, Received};

/// No process of a test has that many descriptors.
const NEVER_OPEN: RawFd = 1_000_000_000;

/// A descriptor as it comes across exec: open, not close-on-exec, without an owner.
fn as_inherited(fd: impl AsFd) -> RawFd {
    dup(fd).unwrap().into_raw_fd()
}

fn is_close_on_exec(fd: impl AsFd) -> bool {
    FdFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFD).unwrap()).contains(FdFlag::FD_CLOEXEC)
}

/// A child that ends when this value is dropped.
struct Cat(Child);

impl Cat {
    fn start() -> Cat {
        Cat(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::new(self.0.id().try_into().unwrap()).unwrap()
    }

    /// Ends and reaps the child, so that its pid is free.
    fn end(mut self) -> Pid {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
        self.pid()
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.stdout.take().map(|mut out| out.read_to_end(&mut Vec::new()));
        let _ = self.0.wait();
    }
}

/// One listener and a channel, whose other end is kept, in a process that exec'd itself while `successor` serves.
fn after_exec(successor: Pid) -> (Handoff, Channel, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (ours, theirs) = Channel::pair().unwrap();
    let described = NamedDescriptor {
        fd: as_inherited(&listener),
        name: "http".into(),
        address: Address::Tcp(listener.local_addr().unwrap()),
    };
    let link = Link {
        fd: as_inherited(&ours),
        signals: None,
        attempt: 7,
        generation: 3,
        ready_timeout: Duration::from_secs(60),
        release_timeout: None,
        go: false,
        state: false,
        leaving: Vec::new(),
        draining: None,
        list: None,
    };
    let handoff = Handoff {
        descriptors: vec![described],
        successor: Some(successor),
        predecessor: Pid::current(),
        signal: GoSignal::Quit,
        channel: Some(link),
        go_listener: None,
    };
    (handoff, theirs, listener)
}

fn ours(handoff: Handoff) -> Inheritance {
    match inherit(handoff).unwrap() {
        Inherit::Ours(inheritance) => inheritance,
        Inherit::NotOurs(not_ours) => panic!("{not_ours}"),
    }
}

fn not_ours(handoff: Handoff) -> String {
    match inherit(handoff).unwrap() {
        Inherit::Ours(inheritance) => panic!("{inheritance:?}"),
        Inherit::NotOurs(not_ours) => not_ours.to_string(),
    }
}

#[test]
fn after_an_exec_in_place_the_child_is_the_predecessor() {
    let cat = Cat::start();
    let (handoff, theirs, _listener) = after_exec(cat.pid());
    let inheritance = ours(handoff);
    let Predecessor::Peer { mut channel, process: Some(process), relation: Relation::Child } =
        inheritance.predecessor
    else {
        panic!("{:?}", inheritance.predecessor)
    };
    assert_eq!(process.pid(), cat.pid());
    assert_eq!((inheritance.attempt, inheritance.generation), (7, 3));
    theirs.send(&Message::Commit { again: false }).unwrap();
    assert_eq!(channel.receive().unwrap(), Received::Message(Message::Commit { again: false }));
    assert!(is_close_on_exec(&channel));
    assert!(inheritance.descriptors.into_iter().all(|each| is_close_on_exec(&each.fd)));
}

#[test]
fn only_an_anonymous_file_is_adopted_as_the_file_of_locks() {
    let cat = Cat::start();
    let inheriting = |fd| {
        let (mut handoff, theirs, listener) = after_exec(cat.pid());
        handoff.channel.as_mut().unwrap().draining = Some(fd);
        let inherited = inherit(handoff);
        drop((theirs, listener));
        inherited
    };
    let Ok(Inherit::Ours(inheritance)) = inheriting(as_inherited(Draining::new().unwrap())) else { panic!() };
    let draining = inheritance.draining.unwrap();
    assert!(is_close_on_exec(&draining));
    assert_eq!(draining.others().unwrap(), []);
    let (named, socket) =
        (tempfile::NamedTempFile::new().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    for number in [as_inherited(named.as_file()), as_inherited(&socket)] {
        let error = inheriting(number).unwrap_err().to_string();
        let expected = format!("GOAGAIN_CHANNEL: draining={number}: expected an anonymous file");
        assert_eq!(error, expected);
    }
    let error = inheriting(draining.as_fd().as_raw_fd()).unwrap_err().to_string();
    assert!(error.ends_with("is close-on-exec, so it did not come across exec"), "{error}");
}

#[test]
fn a_child_that_has_ended_is_not_signaled() {
    let (handoff, _theirs, _listener) = after_exec(Cat::start().end());
    let Predecessor::Peer { process: None, relation: Relation::Child, .. } = ours(handoff).predecessor else {
        panic!()
    };
}

#[test]
fn a_go_process_after_an_exec_in_place_gets_signals() {
    let cat = Cat::start();
    let (mut handoff, _theirs, _listener) = after_exec(cat.pid());
    handoff.channel.as_mut().unwrap().go = true;
    let Predecessor::Go { process, signal: GoSignal::Quit } = ours(handoff).predecessor else { panic!() };
    assert_eq!((process.pid(), process.relation()), (cat.pid(), Relation::Child));
}

#[test]
fn a_go_process_that_has_ended_after_an_exec_in_place_is_an_ended_channel() {
    let (mut handoff, _theirs, _listener) = after_exec(Cat::start().end());
    handoff.channel.as_mut().unwrap().go = true;
    let Predecessor::Peer { mut channel, process: None, .. } = ours(handoff).predecessor else { panic!() };
    assert_eq!(channel.receive().unwrap(), Received::End);
}

#[test]
fn exiting_children_are_passed_on() {
    let (serves, leaves) = (Cat::start(), Cat::start());
    let (mut handoff, _theirs, _listener) = after_exec(serves.pid());
    handoff.channel.as_mut().unwrap().leaving = vec![leaves.pid(), Cat::start().end()];
    let leaving: Vec<_> = ours(handoff).leaving.iter().map(Process::pid).collect();
    assert_eq!(leaving, [leaves.pid()]);
}

#[test]
fn nothing_is_inherited_twice() {
    let cat = Cat::start();
    let (handoff, _theirs, _listener) = after_exec(cat.pid());
    let _held = ours(handoff.clone());
    let fd = handoff.channel.as_ref().unwrap().fd;
    let reason = format!(
        "GOAGAIN_CHANNEL: descriptor {fd} is close-on-exec, so it did not come across exec, so the handoff is not for this process"
    );
    assert_eq!(not_ours(handoff), reason);
}

#[test]
fn a_handoff_with_another_kind_of_channel_is_not_for_this_process() {
    let cat = Cat::start();
    let (mut handoff, _theirs, listener) = after_exec(cat.pid());
    let number = as_inherited(&listener);
    handoff.channel.as_mut().unwrap().fd = number;
    assert_eq!(
        not_ours(handoff.clone()),
        format!(
            "GOAGAIN_CHANNEL: descriptor {number} is not a channel, so the handoff is not for this process"
        )
    );
    handoff.channel.as_mut().unwrap().fd = NEVER_OPEN;
    assert!(not_ours(handoff).contains("is not open"));
}

#[test]
fn an_exec_in_place_must_be_by_this_process() {
    let cat = Cat::start();
    let (mut handoff, _theirs, _listener) = after_exec(cat.pid());
    handoff.predecessor = cat.pid();
    let reason = not_ours(handoff);
    assert!(
        reason.starts_with("GOAGAIN_CHANNEL: process ") || reason.starts_with("GOAGAIN_PPID: "),
        "{reason}"
    );
    let (mut handoff, _theirs, _listener) = after_exec(cat.pid());
    handoff.successor = None;
    assert_eq!(not_ours(handoff), "GOAGAIN_PPID: it is this process, but GOAGAIN_PID is empty");
}

#[test]
fn with_one_wrong_descriptor_none_is_owned() {
    let cat = Cat::start();
    let (mut handoff, _theirs, _listener) = after_exec(cat.pid());
    let first = handoff.descriptors[0].fd;
    let address = Address::Udp("127.0.0.1:9".parse().unwrap());
    handoff.descriptors.push(NamedDescriptor { fd: NEVER_OPEN, name: "dns".into(), address });
    let error = inherit(handoff.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("GOAGAIN_DESCRIPTORS: descriptor {NEVER_OPEN} (`dns`) is not open")
    );
    assert_eq!(error.variable(), "GOAGAIN_DESCRIPTORS");
    // It has not changed, and can be inherited once the rest is valid.
    assert!(Unowned::probe(first).is_ok() && Unowned::probe(handoff.channel.as_ref().unwrap().fd).is_ok());
    handoff.descriptors.pop();
    assert_eq!(ours(handoff).descriptors.len(), 1);
}

fn handoff_from_go(successor: Option<Pid>, predecessor: Pid) -> (Handoff, TcpListener) {
    let (mut handoff, _, listener) = after_exec(Pid::new(2).unwrap());
    let mut described = handoff.descriptors[0].clone();
    described.name = described.address.to_string();
    handoff.go_listener = Some(described);
    (Handoff { successor, predecessor, channel: None, ..handoff }, listener)
}

#[test]
fn a_go_process_that_is_a_child_is_verified() {
    let cat = Cat::start();
    let (handoff, listener) = handoff_from_go(Some(cat.pid()), Pid::current());
    let mut inheritance = ours(handoff);
    let Predecessor::Go { process, .. } = inheritance.predecessor else { panic!() };
    assert_eq!((process.pid(), process.relation()), (cat.pid(), Relation::Child));
    let address = Address::Tcp(listener.local_addr().unwrap());
    assert_eq!(inheritance.descriptors.take_address(&address).unwrap().name, address.to_string());
    assert_eq!((inheritance.generation, inheritance.attempt), (2, 0));
}

#[test]
fn unrelated_processes_are_not_trusted() {
    let cat = Cat::start();
    let (handoff, _listener) = handoff_from_go(None, cat.pid());
    assert_eq!(
        not_ours(handoff),
        format!("GOAGAIN_PPID: process {} is not the parent of this process", cat.pid())
    );
    let (handoff, _listener) = handoff_from_go(Some(cat.pid()), cat.pid());
    assert!(not_ours(handoff).starts_with("GOAGAIN_PPID: expected this process"));
    let gone = Cat::start().end();
    let (handoff, _listener) = handoff_from_go(Some(gone), Pid::current());
    assert_eq!(not_ours(handoff), format!("GOAGAIN_PID: process {gone} is not a child of this process"));
    let (handoff, _listener) = handoff_from_go(None, Pid::new_or_init(1).unwrap());
    assert_eq!(
        not_ours(handoff),
        "GOAGAIN_PPID: it is init, the parent of every orphan, so it proves nothing"
    );
}

#[test]
fn an_outdated_channel_that_a_go_process_passed_on_is_ignored() {
    let cat = Cat::start();
    let (mut handoff, listener) = handoff_from_go(Some(cat.pid()), Pid::current());
    let (stale, _theirs, _other) = after_exec(cat.pid());
    handoff.channel = stale.channel;
    handoff.channel.as_mut().unwrap().fd = NEVER_OPEN;
    handoff.descriptors =
        vec![NamedDescriptor { fd: NEVER_OPEN, name: "old".into(), address: Address::Other }];
    let inheritance = ours(handoff);
    assert_eq!(inheritance.warnings[0].variable(), "GOAGAIN_CHANNEL");
    let label = format!("tcp:{}", listener.local_addr().unwrap());
    assert_eq!(inheritance.descriptors.names().collect::<Vec<_>>(), [label]);
    assert!(matches!(inheritance.predecessor, Predecessor::Go { .. }));
}

#[test]
fn the_descriptor_of_a_go_process_must_be_open() {
    let (mut handoff, _listener) = handoff_from_go(None, Pid::current());
    handoff.go_listener.as_mut().unwrap().fd = NEVER_OPEN;
    assert_eq!(
        not_ours(handoff),
        format!("GOAGAIN_FD: descriptor {NEVER_OPEN} is not open, so the handoff is not for this process")
    );
}

#[test]
fn descriptors_of_this_process_are_not_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut handoff, _listener) = handoff_from_go(None, Pid::current());
    handoff.go_listener.as_mut().unwrap().fd = listener.as_raw_fd();
    assert!(not_ours(handoff).contains("did not come across exec"));
}
