//! Tests what needs no new image: strings and refusals. `tests/exec` starts real ones.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::{Address, Channel, Link, NamedDescriptor};

fn handoff(channel: &Channel) -> Handoff {
    let link = Link {
        fd: channel.as_raw_fd(),
        signals: None,
        attempt: 1,
        generation: 2,
        ready_timeout: Duration::from_secs(60),
        release_timeout: None,
        go: false,
        state: false,
        leaving: Vec::new(),
        draining: None,
        list: None,
    };
    Handoff {
        descriptors: Vec::new(),
        successor: None,
        predecessor: Pid::current(),
        signal: GoSignal::Quit,
        channel: Some(link),
        go_listener: None,
    }
}

fn launch(channel: &Channel) -> Launch<'_> {
    let image = Image::at("/no/such/image").unwrap();
    Launch::new(&image, vec!["one".into()], handoff(channel), vec![channel.as_fd()])
}

fn environment(launch: &Launch<'_>) -> Vec<String> {
    let strings = launch.strings(None).unwrap().environment;
    strings.into_iter().map(|string| string.into_string().unwrap()).collect()
}

#[test]
fn a_strategy_can_change_the_launch() {
    let (channel, _other) = Channel::pair().unwrap();
    let mut launch = launch(&channel);
    launch
        .set_image("/srv/new")
        .set_args(["a"])
        .arg("b")
        .env("X_Y", "1")
        .env_remove("PATH")
        .signal(GoSignal::Usr2);
    assert_eq!((launch.image(), launch.args()), (Path::new("/srv/new"), &["a".into(), "b".into()][..]));
    let environment = environment(&launch);
    assert!(environment.contains(&"X_Y=1".to_owned()));
    assert!(!environment.iter().any(|pair| pair.starts_with("PATH=")));
    assert!(environment.contains(&format!("GOAGAIN_SIGNAL={}", libc::SIGUSR2)));
    let argv = launch.strings(None).unwrap().argv;
    assert_eq!(argv[1..], [c"a".to_owned(), c"b".to_owned()]);
}

#[test]
fn the_handoff_overrides_its_variables() {
    let (channel, _other) = Channel::pair().unwrap();
    let mut launch = launch(&channel);
    launch.env("GOAGAIN_PPID", "1").env("GOAGAIN_FD", "9").env_remove("GOAGAIN_CHANNEL");
    let environment = environment(&launch);
    let ours: Vec<_> = environment.iter().filter(|pair| pair.starts_with("GOAGAIN_PPID=")).collect();
    assert_eq!(ours, [&format!("GOAGAIN_PPID={}", Pid::current())]);
    assert!(!environment.iter().any(|pair| pair.starts_with("GOAGAIN_FD=")));
    assert!(environment.iter().any(|pair| pair.starts_with("GOAGAIN_CHANNEL=1 fd=")));
}

#[test]
fn secrets_are_not_shown() {
    let (channel, _other) = Channel::pair().unwrap();
    let mut launch = launch(&channel);
    launch.env("TOKEN", "s3cr3t");
    let shown = format!("{launch:?}");
    assert!(shown.contains("TOKEN") && !shown.contains("s3cr3t"), "{shown}");
}

#[test]
fn descriptors_must_match_the_handoff() {
    let (channel, other) = Channel::pair().unwrap();
    let image = Image::at("/no/such/image").unwrap();
    let missing = Launch::new(&image, Vec::new(), handoff(&channel), Vec::new());
    assert!(matches!(missing.spawn(), Err(LaunchError::Descriptors(_))));
    let extra = Launch::new(&image, Vec::new(), handoff(&channel), vec![channel.as_fd(), other.as_fd()]);
    assert!(matches!(extra.exec(), LaunchError::Descriptors(_)));
}

#[test]
fn an_invalid_handoff_starts_nothing() {
    let (channel, other) = Channel::pair().unwrap();
    let mut handoff = handoff(&channel);
    let address = Address::Unix("x".repeat(200_000).into());
    let described = NamedDescriptor { fd: other.as_raw_fd(), name: "x".into(), address };
    handoff.descriptors.push(described);
    let image = Image::at("/no/such/image").unwrap();
    let launch = Launch::new(&image, Vec::new(), handoff, vec![channel.as_fd(), other.as_fd()]);
    let error = launch.spawn().unwrap_err();
    assert!(matches!(error, LaunchError::Handoff(_)), "{error}");
    assert!(error.to_string().starts_with("GOAGAIN_NAME: expected at most 131071 bytes"), "{error}");
}

#[test]
fn a_nul_is_refused() {
    let (channel, _other) = Channel::pair().unwrap();
    let mut launch = launch(&channel);
    launch.arg("a\0b");
    assert_eq!(launch.spawn().unwrap_err().to_string(), "an argument contains a NUL: \"a\\0b\"");
}

#[test]
fn a_missing_image_is_a_spawn_error() {
    let (channel, _other) = Channel::pair().unwrap();
    let error = launch(&channel).spawn().unwrap_err();
    assert!(
        matches!(&error, LaunchError::Spawn { image, .. } if image == Path::new("/no/such/image")),
        "{error}"
    );
    assert!(error.to_string().contains("deploy the file"), "{error}");
}
