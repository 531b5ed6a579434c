//! The cases. Each runs in a process that starts the others, and checks what they saw.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use goagain_env::{Channel, Draining, Exit, Handoff, Image, Launch, LaunchError, Message, Pid, Received};
use nix::sys::wait::waitpid;
use nix::unistd::dup;
use tempfile::TempDir;

use crate::guards::{Guard, Victim};
use crate::roles::{ROLE, command, described, handoff, next};
use crate::seen::{self, Seen, bit, descriptors, is_close_on_exec};

pub(crate) const ALL: &[(&str, fn())] = &[
    ("spawn_passes_only_the_descriptors_of_the_handoff", spawn_passes_only_the_descriptors_of_the_handoff),
    ("spawn_blocks_signals_in_the_new_process", spawn_blocks_signals_in_the_new_process),
    ("a_helper_inherits_nothing", a_helper_inherits_nothing),
    ("exec_keeps_pid_and_descriptors", exec_keeps_pid_and_descriptors),
    ("exec_with_a_go_child_uses_signals", exec_with_a_go_child_uses_signals),
    ("a_failed_exec_changes_nothing", a_failed_exec_changes_nothing),
    ("a_missing_directory_is_named", a_missing_directory_is_named),
    ("a_failed_spawn_changes_nothing", a_failed_spawn_changes_nothing),
    ("an_image_that_is_being_written_is_busy", an_image_that_is_being_written_is_busy),
    ("an_orphan_has_no_predecessor_to_signal", an_orphan_has_no_predecessor_to_signal),
    ("a_forged_predecessor_is_not_trusted", a_forged_predecessor_is_not_trusted),
    ("a_go_parent_hands_over", a_go_parent_hands_over),
    ("a_connected_socket_is_refused", a_connected_socket_is_refused),
    ("a_draining_process_is_counted_until_it_ends", a_draining_process_is_counted_until_it_ends),
    ("descriptor_zero_works", descriptor_zero_works),
];

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn own_image() -> Image {
    Image::at(std::env::current_exe().unwrap()).unwrap()
}

