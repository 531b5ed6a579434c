//! What a drill server offers to the next image, and takes of the last: parcels whose bytes can be checked.
//!
//! Each begins with how many times it was handed over since the first image, where there is room for that.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, bail, ensure};
use goagain::Goagain;
use goagain::state::{StateItem, StateWriter};
use serde_json::{Value, json};

use crate::config::ServerConfig;

/// The name of the file that is offered beside the parcels.
const FILE: &str = "a file";

/// Bytes are written in pieces of this size, which are all the same but for the beginning of the first.
const PIECE: u64 = 1 << 20;

/// The size limit for one parcel.
pub const LIMIT: u64 = 1 << 30;

/// Takes what the last image offered, checks all of it, and offers the same to the next. What was found is the detail of an
/// event.
///
/// # Errors
/// - something is not as it was offered, or of a version that is not known.
pub fn pass_on(again: &mut Goagain, config: &ServerConfig) -> anyhow::Result<Value> {
    let mut count = 0;
    let mut took = 0;
    for (name, bytes) in &config.offers {
        let Some(mut parcel) = again.restore_state(name)? else { continue };
        ensure!(parcel.version() == 1, "the parcel `{name}`: unknown version {}", parcel.version());
        count = checked(&mut parcel, *bytes).with_context(|| format!("the parcel {name:?}"))?.max(count);
        took += 1;
        ensure!(again.restore_state(name)?.is_none(), "the parcel {name:?}: expected it once");
    }
    let file = if config.offers.is_empty() { None } else { again.restore_fd(FILE)? };
    let text = file.map(|file| read(file.into())).transpose()?;
    for (index, (name, bytes)) in config.offers.iter().enumerate() {
        let bytes = *bytes;
        let is_last = index + 1 == config.offers.len();
        let fault = if is_last { config.offer_fault.clone() } else { String::new() };
        again.save_state(name, config.offer_version, move |writer| write(writer, bytes, count + 1, &fault));
    }
    if !config.offers.is_empty() {
        // Any file will do, and the image is one.
        let path = std::env::args_os().next().context("argv[0]")?;
        again.save_fd(FILE, fs::File::open(path)?);
    }
    Ok(json!({ "took": took, "count": count, "file": text, "io": io()? }))
}

fn checked(parcel: &mut StateItem, bytes: u64) -> anyhow::Result<u64> {
    ensure!(parcel.len() == bytes, "length: expected {bytes}, found {}", parcel.len());
    let mut first = [0; 8];
    let count = if bytes < 8 {
        0
    } else {
        parcel.read_exact(&mut first)?;
        u64::from_le_bytes(first)
    };
    // Of many bytes a look at some is enough, since it is to be shown that nobody copies them all.
    let begin = bytes.min(8);
    let places: Vec<u64> = match bytes {
        0..=PIECE => (begin..bytes).step_by(97).collect(),
        _ => (PIECE..bytes).step_by(PIECE as usize / 2).chain([bytes - 1]).collect(),
    };
    for place in places {
        let mut byte = [0];
        parcel.seek(SeekFrom::Start(place))?;
        parcel.read_exact(&mut byte)?;
        ensure!(byte[0] == at(place), "byte {place}: expected {}, found {}", at(place), byte[0]);
    }
    Ok(count)
}

/// The byte at this place of any parcel.
fn at(place: u64) -> u8 {
    (place % PIECE % 251) as u8
}

fn write(writer: &mut StateWriter, bytes: u64, count: u64, fault: &str) -> anyhow::Result<()> {
    let bytes = match fault {
        "" => bytes,
        "fail" => bail!("the cache is cold"),
        "panic" => panic!("asked to"),
        "large" => LIMIT + 1,
        // As one that collects for ever, and looks at the time now and then.
        "late" => {
            while !writer.is_late() {
                std::thread::yield_now();
            }
            bytes
        }
        other => bail!("offer_fault: expected one that is known, found `{other}`"),
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

/// The first bytes of a file, wherever its offset is.
fn read(file: fs::File) -> anyhow::Result<String> {
    let mut first = [0; 4];
    file.read_exact_at(&mut first, 0)?;
    Ok(String::from_utf8_lossy(&first[1..]).into_owned())
}

/// The bytes that this process has read and written so far (`/proc/self/io`).
fn io() -> anyhow::Result<Value> {
    let text = fs::read_to_string("/proc/self/io")?;
    let of = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    Ok(json!({ "read": of("rchar:"), "written": of("wchar:") }))
}
