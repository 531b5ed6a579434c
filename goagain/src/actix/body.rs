//! The body of a response, which ends its request.

use crate::http::RequestGuard;
use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project_lite::pin_project! {
    /// The body of a response. Its request is under way until this is dropped.
    pub(crate) struct Body<B> {
        #[pin]
        inner: B,
        _request: Option<RequestGuard>,
    }
}

impl<B> Body<B> {
    pub(crate) fn new(inner: B, request: Option<RequestGuard>) -> Body<B> {
        Body { inner, _request: request }
    }
}

impl<B: MessageBody> MessageBody for Body<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.inner.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, B::Error>>> {
        self.project().inner.poll_next(cx)
    }
}
