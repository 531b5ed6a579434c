//! A server with threads in one call, from its start to its exit.

use crate::error::{BoxError, ReadyError};
use crate::life::error::text_of;
use crate::life::{Builder, Error, Finish, Goagain};
use crate::threads::Serve;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

/// Runs a server with threads, from its start to its exit: it prepares, serves, restarts on USR2, drains and exits.
///
/// `builder` is a strategy, or the result of [`Goagain::builder`] with the settings that you change.
///
/// `prepare` runs once, before this process is [ready](crate::guide::restart#words). It binds listeners, restores state, and
/// connects to a database, for example. It returns a server, or several in a tuple or a `Vec`. Each of them is
/// [called](Serve) once for each [term](crate::guide::restart#words).
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
/// - A stop signal before this process is ready ends it by the signal's default action (QUIT as TERM, without a core dump). A stop that comes later, while this
///   process waits for its predecessor to commit, ends it too, and `run` returns `Ok`.
/// - If serving returns an error or panics before the term is over, this process stops accepting at once, as if it had crashed.
///   `run` returns the error, or goes on with the panic, which ends the process with the exit code 101. A predecessor that is still the fallback takes over again. A successor that is being started
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
    let parts = again.prepared(prepared)?.into_parts();
    if let Err(error) = again.ready() {
        return not_the_owner(error);
    }
    loop {
        let (failures, failure) = channel();
        for part in &parts {
            let (part, failures, connections) = (Arc::clone(part), failures.clone(), again.connections());
            let serving = move || {
                let failed = match catch_unwind(AssertUnwindSafe(|| part())) {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => Failed::Error(error),
                    Err(payload) => Failed::Panic(payload),
                };
                // Nobody waits for what fails after its term: it has stopped accepting all the same.
                if failures.send(failed).is_ok() {
                    connections.wake_up();
                }
            };
            let spawned = thread::Builder::new().name("goagain serving".into()).spawn(serving);
            spawned.map_err(|error| Error::Serve(error.into()))?;
        }
        if let Some(failed) = again.wait_unless(|| failure.try_recv().ok()).map_err(Error::Wait)? {
            drop(again);
            match failed {
                Failed::Error(error) => return Err(Error::Serve(error)),
                Failed::Panic(payload) => resume_unwind(payload),
            }
        }
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

impl Goagain {
    /// Takes the outcome of `prepare`. If it is not a server, the predecessor reads why.
    pub(crate) fn prepared<S>(&mut self, prepared: thread::Result<Result<S, BoxError>>) -> Result<S, Error> {
        match prepared {
            Ok(Ok(server)) => Ok(server),
            Ok(Err(error)) => {
                self.fail_because(text_of(&*error));
                Err(Error::Prepare(error))
            }
            Err(payload) => {
                self.fail_because(format!("it panicked: {}", panic_text(&*payload)));
                resume_unwind(payload)
            }
        }
    }
}

/// How serving failed.
enum Failed {
    Error(BoxError),
    Panic(Box<dyn Any + Send>),
}

/// Returns what a panic says, as std's hook prints it.
fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}
