//! Every kind of socket carried over, with a client that counts what is not answered.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{Context, Drill, nothing_lost, restarts_well};
use crate::config::StrategyKind;
use crate::paced::Paced;
use crate::service::{Service, ServiceOptions};

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both("socket_tcp_v6", "TCP over IPv6: 5 restarts, no request is lost", |context| {
            kind(context, V6, "[::1]:0", 5)
        }),
        Drill::both(
            "socket_dual_stack",
            "one TCP listener for IPv4 and IPv6: 5 restarts, no request is lost",
            |context| kind(context, V6, "dual:[::]:0", 5),
        ),
        Drill::both("socket_v6only", "TCP for IPv6 only: it stays that way over 5 restarts", v6only),
        Drill::both("socket_unix", "a Unix stream: 5 restarts, no request is lost", |context| {
            kind(context, ANY, "unix:PATH", 5)
        }),
        Drill::both("socket_abstract", "an abstract name: 5 restarts, no request is lost", |context| {
            kind(context, ANY, &format!("unix:@goagain-{}-{}", std::process::id(), context.strategy), 5)
        }),
        Drill::both("socket_seqpacket", "Unix SOCK_SEQPACKET: 5 restarts, no request is lost", |context| {
            kind(context, ANY, "unixpacket:PATH", 5)
        }),
        Drill::both(
            "socket_udp",
            "UDP: 20 restarts, each datagram of a paced sender is answered",
            |context| kind(context, ANY, "udp:127.0.0.1:0", 20),
        ),
        Drill::both(
            "socket_unix_datagram",
            "Unix datagrams: 20 restarts, each datagram of a paced sender is answered",
            |context| kind(context, ANY, "unixgram:PATH", 20),
        ),
        Drill::both(
            "socket_group",
            "four TCP listeners of one address: 5 restarts, no request is lost",
            |context| kind(context, ANY, "group:4:127.0.0.1:0", 5),
        ),
        Drill::both(
            "any_descriptor",
            "a file, a memfd, a pipe and a connection are carried over, with their contents",
            any_descriptor,
        ),
        Drill::both(
            "socket_adopted",
            "a listener that a parent bound and passed as descriptor 3: 5 restarts, no request is lost",
            adopted,
        ),
        Drill {
            name: "socket_not_adopted",
            about: "a descriptor 3 that is no listener: the server reports it and does not start",
            strategies: &[StrategyKind::Single],
            run: not_adopted,
        },
    ]
}

/// Whether a machine supports a kind of socket.
type Machine = fn() -> bool;
const ANY: Machine = || true;
const V6: Machine = || TcpListener::bind("[::1]:0").is_ok();

/// The interval between a client's requests.
const BEAT: Duration = Duration::from_millis(2);

/// Tests a socket of one kind in addition to the one that the harness uses.
fn kind(context: &Context, machine: Machine, address: &str, restarts: usize) -> anyhow::Result<()> {
    if !machine() {
        context.note("this machine has no IPv6");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    let address = address.replace("PATH", &path.display().to_string());
    let mut service = context.start_with(|config| config.listen.push(("socket".into(), address.clone())))?;
    let shown = service.address("socket")?;
    let members = (2..=4).filter(|number| service.address(&format!("socket#{number}")).is_ok()).count();
    ensure!(members == if address.starts_with("group:4:") { 3 } else { 0 }, "members: found {members} more");
    let client = Paced::start(&shown, BEAT)?;
    for number in 1..=restarts {
        restarts_well(&mut service).with_context(|| format!("restart {number}"))?;
        let inherited = service.address("socket")?;
        ensure!(inherited == shown, "address: expected {shown}, found {inherited}");
    }
    let tally = client.nothing_lost(restarts)?;
    context.note(format!("{} asked, none lost", tally.asked));
    service.end()?;
    ensure!(!path.exists(), "{}: expected it to be unlinked by the last owner", path.display());
    Ok(())
}

fn v6only(context: &Context) -> anyhow::Result<()> {
    kind(context, V6, "v6only:[::1]:0", 5)?;
    if !V6() {
        return Ok(());
    }
    let mut service =
        context.start_with(|config| config.listen.push(("socket".into(), "v6only:[::]:0".into())))?;
    for _ in 0..2 {
        refuses_v4(&service)?;
        restarts_well(&mut service)?;
    }
    service.end()
}

fn refuses_v4(service: &Service) -> anyhow::Result<()> {
    let address: std::net::SocketAddr =
        service.address("socket")?.strip_prefix("tcp:").context("a TCP address")?.parse()?;
    ensure!(
        std::net::TcpStream::connect(("127.0.0.1", address.port())).is_err(),
        "IPv4: expected it to be refused"
    );
    std::net::TcpStream::connect(("::1", address.port())).context("IPv6")?;
    Ok(())
}

fn any_descriptor(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| config.behavior = "keeps".into())?;
    for _ in 0..3 {
        restarts_well(&mut service)?;
    }
    for generation in 1..=service.generation()? {
        let all = service.events();
        let event = all.iter().find(|event| event.name == "kept" && event.generation == generation);
        let event = event.with_context(|| format!("generation {generation}: expected an event `kept`"))?;
        for name in ["file", "memfd", "pipe", "connection"] {
            let found = event.detail[name].as_u64();
            ensure!(
                found == Some(generation - 1),
                "{name}: expected what generation {} put there, found {found:?}",
                generation - 1
            );
        }
    }
    service.end()
}

/// Options for a server that starts with a socket as descriptor 3, and adopts it as `http`.
fn with_descriptor_3(context: &Context, socket: impl Into<OwnedFd>) -> ServiceOptions {
    let mut options =
        context.options().config(|config| config.listen = vec![("http".into(), "adopt:3".into())]);
    options.script = Some(r#"exec "$0" 3<&0 0</dev/null"#);
    options.stdin = Some(Arc::new(socket.into()));
    options
}

fn adopted(context: &Context) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let bound = format!("tcp:{}", listener.local_addr()?);
    let mut service = context.start_options(with_descriptor_3(context, listener))?;
    let load = context.load(&service)?;
    for number in 1..=5 {
        restarts_well(&mut service).with_context(|| format!("restart {number}"))?;
        let found = service.address("http")?;
        ensure!(found == bound, "address: expected {bound}, found {found}");
    }
    let records = nothing_lost(load)?;
    context.note(format!("{} requests, none lost", records.len()));
    service.end()
}

fn not_adopted(context: &Context) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let expected = format!(
        "cannot adopt descriptor 3 for `http`: expected a listening socket (TCP, Unix or SOCK_SEQPACKET), found udp:{}",
        socket.local_addr()?
    );
    let service = Service::spawn(&context.binaries, with_descriptor_3(context, socket))?;
    service.await_gone(service.main_pid())?;
    let stderr = service.stderr();
    ensure!(stderr.contains(&expected), "stderr: expected `{expected}`, found `{stderr}`");
    service.ended()
}
