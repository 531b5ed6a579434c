//! HTTP/1.1 with keep-alive, with reqwest.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use http::header::CONNECTION;
use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::{Client, retry};

use super::clients::{Clients, Seat, THINKS, Tally};
use crate::http::Identity;

pub(super) fn clients(address: &str) -> anyhow::Result<Clients> {
    Clients::start(address, |address, seat| client("http", address, seat))
}

/// The same over TLS.
pub(super) fn tls_clients(address: &str) -> anyhow::Result<Clients> {
    Clients::start(address, |address, seat| client("https", address, seat))
}

/// Sends one request after another. The library below reqwest repeats a request if its connection turns out to be closed. So the
/// previous answer must announce a change of the connection.
async fn client(scheme: &str, address: SocketAddr, seat: Seat) -> anyhow::Result<Tally> {
    let client = Client::builder().no_proxy().retry(retry::never()).http1_only();
    let client = client.tls_backend_preconfigured(super::tls::trusting()?).build()?;
    let mut tally = Tally::default();
    let mut kept = None;
    while !seat.is_over() {
        let path = if tally.requests % 10 == 5 { "slow?ms=30" } else { "" };
        let response = client.get(format!("{scheme}://{address}/{path}")).send().await;
        let response = response.with_context(|| format!("request {}", tally.requests))?;
        ensure!(response.status() == 200, "status: expected 200, found {}", response.status());
        let connection = response.extensions().get::<HttpInfo>().context("no connection")?.local_addr();
        if kept != Some(connection) {
            ensure!(kept.is_none(), "the connection of {kept:?} ended, and the request went to another");
            tally.connections += 1;
        }
        let closes = response.headers().get(CONNECTION).is_some_and(|value| value == "close");
        kept = (!closes).then_some(connection);
        let body = response.text().await?;
        Identity::parse(&body).with_context(|| format!("body: expected an identity, found `{body}`"))?;
        tally.requests += 1;
        seat.answered();
        tokio::time::sleep(THINKS).await;
    }
    Ok(tally)
}
