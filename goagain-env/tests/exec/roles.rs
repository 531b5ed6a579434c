//! The roles of this binary, when a case runs it again.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use goagain_env::{
    Address, Channel, GoSignal, Handoff, Image, Inherit, Launch, Link, Message, NamedDescriptor, Pid,
    Predecessor, Received, inherit, unblock,
};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use crate::seen::{self, Seen};

/// The first argument of a role.
pub(crate) const ROLE: &str = "--role";

pub(crate) fn play(role: &OsStr, args: &[OsString]) {
    match role.to_str().unwrap() {
        "successor" => successor(args),
        "inherits" => inherits(args),
        "execs" => execs(args),
        "middle" => middle(args),
        "orphan" => orphan(args),
        "waits" => waits(),
        "drains" => drains(),
        other => panic!("no role {other}"),
    }
}

/// Inherits, reports all it sees, sends READY, and answers one connection after COMMIT.
fn successor(args: &[OsString]) {
    let mut seen = Seen::default();
    seen.add("before", format!("{:?}", seen::inheritable()));
    seen.add("blocked", seen::own_signals("SigBlk"));
    seen.add("arg", args[1].as_bytes().escape_ascii());
    seen.add("directory", std::env::current_dir().unwrap().display());
    seen.add("pwd", std::env::var("PWD").unwrap());
    let variable = std::env::var_os("NOT_UTF_8").unwrap();
    seen.add("variable", variable.as_bytes().escape_ascii());
    let predecessor = report_inheritance(&mut seen, |name| std::env::var_os(name)).unwrap();
    unblock().unwrap();
    seen.add("unblocked", seen::own_signals("SigBlk"));
    seen.add("helper", format!("{:?}", seen::of_helper()));
    seen.write(args[0].as_ref());
    let Predecessor::Peer { mut channel, .. } = predecessor.predecessor else { panic!() };
    channel.send(&Message::Ready).unwrap();
    assert_eq!(next(&mut channel), Received::Message(Message::Commit { again: false }));
    let listener = predecessor.descriptors.into_iter().find(|each| each.name == "http").unwrap();
    let (stream, _) = std::net::TcpListener::from(listener.fd).accept().unwrap();
    std::io::Write::write_all(&mut &stream, std::process::id().to_string().as_bytes()).unwrap();
}

/// Inherits, reports all it sees, and exits. "self" as GOAGAIN_PPID means its own pid.
fn inherits(args: &[OsString]) {
    let mut seen = Seen::default();
    let _held = report_inheritance(&mut seen, |name| {
        let value = std::env::var_os(name)?;
        Some(if value == "self" { std::process::id().to_string().into() } else { value })
    });
    seen.write(args[0].as_ref());
}

/// Spawns a successor that waits, and execs the role `inherits` in place. args[1] sets `link.go`.
fn execs(args: &[OsString]) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (ours, theirs) = Channel::pair().unwrap();
    let http = described("http", listener.as_fd());
    let first = handoff(vec![http.clone()], &theirs);
    let spawned = [listener.as_fd(), theirs.as_fd()];
    let args_of_child = [ROLE, "waits"].map(OsString::from).to_vec();
    let image = Image::at(std::env::current_exe().unwrap()).unwrap();
    let child = Launch::new(&image, args_of_child, first, spawned.to_vec()).spawn().unwrap();
    drop(theirs);
    let mut second = handoff(vec![http], &ours);
    second.successor = Some(child.pid());
    second.channel.as_mut().unwrap().go = args[1] == "go";
    let mut before = Seen::default();
    before.add("pid", std::process::id()).add("child", child.pid()).add("listener", listener.as_raw_fd());
    before.add("channel", ours.as_raw_fd()).write(args[2].as_ref());
    let args_after = [ROLE.into(), "inherits".into(), args[0].clone()];
    let error = Launch::new(&image, args_after.to_vec(), second, vec![listener.as_fd(), ours.as_fd()]).exec();
    panic!("{error}");
}

/// Spawns the role `orphan`, and exits at once. The orphan notices by the end of a pipe.
fn middle(args: &[OsString]) {
    let (end_of_life, _life) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let (_ours, theirs) = Channel::pair().unwrap();
    let described =
        NamedDescriptor { fd: end_of_life.as_raw_fd(), name: "end of life".into(), address: Address::Other };
    let handed_over = vec![end_of_life.as_fd(), theirs.as_fd()];
    let image = Image::at(std::env::current_exe().unwrap()).unwrap();
    let args = [ROLE.into(), "orphan".into(), args[0].clone()].to_vec();
    let child = Launch::new(&image, args, handoff(vec![described], &theirs), handed_over).spawn().unwrap();
    println!("{}", child.pid());
}

