//! The server of the README.

use goagain::{Acceptor, Guard, Stream};
use std::io::{Read, Write};
use std::thread::JoinHandle;

pub(crate) fn serve_all(acceptor: Acceptor) -> JoinHandle<std::io::Result<()>> {
    std::thread::spawn(move || {
        for accepted in acceptor {
            let (stream, guard) = accepted?;
            std::thread::spawn(move || serve(stream, guard));
        }
        Ok(())
    })
}

/// Exactly as in the README. A test of this file checks that.
fn serve(mut stream: Stream, mut guard: Guard) -> std::io::Result<()> {
    let mut word = [0; 64];
    while guard.wait_readable(&stream)? {
        match stream.read(&mut word)? {
            0 => break,
            read => stream.write_all(&word[..read])?,
        }
        // A drain ends the connection after its last answer, when its client has sent nothing more.
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
    fn it_is_the_server_of_the_readme() {
        let begins = "fn serve(mut stream: Stream";
        let (_, here) = include_str!("echo.rs").split_once(begins).unwrap_or_default();
        let (here, _) = here.split_once("\n}\n").unwrap_or_default();
        assert!(!here.is_empty() && include_str!("../../../../README.md").contains(here), "{here}");
    }
}
