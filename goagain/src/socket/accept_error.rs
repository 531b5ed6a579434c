//! What to do after `accept` has failed.

use std::io;
use std::time::Duration;

/// Whether the process or the system is out of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM).
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let shortages = [nix::Error::EMFILE, nix::Error::ENFILE, nix::Error::ENOBUFS, nix::Error::ENOMEM];
    error.raw_os_error().is_some_and(|code| shortages.contains(&nix::Error::from_raw(code)))
}

/// Whether the error belongs to one connection, and accepting the next one may succeed (accept(2)).
pub(crate) fn is_connection_error(error: &io::Error) -> bool {
    let connection_errors = [
        nix::Error::EINTR,
        nix::Error::ECONNABORTED,
        nix::Error::EPROTO,
        nix::Error::EPERM,
        nix::Error::ENETDOWN,
        nix::Error::ENETUNREACH,
        nix::Error::EHOSTDOWN,
        nix::Error::EHOSTUNREACH,
        nix::Error::ENOPROTOOPT,
        nix::Error::ETIMEDOUT,
    ];
    error.raw_os_error().is_some_and(|code| connection_errors.contains(&nix::Error::from_raw(code)))
}

/// How long to wait after a shortage: from 10 milliseconds, doubled each time, to one second. Nothing tells when there are
/// descriptors or memory again.
#[derive(Debug, Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    pub(crate) fn next(&mut self) -> Duration {
        let wait = Duration::from_millis(10 << self.0).min(Duration::from_secs(1));
        self.0 = (self.0 + 1).min(7);
        wait
    }
}
