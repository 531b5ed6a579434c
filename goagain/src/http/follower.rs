//! Following the bytes of an HTTP/1.1 connection: what the client has sent beyond the present request.

/// The most bytes of later requests that are kept here. No HTTP library reads ahead that far.
const MOST: usize = 1 << 20;

/// The end of a request's head, and of a chunked body without trailers.
const HEAD_END: &[u8] = b"\r\n\r\n";
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
/// The beginning of every HTTP/2 connection, and of no HTTP/1.1 request (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Follows the bytes of one connection, to know whether its client has sent more than the present request.
///
/// An HTTP library reads ahead, and does not say how far. So this follows each request with what the library does say: when a request
/// begins ([`Http1Follower::begin`]), and how long its body is. If it loses its place, it says that the client may have sent more, and
/// finds its place again when the library asks for more between two requests.
#[derive(Debug, Default)]
pub(crate) struct Http1Follower {
    at: At,
    /// The bytes that have come and belong to no request that has begun. If the place is unknown: the last bytes that have come.
    ahead: Vec<u8>,
    /// Whether something has come since a request last began.
    has_come: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Between two requests, or in the head of one.
    #[default]
    Head,
    /// In a body, of which so many bytes are still to come.
    Body(u64),
    /// In a chunked body, or after it.
    Chunks,
    /// The place is unknown.
    Unknown,
    /// It is not HTTP/1.1, so it is not followed.
    Other,
}

/// How long the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Known(u64),
    Chunks,
}

