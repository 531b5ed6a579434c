//! As much HTTP/1.1 as an example needs: one small request after another over anything that reads and writes.
//!
//! ```ignore
//! let mut reader = Reader::new(&stream);
//! while let Some(request) = read_request(&mut reader)? {
//!     let response = answer(&request, "pid=7\n");
//!     let close = draining || !request.keep_alive;
//!     write_response(&mut &stream, &response, close)?;
//!     if close {
//!         break;
//!     }
//! }
//! ```
//!
//! A server that wants to wait for bytes itself (together with "drain", say) does so before `read_request`, unless
//! [`Reader::has_buffered`] says that the next request, or its beginning, was read along with the last one.
#![allow(dead_code, reason = "every example includes this file and uses its own part of it")]

use std::io::{self, Read, Write};
use std::time::Duration;

/// The most bytes that a request's line and headers may take.
const HEAD_LIMIT: usize = 16 * 1024;
/// The most bytes that a request's body may take.
const BODY_LIMIT: usize = 1024 * 1024;
/// The most headers that a request may have.
const HEADERS_LIMIT: usize = 100;
/// The longest that a slow request may be, in milliseconds.
pub(crate) const SLOW_LIMIT: u64 = 60_000;

/// A stream and what was read from it beyond the last request.
///
/// A request that could not be read to its end is kept: after a time-out or `WouldBlock`, call `read_request` again.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
    /// A request whose head is read, and how much of its body is not.
    pending: Option<(Request, usize)>,
}

/// One request, its body read and thrown away.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path, without the query.
    pub(crate) path: String,
    /// The query's `ms`, if there is one and it is a number.
    pub(crate) ms: Option<u64>,
    /// Whether the client expects to send another request.
    pub(crate) keep_alive: bool,
    /// The status of a request that was not understood. [`answer`] says so, and the connection must be closed.
    pub(crate) refused: Option<&'static str>,
}

/// What is written for one request.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// Number and reason, as in `200 OK`.
    pub(crate) status: &'static str,
    pub(crate) body: String,
    /// Whether the body is announced but not sent, as HEAD has it.
    pub(crate) head_only: bool,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(stream: R) -> Reader<R> {
        Reader { stream, buffer: Vec::new(), pending: None }
    }

    /// Whether another request, or a part of one, has been read already: then do not wait for the stream.
    pub(crate) fn has_buffered(&self) -> bool {
        !self.buffer.is_empty() || self.pending.is_some()
    }

    /// What it reads from.
    pub(crate) fn stream(&mut self) -> &mut R {
        &mut self.stream
    }

    /// Whether a whole head of a request, at least, has been read already.
    pub(crate) fn has_request(&self) -> bool {
        self.pending.is_some() || parse(&self.buffer).is_some()
    }

    /// What has been read of the next request.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads once more, and returns how much; 0 is the end.
    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 8 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
                Ok(read) => {
                    self.buffer.extend_from_slice(&chunk[..read]);
                    return Ok(read);
                }
            }
        }
    }
}

