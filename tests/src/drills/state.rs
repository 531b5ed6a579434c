//! State that one image hands to the next, and what can go wrong with it.

use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::{Context, Drill, nothing_lost, restarts_well, serves_as_before, successor_is_gone};
use crate::config::StrategyKind;
use crate::service::{DEADLINE, Service};
use crate::summary::commit_ns;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "state_is_handed_over",
            "100 parcels of odd names, an empty one and a file reach each next image under load, and each is the last owner's",
            handed_over,
        ),
        Drill::both(
            "state_that_cannot_be_made",
            "a function that fails, panics, hangs or writes too much fails the restart, not the service",
            not_made,
        ),
        Drill {
            name: "state_that_the_child_cannot_make",
            about: "the same in the image that serves while the process execs: it goes on",
            strategies: &[StrategyKind::Double],
            run: not_made_by_the_child,
        },
        Drill::both(
            "state_of_an_unknown_version",
            "an image that cannot read what it is offered fails, and the old one goes on",
            unknown_version,
        ),
        Drill::both(
            "state_1gib",
            "signal to commit with a parcel of 1 GiB and with none, and what the images have read and written",
            one_gib,
        ),
    ]
}

/// How often each restart hands the state on.
fn hops(context: &Context) -> u64 {
    if context.strategy == StrategyKind::Double { 2 } else { 1 }
}

fn handed_over(context: &Context) -> anyhow::Result<()> {
    let odd = ["", "a,b;c=d e%2C->", "\u{fc}\n\t\"\\\0", " ", "%"];
    let mut offers: Vec<(String, u64)> =
        (0..94).map(|index| (format!("parcel {index}"), index * 1_000)).collect();
    offers.extend(odd.map(|name| (name.to_owned(), 8)));
    offers.push(("keys".into(), 3 << 20));
    let count = offers.len() as u64;
    let mut service = context.start_with(|config| config.offers = offers)?;
    let load = context.load(&service)?;
    for number in 1..=3 {
        restarts_well(&mut service).with_context(|| format!("restart {number}"))?;
        let owner = service.owner()?;
        let took = service.await_event(|event| event.name == "took" && event.pid == owner, DEADLINE)?;
        // Under Double the process has said so in each of its images; the last is the one.
        let took = service.marked().into_iter().rfind(|event| event.name == "took").unwrap_or(took).detail;
        ensure!(took["took"] == count, "parcels: expected {count}, found {took}");
        let handed = number * hops(context);
        ensure!(took["count"] == handed, "count after restart {number}: expected {handed}, found {took}");
        ensure!(took["file"] == "ELF", "file: expected an image, found {took}");
    }
    nothing_lost(load)?;
    service.end()
}

fn not_made(context: &Context) -> anyhow::Result<()> {
    for (fault, reason) in [
        ("fail", "the cache is cold"),
        ("panic", "panicked: asked to"),
        ("late", "expected all state items to be saved within 1s"),
        ("large", "expected at most 1073741824 bytes"),
    ] {
        let mut service = context.start_with(|config| {
            config.offers = vec![("cache".into(), 64), ("keys".into(), 64)];
            config.offer_fault = fault.into();
            // Writing 1 GiB takes its time, too.
            config.state_ms = if fault == "late" { 1_000 } else { 20_000 };
        })?;
        let owner = service.owner()?;
        let load = context.load(&service)?;
        for _ in 0..2 {
            service.restart()?;
            let not_offered = service.await_name("state_not_saved").context(fault)?;
            ensure!(not_offered.detail["name"] == "keys", "{fault}: expected `keys`, found {not_offered:?}");
            let found = not_offered.reason();
            ensure!(found.starts_with(reason), "{fault}: expected `{reason}`, found `{found}`");
            let failed = service.await_name("failed").context(fault)?;
            ensure!(failed.reason().contains(reason), "{fault}: expected `{reason}`, found {failed:?}");
            let spawned = service.marked().iter().any(|event| event.name == "spawned");
            ensure!(!spawned, "{fault}: expected nothing to be started");
            serves_as_before(&service, owner)?;
        }
        nothing_lost(load)?;
        service.end()?;
    }
    Ok(())
}

