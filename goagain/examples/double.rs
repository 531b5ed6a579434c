//! A server under the strategy Double: `cargo run --release --example double --features double -- [ADDR]`.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` says which process answers; `GET /slow?ms=N` says it after N milliseconds;
//! `GET /sized?kib=N` is N KiB long; `POST /count` says how many bytes came.

mod serve;

use goagain::{Double, Finish, Goagain};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::say(format_args!("double: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let address = serve::address_from_args("A server with a thread a connection, under the strategy Double.");
    let mut again = Goagain::builder(Double).on_event(|observed| serve::say(observed)).start()?;
    let http = match again.listen("http", &address) {
        Ok(http) => http,
        Err(error) => {
            again.fail(error.to_string());
            return Err(error.into());
        }
    };
    let identity = serve::identity(again.generation());
    again.ready()?;
    serve::say(format_args!("pid {} serves {}", std::process::id(), http.local_addr()));
    loop {
        let accepting = serve::serve(http.acceptor()?, http.migrator(), &identity);
        again.wait()?;
        accepting.join().expect("accepting does not panic")?;
        match again.finish()? {
            Finish::Exit => return Ok(()),
            Finish::Resume => continue,
        }
    }
}
