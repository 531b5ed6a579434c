//! What has come of a client over HTTP/1.1 and is not part of the present request.

/// The most bytes of requests to come that are kept here: more than any HTTP library reads ahead.
const MOST: usize = 1 << 20;

/// The end of a request's head, and of a body in chunks without trailers.
const HEAD_END: &[u8] = b"\r\n\r\n";
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
/// What every connection of HTTP/2 begins with, and no request of HTTP/1.1 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Follows the bytes of one connection, to know whether its client has sent more than the present request.
///
/// An HTTP library reads ahead, and does not tell how much. A request is followed by what the library says of it: when it has come
/// ([`Http1Follower::begin`]), and how long its body is. Where this loses count it says so ([`Http1Follower::is_unsure`]), and finds its place again
/// when the library asks for more in between two requests.
#[derive(Debug, Default)]
pub(crate) struct Http1Follower {
    at: At,
    /// What has come and belongs to no request that has begun; where nobody knows that, the end of what has come.
    ahead: Vec<u8>,
    /// Something has come since a request last began.
    has_come: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// In between two requests, or in the head of one.
    #[default]
    Head,
    /// In a body, of which so much is to come.
    Body(u64),
    /// In a body of chunks, or behind it.
    Chunks,
    /// Nobody knows.
    Unsure,
    /// It is not HTTP/1.1, and not followed.
    Other,
}

/// How long a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Known(u64),
    Chunks,
}

impl Http1Follower {
    /// Bytes have come.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        self.has_come = true;
        if let At::Body(left) = self.at {
            let of_body = least(bytes, left);
            bytes = &bytes[of_body..];
            self.at = after_body(left - of_body as u64);
        }
        match self.at {
            At::Head => self.ahead.extend_from_slice(bytes),
            At::Chunks | At::Unsure => self.keep_the_end(bytes),
            At::Body(_) | At::Other => {}
        }
        if self.at == At::Head && self.ahead.starts_with(PREFACE) {
            self.stop();
        } else if self.ahead.len() > MOST {
            self.lose_count();
        }
    }

    /// The library has read the head of the next request, and its body is so long.
    pub(crate) fn begin(&mut self, length: Length) {
        self.has_come = false;
        self.skip_empty_lines();
        let head = self.ahead.windows(HEAD_END.len()).position(|window| window == HEAD_END);
        match (self.at, head) {
            (At::Other, _) => return,
            (At::Head, Some(head)) => drop(self.ahead.drain(..head + HEAD_END.len())),
            _ => return self.lose_count(),
        }
        match length {
            Length::Known(length) => {
                let here = least(&self.ahead, length);
                self.ahead.drain(..here);
                self.at = after_body(length - here as u64);
            }
            Length::Chunks => {
                self.at = At::Chunks;
                let bytes = std::mem::take(&mut self.ahead);
                self.keep_the_end(&HEAD_END[2..]);
                self.keep_the_end(&bytes);
            }
        }
    }

    /// The library asks for more while no request is under way: so it has begun what it could.
    pub(crate) fn ask_between(&mut self) {
        match self.at {
            At::Chunks | At::Unsure
                if self.is_whole() || !self.has_come && self.ahead.ends_with(HEAD_END) =>
            {
                self.ahead.clear();
                self.at = At::Head;
            }
            // The rest of a body that nobody reads.
            At::Body(_) => self.lose_count(),
            _ => {}
        }
    }

    /// Whether the client has sent something of a next request, or may have.
    pub(crate) fn is_ahead(&self) -> bool {
        match self.at {
            At::Head => self.ahead.iter().any(|byte| !is_line_end(byte)),
            At::Body(_) | At::Other => false,
            At::Chunks => self.ahead != LAST_CHUNK,
            At::Unsure => true,
        }
    }

    /// Whether all of the present request has come.
    pub(crate) fn is_whole(&self) -> bool {
        self.at == At::Head || self.at == At::Chunks && self.ahead == LAST_CHUNK
    }

    /// Whether a whole head has come of a request that has not begun.
    pub(crate) fn has_head(&self) -> bool {
        // An empty line before it is not its end.
        let begin = self.ahead.iter().position(|byte| !is_line_end(byte)).unwrap_or(self.ahead.len());
        self.at == At::Head && self.ahead[begin..].windows(HEAD_END.len()).any(|window| window == HEAD_END)
    }

    /// Whether a part of a body of known length is to come.
    pub(crate) fn is_in_body(&self) -> bool {
        matches!(self.at, At::Body(_))
    }

    /// Whether it is not HTTP/1.1.
    pub(crate) fn is_other(&self) -> bool {
        self.at == At::Other
    }

    /// Whether it is HTTP/1.1, and has not been lost.
    pub(crate) fn is_followed(&self) -> bool {
        !matches!(self.at, At::Other | At::Unsure)
    }

    /// What comes is not followed any longer.
    pub(crate) fn stop(&mut self) {
        self.at = At::Other;
        self.ahead = Vec::new();
    }

    fn lose_count(&mut self) {
        let bytes = std::mem::take(&mut self.ahead);
        self.at = At::Unsure;
        self.keep_the_end(&bytes);
    }

    /// Only the end is looked at where it is not known what begins where.
    fn keep_the_end(&mut self, bytes: &[u8]) {
        self.ahead.extend_from_slice(&bytes[bytes.len().saturating_sub(LAST_CHUNK.len())..]);
        self.ahead.drain(..self.ahead.len().saturating_sub(LAST_CHUNK.len()));
    }

    /// Some clients end a request with an empty line of their own, which libraries pass over.
    fn skip_empty_lines(&mut self) {
        if self.at == At::Head {
            let empty = self.ahead.iter().take_while(|byte| is_line_end(byte)).count();
            self.ahead.drain(..empty);
        }
    }
}

