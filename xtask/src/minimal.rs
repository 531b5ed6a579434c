//! Checks that the published crates compile with the lowest versions that their manifests allow, for each direct
//! dependency.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::ci::run_quietly;

/// Resolves and checks a copy of the workspace, so that its Cargo.lock does not change. Returns whether both pass.
///
/// # Errors
/// - The workspace cannot be copied.
pub(crate) fn run(root: &Path, cargo: &str) -> anyhow::Result<bool> {
    let copy = root.join("target/minimal");
    fs::create_dir_all(&copy)?;
    for entry in fs::read_dir(root)? {
        let from = entry?.path();
        let name = from.file_name().unwrap_or_default();
        if ![".git", "target"].map(OsStr::new).contains(&name) {
            copy_all(&from, &copy.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    let shell = Shell::new()?;
    shell.change_dir(&copy);
    // The option is only for nightly toolchains.
    shell.set_var("RUSTC_BOOTSTRAP", "1");
    shell.set_var("CARGO_TARGET_DIR", copy.join("target"));
    fs::remove_file(copy.join("Cargo.lock"))?;
    let resolve = cmd!(shell, "{cargo} generate-lockfile --quiet -Zdirect-minimal-versions");
    if !run_quietly("the lowest versions resolve", resolve)? {
        return Ok(false);
    }
    let check = cmd!(
        shell,
        "{cargo} check --quiet --locked --package goagain --all-features --config profile.dev.package.\"*\".opt-level=0"
    );
    run_quietly("goagain with the lowest versions", check)
}

fn copy_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        // The fuzz targets have a target folder too.
        if entry.file_name() != "target" {
            copy_all(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
