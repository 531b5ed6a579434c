//! WebSockets, with tungstenite.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::clients::{Clients, Seat, THINKS, Tally};

pub(super) fn clients(address: &str) -> anyhow::Result<Clients> {
    Clients::start(address, client)
}

/// Sends one word after another, and the server echoes each. When it sends that it restarts, the client reconnects.
async fn client(address: SocketAddr, seat: Seat) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    while !seat.is_over() {
        let stream = TcpStream::connect(address).await?;
        let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/echo"), stream).await?;
        tally.connections += 1;
        let mut goes = false;
        while !goes && !seat.is_over() {
            let word = Message::text(tally.requests.to_string());
            socket.send(word.clone()).await.with_context(|| format!("word {}", tally.requests))?;
            loop {
                match socket.next().await {
                    Some(Ok(said)) if said == word => break,
                    Some(Ok(said)) if said == Message::text("restart") => goes = true,
                    other => bail!("word {}: expected its echo, found {other:?}", tally.requests),
                }
            }
            tally.requests += 1;
            seat.answered();
            match timeout(THINKS, socket.next()).await {
                Err(_) => {}
                Ok(Some(Ok(said))) if said == Message::text("restart") => goes = true,
                Ok(other) => bail!("expected silence or `restart`, found {other:?}"),
            }
        }
        socket.close(None).await?;
        // Reads to the end of the closing handshake.
        while let Some(Ok(_)) = socket.next().await {}
    }
    Ok(tally)
}
