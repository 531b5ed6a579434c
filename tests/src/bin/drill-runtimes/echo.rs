//! The server with threads that the guide `servers` shows.

use goagain::{Acceptor, Guard, Stream};
use std::io::{self, Read, Write};
use std::thread::JoinHandle;

pub(crate) fn serve_all(acceptor: Acceptor) -> JoinHandle<io::Result<()>> {
    std::thread::spawn(move || {
        for accepted in acceptor {
            let (stream, guard) = accepted?;
            std::thread::spawn(move || echo(stream, guard));
        }
        Ok(())
    })
}

/// Exactly as in the example `restartable_threads`. A test of this file checks that.
fn echo(mut stream: Stream, mut guard: Guard) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while guard.wait_readable(&stream)? {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read])?;
        if guard.should_close(&stream, b"") {
            break;
        }
    }
    stream.close(guard);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_the_server_of_the_guide() {
        let begins = "fn echo(mut stream: Stream";
        let (_, here) = include_str!("echo.rs").split_once(begins).unwrap_or_default();
        let (here, _) = here.split_once("\n}\n").unwrap_or_default();
        let example = include_str!("../../../../goagain/examples/restartable/threads.rs");
        assert!(!here.is_empty() && example.contains(here), "{here}");
    }
}
