//! Builds the programs of goagain-tests, in release mode.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use goagain_tests::service::Binaries;
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

use crate::output::print_error;

/// Builds the programs without output, and returns their paths.
///
/// # Errors
/// - They do not compile. The compiler's output is shown.
pub(crate) fn build(shell: &Shell) -> anyhow::Result<Binaries> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    built(cmd!(shell, "{cargo} build --quiet --release --package goagain-tests --bins"))
}

/// As `build`, with fault points in the library. Uses a target folder of its own, so that neither build invalidates the
/// other.
///
/// # Errors
/// - They do not compile. The compiler's output is shown.
pub(crate) fn build_with_faults(shell: &Shell) -> anyhow::Result<Binaries> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let own = std::env::current_exe()?;
    let target =
        own.ancestors().nth(2).context("target: expected this program in a profile's folder of it")?;
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default() + " --cfg goagain_faults";
    let build = cmd!(shell, "{cargo} build --quiet --release --package goagain-tests --bins");
    built(build.env("CARGO_TARGET_DIR", target.join("faults")).env("RUSTFLAGS", flags.trim_start()))
}

fn built(build: Cmd<'_>) -> anyhow::Result<Binaries> {
    let output =
        build.args(["--message-format", "json-render-diagnostics"]).quiet().ignore_status().output()?;
    if !output.status.success() {
        print_error(String::from_utf8_lossy(&output.stderr).trim_end());
        bail!("goagain-tests: cannot be built in release");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let path = |name: &str| {
        let found = messages.lines().find_map(|line| executable(line, name));
        found.with_context(|| format!("{name}: expected cargo to build it"))
    };
    Ok(Binaries { server: path("drill-server")?, go: path("drill-go")?, load: path("drill-load")? })
}

/// Returns the path of the program `name`, if this message of cargo is about it.
fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_it = message["reason"] == "compiler-artifact" && message["target"]["name"] == name;
    is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
}
