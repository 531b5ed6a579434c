//! The life of a server in full, without `run`: `cargo run --release --example by_hand -- [ADDR]`.
//!
//! `goagain::run` makes these calls. Make them yourself where your program has its own order of things.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` returns the process that answers; `GET /slow?ms=N` returns it after N milliseconds;
//! `GET /sized?kib=N` returns N KiB; `POST /count` returns how many bytes came.

mod serve;

use goagain::{Error, Finish, Goagain, Single};
use std::process::ExitCode;

fn main() -> ExitCode {
    let address = serve::address_from_args("A server with a thread for each connection, by hand.");
    goagain::exit(life(&address))
}

fn life(address: &str) -> Result<(), Error> {
    // Reads what the predecessor handed over, and installs the signal handlers.
    let mut again = Goagain::builder(Single).log_to_stderr().start()?;
    // The listener of this name: inherited, or bound.
    let http = match again.listen("http", address) {
        Ok(http) => http,
        Err(error) => {
            // The predecessor reads why, and keeps serving.
            again.fail(error.to_string());
            return Err(error.into());
        }
    };
    let identity = serve::identity(again.generation());
    // Says READY, and returns when this process is the owner.
    again.ready()?;
    loop {
        // Accepts in a thread of its own. It ends when the term ends.
        let accepting = serve::serve(http.acceptor().map_err(Error::Wait)?, http.migrator(), &identity);
        // Handles signals and restarts, until this process hands over or stops.
        again.wait().map_err(Error::Wait)?;
        accepting.join().expect("accepting does not panic").map_err(|error| Error::Serve(error.into()))?;
        // Drains, stays the fallback in the probation period, and execs under a strategy that does.
        match again.finish().map_err(Error::Wait)? {
            Finish::Exit => return Ok(()),
            // The successor failed, and this process is the owner again.
            Finish::Resume => {}
        }
    }
}
