//! HTTP/2, by h2.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use h2::Reason;
use h2::client::{SendRequest, handshake};
use http::Request;
use tokio::net::TcpStream;

use super::clients::{Clients, Seat, THINKS, Tally};
use crate::http::Identity;

pub(super) fn clients(address: &str) -> anyhow::Result<Clients> {
    Clients::start(address, client)
}

/// One request after another, on a connection until the server says GOAWAY: what was sent by then has to be answered.
async fn client(address: SocketAddr, seat: Seat) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    while !seat.is_over() {
        let (mut sender, connection) = handshake(TcpStream::connect(address).await?).await?;
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
