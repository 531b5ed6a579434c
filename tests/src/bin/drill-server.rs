//! The server that the drills restart: an example's server that reports what happens, and misbehaves on request.
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "the harness shows a server's output when a drill fails"
)]

#[path = "drill-server/kept.rs"]
mod kept;
#[path = "../../../goagain/examples/serve/mod.rs"]
mod serve;
#[path = "drill-server/sockets.rs"]
mod sockets;

use crate::sockets::Socket;
use anyhow::Context as _;
use goagain::drain::Unfinished;
use goagain::strategy::{Next, View};
use goagain::{Builder, Double, Finish, Goagain, Handle, Single, Strategy};
use goagain_tests::config::{self, ServerConfig, StrategyKind};
use goagain_tests::events::{Emitter, Event};
use goagain_tests::long_lived::{self, STREAM, STUBBORN};
use goagain_tests::reports;
use nix::sys::socket::{MsgFlags, send};
use serde_json::{Value, json};
use std::os::fd::AsRawFd;
use std::process::{Command, ExitCode};
use std::sync::{Arc, OnceLock, mpsc};

const HELPER: &str = "DRILL_HELPER";

fn main() -> ExitCode {
    goagain_tests::floor::child_if_asked();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drill-server {}: {error:#}", std::process::id());
            ExitCode::from(2)
        }
    }
}

/// The example's strategy: the old process stays until it is dismissed.
#[derive(Debug)]
struct Standby;

impl Strategy for Standby {
    fn name(&self) -> &str {
        "standby"
    }

    fn next(&self, view: View) -> Next {
        if view.dismissed { Next::Exit } else { Next::Stay }
    }
}

fn run() -> anyhow::Result<()> {
    let config = ServerConfig::load()?;
    let emitter = Emitter::new(&config.events);
    if std::env::var_os(HELPER).is_some() {
        return help(&emitter);
    }
    emitter.emit(&Event::new(0, "started"));
    if let Some(words) = config.behaviour.strip_prefix("says ") {
        say_to_predecessor(words)?;
    }
    let heap = touched(config.heap_mib);
    arm(&config, &emitter)?;
    let builder = match config.strategy {
        StrategyKind::Single => Goagain::builder(Single),
        StrategyKind::Double => Goagain::builder(Double),
        StrategyKind::Standby => Goagain::builder(Standby),
    };
    let generation = Arc::new(OnceLock::new());
    let handle = Arc::new(OnceLock::new());
    let builder = if config.migrate { builder.migrate_connections() } else { builder };
    let mut again = configure(builder, &config, &emitter, &generation, &handle)?.start()?;
    handle.get_or_init(|| again.handle());
    let number = *generation.get_or_init(|| again.generation());
    let emit = |name: &str, detail: Value| emitter.emit(&Event::new(number, name).detail(detail));
    if config.behaviour == "helper" {
        run_helper()?;
    }
    if config.behaviour == "environment" {
        emit("environment", std::env::vars().filter(|(name, _)| name != config::VARIABLE).collect());
    }
    if config.behaviour == "keeps" {
        let found = kept::carry_over(&mut again)?;
        emit("kept", found);
    }
    let mut listeners = Vec::new();
    let extra = (0..config.extra).map(|number| {
        let address = format!("unix:@{}.{number}", config.events.display());
        (format!("extra {number}"), address)
    });
    for (name, address) in config.listen.iter().cloned().chain(extra) {
        match sockets::open(&mut again, &name, &address) {
            Ok(sockets) => listeners.extend(sockets),
            Err(error) => {
                again.fail(error.to_string());
                return Err(error.into());
            }
        }
    }
    match config.behaviour.as_str() {
        "exit3" => std::process::exit(3),
        "panic" => panic!("asked to"),
        "hang" => {
            emit("hangs", Value::Null);
            hang();
        }
        "fail" => {
            again.fail("no database");
            anyhow::bail!("no database");
        }
        _ => {}
    }
    match goagain_tests::state::pass_on(&mut again, &config) {
        Ok(taken) => emit("restored", taken),
        Err(error) => {
            again.fail(format!("{error:#}"));
            return Err(error);
        }
    }
    let addresses = json!({ "addresses": addresses(&listeners) });
    emit("ready", addresses.clone());
    again.ready()?;
    let identity = serve::identity(number);
    loop {
        let (mut accepting, mut late) = (Vec::new(), Vec::new());
        for socket in listeners.iter().filter(|socket| !socket.is_extra()) {
            let (keep, hold) = mpsc::channel();
            accepting.push(match socket {
                Socket::Listener(listener) if [STREAM, STUBBORN].contains(&listener.name()) => {
                    long_lived::serve(listener.acceptor()?, listener.name(), number, &emitter)?
                }
                socket => socket.serve(&identity, hold)?,
            });
            if config.behaviour == "late" && socket.name() == "socket" {
                late.push(keep);
            }
        }
        emit("owner", addresses.clone());
        match config.behaviour.as_str() {
            "die_after_ready" => std::process::abort(),
            "hang_after_ready" => hang(),
            _ => {}
        }
        again.wait()?;
        // The process that keeps the socket accepts what is queued by now.
        drop(late);
        for thread in accepting {
            thread.join().expect("accepting does not panic")?;
        }
        if let Finish::Exit = again.finish()? {
            break;
        }
    }
    drop(heap);
    if config.behaviour == "lingers" {
        // Like a runtime that waits for its last tasks.
        drop(again);
        emit("lingers", Value::Null);
        hang();
    }
    emit("leaving", Value::Null);
    Ok(())
}

