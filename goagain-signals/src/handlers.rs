//! The signal handlers: each writes one record, the signal and its sender, into a pipe that the loop reads.
//!
//! Promise: what runs in a handler is async-signal-safe (signal-safety(7)): atomics, `write`, `send` and, for the default
//! action, signal-hook's `emulate_default_handler`. A full pipe loses no signal: a bit for each signal is set then, and only
//! the sender is lost.
//!
//! The handlers are installed once in a process and are never removed; a mode says what they do. The default action is
//! emulated, so handlers that others have installed through signal-hook stay in place.
#![allow(unsafe_code)]

use crate::{Signal, SignalAction, Signals};
use nix::fcntl::OFlag;
use signal_hook::low_level::emulate_default_handler;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, Ordering};

/// Signals have their default actions.
const DEFAULT: u8 = 0;
/// Before ready: a stop ends the process at once, as the loop does not run yet; other signals wait in the pipe.
const EARLY: u8 = 1;
/// The loop runs, and reads all signals.
const QUEUE: u8 = 2;

static MODE: AtomicU8 = AtomicU8::new(DEFAULT);
static PIPE: AtomicI32 = AtomicI32::new(-1);
static OVERFLOW: AtomicU32 = AtomicU32::new(0);
/// The channel on which a stop before ready sends LEAVING, in a process that was exec'd in place.
static LEAVING: AtomicI32 = AtomicI32::new(-1);

const RECORD: usize = 8;

/// A signal that was received, and the process that sent it, if a process did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) signal: Signal,
    pub(crate) sender: Option<i32>,
}

/// The installed handlers. For a loop without handlers, a pipe that nobody writes to.
#[derive(Debug)]
pub(crate) struct Handlers {
    pipe: OwnedFd,
    /// Without handlers: kept open so that the pipe does not end.
    write: Option<OwnedFd>,
    /// What the image before the exec had received and not read.
    before: Vec<Arrived>,
}

impl Handlers {
    /// Makes the pipe, and installs no handler.
    pub(crate) fn none() -> io::Result<Handlers> {
        let (pipe, write) = pipe()?;
        Ok(Handlers { pipe, write: Some(write), before: Vec::new() })
    }

    /// Installs the handlers and unblocks their signals (`sigaction`, `pthread_sigmask`).
    ///
    /// `inherited` is the pipe of the image that this process ran before its exec. `leaving` is the channel on which a stop
    /// before ready sends LEAVING.
    pub(crate) fn install(
        signals: &Signals,
        inherited: Option<OwnedFd>,
        leaving: Option<RawFd>,
    ) -> io::Result<Handlers> {
        let (pipe, write) = pipe()?;
        // The write end is never closed: a handler may use its number at any time.
        PIPE.store(write.into_raw_fd(), Ordering::SeqCst);
        LEAVING.store(leaving.unwrap_or(-1), Ordering::SeqCst);
        MODE.store(EARLY, Ordering::SeqCst);
        for signal in Signal::ALL {
            if let Some(action) = signals.meaning(signal) {
                let early = early_signal(signal, action);
                let number = signal.number();
                let handler = move |info: &libc::siginfo_t| handle(number, early, sender(info));
                // SAFETY: `handle` does only what the head of this file promises.
                unsafe { signal_hook_registry::register_sigaction(number, handler) }?;
            }
        }
        #[cfg(any(not(target_os = "linux"), goagain_portable))]
        // SAFETY: as above. There is no pidfd: the death of a child is known by SIGCHLD.
        unsafe { signal_hook_registry::register_sigaction(libc::SIGCHLD, |_| record(libc::SIGCHLD, 0)) }?;
        let mut handlers = Handlers { pipe, write: None, before: Vec::new() };
        let before = inherited.map_or(Ok(Vec::new()), |pipe| read_all(pipe.as_fd()))?;
        goagain_env::unblock()?;
        for arrived in before {
            match signals.meaning(arrived.signal).and_then(|action| early_signal(arrived.signal, action)) {
                // A stop that was sent to the image before the exec has its effect now.
                Some(early) => handle(arrived.signal.number(), Some(early), 0),
                None => handlers.before.push(arrived),
            }
        }
        Ok(handlers)
    }

    /// Switches to the mode in which the loop reads every signal.
    pub(crate) fn queue(&self) {
        if self.write.is_none() {
            MODE.store(QUEUE, Ordering::SeqCst);
            LEAVING.store(-1, Ordering::SeqCst);
        }
    }

