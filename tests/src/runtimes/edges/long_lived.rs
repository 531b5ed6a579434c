//! WebSockets over HTTP/2 (RFC 8441): long-lived streams of a connection that is like any other.

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
        "a WebSocket over HTTP/2 is told when the long-lived are, and not by the drain's deadline",
        |context| each(context, HTTP2, |config| config.idle_ms = 100, |_, edge| told(edge)),
    )]
}

fn told(edge: &mut Edge) -> anyhow::Result<()> {
    let targets = edge.targets()?;
    let open = |target| Socket::open(target, edge.server.tls);
    let mut sockets: Vec<Socket> = targets.iter().map(open).collect::<anyhow::Result<_>>()?;
    for socket in &mut sockets {
        socket.say("hello")?;
        socket.hears("hello")?;
    }
    edge.restart()?;
    for mut socket in sockets {
        socket.hears("restart").context("at parting")?;
        socket.say("goodbye")?;
        socket.hears("goodbye").context("after it was told")?;
    }
    Ok(())
}

/// A WebSocket, in a runtime that runs while this does something.
struct Socket {
    runtime: Runtime,
    // While it lives the connection does.
    _sender: SendRequest<Bytes>,
    says: SendStream<Bytes>,
    hears: RecvStream,
    heard: Vec<u8>,
}

impl Socket {
    fn open(target: &Target, tls: bool) -> anyhow::Result<Socket> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, says, hears) = runtime.block_on(async {
            match target {
                Target::Tcp(address) => securely(TcpStream::connect(address).await?, tls).await,
                Target::Unix(path) => securely(UnixStream::connect(path).await?, tls).await,
            }
        })?;
        Ok(Socket { runtime, _sender: sender, says, hears, heard: Vec::new() })
    }

    /// One frame of text, masked by zeros.
    fn say(&mut self, word: &str) -> anyhow::Result<()> {
        let mut frame = vec![0x81, 0x80 | word.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(word.as_bytes());
        Ok(self.says.send_data(frame.into(), false)?)
    }

    /// The next frame is this text.
    fn hears(&mut self, word: &str) -> anyhow::Result<()> {
        let mut frame = vec![0x81, word.len() as u8];
        frame.extend_from_slice(word.as_bytes());
        let Socket { runtime, hears, heard, .. } = self;
        runtime.block_on(async {
            while heard.len() < frame.len() {
                let piece = tokio::time::timeout(DEADLINE, hears.data()).await;
                let piece =
                    piece.with_context(|| format!("expected `{word}`, found nothing within {DEADLINE:?}"))?;
                let piece = piece.with_context(|| format!("expected `{word}`, found the end"))??;
                hears.flow_control().release_capacity(piece.len())?;
                heard.extend_from_slice(&piece);
            }
            anyhow::Ok(())
        })?;
        let rest = heard.split_off(frame.len());
        ensure!(*heard == frame, "expected `{word}`, found {heard:?}");
        *heard = rest;
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
    // With the first answer the server's settings have come, which say that it knows RFC 8441.
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
