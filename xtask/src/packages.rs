//! Checks the packages to publish: makes each with `cargo package`, and unpacks them into a workspace of their own.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use xshell::{Shell, cmd};

use crate::ci::run_quietly;

/// The published crates.
const PUBLISHED: [&str; 5] =
    ["goagain", "goagain-double", "goagain-env", "goagain-signals", "goagain-single"];

/// The files that each package must contain, besides its code.
const REQUIRED_FILES: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Makes, unpacks, tests and documents the packages. Returns whether all steps pass.
///
/// # Errors
/// - A package lacks a file that it must contain, or a file cannot be read or written.
pub(crate) fn run(root: &Path, cargo: &str) -> anyhow::Result<bool> {
    let shell = Shell::new()?;
    shell.change_dir(root);
    let packages = PUBLISHED.iter().flat_map(|name| ["--package", name]);
    let make = cmd!(
        shell,
        "{cargo} package --quiet --locked --no-verify --allow-dirty --target-dir target {packages...}"
    );
    if !run_quietly("packages", make)? {
        return Ok(false);
    }
    let unpacked = root.join("target/packages");
    for name in PUBLISHED {
        let folder = folder(name);
        if unpacked.join(&folder).exists() {
            fs::remove_dir_all(unpacked.join(&folder))?;
        }
        fs::create_dir_all(&unpacked)?;
        cmd!(shell, "tar -xzf target/package/{folder}.crate -C {unpacked}").quiet().run()?;
        for file in REQUIRED_FILES {
            ensure!(unpacked.join(&folder).join(file).is_file(), "the package {name} has no {file}");
        }
    }
    fs::write(unpacked.join("Cargo.toml"), workspace())?;
    fs::copy(root.join("Cargo.lock"), unpacked.join("Cargo.lock"))?;

    shell.change_dir(&unpacked);
    shell.set_var("CARGO_TARGET_DIR", unpacked.join("target"));
    let tests = cmd!(shell, "{cargo} test --quiet --workspace --all-features");
    if !run_quietly("tests of the packages", tests)? {
        return Ok(false);
    }
    for name in PUBLISHED {
        let alone = cmd!(shell, "{cargo} check --quiet --package {name}");
        if !run_quietly(&format!("the package {name} on its own"), alone)? {
            return Ok(false);
        }
    }
    // As docs.rs does it: each item shows its features.
    let docs = cmd!(shell, "{cargo} doc --quiet --workspace --no-deps --all-features")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTDOCFLAGS", "--cfg docsrs -D warnings");
    run_quietly("docs of the packages", docs)
}

/// Returns the folder into which a package unpacks.
fn folder(name: &str) -> String {
    // All members have the same version as this one.
    format!("{name}-{}", env!("CARGO_PKG_VERSION"))
}

/// Returns a manifest with which the packages find each other, as they would in the registry.
fn workspace() -> String {
    let list = |line: &dyn Fn(&str) -> String| PUBLISHED.map(line).concat();
    format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\n{}]\n\n[patch.crates-io]\n{}",
        list(&|name| format!("    \"{}\",\n", folder(name))),
        list(&|name| format!("{name} = {{ path = \"{}\" }}\n", folder(name))),
    )
}
