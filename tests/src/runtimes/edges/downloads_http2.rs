//! Downloads by HTTP/2 during a restart: they are complete, although their client keeps sending WINDOW_UPDATE.

use std::io::Read as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Waking, Poll, ready};

use anyhow::Context as _;
use h2::RecvStream;
use h2::client::Builder;
use http::Request;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::command::{self, Running, curl, nghttp};
use super::edge::{Edge, HTTP2, each, is_sized};
use crate::client::Target;
use crate::drills::{Context, Drill};

/// The size of the download with h2.
const KIB: usize = 4096;
/// Its window. The client reports to the server each half of it that was read.
const WINDOW: u32 = 256 * 1024;
/// The size of the download with curl. curl's window is 32 MiB, so that it reports the second half of it long after the server
/// has written the end.
const CURL_KIB: usize = 36 * 1024;
const CURL_RATE: &str = "16M";
/// The size of the download with nghttp.
const NGHTTP_KIB: usize = 16 * 1024;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "edges_download_by_h2",
            "4 MiB with a window of 256 KiB, read in small parts",
            |context| each(context, HTTP2, |config| config.idle_ms = 100, |_, edge| by_h2(edge)),
        ),
        Drill::both("edges_download_by_curl", "36 MiB with curl by HTTP/2 at a limited speed", |context| {
            each(context, HTTP2, |config| config.idle_ms = 100, by_curl)
        }),
        Drill::both("edges_download_by_nghttp", "16 MiB with nghttp2's client", |context| {
            each(context, HTTP2, |config| config.idle_ms = 100, by_nghttp)
        }),
    ]
}

fn by_curl(context: &Context, edge: &mut Edge) -> anyhow::Result<()> {
    if !command::is_there(context, "curl", "curl")? {
        return Ok(());
    }
    let version = if edge.server.tls { "--http2" } else { "--http2-prior-knowledge" };
    let targets = edge.targets()?;
    let clients = targets.iter().map(|target| {
        let (socket, url) = edge.url(target);
        let url = format!("{url}/sized?kib={CURL_KIB}");
        Ok(Running::new(curl(&socket).args([version, "--limit-rate", CURL_RATE, &url]).spawn()?))
    });
    let clients = clients.collect::<anyhow::Result<_>>()?;
    through_a_restart(edge, clients, CURL_KIB)
}

fn by_nghttp(context: &Context, edge: &mut Edge) -> anyhow::Result<()> {
    if !command::is_there(context, "nghttp", "nghttp2-client")? {
        return Ok(());
    }
    let targets = edge.targets()?;
    // It does not support Unix sockets.
    let clients = targets.iter().filter(|target| matches!(target, Target::Tcp(_))).map(|target| {
        let url = format!("{}/sized?kib={NGHTTP_KIB}", edge.url(target).1);
        Ok(Running::new(nghttp().arg(url).spawn()?))
    });
    let clients = clients.collect::<anyhow::Result<_>>()?;
    through_a_restart(edge, clients, NGHTTP_KIB)
}

/// A client whose output nobody reads stops reading when its pipe is full.
fn through_a_restart(edge: &mut Edge, mut clients: Vec<Running>, kib: usize) -> anyhow::Result<()> {
    for client in &mut clients {
        client.stdout()?.read_exact(&mut [0; 1024])?;
    }
    edge.restart()?;
    for mut client in clients {
        let mut body = vec![0; 1024];
        // The first line, which was read above.
        body[..].copy_from_slice(format!("{:>1023}\n", 0).as_bytes());
        client.stdout()?.read_to_end(&mut body)?;
        client.succeeds().with_context(|| format!("after {} of {kib} KiB", body.len() / 1024))?;
        is_sized(&body, kib)?;
    }
    Ok(())
}

fn by_h2(edge: &mut Edge) -> anyhow::Result<()> {
    let targets = edge.targets()?;
    let begin = |target| Download::begin(target, edge.server.tls);
    let downloads: Vec<Download> = targets.iter().map(begin).collect::<anyhow::Result<_>>()?;
    edge.restart()?;
    downloads.into_iter().try_for_each(Download::end)
}

/// A download in a runtime that runs during the calls of this type, and is stopped in between.
struct Download {
    runtime: Runtime,
    body: RecvStream,
    got: Vec<u8>,
}

impl Download {
    fn begin(target: &Target, tls: bool) -> anyhow::Result<Download> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let body = runtime.block_on(ask(target, tls))?;
        let mut download = Download { runtime, body, got: Vec::new() };
        download.read(64 * 1024)?;
        Ok(download)
    }

    fn end(mut self) -> anyhow::Result<()> {
        self.read(usize::MAX).with_context(|| format!("after {} of {KIB} KiB", self.got.len() / 1024))?;
        is_sized(&self.got, KIB)
    }

    fn read(&mut self, most: usize) -> anyhow::Result<()> {
        let Download { runtime, body, got } = self;
        runtime.block_on(async {
            while got.len() < most {
                let Some(piece) = body.data().await.transpose()? else { break };
                body.flow_control().release_capacity(piece.len())?;
                got.extend_from_slice(&piece);
            }
            Ok(())
        })
    }
}

async fn ask(target: &Target, tls: bool) -> anyhow::Result<RecvStream> {
    match target {
        Target::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            setsockopt(&stream, sockopt::RcvBuf, &(64 * 1024))?;
            ask_securely(stream, tls).await
        }
        Target::Unix(path) => ask_securely(UnixStream::connect(path).await?, tls).await,
    }
}

async fn ask_securely<I>(stream: I, tls: bool) -> anyhow::Result<RecvStream>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if !tls {
        return ask_by(Sips(stream, false)).await;
    }
    let mut config = super::super::tls::trusting()?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connecting =
        TlsConnector::from(Arc::new(config)).connect("localhost".try_into()?, Sips(stream, false));
    ask_by(connecting.await?).await
}

async fn ask_by<I>(stream: I) -> anyhow::Result<RecvStream>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let (sender, connection) = builder.handshake::<_, bytes::Bytes>(stream).await?;
    tokio::spawn(connection);
    let request = Request::get(format!("http://localhost/sized?kib={KIB}")).body(())?;
    let (response, _) = sender.ready().await?.send_request(request, true)?;
    Ok(response.await?.into_body())
}

/// Reads a little at a time, and yields to other tasks in between.
struct Sips<I>(I, bool);

impl<I: AsyncRead + Unpin> AsyncRead for Sips<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Waking<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        this.1 = !this.1;
        if this.1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut bytes = [0; 8 * 1024];
        let most = buffer.remaining().min(bytes.len());
        let mut little = ReadBuf::new(&mut bytes[..most]);
        ready!(Pin::new(&mut this.0).poll_read(cx, &mut little))?;
        buffer.put_slice(little.filled());
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Sips<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Waking<'_>, buffer: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Waking<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Waking<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
