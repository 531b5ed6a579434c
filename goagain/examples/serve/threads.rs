//! A bounded pool: each thread accepts for itself, and serves one connection at a time.

use crate::serve;
use goagain::Listener;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// A connection that is kept has its thread for as long as it is.
const THREADS: usize = 64;

/// Starts them, for one term.
pub(crate) fn start(http: &Listener, identity: &str) -> io::Result<Vec<JoinHandle<()>>> {
    let identity: Arc<str> = identity.into();
    (0..THREADS).map(|_| work(http, &identity)).collect()
}

fn work(http: &Listener, identity: &Arc<str>) -> io::Result<JoinHandle<()>> {
    let (acceptor, migrator, identity) = (http.acceptor()?, http.migrator(), Arc::clone(identity));
    thread::Builder::new().spawn(move || {
        for accepted in acceptor {
            match accepted {
                // A client that goes away in mid-request is its own affair.
                Ok((stream, guard)) => drop(serve::connection(stream, guard, &migrator, &identity)),
                Err(error) => serve::say(format_args!("pool: {error}")),
            }
        }
    })
}
