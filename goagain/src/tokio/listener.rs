//! Listeners for tokio.

use super::Acceptor;
use super::acceptor::Listening;
use crate::socket::Listener;
use ::tokio::net::{TcpListener, UnixListener};
use ::tokio::runtime::Handle;
use goagain_env::Address;
use goagain_env::Watched;
use std::io;

/// For a tokio runtime.
impl Listener {
    /// Returns an acceptor for the current term, for tokio. Between two terms, it returns an acceptor that has ended. It also
    /// yields connections that the predecessor [migrated](crate::migrate).
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] before [`ready`](crate::Goagain::ready) has returned: this process must not accept
    ///   yet.
    /// - [`io::ErrorKind::NotConnected`] after the library has closed the listener: this process will not accept again.
    /// - The caller is not in a tokio runtime.
    /// - The errors of `fcntl(F_DUPFD_CLOEXEC)` and `epoll_ctl`.
    pub fn to_tokio(&self) -> io::Result<Acceptor> {
        let (ended, rest) = (self.end()?, self.acceptor()?);
        // After the term a closed listener is no error: the acceptor has ended anyway.
        let listener = match (ended.is_requested(), &self.address) {
            (true, _) => None,
            (false, Address::Unix(_)) => Some(Listening::Unix(self.to_tokio_unix()?)),
            (false, _) => Some(Listening::Tcp(self.to_tokio_tcp()?)),
        };
        let incoming = match self.incoming_migrations() {
            Some(incoming) if listener.is_some() => Some(Watched::new(incoming)?),
            _ => None,
        };
        let migrator = self.migrations.is_some().then(|| self.migrator());
        Ok(Acceptor::new(listener, ended, rest, incoming, migrator, self.connections.clone()))
    }

    /// Returns a duplicate for tokio (`fcntl(F_DUPFD_CLOEXEC)`). It is non-blocking. As with [`Listener::to_std_tcp`], the
    /// library can neither stop nor track what is accepted on it.
    ///
    /// # Errors
    /// The errors of [`Listener::to_std_tcp`] and of `epoll_ctl`, and an error if the caller is not in a tokio runtime.
    pub fn to_tokio_tcp(&self) -> io::Result<TcpListener> {
        in_a_runtime()?;
        TcpListener::from_std(self.to_std_tcp()?)
    }

    /// Returns a duplicate for tokio like [`Listener::to_tokio_tcp`], of a Unix listener.
    ///
    /// # Errors
    /// The errors of [`Listener::to_std_unix`] and of `epoll_ctl`, and an error if the caller is not in a tokio runtime.
    pub fn to_tokio_unix(&self) -> io::Result<UnixListener> {
        in_a_runtime()?;
        UnixListener::from_std(self.to_std_unix()?)
    }
}

/// Returns an error where tokio would panic.
fn in_a_runtime() -> io::Result<()> {
    Handle::try_current().map(drop).map_err(io::Error::other)
}
