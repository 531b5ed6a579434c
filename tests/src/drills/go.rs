//! Handing over to the Go package goagain of 2014, and taking over from it: no channel, only its variables and signals.

use std::path::Path;

use anyhow::{Context as _, ensure};

use super::{Context, Drill, nothing_lost};
use crate::config::StrategyKind;
use crate::image::Image;
use crate::load::{Load, LoadOptions};
use crate::service::{DEADLINE, Service};

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "go_predecessor",
            "a service of the Go package is deployed again with this library, and back",
            go_predecessor,
        ),
        Drill::both(
            "go_successor",
            "a service of this library is deployed again with the Go package, and back",
            go_successor,
        ),
    ]
}

/// What the tokens of drill-go begin with, and those of drill-server do not.
const TOKEN: &str = "go-";

fn go_predecessor(context: &Context) -> anyhow::Result<()> {
    there_and_back(context, &context.binaries.go, &context.binaries.server)
}

fn go_successor(context: &Context) -> anyhow::Result<()> {
    there_and_back(context, &context.binaries.server, &context.binaries.go)
}

/// Starts `one`, deploys `other` over it, and then `one` again. The second time its environment contains what is left of
/// the first: a Go process passes on the variables that it does not know.
fn there_and_back(context: &Context, one: &Path, other: &Path) -> anyhow::Result<()> {
    let mut service = context.start_options(context.options().image(Image::of(one)))?;
    // Some slow requests are always in flight.
    let light = LoadOptions { slow: 20, ..LoadOptions::default() };
    let load = Load::start(&context.binaries.load, &service.address("http")?, &light)?;
    for program in [other, one] {
        restart_into(&mut service, program, *program == context.binaries.go)
            .with_context(|| format!("restart into {}", program.display()))?;
    }
    nothing_lost(load)?;
    service.end()
}

/// Restarts the service into `program` and waits until nothing is left of the previous image. Between a Go process and this
/// library there is no event `settled`, so this checks the processes themselves.
fn restart_into(service: &mut Service, program: &Path, is_go: bool) -> anyhow::Result<()> {
    service.deploy(&Image::of(program))?;
    let (before, address, boot) = (service.owner()?, service.address("http")?, service.get("/")?.boot);
    service.restart()?;
    let child = service
        .await_event(|event| event.name == "owner" && event.pid != before, DEADLINE)
        .context("waiting for the child to be the owner")?
        .pid;
    let owner = match service.strategy() {
        StrategyKind::Double => {
            service
                .await_event(|event| event.name == "owner" && event.pid == before, DEADLINE)
                .context("waiting for the first pid to be the owner again")?;
            service.await_gone(child)?;
            before
        }
        StrategyKind::Single | StrategyKind::Standby => {
            service.await_gone(before)?;
            child
        }
    };
    let found = service.address("http")?;
    ensure!(found == address, "address: expected {address} as before, found {found}");
    let answer = service.get("/")?;
    ensure!(answer.pid == owner, "pid: expected an answer of {owner}, found {answer:?}");
    ensure!(answer.boot != boot, "boot: expected another image than before, found {answer:?}");
    ensure!(
        answer.boot.starts_with(TOKEN) == is_go,
        "boot: expected an answer of {}, found {answer:?}",
        program.display()
    );
    Ok(())
}
