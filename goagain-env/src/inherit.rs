//! Whether a handoff is meant for this process, and if so, what it brings.

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
use crate::{Address, Channel, Described, Draining, GoSignal, Handoff, Link, Pid, Process, Relation, sys};

/// A seed has no generations: one that hands over counts as the first.
const AFTER_A_SEED: u64 = 2;

/// Between the look at a number and its adoption no other call may adopt it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Owns a descriptor that this process was started with, by its number, if `check` has nothing against it. It is made
/// close-on-exec (`fcntl(F_SETFD)`).
///
/// A number that is close-on-exec already belongs to this process, and is not taken from it.
///
/// # Errors
/// [`AdoptError`]: then the descriptor is as it was.
pub fn adopt<T, E>(
    number: RawFd,
    check: impl FnOnce(BorrowedFd<'_>) -> Result<T, E>,
) -> Result<(OwnedFd, T), AdoptError<E>> {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let descriptor = Unowned::probe(number).map_err(|why| AdoptError::NotInherited(why.to_string()))?;
    let checked = check(descriptor.as_fd()).map_err(AdoptError::Refused)?;
    Ok((descriptor.adopt(), checked))
}

/// Asks the system whether a handoff is meant for this process, and takes it over.
///
/// Nothing in the environment is believed. With a channel: its descriptor is open, came across exec, is a socket of the
/// channel's kind, and SO_PEERCRED says that GOAGAIN_PPID made it (where the system says). GOAGAIN_PID empty: we were spawned,
/// and our parent is the predecessor if it is that process. GOAGAIN_PID a number: we were exec'd in place, GOAGAIN_PPID is this
/// process, and that number its child. Where the channel is not ours, the seed's five variables are asked, for a seed
/// passes on what it does not know: there the parent, or the child, must be verified, or else it is not ours. A seed with
/// pid 1 is not believed in: to be an orphan's parent is no proof.
///
/// Then each descriptor is looked at: a socket, of the type, family and port that it should have, listening if it is of a
/// stream. Only when all are as they should be are they owned, and made close-on-exec. A number that is close-on-exec
/// already belongs to this process, and is not taken from it: so nothing can be inherited twice.
///
/// # Errors
/// It is meant for us, but a descriptor is not what it should be, or the system fails (EMFILE, a Linux without pidfds). Then
/// no descriptor is owned, and all are as they were.
pub fn inherit(mut handoff: Handoff) -> Result<Inherit, InheritError> {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);

    let mut warnings = Vec::new();
    if let Some(link) = &handoff.channel {
        match peer(&handoff, link)? {
            Ok(peer) => {
                let (link, list) = (link.clone(), link.list.map(list).transpose()?);
                if let Some((_, text)) = &list {
                    let read = handoff.read_list(OsStr::from_bytes(text));
                    read.map_err(|error| InheritError::new(error.variable(), error.reason()))?;
                }
                let inheritance = adopt_from_peer(&handoff.descriptors, &link, peer)?;
                // It has been read, and is closed.
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
        None => NotOurs::new(FD, "there is no listener of a Go process"),
        Some(listener) => match go(&handoff, listener)? {
            Ok((process, descriptor)) => {
                let descriptors = adopt_from_go(listener, descriptor)?;
                return Ok(Inherit::Ours(Inheritance {
                    descriptors,
                    predecessor: Predecessor::Seed { process, signal: handoff.signal },
                    generation: AFTER_A_SEED,
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
    // The channel says more than the five that any process down the line may see.
    Ok(Inherit::NotOurs(warnings.pop().unwrap_or(not_ours)))
}

/// The channel and who is behind it, if they are what they say.
fn peer(handoff: &Handoff, link: &Link) -> Result<Result<Peer, NotOurs>, InheritError> {
    let channel = match Unowned::probe(link.fd) {
        Ok(channel) => channel,
        Err(why) => return Ok(Err(NotOurs::descriptor(CHANNEL, link.fd, &why))),
    };
    let not_ours = |variable, reason: String| Ok(Err(NotOurs::new(variable, reason)));
    let network = crate::address::socket(channel.as_fd()).ok().flatten().map(|(network, _)| network);
    if network != Some(sys::CHANNEL_NETWORK) || getsockopt(&channel, sockopt::AcceptConn) != Ok(false) {
        return not_ours(CHANNEL, format!("descriptor {} is no channel, so it is not ours", link.fd));
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
        None if predecessor == own => return not_ours(PPID, itself_without_successor()),
        None => (Relation::Parent, parent(predecessor)?),
        Some(_) if predecessor != own => return not_ours(PPID, not_itself(predecessor)),
        Some(successor) => (Relation::Child, child(PID, successor)?),
    };
    Ok(Ok(Peer { channel, relation, process, signal: handoff.signal }))
}

/// The listener of a seed and who hands it over, if they are what they say.
fn go(handoff: &Handoff, listener: &Described) -> Result<Result<(Process, Unowned), NotOurs>, InheritError> {
    let descriptor = match Unowned::probe(listener.fd) {
        Ok(descriptor) => descriptor,
        Err(why) => return Ok(Err(NotOurs::descriptor(FD, listener.fd, &why))),
    };
    let predecessor = handoff.predecessor;
    let (process, variable, reason) = match handoff.successor {
        None if predecessor.is_init() => {
            (None, PPID, "init is every orphan's parent, so it proves nothing".to_owned())
        }
        None => (parent(predecessor)?, PPID, format!("process {predecessor} is not our parent")),
        Some(_) if predecessor != Pid::current() => (None, PPID, not_itself(predecessor)),
        Some(successor) => (child(PID, successor)?, PID, format!("process {successor} is not our child")),
    };
    Ok(process.map(|process| (process, descriptor)).ok_or_else(|| NotOurs::new(variable, reason)))
}

fn itself_without_successor() -> String {
    "it is this process itself, and GOAGAIN_PID is empty".to_owned()
}

fn not_itself(predecessor: Pid) -> String {
    format!("GOAGAIN_PID is set, so it should be this process ({}), found {predecessor}", Pid::current())
}

/// Our parent, if it is this process; `None` if another is.
fn parent(pid: Pid) -> Result<Option<Process>, InheritError> {
    if getppid().as_raw() != pid.as_raw() {
        return Ok(None);
    }
    match Process::parent(pid) {
        Ok(process) => Ok(Some(process)),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(InheritError::system(PPID, &format!("process {pid}"), &error)),
    }
}

/// That child of ours; `None` if it is none, or reaped.
fn child(variable: &'static str, pid: Pid) -> Result<Option<Process>, InheritError> {
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

/// Everything is looked at first; below `Predecessor` nothing fails any more.
fn adopt_from_peer(descriptors: &[Described], link: &Link, peer: Peer) -> Result<Inheritance, InheritError> {
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
    let draining = link.draining.map(draining).transpose()?;
    let leaving: Vec<_> = link.leaving.iter().map(|pid| child(CHANNEL, *pid)).collect::<Result<_, _>>()?;
    // A seed that is gone has no channel whose end would tell, and its end may have leaked: one that has ended stands in.
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
        (true, Some(process)) => Predecessor::Seed { process, signal },
        (_, process) => Predecessor::Peer { channel: ended.unwrap_or(channel), process, relation },
    };
    let adopted = checked.into_iter().map(|(Described { name, address, .. }, descriptor)| {
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

/// The file of locks is one: a lock on anything else would be somebody else's.
fn draining(number: RawFd) -> Result<Unowned, InheritError> {
    nameless("draining", number)
}

/// The list of descriptors that is too long for a variable, and the file that it is in.
fn list(number: RawFd) -> Result<(Unowned, Vec<u8>), InheritError> {
    let file = nameless("list", number)?;
    let (mut text, mut part) = (Vec::new(), [0; 65_536]);
    loop {
        // The other side reads by the same open file, so its position is nobody's.
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

fn nameless(key: &str, number: RawFd) -> Result<Unowned, InheritError> {
    let named = |reason: String| InheritError::new(CHANNEL, format!("{key}={number}: {reason}"));
    let file = Unowned::probe(number).map_err(|why| named(format!("the descriptor {why}")))?;
    let stat = fstat(&file).map_err(|error| named(error.to_string()))?;
    // Nobody can have opened it by a name.
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG && stat.st_nlink == 0 {
        true => Ok(file),
        false => Err(named("expected a file without a name".into())),
    }
}

/// A seed says where its socket was bound once; the socket knows where it is. But a path may have been renamed since.
fn adopt_from_go(listener: &Described, descriptor: Unowned) -> Result<Inherited, InheritError> {
    check::check(FD, listener, descriptor.as_fd())?;
    let address = match &listener.address {
        Address::Tcp(_) => Address::of(descriptor.as_fd())
            .map_err(|error| InheritError::system(FD, "the listener", &error))?,
        as_labelled => as_labelled.clone(),
    };
    let adopted = InheritedDescriptor { name: listener.name.clone(), address, fd: descriptor.adopt() };
    Ok(Inherited::new(vec![adopted], true))
}

fn probe(variable: &'static str, Described { fd, name, .. }: &Described) -> Result<Unowned, InheritError> {
    Unowned::probe(*fd)
        .map_err(|why| InheritError::new(variable, format!("descriptor {fd} (`{name}`) {why}")))
}

#[cfg(test)]
mod tests;
