//! Restarts that add or drop sockets, or change their addresses.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{Context, Drill, SHORT, nothing_lost, restarts_well, serves_as_before, successor_is_gone};
use crate::client::Connection;
use crate::http::Identity;
use crate::paced::Paced;
use crate::service::{DEADLINE, Service};

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "sockets_added",
            "a restart adds TCP, Unix and UDP sockets: each exists, and is carried over from then on",
            added,
        ),
        Drill::both(
            "tcp_dropped",
            "a restart drops a listener: its queue is served before it is closed, the port is free",
            |context| dropped(context, "127.0.0.1:0"),
        ),
        Drill::both(
            "unix_dropped",
            "a restart drops a Unix listener: its queue is served before it is closed, the path is gone",
            |context| dropped(context, "unix:PATH"),
        ),
        Drill::both(
            "udp_dropped",
            "a restart drops a UDP socket: the datagrams in its queue are answered before it is closed",
            udp_dropped,
        ),
        Drill::both(
            "listener_address_changes",
            "another address for a name fails the restart, and the reason names both; with `rebind` the listener changes its address",
            address_changes,
        ),
        Drill::both(
            "port_in_use",
            "a new listener whose port is in use fails the restart, not the service",
            port_in_use,
        ),
        Drill::both(
            "group_grows",
            "a group of listeners of one address grows in a restart, and never shrinks: no request is lost",
            group,
        ),
        Drill::both(
            "changes_rolled_back",
            "an image that added, dropped and rebound sockets dies once it is the owner: everything is as before",
            rolled_back,
        ),
        Drill::both(
            "invalid_socket_messages",
            "an image announces a descriptor that was not sent, or none: aborted, the old process keeps serving",
            invalid_messages,
        ),
    ]
}

const BEAT: Duration = Duration::from_millis(2);
/// Fewer than any queue can take: net.unix.max_dgram_qlen may be 10.
const QUEUED: usize = 8;

/// Returns the listener that the harness uses, and these.
fn listen(more: &[(&str, &str)]) -> Value {
    let all: Vec<_> = [("http", "127.0.0.1:0")].iter().chain(more).collect();
    json!(all)
}

fn added(context: &Context) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let more = [("tcp", "127.0.0.1:0"), ("unix", unix.as_str()), ("udp", "udp:127.0.0.1:0")];
    let mut service = context.start()?;
    let before = service.generation()?;
    let load = context.load(&service)?;
    service.deploy(&service.image().with("listen", listen(&more)))?;
    service.restart()?;
    service.await_event(|event| event.name == "owner" && event.generation > before, DEADLINE)?;
    let addresses = more.map(|(name, _)| service.address(name).unwrap_or_default());
    let clients =
        addresses.iter().map(|address| Paced::start(address, BEAT)).collect::<Result<Vec<_>, _>>()?;
    for (name, _) in more {
        service.await_event(|event| event.name == "added" && event.detail["name"] == name, DEADLINE)?;
    }
    // Under Double the first process becomes the owner again, and has not bound them.
    service.await_settled(before)?;
    for _ in 0..3 {
        restarts_well(&mut service)?;
        let inherited = more.map(|(name, _)| service.address(name).unwrap_or_default());
        ensure!(inherited == addresses, "addresses: expected {addresses:?}, found {inherited:?}");
    }
    for client in clients {
        client.nothing_lost(4)?;
    }
    nothing_lost(load)?;
    service.end()?;
    ensure!(!path.exists(), "{}: expected it to be unlinked by the last owner", path.display());
    Ok(())
}

/// Starts a service whose socket is not read before the end of the term, so that everything sent to it stays in its queue.
fn with_queue(context: &Context, address: &str) -> anyhow::Result<Service> {
    context.start_with(|config| {
        config.listen.push(("socket".into(), address.to_owned()));
        config.behavior = "late".into();
    })
}

/// Restarts into an image that does not ask for the socket.
fn without(service: &mut Service) -> anyhow::Result<u64> {
    let image = service.image().with("listen", listen(&[])).behavior("");
    service.deploy(&image)?;
    Ok(service.restart()?.generation)
}

