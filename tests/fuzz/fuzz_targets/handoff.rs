//! The variables of a handoff, one in each line: any input has a result, and what is understood is the same once it is written
//! and read again.
#![no_main]

use goagain_env::{Handoff, VARIABLES};
use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

fuzz_target!(|input: &[u8]| {
    // No string of an environment can contain a NUL.
    if input.contains(&0) {
        return;
    }
    // A line that is "-" stands for a missing variable.
    let lines = input.split(|&byte| byte == b'\n').map(<[u8]>::to_vec);
    let given: HashMap<&str, Vec<u8>> =
        VARIABLES.iter().copied().zip(lines).filter(|(_, line)| line != b"-").collect();
    let Ok(Some(mut handoff)) = Handoff::decode(|name| given.get(name).cloned().map(OsString::from_vec)) else {
        return;
    };
    let Ok(written) = handoff.encode() else { return };
    let written: HashMap<_, _> = written.into_iter().collect();
    let mut again = Handoff::decode(|name| written.get(name).cloned()).expect("what we wrote").expect("a handoff");
    // These are derived from the others.
    handoff.go_listener = None;
    again.go_listener = None;
    assert_eq!(again, handoff);
});
