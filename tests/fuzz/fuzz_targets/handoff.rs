//! The variables of a handoff, a line each: any input has an answer, and what is understood is the same once written and
//! read again.
#![no_main]

use goagain_env::{Handoff, VARIABLES};
use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

fuzz_target!(|input: &[u8]| {
    // No string of an environment can hold a NUL.
    if input.contains(&0) {
        return;
    }
    // A line that is "-" stands for a variable that is missing.
    let lines = input.split(|&byte| byte == b'\n').map(<[u8]>::to_vec);
    let given: HashMap<&str, Vec<u8>> =
        VARIABLES.iter().copied().zip(lines).filter(|(_, line)| line != b"-").collect();
    let Ok(Some(mut handoff)) = Handoff::decode(|name| given.get(name).cloned().map(OsString::from_vec)) else {
        return;
    };
    let Ok(written) = handoff.encode() else { return };
    let written: HashMap<_, _> = written.into_iter().collect();
    let mut again = Handoff::decode(|name| written.get(name).cloned()).expect("what we wrote").expect("a handoff");
    // Derived from the others.
    handoff.go_listener = None;
    again.go_listener = None;
    assert_eq!(again, handoff);
});
