//! Checks whether a handoff is meant for this process, and takes over its descriptors.

mod check;
mod inherited;
mod outcome;

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::uio::pread;
use nix::unistd::getppid;

pub use self::inherited::{Inherited, InheritedDescriptor};
pub use self::outcome::{AdoptError, Inherit, InheritError, Inheritance, NotOurs, Predecessor};
use crate::handoff::{CHANNEL, DESCRIPTORS, FD, PID, PPID};
use crate::sys::raw::Unowned;
use crate::{
    Address, Channel, Draining, GoSignal, Handoff, Link, NamedDescriptor, Pid, Process, Relation, sys,
};

/// The Go package has no generations. Its process that hands over counts as the first.
const GENERATION_AFTER_GO: u64 = 2;

/// Held from the check of a descriptor number to its adoption: no other call may adopt the number in between.
static ADOPTION_LOCK: Mutex<()> = Mutex::new(());

/// Takes ownership of a descriptor that this process was started with, by its number, if `check` accepts it. Makes it
/// close-on-exec (`fcntl(F_SETFD)`).
///
/// A number that is already close-on-exec belongs to this process, and is not taken from it.
///
/// # Errors
/// [`AdoptError`]: the descriptor stays as it was.
pub fn adopt<T, E>(
    number: RawFd,
    check: impl FnOnce(BorrowedFd<'_>) -> Result<T, E>,
) -> Result<(OwnedFd, T), AdoptError<E>> {
    let _guard = ADOPTION_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let descriptor = Unowned::probe(number).map_err(|why| AdoptError::NotInherited(why.to_string()))?;
    let checked = check(descriptor.as_fd()).map_err(AdoptError::Refused)?;
    Ok((descriptor.adopt(), checked))
}

/// Checks with the operating system whether a handoff is meant for this process, and takes it over.
///
/// No variable is trusted. With a channel, these must hold: its descriptor is open, came across exec and is a socket of
/// the channel's kind, and SO_PEERCRED says that process GOAGAIN_PPID made it (on systems that have it). Then
/// GOAGAIN_PID decides:
///
/// - Empty: this process was spawned. Its parent is the predecessor, if it is process GOAGAIN_PPID.
/// - A number: this process was exec'd in place. GOAGAIN_PPID must be this process, and the number must be its child.
///
/// If the channel is not for this process, the five variables of the Go package goagain are checked, since a Go process
/// passes on variables that it does not know. In that case the parent, or the child, must be verified; otherwise the
/// handoff is not for this process. A parent with pid 1 does not count: every orphan has it, so it proves nothing.
///
/// Then each descriptor is checked: a socket of the expected type, family and port, which listens if it is a stream
/// socket. Only if all are as expected are they owned and made close-on-exec. A number that is already close-on-exec
/// belongs to this process, and is not taken from it: so nothing can be inherited twice.
///
/// # Errors
/// - The handoff is meant for this process, but a descriptor is not what it should be.
/// - A system call fails (EMFILE, or a Linux without pidfds).
///
/// No descriptor is owned then, and all stay as they were.
pub fn inherit(mut handoff: Handoff) -> Result<Inherit, InheritError> {
    let _guard = ADOPTION_LOCK.lock().unwrap_or_else(PoisonError::into_inner);

    let mut warnings = Vec::new();
    if let Some(link) = &handoff.channel {
        match verify_peer(&handoff, link)? {
            Ok(peer) => {
                let (link, list) = (link.clone(), link.list.map(read_list_file).transpose()?);
                if let Some((_, text)) = &list {
                    let read = handoff.read_list(OsStr::from_bytes(text));
                    read.map_err(|error| InheritError::new(error.variable(), error.reason()))?;
                }
                let inheritance = adopt_from_peer(&handoff.descriptors, &link, peer)?;
                // The list has been read. Its file is closed here.
                drop(list.map(|(file, _)| file.adopt()));
                return Ok(Inherit::Ours(inheritance));
            }
            Err(not_ours) => warnings.push(not_ours),
        }
    }
    let listener = match &handoff.channel {
        Some(_) => handoff.go_listener.as_ref(),
        None => handoff.go_listener.as_ref().or(handoff.descriptors.first()),
    };
    let not_ours = match listener {
        None => NotOurs::new(FD, "no listener of a Go process"),
        Some(listener) => match verify_go(&handoff, listener)? {
            Ok((process, descriptor)) => {
                let descriptors = adopt_from_go(listener, descriptor)?;
                return Ok(Inherit::Ours(Inheritance {
                    descriptors,
                    predecessor: Predecessor::Go { process, signal: handoff.signal },
                    generation: GENERATION_AFTER_GO,
                    attempt: 0,
                    ready_timeout: None,
                    release_timeout: None,
                    state: false,
                    signals: None,
                    leaving: Vec::new(),
                    draining: None,
                    warnings,
                }));
            }
            Err(not_ours) => not_ours,
        },
    };
    // A failed check of the channel explains more than that of the five variables, which any descendant may see.
    Ok(Inherit::NotOurs(warnings.pop().unwrap_or(not_ours)))
}

/// Checks the channel and the process behind it. Returns both if the handoff describes them correctly.
fn verify_peer(handoff: &Handoff, link: &Link) -> Result<Result<Peer, NotOurs>, InheritError> {
    let channel = match Unowned::probe(link.fd) {
        Ok(channel) => channel,
        Err(why) => return Ok(Err(NotOurs::descriptor(CHANNEL, link.fd, &why))),
    };
    let not_ours = |variable, reason: String| Ok(Err(NotOurs::new(variable, reason)));
    let network = crate::address::socket(channel.as_fd()).ok().flatten().map(|(network, _)| network);
    if network != Some(sys::CHANNEL_NETWORK) || getsockopt(&channel, sockopt::AcceptConn) != Ok(false) {
        return not_ours(
            CHANNEL,
            format!("descriptor {} is not a channel, so the handoff is not for this process", link.fd),
        );
    }
    let (own, predecessor) = (Pid::current(), handoff.predecessor);
    match sys::peer_pid(channel.as_fd())
        .map_err(|error| InheritError::system(CHANNEL, "the channel's peer", &error))?
    {
        Some(maker) if maker != predecessor.as_raw() => {
            return not_ours(
                CHANNEL,
                format!("process {maker} made the channel, not GOAGAIN_PPID={predecessor}"),
            );
        }
        _ => {}
    }
    let (relation, process) = match handoff.successor {
        None if predecessor == own => return not_ours(PPID, this_process_without_successor()),
        None => (Relation::Parent, open_parent(predecessor)?),
        Some(_) if predecessor != own => return not_ours(PPID, not_this_process(predecessor)),
        Some(successor) => (Relation::Child, open_child(PID, successor)?),
    };
    Ok(Ok(Peer { channel, relation, process, signal: handoff.signal }))
}

/// Checks the listener of a Go process and the process that hands it over. Returns both if the handoff describes them
/// correctly.
fn verify_go(
    handoff: &Handoff,
    listener: &NamedDescriptor,
) -> Result<Result<(Process, Unowned), NotOurs>, InheritError> {
    let descriptor = match Unowned::probe(listener.fd) {
        Ok(descriptor) => descriptor,
        Err(why) => return Ok(Err(NotOurs::descriptor(FD, listener.fd, &why))),
    };
    let predecessor = handoff.predecessor;
    let (process, variable, reason) = match handoff.successor {
        None if predecessor.is_init() => {
            (None, PPID, "it is init, the parent of every orphan, so it proves nothing".to_owned())
        }
        None => (
            open_parent(predecessor)?,
            PPID,
            format!("process {predecessor} is not the parent of this process"),
        ),
        Some(_) if predecessor != Pid::current() => (None, PPID, not_this_process(predecessor)),
        Some(successor) => {
            (open_child(PID, successor)?, PID, format!("process {successor} is not a child of this process"))
        }
    };
    Ok(process.map(|process| (process, descriptor)).ok_or_else(|| NotOurs::new(variable, reason)))
}

fn this_process_without_successor() -> String {
    "it is this process, but GOAGAIN_PID is empty".to_owned()
}

fn not_this_process(predecessor: Pid) -> String {
    format!("expected this process ({}), since GOAGAIN_PID is set, found {predecessor}", Pid::current())
}

/// Opens this process's parent; `None` if its parent is another process.
fn open_parent(pid: Pid) -> Result<Option<Process>, InheritError> {
    if getppid().as_raw() != pid.as_raw() {
        return Ok(None);
    }
    match Process::parent(pid) {
        Ok(process) => Ok(Some(process)),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(InheritError::system(PPID, &format!("process {pid}"), &error)),
    }
}

/// Opens a child of this process; `None` if it is not a child, or is already reaped.
fn open_child(variable: &'static str, pid: Pid) -> Result<Option<Process>, InheritError> {
    match Process::child(pid) {
        Ok(process) => Ok(Some(process)),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(InheritError::system(variable, &format!("process {pid}"), &error)),
    }
}

struct Peer {
    channel: Unowned,
    relation: Relation,
    process: Option<Process>,
    signal: GoSignal,
}

/// Checks everything first: below the construction of `Predecessor`, nothing can fail.
fn adopt_from_peer(
    descriptors: &[NamedDescriptor],
    link: &Link,
    peer: Peer,
) -> Result<Inheritance, InheritError> {
    let mut checked = Vec::with_capacity(descriptors.len());
    for described in descriptors {
        let descriptor = probe(DESCRIPTORS, described)?;
        check::check(DESCRIPTORS, described, descriptor.as_fd())?;
        checked.push((described.clone(), descriptor));
    }
    let signals = link.signals.map(|signals| {
        Unowned::probe(signals)
            .map_err(|why| InheritError::new(CHANNEL, format!("signals={signals}: the descriptor {why}")))
    });
    let signals = signals.transpose()?;
    let draining = link.draining.map(check_draining_file).transpose()?;
    let leaving: Vec<_> =
        link.leaving.iter().map(|pid| open_child(CHANNEL, *pid)).collect::<Result<_, _>>()?;
    // A Go process that has ended has no channel whose end could be read, and its end may have leaked. So a channel
    // that has already ended stands in for it.
    let ended = match (link.go && peer.relation == Relation::Child, &peer.process) {
        (true, None) => {
            let (end, _) =
                Channel::pair().map_err(|error| InheritError::system(CHANNEL, "a channel", &error))?;
            Some(end)
        }
        _ => None,
    };

    let Peer { channel, relation, process, signal } = peer;
    let channel = Channel::from(channel.adopt());
    let predecessor = match (link.go && relation == Relation::Child, process) {
        (true, Some(process)) => Predecessor::Go { process, signal },
        (_, process) => Predecessor::Peer { channel: ended.unwrap_or(channel), process, relation },
    };
    let adopted = checked.into_iter().map(|(NamedDescriptor { name, address, .. }, descriptor)| {
        InheritedDescriptor { name, address, fd: descriptor.adopt() }
    });
    Ok(Inheritance {
        descriptors: Inherited::new(adopted.collect(), false),
        predecessor,
        generation: link.generation,
        attempt: link.attempt,
        ready_timeout: Some(link.ready_timeout),
        release_timeout: link.release_timeout,
        state: link.state,
        signals: signals.map(Unowned::adopt),
        leaving: leaving.into_iter().flatten().collect(),
        draining: draining.map(|file| Draining::from(file.adopt())),
        warnings: Vec::new(),
    })
}

/// Checks the file of locks. A lock on any other file would have another meaning.
fn check_draining_file(number: RawFd) -> Result<Unowned, InheritError> {
    check_anonymous_file("draining", number)
}

/// Reads the list of descriptors from its file, because it was too long for a variable.
fn read_list_file(number: RawFd) -> Result<(Unowned, Vec<u8>), InheritError> {
    let file = check_anonymous_file("list", number)?;
    let (mut text, mut part) = (Vec::new(), [0; 65_536]);
    loop {
        // The other process reads through the same open file description, so neither may move the position.
        match pread(&file, &mut part, text.len() as libc::off_t) {
            Ok(0) => return Ok((file, text)),
            Ok(length) => text.extend_from_slice(&part[..length]),
            Err(Errno::EINTR) => {}
            Err(error) => {
                return Err(InheritError::system(CHANNEL, &format!("list={number}"), &error.into()));
            }
        }
    }
}

fn check_anonymous_file(key: &str, number: RawFd) -> Result<Unowned, InheritError> {
    let error = |reason: String| InheritError::new(CHANNEL, format!("{key}={number}: {reason}"));
    let file = Unowned::probe(number).map_err(|why| error(format!("the descriptor {why}")))?;
    let stat = fstat(&file).map_err(|errno| error(errno.to_string()))?;
    // A file without a link cannot have been opened by a path.
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG && stat.st_nlink == 0 {
        true => Ok(file),
        false => Err(error("expected an anonymous file".into())),
    }
}

/// The Go package reports the address to which its socket was bound at first. For TCP, the socket knows the current
/// address. A Unix path may have been renamed since, so the label counts.
fn adopt_from_go(listener: &NamedDescriptor, descriptor: Unowned) -> Result<Inherited, InheritError> {
    check::check(FD, listener, descriptor.as_fd())?;
    let address = match &listener.address {
        Address::Tcp(_) => Address::of(descriptor.as_fd())
            .map_err(|error| InheritError::system(FD, "the listener", &error))?,
        from_label => from_label.clone(),
    };
    let adopted = InheritedDescriptor { name: listener.name.clone(), address, fd: descriptor.adopt() };
    Ok(Inherited::new(vec![adopted], true))
}

fn probe(
    variable: &'static str,
    NamedDescriptor { fd, name, .. }: &NamedDescriptor,
) -> Result<Unowned, InheritError> {
    Unowned::probe(*fd)
        .map_err(|why| InheritError::new(variable, format!("descriptor {fd} (`{name}`) {why}")))
}

#[cfg(test)]
mod tests;
