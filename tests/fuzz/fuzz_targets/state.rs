//! The list of a state: any bytes in it have an answer, and what is understood has one parcel for each descriptor at most.
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
        file.set_len(0).expect("a file is cut");
        file.seek(SeekFrom::Start(0)).expect("a file is sought");
        file.write_all(list).expect("a file is written");
        file.seek(SeekFrom::Start(0)).expect("a file is sought");
        // The list itself, and a descriptor for each entry that it seems to have; it is the same file, which is as long as it is.
        let entries = list.iter().filter(|byte| **byte == b';').count() + 1;
        let count = entries.min(200) as u32 + 1;
        let descriptors: Vec<OwnedFd> =
            (0..count).map(|_| file.try_clone().expect("a duplicate").into()).collect();
        if let Ok(parcels) = State::default().take(count, count, descriptors) {
            assert!(parcels.expect("all are there").len() < count as usize);
        }
    });
});
