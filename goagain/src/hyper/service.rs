//! The application's service, whose responses close their connection in a drain.

use super::Body;
use crate::http::follower::Length;
use crate::http::{Activity, RequestGuard};
use crate::migrate::Migrator;
use ::hyper::body::{Body as HttpBody, Incoming};
use ::hyper::header::{CONNECTION, HeaderValue};
use ::hyper::service::Service;
use ::hyper::{Method, Request, Response, StatusCode, Version};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

/// Reports the requests to the activity, and closes the connection with a response during a drain.
#[derive(Clone, Debug)]
pub(crate) struct Drained<S> {
    service: S,
    activity: Activity,
    /// Exists if the connection can migrate. Then a drain closes the connection only if it cannot.
    migrator: Option<Arc<Migrator>>,
    has_begun: Arc<AtomicBool>,
    speaks_http2: Arc<AtomicBool>,
}

impl<S> Drained<S> {
    pub(crate) fn new(service: S, activity: Activity, migrator: Option<Arc<Migrator>>) -> Drained<S> {
        Drained { service, activity, migrator, has_begun: Arc::default(), speaks_http2: Arc::default() }
    }

    /// Whether a request has come.
    pub(crate) fn has_begun(&self) -> impl Fn() -> bool + Send + use<S> {
        let has_begun = Arc::clone(&self.has_begun);
        move || has_begun.load(Ordering::Relaxed)
    }

    /// Whether a request has come over HTTP/2. Before the first request this is not known.
    pub(crate) fn speaks_http2(&self) -> impl Fn() -> bool + Send + use<S> {
        let speaks_http2 = Arc::clone(&self.speaks_http2);
        move || speaks_http2.load(Ordering::Relaxed)
    }
}

/// Returns how long the body of an HTTP/1.1 request is, or `None` for an HTTP/2 request.
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
    type Future = PendingResponse<S::Future>;

    fn call(&self, request: Request<Incoming>) -> PendingResponse<S::Future> {
        let http2 = request.version() >= Version::HTTP_2;
        if http2 {
            self.speaks_http2.store(true, Ordering::Relaxed);
        }
        self.has_begun.store(true, Ordering::Relaxed);
        let guard = self.activity.begin(length_of(&request));
        let (activity, migrator) = (self.activity.clone(), self.migrator.clone());
        let connects = request.method() == Method::CONNECT;
        PendingResponse { response: self.service.call(request), activity, migrator, guard, http2, connects }
    }
}

pin_project_lite::pin_project! {
    /// A response that the application is making.
    pub(crate) struct PendingResponse<F> {
        #[pin]
        response: F,
        activity: Activity,
        migrator: Option<Arc<Migrator>>,
        guard: RequestGuard,
        http2: bool,
        connects: bool,
    }
}

impl<F, B, E> Future for PendingResponse<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Body<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(cx))?;
        let can_migrate = || this.migrator.as_ref().is_some_and(|migrator| migrator.can_migrate());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            || *this.connects && response.status().is_success()
        {
            // Over HTTP/2 this is one stream of several (RFC 8441, and CONNECT itself).
            if *this.http2 { this.activity.give_a_stream() } else { this.activity.upgrade() }
        } else if !*this.http2 && !can_migrate() && this.activity.should_close() {
            // HTTP/2 has GOAWAY for this.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response.map(|body| Body::new(body, this.guard.clone()))))
    }
}
