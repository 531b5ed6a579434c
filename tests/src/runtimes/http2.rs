//! HTTP/2, with h2.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use h2::Reason;
use h2::client::{SendRequest, handshake};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::clients::{Clients, Seat, THINKS, Tally};
use crate::http::Identity;

pub(super) fn clients(address: &str) -> anyhow::Result<Clients> {
    Clients::start(address, |address, seat| client(address, seat, |stream| async { Ok(stream) }))
}

/// The same over TLS.
pub(super) fn tls_clients(address: &str) -> anyhow::Result<Clients> {
    let mut tls = super::tls::trusting()?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let tls = TlsConnector::from(Arc::new(tls));
    Clients::start(address, move |address, seat| {
        let tls = tls.clone();
        client(address, seat, move |stream| {
            let connecting = tls.connect(address.ip().into(), stream);
            async { Ok(connecting.await?) }
        })
    })
}

/// Sends one request after another on a connection until the server sends GOAWAY. What was sent by then has to be answered.
async fn client<C, F, I>(address: SocketAddr, seat: Seat, secure: C) -> anyhow::Result<Tally>
where
    C: Fn(TcpStream) -> F,
    F: Future<Output = anyhow::Result<I>>,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut tally = Tally::default();
    while !seat.is_over() {
        let (mut sender, connection) = handshake(secure(TcpStream::connect(address).await?).await?).await?;
        let connection = tokio::spawn(connection);
        tally.connections += 1;
        while !seat.is_over() {
            sender = match sender.ready().await {
                Ok(sender) => sender,
                Err(error) => {
                    let graceful = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
                    ensure!(graceful, "connection: expected GOAWAY, found {error}");
                    break;
                }
            };
            let body = request(&mut sender, address, tally.requests).await?;
            Identity::parse(&body).with_context(|| format!("body: expected an identity, found `{body}`"))?;
            tally.requests += 1;
            seat.answered();
            tokio::time::sleep(THINKS).await;
        }
        connection.abort();
    }
    Ok(tally)
}

async fn request(
    sender: &mut SendRequest<Bytes>,
    address: SocketAddr,
    number: usize,
) -> anyhow::Result<String> {
    let path = if number % 10 == 5 { "slow?ms=30" } else { "" };
    let request = Request::get(format!("http://{address}/{path}")).body(())?;
    let (response, _) = sender.send_request(request, true)?;
    let mut body = response.await.with_context(|| format!("request {number}"))?.into_body();
    let mut text = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.with_context(|| format!("the answer to request {number}"))?;
        body.flow_control().release_capacity(chunk.len())?;
        text.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8(text)?)
}
