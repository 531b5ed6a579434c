//! A server of datagrams: `cargo run --release --example udp -- [ADDR]`.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. Each datagram is answered with which process answers.

mod serve;

use goagain::{Finish, Goagain, Single};

use goagain::socket::Receiver;
use std::io;
use std::process::ExitCode;
use std::thread;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::say(format_args!("udp: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let address = serve::address_from_args("A server of datagrams.");
    let mut again = Goagain::builder(Single).on_event(|observed| serve::say(observed)).start()?;
    let bind = again.bind("datagrams");
    let bound = match address.strip_prefix("unix:") {
        Some(path) => bind.unix_datagram(path),
        None => bind.udp(&*address),
    };
    let datagrams = match bound {
        Ok(datagrams) => datagrams,
        Err(error) => {
            again.fail(error.to_string());
            return Err(error.into());
        }
    };
    let identity = serve::identity(again.generation());
    again.ready()?;
    serve::say(format_args!("pid {} serves {}", std::process::id(), datagrams.local_addr()));
    loop {
        // From commit on, and no sooner: what comes until then is the predecessor's to read.
        let (receiver, identity) = (datagrams.receiver()?, identity.clone());
        let answering = thread::spawn(move || answer(&receiver, &identity));
        again.wait()?;
        answering.join().expect("answering does not panic")?;
        match again.finish()? {
            Finish::Exit => return Ok(()),
            Finish::Resume => continue,
        }
    }
}

/// Answers until the term ends; what is not read by then stays in the socket, for the successor.
fn answer(receiver: &Receiver, identity: &str) -> io::Result<()> {
    let mut datagram = [0; 1500];
    // The guard is what a drain waits for: here until the next datagram, but it could go to another thread.
    while let Some((_length, peer, _guard)) = receiver.recv_from(&mut datagram)? {
        // A client that has gone is its own affair.
        let _ = receiver.send_to(identity.as_bytes(), &peer);
    }
    Ok(())
}
