//! Drains: their order, how they end, and how many may run at once.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;

use super::{Context, Drill, nothing_lost, restarts_well};
use crate::client::{Connection, Target};
use crate::config::{ServerConfig, StrategyKind};
use crate::long_lived::{GOODBYE, STREAM, STUBBORN};
use crate::open_request::OpenRequest;
use crate::service::{DEADLINE, Service};

/// A request that takes longer than any deadline here.
const FOR_EVER: &str = "/slow?ms=60000";

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "drain_goes_in_order",
            "idle connections are asked to close, requests are finished, and only then long-lived connections are asked to close",
            in_order,
        ),
        Drill::both(
            "drain_timeout_closes_unfinished",
            "past the deadline a callback gets the names of the connections that are left, and their clients read a reset or an end",
            unfinished,
        ),
        Drill::both(
            "long_lived_have_a_timeout",
            "a long-lived connection that does not close delays a drain for long_lived_timeout, not for drain_timeout",
            own_deadline,
        ),
        Drill::both(
            "drain_jitter_spreads_shutdowns",
            "40 long-lived connections are asked to close, each at another moment, over the whole drain_jitter",
            drain_jitter,
        ),
        Drill::both(
            "generations_drain_side_by_side",
            "restart after restart under load while previous generations still drain: every request is answered",
            side_by_side,
        ),
        Drill::both(
            "too_many_draining_are_refused",
            "with max_draining a restart is refused, naming the processes that drain, until one of them is killed",
            capped,
        ),
        Drill::both(
            "draining_is_counted_until_death",
            "a process that outlives its Goagain counts as draining until it dies",
            lingers,
        ),
    ]
}

fn with_listener(name: &str) -> impl FnOnce(&mut ServerConfig) + use<> {
    let own = (name.to_owned(), "127.0.0.1:0".to_owned());
    move |config| config.listen.push(own)
}

/// A long-lived connection.
struct Stream(BufReader<TcpStream>);

impl Stream {
    /// Connects, and checks that the connection is served under this name.
    fn open(service: &Service, listener: &str, name: &str) -> anyhow::Result<Stream> {
        let address = service.address(listener)?;
        let address: SocketAddr = match address.parse()? {
            Target::Tcp(address) => address,
            Target::Unix(_) => bail!("{listener}: expected TCP, found {address}"),
        };
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let mut stream = Stream(BufReader::new(stream));
        stream.is_served(name)?;
        Ok(stream)
    }

    fn is_served(&mut self, name: &str) -> anyhow::Result<()> {
        self.0.get_mut().write_all(format!("{name}\n").as_bytes())?;
        let line = self.line()?;
        ensure!(line.trim_end() == name, "{name}: expected its echo, found `{line}`");
        Ok(())
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).context("a line of a long-lived connection")?;
        Ok(line)
    }

    fn says_goodbye(&mut self) -> anyhow::Result<()> {
        let line = self.line()?;
        ensure!(line == GOODBYE, "expected a goodbye, found `{line}`");
        let rest = self.line()?;
        ensure!(rest.is_empty(), "expected the end after a goodbye, found `{rest}`");
        Ok(())
    }
}

/// A connection that the server has accepted, with a request in flight.
fn in_flight(service: &Service, path: &str) -> anyhow::Result<Connection> {
    let (mut connection, _) = idle(service)?;
    connection.send(path, false)?;
    Ok(connection)
}

/// A connection that the server has accepted, and the process that has it.
fn idle(service: &Service) -> anyhow::Result<(Connection, i32)> {
    let mut connection = Connection::open(&service.address("http")?.parse()?)?;
    connection.send("/", false)?;
    let pid = connection.answer()?.identity().context("identity")?.pid;
    Ok((connection, pid))
}

fn in_order(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| {
        config.idle_ms = 200;
        with_listener(STREAM)(config);
    })?;
    let old = service.generation()?;
    let mut stream = Stream::open(&service, STREAM, "stream")?;
    let (mut idle, mut slow) = (idle(&service)?.0, OpenRequest::by_owner(&service)?);
    service.restart()?;
    idle.closed().context("the idle connection")?;
    stream.is_served("still").context("while a request is in flight")?;
    slow.end()?;
    stream.says_goodbye()?;
    // It was written before the long-lived connections were asked to close, so it has arrived.
    ensure!(
        slow.has_answer()?,
        "the request: expected its answer before the long-lived connections are asked to close"
    );
    let answered = slow.answer()?.0.identity().context("identity")?;
    ensure!(answered.generation == old, "generation: expected {old}, found {}", answered.generation);
    service.await_settled(old)?;
    service.end()
}