fn dropped(context: &Context, address: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    let mut service = with_queue(context, &address.replace("PATH", &path.display().to_string()))?;
    let target = service.address("socket")?.parse()?;
    let load = context.load(&service)?;
    let mut queued = Vec::new();
    for _ in 0..QUEUED {
        let mut connection = Connection::open(&target)?;
        connection.send("/", true)?;
        queued.push(connection);
    }
    let before = without(&mut service)?;
    service.await_event(|event| event.name == "dropped" && event.detail["name"] == "socket", DEADLINE)?;
    for connection in &mut queued {
        let answer = connection.answer()?;
        let generation = answer.identity().context("an identity")?.generation;
        ensure!(generation == before, "generation: expected {before}, found {generation}");
    }
    service.await_settled(before)?;
    ensure!(Connection::open(&target).is_err(), "{target}: expected it to be closed");
    is_gone(&path)?;
    restarts_well(&mut service)?;
    nothing_lost(load)?;
    service.end()
}

fn is_gone(path: &Path) -> anyhow::Result<()> {
    ensure!(!path.exists(), "{}: expected it to be unlinked by the last owner", path.display());
    Ok(())
}

fn udp_dropped(context: &Context) -> anyhow::Result<()> {
    let mut service = with_queue(context, "udp:127.0.0.1:0")?;
    let address: SocketAddr = service.address("socket")?.strip_prefix("udp:").context("UDP")?.parse()?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(DEADLINE))?;
    for _ in 0..QUEUED {
        client.send_to(b"1", address)?;
    }
    let before = without(&mut service)?;
    for _ in 0..QUEUED {
        let mut answer = [0; 1500];
        let length = client.recv(&mut answer).context("an answer")?;
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        let identity = text.strip_prefix("1 ").and_then(Identity::parse).context("an identity")?;
        ensure!(identity.generation == before, "generation: expected {before}, found {identity:?}");
    }
    service.await_settled(before)?;
    UdpSocket::bind(address).with_context(|| format!("{address}: expected it to be free"))?;
    restarts_well(&mut service)?;
    service.end()
}

fn address_changes(context: &Context) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let mut service =
        context.start_with(|config| config.listen.push(("socket".into(), "127.0.0.1:0".into())))?;
    let owner = service.owner()?;
    let (old, target) = (service.address("socket")?, service.address("socket")?.parse()?);
    let load = context.load(&service)?;

    service.deploy(&service.image().with("listen", listen(&[("socket", &unix)])))?;
    service.restart()?;
    let failed = service.await_name("failed")?;
    let reason = failed.detail["reason"].as_str().unwrap_or_default().to_owned();
    ensure!(
        reason.contains("`socket`") && reason.contains(&old) && reason.contains(&unix),
        "reason: expected `socket`, {old} and {unix}, found `{reason}`"
    );
    successor_is_gone(&service, owner)?;
    nothing_lost(load)?;
    serves_as_before(&service, owner)?;

    let load = context.load(&service)?;
    let rebind = format!("rebind:{unix}");
    service.deploy(&service.image().with("listen", listen(&[("socket", &rebind)])))?;
    let before = service.restart()?.generation;
    for name in ["dropped", "added"] {
        service.await_event(|event| event.name == name && event.detail["name"] == "socket", DEADLINE)?;
    }
    service.await_settled(before)?;
    for _ in 0..2 {
        let shown = service.address("socket")?;
        ensure!(shown == unix, "address: expected {unix}, found {shown}");
        let answered = service.get_from("socket", "/")?;
        ensure!(answered.pid == service.owner()?, "socket: expected the owner, found {}", answered.pid);
        ensure!(Connection::open(&target).is_err(), "{target}: expected it to be closed");
        restarts_well(&mut service)?;
    }
    nothing_lost(load)?;
    service.end()?;
    is_gone(&path)
}

fn port_in_use(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    let owner = service.owner()?;
    let load = context.load(&service)?;
    let other = TcpListener::bind("127.0.0.1:0")?;
    let address = other.local_addr()?.to_string();
    service.deploy(&service.image().with("listen", listen(&[("socket", &address)])))?;
    service.restart()?;
    let failed = service.await_name("failed")?;
    let reason = failed.detail["reason"].as_str().unwrap_or_default().to_owned();
    ensure!(reason.contains(&format!("cannot bind `socket` to tcp:{address}")), "reason: `{reason}`");
    successor_is_gone(&service, owner)?;
    nothing_lost(load)?;
    serves_as_before(&service, owner)?;
    drop(other);
    restarts_well(&mut service)?;
    let shown = service.address("socket")?;
    ensure!(shown == format!("tcp:{address}"), "address: expected tcp:{address}, found {shown}");
    service.end()
}