/// Reads the next request to its end; `None` when the client has closed the connection instead of sending one.
///
/// # Errors
/// - what the stream's `read` returns: after `WouldBlock` and the like call again, nothing is lost;
/// - `UnexpectedEof` when the connection ends within a request.
pub(crate) fn read_request<R: Read>(reader: &mut Reader<R>) -> io::Result<Option<Request>> {
    while reader.pending.is_none() {
        if let Some((request, head, body)) = parse(&reader.buffer) {
            reader.buffer.drain(..head);
            reader.pending = Some((request, body));
        } else if reader.fill()? == 0 {
            // Some clients end with an empty line of their own.
            let between = reader.buffer.iter().all(|byte| b"\r\n".contains(byte));
            return if between { Ok(None) } else { Err(cut_off()) };
        }
    }
    loop {
        if let Some((_, body)) = &mut reader.pending {
            let skipped = (*body).min(reader.buffer.len());
            reader.buffer.drain(..skipped);
            *body -= skipped;
            if *body == 0 {
                return Ok(reader.pending.take().map(|(request, _)| request));
            }
        }
        if reader.fill()? == 0 {
            return Err(cut_off());
        }
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within a request")
}

/// The request at the beginning of `bytes`, with the lengths of its head and body; `None` if there is more to come.
fn parse(bytes: &[u8]) -> Option<(Request, usize, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head)) if head <= HEAD_LIMIT => head,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_LIMIT => return None,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Some(refuse("431 Request Header Fields Too Large", bytes));
        }
        Err(_) => return Some(refuse("400 Bad Request", bytes)),
    };
    let mut body = None;
    let (mut keep, mut close) = (false, false);
    for header in parsed.headers.iter() {
        let value = header.value.trim_ascii();
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => match length(value) {
                Some(length) if body.is_none_or(|before| before == length) => body = Some(length),
                _ => return Some(refuse("400 Bad Request", bytes)),
            },
            "transfer-encoding" => return Some(refuse("501 Not Implemented", bytes)),
            "expect" => return Some(refuse("417 Expectation Failed", bytes)),
            "connection" => {
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    keep |= token.eq_ignore_ascii_case(b"keep-alive");
                    close |= token.eq_ignore_ascii_case(b"close");
                }
            }
            _ => {}
        }
    }
    let body = body.unwrap_or(0);
    if body > BODY_LIMIT {
        return Some(refuse("413 Content Too Large", bytes));
    }
    let target = parsed.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        ms: query.split('&').find_map(|pair| pair.strip_prefix("ms=")).and_then(|ms| ms.parse().ok()),
        // HTTP/1.1 keeps the connection unless told otherwise, HTTP/1.0 closes it.
        keep_alive: !close && (keep || parsed.version == Some(1)),
        refused: None,
    };
    Some((request, head, body))
}

/// The number in a Content-Length: digits only, where `parse` would take a sign too; the greatest if there are too many.
fn length(value: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(value).ok()?;
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    number.then(|| digits.parse().unwrap_or(usize::MAX))
}

/// Takes everything that was read: where the next request would begin is not known.
fn refuse(status: &'static str, bytes: &[u8]) -> (Request, usize, usize) {
    let (method, path) = (String::new(), String::new());
    (Request { method, path, ms: None, keep_alive: false, refused: Some(status) }, bytes.len(), 0)
}

/// Answers GET and HEAD of `/` and of `/slow?ms=N` with `identity`; the slow one takes N milliseconds.
pub(crate) fn answer(request: &Request, identity: &str) -> Response {
    std::thread::sleep(time(request));
    answer_at_once(request, identity)
}

/// How long the answer is to take.
pub(crate) fn time(request: &Request) -> Duration {
    let ms = request.ms.filter(|ms| request.path == "/slow" && *ms <= SLOW_LIMIT);
    Duration::from_millis(ms.unwrap_or(0))
}

/// [`answer`] for those who have waited for its [`time`] by themselves.
pub(crate) fn answer_at_once(request: &Request, identity: &str) -> Response {
    let head_only = request.method == "HEAD";
    let said = |status, body: &str| Response { status, body: body.to_owned(), head_only };
    if let Some(status) = request.refused {
        return said(status, &format!("{status}\n"));
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("GET" | "HEAD", "/") => said("200 OK", identity),
        ("GET" | "HEAD", "/slow") => match request.ms {
            Some(ms) if ms <= SLOW_LIMIT => said("200 OK", identity),
            _ => said("400 Bad Request", "ms: expected a number from 0 to 60000\n"),
        },
        (_, "/" | "/slow") => said("405 Method Not Allowed", "expected GET or HEAD\n"),
        _ => said("404 Not Found", "there is / and /slow?ms=N\n"),
    }
}