fn numbers(list: &str) -> Vec<i32> {
    list.split(|each: char| !each.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

fn spawn_passes_only_the_descriptors_of_the_handoff() {
    let folder = folder();
    let report = folder.path().join("seen");
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let path = folder.path().join("admin.sock");
    let admin = UnixListener::bind(&path).unwrap();
    let (mut ours, theirs) = Channel::pair().unwrap();
    let handoff = handoff(vec![described("http", http.as_fd()), described("admin", admin.as_fd())], &theirs);
    let not_utf_8 = std::ffi::OsString::from_vec(b"a\xffb".to_vec());
    let args = vec![ROLE.into(), "successor".into(), report.clone().into(), not_utf_8.clone()];
    let mut launch =
        Launch::new(&own_image(), args, handoff, vec![http.as_fd(), admin.as_fd(), theirs.as_fd()]);
    launch.env("NOT_UTF_8", not_utf_8);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/", &link).unwrap();
    launch.set_working_directory(&link);
    let here = std::env::current_dir().unwrap();
    let before = descriptors();
    let blocked_before = seen::own_signals("SigBlk");
    let mut child = Guard(launch.spawn().unwrap().into_process());
    drop(theirs);
    assert_eq!(next(&mut ours), Received::Message(Message::Ready));

    let seen = Seen::read(&report);
    let mut expected = seen::inheritable();
    let handed_over: Vec<_> = before
        .keys()
        .copied()
        .filter(|number| {
            [http.as_raw_fd(), admin.as_raw_fd()].contains(number) || !descriptors().contains_key(number)
        })
        .collect();
    assert_eq!(handed_over.len(), 3);
    expected.extend(&handed_over);
    expected.sort_unstable();
    assert_eq!(numbers(seen.get("before")), expected, "the same numbers, and no others");
    assert_eq!(numbers(seen.get("left")), seen::inheritable(), "close-on-exec again once inherited");
    assert_eq!(numbers(seen.get("helper")), seen::inheritable(), "none for a helper of the successor");
    assert_eq!(seen.get("name-http"), format!("tcp:{}", http.local_addr().unwrap()));
    assert_eq!(seen.get("name-admin"), format!("unix:{}", path.display()));
    assert_eq!(seen.get("predecessor"), format!("peer Parent Some({})", Pid::current()));
    assert_eq!((seen.get("directory"), seen.get("pwd")), ("/", link.to_str().unwrap()));
    assert_eq!(std::env::current_dir().unwrap(), here, "this process stays where it is");
    assert_eq!((seen.get("arg"), seen.get("variable")), (r"a\xffb", r"a\xffb"));
    let blocked = blocked_before | bit(libc::SIGHUP) | bit(libc::SIGUSR1) | bit(libc::SIGUSR2);
    assert_eq!(seen.get("blocked"), blocked.to_string());
    assert_eq!(seen.get("unblocked"), (blocked_before & !(blocked ^ blocked_before)).to_string());
    assert_eq!(seen::own_signals("SigBlk"), blocked_before);
    for number in [http.as_raw_fd(), admin.as_raw_fd()] {
        assert_eq!(is_close_on_exec(number), Some(true), "close-on-exec here at all times");
    }

    ours.send(&Message::Commit { again: false }).unwrap();
    let mut answer = String::new();
    TcpStream::connect(http.local_addr().unwrap()).unwrap().read_to_string(&mut answer).unwrap();
    assert_eq!(answer, child.0.pid().to_string());
    assert_eq!(next(&mut ours), Received::End);
    assert_eq!(child.end(), Exit::exited(0));
}

/// A shell does not change signal actions as a Rust program does, so it shows those that it was started with.
fn shell(script: &str) -> (Launch<'static>, Channel) {
    let (ours, theirs) = Channel::pair().unwrap();
    let theirs: &'static Channel = Box::leak(Box::new(theirs));
    let args = vec!["-c".into(), script.into()];
    let image = Image::at("/bin/sh").unwrap();
    (Launch::new(&image, args, handoff(Vec::new(), theirs), vec![theirs.as_fd()]), ours)
}

fn spawn_blocks_signals_in_the_new_process() {
    let folder = folder();
    let report = folder.path().join("status");
    let (launch, _ours) = shell(&format!("exec cat /proc/self/status > {}", report.display()));
    assert_eq!(Guard(launch.spawn().unwrap().into_process()).end(), Exit::exited(0));
    let status = fs::read_to_string(report).unwrap();
    let ignored = seen::signals(&status, "SigIgn");
    assert_eq!(ignored & bit(libc::SIGPIPE), 0, "SIGPIPE has its default action");
    assert_ne!(seen::own_signals("SigIgn") & bit(libc::SIGPIPE), 0, "and is ignored here as before");
    let blocked = seen::signals(&status, "SigBlk");
    let expected = bit(libc::SIGHUP) | bit(libc::SIGUSR1) | bit(libc::SIGUSR2);
    assert_eq!(blocked & expected, expected);
}

fn a_helper_inherits_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (launch, mut ours) = shell("read line");
    let _child = Guard(launch.spawn().unwrap().into_process());
    let inheritable = seen::inheritable();
    assert!(!inheritable.contains(&listener.as_raw_fd()) && !inheritable.contains(&ours.as_raw_fd()));
    assert_eq!(seen::of_helper(), inheritable);
    let variables = Command::new("env").output().unwrap().stdout;
    assert!(!String::from_utf8_lossy(&variables).contains("GOAGAIN_"));
    assert_eq!(ours.receive().unwrap(), Received::Nothing);
}

/// Runs the role that execs in place. Returns what it saw before and after.
fn exec_in_place(beside: &str) -> (Seen, Seen) {
    let folder = folder();
    let (after, before) = (folder.path().join("after"), folder.path().join("before"));
    let status = command("execs", &after).arg(beside).arg(&before).status().unwrap();
    assert!(status.success());
    (Seen::read(&before), Seen::read(&after))
}

fn exec_keeps_pid_and_descriptors() {
    let (before, after) = exec_in_place("peer");
    assert_eq!(before.get("pid"), after.get("pid"));
    assert_eq!(after.get("predecessor"), format!("peer Child Some({})", before.get("child")));
    let mut expected = seen::inheritable();
    expected.extend(["listener", "channel"].map(|key| before.get(key).parse::<i32>().unwrap()));
    expected.sort_unstable();
    assert_eq!(numbers(after.get("inheritable")), expected);
    assert_eq!(numbers(after.get("left")), seen::inheritable());
    let control = [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGINT, libc::SIGTERM, libc::SIGQUIT];
    let control = control.map(bit).into_iter().fold(0, |all, signal| all | signal);
    assert_eq!(after.get("after-blocked").parse::<u64>().unwrap() & control, control);
}

fn exec_with_a_go_child_uses_signals() {
    let (before, after) = exec_in_place("go");
    assert_eq!(after.get("predecessor"), format!("go Child {} Quit", before.get("child")));
}

fn a_failed_exec_changes_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_ours, theirs) = Channel::pair().unwrap();
    let handoff = handoff(vec![described("http", listener.as_fd())], &theirs);
    let folder = folder();
    let no_program = folder.path().join("no-program");
    fs::write(&no_program, "not a program").unwrap();
    fs::set_permissions(&no_program, fs::Permissions::from_mode(0o755)).unwrap();
    let state = || {
        let here = std::env::current_dir().unwrap();
        (descriptors(), seen::own_signals("SigBlk"), seen::own_signals("SigIgn"), here)
    };
    let before = state();
    for (image, errno) in [(PathBuf::from("/no/such/image"), libc::ENOENT), (no_program, libc::ENOEXEC)] {
        let image = Image::at(image).unwrap();
        let mut launch =
            Launch::new(&image, Vec::new(), handoff.clone(), vec![listener.as_fd(), theirs.as_fd()]);
        launch.set_working_directory(folder.path());
        match launch.exec() {
            LaunchError::Exec { source, .. } => assert_eq!(source.raw_os_error(), Some(errno)),
            other => panic!("{other}"),
        }
        assert_eq!(state(), before);
    }
}

