//! The body of a response, which ends its request.

use crate::http::RequestGuard;
use ::hyper::body::{Body as HttpBody, Buf, Frame, SizeHint};
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project_lite::pin_project! {
    /// The body of a response. Its request is under way until hyper has sent the last chunk of the body.
    #[derive(Debug)]
    pub(crate) struct Body<B> {
        #[pin]
        inner: B,
        request: Responding,
    }
}

/// A request whose response is being given to hyper.
#[derive(Debug)]
struct Responding(RequestGuard);

impl Drop for Responding {
    fn drop(&mut self) {
        self.0.has_answered();
    }
}

impl<B> Body<B> {
    pub(crate) fn new(inner: B, request: RequestGuard) -> Body<B> {
        Body { inner, request: Responding(request) }
    }
}

impl<B: HttpBody> HttpBody for Body<B> {
    type Data = Chunk<B::Data>;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk<B::Data>>, B::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        let request = &this.request.0;
        polled.map(|frame| {
            frame.map(|frame| {
                frame.map(|frame| frame.map_data(|data| Chunk { data, _request: request.clone() }))
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(feature = "axum")]
pin_project_lite::pin_project! {
    /// The body of a response whose request is under way until hyper has been given the whole body. For bodies whose chunks have to
    /// keep their type.
    #[derive(Debug)]
    pub(crate) struct UnwrappedBody<B> {
        #[pin]
        inner: B,
        _request: Responding,
    }
}

#[cfg(feature = "axum")]
impl<B> UnwrappedBody<B> {
    pub(crate) fn new(inner: B, request: RequestGuard) -> UnwrappedBody<B> {
        UnwrappedBody { inner, _request: Responding(request) }
    }
}

#[cfg(feature = "axum")]
impl<B: HttpBody> HttpBody for UnwrappedBody<B> {
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

/// A chunk of a response. hyper may hold it long after it was given the whole body, until the client takes it.
#[derive(Debug)]
pub(crate) struct Chunk<D> {
    data: D,
    _request: RequestGuard,
}

impl<D: Buf> Buf for Chunk<D> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
    }
}
