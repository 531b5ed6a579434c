//! A server with hyper.

use goagain::Single;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use std::convert::Infallible;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    goagain::hyper::run(Single, "127.0.0.1:3000", service_fn(hello)).await?;
    Ok(())
}

async fn hello(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
    Ok(Response::new("hello\n".into()))
}
