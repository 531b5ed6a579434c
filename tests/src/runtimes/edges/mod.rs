//! The edges of a connection: the last byte of an answer and the request behind it, where a restart comes upon them.
//!
//! Each drill runs against every server that speaks what it is about, all at once, over TCP and over a Unix socket. Nothing
//! here waits for time: a client that is slow is so because it does not read before the restart has come to where the drill wants it.

mod begun;
mod bodies;
mod command;
mod downloads;
mod downloads_http2;
mod edge;
mod half_close;
mod long_lived;
mod pipelined;
mod proxied;
mod silent;
mod wire;

use crate::drills::Drill;

pub(super) fn all() -> Vec<Drill> {
    [
        downloads::all(),
        downloads_http2::all(),
        pipelined::all(),
        begun::all(),
        bodies::all(),
        half_close::all(),
        silent::all(),
        long_lived::all(),
        proxied::all(),
    ]
    .concat()
}
