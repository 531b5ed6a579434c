//! Closing a connection so that its last answer arrives.

use goagain_env::unsent;
use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};
#[cfg(feature = "tokio")]
use {
    ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf},
    ::tokio::time::{Sleep, sleep_until},
    std::io,
    std::mem::MaybeUninit,
    std::pin::Pin,
    std::task::{Context, Poll, ready},
};

/// How long a connection lingers without a sign of life from its client.
pub(crate) const QUIET: Duration = Duration::from_secs(2);
/// How long a client that goes on sending can make it linger.
const LONGEST: Duration = Duration::from_secs(30);
/// How much a client can send meanwhile.
const MOST: u64 = 64 << 20;
/// How many reads one [`Linger::step`] makes at most, so that other connections of its thread get their turn.
const READS: usize = 64;

/// A connection that lingers: the server has written its last answer, and the client has not closed yet.
///
/// A server that closes a connection while its client still sends makes the kernel answer with a reset, and throw away what
/// of the last answer the client has not acknowledged (RFC 9112, section 9.6). So the side that closes first
/// shuts down its writing side (`shutdown(SHUT_WR)`), and reads and drops what comes. It closes when the client has closed, or
/// 2 seconds after the last sign of life: a byte from the client, or an acknowledged byte of the answer (Linux).
/// A client that goes on sending ends it after 30 seconds or 64 MiB.
///
/// [`Stream::close`](crate::Stream::close) does all this for servers with threads, `goagain::tokio::Stream::close` for tasks.
/// This type is for loops that poll:
///
/// ```no_run
/// # use goagain::{Guard, Stream};
/// # use goagain::drain::Linger;
/// # fn doc(stream: Stream, guard: Guard) {
/// let mut linger = Linger::begin(&stream);
/// // Again whenever `stream` is readable, and at the moment that the last call returned.
/// match linger.step(&stream) {
///     Some(_moment) => {}
///     None => drop((stream, guard)),
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Linger(Patience);

impl Linger {
    /// Shuts down the writing side of a connection (`shutdown(SHUT_WR)`). Everything is to be written before.
    pub fn begin(stream: impl AsFd) -> Linger {
        let stream = stream.as_fd();
        // It fails where the connection has ended, which the next read tells.
        let _ = shutdown(stream.as_raw_fd(), Shutdown::Write);
        Linger(Patience::new(Instant::now(), bytes_unsent(stream)))
    }

    /// Reads and drops what has come (`recv` with MSG_DONTWAIT). Returns when to call again at the latest, or `None` when the
    /// connection can be dropped.
    pub fn step(&mut self, stream: impl AsFd) -> Option<Instant> {
        let stream = stream.as_fd();
        let mut dropped = [0; 16 * 1024];
        for _ in 0..READS {
            match recv(stream.as_raw_fd(), &mut dropped, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return None,
                Ok(read) => self.0.read(read, Instant::now())?,
                Err(nix::Error::EAGAIN) => return self.0.until(bytes_unsent(stream), Instant::now()),
                Err(nix::Error::EINTR) => {}
                Err(_) => return None,
            }
        }
        Some(Instant::now())
    }
}

/// How much of what was written is still on its way; 0 where the system does not tell.
pub(crate) fn bytes_unsent(stream: BorrowedFd<'_>) -> usize {
    unsent(stream).unwrap_or(0)
}

/// [`Linger`] for a connection of a runtime, over anything: where that is not a socket its unsent bytes may not be known.
#[cfg(feature = "tokio")]
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    patience: Option<Patience>,
    timer: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

#[cfg(feature = "tokio")]
impl Lingering {
    /// Is done when the connection can be dropped.
    pub(crate) fn poll<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut I,
        unsent: impl Fn(&I) -> usize,
    ) -> Poll<io::Result<()>> {
        if self.is_over {
            return Poll::Ready(Ok(()));
        }
        if self.patience.is_none() {
            ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
        }
        let patience = self.patience.get_or_insert_with(|| Patience::new(Instant::now(), unsent(io)));
        let mut reads = 0;
        loop {
            let mut dropped = [MaybeUninit::uninit(); 16 * 1024];
            let mut dropped = ReadBuf::uninit(&mut dropped);
            match Pin::new(&mut *io).poll_read(cx, &mut dropped) {
                Poll::Ready(Ok(())) if !dropped.filled().is_empty() => {
                    if patience.read(dropped.filled().len(), Instant::now()).is_none() {
                        break;
                    }
                    reads += 1;
                    if reads == READS {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                // Its end, or an error, which is one too.
                Poll::Ready(_) => break,
                Poll::Pending => {
                    let Some(moment) = patience.until(unsent(io), Instant::now()) else { break };
                    let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(moment.into())));
                    timer.as_mut().reset(moment.into());
                    ready!(timer.as_mut().poll(cx));
                }
            }
        }
        self.is_over = true;
        Poll::Ready(Ok(()))
    }
}

/// How long a connection lingers still.
#[derive(Debug)]
pub(crate) struct Patience {
    began: Instant,
    /// The last sign of life.
    alive: Instant,
    read: u64,
    unsent: usize,
}

impl Patience {
    pub(crate) fn new(now: Instant, unsent: usize) -> Patience {
        Patience { began: now, alive: now, read: 0, unsent }
    }

    /// The client has sent so many bytes more. Returns `None` when that is enough.
    pub(crate) fn read(&mut self, bytes: usize, now: Instant) -> Option<()> {
        self.read += bytes as u64;
        self.alive = now.min(self.began + LONGEST).max(self.alive);
        (self.read <= MOST).then_some(())
    }

    /// Returns when to look again at the latest, or `None` when it is over.
    pub(crate) fn until(&mut self, unsent: usize, now: Instant) -> Option<Instant> {
        if unsent < self.unsent {
            self.alive = now;
        }
        self.unsent = unsent;
        let end = self.alive + QUIET;
        (now < end).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_sign_of_life_gives_the_client_two_seconds() {
        let began = Instant::now();
        let mut patience = Patience::new(began, 100);
        assert_eq!(patience.until(100, began), Some(began + 2 * SECOND));
        patience.read(1, began + SECOND).unwrap();
        assert_eq!(patience.until(100, began + SECOND), Some(began + 3 * SECOND));
        assert_eq!(patience.until(40, began + 3 * SECOND), Some(began + 5 * SECOND), "it reads its answer");
        assert_eq!(patience.until(40, began + 5 * SECOND), None);
    }

    #[test]
    fn a_client_that_goes_on_sending_does_not_hold_it_for_ever() {
        let began = Instant::now();
        let mut patience = Patience::new(began, 0);
        for second in 0..60 {
            patience.read(1, began + second * SECOND).unwrap();
        }
        assert_eq!(patience.until(0, began + 32 * SECOND), None);
        assert_eq!(Patience::new(began, 0).read(65 << 20, began), None);
    }

    #[test]
    fn a_slow_client_gets_the_end_of_its_answer_however_long_it_takes() {
        let began = Instant::now();
        let mut patience = Patience::new(began, 100);
        for second in 1..100 {
            let now = began + second * SECOND;
            assert_eq!(patience.until(100 - second as usize, now), Some(now + 2 * SECOND));
        }
    }
}
