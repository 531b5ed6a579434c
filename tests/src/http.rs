//! The subset of HTTP/1.1 that the load and the drills speak: one request, and the complete answer.

use std::str;

/// The identity of the image that gave an answer: `pid=<pid> boot=<token> generation=<n>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The process.
    pub pid: i32,
    /// A token that is new for each exec'd image.
    pub boot: String,
    /// The generation.
    pub generation: u64,
}

impl Identity {
    /// Parses the body of an answer.
    pub fn parse(body: &str) -> Option<Self> {
        let mut words = body.strip_suffix('\n')?.split(' ');
        let identity = Self {
            pid: words.next()?.strip_prefix("pid=")?.parse().ok()?,
            boot: words.next()?.strip_prefix("boot=")?.to_owned(),
            generation: words.next()?.strip_prefix("generation=")?.parse().ok()?,
        };
        words.next().is_none().then_some(identity)
    }
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Whether the server sent `Connection: close`.
    pub close: bool,
    /// The body. Bytes that are not UTF-8 are replaced.
    pub body: String,
    /// The length of head and body, in bytes.
    pub length: usize,
}

impl Answer {
    /// Returns who answered, if the body says so.
    pub fn identity(&self) -> Option<Identity> {
        Identity::parse(&self.body)
    }
}

/// Returns the text of a GET request for `path`.
pub fn request(path: &str, close: bool) -> String {
    let connection = if close { "close" } else { "keep-alive" };
    format!("GET {path} HTTP/1.1\r\nHost: drill\r\nConnection: {connection}\r\n\r\n")
}

/// Parses the answer at the start of `bytes`. Returns `None` while it is incomplete.
///
/// # Errors
/// - the bytes are not an HTTP/1 answer with a Content-Length; the text contains the reason.
pub fn parse(bytes: &[u8]) -> Result<Option<Answer>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let start = match head.parse(bytes).map_err(|error| error.to_string())? {
        httparse::Status::Complete(start) => start,
        httparse::Status::Partial => return Ok(None),
    };
    let field = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| str::from_utf8(header.value).unwrap_or_default().trim())
    };
    let length = field("content-length").ok_or("content-length: expected a number, found nothing")?;
    let length: usize =
        length.parse().map_err(|_| format!("content-length: expected a number, found `{length}`"))?;
    let Some(body) = bytes.get(start..start + length) else { return Ok(None) };
    Ok(Some(Answer {
        status: head.code.unwrap_or_default(),
        close: field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
        body: String::from_utf8_lossy(body).into_owned(),
        length: start + length,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str =
        "HTTP/1.1 200 OK\r\nContent-Length: 28\r\nConnection: close\r\n\r\npid=12 boot=ab generation=3\n";

    #[test]
    fn an_answer_is_parsed_when_it_is_complete() {
        let text = ANSWER;
        for end in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..end]), Ok(None), "{end}");
        }
        let answer = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!((answer.status, answer.close, answer.length), (200, true, text.len()));
        let identity = answer.identity().unwrap();
        assert_eq!((identity.pid, identity.boot.as_str(), identity.generation), (12, "ab", 3));
    }

    #[test]
    fn an_answer_without_length_is_an_error() {
        let error = parse(b"HTTP/1.1 200 OK\r\n\r\n").unwrap_err();
        assert!(error.starts_with("content-length:"), "{error}");
    }

    #[test]
    fn any_other_body_has_no_identity() {
        for body in ["", "hello\n", "pid=1 boot=a generation=2", "pid=x boot=a generation=2\n"] {
            assert_eq!(Identity::parse(body), None, "{body:?}");
        }
    }
}
