//! Prints the floor: the time from a bare spawn to the new program's first message.

#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Parser;
use goagain_tests::floor;

/// Spawns an image again and again and prints how long it takes to send READY.
#[derive(Debug, Parser)]
struct Options {
    /// The image: a drill server, or this program itself.
    #[arg(long)]
    image: Option<PathBuf>,
    /// How many times.
    #[arg(short = 'n', long, default_value_t = 20)]
    times: usize,
    /// Prints JSON, in nanoseconds.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    floor::child_if_asked();
    let options = Options::parse();
    let image = options.image.map_or_else(std::env::current_exe, Ok)?;
    let floor = floor::measure(&image, options.times)?;
    let mut output = io::stdout();
    if options.json {
        writeln!(output, "{}", serde_json::to_string(&floor)?)?;
    } else {
        writeln!(output, "floor: median {:?}, worst {:?}", floor.median(), floor.worst())?;
    }
    Ok(())
}