/// Inherits once its parent has exited.
fn orphan(args: &[OsString]) {
    let handoff = Handoff::decode(|name| std::env::var_os(name)).unwrap().unwrap();
    let end_of_life = handoff.descriptors[0].fd;
    let end = std::fs::read(format!("/proc/self/fd/{end_of_life}")).unwrap();
    assert!(end.is_empty());
    // The pipe ends a moment before the kernel gives this process another parent.
    let deadline = Instant::now() + Duration::from_secs(10);
    while Pid::parent() == Some(handoff.predecessor) && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let mut seen = Seen::default();
    let Inherit::Ours(inheritance) = inherit(handoff).unwrap() else { panic!() };
    report_predecessor(&mut seen, &inheritance.predecessor);
    let Predecessor::Peer { mut channel, .. } = inheritance.predecessor else { panic!() };
    seen.add("channel", format!("{:?}", next(&mut channel)));
    seen.write(args[0].as_ref());
}

/// Runs as long as its predecessor.
fn waits() {
    let handoff = Handoff::decode(|name| std::env::var_os(name)).unwrap().unwrap();
    let Inherit::Ours(inheritance) = inherit(handoff).unwrap() else { panic!() };
    let Predecessor::Peer { mut channel, .. } = inheritance.predecessor else { panic!() };
    while next(&mut channel) != Received::End {}
}

/// Drains from READY to COMMIT, and then sends SERVING.
fn drains() {
    let handoff = Handoff::decode(|name| std::env::var_os(name)).unwrap().unwrap();
    let Inherit::Ours(inheritance) = inherit(handoff).unwrap() else { panic!() };
    let Predecessor::Peer { mut channel, .. } = inheritance.predecessor else { panic!() };
    let draining = inheritance.draining.unwrap();
    let before = draining.others().unwrap();
    draining.begin().unwrap();
    assert_eq!(draining.others().unwrap(), before, "it is none of the others");
    channel.send(&Message::Ready).unwrap();
    assert_eq!(next(&mut channel), Received::Message(Message::Commit { again: false }));
    draining.end().unwrap();
    channel.send(&Message::Serving).unwrap();
    while next(&mut channel) != Received::End {}
}

fn report_inheritance(
    seen: &mut Seen,
    lookup: impl Fn(&str) -> Option<OsString>,
) -> Option<goagain_env::Inheritance> {
    seen.add("pid", std::process::id()).add("after-blocked", seen::own_signals("SigBlk"));
    let handoff = match Handoff::decode(lookup) {
        Ok(handoff) => handoff.unwrap(),
        Err(error) => {
            seen.add("error", error);
            return None;
        }
    };
    seen.add("inheritable", format!("{:?}", seen::inheritable()));
    let inheritance = match inherit(handoff) {
        Ok(Inherit::Ours(inheritance)) => inheritance,
        Ok(Inherit::NotOurs(not_ours)) => {
            seen.add("not-ours", not_ours);
            return None;
        }
        Err(error) => {
            seen.add("error", error);
            return None;
        }
    };
    for name in inheritance.descriptors.names() {
        seen.add(&format!("name-{name}"), inheritance.descriptors.address(name).unwrap());
    }
    seen.add("left", format!("{:?}", seen::inheritable()));
    report_predecessor(seen, &inheritance.predecessor);
    Some(inheritance)
}

fn report_predecessor(seen: &mut Seen, predecessor: &Predecessor) {
    match predecessor {
        Predecessor::Peer { process, relation, .. } => {
            let pid = process.as_ref().map(|process| process.pid().as_raw());
            seen.add("predecessor", format!("peer {relation:?} {pid:?}"))
        }
        Predecessor::Go { process, signal } => {
            seen.add("predecessor", format!("go {:?} {} {signal:?}", process.relation(), process.pid()))
        }
    };
}

/// Waits for the next message on the channel.
pub(crate) fn next(channel: &mut Channel) -> Received {
    loop {
        match channel.receive().unwrap() {
            Received::Nothing => {
                let mut readable = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
                let ready = poll(&mut readable, PollTimeout::from(30_000_u16)).unwrap();
                assert!(ready > 0, "nothing came over the channel for 30 seconds");
            }
            received => return received,
        }
    }
}

pub(crate) fn described(name: &str, fd: std::os::fd::BorrowedFd<'_>) -> NamedDescriptor {
    NamedDescriptor { fd: fd.as_raw_fd(), name: name.into(), address: Address::of(fd).unwrap() }
}

/// Returns the handoff of this process's first attempt, with this end of a channel.
pub(crate) fn handoff(descriptors: Vec<NamedDescriptor>, channel: &Channel) -> Handoff {
    let link = Link {
        fd: channel.as_raw_fd(),
        signals: None,
        attempt: 1,
        generation: 2,
        ready_timeout: Duration::from_secs(60),
        release_timeout: Some(Duration::from_secs(30)),
        go: false,
        state: false,
        leaving: Vec::new(),
        draining: None,
        list: None,
    };
    Handoff {
        descriptors,
        successor: None,
        predecessor: Pid::current(),
        signal: GoSignal::Quit,
        channel: Some(link),
        go_listener: None,
    }
}

/// Returns the command that runs this binary in a role.
pub(crate) fn command(role: &str, report: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([ROLE, role]).arg(report);
    command
}
