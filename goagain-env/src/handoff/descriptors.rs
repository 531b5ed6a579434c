//! GOAGAIN_DESCRIPTORS: "3,http,tcp,127.0.0.1:48879;4,admin,unix,/run/x.sock". Bytes that are unusual in a path are
//! percent-encoded, as in a URL: `%2C`.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use super::{DESCRIPTORS, HandoffError, NamedDescriptor, number, shortened};
use crate::Address;

pub(super) fn encode(descriptors: &[NamedDescriptor]) -> String {
    let mut text = String::new();
    for NamedDescriptor { fd, name, address } in descriptors {
        if !text.is_empty() {
            text.push(';');
        }
        // Writing to a `String` does not fail.
        let _ = write!(text, "{fd},");
        encode_named(name, address, &mut text);
    }
    text
}

/// Encodes a descriptor without its number, which differs in another process: "http,tcp,127.0.0.1:48879".
pub(crate) fn encode_named(name: &str, address: &Address, text: &mut String) {
    escape(name.as_bytes(), text);
    let _ = write!(text, ",{},", address.network());
    escape(address.host().as_bytes(), text);
}

/// The reverse of `encode_named`. The error is the text of what was expected.
pub(crate) fn decode_named(text: &str) -> Result<(String, Address), &'static str> {
    let fields: Vec<&str> = text.split(',').collect();
    let [name, network, host] = fields[..] else {
        return Err("name,network,address");
    };
    let name = decode_name(name).ok_or("a name")?;
    let host = unescape(host).ok_or("an address")?;
    Ok((name, Address::from_parts(network, &host)?))
}

pub(crate) fn encode_name(name: &str, text: &mut String) {
    escape(name.as_bytes(), text);
}

pub(crate) fn decode_name(text: &str) -> Option<String> {
    unescape(text).and_then(|name| String::from_utf8(name).ok())
}

pub(super) fn decode(value: &OsStr) -> Result<Vec<NamedDescriptor>, HandoffError> {
    let text = value.to_str().ok_or_else(|| expected("text", &value.to_string_lossy()))?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(';').map(decode_one).collect()
}

fn decode_one(text: &str) -> Result<NamedDescriptor, HandoffError> {
    let Some((fd, rest)) = text.split_once(',').filter(|(_, rest)| rest.matches(',').count() == 2) else {
        return Err(expected("number,name,network,address", text));
    };
    let fd = number(fd).ok_or_else(|| expected("a descriptor number", fd))?;
    let (name, address) = decode_named(rest).map_err(|what| expected(what, text))?;
    Ok(NamedDescriptor { fd, name, address })
}

fn expected(what: &str, found: &str) -> HandoffError {
    HandoffError::new(DESCRIPTORS, format!("expected {what}, found `{}`", shortened(found)))
}

pub(crate) fn escape(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => text.push((*byte).into()),
            b'.' | b'/' | b':' | b'-' | b'_' | b'@' | b'[' | b']' | b'+' => text.push((*byte).into()),
            other => {
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
}

pub(crate) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
        bytes.push(u8::try_from(value).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_short_and_readable() {
        let text = "3,http,tcp,127.0.0.1:48879;4,a%2Cb,unix,/run/%FF.sock;5,ticket,fd,";
        let path = OsStr::from_bytes(b"/run/\xff.sock");
        let descriptors = [
            NamedDescriptor {
                fd: 3,
                name: "http".into(),
                address: Address::Tcp("127.0.0.1:48879".parse().unwrap()),
            },
            NamedDescriptor { fd: 4, name: "a,b".into(), address: Address::Unix(path.into()) },
            NamedDescriptor { fd: 5, name: "ticket".into(), address: Address::Other },
        ];
        assert_eq!(encode(&descriptors), text);
        assert_eq!(decode(text.as_ref()).unwrap(), descriptors);
        assert_eq!(decode("".as_ref()).unwrap(), []);
    }

    #[test]
    fn an_error_names_the_wrong_part() {
        for (text, reason) in [
            ("3,http,tcp", "expected number,name,network,address, found `3,http,tcp`"),
            ("3,http,tcp,1.2.3.4:5;", "expected number,name,network,address, found ``"),
            ("+3,http,tcp,1.2.3.4:5", "expected a descriptor number, found `+3`"),
            ("0x10,http,tcp,1.2.3.4:5", "expected a descriptor number, found `0x10`"),
            ("99999999999,http,tcp,1.2.3.4:5", "expected a descriptor number, found `99999999999`"),
            ("3,%FF,tcp,1.2.3.4:5", "expected a name, found"),
            ("3,a%2,tcp,1.2.3.4:5", "expected a name, found"),
            ("3,a,sctp,1.2.3.4:5", "expected one of the networks"),
            ("3,a,tcp,1.2.3.4", "expected an address and a port, found"),
            ("3,a,unix,", "expected a path, found"),
        ] {
            let error = decode(text.as_ref()).unwrap_err();
            assert!(error.reason().starts_with(reason), "{error}");
        }
    }
}
