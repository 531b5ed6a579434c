//! As much HTTP/1.1 as an example needs: one request after another, over anything that reads and writes.
//!
//! ```ignore
//! let mut reader = Reader::new();
//! while let Some(request) = read_request(&mut reader, &mut &stream)? {
//!     let response = answer(&request, "pid=7\n");
//!     let close = draining || !request.keep_alive;
//!     write_response(&mut &stream, &response, close)?;
//!     if close {
//!         break;
//!     }
//! }
//! ```
//!
//! A server that waits for bytes itself (together with "drain", for example) does so before `read_request`, unless
//! [`Reader::has_buffered`] says that the next request, or its beginning, was read together with the previous one. A server that
//! neither blocks nor has a thread for each connection calls [`Reader::next`] itself.
#![allow(dead_code, reason = "every example includes this file and uses its own part of it")]

#[path = "body.rs"]
mod body;

use self::body::{Body, Chunk};
use std::io::{self, Read, Write};
use std::time::Duration;

/// The most bytes that a request's line and headers may take.
const HEAD_LIMIT: usize = 16 * 1024;
/// The most bytes that a request's body may take.
const BODY_LIMIT: u64 = 1024 * 1024;
/// The same for `/count`.
pub(crate) const COUNT_LIMIT: u64 = 64 * 1024 * 1024;
/// The most headers that a request may have.
const HEADERS_LIMIT: usize = 100;
/// The longest duration of a slow request, in milliseconds.
pub(crate) const SLOW_LIMIT: u64 = 60_000;
/// The most that `/sized` returns, in KiB.
pub(crate) const SIZED_LIMIT: u64 = 65_536;

/// How many bytes to read at a time.
pub(crate) const CHUNK: usize = 16 * 1024;
/// What is written when [`Next::Continue`] requests it.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// The answer for any other path.
pub(crate) const MISSING: &str = "there is /, /slow?ms=N, /sized?kib=N, and POST /count\n";

/// What was read from a connection and is not served yet.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
    /// A request whose head was read, and the rest of its body.
    pending: Option<(Request, Body)>,
    /// Whether its client waits for "100 Continue" before it sends the body.
    expects: bool,
}

/// What a connection needs next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Answer this request.
    Request(Request),
    /// Write [`CONTINUE`], and call [`Reader::next`] again.
    Continue,
    /// Read more bytes, and [add](Reader::add) them.
    Read,
}

/// One request. Its body was read and discarded.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path, without the query.
    pub(crate) path: String,
    /// The query's `ms`, if it is present and a number.
    pub(crate) ms: Option<u64>,
    /// The query's `kib`, if it is present and a number.
    pub(crate) kib: Option<u64>,
    /// How many bytes its body had.
    pub(crate) length: u64,
    /// Whether the client expects to send another request.
    pub(crate) keep_alive: bool,
    /// The status for a request that was not understood. [`answer`] returns it, and the connection must be closed.
    pub(crate) refused: Option<&'static str>,
}

/// What is written for one request.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// Number and reason, such as `200 OK`.
    pub(crate) status: &'static str,
    pub(crate) content: Content,
    /// Whether the body is announced but not sent, as for HEAD.
    pub(crate) head_only: bool,
}

/// The content of a response's body.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Text(String),
    /// This many KiB, generated while they are written.
    Sized(u64),
}

impl Reader {
    pub(crate) fn new() -> Reader {
        Reader::default()
    }

    /// Returns whether another request, or a part of one, was read already. Then the caller must not wait for the stream.
    pub(crate) fn has_buffered(&self) -> bool {
        !self.buffer.is_empty() || self.pending.is_some()
    }

    /// Returns whether at least a complete head of a request was read already.
    pub(crate) fn has_request(&self) -> bool {
        self.pending.is_some() || parse(&self.buffer).is_some()
    }

    /// Returns what was read of the next request.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Adds the bytes that were read.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next request, if all of it was read.
    pub(crate) fn next(&mut self) -> Next {
        if self.pending.is_none() {
            let Some(head) = parse(&self.buffer) else { return Next::Read };
            self.buffer.drain(..head.length);
            self.expects = head.expects && self.buffer.is_empty() && !head.body.is_over();
            self.pending = Some((head.request, head.body));
        }
        if std::mem::take(&mut self.expects) {
            return Next::Continue;
        }
        let Some((mut request, mut body)) = self.pending.take() else { return Next::Read };
        match body.take(&mut self.buffer) {
            Ok(taken) => request.length += taken,
            Err(body::Malformed) => return self.refuse("400 Bad Request"),
        }
        if request.length > limit(&request.path) {
            return self.refuse("413 Content Too Large");
        }
        if body.is_over() {
            return Next::Request(request);
        }
        self.pending = Some((request, body));
        Next::Read
    }

