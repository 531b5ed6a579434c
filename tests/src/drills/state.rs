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
            "100 items with unusual names, an empty one and a file reach each next image under load, each as the last owner saved it",
            handed_over,
        ),
        Drill::both(
            "state_that_cannot_be_saved",
            "a function that fails, panics, hangs or writes too much fails the restart, not the service",
            not_made,
        ),
        Drill {
            name: "state_that_the_child_cannot_save",
            about: "the same in the image that serves while its parent execs: it keeps serving",
            strategies: &[StrategyKind::Double],
            run: not_made_by_the_child,
        },
        Drill::both(
            "state_of_an_unknown_version",
            "an image that cannot read the state that it gets fails, and the old process keeps serving",
            unknown_version,
        ),
        Drill::both(
            "state_1gib",
            "the time from signal to commit with an item of 1 GiB and without, and what the images have read and written",
            one_gib,
        ),
    ]
}

/// Returns how many times each restart hands the state on.
fn hops(context: &Context) -> u64 {
    if context.strategy == StrategyKind::Double { 2 } else { 1 }
}

fn handed_over(context: &Context) -> anyhow::Result<()> {
    let unusual = ["", "a,b;c=d e%2C->", "\u{fc}\n\t\"\\\0", " ", "%"];
    let mut items: Vec<(String, u64)> =
        (0..94).map(|index| (format!("item {index}"), index * 1_000)).collect();
    items.extend(unusual.map(|name| (name.to_owned(), 8)));
    items.push(("keys".into(), 3 << 20));
    let count = items.len() as u64;
    let mut service = context.start_with(|config| config.state = items)?;
    let load = context.load(&service)?;
    for number in 1..=3 {
        restarts_well(&mut service).with_context(|| format!("restart {number}"))?;
        let owner = service.owner()?;
        let restored =
            service.await_event(|event| event.name == "restored" && event.pid == owner, DEADLINE)?;
        // Under Double the process has reported it in each of its images. The last one counts.
        let restored =
            service.marked().into_iter().rfind(|event| event.name == "restored").unwrap_or(restored).detail;
        ensure!(restored["restored"] == count, "items: expected {count}, found {restored}");
        let handed = number * hops(context);
        ensure!(
            restored["count"] == handed,
            "count after restart {number}: expected {handed}, found {restored}"
        );
        ensure!(restored["file"] == "ELF", "file: expected an image, found {restored}");
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
            config.state = vec![("cache".into(), 64), ("keys".into(), 64)];
            config.state_fault = fault.into();
            // Writing 1 GiB takes time, too.
            config.state_ms = if fault == "late" { 1_000 } else { 20_000 };
        })?;
        let owner = service.owner()?;
        let load = context.load(&service)?;
        for _ in 0..2 {
            service.restart()?;
            let not_saved = service.await_name("state_not_saved").context(fault)?;
            ensure!(not_saved.detail["name"] == "keys", "{fault}: expected `keys`, found {not_saved:?}");
            let found = not_saved.reason();
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
            config.state = vec![("keys".into(), 64)];
            config.state_ms = if fault == "late" { 1_000 } else { 20_000 };
        })?;
        let load = context.load(&service)?;
        service.deploy(&service.image().with("state_fault", fault))?;
        let (main, old) = (service.main_pid(), service.generation()?);
        service.restart()?;
        let child = service.await_event(|event| event.name == "owner" && event.generation > old, DEADLINE)?;
        let not_saved = service.await_name("state_not_saved")?;
        ensure!(not_saved.pid == child.pid, "{fault}: expected {}, found {not_saved:?}", child.pid);
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
        config.state = vec![("keys".into(), 64)];
        config.state_version = 2;
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

    let mut service = context.start_with(|config| config.state = vec![("cache".into(), GIB)])?;
    let with = commit(&mut service)?;
    let events = service.events();
    let restored = events.iter().filter(|event| event.name == "restored" && event.detail["restored"] == 1);
    let mut before =
        events.iter().find(|event| event.name == "restored").context("restored")?.detail["io"].clone();
    let mut images = 0;
    for event in restored {
        images += 1;
        // A new process starts at zero. A process that was exec'd keeps counting, and has written its item.
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
    ensure!(images == hops(context), "images that restored it: expected {}, found {images}", hops(context));
    let (begin, piece) = (Instant::now(), vec![1; 1 << 20]);
    let allowance = goagain_env::StateLimits::new(GIB, DEADLINE);
    let bare = goagain_env::StateItem::pack("cache", 1, allowance, |writer| {
        (0..GIB >> 20).try_for_each(|_| writer.write_all(&piece)).map_err(|error| error.to_string())
    })?;
    let bare_ms = begin.elapsed().as_secs_f64() * 1e3;
    drop(bare);
    context.note(format!(
        "signal → commit: no item {none:.1} ms, 1 GiB {with:.1} ms, added {:.1} ms, beside {bare_ms:.1} ms for the bare writing; \
         the owner wrote 1 GiB, the next image read none of it",
        with - none
    ));
    service.end()
}
