//! The same server in a tokio runtime: a task for accepting, a task a connection.

use crate::serve::http::{self, Reader};
use goagain::Guard;
use goagain::tokio::{Acceptor, Stream};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

/// A client has this long for the rest of a request that it has begun, and for taking its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Accepts until the term ends.
pub(crate) async fn serve(mut acceptor: Acceptor, identity: Arc<str>) -> io::Result<()> {
    while let Some(accepted) = acceptor.accept().await {
        let (stream, guard) = accepted?;
        // A client that goes away in mid-request is its own affair.
        tokio::spawn(connection(stream, guard, Arc::clone(&identity)));
    }
    Ok(())
}

async fn connection(stream: Stream, mut guard: Guard, identity: Arc<str>) -> io::Result<()> {
    let mut reader = Reader::new(Ready(stream));
    // In the first phase of a drain a connection that waits for a request is still served, in the second it is told to go.
    while reader.has_buffered() || guard.readable(&reader.stream().0).await? {
        let Some(mut request) = timeout(PATIENCE, read_request(&mut reader)).await?? else { break };
        if let Some(ms) = request.ms.take_if(|ms| request.path == "/slow" && *ms <= http::SLOW_LIMIT) {
            sleep(Duration::from_millis(ms)).await;
            request.ms = Some(0);
        }
        let response = http::answer(&request, &identity);
        let close = guard.is_draining() || !request.keep_alive;
        let mut bytes = Vec::new();
        http::write_response(&mut bytes, &response, close)?;
        timeout(PATIENCE, reader.stream().0.write_all(&bytes)).await??;
        if close {
            break;
        }
    }
    Ok(())
}

async fn read_request(reader: &mut Reader<Ready>) -> io::Result<Option<http::Request>> {
    loop {
        match http::read_request(reader) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                reader.stream().0.readable().await?;
            }
            read => return read,
        }
    }
}

/// Reads what is there, and says WouldBlock when nothing is.
struct Ready(Stream);

impl Read for Ready {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}
