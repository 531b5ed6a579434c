//! Spawn and exec: what they change in this process, and how it is undone.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{self, Signal};
use nix::sys::wait::waitpid;
use nix::unistd;

use super::{Launch, LaunchError, Launched, Strings};
use crate::directory::{self, Entered};
use crate::sys::raw::SigPipe;
use crate::sys::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use crate::{ImageFile, Pid, Process, mask, sys};

pub(super) fn spawn(launch: Launch<'_>) -> Result<Launched, LaunchError> {
    let list = launch.list()?;
    let strings = launch.strings(list.as_ref())?;
    launch.check_directory()?;
    let descriptors = launch.descriptors.iter().copied().chain(list.as_ref().map(AsFd::as_fd));
    // Before the start: a deployment at this moment counts as a later one, and is not missed.
    let file = ImageFile::at(&launch.image).ok();
    match spawn_and_hold(&strings, descriptors) {
        Ok(process) => Ok(Launched { process, file }),
        Err(source) => Err(LaunchError::Spawn { image: launch.image, source }),
    }
}

fn spawn_and_hold<'fd>(
    strings: &Strings,
    descriptors: impl Iterator<Item = BorrowedFd<'fd>>,
) -> io::Result<Process> {
    #[cfg(goagain_faults)]
    crate::fault::hit("posix_spawn")?;
    let mut actions = PosixSpawnFileActions::init()?;
    // On systems that need it, a spare descriptor, which stays open until the child is started.
    let _spare = sys::pass_on(&mut actions, descriptors)?;
    // On systems that cannot change the directory of the child alone, this process is in that directory meanwhile.
    let _there = strings.directory.as_deref().map(|there| sys::start_in(&mut actions, there)).transpose()?;
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
    attributes.set_sigmask(&mask::for_spawn()?)?;
    attributes.set_sigdefault(&mask::set([Signal::SIGPIPE]))?;
    let child =
        posix_spawn(strings.image.as_c_str(), &actions, &attributes, &strings.argv, &strings.environment)?;
    hold(child)
}

/// Opens the child. A child that cannot be opened must not keep running.
fn hold(child: unistd::Pid) -> io::Result<Process> {
    let held = Pid::new(child.as_raw())
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ECHILD))
        .and_then(Process::child);
    if held.is_err() {
        // The child is not reaped yet, so its pid cannot belong to another process. SIGKILL ends it at once.
        let _ = signal::kill(child, Signal::SIGKILL);
        let _ = waitpid(child, None);
    }
    held
}

pub(super) fn exec(launch: Launch<'_>) -> LaunchError {
    let prepared = launch.list().and_then(|list| {
        let strings = launch.strings(list.as_ref())?;
        launch.check_directory().map(|()| (list, strings))
    });
    let (list, strings) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return error,
    };
    let descriptors = launch.descriptors.iter().copied().chain(list.as_ref().map(AsFd::as_fd));
    let Err(source) = become_image(&strings, descriptors);
    LaunchError::Exec { image: launch.image, source }
}

/// Undoes its changes in reverse order on drop.
fn become_image<'fd>(
    strings: &Strings,
    descriptors: impl Iterator<Item = BorrowedFd<'fd>>,
) -> io::Result<std::convert::Infallible> {
    let _mask = mask::block_control()?;
    let mut undo = Undo::default();
    for descriptor in descriptors {
        undo.inheritable(descriptor)?;
    }
    // Last, because these two affect other threads too.
    undo.directory = strings.directory.as_deref().map(Entered::new).transpose()?;
    undo.sigpipe = Some(SigPipe::set_default()?);
    #[cfg(goagain_faults)]
    crate::fault::hit("execve")?;
    Ok(unistd::execve(&strings.image, &strings.argv, &strings.environment)?)
}

#[derive(Default)]
struct Undo<'fd> {
    flags: Vec<(BorrowedFd<'fd>, FdFlag)>,
    sigpipe: Option<SigPipe>,
    directory: Option<Entered>,
}

impl<'fd> Undo<'fd> {
    fn inheritable(&mut self, descriptor: BorrowedFd<'fd>) -> io::Result<()> {
        let flags = FdFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFD)?);
        fcntl(descriptor, FcntlArg::F_SETFD(flags - FdFlag::FD_CLOEXEC))?;
        self.flags.push((descriptor, flags));
        Ok(())
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(before) = &self.sigpipe {
            before.restore();
        }
        for (descriptor, flags) in &self.flags {
            // The descriptor is borrowed, so it is open, and F_SETFD fails for no other reason.
            let _ = fcntl(descriptor, FcntlArg::F_SETFD(*flags));
        }
    }
}

impl Launch<'_> {
    /// `posix_spawn` and `execve` report ENOENT for the directory as they do for the image, so it is checked first.
    fn check_directory(&self) -> Result<(), LaunchError> {
        let Some(path) = &self.directory else { return Ok(()) };
        directory::check_enterable(path)
            .map_err(|source| LaunchError::Directory { directory: path.clone(), source })
    }

    /// A descriptor that is in the handoff but not passed would be an error in the new image. One that is passed but
    /// not in the handoff would leak there.
    pub(super) fn check_descriptors(&self) -> Result<(), LaunchError> {
        let named: BTreeSet<_> = self.handoff.numbers().collect();
        let handed_over: BTreeSet<_> = self.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        if named == handed_over {
            return Ok(());
        }
        let reason = format!("expected the descriptors of the handoff, {named:?}, found {handed_over:?}");
        Err(LaunchError::Descriptors(reason))
    }
}
