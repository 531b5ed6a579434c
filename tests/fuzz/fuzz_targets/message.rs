//! A packet of the channel: any input has a result, and what is understood is the same once it is written and read again.
#![no_main]

use goagain_env::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    if let Ok(message) = Message::decode(packet) {
        let again = Message::decode(&message.encode()).expect("what we wrote");
        // A reason may lose what cannot be displayed, once. Then it stays the same.
        assert_eq!(Message::decode(&again.encode()).as_ref(), Ok(&again));
    }
});
