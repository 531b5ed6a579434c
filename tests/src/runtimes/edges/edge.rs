//! The servers, and the progress of a restart of one.

use std::path::Path;
use std::thread;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use super::wire::Wire;
use crate::client::Target;
use crate::config::ServerConfig;
use crate::drills::Context;
use crate::events::Event;
use crate::image::Image;
use crate::service::{DEADLINE, Service};

/// An `idle_grace` that never ends in a drill, however busy the machine is; in milliseconds.
pub(super) const LONG: u64 = 100_000;

/// A server, by its behavior, and how clients connect to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) tls: bool,
    /// The only kind of socket that it listens on, if there is one.
    only: Option<Socket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    Tcp,
    Unix,
}

const fn server(name: &'static str) -> Server {
    Server { name, tls: false, only: None }
}

const MIO: Server = Server { only: Some(Socket::Tcp), ..server("mio") };
const MIO_UNIX: Server = Server { only: Some(Socket::Unix), ..server("mio") };
const TLS: Server = Server { tls: true, ..server("axum_tls") };

/// The servers that speak HTTP/1.1, which are all.
pub(super) const HTTP1: &[Server] = &[
    server("threads"),
    server("pool"),
    MIO,
    MIO_UNIX,
    server("tokio"),
    server("axum"),
    server("axum_serve"),
    TLS,
    server("tonic"),
    server("actix"),
];

/// The servers that speak HTTP/2.
pub(super) const HTTP2: &[Server] = &[server("axum"), server("axum_serve"), TLS, server("tonic")];

/// The server of the guide `servers`, which echoes.
pub(super) const GUIDE: &[Server] = &[server("echo")];

/// The servers behind a load balancer.
pub(super) const PROXIED: &[Server] = &[server("threads_proxied"), server("axum_proxied")];

/// A server under test.
#[derive(Debug)]
pub(super) struct Edge {
    service: Service,
    /// The folder of its Unix socket.
    _folder: TempDir,
    pub(super) server: Server,
    /// The generation before the restart.
    restarted: Option<u64>,
}

/// Runs `drill` against each of `servers` at the same time.
pub(super) fn each(
    context: &Context,
    servers: &[Server],
    change: fn(&mut ServerConfig),
    drill: fn(&Context, &mut Edge) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let one = |server: &Server| {
        let mut edge = Edge::start(context, *server, change)?;
        drill(context, &mut edge)?;
        if let Some(before) = edge.restarted {
            // Its clients are gone, so that nothing delays the drain.
            edge.service.await_settled(before)?;
        }
        edge.service.end()
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let all: Vec<_> = servers.iter().map(|server| (server, scope.spawn(move || one(server)))).collect();
        let ended = all.into_iter().map(|(server, thread)| (server, thread.join()));
        let failures = ended.filter_map(|(Server { name, only, .. }, result)| match result {
            Ok(result) => {
                result.err().map(|error| format!("{name} {}: {error:#}", only.map_or("", Socket::name)))
            }
            Err(_) => Some(format!("{name}: the drill panicked")),
        });
        failures.collect()
    });
    ensure!(failures.is_empty(), "{} of {} servers:\n{}", failures.len(), servers.len(), failures.join("\n"));
    Ok(())
}

impl Socket {
    fn name(self) -> &'static str {
        match self {
            Socket::Tcp => "tcp",
            Socket::Unix => "unix",
        }
    }

    fn address(self, folder: &Path) -> String {
        match self {
            Socket::Tcp => "127.0.0.1:0".to_owned(),
            Socket::Unix => format!("unix:{}", folder.join("socket").display()),
        }
    }
}

impl Edge {
    fn start(context: &Context, server: Server, change: fn(&mut ServerConfig)) -> anyhow::Result<Edge> {
        let folder = tempfile::tempdir()?;
        let sockets = server.only.map_or(vec![Socket::Tcp, Socket::Unix], |only| vec![only]);
        let options = context.options().image(Image::link(&context.binaries.server)).config(|config| {
            config.behavior = server.name.to_owned();
            config.drain_ms = 120_000;
            let listen =
                sockets.iter().map(|socket| (socket.name().to_owned(), socket.address(folder.path())));
            config.listen = listen.collect();
            change(config);
        });
        let service = context.start_options(options)?;
        Ok(Edge { service, _folder: folder, server, restarted: None })
    }

    /// Returns the addresses where it listens.
    pub(super) fn targets(&self) -> anyhow::Result<Vec<Target>> {
        let addresses = ["tcp", "unix"].into_iter().filter_map(|name| self.service.address(name).ok());
        let targets: Vec<Target> = addresses.map(|address| address.parse()).collect::<Result<_, _>>()?;
        ensure!(!targets.is_empty(), "expected an address, found none");
        Ok(targets)
    }

    /// Opens a connection to each of its addresses.
    pub(super) fn connect(&self) -> anyhow::Result<Vec<Wire>> {
        self.targets()?.iter().map(|target| Wire::open(target, self.server.tls)).collect()
    }

    /// Restarts it, and waits until the new image accepts. From then on the old one drains.
    pub(super) fn restart(&mut self) -> anyhow::Result<()> {
        let before = self.service.restart()?.generation;
        self.restarted = Some(before);
        let accepts = |event: &Event| event.name == "owner" && event.generation > before;
        self.service.await_event(accepts, DEADLINE).context("waiting for the new image to accept")?;
        Ok(())
    }

    /// Does the same, and waits until the old image asks idle connections to close: an idle connection to it is closed.
    pub(super) fn restart_to_closing_idle(&mut self) -> anyhow::Result<()> {
        let target = self.targets()?.remove(0);
        let mut idle = Wire::open(&target, self.server.tls)?;
        idle.ask("/")?;
        self.restart()?;
        idle.end().context("an idle connection")
    }

    /// Restarts it, and waits until that is over, including the second half under Double.
    pub(super) fn restart_and_settle(&mut self) -> anyhow::Result<()> {
        self.service.restart_and_settle().map(drop)
    }

    /// Returns curl's arguments for an address: those for the socket, and the beginning of the URL.
    pub(super) fn url(&self, target: &Target) -> (Vec<String>, String) {
        let scheme = if self.server.tls { "https" } else { "http" };
        match target {
            Target::Tcp(address) => (Vec::new(), format!("{scheme}://{address}")),
            Target::Unix(path) => (
                vec!["--unix-socket".to_owned(), path.display().to_string()],
                format!("{scheme}://localhost"),
            ),
        }
    }
}

/// Checks that these are the `kib` KiB of `/sized`, complete and in order.
pub(super) fn is_sized(body: &[u8], kib: usize) -> anyhow::Result<()> {
    ensure!(body.len() == kib * 1024, "body: expected {} bytes, found {}", kib * 1024, body.len());
    for (number, line) in body.chunks(1024).enumerate() {
        let text = std::str::from_utf8(line).unwrap_or_default();
        if text.trim_start() != format!("{number}\n") {
            bail!("body: expected line {number}, found `{}`", text.trim());
        }
    }
    Ok(())
}
