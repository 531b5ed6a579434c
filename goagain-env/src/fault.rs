//! Injects faults, for the drills. Compiled only with `--cfg goagain_faults`, which no feature enables.
//!
//! A server arms one fault at one point. The fault happens the first time that the point is reached. The points are the
//! steps of the protocol: system calls in this crate, and in the loop every input and output of the state machine.

use crate::Message;
use nix::poll::{PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use std::io;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// What happens at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `exit(1)`, without destructors.
    Exit,
    /// A panic, as if the application's code had panicked there.
    Panic,
    /// `abort`: SIGABRT, with a core dump if the system makes one.
    Abort,
    /// SIGKILL.
    Kill,
    /// SIGSTOP: a hang that no handler can notice.
    Stop,
    /// A delay of this many milliseconds.
    Slow(u16),
    /// The system call fails with this error number.
    Error(i32),
    /// The message is sent without its second half.
    Torn,
    /// A message with an unknown word is sent instead.
    Unknown,
    /// The message is sent with another version of the protocol.
    OtherVersion,
}

/// Parses the name of a fault, with a number if it has one: "kill", "slow=200", "error=12".
impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let (name, number) = text.split_once('=').unwrap_or((text, ""));
        let expected = || format!("expected a fault, found `{text}`");
        Ok(match name {
            "exit" => Fault::Exit,
            "panic" => Fault::Panic,
            "abort" => Fault::Abort,
            "kill" => Fault::Kill,
            "stop" => Fault::Stop,
            "slow" => Fault::Slow(number.parse().map_err(|_| expected())?),
            "error" => Fault::Error(number.parse().map_err(|_| expected())?),
            "torn" => Fault::Torn,
            "unknown" => Fault::Unknown,
            "version" => Fault::OtherVersion,
            _ => return Err(expected()),
        })
    }
}

static ARMED: Mutex<Option<(String, Fault)>> = Mutex::new(None);

type Announce = Box<dyn Fn(&str) + Send>;

static ANNOUNCE: Mutex<Option<Announce>> = Mutex::new(None);

/// Arms `fault` at `point`, for the next time that the point is reached. Replaces the fault that was armed before.
pub fn arm(point: impl Into<String>, fault: Fault) {
    *ARMED.lock().unwrap_or_else(PoisonError::into_inner) = Some((point.into(), fault));
}

/// Sets a function that gets the name of the point just before a fault happens there. The fault itself may leave no
/// other trace.
pub fn announce(announce: impl Fn(&str) + Send + 'static) {
    *ANNOUNCE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(announce));
}

fn take(point: &str, fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
    let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, fault) = armed.take_if(|(at, fault)| at == point && fits(fault))?;
    if let Some(announce) = &*ANNOUNCE.lock().unwrap_or_else(PoisonError::into_inner) {
        announce(point);
    }
    Some(fault)
}

/// Marks a point, and performs the fault that is armed there.
///
/// # Errors
/// The armed error, if the fault is a failing system call.
///
/// # Panics
/// If the fault is a panic.
pub fn hit(point: &str) -> io::Result<()> {
    match take(point, |fault| !matches!(fault, Fault::Torn | Fault::Unknown | Fault::OtherVersion)) {
        Some(Fault::Exit) => std::process::exit(1),
        Some(Fault::Panic) => panic!("a fault at {point}"),
        Some(Fault::Abort) => std::process::abort(),
        Some(Fault::Kill) => Ok(raise(Signal::SIGKILL)?),
        Some(Fault::Stop) => Ok(raise(Signal::SIGSTOP)?),
        Some(Fault::Slow(milliseconds)) => {
            // The step itself is slow, so it waits for time and not for an event.
            let _ = poll(&mut [], PollTimeout::from(milliseconds));
            Ok(())
        }
        Some(Fault::Error(number)) => Err(io::Error::from_raw_os_error(number)),
        _ => Ok(()),
    }
}

/// Returns the packet to send instead of `message`, if such a fault is armed.
pub(crate) fn packet(message: &Message) -> Option<Vec<u8>> {
    let whole = message.encode();
    let text = String::from_utf8_lossy(&whole).into_owned();
    let word = text.split(' ').nth(1).unwrap_or_default().trim_end();
    let fault = take(&format!("send {word}"), |fault| {
        matches!(fault, Fault::Torn | Fault::Unknown | Fault::OtherVersion)
    })?;
    Some(match fault {
        Fault::Torn => whole[..whole.len() / 2].to_vec(),
        Fault::OtherVersion => text.replacen("goagain/1", "goagain/2", 1).into_bytes(),
        _ => text.replacen(word, "NONSENSE", 1).into_bytes(),
    })
}
