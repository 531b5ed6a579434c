//! Connections that are migrated to the new image instead of being closed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{Context, Drill, nothing_lost, restarts_well};
use crate::client::{Connection, Target};
use crate::config::StrategyKind;
use crate::events::Event;
use crate::http;
use crate::service::{DEADLINE, Service};

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "connections_migrate",
            "50 kept connections through 20 restarts under load: no client sees a close, all end with the last owner",
            |context| twenty(context, ""),
        ),
        Drill::both(
            "connections_migrate_with_unread_bytes",
            "a connection is migrated with the half of a request that the old image has read",
            |context| unread(context, ""),
        ),
        Drill::both(
            "connections_migrate_after_their_answer",
            "a connection with a request in flight at commit is migrated after its answer, even after RELEASED",
            |context| after_an_answer(context, ""),
        ),
        Drill::both(
            "connections_stay_until_successor_serves",
            "a successor that dies before SERVING has received no connection: none is closed",
            stay,
        ),
        Drill {
            name: "connections_of_an_older_generation",
            about: "connections that become idle after the successor has itself handed over are closed as without migration",
            strategies: &[StrategyKind::Single],
            run: older,
        },
        Drill::both(
            "connections_not_accepted_by_successor",
            "nothing is migrated to an image that accepts no connections: they are closed as usual, no request is lost",
            |context| not_taken(context, ""),
        ),
    ]
}

/// A client that keeps its connection and sends a request from time to time until it is stopped.
struct Client {
    end: Sender<()>,
    thread: JoinHandle<anyhow::Result<Kept>>,
}

/// What a client has seen.
struct Kept {
    connection: Connection,
    answers: usize,
}

impl Client {
    fn start(target: &Target, pause: Duration) -> anyhow::Result<Self> {
        let mut kept = Kept { connection: Connection::open(target)?, answers: 0 };
        kept.ask()?;
        let (end, stop) = channel();
        let thread = thread::spawn(move || {
            kept.ask_until(&stop, pause)?;
            Ok(kept)
        });
        Ok(Self { end, thread })
    }

    fn end(self) -> anyhow::Result<Kept> {
        drop(self.end);
        self.thread.join().expect("a client does not panic")
    }
}

impl Kept {
    /// Sends one request, whose answer must keep the connection. Returns the generation that answered.
    fn ask(&mut self) -> anyhow::Result<u64> {
        let Self { connection, answers } = self;
        let closed = || format!("after {answers} answers");
        connection.send("/", false).with_context(closed)?;
        let answer = connection.answer().with_context(closed)?;
        ensure!(!answer.close, "answer {answers}: expected it to keep the connection, found a close");
        self.answers += 1;
        Ok(answer.identity().context("identity")?.generation)
    }

    fn ask_until(&mut self, stop: &Receiver<()>, pause: Duration) -> anyhow::Result<()> {
        while stop.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            self.ask()?;
        }
        Ok(())
    }
}

/// Starts the server that `behaviour` names.
fn start(context: &Context, behaviour: &str) -> anyhow::Result<Service> {
    context.start_with(|config| {
        config.migrate = true;
        config.behaviour = behaviour.to_owned();
    })
}

fn target(service: &Service) -> anyhow::Result<Target> {
    service.address("http")?.parse()
}

pub(crate) fn twenty(context: &Context, behaviour: &str) -> anyhow::Result<()> {
    let mut service = start(context, behaviour)?;
    let target = target(&service)?;
    // Some clients ask often, so that a restart finds them during a request, and some hardly ever ask.
    let pauses = [1, 20, 100, 1_000, 60_000].into_iter().cycle().map(Duration::from_millis);
    let clients: Vec<Client> =
        pauses.take(50).map(|pause| Client::start(&target, pause)).collect::<anyhow::Result<_>>()?;
    let load = context.load(&service)?;
    for number in 1..=20 {
        service.restart_and_settle().with_context(|| format!("restart {number}"))?;
    }
    let last = service.generation()?;
    let mut answers = 0;
    for (index, client) in clients.into_iter().enumerate() {
        let mut kept = client.end().with_context(|| format!("client {index}"))?;
        let generation = kept.ask().with_context(|| format!("client {index}, in the end"))?;
        ensure!(generation == last, "client {index}: expected generation {last}, found {generation}");
        answers += kept.answers;
    }
    context.note(format!("50 clients, 20 restarts: {answers} answers, 0 closes"));
    nothing_lost(load)?;
    service.end()
}

