//! The texts of our errors: the text contains the causes, and the source does not repeat them, so that both
//! `{error}` and a report of the chain, as anyhow's `{:#}`, contain everything once.

#![allow(clippy::unwrap_used, reason = "what makes the errors panics as the tests do")]

use goagain::error::{
    HandoffError, InheritError, LaunchError, ListenError, MigrateError, ReadyError, RestoreError, StartError,
};
use goagain::strategy::{GoSignal, Pid};
use goagain::{Address, Stop};
use goagain_env::{Channel, Handoff, Inherit, Link, State};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The text of the root cause.
const ROOT: &str = "the disk is on fire";

#[derive(Debug)]
struct Root;

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROOT)
    }
}

impl Error for Root {}

#[derive(Debug)]
struct Middle(Root);

impl fmt::Display for Middle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write")
    }
}

impl Error for Middle {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// An OS error, and an error with a chain of its own, as a custom strategy or a wrapped socket may return it.
fn causes() -> [io::Error; 2] {
    [io::Error::from(Errno::EADDRINUSE), io::Error::other(Middle(Root))]
}

fn handoff_error() -> HandoffError {
    Handoff::decode(|_| Some(OsString::from("x"))).unwrap_err()
}

/// Returns a handoff that is meant for this process, as if it had exec'd itself while a child serves, with a socket where a file
/// should be.
fn inherit_error() -> InheritError {
    let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let mut child = child.expect("there is a `cat`");
    let (ours, _theirs) = Channel::pair().unwrap();
    let inherited = || nix::unistd::dup(&ours).unwrap().into_raw_fd();
    let link = Link {
        fd: inherited(),
        signals: None,
        attempt: 1,
        generation: 2,
        ready_timeout: Duration::from_secs(60),
        release_timeout: None,
        go: false,
        state: false,
        leaving: Vec::new(),
        draining: Some(inherited()),
        list: None,
    };
    let handoff = Handoff {
        descriptors: Vec::new(),
        successor: Pid::new(child.id().try_into().unwrap()),
        predecessor: Pid::current(),
        signal: GoSignal::Quit,
        channel: Some(link),
        go_listener: None,
    };
    let error = match goagain_env::inherit(handoff) {
        Err(error) => error,
        Ok(Inherit::Ours(inheritance)) => panic!("{inheritance:?}"),
        Ok(Inherit::NotOurs(not_ours)) => panic!("{not_ours}"),
    };
    drop(child.stdin.take());
    child.wait().unwrap();
    error
}

/// Returns every variant of every error that has its cause as its source, with that cause.
fn every() -> Vec<(&'static str, Box<dyn Error>, Option<String>)> {
    let (name, text) = (|| "http".to_owned(), || "for a reason".to_owned());
    let address = || Address::Unix("/run/http".into());
    let image = || PathBuf::from("/srv/server");
    let torn = || State::default().take(1, 0, Vec::new()).unwrap_err();
    let mut all: Vec<(&'static str, Box<dyn Error>, Option<String>)> = Vec::new();
    let mut add = |of, error: Box<dyn Error>, cause: Option<String>| all.push((of, error, cause));
    for number in 0..causes().len() {
        let cause = || causes().into_iter().nth(number).unwrap();
        let says = || Some(cause().to_string());
        let bind = ListenError::Bind { name: name(), address: Some(address()), source: cause() };
        add("ListenError", Box::new(bind), says());
        add("ReadyError", Box::new(ReadyError::Channel(cause())), says());
        add("Error", Box::new(goagain::Error::Prepare(cause().into())), says());
        add("Error", Box::new(goagain::Error::Serve(cause().into())), says());
        add("Error", Box::new(goagain::Error::Wait(cause())), says());
        let start = StartError::System { what: "make a pipe", source: cause() };
        add("Error", Box::new(goagain::Error::Start(start)), says());
        add("Error", Box::new(goagain::Error::Ready(ReadyError::Channel(cause()))), says());
        add("MigrateError", Box::new(MigrateError::System(cause())), says());
        add("StartError", Box::new(StartError::System { what: "make a pipe", source: cause() }), says());
        add("LaunchError", Box::new(LaunchError::Spawn { image: image(), source: cause() }), says());
        add("LaunchError", Box::new(LaunchError::Exec { image: image(), source: cause() }), says());
        let directory = LaunchError::Directory { directory: image(), source: cause() };
        add("LaunchError", Box::new(directory), says());
    }
    let (broken, inherited) = (|| Some(handoff_error().to_string()), inherit_error());
    add("LaunchError", Box::new(LaunchError::Handoff(handoff_error())), broken());
    add("LaunchError", Box::new(LaunchError::Nul(text())), None);
    add("LaunchError", Box::new(LaunchError::Descriptors(text())), None);
    add("LaunchError", Box::new(LaunchError::Refused(text())), None);
    add("StartError", Box::new(StartError::AlreadyStarted), None);
    add("StartError", Box::new(StartError::Handoff(handoff_error())), broken());
    let says = Some(inherited.to_string());
    add("StartError", Box::new(StartError::Inherit(inherited)), says);
    add("StartError", Box::new(StartError::Strategy(name())), None);
    add("ListenError", Box::new(ListenError::NameTaken { name: name() }), None);
    let another = ListenError::AnotherAddress { name: name(), inherited: address(), asked: None };
    add("ListenError", Box::new(another), None);
    let not_adopted = ListenError::NotAdopted { name: name(), given: 3.into(), reason: text() };
    add("ListenError", Box::new(not_adopted), None);
    add("ListenError", Box::new(ListenError::Address { given: text() }), None);
    add("ReadyError", Box::new(ReadyError::Aborted(text())), None);
    add("ReadyError", Box::new(ReadyError::Stopped(Stop::Gracefully)), None);
    add("ReadyError", Box::new(ReadyError::Silent(Duration::from_secs(1))), None);
    let state = RestoreError::Torn(torn());
    let says = Some(state.to_string());
    add("ReadyError", Box::new(ReadyError::State(state)), says);
    add("MigrateError", Box::new(MigrateError::NotOpen), None);
    add("MigrateError", Box::new(MigrateError::Full), None);
    add("MigrateError", Box::new(MigrateError::Name), None);
    add("MigrateError", Box::new(MigrateError::TooLong), None);
    all
}

#[test]
fn every_error_contains_its_cause_exactly_once() {
    for (of, error, cause) in every() {
        let said = error.to_string();
        if let Some(cause) = cause {
            assert!(said.contains(&cause), "{of}: expected `{cause}` in `{said}`");
        }
        let mut chain = vec![said];
        let mut source = error.source();
        while let Some(error) = source {
            chain.push(error.to_string());
            source = error.source();
        }
        for pair in chain.windows(2) {
            assert!(!pair[0].contains(&pair[1]), "{of}: `{}` says `{}` already", pair[0], pair[1]);
        }
        // The end of a chain that a cause brings along can still be found.
        let burns = chain[0].contains("cannot write");
        assert_eq!(burns, chain.last().is_some_and(|last| last == ROOT), "{of}: {chain:?}");
    }
}

fn sources() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let crates = ["goagain", "goagain-double", "goagain-env", "goagain-signals", "goagain-single"];
    goagain_tests::sources::below(crates.iter().map(|each| root.join(each).join("src"))).unwrap()
}

/// Returns the names of an enum's variants, from a text in rustfmt's format.
fn variants(text: &str, of: &str) -> BTreeSet<String> {
    let (_, body) = text.split_once(&format!("pub enum {of} {{\n")).expect("an enum");
    let lines = body.lines().take_while(|line| *line != "}");
    let inner = lines.filter_map(|line| line.strip_prefix("    "));
    let inner = inner.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    inner.map(first_word).collect()
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|each| each.is_ascii_alphanumeric()).collect()
}

