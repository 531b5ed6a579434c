//! A server under a strategy of its own: the old process stays as a warm standby until it is dismissed.
//! `cargo run --release --example custom -- [ADDR]`.
//!
//! `kill -USR2` restarts it. From then on two processes hold the listener: the new one serves, the old one waits, and
//! serves again at once if the new one dies. `kill -USR1` to the owner dismisses the standby; so does the next restart.

mod serve;

use goagain::{Finish, Goagain, Handle, Strategy};

use goagain::strategy::{Next, View};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

/// The net is kept until the owner says that it needs it no longer.
#[derive(Debug)]
struct Standby;

impl Strategy for Standby {
    fn name(&self) -> &str {
        "standby"
    }

    fn next(&self, view: View) -> Next {
        if view.dismissed { Next::Exit } else { Next::Stay }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::say(format_args!("custom: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let address =
        serve::address_from_args("A server under a strategy of its own: the old process stays as a standby.");
    let handle: Arc<OnceLock<Handle>> = Arc::default();
    let dismissed = Arc::clone(&handle);
    let mut again = Goagain::builder(Standby)
        .on_usr1(move || dismissed.get().map_or((), Handle::dismiss))
        .on_event(|observed| serve::say(observed))
        .start()?;
    handle.get_or_init(|| again.handle());
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