    /// The rest of the body may be anything, so nothing after it is read.
    fn refuse(&mut self, status: &'static str) -> Next {
        self.buffer.clear();
        Next::Request(refusal(status))
    }

    /// Handles the end of the connection.
    ///
    /// # Errors
    /// `UnexpectedEof` if it was in the middle of a request.
    pub(crate) fn end(&self) -> io::Result<()> {
        // Some clients end with an additional empty line.
        if self.pending.is_none() && self.buffer.iter().all(|byte| b"\r\n".contains(byte)) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within a request"))
    }
}

/// Reads the next request to its end. Returns `None` if the client has closed the connection instead of sending one.
///
/// # Errors
/// - what the stream's `read` and `write` return;
/// - `UnexpectedEof` if the connection ends in the middle of a request.
pub(crate) fn read_request(
    reader: &mut Reader,
    stream: &mut (impl Read + Write),
) -> io::Result<Option<Request>> {
    let mut chunk = [0; CHUNK];
    loop {
        match reader.next() {
            Next::Request(request) => return Ok(Some(request)),
            Next::Continue => stream.write_all(CONTINUE)?,
            Next::Read => match stream.read(&mut chunk) {
                Ok(0) => return reader.end().map(|()| None),
                Ok(read) => reader.add(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            },
        }
    }
}

/// The beginning of a request.
struct Head {
    request: Request,
    /// How many bytes it has.
    length: usize,
    body: Body,
    expects: bool,
}

/// Returns the head at the beginning of `bytes`; `None` if more bytes are needed.
fn parse(bytes: &[u8]) -> Option<Head> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head)) if head <= HEAD_LIMIT => head,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_LIMIT => return None,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Some(refuse("431 Request Header Fields Too Large", bytes));
        }
        Err(_) => return Some(refuse("400 Bad Request", bytes)),
    };
    let newest = parsed.version == Some(1);
    let (mut content_length, mut chunked, mut expects) = (None, false, false);
    let (mut keep, mut close) = (false, false);
    for header in parsed.headers.iter() {
        let value = header.value.trim_ascii();
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => match number(value) {
                Some(length) if content_length.is_none_or(|before| before == length) => {
                    content_length = Some(length);
                }
                _ => return Some(refuse("400 Bad Request", bytes)),
            },
            "transfer-encoding" if !value.eq_ignore_ascii_case(b"chunked") => {
                return Some(refuse("501 Not Implemented", bytes));
            }
            // Sent twice, or by HTTP/1.0, which does not have it: another server may see another end of the body.
            "transfer-encoding" if chunked || !newest => return Some(refuse("400 Bad Request", bytes)),
            "transfer-encoding" => chunked = true,
            "expect" if !newest => {}
            "expect" if !value.eq_ignore_ascii_case(b"100-continue") => {
                return Some(refuse("417 Expectation Failed", bytes));
            }
            "expect" => expects = true,
            "connection" => {
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    keep |= token.eq_ignore_ascii_case(b"keep-alive");
                    close |= token.eq_ignore_ascii_case(b"close");
                }
            }
            _ => {}
        }
    }
    let target = parsed.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body = match (content_length, chunked) {
        (Some(_), true) => return Some(refuse("400 Bad Request", bytes)),
        (Some(length), false) if length > limit(path) => return Some(refuse("413 Content Too Large", bytes)),
        (length, false) => Body::Length(length.unwrap_or(0)),
        (None, true) => Body::Chunked(Chunk::Size),
    };
    let asked = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.parse().ok());
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        ms: asked("ms="),
        kib: asked("kib="),
        length: 0,
        // HTTP/1.1 keeps the connection by default, HTTP/1.0 closes it.
        keep_alive: !close && (keep || newest),
        refused: None,
    };
    Some(Head { request, length, body, expects })
}

/// Returns the most bytes that the body of a request for `path` may have.
fn limit(path: &str) -> u64 {
    if path == "/count" { COUNT_LIMIT } else { BODY_LIMIT }
}

