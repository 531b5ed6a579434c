//! The application's service, with what a drain has to say in every answer.

use super::Body;
use crate::http::follower::Length;
use crate::http::{Activity, InRequest};
use crate::migrate::Migrator;
use ::hyper::body::{Body as HttpBody, Incoming};
use ::hyper::header::{CONNECTION, HeaderValue};
use ::hyper::service::Service;
use ::hyper::{Method, Request, Response, StatusCode, Version};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

/// Counts the requests, and closes their connection by the answers of a drain.
#[derive(Clone, Debug)]
pub(crate) struct Drained<S> {
    service: S,
    work: Activity,
    /// What may move the connection: then a drain closes it only if it cannot.
    migrator: Option<Arc<Migrator>>,
    has_begun: Arc<AtomicBool>,
    speaks_http2: Arc<AtomicBool>,
}

impl<S> Drained<S> {
    pub(crate) fn new(service: S, work: Activity, migrator: Option<Arc<Migrator>>) -> Drained<S> {
        Drained { service, work, migrator, has_begun: Arc::default(), speaks_http2: Arc::default() }
    }

    /// Whether a request has come.
    pub(crate) fn has_begun(&self) -> impl Fn() -> bool + Send + use<S> {
        let has_begun = Arc::clone(&self.has_begun);
        move || has_begun.load(Ordering::Relaxed)
    }

    /// Whether a request has come by HTTP/2; before the first one nobody knows.
    pub(crate) fn speaks_http2(&self) -> impl Fn() -> bool + Send + use<S> {
        let speaks_http2 = Arc::clone(&self.speaks_http2);
        move || speaks_http2.load(Ordering::Relaxed)
    }
}

/// How long the body of a request over HTTP/1.1 is; `None` for one over HTTP/2.
pub(crate) fn length_of<B: HttpBody>(request: &Request<B>) -> Option<Length> {
    let length = || request.body().size_hint().exact().map_or(Length::Chunks, Length::Known);
    (request.version() < Version::HTTP_2).then(length)
}

impl<S, B> Service<Request<Incoming>> for Drained<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Response = Response<Body<B>>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Answer<S::Future> {
        let http2 = request.version() >= Version::HTTP_2;
        if http2 {
            self.speaks_http2.store(true, Ordering::Relaxed);
        }
        self.has_begun.store(true, Ordering::Relaxed);
        let under_way = self.work.begin(length_of(&request));
        let (work, migrator) = (self.work.clone(), self.migrator.clone());
        let connects = request.method() == Method::CONNECT;
        Answer { answer: self.service.call(request), work, migrator, under_way, http2, connects }
    }
}

pin_project_lite::pin_project! {
    /// An answer that is being made.
    pub(crate) struct Answer<F> {
        #[pin]
        answer: F,
        work: Activity,
        migrator: Option<Arc<Migrator>>,
        under_way: InRequest,
        http2: bool,
        connects: bool,
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Body<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.answer.poll(cx))?;
        let can_migrate = || this.migrator.as_ref().is_some_and(|migrator| migrator.can_migrate());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            || *this.connects && response.status().is_success()
        {
            // Over HTTP/2 it is one stream of several (RFC 8441, and CONNECT itself).
            if *this.http2 { this.work.give_a_stream() } else { this.work.upgrade() }
        } else if !*this.http2 && !can_migrate() && this.work.should_close() {
            // HTTP/2 has GOAWAY for it.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response.map(|body| Body::new(body, this.under_way.clone()))))
    }
}
