//! The list of a state: any bytes in it have a result, and what is understood has at most one item for each descriptor.
#![no_main]

use goagain_env::State;
use libfuzzer_sys::fuzz_target;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;

thread_local! {
    static LIST: File = tempfile::tempfile().expect("a temporary file");
}

fuzz_target!(|list: &[u8]| {
    LIST.with(|mut file| {
        file.set_len(0).expect("a file is truncated");
        file.seek(SeekFrom::Start(0)).expect("a file is positioned");
        file.write_all(list).expect("a file is written");
        file.seek(SeekFrom::Start(0)).expect("a file is positioned");
        // The list itself, and one descriptor for each entry that it seems to have. All of them are the same file.
        let entries = list.iter().filter(|byte| **byte == b';').count() + 1;
        let count = entries.min(200) as u32 + 1;
        let descriptors: Vec<OwnedFd> =
            (0..count).map(|_| file.try_clone().expect("a duplicate").into()).collect();
        if let Ok(items) = State::default().take(count, count, descriptors) {
            assert!(items.expect("all are there").len() < count as usize);
        }
    });
});