fn unfinished(context: &Context) -> anyhow::Result<()> {
    for how in ["reset", "close"] {
        let mut service = context.start_with(|config| {
            (config.drain_ms, config.idle_ms, config.unfinished) = (1_000, 100, how.into());
            with_listener(STUBBORN)(config);
        })?;
        let old = service.generation()?;
        let mut stubborn = Stream::open(&service, STUBBORN, "stubborn")?;
        let mut slow = in_flight(&service, FOR_EVER)?;
        let restart = service.restart()?;
        let is_old = |name: &'static str| {
            move |event: &crate::events::Event| event.name == name && event.generation == old
        };
        let listed = service.await_event(is_old("on_unfinished"), DEADLINE)?.detail;
        let names = listed["names"].as_array().context("names")?;
        // The other connection has no name but its client's address.
        ensure!(
            names.len() == 2 && names[0] == "stubborn",
            "on_unfinished: expected two, the oldest first, found {listed}"
        );
        let reported = service.await_event(is_old("unfinished"), DEADLINE)?.detail;
        let expected = serde_json::json!({ "idle": 0, "in_request": 1, "long_lived": 1, "names": names });
        ensure!(reported == expected, "unfinished: expected {expected}, found {reported}");
        for stream in [stubborn.0.get_mut() as &mut dyn Read, slow.stream()] {
            let read = stream.read(&mut [0; 64]);
            match (how, &read) {
                ("close", Ok(0)) => {}
                ("reset", Err(error)) if error.kind() == ErrorKind::ConnectionReset => {}
                _ => bail!("{how}: found {read:?}"),
            }
        }
        service.await_settled(restart.generation)?;
        service.end()?;
    }
    Ok(())
}

fn own_deadline(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| {
        (config.drain_ms, config.idle_ms, config.long_lived_ms) = (600_000, 100, 300);
        with_listener(STUBBORN)(config);
    })?;
    let _stubborn = Stream::open(&service, STUBBORN, "stubborn")?;
    let restart = service.restart()?;
    let reported = service.await_name("still_draining")?.detail;
    let expected = serde_json::json!({ "idle": 0, "in_request": 0, "long_lived": 1, "names": ["stubborn"] });
    ensure!(reported == expected, "still draining: expected {expected}, found {reported}");
    service.await_name("unfinished")?;
    service.await_settled(restart.generation)?;
    service.end()
}

fn drain_jitter(context: &Context) -> anyhow::Result<()> {
    const STREAMS: u64 = 40;
    const PARTS: u64 = 8;
    let mut service = context.start_with(|config| {
        config.drain_jitter_ms = 2_000;
        with_listener(STREAM)(config);
    })?;
    let mut streams = (0..STREAMS)
        .map(|number| Stream::open(&service, STREAM, &format!("stream {number}")))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let restart = service.restart()?;
    for stream in &mut streams {
        stream.says_goodbye()?;
    }
    service.await_settled(restart.generation)?;
    let requests: Vec<_> =
        service.marked().into_iter().filter(|event| event.name == "shutdown_requested").collect();
    ensure!(requests.len() as u64 == STREAMS, "requests: expected {STREAMS}, found {}", requests.len());
    let mut moments: Vec<u64> =
        requests.iter().filter_map(|event| event.detail["moment_ns"].as_u64()).collect();
    let early: Vec<_> = requests.iter().filter(|event| event.detail["due"] != true).collect();
    ensure!(early.is_empty(), "requests: expected none before its moment, found {early:?}");
    moments.sort_unstable();
    moments.dedup();
    ensure!(moments.len() as u64 == STREAMS, "moments: expected all to be different, found {moments:?}");
    let mut parts: Vec<u64> = moments.iter().map(|moment| moment * PARTS / 2_000_000_000).collect();
    parts.dedup();
    ensure!(
        parts == Vec::from_iter(0..PARTS),
        "moments: expected them over the whole window, found {moments:?}"
    );
    service.end()
}

