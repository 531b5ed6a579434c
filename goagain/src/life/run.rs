//! A server with threads in one call, from its start to its exit.

use crate::error::{BoxError, ReadyError};
use crate::life::error::text_of;
use crate::life::{Builder, Error, Finish, Goagain};
use crate::threads::Serve;
use goagain_signals::Turn;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Runs a server with threads, from its start to its exit: it prepares, serves, restarts on USR2, drains and exits.
///
/// `builder` is a strategy, or the result of [`Goagain::builder`] with the settings that you change.
///
/// `prepare` runs once, before this process is [ready](crate::guide::restart#words). It binds listeners, restores state, and
/// connects to a database, for example. It returns a server, or several in a tuple or a `Vec`. Each of them is
/// [called](Serve::serve) once for each [term](crate::guide::restart#words).
///
/// For a server with one listener, use [`threads::run`](crate::threads::run).
///
/// ```no_run
/// use goagain::{Guard, Single, Stream, threads};
///
/// fn main() -> Result<(), goagain::Error> {
///     goagain::run(Single, |again| {
///         let echo = again.listen("echo", "127.0.0.1:3000")?;
///         let admin = again.listen("admin", "unix:/run/echo.sock")?;
///         Ok((threads::server(echo, serve), threads::server(admin, serve)))
///     })
/// }
/// # fn serve(_: Stream, _: Guard) {}
/// ```
///
/// In detail:
///
/// - If `prepare` returns an error or panics, the predecessor receives the text of it, and keeps serving.
/// - A stop signal before this process is ready ends it by the signal's default action. A stop that comes later, while this
///   process waits for its predecessor to commit, ends it too, and `run` returns `Ok`.
/// - If serving returns an error or panics before the term is over, this process stops accepting at once and `run` returns, as
///   if the process had crashed. A predecessor that is still the fallback takes over again. A successor that is being started
///   takes over when it is ready. Connections in flight are closed when `main` returns.
/// - `run` returns `Ok` when this process has handed over or was stopped, and has drained. Under a strategy that execs, the
///   process becomes the new image instead, and `run` does not return. [`Builder::before_exit`] is for work that has to be done
///   in both cases.
///
/// # Errors
/// [`Error`]: pass it to [`exit`](crate::exit), or return it from `main`.
///
/// # Panics
/// If `prepare` or serving panics, with the same payload.
pub fn run<S: Serve>(
    builder: impl Into<Builder>,
    prepare: impl FnOnce(&mut Goagain) -> Result<S, BoxError>,
) -> Result<(), Error> {
    let mut again = builder.into().start()?;
    let prepared = catch_unwind(AssertUnwindSafe(|| prepare(&mut again)));
    let mut again = Starting(again);
    let server = Arc::new(again.prepared(prepared)?);
    let mut again = again.0;
    if let Err(error) = again.ready() {
        return not_the_owner(error);
    }
    loop {
        let failure = Failure::default();
        for part in Arc::clone(&server).parts() {
            let failure = failure.clone();
            let connections = again.connections();
            let serving = move || {
                if let Some(failed) = Failed::of(catch_unwind(AssertUnwindSafe(part))) {
                    failure.set(failed);
                    connections.wake_up();
                }
            };
            let spawned = thread::Builder::new().name("goagain serving".into()).spawn(serving);
            spawned.map_err(|error| Error::Serve(error.into()))?;
        }
        if let Some(failed) = again.wait_unless(|| failure.take()).map_err(Error::Wait)? {
            drop(again);
            return Err(failed.into_error());
        }
        // A server that fails after its term has stopped accepting all the same.
        match again.finish().map_err(Error::Wait)? {
            Finish::Exit => return Ok(()),
            Finish::Resume => {}
        }
    }
}

/// What `run` returns where this process has not become the owner.
pub(crate) fn not_the_owner(error: ReadyError) -> Result<(), Error> {
    match error {
        // It was asked to, and has.
        ReadyError::Stopped(_) => Ok(()),
        error => Err(error.into()),
    }
}

/// A process that is not ready yet: whatever goes wrong, its predecessor reads why.
pub(crate) struct Starting(pub(crate) Goagain);

impl Starting {
    /// Takes what `prepare` has come to.
    pub(crate) fn prepared<S>(&mut self, prepared: thread::Result<Result<S, BoxError>>) -> Result<S, Error> {
        match prepared {
            Ok(Ok(server)) => Ok(server),
            Ok(Err(error)) => {
                self.0.fail_because(text_of(&*error));
                Err(Error::Prepare(error))
            }
            Err(payload) => {
                self.0.fail_because(format!("it panicked: {}", panic_text(&*payload)));
                resume_unwind(payload)
            }
        }
    }
}

/// How serving failed.
pub(crate) enum Failed {
    Error(BoxError),
    Panic(Box<dyn Any + Send>),
}

impl Failed {
    fn of(served: thread::Result<Result<(), BoxError>>) -> Option<Failed> {
        match served {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Failed::Error(error)),
            Err(payload) => Some(Failed::Panic(payload)),
        }
    }

    /// Goes on with the panic, if it was one.
    fn into_error(self) -> Error {
        match self {
            Failed::Error(error) => Error::Serve(error),
            Failed::Panic(payload) => resume_unwind(payload),
        }
    }
}

/// The first failure of a term's threads.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<Failed>>>);

impl Failure {
    fn set(&self, failed: Failed) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failed);
    }

    fn take(&self) -> Option<Failed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Returns what a panic says, as std's hook prints it.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}

impl Goagain {
    /// [`Goagain::wait`], which comes back with what `failed` returns as soon as it returns something.
    fn wait_unless<T>(&mut self, failed: impl Fn() -> Option<T>) -> std::io::Result<Option<T>> {
        self.announce_serving();
        loop {
            if let Some(failed) = failed() {
                return Ok(Some(failed));
            }
            match self.step() {
                Turn::Serve => self.block()?,
                _ => return Ok(None),
            }
        }
    }
}
