//! The environment is not trusted: whatever it contains, a program starts without a predecessor or refuses with one line.

mod state;
mod table;
mod trial;

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use self::trial::Trial;
use super::{Context, Drill, restarts_well};
use crate::config::StrategyKind;
use crate::events::Event;
use crate::image::spawn;
use crate::process::Process;

pub(super) fn all() -> Vec<Drill> {
    let single = |name, about, run| Drill { name, about, strategies: &[StrategyKind::Single], run };
    vec![
        single("forged_variables", "each variable with every kind of wrong value", variables),
        single("forged_descriptors", "descriptors that are not what the variables say", descriptors),
        single(
            "forged_channel",
            "channels that another process created, and descriptors that are no channels",
            channels,
        ),
        single(
            "forged_state",
            "a state that is torn, garbage, or never arrives: not ready, with one line",
            state::torn,
        ),
        Drill::both(
            "forged_variables_and_helpers",
            "a server with forged variables restarts, and its helper programs do not take themselves for successors",
            helpers,
        ),
        Drill::both("names_with_separators", "listeners with any name survive a restart", separators),
        Drill::both(
            "names_of_any_length",
            "a name too long for any string of the environment survives restarts, in the file that lists the descriptors",
            any_length,
        ),
    ]
}

/// The expected result of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// It serves, as generation 1.
    Afresh,
    /// It ends with one line that names this variable, and with exit status 2.
    Refused(&'static str),
}

/// An unrelated process that is the leader of a process group. Killed and reaped on drop.
struct Stranger {
    child: Child,
    process: Process,
}

impl Stranger {
    fn start() -> anyhow::Result<Self> {
        let mut command = Command::new("cat");
        let child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0))?;
        let process = Process::open(child.id() as i32)?.context("cat")?;
        Ok(Self { child, process })
    }

    fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Checks that it is alive. Any signal that a program could send it by mistake would end it.
    fn is_well(&self) -> anyhow::Result<()> {
        ensure!(!self.process.is_dead()?, "the stranger: expected it to be left alone, found it dead");
        Ok(())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn variables(context: &Context) -> anyhow::Result<()> {
    let stranger = Stranger::start()?;
    let rows = table::rows(stranger.pid());
    let mut failures = Vec::new();
    for (variable, value, expected) in &rows {
        let ours = ["GOAGAIN_CHANNEL", "GOAGAIN_DESCRIPTORS"].contains(variable);
        let both = [table::of_ours(stranger.pid()), table::of_a_go_process(stranger.pid())];
        // The five variables of the Go package are tried with and without a channel.
        for mut variables in both.into_iter().take(if ours { 1 } else { 2 }) {
            let count = variables.len();
            variables.retain(|(name, _)| name != variable);
            variables.extend(value.clone().map(|value| (*variable, value)));
            let trial = Trial { variables, ..Trial::default() };
            let what = || {
                let shown =
                    value.as_ref().map(|value| value.to_string_lossy().chars().take(60).collect::<String>());
                format!("{variable}={shown:?} of {count} variables, expected {expected:?}")
            };
            failures.extend(trial.run(context, *expected).with_context(what).err());
            stranger.is_well().with_context(what)?;
        }
    }
    context.note(format!("{} values", rows.len()));
    ensure!(failures.is_empty(), "{} of the values: {failures:#?}", failures.len());
    Ok(())
}

fn descriptors(context: &Context) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let folder = tempfile::tempdir()?;
    let local = UnixListener::bind(folder.path().join("socket"))?;
    let here = format!("tcp:{address}->");
    let connected = TcpStream::connect(address)?;
    let connected_to = format!("tcp:{}->", connected.local_addr()?);
    let (pipe, _writer) = nix::unistd::pipe()?;
    let cases: [(&str, OwnedFd, &str); 8] = [
        ("a file", tempfile::tempfile()?.into(), &here),
        ("a folder", File::open(folder.path())?.into(), &here),
        ("a pipe", pipe, &here),
        ("a connected socket", connected.into(), &connected_to),
        ("a connected socket of another family", UnixStream::pair()?.0.into(), &here),
        ("a listener of another family", local.try_clone()?.into(), &here),
        ("a listener of the other family's", listener.try_clone()?.into(), "unix:/run/x.sock->"),
        ("a listener on another port", listener.try_clone()?.into(), "tcp:127.0.0.1:1->"),
    ];
    for (what, descriptor, name) in cases {
        let mut variables = table::of_a_go_process(1);
        variables.retain(|(name, _)| !["GOAGAIN_FD", "GOAGAIN_NAME", "GOAGAIN_PPID"].contains(name));
        variables.extend([("GOAGAIN_FD", "7".into()), ("GOAGAIN_NAME", name.into())]);
        let trial = Trial { variables, seventh: Some(descriptor), by_its_parent: true };
        trial.run(context, Expected::Refused("GOAGAIN_FD")).context(what)?;
    }
    // From an unrelated process, a valid listener is not accepted either.
    let stranger = Stranger::start()?;
    for parent in [1, stranger.pid()] {
        let mut variables = table::of_a_go_process(parent);
        variables.retain(|(name, _)| !["GOAGAIN_FD", "GOAGAIN_NAME"].contains(name));
        variables.extend([("GOAGAIN_FD", "7".into()), ("GOAGAIN_NAME", here.clone().into())]);
        let seventh = Some(listener.try_clone()?.into());
        Trial { variables, seventh, by_its_parent: false }
            .run(context, Expected::Afresh)
            .with_context(|| format!("a listener of process {parent}"))?;
    }
    stranger.is_well()
}