/// Returns the number in a Content-Length: digits only, while `parse` would accept a sign too. Returns the maximum if there
/// are too many digits.
fn number(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Consumes everything that was read, since the beginning of the next request is unknown.
fn refuse(status: &'static str, bytes: &[u8]) -> Head {
    Head { request: refusal(status), length: bytes.len(), body: Body::Length(0), expects: false }
}

fn refusal(status: &'static str) -> Request {
    let (method, path) = (String::new(), String::new());
    Request { method, path, ms: None, kib: None, length: 0, keep_alive: false, refused: Some(status) }
}

/// Answers GET and HEAD of `/` and of `/slow?ms=N` with `identity`, the slow one after N milliseconds, those of
/// `/sized?kib=N` with N KiB, and POST of `/count` with the number of bytes that arrived.
pub(crate) fn answer(request: &Request, identity: &str) -> Response {
    std::thread::sleep(time(request));
    answer_at_once(request, identity)
}

/// Returns how long the answer has to take.
pub(crate) fn time(request: &Request) -> Duration {
    let ms = request.ms.filter(|ms| request.path == "/slow" && *ms <= SLOW_LIMIT);
    Duration::from_millis(ms.unwrap_or(0))
}

/// Answers like [`answer`], for callers that have waited for the [`time`] themselves.
pub(crate) fn answer_at_once(request: &Request, identity: &str) -> Response {
    let head_only = request.method == "HEAD";
    let said = |status, text: &str| Response { status, content: Content::Text(text.to_owned()), head_only };
    if let Some(status) = request.refused {
        return said(status, &format!("{status}\n"));
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("GET" | "HEAD", "/") => said("200 OK", identity),
        ("GET" | "HEAD", "/slow") => match request.ms {
            Some(ms) if ms <= SLOW_LIMIT => said("200 OK", identity),
            _ => said("400 Bad Request", "ms: expected a number from 0 to 60000\n"),
        },
        ("GET" | "HEAD", "/sized") => match request.kib {
            Some(kib) if kib <= SIZED_LIMIT => {
                Response { status: "200 OK", content: Content::Sized(kib), head_only }
            }
            _ => said("400 Bad Request", "kib: expected a number from 0 to 65536\n"),
        },
        ("POST", "/count") => said("200 OK", &format!("{}\n", request.length)),
        (_, "/count") => said("405 Method Not Allowed", "expected POST\n"),
        (_, "/" | "/slow" | "/sized") => said("405 Method Not Allowed", "expected GET or HEAD\n"),
        _ => said("404 Not Found", MISSING),
    }
}

/// Returns this many KiB, in pieces of at most 64. Each line is one KiB and ends with its number, so that a reader sees what is
/// missing.
pub(crate) fn sized(kib: u64) -> impl Iterator<Item = Vec<u8>> + Send {
    let line = |number| format!("{number:>1023}\n");
    (0..kib).step_by(64).map(move |first| {
        let lines: String = (first..kib.min(first + 64)).map(line).collect();
        lines.into_bytes()
    })
}

/// Returns what to write for `response`, piece by piece. `close` announces that the connection closes after it.
pub(crate) fn pieces(response: &Response, close: bool) -> impl Iterator<Item = Vec<u8>> + Send + use<> {
    let Response { status, content, head_only } = response;
    let connection = if close { "close" } else { "keep-alive" };
    let (length, text, kib) = match content {
        Content::Text(text) => (text.len() as u64, text.as_str(), 0),
        Content::Sized(kib) => (kib * 1024, "", *kib),
    };
    let allow = match (status.starts_with("405"), text) {
        (true, "expected POST\n") => "Allow: POST\r\n",
        (true, _) => "Allow: GET, HEAD\r\n",
        (false, _) => "",
    };
    let (text, kib) = if *head_only { ("", 0) } else { (text, kib) };
    let first = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n{allow}\
         Connection: {connection}\r\n\r\n{text}"
    );
    std::iter::once(first.into_bytes()).chain(sized(kib))
}

