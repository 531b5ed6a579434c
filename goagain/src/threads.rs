//! Servers with a thread for each connection, with the standard library only.
//!
//! ```no_run
//! use goagain::{Guard, Single, Stream};
//! use std::io::{Read, Write};
//!
//! fn main() -> Result<(), goagain::Error> {
//!     goagain::threads::run(Single, "127.0.0.1:3000", echo)
//! }
//!
//! fn echo(mut stream: Stream, mut guard: Guard) -> std::io::Result<()> {
//!     let mut buffer = [0; 1024];
//!     // Waits for a request, and ends the loop when this process asks its idle connections to close.
//!     while guard.wait_readable(&stream)? {
//!         let read = stream.read(&mut buffer)?;
//!         stream.write_all(&buffer[..read])?;
//!         if read == 0 || guard.should_close(&stream, b"") {
//!             break;
//!         }
//!     }
//!     stream.close(guard);
//!     Ok(())
//! }
//! ```

use crate::drain::Guard;
use crate::error::BoxError;
use crate::life::{Builder, Error};
use crate::socket::accept_error::Backoff;
use crate::socket::{Listener, Stream};
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The name of the listener of each `run` that takes an address.
pub(crate) const MAIN: &str = "main";

/// Runs a server with one listener and a thread for each connection, from its start to its exit. It calls
/// [`goagain::run`](crate::run) with a [`server`].
///
/// `address` is anything that displays as `127.0.0.1:3000`, `[::1]:3000`, `unix:/run/http.sock` or `unix:@name`, such as a
/// `SocketAddr`. The listener has the name `main`. If the address has changed since the predecessor was started, the new
/// process binds the new address, and the old socket is closed.
///
/// `handler` is called with each connection and its [`Guard`]. A drain waits until the guard is dropped. What `handler` returns
/// is ignored.
///
/// # Errors
/// [`Error`]: pass it to [`exit`](crate::exit), or return it from `main`.
pub fn run<H, R>(builder: impl Into<Builder>, address: impl Display, handler: H) -> Result<(), Error>
where
    H: Fn(Stream, Guard) -> R + Send + Sync + 'static,
{
    crate::run(builder, |again| Ok(server(again.listen_or_rebind(MAIN, &address.to_string())?, handler)))
}

/// Returns a server that accepts on `listener` and calls `handler` for each connection, in a thread of its own.
pub fn server<H, R>(listener: Listener, handler: H) -> Server<H>
where
    H: Fn(Stream, Guard) -> R + Send + Sync + 'static,
{
    Server { listener, handler: Arc::new(handler) }
}

/// What [`goagain::run`](crate::run) serves: a [`server`], a closure, or a tuple or `Vec` of these for several listeners.
///
/// [`goagain::run`](crate::run) calls each server or closure once for each [term](crate::guide::restart#words), in a thread of its
/// own: when this process has become the owner, and again if its successor fails and this process takes over again.
///
/// A closure should accept until the term ends, and then return. An [`Acceptor`](crate::Acceptor) ends with the term. The closure
/// need not wait for the connections, because a drain waits for their guards. If it starts threads that accept, it may return at once.
/// An error before the end of the term ends this process as if it had crashed: see [`goagain::run`](crate::run). A later error is
/// ignored.
pub trait Serve {
    /// Returns what each thread of a term calls. A type of your own returns its closures.
    fn into_parts(self) -> Vec<Part>;
}

/// What one thread of each term calls.
pub type Part = Arc<dyn Fn() -> Result<(), BoxError> + Send + Sync>;

/// A server with a thread for each connection, made by [`server`].
pub struct Server<H> {
    listener: Listener,
    handler: Arc<H>,
}

impl<H> fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl<H, R> Serve for Server<H>
where
    H: Fn(Stream, Guard) -> R + Send + Sync + 'static,
{
    fn into_parts(self) -> Vec<Part> {
        let Server { listener, handler } = self;
        let serve = move || {
            for accepted in listener.acceptor()? {
                let (stream, guard) = accepted?;
                spawn(&handler, stream, guard);
            }
            Ok(())
        };
        serve.into_parts()
    }
}

/// Starts a thread for a connection. Where there can be no more threads (EAGAIN) it waits until there can, and the connections that
/// come meanwhile wait in the kernel's queue.
fn spawn<H, R>(handler: &Arc<H>, stream: Stream, guard: Guard)
where
    H: Fn(Stream, Guard) -> R + Send + Sync + 'static,
{
    let connection = Arc::new(Mutex::new(Some((stream, guard))));
    let mut backoff = Backoff::default();
    loop {
        let (handler, taken) = (Arc::clone(handler), Arc::clone(&connection));
        let serving = move || {
            let connection = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
            connection.map(|(stream, guard)| handler(stream, guard));
        };
        match thread::Builder::new().spawn(serving) {
            Ok(_) => return,
            // Nothing tells when another thread has ended.
            Err(_) => thread::sleep(backoff.next()),
        }
    }
}

impl<F> Serve for F
where
    F: Fn() -> Result<(), BoxError> + Send + Sync + 'static,
{
    fn into_parts(self) -> Vec<Part> {
        vec![Arc::new(self)]
    }
}

impl<S: Serve> Serve for Vec<S> {
    fn into_parts(self) -> Vec<Part> {
        self.into_iter().flat_map(S::into_parts).collect()
    }
}

macro_rules! serve_each {
    ($($server:ident $index:tt),+) => {
        impl<$($server: Serve),+> Serve for ($($server,)+) {
            fn into_parts(self) -> Vec<Part> {
                [$(self.$index.into_parts()),+].concat()
            }
        }
    };
}

serve_each!(A 0, B 1);
serve_each!(A 0, B 1, C 2);
serve_each!(A 0, B 1, C 2, D 3);
