//! The sockets of a drill server, by the text of its configuration: `127.0.0.1:0`, `unix:/path` and `unix:@name` as goagain
//! reads them; `dual:`, `v6only:`, `unixpacket:`, `udp:`, `unixgram:` and `group:N:` before an address for the other
//! kinds; `adopt:N` for descriptor N that the server was started with; and `rebind:` before any of these.

use crate::serve;
use goagain::error::ListenError;
use goagain::socket::Datagrams;
use goagain::{Goagain, Listener};
use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

#[derive(Debug)]
pub(crate) enum Socket {
    Listener(Listener),
    Datagrams(Datagrams),
}

pub(crate) fn open(again: &mut Goagain, name: &str, text: &str) -> Result<Vec<Socket>, ListenError> {
    let (bind, text) = match text.strip_prefix("rebind:") {
        Some(text) => (again.bind(name).or_rebind(), text),
        None => (again.bind(name), text),
    };
    let (kind, address) = text.split_once(':').unwrap_or(("", text));
    let listener = |listener| vec![Socket::Listener(listener)];
    let datagrams = |datagrams| vec![Socket::Datagrams(datagrams)];
    match kind {
        "dual" => bind.v6only(false).tcp(address).map(listener),
        "v6only" => bind.v6only(true).tcp(address).map(listener),
        "unixpacket" => bind.unix_seqpacket(address).map(listener),
        "udp" => bind.udp(address).map(datagrams),
        "unixgram" => bind.unix_datagram(address).map(datagrams),
        "adopt" => bind.adopt(address.parse::<i32>().unwrap_or(-1)).map(listener),
        "group" => {
            let (members, address) = address.split_once(':').unwrap_or(("", address));
            let members = members.parse().unwrap_or_default();
            bind.tcp_group(address, members).map(|all| all.into_iter().map(Socket::Listener).collect())
        }
        _ => bind.listen(text).map(listener),
    }
}

impl Socket {
    pub(crate) fn name(&self) -> &str {
        match self {
            Socket::Listener(listener) => listener.name(),
            Socket::Datagrams(datagrams) => datagrams.name(),
        }
    }

    /// Returns whether it is only carried over: it is not reported, and nothing accepts on it.
    pub(crate) fn is_extra(&self) -> bool {
        self.name().starts_with("extra ")
    }

    pub(crate) fn address(&self) -> String {
        match self {
            Socket::Listener(listener) => listener.local_addr().to_string(),
            Socket::Datagrams(datagrams) => datagrams.local_addr().to_string(),
        }
    }

    /// Serves on a separate thread from the end of `hold` until the term ends.
    pub(crate) fn serve(
        &self,
        identity: &str,
        hold: mpsc::Receiver<()>,
    ) -> io::Result<JoinHandle<io::Result<()>>> {
        let identity = identity.to_owned();
        match self {
            Socket::Listener(listener) => {
                let (acceptor, migrator) = (listener.acceptor()?, listener.migrator());
                Ok(thread::spawn(move || {
                    let _ = hold.recv();
                    serve::serve(acceptor, migrator, &identity).join().expect("accepting does not panic")
                }))
            }
            Socket::Datagrams(datagrams) => {
                let receiver = datagrams.receiver()?;
                Ok(thread::spawn(move || {
                    let _ = hold.recv();
                    let mut datagram = [0; 1500];
                    while let Some((length, peer, _guard)) = receiver.recv_from(&mut datagram)? {
                        let answer = [&datagram[..length], b" ", identity.as_bytes()].concat();
                        // A client that is gone is not an error of the server.
                        let _ = receiver.send_to(&answer, &peer);
                    }
                    Ok(())
                }))
            }
        }
    }
}
