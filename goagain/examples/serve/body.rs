//! A request's body: counted and discarded, piece by piece, as it arrives.

/// The most bytes that a chunk's size line may take, and that all trailers together may.
const LINE_LIMIT: usize = 8 * 1024;

/// The rest of a body.
#[derive(Debug)]
pub(crate) enum Body {
    /// This many bytes (Content-Length).
    Length(u64),
    /// Chunks (Transfer-Encoding: chunked), starting with this part of a chunk.
    Chunked(Chunk),
}

/// A part of a chunked body.
#[derive(Debug)]
pub(crate) enum Chunk {
    Size,
    /// This many bytes, then the end of the line.
    Data(u64),
    DataEnd,
    /// This many bytes of trailers were read.
    Trailers(usize),
    Over,
}

/// The body is not valid HTTP.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Body {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Body::Length(0) | Body::Chunked(Chunk::Over))
    }

    /// Removes what belongs to the body from the beginning of `buffer`, and returns how many bytes of content that was.
    pub(crate) fn take(&mut self, buffer: &mut Vec<u8>) -> Result<u64, Malformed> {
        match self {
            Body::Length(left) => Ok(take_at_most(left, buffer)),
            Body::Chunked(chunk) => {
                let mut content = 0;
                while chunk.step(buffer, &mut content)? {}
                Ok(content)
            }
        }
    }
}

impl Chunk {
    /// Processes one part. Returns `false` when the body is over or more bytes are needed.
    fn step(&mut self, buffer: &mut Vec<u8>, content: &mut u64) -> Result<bool, Malformed> {
        *self = match self {
            Chunk::Over => return Ok(false),
            Chunk::Size => match httparse::parse_chunk_size(buffer) {
                Ok(httparse::Status::Complete((line, size))) => {
                    buffer.drain(..line);
                    if size == 0 { Chunk::Trailers(0) } else { Chunk::Data(size) }
                }
                Ok(httparse::Status::Partial) if buffer.len() < LINE_LIMIT => return Ok(false),
                _ => return Err(Malformed),
            },
            Chunk::Data(left) => {
                *content += take_at_most(left, buffer);
                if *left > 0 {
                    return Ok(false);
                }
                Chunk::DataEnd
            }
            Chunk::DataEnd => match buffer.get(..2) {
                None => return Ok(false),
                Some(b"\r\n") => {
                    buffer.drain(..2);
                    Chunk::Size
                }
                Some(_) => return Err(Malformed),
            },
            Chunk::Trailers(read) => {
                let end = buffer.iter().position(|byte| *byte == b'\n');
                if *read + end.unwrap_or(buffer.len()) > LINE_LIMIT {
                    return Err(Malformed);
                }
                let Some(end) = end else { return Ok(false) };
                let is_last = matches!(&buffer[..end], b"" | b"\r");
                buffer.drain(..=end);
                if is_last { Chunk::Over } else { Chunk::Trailers(*read + end + 1) }
            }
        };
        Ok(true)
    }
}

fn take_at_most(left: &mut u64, buffer: &mut Vec<u8>) -> u64 {
    let taken = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    buffer.drain(..taken);
    *left -= taken as u64;
    taken as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the content's length and what follows the body, for bytes that arrive `step` at a time.
    fn taken(bytes: &str, step: usize) -> Result<(u64, String), Malformed> {
        let (mut body, mut buffer, mut content) = (Body::Chunked(Chunk::Size), Vec::new(), 0);
        for piece in bytes.as_bytes().chunks(step) {
            buffer.extend_from_slice(piece);
            content += body.take(&mut buffer)?;
        }
        assert!(body.is_over(), "{bytes:?} by {step}: {body:?}");
        Ok((content, String::from_utf8(buffer).unwrap()))
    }

    #[test]
    fn chunks_are_counted_however_they_come() {
        for step in [1, 2, 7, 1000] {
            for (bytes, content) in [
                ("0\r\n\r\nnext", 0),
                ("3\r\nabc\r\n0\r\n\r\nnext", 3),
                ("a;x=y\r\n0123456789\r\n1\r\n!\r\n0\r\nDigest: x\r\nA: b\r\n\r\nnext", 11),
            ] {
                assert_eq!(taken(bytes, step), Ok((content, "next".to_owned())), "by {step}");
            }
        }
    }

    #[test]
    fn what_is_malformed_is_found() {
        let endless = format!("0\r\n{}", "A: b\r\n".repeat(LINE_LIMIT / 4));
        let size = format!("1{}", ";x".repeat(LINE_LIMIT));
        for bytes in ["x\r\n", "-1\r\n", "3\r\nabcd\r\n", "11111111111111111\r\n", &endless, &size] {
            let mut body = Body::Chunked(Chunk::Size);
            assert_eq!(body.take(&mut bytes.as_bytes().to_vec()), Err(Malformed), "{:.20}", bytes);
        }
    }
}
