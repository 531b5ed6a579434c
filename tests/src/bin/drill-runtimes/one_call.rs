//! Servers that are one call of `run`. `behaviour` is a kind, and perhaps what goes wrong on purpose: `run_tokio prepare_fails`.

use crate::{app, serve};
use goagain::error::BoxError;
use goagain::{Builder, Error, Goagain, Listener, threads};
use goagain_tests::config::ServerConfig;
use goagain_tests::events::{Emitter, Event};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::sync::{Arc, OnceLock};

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
    let (kind, fault) = config.behaviour.split_once(' ').unwrap_or((&config.behaviour, ""));
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
        other => Err(Error::Prepare(format!("behaviour: expected a server, found `{other}`").into())),
    }
}

/// The worker threads of the runtime are there before the library is started.
#[tokio::main]
async fn tokio_main(
    builder: Builder,
    emitter: &Arc<Emitter>,
    prepare: impl FnOnce(&mut Goagain) -> Result<Prepared, BoxError>,
) -> Result<(), Error> {
    goagain::tokio::run(builder, async |again| {
        let (number, connections) = (again.generation(), again.connections());
        let masks = tokio::spawn(async { masks() }).await??;
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

/// Returns the signals that are blocked in this thread, and in a program that it starts.
fn masks() -> Result<Value, BoxError> {
    let blocked = |status: &str| -> Option<String> {
        Some(status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?.trim().to_owned())
    };
    let helper = Command::new("cat").arg("/proc/self/status").output()?;
    let helper = blocked(&String::from_utf8(helper.stdout)?);
    let thread = blocked(&fs::read_to_string("/proc/thread-self/status")?);
    Ok(json!({ "helper": helper, "thread": thread }))
}
