//! An answer's body, which ends its request.

use crate::http::InRequest;
use ::hyper::body::{Body as HttpBody, Buf, Frame, SizeHint};
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project_lite::pin_project! {
    /// The body of an answer: its request is under way until hyper has sent the last piece of it.
    #[derive(Debug)]
    pub(crate) struct Body<B> {
        #[pin]
        inner: B,
        request: Answering,
    }
}

/// A request whose answer hyper is being given.
#[derive(Debug)]
struct Answering(InRequest);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.has_answered();
    }
}

impl<B> Body<B> {
    pub(crate) fn new(inner: B, request: InRequest) -> Body<B> {
        Body { inner, request: Answering(request) }
    }
}

impl<B: HttpBody> HttpBody for Body<B> {
    type Data = Piece<B::Data>;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece<B::Data>>, B::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        let request = &this.request.0;
        polled.map(|frame| {
            frame.map(|frame| {
                frame.map(|frame| frame.map_data(|data| Piece { data, _request: request.clone() }))
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
    /// The body of an answer whose request is under way until hyper has been given the whole: for bodies whose pieces have to stay
    /// what they are.
    #[derive(Debug)]
    pub(crate) struct AdoptFd<B> {
        #[pin]
        inner: B,
        _request: Answering,
    }
}

#[cfg(feature = "axum")]
impl<B> AdoptFd<B> {
    pub(crate) fn new(inner: B, request: InRequest) -> AdoptFd<B> {
        AdoptFd { inner, _request: Answering(request) }
    }
}

#[cfg(feature = "axum")]
impl<B: HttpBody> HttpBody for AdoptFd<B> {
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

/// A piece of an answer, which hyper may hold for long after it has been given the whole: the client takes it when it likes.
#[derive(Debug)]
pub(crate) struct Piece<D> {
    data: D,
    _request: InRequest,
}

impl<D: Buf> Buf for Piece<D> {
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
