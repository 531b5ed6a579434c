//! Tests with real processes what crosses spawn and exec, and what does not.
//!
//! The test runs its own binary again in the roles of `roles.rs`. A role writes what it sees into a file, as lines of
//! "key value". So the test needs a `main` of its own, with a small harness: it runs all cases in turn, or those whose
//! name contains the argument.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, though not under `cfg(test)`")]

#[cfg(target_os = "linux")]
mod cases;
#[cfg(target_os = "linux")]
mod guards;
#[cfg(target_os = "linux")]
mod roles;
#[cfg(target_os = "linux")]
mod seen;

/// Only Linux has /proc, which shows the descriptors of a process.
#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|first| first == roles::ROLE) {
        return roles::play(&args[1], &args[2..]);
    }
    let is_listing = args.iter().any(|arg| arg == "--list");
    let filters: Vec<_> =
        args.iter().filter_map(|arg| arg.to_str()).filter(|arg| !arg.starts_with('-')).collect();
    for (name, case) in cases::ALL {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter)) {
            continue;
        }
        if is_listing {
            println!("{name}: test");
            continue;
        }
        // A panic ends the run with its message. The guards end what the case started.
        case();
        println!("test {name} ... ok");
    }
}
