//! A stand-in for a server with the Go package goagain of 2014, to hand over to and to take over from.
//!
//! It does what the Go package's two examples do, in their order: inherit the listener or listen anew, serve, `Kill`, `Wait`,
//! stop accepting, and under Double `Exec`. It knows nothing of channels, and passes on variables that it does not know.
//! It differs from the Go package where a drill must depend on the other process only:
//! - it waits for the requests in flight, while the examples lose some;
//! - its handlers are installed before `Kill`, while an early answer to it would end the Go process;
//! - it closes a Unix socket without unlinking the path, and signals no process group.

#![deny(unsafe_code)] // but for one block in `go/listener.rs`

#[path = "../../../goagain/examples/serve/http.rs"]
mod http;
#[path = "../go/listener.rs"]
mod listener;
#[path = "../go/protocol.rs"]
mod protocol;
#[path = "../go/server.rs"]
mod server;

use std::process;

use anyhow::Context as _;
use goagain_tests::config::{ServerConfig, StrategyKind};
use goagain_tests::events::{self, Emitter, Event};
use nix::sys::signal::Signal;
use serde_json::json;
use signal_hook::iterator::Signals;

use crate::listener::Listener;
use crate::protocol::{Environment, GoProcess};
use crate::server::Server;

/// Counts the generations of Go processes. A process of another kind passes it on unchanged.
const GENERATION: &str = "DRILL_GO_GENERATION";

fn main() -> anyhow::Result<()> {
    // Before anything else opens a descriptor, which might get the number of a descriptor that was not passed on.
    let environment = Environment::new();
    let inherited = Listener::inherited(&environment);

    let config = ServerConfig::load()?;
    anyhow::ensure!(
        config.strategy != StrategyKind::Standby,
        "strategy: expected single or double, found standby"
    );
    let generation = environment.number(GENERATION).unwrap_or(0) + 1;
    let emitter = Emitter::new(&config.events);
    let emit = |name: &str, detail| emitter.emit(&Event::new(generation, name).detail(detail));
    emit("started", json!({ "go": true }));

    let is_successor = inherited.is_ok();
    let (name, address) = config.listen.first().context("listen: expected a listener, found none")?;
    // Like the Go package's examples: if anything is wrong with the inherited descriptor, listen anew.
    let listener = inherited.or_else(|_| Listener::bind(address))?;
    let double = config.strategy == StrategyKind::Double;
    let mut process = GoProcess::new(environment, double);
    process.environment.set(GENERATION, generation.to_string());
    let signals = Signals::new(protocol::WAITED_FOR).context("signal handlers")?;
    let (pid, boot) = (process::id(), events::now());
    let server = Server::start(
        listener.try_clone()?,
        format!("pid={pid} boot=go-{boot:x} generation={generation}\n"),
    )?;
    emit("owner", json!({ "addresses": { name: listener.label()? } }));
    if is_successor {
        let (pid, signal) = process.kill()?;
        emit("signalled", json!({ "pid": pid.as_raw(), "signal": signal as i32 }));
    }

    let spawned = |pid: nix::unistd::Pid| emit("spawned", json!({ "pid": pid.as_raw() }));
    let signal = protocol::wait(signals, &mut process, &listener, spawned)?;
    if !matches!(signal, Signal::SIGINT | Signal::SIGTERM) {
        emit("draining", json!({ "signal": signal as i32, "open": server.open() }));
        server.drain(config.idle_grace(), config.drain_timeout())?;
        if double && signal == Signal::SIGUSR2 {
            emit("exec", json!(null));
            // The child has got the number after this one.
            process.environment.set(GENERATION, (generation + 1).to_string());
            return process.exec(&listener);
        }
    }
    emit("leaving", json!({ "signal": signal as i32 }));
    Ok(())
}
