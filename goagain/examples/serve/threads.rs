//! A bounded pool: each thread accepts on its own, and serves one connection at a time.

use crate::serve;
use goagain::Listener;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// A kept connection occupies its thread for as long as it is open.
const THREADS: usize = 64;

/// Starts the threads, for one term.
pub(crate) fn start(http: &Listener, identity: &str) -> io::Result<Vec<JoinHandle<()>>> {
    let identity: Arc<str> = identity.into();
    (0..THREADS).map(|_| work(http, &identity)).collect()
}

fn work(http: &Listener, identity: &Arc<str>) -> io::Result<JoinHandle<()>> {
    let (acceptor, migrator, identity) = (http.acceptor()?, http.migrator(), Arc::clone(identity));
    thread::Builder::new().spawn(move || {
        for accepted in acceptor {
            match accepted {
                // A client that goes away in the middle of a request is not an error of the server.
                Ok((stream, guard)) => drop(serve::connection(stream, guard, &migrator, &identity)),
                Err(error) => serve::say(format_args!("pool: {error}")),
            }
        }
    })
}
