//! Closing a connection so that its last response arrives.

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
/// How many bytes a client can send meanwhile.
const MOST: u64 = 64 << 20;
/// The most reads that one [`Linger::step`] makes, so that other connections of the thread get their turn.
const READS: usize = 64;

/// A lingering connection: the server has written its last response, and the client has not closed its side yet.
///
/// If a server closes a connection while the client still sends, the kernel sends a reset and discards the part of the last
/// response that the client has not acknowledged (RFC 9112, section 9.6). So a server that closes first should shut down its
/// writing side (`shutdown(SHUT_WR)`), and read and discard what still comes. It closes the connection when the client has closed
/// its side, or 2 seconds after the last sign of life from the client: a byte that it sends, or, on Linux, a byte of the response
/// that it acknowledges. If the client goes on sending, the connection is closed after 30 seconds or 64 MiB.
///
/// [`Stream::close`](crate::Stream::close) does all this for servers with threads, and `goagain::tokio::Stream::close` for tasks.
/// This type is for event loops:
///
/// ```no_run
/// # use goagain::{Guard, Stream};
/// # use goagain::drain::Linger;
/// # fn doc(stream: Stream, guard: Guard) {
/// let mut linger = Linger::begin(&stream);
/// // Call it whenever `stream` is readable, and at the moment that the last call returned.
/// match linger.step(&stream) {
///     Some(_moment) => {}
///     None => drop((stream, guard)),
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Linger(Deadline);

impl Linger {
    /// Shuts down the writing side of a connection (`shutdown(SHUT_WR)`). Write everything before that.
    pub fn begin(stream: impl AsFd) -> Linger {
        let stream = stream.as_fd();
        // It fails if the connection has ended, which the next read reports.
        let _ = shutdown(stream.as_raw_fd(), Shutdown::Write);
        Linger(Deadline::new(Instant::now(), bytes_unsent(stream)))
    }

    /// Reads and discards what has arrived (`recv` with MSG_DONTWAIT). Returns the latest moment for the next call, or `None`
    /// when the connection can be dropped.
    pub fn step(&mut self, stream: impl AsFd) -> Option<Instant> {
        let stream = stream.as_fd();
        let mut dropped = [0; 16 * 1024];
        for _ in 0..READS {
            match recv(stream.as_raw_fd(), &mut dropped, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return None,
                Ok(read) => self.0.read(read, Instant::now())?,
                Err(nix::Error::EAGAIN) => return self.0.next(bytes_unsent(stream), Instant::now()),
                Err(nix::Error::EINTR) => {}
                Err(_) => return None,
            }
        }
        Some(Instant::now())
    }
}

/// Returns how many of the written bytes the client has not acknowledged, or 0 if the system does not say.
pub(crate) fn bytes_unsent(stream: BorrowedFd<'_>) -> usize {
    unsent(stream).unwrap_or(0)
}

/// [`Linger`] for a connection of a runtime. It need not be a socket; then the unsent bytes may not be known.
#[cfg(feature = "tokio")]
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    deadline: Option<Deadline>,
    timer: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

#[cfg(feature = "tokio")]
impl Lingering {
    /// Is ready when the connection can be dropped.
    pub(crate) fn poll<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut I,
        unsent: impl Fn(&I) -> usize,
    ) -> Poll<io::Result<()>> {
        if self.is_over {
            return Poll::Ready(Ok(()));
        }
        if self.deadline.is_none() {
            ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
        }
        let deadline = self.deadline.get_or_insert_with(|| Deadline::new(Instant::now(), unsent(io)));
        let mut reads = 0;
        loop {
            let mut dropped = [MaybeUninit::uninit(); 16 * 1024];
            let mut dropped = ReadBuf::uninit(&mut dropped);
            match Pin::new(&mut *io).poll_read(cx, &mut dropped) {
                Poll::Ready(Ok(())) if !dropped.filled().is_empty() => {
                    if deadline.read(dropped.filled().len(), Instant::now()).is_none() {
                        break;
                    }
                    reads += 1;
                    if reads == READS {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                // The end, or an error, which ends it too.
                Poll::Ready(_) => break,
                Poll::Pending => {
                    let Some(moment) = deadline.next(unsent(io), Instant::now()) else { break };
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

/// When a lingering connection can be closed.
#[derive(Debug)]
pub(crate) struct Deadline {
    began: Instant,
    /// When the last sign of life was seen.
    last_sign: Instant,
    read: u64,
    unsent: usize,
}

impl Deadline {
    pub(crate) fn new(now: Instant, unsent: usize) -> Deadline {
        Deadline { began: now, last_sign: now, read: 0, unsent }
    }

    /// Notes that the client has sent so many more bytes. Returns `None` if that was too much.
    pub(crate) fn read(&mut self, bytes: usize, now: Instant) -> Option<()> {
        self.read += bytes as u64;
        self.last_sign = now.min(self.began + LONGEST).max(self.last_sign);
        (self.read <= MOST).then_some(())
    }

    /// Returns when to look again at the latest, or `None` when the connection can be closed.
    pub(crate) fn next(&mut self, unsent: usize, now: Instant) -> Option<Instant> {
        if unsent < self.unsent {
            self.last_sign = now;
        }
        self.unsent = unsent;
        let end = self.last_sign + QUIET;
        (now < end).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_sign_of_life_gives_the_client_two_more_seconds() {
        let began = Instant::now();
        let mut deadline = Deadline::new(began, 100);
        assert_eq!(deadline.next(100, began), Some(began + 2 * SECOND));
        deadline.read(1, began + SECOND).unwrap();
        assert_eq!(deadline.next(100, began + SECOND), Some(began + 3 * SECOND));
        assert_eq!(deadline.next(40, began + 3 * SECOND), Some(began + 5 * SECOND), "it reads its response");
        assert_eq!(deadline.next(40, began + 5 * SECOND), None);
    }

    #[test]
    fn a_client_that_goes_on_sending_does_not_hold_it_forever() {
        let began = Instant::now();
        let mut deadline = Deadline::new(began, 0);
        for second in 0..60 {
            deadline.read(1, began + second * SECOND).unwrap();
        }
        assert_eq!(deadline.next(0, began + 32 * SECOND), None);
        assert_eq!(Deadline::new(began, 0).read(65 << 20, began), None);
    }

    #[test]
    fn a_slow_client_gets_the_end_of_its_response_however_long_it_takes() {
        let began = Instant::now();
        let mut deadline = Deadline::new(began, 100);
        for second in 1..100 {
            let now = began + second * SECOND;
            assert_eq!(deadline.next(100 - second as usize, now), Some(now + 2 * SECOND));
        }
    }
}