fn configure(
    builder: Builder,
    config: &ServerConfig,
    emitter: &Emitter,
    generation: &Arc<OnceLock<u64>>,
    handle: &Arc<OnceLock<Handle>>,
) -> anyhow::Result<Builder> {
    let (for_hup, for_usr1, for_reports) = (emitter.try_clone()?, emitter.try_clone()?, emitter.try_clone()?);
    let callback = |emitter: Emitter, signal: &'static str| {
        let generation = Arc::clone(generation);
        move || {
            let number = generation.get().copied().unwrap_or(0);
            emitter.emit(&Event::new(number, "callback").detail(json!({ "signal": signal })));
        }
    };
    let aborts = config.behaviour == "aborts";
    let (on_usr1, handle) = (callback(for_usr1, "USR1"), Arc::clone(handle));
    let (for_list, list_generation) = (emitter.try_clone()?, Arc::clone(generation));
    let mut builder = builder;
    if !config.directory.as_os_str().is_empty() {
        builder = builder.working_directory(&config.directory);
    }
    if config.max_draining > 0 {
        builder = builder.max_draining(config.max_draining);
    }
    let unfinished = match config.unfinished.as_str() {
        "close" => Unfinished::Close,
        "reset" => Unfinished::Reset,
        _ => Unfinished::Leave,
    };
    let stands_by = config.strategy == StrategyKind::Standby;
    let generation = Arc::clone(generation);
    Ok(builder
        .ready_timeout(config.ready_timeout())
        .drain_timeout(config.drain_timeout())
        .idle_grace(config.idle_grace())
        .long_lived_timeout(config.long_lived_timeout())
        .drain_jitter(config.drain_jitter())
        .unfinished(unfinished)
        .on_unfinished(move |list| {
            let names: Vec<_> = list.iter().map(|connection| connection.name.clone()).collect();
            let number = list_generation.get().copied().unwrap_or(0);
            for_list.emit(&Event::new(number, "on_unfinished").detail(json!({ "names": names })));
        })
        .probation(config.probation())
        .serving_timeout(config.serving_timeout())
        .reexec_timeout(config.reexec_timeout())
        .abort_timeout(config.abort_timeout())
        .state_timeout(config.state_timeout())
        .state_limit(goagain_tests::state::LIMIT)
        .on_hup(callback(for_hup, "HUP"))
        .on_usr1(move || {
            on_usr1();
            // As in the example `custom`.
            if let Some(handle) = handle.get().filter(|_| stands_by) {
                handle.dismiss();
            }
            if let Some(handle) = handle.get().filter(|_| aborts) {
                handle.abort_attempt("the operator said so");
            }
        })
        .on_event(move |observed| {
            for_reports.emit(&reports::event(generation.get().copied().unwrap_or(0), observed));
        }))
}

fn addresses(sockets: &[Socket]) -> Value {
    sockets
        .iter()
        .filter(|socket| !socket.is_extra())
        .map(|socket| (socket.name().to_owned(), json!(socket.address())))
        .collect()
}

/// Sends a message on the channel that this image would not send by itself.
fn say_to_predecessor(words: &str) -> anyhow::Result<()> {
    let channel = std::env::var("GOAGAIN_CHANNEL").context("GOAGAIN_CHANNEL")?;
    let number = channel.split(' ').find_map(|pair| pair.strip_prefix("fd=")).context("fd")?;
    send(number.parse()?, format!("goagain/1 {words}").as_bytes(), MsgFlags::empty())?;
    Ok(())
}

/// Arms the fault that the drill requests. When it is hit, this emits an event, through the socket that every image has anyway.
#[cfg(goagain_faults)]
fn arm(config: &ServerConfig, emitter: &Emitter) -> anyhow::Result<()> {
    let emitter = emitter.try_clone()?;
    goagain::fault::announce(move |point| {
        emitter.emit(&Event::new(0, "strike").detail(json!({ "point": point })));
    });
    if !config.fault.is_empty() {
        let (point, fault) = config.fault.rsplit_once(": ").context("fault: expected `point: fault`")?;
        goagain::fault::arm(point, fault.parse().map_err(anyhow::Error::msg)?);
    }
    Ok(())
}

/// This build has no fault points.
#[cfg(not(goagain_faults))]
fn arm(config: &ServerConfig, _emitter: &Emitter) -> anyhow::Result<()> {
    anyhow::ensure!(
        config.fault.is_empty(),
        "fault: this server was built without any, build it with `--cfg goagain_faults`"
    );
    Ok(())
}

/// Memory that is touched, not only reserved.
fn touched(mib: u64) -> Vec<u8> {
    let mut heap = vec![0u8; usize::try_from(mib).unwrap_or(0) << 20];
    heap.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::hint::black_box(heap)
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

/// Starts this program again, as a server starts a helper.
fn run_helper() -> anyhow::Result<()> {
    let image = std::env::args_os().next().context("argv[0]")?;
    let status = Command::new(image).env(HELPER, "1").status()?;
    anyhow::ensure!(status.success(), "the helper: {status}");
    Ok(())
}

/// Reports what a helper finds: its descriptors, before it opens any of its own, and what goagain reads from its environment.
fn help(emitter: &Emitter) -> anyhow::Result<()> {
    // Everything that is open except this socket and the folder that is being read.
    let socket = emitter.as_fd().map(|fd| fd.as_raw_fd());
    let mut descriptors = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let number: i32 = entry.file_name().to_string_lossy().parse()?;
        let is_folder = std::fs::read_link(entry.path()).is_ok_and(|link| link.ends_with("fd"));
        if Some(number) != socket && !is_folder {
            descriptors.push(number);
        }
    }
    descriptors.sort_unstable();
    let again = Goagain::builder(Single).start()?;
    let successor = again.is_successor();
    let found = json!({ "descriptors": descriptors, "successor": successor });
    println!("{found}");
    emitter.emit(&Event::new(0, "helper").detail(found));
    Ok(())
}
