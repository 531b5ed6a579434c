//! Servers that are one call of `run`. `behavior` is a kind, and perhaps what goes wrong on purpose: `run_tokio prepare_fails`.

use crate::{app, serve, workers};
use axum::Router;
use axum::routing::get;
use goagain::error::BoxError;
use goagain::{Builder, Error, EventKind, Goagain, Guard, Listener, Stream, threads};
use goagain_tests::config::ServerConfig;
use goagain_tests::events::{Emitter, Event};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fs, io};
use tonic::service::Routes;

/// What the server has when it is ready.
struct Prepared {
    listeners: Vec<Listener>,
    identity: String,
    /// Emits `owner`, once a term, and then fails if it is to.
    owner: Box<dyn Fn() -> Result<(), BoxError> + Send + Sync>,
}

pub(crate) fn run(
    builder: Builder,
    config: &ServerConfig,
    emitter: &Arc<Emitter>,
    generation: &OnceLock<u64>,
) -> Result<(), Error> {
    let (kind, fault) = config.behavior.split_once(' ').unwrap_or((&config.behavior, ""));
    let prepare = |again: &mut Goagain| {
        generation.get_or_init(|| again.generation());
        prepare(again, config, emitter, fault)
    };
    match kind {
        "run_threads" => goagain::run(builder, |again| {
            let Prepared { listeners, identity, owner } = prepare(again)?;
            let identity: Arc<str> = identity.into();
            let servers = listeners.into_iter().map(|listener| {
                let (migrator, identity) = (listener.migrator(), Arc::clone(&identity));
                threads::server(listener, move |stream, guard| {
                    serve::connection(stream, guard, &migrator, &identity)
                })
            });
            Ok((servers.collect::<Vec<_>>(), owner))
        }),
        "run_tokio" => tokio_main(builder, emitter, prepare),
        _ if kind.starts_with("run_at_") => run_at(kind, builder, config, emitter),
        other => Err(Error::Prepare(format!("behavior: expected a server, found `{other}`").into())),
    }
}

/// The worker threads of the runtime are there before the library is started.
#[tokio::main]
async fn tokio_main(
    builder: Builder,
    emitter: &Arc<Emitter>,
    prepare: impl FnOnce(&mut Goagain) -> Result<Prepared, BoxError>,
) -> Result<(), Error> {
    let older = tokio::spawn(async { masks() }).await.map_err(|error| Error::Prepare(error.into()))?;
    let older = older.map_err(Error::Prepare)?;
    goagain::tokio::run(builder, async |again| {
        let (number, connections) = (again.generation(), again.connections());
        let [worker, helper] = tokio::spawn(async { masks() }).await??;
        let [thread, inheriting] = older;
        let masks = json!({ "worker": worker, "helper": helper, "thread": thread, "inheriting": inheriting });
        emitter.emit(&Event::new(number, "masks").detail(masks));
        let Prepared { listeners, identity, owner } = prepare(again)?;
        let app = app::app(identity, connections);
        let servers: Vec<_> =
            listeners.into_iter().map(|listener| goagain::axum::server(listener, app.clone())).collect();
        Ok((servers, goagain::tokio::serve_fn(async move || owner())))
    })
    .await
}

fn prepare(
    again: &mut Goagain,
    config: &ServerConfig,
    emitter: &Arc<Emitter>,
    fault: &str,
) -> Result<Prepared, BoxError> {
    let number = again.generation();
    match fault {
        "prepare_fails" => {
            let cause = std::io::Error::other("connection refused");
            return Err(anyhow::Error::from(cause).context("cannot reach the database").into());
        }
        "prepare_panics" => panic!("the configuration is upside down"),
        _ => {}
    }
    let mut listeners = Vec::new();
    for (name, address) in &config.listen {
        listeners.push(again.listen(name, address)?);
    }
    let addresses = listeners
        .iter()
        .map(|listener| (listener.name().to_owned(), json!(listener.local_addr().to_string())));
    let addresses = json!({ "addresses": addresses.collect::<Value>() });
    emitter.emit(&Event::new(number, "ready").detail(addresses.clone()));
    let (emitter, fault) = (Arc::clone(emitter), fault.to_owned());
    let owner = Box::new(move || {
        emitter.emit(&Event::new(number, "owner").detail(addresses.clone()));
        match fault.as_str() {
            "serving_fails" => Err("the disk is gone".into()),
            "serving_panics" => panic!("the disk is upside down"),
            _ => Ok(()),
        }
    });
    Ok(Prepared { listeners, identity: serve::identity(number), owner })
}

/// Runs the server of this kind at an address. Where it accepts is known from the library's event alone.
#[tokio::main]
async fn at_address(kind: &str, builder: Builder, address: &str, identity: Arc<str>) -> Result<(), Error> {
    let slow = Arc::clone(&identity);
    let app = Router::new().route("/", get(async move || identity.to_string())).route(
        "/slow",
        get(async move || {
            tokio::time::sleep(Duration::from_millis(30)).await;
            slow.to_string()
        }),
    );
    match kind {
        "run_at_axum" => goagain::axum::run(builder, address, app).await,
        "run_at_hyper" => goagain::hyper::run(builder, address, TowerToHyperService::new(app)).await,
        "run_at_tonic" => goagain::tonic::run(builder, address, Routes::from(app)).await,
        other => Err(Error::Prepare(format!("behavior: expected a server, found `{other}`").into())),
    }
}

fn run_at(kind: &str, builder: Builder, config: &ServerConfig, emitter: &Arc<Emitter>) -> Result<(), Error> {
    let (_, address) = config.listen.first().ok_or_else(|| Error::Prepare("listen: expected one".into()))?;
    let for_events = Arc::clone(emitter);
    let builder = builder.on_event(move |event| {
        if let EventKind::Accepting { addresses } = &event.kind {
            let addresses = json!({ "addresses": { "http": addresses[0].to_string() } });
            for_events.emit(&Event::new(event.generation, "owner").detail(addresses));
        }
    });
    // The generation is not known before the start, and does not matter to the clients.
    let identity: Arc<str> = serve::identity(0).into();
    match kind {
        "run_at_threads" => {
            threads::run(builder, address, move |stream, guard| connection(stream, guard, &identity))
        }
        "run_at_actix" => {
            let app = move || workers::app(Arc::clone(&identity));
            actix_web::rt::System::new().block_on(goagain::actix::run(builder, address, app))
        }
        _ => at_address(kind, builder, address, identity),
    }
}

/// Serves one connection with a thread, as the module `goagain::threads` shows.
fn connection(mut stream: Stream, mut guard: Guard, identity: &str) -> io::Result<()> {
    let mut reader = serve::http::Reader::new();
    while reader.has_buffered() || guard.wait_readable(&stream)? {
        let Some(request) = serve::http::read_request(&mut reader, &mut stream)? else { break };
        let response = serve::http::answer(&request, identity);
        let close = !request.keep_alive || guard.should_close(&stream, reader.buffered());
        serve::http::write_response(&mut stream, &response, close)?;
        if close {
            break;
        }
    }
    stream.close(guard);
    Ok(())
}

/// Returns the signals that are blocked in this thread, and in a program that it starts.
fn masks() -> Result<[Option<String>; 2], BoxError> {
    let blocked = |status: &str| -> Option<String> {
        Some(status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?.trim().to_owned())
    };
    let helper = Command::new("cat").arg("/proc/self/status").output()?;
    Ok([
        blocked(&fs::read_to_string("/proc/thread-self/status")?),
        blocked(&String::from_utf8(helper.stdout)?),
    ])
}