fn group(context: &Context) -> anyhow::Result<()> {
    let members = |service: &Service| {
        (1..).take_while(|number| service.address(&format!("socket#{}", number + 1)).is_ok()).count() + 1
    };
    let mut service = context.start_with(|config| {
        config.listen.push(("socket".into(), "group:2:127.0.0.1:0".into()));
        (config.ready_ms, config.abort_timeout_ms) = (SHORT, 500);
    })?;
    let owner = service.owner()?;
    ensure!(members(&service) == 2, "members: expected 2, found {}", members(&service));
    let clients = (0..3).map(|_| Paced::start(&service.address("socket")?, BEAT));
    let clients = clients.collect::<anyhow::Result<Vec<_>>>()?;

    // A connection that a new member got before its image is the owner would be lost with the image.
    let image = |service: &Service, size: &str| {
        let address = format!("group:{size}:127.0.0.1:0");
        service.image().with("listen", listen(&[("socket", &address)]))
    };
    service.deploy(&image(&service, "4").behavior("hang"))?;
    service.restart()?;
    service.await_name("failed")?;
    successor_is_gone(&service, owner)?;
    for size in ["4", "1"] {
        service.deploy(&image(&service, size))?;
        for _ in 0..2 {
            restarts_well(&mut service)?;
            ensure!(members(&service) == 4, "members: expected 4, found {}", members(&service));
        }
    }
    for client in clients {
        client.nothing_lost(5)?;
    }
    service.end()
}

fn rolled_back(context: &Context) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let [unix, elsewhere] = [&one, &other].map(|path| format!("unix:{}", path.display()));
    let mut service = context.start_with(|config| {
        config.listen.push(("gone".into(), "127.0.0.1:0".into()));
        config.listen.push(("socket".into(), unix.clone()));
    })?;
    let owner = service.owner()?;
    let rebind = format!("rebind:{elsewhere}");
    let image = service.image().with("listen", listen(&[("socket", &rebind), ("new", "127.0.0.1:0")]));
    service.deploy(&image.behavior("die_after_ready"))?;
    service.restart()?;
    service.await_event(|event| event.name == "owner" && event.pid == owner, DEADLINE)?;
    successor_is_gone(&service, owner)?;
    service.await_name("rolled_back")?;
    serves_as_before(&service, owner)?;
    let new = service.address("new")?.parse()?;
    ensure!(Connection::open(&new).is_err(), "{new}: expected it to be closed with its image");
    // The dead image has reported where it was.
    let addresses = service
        .events()
        .iter()
        .find(|event| event.name == "owner" && event.pid == owner)
        .map(|event| event.detail["addresses"].clone())
        .context("the owner's addresses")?;
    for name in ["gone", "socket"] {
        let address = addresses[name].as_str().context(name)?;
        Paced::start(address, BEAT).context(name)?.nothing_lost(1)?;
    }
    service.deploy(&service.image())?;
    restarts_well(&mut service)?;
    service.end()?;
    is_gone(&one)
}

fn invalid_messages(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    let owner = service.owner()?;
    for (words, expected) in [
        ("ADDED new,tcp,127.0.0.1:80", "expected a descriptor with the new `new`, found none"),
        ("ADDED new", "expected ADDED, found `new` after it"),
        ("DROPPED", "expected DROPPED, found `` after it"),
    ] {
        // If messages are lines, this one needs a line feed.
        let line = if cfg!(goagain_portable) { "\n" } else { "" };
        service.deploy(&service.image().behavior(&format!("says {words}{line}")))?;
        service.restart()?;
        let failed = service.await_name("failed")?;
        let reason = failed.detail["reason"].as_str().unwrap_or_default().to_owned();
        ensure!(reason.contains(expected), "reason: expected `{expected}`, found `{reason}`");
        successor_is_gone(&service, owner)?;
        serves_as_before(&service, owner)?;
    }
    service.deploy(&service.image())?;
    restarts_well(&mut service)?;
    service.end()
}
