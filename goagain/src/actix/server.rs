//! Worker threads, each with a system of its own.

use crate::drain::ShutdownSignal;
use crate::drain::latch::Latch;
use crate::error::BoxError;
use crate::socket::Listener;
use crate::tokio::Serve;
use actix_http::{Request, Response};
use actix_service::{IntoServiceFactory, Service, ServiceFactory};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::AppConfig;
use actix_web::rt::System;
use std::fmt::{self, Debug};
use std::future::poll_fn;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::{io, thread};
#[cfg(all(target_os = "linux", not(goagain_portable)))]
use {crate::life::Builder, crate::tokio::run::run_one, std::fmt::Display};

/// Runs an application at one address, from the start of the process to its exit: [`goagain::tokio::run`](crate::tokio::run)
/// with a [`server`].
///
/// `app` creates the application, once for each worker thread and term.
///
/// `address` is anything that displays as `127.0.0.1:3000`, `[::1]:3000`, `unix:/run/http.sock` or `unix:@name`, such as a
/// `SocketAddr`. The listener has the name `main`. If the address has changed since the predecessor was started, the new
/// process binds the new address, and the old socket is closed.
///
/// # Errors
/// [`Error`](crate::Error): pass it to [`exit`](crate::exit), or return it from `main`.
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub async fn run<A, I, S, B>(
    builder: impl Into<Builder>,
    address: impl Display,
    app: A,
) -> Result<(), crate::Error>
where
    A: Fn() -> I + Clone + Send + 'static,
    I: IntoServiceFactory<S, Request> + 'static,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    run_one(builder, address, |listener| server(listener, app)).await
}

/// Returns a server of this application on `listener`, for [`goagain::tokio::run`](crate::tokio::run). `app` creates the
/// application, once for each worker thread and term.
pub fn server<A, I, S, B>(listener: Listener, app: A) -> Server
where
    A: Fn() -> I + Clone + Send + 'static,
    I: IntoServiceFactory<S, Request> + 'static,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let work = move |listener: Listener| {
        let app = app.clone();
        let work =
            move || System::new().block_on(async move { super::serve(listener.to_tokio()?, app()).await });
        Box::new(work) as Worker
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    Server { listener, work: Box::new(work), workers }
}

/// What one thread does for one term.
type Worker = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// A server with several worker threads, made by [`server`].
pub struct Server {
    listener: Listener,
    work: Box<dyn Fn(Listener) -> Worker>,
    workers: usize,
}

impl Server {
    /// Sets the number of worker threads. Defaults to the number of processors
    /// ([`available_parallelism`](std::thread::available_parallelism)). The value 0 counts as 1.
    pub fn workers(mut self, workers: usize) -> Server {
        self.workers = workers.max(1);
        self
    }
}

impl Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { listener, workers, .. } = self;
        f.debug_struct("Server").field("listener", listener).field("workers", workers).finish_non_exhaustive()
    }
}

impl Serve for Server {
    async fn serve(&self) -> Result<(), BoxError> {
        let mut ended = self.listener.end()?;
        let (failures, failure) = channel();
        let latch = Arc::new(Latch::new()?);
        for number in 0..self.workers {
            let work = (self.work)(self.listener.clone());
            let (failures, latch) = (failures.clone(), Arc::clone(&latch));
            let worker = move || {
                let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                let served = served.unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
                if let Err(error) = served {
                    // Nobody waits for what fails after the term.
                    let _ = failures.send(error);
                    latch.set();
                }
            };
            // A thread serves its connections to their end, after the term too: the drain waits for them by their guards.
            thread::Builder::new().name(format!("goagain worker {number}")).spawn(worker)?;
        }
        let mut failed = ShutdownSignal::of(latch);
        poll_fn(|cx| {
            let failed = Pin::new(&mut failed).poll(cx);
            if failed.is_ready() { failed } else { Pin::new(&mut ended).poll(cx) }
        })
        .await;
        failure.try_recv().map_or(Ok(()), |error| Err(error.into()))
    }
}