/// Writes `response`, a small one with one call, and announces whether the connection closes after it.
///
/// # Errors
/// What the stream's `write` returns.
pub(crate) fn write_response(stream: &mut impl Write, response: &Response, close: bool) -> io::Result<()> {
    for piece in pieces(response, close) {
        stream.write_all(&piece)?;
    }
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that sends its bytes in pieces of this size.
    struct Client<'a> {
        sends: &'a [u8],
        step: usize,
        gets: Vec<u8>,
    }

    impl<'a> Client<'a> {
        fn new(sends: &'a [u8], step: usize) -> Client<'a> {
            Client { sends, step, gets: Vec::new() }
        }
    }

    impl Read for Client<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.step.min(buffer.len());
            self.sends.read(&mut buffer[..most])
        }
    }

    impl Write for Client<'_> {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.gets.write(buffer)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn first(bytes: &[u8]) -> Request {
        read_request(&mut Reader::new(), &mut Client::new(bytes, 1000)).unwrap().unwrap()
    }

    fn written(bytes: &[u8], close: bool) -> String {
        let mut out = Vec::new();
        write_response(&mut out, &answer(&first(bytes), "me\n"), close).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn reads_request_after_request() {
        let bytes = b"GET / HTTP/1.1\r\n\r\nPOST /a?b=1&ms=20 HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz\
            POST /count HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nHEAD /c HTTP/1.0\r\n\r\n";
        for step in [1, 7, 1000] {
            let (mut client, mut reader) = (Client::new(bytes, step), Reader::new());
            for (method, path, ms, length, keep_alive) in [
                ("GET", "/", None, 0, true),
                ("POST", "/a", Some(20), 3, true),
                ("POST", "/count", None, 2, true),
                ("HEAD", "/c", None, 0, false),
            ] {
                let request = read_request(&mut reader, &mut client).unwrap().unwrap();
                assert_eq!((request.method.as_str(), request.path.as_str()), (method, path));
                assert_eq!((request.ms, request.length), (ms, length));
                assert_eq!((request.keep_alive, request.refused), (keep_alive, None));
                assert!(step > 1 || !reader.has_buffered());
                assert!(step < 1000 || reader.has_request() == (method != "HEAD"));
            }
            assert!(read_request(&mut reader, &mut client).unwrap().is_none());
            assert!(client.gets.is_empty());
        }
    }

    #[test]
    fn a_client_that_expects_continue_gets_it() {
        let head = b"POST /count HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        let mut reader = Reader::new();
        reader.add(head);
        assert!(matches!(reader.next(), Next::Continue));
        assert!(matches!(reader.next(), Next::Read));
        reader.add(b"abc");
        assert!(matches!(reader.next(), Next::Request(Request { length: 3, .. })));
        // A client that did not wait gets none, and neither does a client that is refused.
        reader.add(head);
        reader.add(b"a");
        assert!(matches!(reader.next(), Next::Read));
        for bytes in [
            &b"POST /count HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"[..],
            b"POST /count HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 67108865\r\n\r\n",
        ] {
            let mut client = Client::new(bytes, 1000);
            let _ = read_request(&mut Reader::new(), &mut client);
            assert!(client.gets.is_empty());
        }
    }

    #[test]
    fn distinguishes_an_end_between_requests_from_one_in_a_request() {
        let end = |bytes| read_request(&mut Reader::new(), &mut Client::new(bytes, 1000));
        assert!(end(b"\r\n").unwrap().is_none());
        for cut in [
            &b"GET / HT"[..],
            b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nxyz",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n",
        ] {
            assert_eq!(end(cut).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
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
            ("Transfer-Encoding: gzip, chunked", "501"),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "400"),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1", "400"),
            ("Transfer-Encoding: chunked\r\n\r\nx", "400"),
            ("Expect: 200-ok", "417"),
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
        for (line, status, within) in [
            ("GET /slow", "400", ""),
            ("GET /slow?ms=60001", "400", ""),
            ("GET /sized", "400", ""),
            ("GET /sized?kib=65537", "400", ""),
            ("PUT /", "405", "Allow: GET, HEAD\r\n"),
            ("GET /count", "405", "Allow: POST\r\n"),
            ("GET /x", "404", ""),
        ] {
            let answer = written(format!("{line} HTTP/1.1\r\n\r\n").as_bytes(), true);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
            assert!(answer.contains(within), "{line}: {answer}");
        }
    }

    #[test]
    fn a_sized_answer_shows_what_is_missing() {
        let answer = written(b"GET /sized?kib=130 HTTP/1.1\r\n\r\n", false);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Content-Length: 133120\r\n"), "{head}");
        assert_eq!(body.len(), 130 * 1024);
        for (number, line) in body.lines().enumerate() {
            assert_eq!((line.len(), line.trim_start()), (1023, number.to_string().as_str()));
        }
        let answer = written(b"HEAD /sized?kib=130 HTTP/1.1\r\n\r\n", false);
        assert!(answer.contains("Content-Length: 133120\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[test]
    fn a_body_is_counted_and_bounded_however_it_comes() {
        let chunk = "x".repeat(0x10000);
        let post = |path: &str, chunks| {
            let head = format!("POST {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
            written((head + &format!("10000\r\n{chunk}\r\n").repeat(chunks) + "0\r\n\r\n").as_bytes(), false)
        };
        assert!(post("/count", 17).ends_with("\r\n\r\n1114112\n"));
        assert!(post("/x", 16).starts_with("HTTP/1.1 404 "));
        assert!(post("/x", 17).starts_with("HTTP/1.1 413 "));
    }
}
