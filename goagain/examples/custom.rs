//! A server under a strategy of its own: the old process stays as a warm standby until it is dismissed.
//! `cargo run --release --example custom -- [ADDR]`.
//!
//! `kill -USR2` restarts it. From then on two processes hold the listener: the new one serves, the old one waits, and
//! serves again at once if the new one dies. `kill -USR1` to the new one dismisses the standby; so does the next restart.

mod serve;

use goagain::strategy::{Next, View};
use goagain::{Goagain, Handle, Strategy, threads};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

/// The old process stays the fallback until the owner dismisses it.
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
    let address =
        serve::address_from_args("A server under a strategy of its own: the old process stays as a standby.");
    let handle: Arc<OnceLock<Handle>> = Arc::default();
    let for_usr1 = Arc::clone(&handle);
    let builder =
        Goagain::builder(Standby).on_usr1(move || for_usr1.get().map_or((), Handle::dismiss)).log_to_stderr();
    goagain::exit(goagain::run(builder, |again| {
        handle.get_or_init(|| again.handle());
        let http = again.listen("http", &address)?;
        let (migrator, identity) = (http.migrator(), serve::identity(again.generation()));
        Ok(threads::server(http, move |stream, guard| serve::connection(stream, guard, &migrator, &identity)))
    }))
}
