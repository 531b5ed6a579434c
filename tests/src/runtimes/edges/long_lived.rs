//! WebSockets over HTTP/2 (RFC 8441): long-lived streams of a connection that is otherwise like any other.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::edge::{Edge, HTTP2, each};
use crate::client::Target;
use crate::drills::Drill;
use crate::service::DEADLINE;

pub(super) fn all() -> Vec<Drill> {
    vec![Drill::both(
        "edges_websocket_http2",
        "a WebSocket over HTTP/2 is asked to close when long-lived connections are, before drain_timeout",
        |context| each(context, HTTP2, |config| config.idle_ms = 100, |_, edge| asked_to_close(edge)),
    )]
}

fn asked_to_close(edge: &mut Edge) -> anyhow::Result<()> {
    let targets = edge.targets()?;
    let open = |target| Socket::open(target, edge.server.tls);
    let mut sockets: Vec<Socket> = targets.iter().map(open).collect::<anyhow::Result<_>>()?;
    for socket in &mut sockets {
        socket.send("hello")?;
        socket.receives("hello")?;
    }
    edge.restart()?;
    for mut socket in sockets {
        socket.receives("restart").context("when it is asked to close")?;
        socket.send("goodbye")?;
        socket.receives("goodbye").context("after it was asked to close")?;
    }
    Ok(())
}

/// A WebSocket, in a runtime that runs during the calls of this type.
struct Socket {
    runtime: Runtime,
    // The connection is open while it exists.
    _sender: SendRequest<Bytes>,
    says: SendStream<Bytes>,
    receiver: RecvStream,
    received: Vec<u8>,
}

impl Socket {
    fn open(target: &Target, tls: bool) -> anyhow::Result<Socket> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, says, receiver) = runtime.block_on(async {
            match target {
                Target::Tcp(address) => securely(TcpStream::connect(address).await?, tls).await,
                Target::Unix(path) => securely(UnixStream::connect(path).await?, tls).await,
            }
        })?;
        Ok(Socket { runtime, _sender: sender, says, receiver, received: Vec::new() })
    }

    /// Sends one frame of text, masked with zeros.
    fn send(&mut self, word: &str) -> anyhow::Result<()> {
        let mut frame = vec![0x81, 0x80 | word.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(word.as_bytes());
        Ok(self.says.send_data(frame.into(), false)?)
    }

    /// Checks that the next frame is this text.
    fn receives(&mut self, word: &str) -> anyhow::Result<()> {
        let mut frame = vec![0x81, word.len() as u8];
        frame.extend_from_slice(word.as_bytes());
        let Socket { runtime, receiver, received, .. } = self;
        runtime.block_on(async {
            while received.len() < frame.len() {
                let piece = tokio::time::timeout(DEADLINE, receiver.data()).await;
                let piece =
                    piece.with_context(|| format!("expected `{word}`, found nothing within {DEADLINE:?}"))?;
                let piece = piece.with_context(|| format!("expected `{word}`, found the end"))??;
                receiver.flow_control().release_capacity(piece.len())?;
                received.extend_from_slice(&piece);
            }
            anyhow::Ok(())
        })?;
        let rest = received.split_off(frame.len());
        ensure!(*received == frame, "expected `{word}`, found {received:?}");
        *received = rest;
        Ok(())
    }
}

type Opened = (SendRequest<Bytes>, SendStream<Bytes>, RecvStream);

async fn securely<I>(stream: I, tls: bool) -> anyhow::Result<Opened>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if !tls {
        return open(stream).await;
    }
    let mut config = super::super::tls::trusting()?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    open(TlsConnector::from(Arc::new(config)).connect("localhost".try_into()?, stream).await?).await
}

async fn open<I>(stream: I) -> anyhow::Result<Opened>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = Builder::new().handshake::<_, Bytes>(stream).await?;
    tokio::spawn(connection);
    let mut sender = sender.ready().await?;
    // With the first answer the server's settings have arrived, which announce RFC 8441.
    let (first, _) = sender.send_request(Request::get("http://localhost/").body(())?, true)?;
    drop(first.await?);
    ensure!(sender.is_extended_connect_protocol_enabled(), "expected the settings of RFC 8441, found none");
    let mut sender = sender.ready().await?;
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://localhost/echo")
        .header("sec-websocket-version", "13")
        .body(())?;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let (response, says) = sender.send_request(request, false)?;
    let response = response.await?;
    ensure!(response.status() == 200, "status: expected 200, found {}", response.status());
    Ok((sender, says, response.into_body()))
}