fn a_missing_directory_is_named() {
    for exec in [false, true] {
        let (mut launch, _ours) = shell("exit 0");
        launch.set_working_directory("/no/such/directory");
        let error = if exec { launch.exec() } else { launch.spawn().unwrap_err() };
        assert!(matches!(&error, LaunchError::Directory { .. }), "{error}");
        assert!(error.to_string().contains("working directory /no/such/directory: No such file"), "{error}");
    }
}

fn a_failed_spawn_changes_nothing() {
    let (mut launch, _ours) = shell("exit 0");
    launch.set_image("/etc/hostname-that-is-not-there");
    let before = (descriptors(), seen::own_signals("SigBlk"), seen::own_signals("SigIgn"));
    assert!(matches!(launch.spawn(), Err(LaunchError::Spawn { .. })));
    assert_eq!((descriptors(), seen::own_signals("SigBlk"), seen::own_signals("SigIgn")), before);
    let none = waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG));
    assert_eq!(none, Err(nix::errno::Errno::ECHILD), "and leaves no zombie");
}

fn an_image_that_is_being_written_is_busy() {
    let folder = folder();
    let image = folder.path().join("image");
    fs::copy("/bin/sh", &image).unwrap();
    let writer = fs::OpenOptions::new().append(true).open(&image).unwrap();
    let (mut launch, _ours) = shell("exit 0");
    launch.set_image(&image);
    let error = launch.spawn().unwrap_err();
    assert!(error.is_busy(), "{error}");
    drop(writer);
    let (mut launch, _ours) = shell("exit 0");
    launch.set_image(&image);
    assert_eq!(Guard(launch.spawn().unwrap().into_process()).end(), Exit::exited(0));
}

fn an_orphan_has_no_predecessor_to_signal() {
    let folder = folder();
    let report = folder.path().join("seen");
    // The orphan gets its output from the middle process, so the output ends when the orphan does.
    let output = command("middle", &report).output().unwrap();
    assert!(output.status.success());
    let seen = Seen::read(&report);
    assert_eq!(seen.get("predecessor"), "peer Parent None");
    assert_eq!(seen.get("channel"), "End");
}

/// Returns a descriptor that a child of `Command` inherits.
fn leaked(fd: impl AsFd) -> OwnedFd {
    dup(fd).unwrap()
}

/// Runs the role `inherits` as a child of this process, as a Go program would start it.
fn run_as_go_child(listener: &OwnedFd, variables: &[(&str, &str)]) -> Seen {
    let folder = folder();
    let report = folder.path().join("seen");
    let label = goagain_env::Address::of(listener.as_fd()).unwrap().go_label();
    let mut command = command("inherits", &report);
    command.env("GOAGAIN_FD", listener.as_raw_fd().to_string()).env("GOAGAIN_NAME", label);
    command.env("GOAGAIN_PID", "").env("GOAGAIN_PPID", Pid::current().to_string()).env("GOAGAIN_SIGNAL", "3");
    assert!(command.envs(variables.iter().copied()).status().unwrap().success());
    Seen::read(&report)
}

