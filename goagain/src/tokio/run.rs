//! A server in one call, from its start to its exit, as a future.

use super::serve::{All, Serve, beside};
use crate::error::BoxError;
use crate::life::run::not_the_owner;
use crate::life::{Builder, Error, Finish, Goagain};
use ::tokio::runtime::{Handle, RuntimeFlavor};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};
#[cfg(any(feature = "actix", feature = "hyper"))]
use {crate::socket::Listener, crate::threads::MAIN, std::fmt::Display};

/// Runs a server in the tokio runtime of the caller, from its start to its exit: [`goagain::run`](crate::run) as a future. What
/// that page says of errors, panics and stops applies here too.
///
/// Call it in `main`, in any runtime with IO and time enabled, such as `#[tokio::main]` of either flavor. It serves in the task
/// that awaits it, and starts no thread itself. The servers spawn a task for each connection. For a server with one listener,
/// use [`axum::run`](crate::axum::run), [`hyper::run`](crate::hyper::run) or the `run` of another module.
///
/// `prepare` gets the [`Goagain`] of this process before it is ready. It may await. Binding a listener is a blocking call.
///
/// ```no_run
/// # #[cfg(feature = "axum")]
/// # mod example {
/// use axum::{Router, routing::get};
/// use goagain::Single;
///
/// #[tokio::main]
/// async fn main() -> Result<(), goagain::Error> {
///     goagain::tokio::run(Single, async |again| {
///         let http = again.listen("http", "127.0.0.1:3000")?;
///         let admin = again.listen("admin", "unix:/run/admin.sock")?;
///         let app = Router::new().route("/", get(|| async { "hello\n" }));
///         Ok((goagain::axum::server(http, app.clone()), goagain::axum::server(admin, app)))
///     })
///     .await
/// }
/// # }
/// ```
///
/// # Errors
/// [`Error`]: pass it to [`exit`](crate::exit), or return it from `main`.
///
/// # Panics
/// - If `prepare` or serving panics, with the same payload.
/// - If the runtime was built without `enable_io`.
pub async fn run<S: Serve>(
    builder: impl Into<Builder>,
    prepare: impl AsyncFnOnce(&mut Goagain) -> Result<S, BoxError>,
) -> Result<(), Error> {
    let mut again = builder.into().start()?;
    if again.is_successor() {
        unblock_workers().await;
    }
    let prepared = caught(prepare(&mut again)).await;
    let server = again.prepared(prepared)?;
    let mut again = again.into_tokio().map_err(Error::Wait)?;
    if let Err(error) = again.ready().await {
        return not_the_owner(error);
    }
    // What an earlier term has left goes on beside the present one, such as `axum::serve`, which waits for its connections.
    let mut serving = All(Vec::new());
    loop {
        serving.0.push(Box::pin(server.serve()));
        // Before the signal loop says that this process serves.
        poll_fn(|cx| match serving.0.last_mut().map(|last| last.as_mut().poll(cx)) {
            Some(Poll::Ready(served)) => {
                serving.0.pop();
                Poll::Ready(served)
            }
            _ => Poll::Ready(Ok(())),
        })
        .await
        .map_err(Error::Serve)?;
        beside(again.wait(), &mut serving, true).await.map_err(Error::Serve)?.map_err(Error::Wait)?;
        // A server that fails after its term has stopped accepting all the same.
        match beside(again.finish(), &mut serving, false).await.map_err(Error::Serve)?.map_err(Error::Wait)? {
            Finish::Exit => return Ok(()),
            Finish::Resume => {}
        }
    }
}

/// Unblocks the signals in the worker threads of the runtime, which are older than this call. They have inherited the mask with which
/// the predecessor started this process, and would pass it on to each program that a task starts.
async fn unblock_workers() {
    let runtime = Handle::current();
    if runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
        return;
    }
    let workers = runtime.metrics().num_workers();
    let meeting =
        Arc::new(Meeting { present: Mutex::new(0), arrived: Condvar::new(), end: Instant::now() + PATIENCE });
    let tasks = (0..workers).map(|_| {
        let meeting = Arc::clone(&meeting);
        ::tokio::spawn(async move {
            // It fails for an invalid argument only.
            let _ = goagain_env::unblock();
            meeting.wait_for(workers);
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        let _ = task.await;
    }
}

/// A worker that is busy with something else for longer keeps its mask, and does not keep this process from getting ready.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where as many threads meet as there are workers: each holds one task there, so that no worker runs two of them.
struct Meeting {
    present: Mutex<usize>,
    arrived: Condvar,
    /// Of the whole meeting: tasks that share a worker wait one after another.
    end: Instant,
}

impl Meeting {
    fn wait_for(&self, threads: usize) {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        *present += 1;
        self.arrived.notify_all();
        let left = self.end.saturating_duration_since(Instant::now());
        let _ = self.arrived.wait_timeout_while(present, left, |present| *present < threads);
    }
}

/// [`run`] for one listener at an address.
#[cfg(any(feature = "actix", feature = "hyper"))]
pub(crate) async fn run_one<S: Serve>(
    builder: impl Into<Builder>,
    address: impl Display,
    server: impl FnOnce(Listener) -> S,
) -> Result<(), Error> {
    run(builder, async |again| Ok(server(again.listen_or_rebind(MAIN, &address.to_string())?))).await
}

/// Awaits a future, and returns its panic if it panics.
async fn caught<T>(future: impl Future<Output = T>) -> thread::Result<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Err(payload) => Poll::Ready(Err(payload)),
    })
    .await
}
