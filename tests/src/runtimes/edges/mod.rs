//! The edges of a connection during a restart: the last byte of an answer, and the request behind it.
//!
//! Each drill runs against every server that speaks its protocol, all at the same time, over TCP and over a Unix socket. Nothing
//! here waits for time: a slow client does not read before the restart has reached the point that the drill needs.

mod bodies;
mod command;
mod downloads;
mod downloads_http2;
mod edge;
mod half_close;
mod long_lived;
mod partial;
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
        partial::all(),
        bodies::all(),
        half_close::all(),
        silent::all(),
        long_lived::all(),
        proxied::all(),
    ]
    .concat()
}