    /// Returns the signals that were received.
    pub(crate) fn read(&mut self) -> Vec<Arrived> {
        let mut arrived = std::mem::take(&mut self.before);
        // Reading a pipe of this process fails only when it is empty.
        arrived.extend(read_all(self.pipe.as_fd()).unwrap_or_default());
        let overflow = OVERFLOW.swap(0, Ordering::SeqCst);
        if self.write.is_none() {
            let lost = Signal::ALL.into_iter().filter(|signal| overflow & (1 << signal.number()) != 0);
            arrived.extend(lost.map(|signal| Arrived { signal, sender: None }));
        }
        arrived
    }
}

impl AsFd for Handlers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl Drop for Handlers {
    fn drop(&mut self) {
        if self.write.is_none() {
            MODE.store(DEFAULT, Ordering::SeqCst);
        }
    }
}

/// Returns the signal whose default action a stop before ready has. SIGQUIT's own would dump core.
fn early_signal(signal: Signal, action: SignalAction) -> Option<i32> {
    match action {
        SignalAction::StopNow => Some(signal.number()),
        SignalAction::StopGracefully => Some(libc::SIGTERM),
        SignalAction::Reload | SignalAction::Reopen | SignalAction::Restart => None,
    }
}

/// Runs in the handler.
fn handle(number: i32, early: Option<i32>, sender: i32) {
    match (MODE.load(Ordering::SeqCst), early) {
        (DEFAULT, _) => drop(emulate_default_handler(number)),
        (EARLY, Some(signal)) => {
            let channel = LEAVING.load(Ordering::SeqCst);
            if channel >= 0 {
                let word = goagain_env::Message::LEAVING;
                // SAFETY: `word` is valid for its length. A number that is no longer open is only an error.
                unsafe {
                    libc::send(
                        channel,
                        word.as_ptr().cast(),
                        word.len(),
                        libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
                    )
                };
            }
            drop(emulate_default_handler(signal));
        }
        _ => record(number, sender),
    }
}

/// Runs in the handler.
fn record(number: i32, sender: i32) {
    if !write(number, sender) {
        OVERFLOW.fetch_or(1 << number, Ordering::SeqCst);
        // Just before this, the loop may have emptied the pipe and read the bits. So it is woken again, by a record of no
        // signal. If the pipe has no room for that, the loop has not read the bits yet.
        write(0, 0);
    }
}

/// Runs in the handler.
fn write(number: i32, sender: i32) -> bool {
    let mut record = [0; RECORD];
    record[..4].copy_from_slice(&number.to_ne_bytes());
    record[4..].copy_from_slice(&sender.to_ne_bytes());
    // SAFETY: the record is valid for its length. A write of up to PIPE_BUF bytes is atomic (pipe(7)).
    let written = unsafe { libc::write(PIPE.load(Ordering::SeqCst), record.as_ptr().cast(), RECORD) };
    written == RECORD as isize
}

/// Returns the process that sent a signal by `kill`, `sigqueue` or `tgkill`; 0 if the kernel sent it.
fn sender(info: &libc::siginfo_t) -> i32 {
    // SAFETY: codes of 0 and below are of signals that a process sent. For these, si_pid is the member of the union that is
    // set (sigaction(2)).
    if info.si_code <= 0 { unsafe { info.si_pid() } } else { 0 }
}

fn read_all(pipe: BorrowedFd<'_>) -> io::Result<Vec<Arrived>> {
    let mut arrived = Vec::new();
    let mut buffer = [0; RECORD * 64];
    loop {
        match nix::unistd::read(pipe, &mut buffer) {
            Ok(0) | Err(nix::Error::EAGAIN) => return Ok(arrived),
            Ok(read) => arrived.extend(buffer[..read].chunks_exact(RECORD).filter_map(parse)),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn parse(record: &[u8]) -> Option<Arrived> {
    let number = i32::from_ne_bytes(record[..4].try_into().ok()?);
    let sender = i32::from_ne_bytes(record[4..].try_into().ok()?);
    Some(Arrived { signal: Signal::from_number(number)?, sender: (sender > 0).then_some(sender) })
}

/// Makes a pipe whose ends are non-blocking and close-on-exec.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    cfg_if::cfg_if! {
        if #[cfg(any(target_os = "macos", target_os = "ios"))] {
            use nix::fcntl::{FcntlArg, FdFlag, fcntl};
            let (read, write) = nix::unistd::pipe()?;
            for end in [&read, &write] {
                fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
                fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            }
            Ok((read, write))
        } else {
            Ok(nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?)
        }
    }
}

/// The number of the pipe, for the image that this process execs.
impl AsRawFd for Handlers {
    fn as_raw_fd(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }
}

#[cfg(test)]
mod tests;