fn is_line_end(byte: &u8) -> bool {
    b"\r\n".contains(byte)
}

fn least(bytes: &[u8], length: u64) -> usize {
    bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX))
}

fn after_body(left: u64) -> At {
    if left == 0 { At::Head } else { At::Body(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const POST: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n";

    fn after(bytes: &[u8]) -> Http1Follower {
        let mut reading = Http1Follower::default();
        reading.read(bytes);
        reading
    }

    #[test]
    fn a_request_alone_leaves_nothing() {
        let mut reading = after(GET);
        assert!(reading.is_ahead(), "it has come, and has not begun");
        for _ in 0..3 {
            reading.begin(Length::Known(0));
            assert!(!reading.is_ahead() && reading.is_whole());
            reading.ask_between();
            reading.read(GET);
        }
    }

    #[test]
    fn requests_that_came_together_are_counted_one_by_one() {
        let mut reading = after(&[GET, POST, b"abc", GET, b"\r\n", &GET[..7]].concat());
        reading.begin(Length::Known(0));
        assert!(reading.is_ahead());
        reading.begin(Length::Known(3));
        assert!(reading.is_ahead());
        reading.begin(Length::Known(0));
        assert!(reading.is_ahead(), "a part of the next");
        reading.ask_between();
        assert!(reading.is_ahead());
        reading.read(&GET[7..]);
        reading.begin(Length::Known(0));
        assert!(!reading.is_ahead());
    }

    #[test]
    fn a_body_is_not_the_next_request() {
        let mut reading = after(&[POST, b"a"].concat());
        reading.begin(Length::Known(3));
        assert!(!reading.is_ahead() && !reading.is_whole());
        reading.read(b"bc");
        assert!(!reading.is_ahead());
        reading.read(GET);
        assert!(reading.is_ahead());
        reading.begin(Length::Known(0));
        assert!(!reading.is_ahead());
    }

    #[test]
    fn an_empty_line_behind_a_request_is_none() {
        let mut reading = after(&[POST, b"abc\r\n"].concat());
        reading.begin(Length::Known(3));
        assert!(!reading.is_ahead());
        reading.read(b"\r\n");
        reading.ask_between();
        assert!(!reading.is_ahead());
    }

    #[test]
    fn a_body_in_chunks_is_followed_to_its_end() {
        for chunks in
            [&[&b"3\r\nabc\r\n0\r\n\r\n"[..]][..], &[b"3\r\nabc\r\n", b"0\r", b"\n\r\n"], &[b"0\r\n\r\n"]]
        {
            let mut reading = after(GET);
            reading.begin(Length::Chunks);
            for chunk in chunks {
                assert!(reading.is_ahead() && !reading.is_whole(), "it may be");
                reading.read(chunk);
            }
            assert!(!reading.is_ahead() && reading.is_whole());
            reading.ask_between();
            reading.read(GET);
            reading.begin(Length::Known(0));
            assert!(!reading.is_ahead());
        }
        // Something behind it, so that nobody knows where it ends, until the library asks for more.
        let mut behind = after(&[GET, b"3\r\nabc\r\n0\r\n\r\n", GET].concat());
        behind.begin(Length::Chunks);
        assert!(behind.is_ahead());
        behind.begin(Length::Known(0));
        assert!(behind.is_ahead());
        behind.ask_between();
        assert!(!behind.is_ahead());
    }

    #[test]
    fn a_library_that_reads_before_it_looks_is_followed_again() {
        let mut reading = after(GET);
        reading.begin(Length::Chunks);
        reading.read(&[b"0\r\n\r\n", GET].concat());
        reading.ask_between();
        assert!(reading.is_ahead(), "it has come, and has not begun");
        reading.begin(Length::Known(0));
        reading.ask_between();
        assert!(!reading.is_ahead());
    }

    #[test]
    fn http2_is_not_followed() {
        let mut reading = after(&PREFACE[..7]);
        reading.read(&PREFACE[7..]);
        reading.begin(Length::Known(0));
        reading.read(b"frames");
        assert!(!reading.is_ahead());
        let mut reading = after(b"PROPFIND / HTTP/1.1\r\n\r\n");
        reading.begin(Length::Known(0));
        assert!(!reading.is_ahead());
    }

    #[test]
    fn a_client_that_sends_without_end_is_not_kept() {
        let mut reading = after(GET);
        reading.begin(Length::Known(0));
        for _ in 0..5 {
            reading.read(&vec![b'a'; MOST / 2]);
        }
        assert!(reading.is_ahead() && reading.ahead.len() < 10);
    }
}
