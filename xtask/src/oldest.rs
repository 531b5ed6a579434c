//! Checks Rust 1.85, the oldest supported version: it checks the whole workspace, and the published crates for other
//! systems.
//!
//! The toolchain comes from Debian. `.ci/rust-1.85` unpacks it below `target/`. It contains the source of the standard
//! library, so no target has to be installed.

use std::path::Path;

use anyhow::bail;
use xshell::{Shell, cmd};

use crate::ci::run_quietly;
use crate::output::print_line;

/// The systems for which the published crates are checked. Nothing is run on them here.
const SYSTEMS: [&str; 5] = [
    "aarch64-apple-darwin",
    "aarch64-linux-android",
    "i686-unknown-linux-gnu",
    "x86_64-unknown-freebsd",
    "x86_64-unknown-linux-musl",
];

/// The exit status of the script if it cannot get the toolchain.
const UNAVAILABLE: i32 = 3;

/// Nothing that is built here is run.
const CHECK_ONLY: [&str; 4] =
    ["--config", "profile.dev.debug=false", "--config", "profile.dev.package.\"*\".opt-level=0"];

/// Runs both checks. Returns whether they pass. Without the toolchain they are skipped, with a line that says why.
///
/// # Errors
/// - There is no such toolchain, and this is CI (the variable CI is set).
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let shell = Shell::new()?;
    shell.change_dir(root);
    let folder = root.join("target/rust-1.85");
    let unpacked = cmd!(shell, ".ci/rust-1.85 {folder}").quiet().ignore_status().output()?;
    if !unpacked.status.success() {
        let reason = String::from_utf8_lossy(&unpacked.stderr).trim().to_owned();
        if unpacked.status.code() != Some(UNAVAILABLE) || std::env::var_os("CI").is_some() {
            bail!("cannot unpack Rust 1.85: {reason}");
        }
        print_line(format!("ci: Rust 1.85 and other systems: skipped: {reason}"));
        return Ok(true);
    }
    let (cargo, rustc) = (folder.join("cargo"), folder.join("rustc"));
    let built = root.join("target/oldest");
    shell.set_var("RUSTC", &rustc);
    shell.set_var("CARGO_TARGET_DIR", &built);
    let workspace = cmd!(
        shell,
        "{cargo} check --quiet --locked --workspace --all-targets --all-features {CHECK_ONLY...}"
    );
    if !run_quietly("the workspace with Rust 1.85", workspace)? {
        return Ok(false);
    }
    let systems = SYSTEMS.iter().flat_map(|system| ["--target", system]);
    let published = cmd!(
        shell,
        "{cargo} check --quiet --locked --package goagain --all-features -Zbuild-std=std,panic_abort {CHECK_ONLY...} {systems...}"
    )
    .env("RUSTC_BOOTSTRAP", "1");
    run_quietly(&format!("goagain for {}", SYSTEMS.join(", ")), published)
}
