//! The project's own commands: `cargo xtask e2e` restarts real servers under load, and `cargo xtask ci` is what CI
//! runs.

#![forbid(unsafe_code)]

mod busy;
mod ci;
mod drills;
mod e2e;
mod faults;
mod minimal;
mod oldest;
mod output;
mod packages;
mod programs;
mod report;
mod run;
mod soak;

use std::process::ExitCode;

use clap::Parser;

use crate::output::print_error;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    E2e(e2e::Options),
    Ci(ci::Options),
}

fn main() -> ExitCode {
    // clap exits with 2 if an option is wrong.
    let result = match Command::parse() {
        Command::E2e(options) => e2e::run(&options),
        Command::Ci(options) => ci::run(&options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print_error(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