pub(crate) fn unread(context: &Context, behaviour: &str) -> anyhow::Result<()> {
    let mut service = start(context, behaviour)?;
    let old = service.generation()?;
    let Target::Tcp(address) = target(&service)? else { anyhow::bail!("expected TCP") };
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let request = http::request("/", false);
    let (half, rest) = request.split_at(request.len() / 2);
    stream.write_all(format!("{request}{half}").as_bytes())?;
    let generation = answered(&mut stream)?;
    ensure!(generation == old, "generation: expected {old}, found {generation}");
    let restart = service.restart()?;
    // By then the old image has no connections left.
    let gone = match context.strategy {
        StrategyKind::Double => "released",
        StrategyKind::Single | StrategyKind::Standby => "leaving",
    };
    service.await_event(|event| event.name == gone && event.generation == old, DEADLINE)?;
    stream.write_all(rest.as_bytes())?;
    let generation = answered(&mut stream)?;
    ensure!(generation > old, "generation: expected more than {old}, found {generation}");
    service.await_settled(restart.generation)?;
    service.end()
}

/// Reads one answer, which must keep the connection. Returns the generation that answered.
fn answered(stream: &mut TcpStream) -> anyhow::Result<u64> {
    let mut read = Vec::new();
    loop {
        if let Some(answer) = http::parse(&read).map_err(anyhow::Error::msg)? {
            ensure!(answer.status == 200 && !answer.close, "answer: expected 200 and kept, found {answer:?}");
            return Ok(answer.identity().context("identity")?.generation);
        }
        let mut some = [0; 1024];
        let length = stream.read(&mut some)?;
        ensure!(length > 0, "expected an answer, found the end of the connection");
        read.extend_from_slice(&some[..length]);
    }
}

pub(crate) fn after_an_answer(context: &Context, behaviour: &str) -> anyhow::Result<()> {
    let mut service = start(context, behaviour)?;
    let old = service.generation()?;
    let mut connection = Connection::open(&target(&service)?)?;
    connection.send("/slow?ms=1000", false)?;
    // The request has begun when the next one is answered.
    service.get("/")?;
    service.restart()?;
    let answer = connection.answer()?;
    let generation = answer.identity().context("identity")?.generation;
    ensure!(generation == old && !answer.close, "expected generation {old} and kept, found {answer:?}");
    service.await_settled(old)?;
    let mut kept = Kept { connection, answers: 1 };
    let (last, found) = (service.generation()?, kept.ask()?);
    ensure!(found == last, "generation: expected {last}, found {found}");
    service.end()
}

fn older(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| {
        config.migrate = true;
        config.idle_ms = 1_000;
    })?;
    let (first, old) = (service.owner()?, service.generation()?);
    let load = context.load(&service)?;
    let mut connection = Connection::open(&target(&service)?)?;
    connection.send("/slow?ms=5000", false)?;
    // The request has begun when the next one is answered.
    service.get("/")?;
    for number in 1..=2 {
        let generation = service.generation()?;
        service.restart()?;
        let released = |event: &Event| event.name == "released" && event.generation == generation;
        service.await_event(released, DEADLINE).with_context(|| format!("restart {number}"))?;
        service.await_event(|event| event.name == "owner" && event.generation > generation, DEADLINE)?;
    }
    let generation = connection.answer()?.identity().context("identity")?.generation;
    ensure!(generation == old, "generation: expected {old}, found {generation}");
    connection.closed()?;
    service.await_gone(first)?;
    nothing_lost(load)?;
    service.end()
}

fn stay(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| {
        config.migrate = true;
        // No connection is asked to close before the successor is dead.
        config.idle_ms = 60_000;
    })?;
    let old = service.generation()?;
    let target = target(&service)?;
    let clients: Vec<Client> =
        (0..10).map(|_| Client::start(&target, Duration::from_millis(1))).collect::<anyhow::Result<_>>()?;
    service.deploy(&service.image().behaviour("die_after_ready"))?;
    service.restart()?;
    service.await_name("rolled_back")?;
    for client in clients {
        let found = client.end()?.ask()?;
        ensure!(found == old, "generation: expected {old}, found {found}");
    }
    service.deploy(&service.image())?;
    restarts_well(&mut service)?;
    service.end()
}

pub(crate) fn not_taken(context: &Context, behaviour: &str) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| {
        config.migrate = true;
        config.behaviour = behaviour.to_owned();
        config.idle_ms = 1_000;
    })?;
    let load = context.load(&service)?;
    let mut kept = Kept { connection: Connection::open(&target(&service)?)?, answers: 0 };
    kept.ask()?;
    service.deploy(&service.image().with("migrate", false))?;
    restarts_well(&mut service)?;
    kept.connection.closed()?;
    nothing_lost(load)?;
    service.end()
}
