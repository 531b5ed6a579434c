//! Serves HTTP with a thread for each connection, and drains: no accepted request is lost.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::http::{Reader, answer, read_request, write_response};
use crate::listener::Listener;

/// A thread that accepts, and one for each connection.
#[derive(Debug)]
pub(crate) struct Server {
    shared: Arc<Shared>,
    /// Dropped to stop the acceptor, and to make idle connections close.
    draining: UnixStream,
    closing: UnixStream,
    acceptor: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
struct Shared {
    identity: String,
    /// Becomes readable, by its end, once [`Server`] has dropped the other ends.
    draining: UnixStream,
    closing: UnixStream,
    open: Mutex<usize>,
    none_open: Condvar,
}

impl Server {
    /// Accepts on `listener` and answers with `identity`.
    pub(crate) fn start(listener: Listener, identity: String) -> io::Result<Server> {
        let (draining, draining_end) = UnixStream::pair()?;
        let (closing, closing_end) = UnixStream::pair()?;
        let shared = Arc::new(Shared {
            identity,
            draining: draining_end,
            closing: closing_end,
            open: Mutex::new(0),
            none_open: Condvar::new(),
        });
        let accepting = shared.clone();
        let acceptor = thread::spawn(move || accept(&listener, &accepting));
        Ok(Server { shared, draining, closing, acceptor })
    }

    /// Returns how many connections are open.
    pub(crate) fn open(&self) -> usize {
        *self.shared.open()
    }

    /// Stops accepting and waits for the connections to end: each answer closes its connection, and after `idle` those
    /// that wait for another request are closed. Stops waiting after `within`.
    pub(crate) fn drain(self, idle: Duration, within: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        drop(self.draining);
        self.acceptor.join().ok().context("the acceptor panicked")?.context("accept")?;
        self.shared.await_none_open(idle.min(within));
        drop(self.closing);
        self.shared.await_none_open(within.saturating_sub(start.elapsed()));
        Ok(())
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, usize> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn await_none_open(&self, within: Duration) {
        drop(self.none_open.wait_timeout_while(self.open(), within, |open| *open > 0));
    }

    /// Answers requests until the client ends the connection, or a drain does.
    fn converse(&self, stream: &File) -> io::Result<()> {
        let mut reader = Reader::new();
        loop {
            if !reader.has_buffered() && !await_either(stream, &self.closing)?.0 {
                return Ok(());
            }
            let Some(request) = read_request(&mut reader, &mut &*stream)? else { return Ok(()) };
            let response = answer(&request, &self.identity);
            let close = !request.keep_alive || self.is_draining()?;
            write_response(&mut &*stream, &response, close)?;
            if close {
                return Ok(());
            }
        }
    }

    fn is_draining(&self) -> io::Result<bool> {
        let mut ended = [PollFd::new(self.draining.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut ended, PollTimeout::ZERO)? > 0)
    }
}

/// One connection that is open while this exists.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Open {
        *shared.open() += 1;
        Open(shared.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        *self.0.open() -= 1;
        self.0.none_open.notify_all();
    }
}

fn accept(listener: &Listener, shared: &Arc<Shared>) -> io::Result<()> {
    // Connections that still wait for `accept(2)` then belong to the other process: both share the queue.
    while !await_either(listener, &shared.draining)?.1 {
        match listener.accept() {
            Ok(stream) => {
                let open = Open::new(shared);
                // A client that disconnects is not an error of the server.
                thread::spawn(move || open.0.converse(&stream));
            }
            // The other process was faster, or the client is gone.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits (`poll(2)`) until `source` can be read or `stop` has ended, and returns which.
fn await_either(source: impl AsFd, stop: &UnixStream) -> io::Result<(bool, bool)> {
    let [source, stop] = [source.as_fd(), stop.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let mut both = [source, stop];
    while let Err(error) = poll(&mut both, PollTimeout::NONE) {
        if error != Errno::EINTR {
            return Err(error.into());
        }
    }
    // Unknown flags are an event, too.
    let [source, stop] = both.map(|fd| fd.any().unwrap_or(true));
    Ok((source, stop))
}