fn not_made_by_the_child(context: &Context) -> anyhow::Result<()> {
    for fault in ["fail", "panic", "late"] {
        let mut service = context.start_with(|config| {
            config.offers = vec![("keys".into(), 64)];
            config.state_ms = if fault == "late" { 1_000 } else { 20_000 };
        })?;
        let load = context.load(&service)?;
        service.deploy(&service.image().with("offer_fault", fault))?;
        let (main, old) = (service.main_pid(), service.generation()?);
        service.restart()?;
        let child = service.await_event(|event| event.name == "owner" && event.generation > old, DEADLINE)?;
        let not_offered = service.await_name("state_not_saved")?;
        ensure!(not_offered.pid == child.pid, "{fault}: expected {}, found {not_offered:?}", child.pid);
        let failed = service.await_name("failed")?;
        ensure!(failed.pid == child.pid, "{fault}: expected {}, found {failed:?}", child.pid);
        ensure!(failed.reason().contains("the state: "), "{fault}: expected the state, found {failed:?}");
        service.await_gone(main)?;
        serves_as_before(&service, child.pid)?;
        nothing_lost(load)?;
        service.end()?;
    }
    Ok(())
}

fn unknown_version(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| {
        config.offers = vec![("keys".into(), 64)];
        config.offer_version = 2;
    })?;
    let owner = service.owner()?;
    service.restart()?;
    let failed = service.await_name("failed")?;
    ensure!(failed.reason().contains("unknown version 2"), "reason: expected the version, found {failed:?}");
    successor_is_gone(&service, owner)?;
    serves_as_before(&service, owner)?;
    service.end()
}

fn one_gib(context: &Context) -> anyhow::Result<()> {
    const GIB: u64 = 1 << 30;
    let commit = |service: &mut Service| -> anyhow::Result<f64> {
        let restart = service.restart_and_settle()?;
        let commit = commit_ns(&service.marked(), &restart).context("expected an event `committed`")?;
        Ok(commit as f64 / 1e6)
    };
    let mut service = context.start()?;
    let none = commit(&mut service)?;
    service.end()?;

    let mut service = context.start_with(|config| config.offers = vec![("cache".into(), GIB)])?;
    let with = commit(&mut service)?;
    let events = service.events();
    let took = events.iter().filter(|event| event.name == "took" && event.detail["took"] == 1);
    let mut before = events.iter().find(|event| event.name == "took").context("took")?.detail["io"].clone();
    let mut images = 0;
    for event in took {
        images += 1;
        // A new process begins at nothing; one that was exec'd goes on counting, and has written its parcel.
        let io = &event.detail["io"];
        let own = event.pid == service.main_pid();
        let figure = |which: &str| {
            let so_far = if own { before[which].as_u64().unwrap_or(0) } else { 0 };
            io[which].as_u64().unwrap_or(u64::MAX) - so_far
        };
        let (read, written) = (figure("read"), figure("written"));
        let expected = if own { GIB } else { 0 };
        ensure!(read < GIB / 16, "read: expected next to nothing, found {read} bytes in {event:?}");
        ensure!(
            (expected..expected + GIB / 16).contains(&written),
            "written: expected {expected} bytes and little more, found {written} in {event:?}"
        );
        before = io.clone();
    }
    ensure!(images == hops(context), "images that took it: expected {}, found {images}", hops(context));
    let (begin, piece) = (Instant::now(), vec![1; 1 << 20]);
    let allowance = goagain_env::StateLimits::new(GIB, DEADLINE);
    let bare = goagain_env::StateItem::pack("cache", 1, allowance, |writer| {
        (0..GIB >> 20).try_for_each(|_| writer.write_all(&piece)).map_err(|error| error.to_string())
    })?;
    let bare_ms = begin.elapsed().as_secs_f64() * 1e3;
    drop(bare);
    context.note(format!(
        "signal → commit: no parcel {none:.1} ms, 1 GiB {with:.1} ms, added {:.1} ms, beside {bare_ms:.1} ms for the bare writing; \
         the owner wrote 1 GiB, the next image read none of it",
        with - none
    ));
    service.end()
}