/// Writes `response` by one call, and says whether the connection is closed after it.
///
/// # Errors
/// What the stream's `write` returns.
pub(crate) fn write_response(stream: &mut impl Write, response: &Response, close: bool) -> io::Result<()> {
    let Response { status, body, head_only } = response;
    let connection = if close { "close" } else { "keep-alive" };
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let length = body.len();
    let sent = if *head_only { "" } else { body };
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n{allow}\
         Connection: {connection}\r\n\r\n{sent}"
    );
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes one at a time, with an interruption before each, as a slow network would.
    struct Trickle<'a>(&'a [u8], bool);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 && !self.0.is_empty() {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                self.0.read(&mut buffer[..1])
            }
        }
    }

    fn first(bytes: &[u8]) -> Request {
        read_request(&mut Reader::new(bytes)).unwrap().unwrap()
    }

    fn written(bytes: &[u8], close: bool) -> String {
        let mut out = Vec::new();
        write_response(&mut out, &answer(&first(bytes), "me\n"), close).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn reads_request_after_request() {
        let bytes = b"GET / HTTP/1.1\r\n\r\nPOST /a?b=1&ms=20 HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyzHEAD /c HTTP/1.0\r\n\r\n";
        let mut whole = Reader::new(&bytes[..]);
        let mut trickled = Reader::new(Trickle(bytes, false));
        for (method, path, ms, keep_alive) in
            [("GET", "/", None, true), ("POST", "/a", Some(20), true), ("HEAD", "/c", None, false)]
        {
            let again = loop {
                match read_request(&mut trickled) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    request => break request.unwrap().unwrap(),
                }
            };
            assert!(!trickled.has_buffered());
            for request in [read_request(&mut whole).unwrap().unwrap(), again] {
                assert_eq!((request.method.as_str(), request.path.as_str()), (method, path));
                assert_eq!((request.ms, request.keep_alive, request.refused), (ms, keep_alive, None));
            }
            assert_eq!(whole.has_buffered(), method != "HEAD");
        }
        assert!(read_request(&mut whole).unwrap().is_none());
        assert!(read_request(&mut trickled).unwrap().is_none());
    }

    #[test]
    fn tells_an_end_between_requests_from_one_within() {
        assert!(read_request(&mut Reader::new(&b"\r\n"[..])).unwrap().is_none());
        for cut in [&b"GET / HT"[..], b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nxyz"] {
            assert_eq!(read_request(&mut Reader::new(cut)).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn keeps_the_connection_as_asked() {
        for (version, header, keep_alive) in [
            ("1.1", "Connection: close", false),
            ("1.1", "Connection: x, Close\r\nConnection: keep-alive", false),
            ("1.0", "Connection: Keep-Alive", true),
            ("1.0", "A: b", false),
        ] {
            let bytes = format!("GET / HTTP/{version}\r\n{header}\r\n\r\n");
            assert_eq!(first(bytes.as_bytes()).keep_alive, keep_alive, "{bytes}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_do() {
        let long = format!("A: {}", "x".repeat(HEAD_LIMIT));
        let many = "A: b\r\n".repeat(HEADERS_LIMIT + 1);
        for (header, status) in [
            ("Transfer-Encoding: chunked", "501"),
            ("Expect: 100-continue", "417"),
            ("Content-Length: 1048577", "413"),
            ("Content-Length: 99999999999999999999999", "413"),
            ("Content-Length: +1", "400"),
            ("Content-Length: 1\r\nContent-Length: 2", "400"),
            ("no colon", "400"),
            (long.as_str(), "431"),
            (many.as_str(), "431"),
        ] {
            let bytes = format!("GET / HTTP/1.1\r\n{header}\r\n\r\n");
            assert!(!first(bytes.as_bytes()).keep_alive);
            assert!(written(bytes.as_bytes(), true).starts_with(&format!("HTTP/1.1 {status} ")), "{status}");
        }
    }

    #[test]
    fn answers() {
        assert_eq!(
            written(b"GET / HTTP/1.1\r\n\r\n", false),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nme\n"
        );
        let head = written(b"HEAD /slow?ms=1 HTTP/1.1\r\n\r\n", true);
        assert!(
            head.contains("Content-Length: 3\r\n") && head.ends_with("Connection: close\r\n\r\n"),
            "{head}"
        );
        for (line, status) in
            [("GET /slow", "400"), ("GET /slow?ms=60001", "400"), ("PUT /", "405"), ("GET /x", "404")]
        {
            let answer = written(format!("{line} HTTP/1.1\r\n\r\n").as_bytes(), true);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
        }
    }
}