fn a_forged_predecessor_is_not_trusted() {
    let listener = leaked(TcpListener::bind("127.0.0.1:0").unwrap());
    let victim = Victim::start();
    let pid = victim.pid().to_string();
    let forged = run_as_go_child(&listener, &[("GOAGAIN_PPID", &pid)]);
    assert_eq!(
        forged.get("not-ours"),
        format!("GOAGAIN_PPID: process {pid} is not the parent of this process")
    );
    let forged = run_as_go_child(&listener, &[("GOAGAIN_PPID", "self"), ("GOAGAIN_PID", &pid)]);
    assert_eq!(forged.get("not-ours"), format!("GOAGAIN_PID: process {pid} is not a child of this process"));
    for (variable, value) in
        [("GOAGAIN_PPID", "-1"), ("GOAGAIN_PPID", "0"), ("GOAGAIN_PID", "-1"), ("GOAGAIN_FD", "0x10")]
    {
        let forged = run_as_go_child(&listener, &[(variable, value)]);
        assert!(forged.get("error").starts_with(&format!("{variable}: expected ")), "{forged:?}");
    }
    victim.ends_well();
}

fn a_go_parent_hands_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = run_as_go_child(&leaked(&listener), &[]);
    assert_eq!(seen.get("predecessor"), format!("go Parent {} Quit", Pid::current()));
    assert_eq!(seen.get(&format!("name-tcp:{address}")), format!("tcp:{address}"));
}

fn a_connected_socket_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let refused = run_as_go_child(&leaked(&connected), &[]);
    let error = refused.get("error");
    assert!(error.starts_with("GOAGAIN_FD: expected descriptor "), "{error}");
    assert!(error.ends_with("found a tcp socket that does not listen"), "{error}");
    connected.write_all(b"x").unwrap();
}

fn descriptor_zero_works() {
    let folder = folder();
    let report = folder.path().join("seen");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let label = goagain_env::Address::of(listener.as_fd()).unwrap().go_label();
    let mut command = command("inherits", &report);
    command.stdin(OwnedFd::from(listener)).env("GOAGAIN_FD", "0").env("GOAGAIN_NAME", label);
    command.env("GOAGAIN_PPID", Pid::current().to_string());
    assert!(command.status().unwrap().success());
    assert!(Seen::read(&report).get("predecessor").starts_with("go Parent"));
    assert!(Handoff::decode(|_| None).unwrap().is_none());
}

fn a_draining_process_is_counted_until_it_ends() {
    let draining = Draining::new().unwrap();
    let mut children: Vec<_> = (0..3)
        .map(|_| {
            let (ours, theirs) = Channel::pair().unwrap();
            let mut handoff = handoff(Vec::new(), &theirs);
            handoff.channel.as_mut().unwrap().draining = Some(draining.as_fd().as_raw_fd());
            let beside = vec![theirs.as_fd(), draining.as_fd()];
            let launch = Launch::new(&own_image(), vec![ROLE.into(), "drains".into()], handoff, beside);
            (Guard(launch.spawn().unwrap().into_process()), ours)
        })
        .collect();
    let counted = |expected: &[&(Guard, Channel)]| {
        let mut found = draining.others().unwrap();
        found.sort();
        let mut expected: Vec<Pid> = expected.iter().map(|(child, _)| child.0.pid()).collect();
        expected.sort();
        assert_eq!(found, expected);
    };
    for (_, channel) in &mut children {
        assert_eq!(next(channel), Received::Message(Message::Ready));
    }
    let [first, second, third] = &mut children[..] else { panic!() };
    counted(&[first, second, third]);
    second.1.send(&Message::Commit { again: false }).unwrap();
    assert_eq!(next(&mut second.1), Received::Message(Message::Serving));
    counted(&[first, third]);
    // A killed process cannot remove its mark. The end of its channel may come before the kernel removes the lock;
    // after its death the lock is gone.
    third.0.0.kill().unwrap();
    third.0.end();
    counted(&[first]);
    draining.begin().unwrap();
    counted(&[first]);
}
