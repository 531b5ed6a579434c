//! The bounds of a service.

use crate::error::BoxError;
use ::hyper::body::{Body, Incoming};
use ::hyper::service::Service;
use ::hyper::{Request, Response};

/// A service for HTTP/1.1 and HTTP/2. Every [`Service`] that meets the bounds has this trait, so there is no need to implement it.
///
/// It is a name for bounds that every function of this module has: the service can be cloned for each connection and sent to its
/// task, its errors and those of its response bodies convert to [`BoxError`], and its futures and response bodies can be sent to
/// other threads.
pub trait HttpService:
    Service<
        Request<Incoming>,
        Response = Response<<Self as HttpService>::ResponseBody>,
        Error: Into<BoxError>,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
    /// The body of a response.
    type ResponseBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> HttpService for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type ResponseBody = B;
}
