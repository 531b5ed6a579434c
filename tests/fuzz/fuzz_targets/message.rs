//! A packet of the channel: any input has an answer, and what is understood is the same once written and read again.
#![no_main]

use goagain_env::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    if let Ok(message) = Message::decode(packet) {
        let again = Message::decode(&message.encode()).expect("what we wrote");
        // A reason may have lost what cannot be shown, once; then it stays as it is.
        assert_eq!(Message::decode(&again.encode()).as_ref(), Ok(&again));
    }
});
