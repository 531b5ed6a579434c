//! `cargo xtask ci`: runs all checks that must pass before a change is merged.

use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use goagain_tests::faults::share::Share;
use wait_timeout::ChildExt;
use xshell::{Cmd, Shell, cmd};

use crate::output::{print_error, print_line};
use crate::{e2e, minimal, oldest, packages};

/// Runs all checks that must pass before a change is merged.
///
/// Checks format, lints for each feature set, tests, docs, the packages to publish, the lowest dependency versions,
/// Rust 1.85, other systems, restarts under load, and a third of the faults. Prints a line for each step, and the
/// output of a step that fails.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Restarts for each strategy in the step with load.
    #[arg(long, default_value_t = 5)]
    restarts: u32,
    /// Run only the checks of what is published: the packages, the lowest dependency versions, Rust 1.85, other
    /// systems.
    #[arg(long)]
    published: bool,
}

/// The feature sets of `goagain` that are linted separately.
const FEATURES: [&[&str]; 11] = [
    &["--no-default-features"],
    &["--no-default-features", "--features", "single"],
    &["--no-default-features", "--features", "double"],
    &["--no-default-features", "--features", "single,double"],
    &["--features", "tracing"],
    &["--features", "tokio"],
    &["--features", "hyper"],
    &["--features", "axum"],
    &["--features", "tonic"],
    &["--features", "actix"],
    &["--all-features"],
];

/// The part of the fault matrix to run, a different one each day. The whole matrix takes nine minutes on two cores
/// (`cargo xtask e2e --faults`).
const FAULTS: Share = Share { part: 1, of: 3 };

/// How many lines of a failed step's output are shown.
const SHOWN_LINES: usize = 200;

/// A step that takes longer is considered hung. It is killed and fails.
const STEP_TIMEOUT: Duration = Duration::from_secs(40 * 60);

/// Runs the steps in order, until one fails. Returns whether all passed.
///
/// # Errors
/// - cargo cannot be run.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask is in the workspace")?;
    let shell = Shell::new()?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    if options.published {
        return published(root, &cargo);
    }
    let mut steps = vec![("format".to_owned(), cmd!(shell, "{cargo} fmt --all --check"))];
    for features in FEATURES {
        let name = format!("clippy of goagain {}", features.join(" "));
        let step = cmd!(
            shell,
            "{cargo} clippy --quiet --package goagain --all-targets {features...} -- -D warnings"
        );
        steps.push((name, step));
    }
    steps.push((
        "clippy of the workspace".to_owned(),
        cmd!(shell, "{cargo} clippy --quiet --workspace --all-targets -- -D warnings"),
    ));
    steps.push((
        "clippy of the drills with runtimes".to_owned(),
        cmd!(
            shell,
            "{cargo} clippy --quiet --package goagain-tests --all-targets --features runtimes -- -D warnings"
        ),
    ));
    for (name, step) in steps {
        if !run_quietly(&name, step)? {
            return Ok(false);
        }
    }
    // The output of the tests is shown, because readers look for their last lines.
    if !run_with_output("tests", cmd!(shell, "{cargo} test --quiet --workspace --all-features"))? {
        return Ok(false);
    }
    // What the compiler says about a strategy whose feature is off can be tested only with the default features.
    if !run_quietly(
        "tests of goagain with its default features",
        cmd!(shell, "{cargo} test --quiet --package goagain"),
    )? {
        return Ok(false);
    }
    if !run_quietly(
        "what the compiler says with both strategies",
        cmd!(shell, "{cargo} test --quiet --package goagain --features double --test compile_fail"),
    )? {
        return Ok(false);
    }
    let docs = cmd!(shell, "{cargo} doc --quiet --workspace --no-deps --all-features")
        .env("RUSTDOCFLAGS", "-D warnings");
    if !run_quietly("docs", docs)? {
        return Ok(false);
    }
    if !published(root, &cargo)? {
        return Ok(false);
    }
    let begin = Instant::now();
    let good = e2e::run(&e2e::Options::load_only(options.restarts))?;
    print_result("e2e", good, begin.elapsed());
    if !good {
        return Ok(false);
    }
    let begin = Instant::now();
    let good = e2e::run(&e2e::Options::faults(FAULTS))?;
    print_result("faults", good, begin.elapsed());
    Ok(good)
}

/// Checks the packages to publish, the versions with which they promise to compile, and the systems for which they do.
fn published(root: &Path, cargo: &str) -> anyhow::Result<bool> {
    Ok(packages::run(root, cargo)? && minimal::run(root, cargo)? && oldest::run(root)?)
}

/// Runs a step, and shows its output only if it fails. The output goes to a file: with a pipe, a process that a test
/// leaves behind would keep the pipe open, and the step would never end.
pub(crate) fn run_quietly(name: &str, step: Cmd<'_>) -> anyhow::Result<bool> {
    let mut output = tempfile::tempfile()?;
    let mut step = Command::from(step);
    step.stdout(output.try_clone()?).stderr(output.try_clone()?);
    let good = run_with_timeout(name, step, STEP_TIMEOUT)?;
    if !good {
        let mut text = Vec::new();
        output.rewind()?;
        output.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        print_error(lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"));
    }
    Ok(good)
}

/// Runs a step, and shows its output as it comes.
fn run_with_output(name: &str, step: Cmd<'_>) -> anyhow::Result<bool> {
    run_with_timeout(name, Command::from(step), STEP_TIMEOUT)
}

/// Runs a step, and kills it after the timeout.
fn run_with_timeout(name: &str, mut step: Command, timeout: Duration) -> anyhow::Result<bool> {
    let begin = Instant::now();
    let mut child = step.stdin(Stdio::null()).spawn()?;
    let good = match child.wait_timeout(timeout)? {
        Some(status) => status.success(),
        None => {
            print_error(format!("ci: {name}: not done after {} s, killed", timeout.as_secs()));
            child.kill()?;
            child.wait()?;
            false
        }
    };
    print_result(name, good, begin.elapsed());
    Ok(good)
}

fn print_result(name: &str, good: bool, time: Duration) {
    let word = if good { "ok" } else { "FAILED" };
    print_line(format!("ci: {name}: {word} ({:.1} s)", time.as_secs_f64()));
}
