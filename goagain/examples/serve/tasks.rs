//! The same server in a tokio runtime: a task that accepts, and a task for each connection.

use crate::serve::http::{self, Next, Reader};
use goagain::Guard;
use goagain::tokio::{Acceptor, Stream};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// A client has this long for the rest of a request that has begun.
const PATIENCE: Duration = Duration::from_secs(10);
/// A client that reads nothing of its answer for this long is gone.
const TAKES_WITHIN: Duration = Duration::from_secs(60);

/// Accepts until the term ends.
#[allow(dead_code, reason = "the example has `goagain::tokio::server` for it")]
pub(crate) async fn serve(mut acceptor: Acceptor, identity: Arc<str>) -> io::Result<()> {
    while let Some(accepted) = acceptor.accept().await {
        let (stream, guard) = accepted?;
        // A client that goes away in the middle of a request is not an error of the server.
        tokio::spawn(connection(stream, guard, Arc::clone(&identity)));
    }
    Ok(())
}

pub(crate) async fn connection(mut stream: Stream, mut guard: Guard, identity: Arc<str>) -> io::Result<()> {
    let mut reader = Reader::new();
    // In the first phase of a drain a connection that waits for a request is still served. In the second phase it is asked to
    // close.
    while reader.has_buffered() || guard.readable(&stream).await? {
        let Some(mut request) = timeout(PATIENCE, read_request(&mut reader, &mut stream)).await?? else {
            break;
        };
        if let Some(ms) = request.ms.take_if(|ms| request.path == "/slow" && *ms <= http::SLOW_LIMIT) {
            sleep(Duration::from_millis(ms)).await;
            request.ms = Some(0);
        }
        let response = http::answer(&request, &identity);
        let close = !request.keep_alive || guard.should_close(&stream, reader.buffered());
        for piece in http::pieces(&response, close) {
            timeout(TAKES_WITHIN, stream.write_all(&piece)).await??;
        }
        if close {
            break;
        }
    }
    // Not by dropping it: what the client sends at this moment would make the kernel discard the end of the last answer.
    stream.close(guard).await;
    Ok(())
}

async fn read_request(reader: &mut Reader, stream: &mut Stream) -> io::Result<Option<http::Request>> {
    let mut chunk = [0; http::CHUNK];
    loop {
        match reader.next() {
            Next::Request(request) => return Ok(Some(request)),
            Next::Continue => stream.write_all(http::CONTINUE).await?,
            Next::Read => match stream.read(&mut chunk).await? {
                0 => return reader.end().map(|()| None),
                read => reader.add(&chunk[..read]),
            },
        }
    }
}
