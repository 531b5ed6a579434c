//! A server of datagrams: `cargo run --release --example udp -- [ADDR]`.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. Each datagram is answered with the process that answers.

mod serve;

use goagain::socket::Receiver;
use goagain::{Goagain, Single};
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let address = serve::address_from_args("A server of datagrams.");
    goagain::exit(goagain::run(Goagain::builder(Single).log_to_stderr(), |again| {
        let bind = again.bind("datagrams");
        let datagrams = match address.strip_prefix("unix:") {
            Some(path) => bind.unix_datagram(path)?,
            None => bind.udp(&*address)?,
        };
        let identity = serve::identity(again.generation());
        // A receiver reads from the commit on, and no sooner: what comes before is the predecessor's to read.
        Ok(move || Ok(answer(&datagrams.receiver()?, &identity)?))
    }))
}

/// Answers until the term ends. What is not read by then stays in the socket, for the successor.
fn answer(receiver: &Receiver, identity: &str) -> io::Result<()> {
    let mut datagram = [0; 1500];
    // The guard is what a drain waits for: here until the next datagram, but it could go to another thread.
    while let Some((_length, peer, _guard)) = receiver.recv_from(&mut datagram)? {
        // A client may be gone by now.
        let _ = receiver.send_to(identity.as_bytes(), &peer);
    }
    Ok(())
}
