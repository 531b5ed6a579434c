//! A server on a bounded pool of threads: `cargo run --release --example pool -- [ADDR]`.
//!
//! Each thread accepts for itself and serves one connection at a time. So there are never more connections in service than
//! threads; those beyond wait in the kernel's queue, which crosses restarts.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` says which process answers; `GET /slow?ms=N` says it after N milliseconds.

mod serve;

use goagain::{Finish, Goagain, Listener, Single};
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

/// A connection that is kept has its thread for as long as it is.
const THREADS: usize = 64;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::say(format_args!("pool: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let address = serve::address_from_args()?;
    let mut again = Goagain::builder(Single).observe(|observed| serve::say(observed)).start()?;
    let http = match again.listen("http", &address) {
        Ok(http) => http,
        Err(error) => {
            again.fail(error.to_string());
            return Err(error.into());
        }
    };
    let identity: Arc<str> = serve::identity(again.generation()).into();
    again.ready()?;
    serve::say(format_args!("pid {} serves {}", std::process::id(), http.local_addr()));
    loop {
        for _ in 0..THREADS {
            work(&http, &identity)?;
        }
        again.wait()?;
        // The threads end by themselves, each after the connection that it serves: `finish` waits for these.
        match again.finish()? {
            Finish::Exit => return Ok(()),
            Finish::Resume => continue,
        }
    }
}

/// One thread of the pool, for one term.
fn work(http: &Listener, identity: &Arc<str>) -> io::Result<()> {
    let (acceptor, mover, identity) = (http.acceptor()?, http.mover(), Arc::clone(identity));
    thread::Builder::new().spawn(move || {
        for accepted in acceptor {
            match accepted {
                // A client that goes away in mid-request is its own affair.
                Ok((stream, guard)) => drop(serve::connection(&stream, guard, &mover, &identity)),
                Err(error) => serve::say(format_args!("pool: {error}")),
            }
        }
    })?;
    Ok(())
}
