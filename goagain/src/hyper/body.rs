//! An answer's body, which ends its request.

use crate::counted::InRequest;
use ::hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project_lite::pin_project! {
    /// The body of an answer: the request is under way until it is dropped.
    #[derive(Debug)]
    pub struct Body<B> {
        #[pin]
        inner: B,
        _request: InRequest,
    }
}

impl<B> Body<B> {
    pub(crate) fn new(inner: B, request: InRequest) -> Body<B> {
        Body { inner, _request: request }
    }
}

impl<B: HttpBody> HttpBody for Body<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