fn channels(context: &Context) -> anyhow::Result<()> {
    let stranger = Stranger::start()?;
    let packets = || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    let (ours, theirs) = packets()?;
    let (pipe, _writer) = nix::unistd::pipe()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let cases: [(&str, OwnedFd); 6] = [
        ("a channel that the harness made", theirs),
        ("a channel whose other end is closed", packets()?.0),
        ("a stream", UnixStream::pair()?.0.into()),
        ("a pipe", pipe),
        ("a file", tempfile::tempfile()?.into()),
        ("a listener", listener.into()),
    ];
    for (what, descriptor) in cases {
        for by_its_parent in [true, false] {
            let mut variables = table::of_ours(stranger.pid());
            variables.retain(|(name, _)| {
                *name != "GOAGAIN_CHANNEL" && (!by_its_parent || *name != "GOAGAIN_PPID")
            });
            variables.push((
                "GOAGAIN_CHANNEL",
                if by_its_parent {
                    "1 fd=7 attempt=1 generation=2 ready_timeout=1000".into()
                } else {
                    table::channel(7, stranger.pid()).into()
                },
            ));
            let trial = Trial { variables, seventh: Some(descriptor.try_clone()?), by_its_parent };
            trial.run(context, Expected::Afresh).with_context(|| format!("{what}, {by_its_parent}"))?;
        }
    }
    ensure!(ours.as_raw_fd() >= 0, "the harness keeps its end until here");
    // The harness is a predecessor like any other: its channel is trusted, and its descriptors are checked.
    let own = std::process::id().to_string();
    for described in ["99,http,tcp,127.0.0.1:1", "0,http,tcp,127.0.0.1:1", "2,http,unix,/run/x.sock"] {
        let mut variables = table::of_ours(stranger.pid());
        variables
            .retain(|(name, _)| !["GOAGAIN_CHANNEL", "GOAGAIN_DESCRIPTORS", "GOAGAIN_PPID"].contains(name));
        variables.extend([
            ("GOAGAIN_CHANNEL", table::channel(7, std::process::id() as i32).into()),
            ("GOAGAIN_DESCRIPTORS", described.into()),
            ("GOAGAIN_PPID", own.clone().into()),
        ]);
        let trial = Trial { variables, seventh: Some(packets()?.0), by_its_parent: false };
        trial.run(context, Expected::Refused("GOAGAIN_DESCRIPTORS")).context(described)?;
    }
    stranger.is_well()
}

fn helpers(context: &Context) -> anyhow::Result<()> {
    let stranger = Stranger::start()?;
    let of_ours = table::of_ours(stranger.pid());
    for variables in [table::of_a_go_process(stranger.pid()), of_ours, table::of_ours(1)] {
        let mut options = context.options().config(|config| config.behaviour = "helper".into());
        let texts = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_string_lossy().into_owned()));
        options.variables = texts.collect();
        let mut service = context.start_options(options)?;
        no_successor(&service.await_name("helper")?)?;
        restarts_well(&mut service)?;
        let events = service.events();
        for event in events.iter().filter(|event| event.name == "helper") {
            no_successor(event)?;
        }
        service.end()?;
        stranger.is_well()?;
    }
    Ok(())
}

fn no_successor(event: &Event) -> anyhow::Result<()> {
    let successor = &event.detail["successor"];
    ensure!(*successor == false, "helper: expected no successor, found {successor}");
    Ok(())
}

fn separators(context: &Context) -> anyhow::Result<()> {
    let names = ["http", "a,b;c=d e%2C->", "\u{fc}\n\t\"\\", " ", "%", "0"];
    let mut service = context.start_with(|config| {
        config.listen = names.map(|name| (name.to_owned(), "127.0.0.1:0".to_owned())).into();
    })?;
    let addresses = |service: &crate::service::Service| -> anyhow::Result<Vec<String>> {
        names.iter().map(|name| service.address(name)).collect()
    };
    let before = addresses(&service)?;
    for _ in 0..2 {
        restarts_well(&mut service)?;
        let after = addresses(&service)?;
        ensure!(before == after, "addresses: expected {before:?}, found {after:?}");
        for name in names {
            let answered = service.get_from(name, "/").with_context(|| format!("{name:?}"))?.pid;
            ensure!(answered == service.owner()?, "{name:?}: expected the owner, found {answered}");
        }
    }
    service.end()
}

fn any_length(context: &Context) -> anyhow::Result<()> {
    // Each byte of it is escaped as three bytes.
    let long = " ".repeat(45_000);
    let mut service = context.start_with(|config| {
        let address = "127.0.0.1:0".to_owned();
        config.listen = vec![("http".to_owned(), address.clone()), (long.clone(), address)];
    })?;
    let address = service.address(&long)?;
    for _ in 0..2 {
        service.restart_and_settle()?;
        let now = service.address(&long)?;
        ensure!(now == address, "address: expected {address}, found {now}");
    }
    service.end()
}
