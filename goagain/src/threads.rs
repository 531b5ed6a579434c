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
pub trait Serve: Send + Sync + 'static {
    /// Serves for one [term](crate::guide::restart#words). [`goagain::run`](crate::run) calls it once for each term, in a
    /// thread of its own: when this process has become the owner, and again if its successor fails and this process takes over
    /// again.
    ///
    /// It should accept until the term ends, and then return. An [`Acceptor`](crate::Acceptor) ends with the term. It need not
    /// wait for the connections, because a drain waits for their guards. If it starts threads that accept, it may return at
    /// once.
    ///
    /// # Errors
    /// An error before the end of the term ends this process as if it had crashed: see [`goagain::run`](crate::run). A later
    /// error is ignored.
    fn serve(&self) -> Result<(), BoxError>;

    /// What each thread of a term does.
    #[doc(hidden)]
    fn parts(self: Arc<Self>) -> Vec<Part>
    where
        Self: Sized,
    {
        vec![Box::new(move || self.serve())]
    }
}

/// What one thread does for one term.
#[doc(hidden)]
pub type Part = Box<dyn FnOnce() -> Result<(), BoxError> + Send>;

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
    fn serve(&self) -> Result<(), BoxError> {
        for accepted in self.listener.acceptor()? {
            let (stream, guard) = accepted?;
            spawn(&self.handler, stream, guard);
        }
        Ok(())
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
    fn serve(&self) -> Result<(), BoxError> {
        self()
    }
}

/// Serves each of them, in threads of their own.
impl<S: Serve> Serve for Vec<S> {
    fn serve(&self) -> Result<(), BoxError> {
        all(self.iter().map(|each| each as &dyn Servable))
    }

    fn parts(self: Arc<Self>) -> Vec<Part> {
        (0..self.len())
            .map(|index| {
                let this = Arc::clone(&self);
                Box::new(move || this[index].serve()) as Part
            })
            .collect()
    }
}

macro_rules! serve_each {
    ($($server:ident $index:tt),+) => {
        /// Serves each of them, in threads of their own.
        impl<$($server: Serve),+> Serve for ($($server,)+) {
            fn serve(&self) -> Result<(), BoxError> {
                all([$(&self.$index as &dyn Servable),+].into_iter())
            }

            fn parts(self: Arc<Self>) -> Vec<Part> {
                vec![$({
                    let this = Arc::clone(&self);
                    Box::new(move || this.$index.serve())
                }),+]
            }
        }
    };
}

serve_each!(A 0, B 1);
serve_each!(A 0, B 1, C 2);
serve_each!(A 0, B 1, C 2, D 3);

/// [`Serve`] without what needs a size.
trait Servable: Sync {
    fn serve(&self) -> Result<(), BoxError>;
}

impl<S: Serve> Servable for S {
    fn serve(&self) -> Result<(), BoxError> {
        Serve::serve(self)
    }
}

/// Serves several that stand within another one, each in a thread.
fn all<'a>(servers: impl Iterator<Item = &'a dyn Servable>) -> Result<(), BoxError> {
    thread::scope(|scope| {
        let serving: Vec<_> = servers.map(|server| scope.spawn(|| server.serve())).collect();
        serving.into_iter().try_for_each(|serving| {
            serving.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
        })
    })
}
