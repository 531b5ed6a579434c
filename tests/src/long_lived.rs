//! Connections that live for as long as their clients want: each line is echoed, and a drain says goodbye.

use std::io::{self, BufRead, BufReader, Write};
use std::thread::{self, JoinHandle};

use goagain::{Acceptor, Guard, Stream};
use serde_json::json;

use crate::events::{Emitter, Event};

/// The name of a listener whose connections close when they are asked to.
pub const STREAM: &str = "stream";

/// The name of a listener whose connections never close.
pub const STUBBORN: &str = "stubborn";

/// What is sent on a connection before it is closed.
pub const GOODBYE: &str = "goodbye\n";

/// Accepts on a separate thread until the term ends. The first line of a client is the name of its connection.
///
/// # Errors
/// - no descriptor is left.
pub fn serve(
    acceptor: Acceptor,
    listener: &str,
    generation: u64,
    emitter: &Emitter,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let (stubborn, emitter) = (listener == STUBBORN, emitter.try_clone()?);
    Ok(thread::spawn(move || {
        for accepted in acceptor {
            let (stream, mut guard) = accepted?;
            let emitter = emitter.try_clone()?;
            guard.long_lived();
            // A client that goes away is not an error of the server.
            thread::Builder::new()
                .spawn(move || connection(&stream, guard, stubborn, generation, &emitter))?;
        }
        Ok(())
    }))
}

fn connection(
    stream: &Stream,
    mut guard: Guard,
    stubborn: bool,
    generation: u64,
    emitter: &Emitter,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        // A stubborn connection skips the wait that a drain ends, so that nothing asks it to close.
        let stays = stubborn || !reader.buffer().is_empty() || guard.wait_readable(stream)?;
        if !stays {
            break;
        }
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        guard.set_name(line.trim_end().to_owned());
        (&mut &*stream).write_all(line.as_bytes())?;
    }
    let moment = guard
        .shutdown_signal()
        .at()
        .zip(guard.shutdown_at())
        .map(|(began, moment)| (moment - began).as_nanos() as u64);
    let detail =
        json!({ "name": line.trim_end(), "moment_ns": moment, "due": guard.is_shutdown_requested() });
    emitter.emit(&Event::new(generation, "shutdown_requested").detail(detail));
    (&mut &*stream).write_all(GOODBYE.as_bytes())
}