/// Restarts, with a long request in the generation that then drains. Under Double that is the child, which is the owner while a
/// request keeps its parent from exec.
fn restart_with_slow(service: &mut Service, ms: u64) -> anyhow::Result<(u64, Connection)> {
    let generation = service.generation()?;
    let slow = format!("/slow?ms={ms}");
    if service.strategy() == StrategyKind::Single {
        let connection = in_flight(service, &slow)?;
        service.restart()?;
        service.await_event(|event| event.name == "owner" && event.generation > generation, DEADLINE)?;
        return Ok((generation, connection));
    }
    let main = service.main_pid();
    let request = OpenRequest::by(service, main)?;
    service.restart()?;
    let child = service.await_event(|event| event.name == "owner" && event.pid != main, DEADLINE)?;
    service.await_event(|event| event.name == "draining" && event.pid == main, DEADLINE)?;
    // Its predecessor may accept for a moment longer.
    let mut connection = loop {
        let (connection, pid) = idle(service)?;
        if pid == child.pid {
            break connection;
        }
    };
    connection.send(&slow, false)?;
    request.finish()?;
    let back = |event: &crate::events::Event| {
        event.name == "owner" && event.pid == main && event.generation > child.generation
    };
    service.await_event(back, DEADLINE)?;
    Ok((child.generation, connection))
}

fn side_by_side(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| config.idle_ms = 1_000)?;
    let load = context.load(&service)?;
    let rounds = if context.strategy == StrategyKind::Double { 3 } else { 5 };
    let mut slow = Vec::new();
    for _ in 0..rounds {
        slow.push(restart_with_slow(&mut service, 15_000)?);
    }
    let living = service.living();
    ensure!(living.len() == rounds + 1, "processes: expected {} at once, found {living:?}", rounds + 1);
    for (generation, connection) in &mut slow {
        let answered = connection.answer()?.identity().context("identity")?;
        ensure!(answered.generation == *generation, "expected {generation}, found {}", answered.generation);
    }
    for pid in living.into_iter().filter(|&pid| Some(pid) != service.owner().ok()) {
        service.await_gone(pid)?;
    }
    nothing_lost(load)?;
    restarts_well(&mut service)?;
    service.end()
}

fn lingers(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| {
        (config.max_draining, config.idle_ms, config.drain_ms) = (1, 200, 120_000);
        config.behaviour = "lingers".into();
    })?;
    service.restart()?;
    let lingering = service.await_name("lingers")?.pid;
    // Under Double the pid that stays accepts again by now, or will soon.
    let generation = if context.strategy == StrategyKind::Double { 3 } else { 2 };
    service.await_event(|event| event.name == "owner" && event.generation == generation, DEADLINE)?;
    service.await_event(|event| event.name == "released" && event.generation == generation, DEADLINE)?;
    let owner = service.owner()?;
    service.restart()?;
    let refused = service.await_name("refused")?;
    let names_it = refused.reason().contains(&lingering.to_string());
    ensure!(names_it, "refused: expected {lingering} to be named, found `{}`", refused.reason());
    ensure!(service.get("/")?.pid == owner, "owner: expected {owner} to keep serving");
    service.signal(lingering, Signal::SIGKILL)?;
    service.await_gone(lingering)?;
    service.deploy(&service.image().behaviour(""))?;
    service.restart()?;
    if context.strategy == StrategyKind::Single {
        let last = service.await_name("lingers")?.pid;
        service.signal(last, Signal::SIGKILL)?;
    }
    service.await_settled(refused.generation)?;
    service.end()
}

fn capped(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| {
        (config.idle_ms, config.drain_ms, config.max_draining) = (200, 600_000, 2);
    })?;
    let mut requests = Vec::new();
    for _ in 0..2 {
        requests.push(restart_with_slow(&mut service, 60_000)?);
    }
    let owner = service.owner()?;
    let draining: Vec<i32> = service.living().into_iter().filter(|&pid| pid != owner).collect();
    ensure!(draining.len() == 2, "processes: expected 2 that drain, found {draining:?}");
    for _ in 0..2 {
        service.restart()?;
        let refused = service.await_name("refused")?;
        let names_all = draining.iter().all(|pid| refused.reason().contains(&pid.to_string()));
        ensure!(names_all, "refused: expected {draining:?} to be named, found `{}`", refused.reason());
        ensure!(service.get("/")?.pid == owner, "owner: expected {owner} to keep serving");
    }
    // It reports nothing at its end. The kernel does.
    service.signal(draining[0], Signal::SIGKILL)?;
    service.await_gone(draining[0])?;
    requests.push(restart_with_slow(&mut service, 60_000)?);
    for pid in service.living().into_iter().filter(|&pid| Some(pid) != service.owner().ok()) {
        service.signal(pid, Signal::SIGKILL)?;
        service.await_gone(pid)?;
    }
    service.end()
}
