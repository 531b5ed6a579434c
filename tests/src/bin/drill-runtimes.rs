//! The servers on a runtime that the drills restart. They serve what the examples serve, and add what the examples do not need:
//! reports, and a choice of the strategy. The configuration's `behavior` selects the server.
#![allow(clippy::print_stderr, reason = "the harness shows a server's output when a drill fails")]

#[path = "../../../goagain/examples/serve/app.rs"]
mod app;
#[path = "drill-runtimes/echo.rs"]
mod echo;
#[path = "../../../goagain/examples/serve/health.rs"]
mod health;
#[path = "drill-runtimes/one_call.rs"]
mod one_call;
#[path = "../../../goagain/examples/serve/polling.rs"]
mod polling;
#[path = "drill-runtimes/proxied.rs"]
mod proxied;
#[path = "../../../goagain/examples/serve/mod.rs"]
mod serve;
#[path = "../../../goagain/examples/serve/tasks.rs"]
mod tasks;
#[path = "../../../goagain/examples/serve/threads.rs"]
mod threads;
#[path = "../../../goagain/examples/serve/tls.rs"]
mod tls;
#[path = "../../../goagain/examples/serve/workers.rs"]
mod workers;

use anyhow::{Context as _, bail};
use axum::middleware::from_fn_with_state;
use goagain::{Connections, Double, Finish, Goagain, Listener, Single};
use goagain_tests::config::{ServerConfig, StrategyKind};
use goagain_tests::events::{Emitter, Event};
use goagain_tests::reports;
use serde_json::{Value, json};
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drill-runtimes {}: {error:#}", std::process::id());
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let config = ServerConfig::load()?;
    let emitter = Emitter::new(&config.events);
    emitter.emit(&Event::new(0, "started"));
    let builder = match config.strategy {
        StrategyKind::Single => Goagain::builder(Single),
        StrategyKind::Double => Goagain::builder(Double),
        StrategyKind::Standby => bail!("strategy: expected single or double, found standby"),
    };
    let builder = if config.migrate { builder.migrate_connections() } else { builder };
    let generation = Arc::new(OnceLock::new());
    let (number, for_reports) = (Arc::clone(&generation), emitter.try_clone()?);
    let builder = builder
        .ready_timeout(config.ready_timeout())
        .drain_timeout(config.drain_timeout())
        .idle_grace(config.idle_grace())
        .probation(config.probation())
        .reexec_timeout(config.reexec_timeout())
        .on_event(move |event| {
            number.get_or_init(|| event.generation);
            for_reports.emit(&reports::event(event.generation, event));
        });
    if config.behavior.starts_with("run_") {
        let emitter = Arc::new(emitter);
        let (number, for_hup) = (Arc::clone(&generation), Arc::clone(&emitter));
        let builder = builder.on_hup(move || {
            for_hup.emit(&Event::new(number.get().copied().unwrap_or(0), "callback"));
        });
        one_call::run(builder, &config, &emitter, &generation)?;
        emitter.emit(&Event::new(generation.get().copied().unwrap_or(0), "leaving"));
        return Ok(());
    }
    let again = builder.start()?;
    generation.get_or_init(|| again.generation());
    if config.behavior == "mio" {
        return poll(again, &config, &emitter);
    }
    // The flavor alternates, so that each server is tested with both.
    let mut runtime = match again.generation() % 2 {
        0 => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(live(again, &config, &emitter))
}

/// Serves with its own loop.
fn poll(mut again: Goagain, config: &ServerConfig, emitter: &Emitter) -> anyhow::Result<()> {
    let number = again.generation();
    let emit = |name: &str, detail: Value| emitter.emit(&Event::new(number, name).detail(detail));
    let (name, address) = config.listen.first().context("listen: expected a listener, found none")?;
    let http = again.listen(name, address)?;
    let addresses = json!({ "addresses": { name: http.local_addr().to_string() } });
    emit("ready", addresses.clone());
    polling::run(again, &http, serve::identity(number), || emit("owner", addresses.clone()))?;
    emit("leaving", Value::Null);
    Ok(())
}

async fn live(again: Goagain, config: &ServerConfig, emitter: &Emitter) -> anyhow::Result<()> {
    let number = again.generation();
    let emit = |name: &str, detail: Value| emitter.emit(&Event::new(number, name).detail(detail));
    let mut again = again.into_tokio()?;
    let mut listeners = Vec::new();
    for (name, address) in &config.listen {
        listeners.push(again.listen(name, address)?);
    }
    let server = Server {
        kind: config.behavior.clone(),
        identity: serve::identity(number),
        connections: again.connections(),
    };
    let addresses: Value = listeners
        .iter()
        .map(|listener| (listener.name().to_owned(), json!(listener.local_addr().to_string())))
        .collect();
    emit("ready", json!({ "addresses": addresses }));
    again.ready().await?;
    loop {
        let serving =
            listeners.iter().map(|listener| server.serve(listener)).collect::<io::Result<Vec<_>>>()?;
        emit("owner", json!({ "addresses": addresses }));
        again.wait().await?;
        let finish = again.finish().await?;
        for task in serving {
            // axum's own serve ends with the second phase of a drain, which does not always come.
            task.abort();
            task.await.or_else(|error| if error.is_cancelled() { Ok(Ok(())) } else { Err(error) })??;
        }
        if finish == Finish::Exit {
            break;
        }
    }
    emit("leaving", Value::Null);
    Ok(())
}

struct Server {
    kind: String,
    identity: String,
    connections: Connections,
}

impl Server {
    fn serve(&self, listener: &Listener) -> io::Result<JoinHandle<io::Result<()>>> {
        let app = || app::app(self.identity.clone(), self.connections.clone());
        Ok(match self.kind.as_str() {
            "tokio" => tokio::spawn(tasks::serve(listener.to_tokio()?, self.identity.as_str().into())),
            "axum" => tokio::spawn(goagain::axum::serve(listener.to_tokio()?, app())),
            "axum_serve" => {
                let app = app().layer(from_fn_with_state(self.connections.clone(), goagain::axum::drain));
                let app = app.into_make_service_with_connect_info::<goagain::axum::Connection>();
                let closing = goagain::axum::closing(self.connections.clone());
                let serving = axum::serve(listener.to_axum()?, app).with_graceful_shutdown(closing);
                tokio::spawn(serving.into_future())
            }
            "axum_tls" => {
                let tls = tls::acceptor().map_err(io::Error::other)?;
                tokio::spawn(tls::serve(listener.to_tokio()?, tls, app()))
            }
            "tonic" => {
                let app = app().merge(health::routes(&self.connections));
                tokio::spawn(goagain::axum::serve(listener.to_tokio()?, app))
            }
            "actix" => {
                let workers = workers::start(listener, &self.identity);
                tokio::task::spawn_blocking(move || workers.into_iter().try_for_each(joined))
            }
            "axum_proxied" => {
                tokio::spawn(proxied::tasks(listener.to_tokio()?, listener.migrator(), self.identity.clone()))
            }
            "threads_proxied" => {
                let accepting = proxied::threads(listener.acceptor()?, listener.migrator(), &self.identity);
                tokio::task::spawn_blocking(move || joined(accepting))
            }
            "echo" => {
                let accepting = echo::serve_all(listener.acceptor()?);
                tokio::task::spawn_blocking(move || joined(accepting))
            }
            "pool" => {
                let pool = threads::start(listener, &self.identity)?;
                let joined = |thread: std::thread::JoinHandle<()>| {
                    thread.join().map_err(|_| io::Error::other("a thread of the pool panicked"))
                };
                tokio::task::spawn_blocking(move || pool.into_iter().try_for_each(joined))
            }
            "threads" => {
                let accepting = serve::serve(listener.acceptor()?, listener.migrator(), &self.identity);
                tokio::task::spawn_blocking(move || joined(accepting))
            }
            other => return Err(io::Error::other(format!("behavior: expected a server, found `{other}`"))),
        })
    }
}

fn joined(thread: std::thread::JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
}
