//! A connection that comes with bytes that were read from it before.

use crate::socket::Stream;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A migrated connection with bytes that the predecessor has read and not served. Reading yields these bytes first, and then
/// those of the socket.
#[derive(Debug)]
pub struct Migrated {
    /// Shared by all clones, so that each byte is read once.
    unread: Arc<Mutex<VecDeque<u8>>>,
    stream: Box<Stream>,
}

impl Migrated {
    pub(crate) fn new(stream: Stream, unread: Vec<u8>) -> Migrated {
        Migrated { unread: Arc::new(Mutex::new(unread.into())), stream: Box::new(stream) }
    }

    /// Returns the connection and the bytes that are still unread.
    pub fn into_parts(self) -> (Stream, Vec<u8>) {
        let unread = std::mem::take(&mut *self.unread());
        (*self.stream, unread.into())
    }

    fn unread(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_clone(&self) -> io::Result<Migrated> {
        Ok(Migrated { unread: Arc::clone(&self.unread), stream: Box::new(self.stream.try_clone()?) })
    }

    pub(crate) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        self.stream.set_nonblocking(on)
    }

    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    pub(crate) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.stream.shutdown(how)
    }
}

impl Read for &Migrated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.unread().read(buffer)?;
        // This may wait, and does not hold the lock.
        if read == 0 { (&*self.stream).read(buffer) } else { Ok(read) }
    }
}

impl Write for &Migrated {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self.stream).write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.stream).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Migrated {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl From<Migrated> for OwnedFd {
    fn from(migrated: Migrated) -> OwnedFd {
        (*migrated.stream).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_that_were_read_before_come_first_and_once() {
        let (client, server) = UnixStream::pair().unwrap();
        let migrated = Migrated::new(Stream::Unix(server), b"GET /".to_vec());
        let clone = migrated.try_clone().unwrap();
        (&client).write_all(b" HTTP").unwrap();
        let mut read = [0; 3];
        (&migrated).read_exact(&mut read).unwrap();
        let mut rest = [0; 7];
        (&clone).read_exact(&mut rest).unwrap();
        assert_eq!((&read, &rest), (b"GET", b" / HTTP"));
        assert!(migrated.into_parts().1.is_empty());
    }
}