/// An error without a source cannot repeat it. Each other type is tested above, in each of its variants.
#[test]
fn every_error_with_a_source_is_tested() {
    let mut tested: Vec<(&str, BTreeSet<String>)> = Vec::new();
    for (of, error, _) in every() {
        let variant = match error.downcast_ref() {
            // Its `Debug` is its text.
            Some(goagain::Error::Start(_)) => "Start".to_owned(),
            Some(goagain::Error::Prepare(_)) => "Prepare".to_owned(),
            Some(goagain::Error::Ready(_)) => "Ready".to_owned(),
            Some(goagain::Error::Serve(_)) => "Serve".to_owned(),
            Some(goagain::Error::Wait(_)) => "Wait".to_owned(),
            _ => first_word(&format!("{error:?}")),
        };
        match tested.iter_mut().find(|(each, _)| *each == of) {
            Some((_, variants)) => drop(variants.insert(variant)),
            None => tested.push((of, BTreeSet::from([variant]))),
        }
    }
    let mut found = 0;
    for text in sources() {
        for implemented in text.split("Error for ").skip(1) {
            let (of, rest) = implemented.split_once(" {").unwrap();
            if rest.starts_with('}') || !of.chars().all(|each| each.is_ascii_alphanumeric()) {
                continue;
            }
            let tested = tested.iter().find(|(each, _)| *each == of);
            let (_, tested) = tested.unwrap_or_else(|| panic!("{of}: expected it to be tested"));
            assert_eq!(*tested, variants(&text, of), "{of}");
            found += 1;
        }
    }
    assert_eq!(found, tested.len());
}
