//! What does not compile says what to do. The compiler lists the strategies that there are: so the cases stand in a folder
//! for each set of strategies. `TRYBUILD=overwrite cargo test -p goagain --test compile_fail` pins the messages anew.
//! Not with a runtime: what the compiler calls a type depends on which others have its name.
#![cfg(not(feature = "tokio"))]
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]

use std::process::Command;

/// The compiler, 1 dot this, that the messages are pinned for. Older ones explain the same in other words.
const PINNED: u32 = 95;

#[test]
fn mistakes_are_explained() {
    if compiler() < PINNED {
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/always/*.rs");
    match (cfg!(feature = "single"), cfg!(feature = "double")) {
        (true, true) => cases.compile_fail("tests/ui/both/*.rs"),
        (true, false) => cases.compile_fail("tests/ui/single_only/*.rs"),
        (false, true) => {}
        (false, false) => cases.compile_fail("tests/ui/none/*.rs"),
    }
}

/// "rustc 1.95.0 (...)" is 95.
fn compiler() -> u32 {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = String::from_utf8(Command::new(rustc).arg("--version").output().unwrap().stdout).unwrap();
    version.split('.').nth(1).and_then(|minor| minor.parse().ok()).expect("a version like `rustc 1.95.0`")
}
