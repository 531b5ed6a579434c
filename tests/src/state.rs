//! The state that a drill server saves for the next image and restores from the previous one: items whose bytes can be checked.
//!
//! Each item begins with the number of times that it was handed over since the first image, if it is long enough for that.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, bail, ensure};
use goagain::Goagain;
use goagain::state::{StateItem, StateWriter};
use serde_json::{Value, json};

use crate::config::ServerConfig;

/// The name of the file that is saved next to the items.
const FILE: &str = "a file";

/// Bytes are written in pieces of this size. All pieces are the same, except for the beginning of the first one.
const PIECE: u64 = 1 << 20;

/// The size limit for one item.
pub const LIMIT: u64 = 1 << 30;

/// Restores what the previous image saved, checks all of it, and saves the same for the next image. Returns what it found, as
/// the detail of an event.
///
/// # Errors
/// - something differs from what was saved, or has an unknown version.
pub fn pass_on(again: &mut Goagain, config: &ServerConfig) -> anyhow::Result<Value> {
    let mut count = 0;
    let mut restored = 0;
    for (name, bytes) in &config.state {
        let Some(mut item) = again.restore_state(name)? else { continue };
        ensure!(item.version() == 1, "the item `{name}`: unknown version {}", item.version());
        count = checked(&mut item, *bytes).with_context(|| format!("the item {name:?}"))?.max(count);
        restored += 1;
        ensure!(again.restore_state(name)?.is_none(), "the item {name:?}: expected it once");
    }
    let file = if config.state.is_empty() { None } else { again.restore_fd(FILE)? };
    let text = file.map(|file| read(file.into())).transpose()?;
    for (index, (name, bytes)) in config.state.iter().enumerate() {
        let bytes = *bytes;
        let is_last = index + 1 == config.state.len();
        let fault = if is_last { config.state_fault.clone() } else { String::new() };
        again.save_state(name, config.state_version, move |writer| write(writer, bytes, count + 1, &fault));
    }
    if !config.state.is_empty() {
        // Any file will do. The image is one.
        let path = std::env::args_os().next().context("argv[0]")?;
        again.save_fd(FILE, fs::File::open(path)?);
    }
    Ok(json!({ "restored": restored, "count": count, "file": text, "io": io()? }))
}

fn checked(item: &mut StateItem, bytes: u64) -> anyhow::Result<u64> {
    ensure!(item.len() == bytes, "length: expected {bytes}, found {}", item.len());
    let mut first = [0; 8];
    let count = if bytes < 8 {
        0
    } else {
        item.read_exact(&mut first)?;
        u64::from_le_bytes(first)
    };
    // For many bytes it is enough to check some, since the drill shows that nobody copies all of them.
    let begin = bytes.min(8);
    let places: Vec<u64> = match bytes {
        0..=PIECE => (begin..bytes).step_by(97).collect(),
        _ => (PIECE..bytes).step_by(PIECE as usize / 2).chain([bytes - 1]).collect(),
    };
    for place in places {
        let mut byte = [0];
        item.seek(SeekFrom::Start(place))?;
        item.read_exact(&mut byte)?;
        ensure!(byte[0] == at(place), "byte {place}: expected {}, found {}", at(place), byte[0]);
    }
    Ok(count)
}

/// The byte at this offset of any item.
fn at(place: u64) -> u8 {
    (place % PIECE % 251) as u8
}

fn write(writer: &mut StateWriter, bytes: u64, count: u64, fault: &str) -> anyhow::Result<()> {
    let bytes = match fault {
        "" => bytes,
        "fail" => bail!("the cache is cold"),
        "panic" => panic!("asked to"),
        "large" => LIMIT + 1,
        // Like a function that collects for a very long time and checks the deadline now and then.
        "late" => {
            while !writer.is_late() {
                std::thread::yield_now();
            }
            bytes
        }
        other => bail!("state_fault: expected one that is known, found `{other}`"),
    };
    let piece: Vec<u8> = (0..PIECE.min(bytes)).map(at).collect();
    let mut left = bytes;
    while left > 0 {
        let some = left.min(PIECE) as usize;
        if left == bytes && bytes >= 8 {
            let mut first = piece.clone();
            first[..8].copy_from_slice(&count.to_le_bytes());
            writer.write_all(&first[..some])?;
        } else {
            writer.write_all(&piece[..some])?;
        }
        left -= some as u64;
    }
    Ok(())
}

/// Returns the first bytes of a file, whatever its offset is.
fn read(file: fs::File) -> anyhow::Result<String> {
    let mut first = [0; 4];
    file.read_exact_at(&mut first, 0)?;
    Ok(String::from_utf8_lossy(&first[1..]).into_owned())
}

/// Returns how many bytes this process has read and written so far (`/proc/self/io`).
fn io() -> anyhow::Result<Value> {
    let text = fs::read_to_string("/proc/self/io")?;
    let of = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    Ok(json!({ "read": of("rchar:"), "written": of("wchar:") }))
}