impl Http1Follower {
    /// Notes that bytes have come.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        self.has_come = true;
        if let At::Body(left) = self.at {
            let of_body = min_length(bytes, left);
            bytes = &bytes[of_body..];
            self.at = after_body(left - of_body as u64);
        }
        match self.at {
            At::Head => self.ahead.extend_from_slice(bytes),
            At::Chunks | At::Unknown => self.keep_the_end(bytes),
            At::Body(_) | At::Other => {}
        }
        if self.at == At::Head && self.ahead.starts_with(PREFACE) {
            self.stop();
        } else if self.ahead.len() > MOST {
            self.lose_place();
        }
    }

    /// Notes that the library has read the head of the next request, whose body is so long.
    pub(crate) fn begin(&mut self, length: Length) {
        self.has_come = false;
        self.skip_empty_lines();
        let head = self.ahead.windows(HEAD_END.len()).position(|window| window == HEAD_END);
        match (self.at, head) {
            (At::Other, _) => return,
            (At::Head, Some(head)) => drop(self.ahead.drain(..head + HEAD_END.len())),
            _ => return self.lose_place(),
        }
        match length {
            Length::Known(length) => {
                let here = min_length(&self.ahead, length);
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

    /// Notes that the library asks for more while no request is under way. So it has begun every request that has come completely.
    pub(crate) fn ask_between(&mut self) {
        match self.at {
            At::Chunks | At::Unknown
                if self.is_whole() || !self.has_come && self.ahead.ends_with(HEAD_END) =>
            {
                self.ahead.clear();
                self.at = At::Head;
            }
            // The rest of a body that the application did not read.
            At::Body(_) => self.lose_place(),
            _ => {}
        }
    }

    /// Whether the client has sent a part of a later request, or may have.
    pub(crate) fn is_ahead(&self) -> bool {
        match self.at {
            At::Head => self.ahead.iter().any(|byte| !is_line_end(byte)),
            At::Body(_) | At::Other => false,
            At::Chunks => self.ahead != LAST_CHUNK,
            At::Unknown => true,
        }
    }

    /// Whether the present request has come completely.
    pub(crate) fn is_whole(&self) -> bool {
        self.at == At::Head || self.at == At::Chunks && self.ahead == LAST_CHUNK
    }

    /// Whether the complete head has come of a request that has not begun.
    pub(crate) fn has_head(&self) -> bool {
        // An empty line before the head is not its end.
        let begin = self.ahead.iter().position(|byte| !is_line_end(byte)).unwrap_or(self.ahead.len());
        self.at == At::Head && self.ahead[begin..].windows(HEAD_END.len()).any(|window| window == HEAD_END)
    }

    /// Whether a part of a body of known length is still to come.
    pub(crate) fn is_in_body(&self) -> bool {
        matches!(self.at, At::Body(_))
    }

    /// Whether it is not HTTP/1.1.
    pub(crate) fn is_other(&self) -> bool {
        self.at == At::Other
    }

    /// Whether it is HTTP/1.1, and its place is known.
    pub(crate) fn is_followed(&self) -> bool {
        !matches!(self.at, At::Other | At::Unknown)
    }

    /// Stops following.
    pub(crate) fn stop(&mut self) {
        self.at = At::Other;
        self.ahead = Vec::new();
    }

    fn lose_place(&mut self) {
        let bytes = std::mem::take(&mut self.ahead);
        self.at = At::Unknown;
        self.keep_the_end(&bytes);
    }

    /// Keeps only the last bytes: where it is not known what begins where, only the end can be looked at.
    fn keep_the_end(&mut self, bytes: &[u8]) {
        self.ahead.extend_from_slice(&bytes[bytes.len().saturating_sub(LAST_CHUNK.len())..]);
        self.ahead.drain(..self.ahead.len().saturating_sub(LAST_CHUNK.len()));
    }

    /// Some clients send an additional empty line after a request, which HTTP libraries skip.
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

fn min_length(bytes: &[u8], length: u64) -> usize {
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
        let mut follower = Http1Follower::default();
        follower.read(bytes);
        follower
    }

    #[test]
    fn a_single_request_leaves_nothing() {
        let mut follower = after(GET);
        assert!(follower.is_ahead(), "it has come and not begun");
        for _ in 0..3 {
            follower.begin(Length::Known(0));
            assert!(!follower.is_ahead() && follower.is_whole());
            follower.ask_between();
            follower.read(GET);
        }
    }

    #[test]
    fn requests_that_came_together_are_counted_one_by_one() {
        let mut follower = after(&[GET, POST, b"abc", GET, b"\r\n", &GET[..7]].concat());
        follower.begin(Length::Known(0));
        assert!(follower.is_ahead());
        follower.begin(Length::Known(3));
        assert!(follower.is_ahead());
        follower.begin(Length::Known(0));
        assert!(follower.is_ahead(), "a part of the next request");
        follower.ask_between();
        assert!(follower.is_ahead());
        follower.read(&GET[7..]);
        follower.begin(Length::Known(0));
        assert!(!follower.is_ahead());
    }

    #[test]
    fn a_body_is_not_the_next_request() {
        let mut follower = after(&[POST, b"a"].concat());
        follower.begin(Length::Known(3));
        assert!(!follower.is_ahead() && !follower.is_whole());
        follower.read(b"bc");
        assert!(!follower.is_ahead());
        follower.read(GET);
        assert!(follower.is_ahead());
        follower.begin(Length::Known(0));
        assert!(!follower.is_ahead());
    }

    #[test]
    fn an_empty_line_after_a_request_is_not_a_request() {
        let mut follower = after(&[POST, b"abc\r\n"].concat());
        follower.begin(Length::Known(3));
        assert!(!follower.is_ahead());
        follower.read(b"\r\n");
        follower.ask_between();
        assert!(!follower.is_ahead());
    }

    #[test]
    fn a_chunked_body_is_followed_to_its_end() {
        for chunks in
            [&[&b"3\r\nabc\r\n0\r\n\r\n"[..]][..], &[b"3\r\nabc\r\n", b"0\r", b"\n\r\n"], &[b"0\r\n\r\n"]]
        {
            let mut follower = after(GET);
            follower.begin(Length::Chunks);
            for chunk in chunks {
                assert!(follower.is_ahead() && !follower.is_whole(), "the client may have sent more");
                follower.read(chunk);
            }
            assert!(!follower.is_ahead() && follower.is_whole());
            follower.ask_between();
            follower.read(GET);
            follower.begin(Length::Known(0));
            assert!(!follower.is_ahead());
        }
        // With something after it, its end is unknown until the library asks for more.
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
        let mut follower = after(GET);
        follower.begin(Length::Chunks);
        follower.read(&[b"0\r\n\r\n", GET].concat());
        follower.ask_between();
        assert!(follower.is_ahead(), "it has come and not begun");
        follower.begin(Length::Known(0));
        follower.ask_between();
        assert!(!follower.is_ahead());
    }

    #[test]
    fn http2_is_not_followed() {
        let mut follower = after(&PREFACE[..7]);
        follower.read(&PREFACE[7..]);
        follower.begin(Length::Known(0));
        follower.read(b"frames");
        assert!(!follower.is_ahead());
        let mut follower = after(b"PROPFIND / HTTP/1.1\r\n\r\n");
        follower.begin(Length::Known(0));
        assert!(!follower.is_ahead());
    }

    #[test]
    fn the_bytes_of_a_client_that_sends_without_end_are_not_kept() {
        let mut follower = after(GET);
        follower.begin(Length::Known(0));
        for _ in 0..5 {
            follower.read(&vec![b'a'; MOST / 2]);
        }
        assert!(follower.is_ahead() && follower.ahead.len() < 10);
    }
}
