//! A server with a thread for each connection.

use goagain::{Guard, Single, Stream};
use std::io::{self, Read, Write};

fn main() -> anyhow::Result<()> {
    goagain::threads::run(Single, "127.0.0.1:3000", echo)?;
    Ok(())
}

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
