//! Every kind of socket carried over, under a client that counts what is not answered.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{Context, Drill, restarts_well};
use crate::paced::Paced;
use crate::service::Service;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both("socket_tcp_v6", "TCP over version six: 5 restarts, nothing lost", |context| {
            kind(context, V6, "[::1]:0", 5)
        }),
        Drill::both(
            "socket_dual_stack",
            "one TCP listener for versions four and six: 5 restarts, nothing lost",
            |context| kind(context, V6, "dual:[::]:0", 5),
        ),
        Drill::both("socket_v6only", "TCP for version six alone: it stays so over 5 restarts", v6only),
        Drill::both("socket_unix", "a Unix stream: 5 restarts, nothing lost", |context| {
            kind(context, ANY, "unix:PATH", 5)
        }),
        Drill::both("socket_abstract", "an abstract name: 5 restarts, nothing lost", |context| {
            kind(context, ANY, &format!("unix:@goagain-{}-{}", std::process::id(), context.strategy), 5)
        }),
        Drill::both("socket_seqpacket", "Unix packets in order: 5 restarts, nothing lost", |context| {
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
            "four TCP listeners of one address: 5 restarts, nothing lost",
            |context| kind(context, ANY, "group:4:127.0.0.1:0", 5),
        ),
        Drill::both(
            "any_descriptor",
            "a file, a memfd, a pipe and a connection are carried over, with what is in them",
            any_descriptor,
        ),
    ]
}

/// Which machine a kind is to be had on.
type Machine = fn() -> bool;
const ANY: Machine = || true;
const V6: Machine = || TcpListener::bind("[::1]:0").is_ok();

/// The pace of the clients.
const BEAT: Duration = Duration::from_millis(2);

/// A socket of a kind beside the one that the harness asks.
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
        "version four: expected it to be refused"
    );
    std::net::TcpStream::connect(("::1", address.port())).context("version six")?;
    Ok(())
}

fn any_descriptor(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| config.behaviour = "keeps".into())?;
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
