//! The programs of goagain-tests, built in release.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use goagain_tests::service::Binaries;
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::output::complain;

/// Builds the programs, quietly, and says where they are.
///
/// # Errors
/// - they do not compile; the compiler's words are shown.
pub(crate) fn build(shell: &Shell) -> anyhow::Result<Binaries> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let build = cmd!(shell, "{cargo} build --quiet --release --package goagain-tests --bins");
    let output =
        build.args(["--message-format", "json-render-diagnostics"]).quiet().ignore_status().output()?;
    if !output.status.success() {
        complain(String::from_utf8_lossy(&output.stderr).trim_end());
        bail!("goagain-tests: cannot be built in release");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let path = |name: &str| {
        let found = messages.lines().find_map(|line| executable(line, name));
        found.with_context(|| format!("{name}: expected cargo to build it"))
    };
    Ok(Binaries { server: path("drill-server")?, seed: path("drill-seed")?, load: path("drill-load")? })
}

/// The path of the program `name`, if this message of cargo is about it.
fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_it = message["reason"] == "compiler-artifact" && message["target"]["name"] == name;
    is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
}
