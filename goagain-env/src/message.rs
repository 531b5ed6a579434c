//! The messages of the channel: each is one small text packet that begins with the version.

use std::fmt;

use crate::handoff::descriptors::{decode_name, decode_named, encode_name, encode_named};
use crate::{Address, sys};

const VERSION: &str = "goagain/1";

/// A reason is cut to this many bytes.
const MAX_REASON_BYTES: usize = 1000;

/// One message between predecessor and successor, as in "goagain/1 COMMIT again".
///
/// The words of the variants are defined under [Terms](crate#terms).
// Exhaustive: the loop must handle each. A message of a later version is a `MessageError` here, not a variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// READY, from the successor: it can serve.
    Ready,
    /// FAILED, from the successor: it cannot serve, for this reason, and exits.
    Failed(String),
    /// COMMIT, from the owner: the successor is the owner from now on. This is final.
    Commit {
        /// A restart was requested meanwhile. The new owner has to start it.
        again: bool,
    },
    /// ABORT, from the owner: it stays the owner, for this reason. The successor has to exit.
    Abort(String),
    /// SERVING, from the successor: it accepts connections.
    Serving,
    /// RELEASED, from the predecessor: it will never take over again.
    Released {
        /// The predecessor execs the new image now. From now on, the successor decides when to give up waiting for it.
        exec: bool,
        /// A restart was requested meanwhile. The owner has to start it.
        again: bool,
    },
    /// LEAVING, from either: it was asked to stop. This is not a crash, so the other must not take over.
    Leaving,
    /// DISMISS, from the owner: it no longer needs its fallback.
    Dismiss,
    /// ADDED, from the successor, before READY: it has bound this socket itself, and the descriptor comes with the
    /// packet. A predecessor that execs passes the socket on to its new image.
    Added {
        /// The name of the socket.
        name: String,
        /// The address to which it is bound.
        address: Address,
    },
    /// DROPPED, from the successor, before READY: it has not kept the descriptor with this name, so no later process
    /// gets it.
    Dropped(String),
    /// STATE, to a new process: this packet brings descriptors of the saved state. It has no part in the protocol of
    /// ownership, and carries [`State`](crate::State).
    State {
        /// The number of descriptors in this packet.
        here: u32,
        /// The number of descriptors in all packets.
        of: u32,
    },
    /// NOSTATE, to a new process: the state could not be saved, for this reason.
    NoState(String),
    /// MOVED, to the successor over a socket of its own: this packet brings a connection that the listener of this name
    /// had accepted. After it come up to two files: the bytes that were read from the connection and not processed, and
    /// the bytes that the server attached to it.
    Migrated {
        /// The listener's name.
        listener: String,
        /// Whether there is a file of unprocessed bytes.
        unread: bool,
        /// Whether there is a file of attached bytes.
        attached: bool,
    },
}

impl Message {
    /// [`Message::Leaving`] with its frame, which a signal handler can `send(2)` unchanged.
    pub const LEAVING: &[u8] = sys::LEAVING;

    /// Returns the text of the message, without a frame. In a reason, control characters become spaces, and the text is
    /// cut to 1,000 bytes at a character boundary.
    pub fn encode(&self) -> Vec<u8> {
        let flag = |is_set: bool, flag: &'static str| if is_set { flag } else { "" };
        let text = match self {
            Message::Ready => format!("{VERSION} READY"),
            Message::Failed(reason) => with_reason("FAILED", reason),
            Message::Commit { again } => format!("{VERSION} COMMIT{}", flag(*again, " again")),
            Message::Abort(reason) => with_reason("ABORT", reason),
            Message::Serving => format!("{VERSION} SERVING"),
            Message::Released { exec, again } => {
                format!("{VERSION} RELEASED{}{}", flag(*exec, " exec"), flag(*again, " again"))
            }
            Message::Leaving => format!("{VERSION} LEAVING"),
            Message::Dismiss => format!("{VERSION} DISMISS"),
            Message::Added { name, address } => {
                let mut text = format!("{VERSION} ADDED ");
                encode_named(name, address, &mut text);
                text
            }
            Message::Dropped(name) => {
                let mut text = format!("{VERSION} DROPPED ");
                encode_name(name, &mut text);
                text
            }
            Message::State { here, of } => format!("{VERSION} STATE {here} {of}"),
            Message::NoState(reason) => with_reason("NOSTATE", reason),
            Message::Migrated { listener, unread, attached } => {
                let mut text = format!("{VERSION} MOVED ");
                encode_name(listener, &mut text);
                text + flag(*unread, " unread") + flag(*attached, " attached")
            }
        };
        text.into_bytes()
    }

    /// Decodes a message. Total: any bytes are a message or an error.
    ///
    /// # Errors
    /// - [`MessageError::NotText`]: it is not UTF-8.
    /// - [`MessageError::Version`]: it belongs to another version of the protocol, or to another protocol.
    /// - [`MessageError::Word`]: this version has no such message.
    /// - [`MessageError::Argument`]: the text after the word is invalid for it.
    pub fn decode(packet: &[u8]) -> Result<Message, MessageError> {
        let text = std::str::from_utf8(packet).map_err(|_| MessageError::NotText)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let (version, text) = text.split_once(' ').unwrap_or((text, ""));
        if version != VERSION {
            return Err(MessageError::Version(clean(version)));
        }
        let (word, rest) = text.split_once(' ').map_or((text, None), |(word, rest)| (word, Some(rest)));
        let bare = |word, message| match rest {
            None => Ok(message),
            Some(argument) => Err(MessageError::Argument { word, argument: clean(argument) }),
        };
        match word {
            "READY" => bare("READY", Message::Ready),
            "FAILED" => Ok(Message::Failed(clean(rest.unwrap_or_default()))),
            "COMMIT" => match rest {
                Some("again") => Ok(Message::Commit { again: true }),
                _ => bare("COMMIT", Message::Commit { again: false }),
            },
            "ABORT" => Ok(Message::Abort(clean(rest.unwrap_or_default()))),
            "SERVING" => bare("SERVING", Message::Serving),
            "RELEASED" => match rest {
                Some("exec") => Ok(Message::Released { exec: true, again: false }),
                Some("again") => Ok(Message::Released { exec: false, again: true }),
                Some("exec again") => Ok(Message::Released { exec: true, again: true }),
                _ => bare("RELEASED", Message::Released { exec: false, again: false }),
            },
            "LEAVING" => bare("LEAVING", Message::Leaving),
            "DISMISS" => bare("DISMISS", Message::Dismiss),
            "ADDED" => match decode_named(rest.unwrap_or_default()) {
                Ok((name, address)) if !name.is_empty() => Ok(Message::Added { name, address }),
                _ => Err(wrong("ADDED", rest)),
            },
            "DROPPED" => rest
                .and_then(decode_name)
                .filter(|name| !name.is_empty())
                .map(Message::Dropped)
                .ok_or_else(|| wrong("DROPPED", rest)),
            "STATE" => {
                let argument = rest.unwrap_or_default();
                let counts = argument.split_once(' ').and_then(|(here, of)| Some((count(here)?, count(of)?)));
                let (here, of) = counts.ok_or_else(|| wrong("STATE", rest))?;
                Ok(Message::State { here, of })
            }
            "NOSTATE" => Ok(Message::NoState(clean(rest.unwrap_or_default()))),
            "MOVED" => {
                let argument = rest.unwrap_or_default();
                let (name, flags) = argument.split_once(' ').unwrap_or((argument, ""));
                let flags = match (argument.contains(' '), flags) {
                    (false, _) => Some((false, false)),
                    (true, "unread") => Some((true, false)),
                    (true, "attached") => Some((false, true)),
                    (true, "unread attached") => Some((true, true)),
                    (true, _) => None,
                };
                let named = decode_name(name).zip(flags);
                let (listener, (unread, attached)) = named.ok_or_else(|| wrong("MOVED", rest))?;
                Ok(Message::Migrated { listener, unread, attached })
            }
            other => Err(MessageError::Word(clean(other))),
        }
    }
}

fn wrong(word: &'static str, rest: Option<&str>) -> MessageError {
    MessageError::Argument { word, argument: clean(rest.unwrap_or_default()) }
}

/// Parses digits only, while `parse` would accept a sign too.
fn count(text: &str) -> Option<u32> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal { text.parse().ok() } else { None }
}

fn with_reason(word: &str, reason: &str) -> String {
    let reason = clean(reason);
    if reason.is_empty() { format!("{VERSION} {word}") } else { format!("{VERSION} {word} {reason}") }
}

/// Makes a text short, and one line, because it is written to logs. The text from the peer is cleaned too.
fn clean(text: &str) -> String {
    let mut clean = String::new();
    for each in text.chars() {
        if clean.len() + each.len_utf8() > MAX_REASON_BYTES {
            break;
        }
        clean.push(if each.is_control() { ' ' } else { each });
    }
    clean
}

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// Another version, or another protocol.
    Version(String),
    /// No message of this version.
    Word(String),
    /// A message of this version with an invalid argument.
    Argument {
        /// The message.
        word: &'static str,
        /// The text after it.
        argument: String,
    },
    /// Not UTF-8.
    NotText,
    /// Longer than any message.
    TooLong,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("channel: ")?;
        match self {
            MessageError::Version(found) => write!(f, "expected a message of {VERSION}, found `{found}`"),
            MessageError::Word(found) => {
                write!(f, "expected a message of {VERSION}, found the word `{found}`")
            }
            MessageError::Argument { word, argument } => {
                write!(f, "expected {word}, found `{argument}` after it")
            }
            MessageError::NotText => f.write_str("expected text, found other bytes"),
            MessageError::TooLong => {
                write!(f, "expected at most {} bytes, found more", sys::MAX_FRAME_BYTES)
            }
        }
    }
}

impl std::error::Error for MessageError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_message() -> impl proptest::strategy::Strategy<Value = Message> {
        prop_oneof![
            Just(Message::Ready),
            "\\PC{0,200}".prop_map(Message::Failed),
            any::<bool>().prop_map(|again| Message::Commit { again }),
            "\\PC{0,200}".prop_map(Message::Abort),
            Just(Message::Serving),
            any::<(bool, bool)>().prop_map(|(exec, again)| Message::Released { exec, again }),
            Just(Message::Leaving),
            Just(Message::Dismiss),
            "\\PC{1,200}"
                .prop_map(|name| Message::Added { address: Address::Unix(format!("/{name}").into()), name }),
            "\\PC{1,200}".prop_map(Message::Dropped),
            any::<(u32, u32)>().prop_map(|(here, of)| Message::State { here, of }),
            "\\PC{0,200}".prop_map(Message::NoState),
            any::<(String, bool, bool)>().prop_map(|(listener, unread, attached)| Message::Migrated {
                listener,
                unread,
                attached
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(message in any_message()) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let _ = Message::decode(&bytes);
        }

        #[test]
        fn any_reason_fits_a_frame(reason in any::<String>(), times in 1..50usize) {
            let packet = Message::Failed(reason.repeat(times)).encode();
            prop_assert!(packet.len() < sys::MAX_FRAME_BYTES);
            let Ok(Message::Failed(read)) = Message::decode(&packet) else { panic!("no FAILED") };
            prop_assert!(read.len() <= MAX_REASON_BYTES && !read.chars().any(char::is_control));
        }
    }

    #[test]
    fn the_words_are_those_of_the_protocol() {
        for (message, text) in [
            (Message::Ready, "goagain/1 READY"),
            (Message::Failed("no port".into()), "goagain/1 FAILED no port"),
            (Message::Failed(String::new()), "goagain/1 FAILED"),
            (Message::Commit { again: true }, "goagain/1 COMMIT again"),
            (Message::Abort("a\nb".into()), "goagain/1 ABORT a b"),
            (Message::Released { exec: true, again: true }, "goagain/1 RELEASED exec again"),
            (Message::Released { exec: false, again: true }, "goagain/1 RELEASED again"),
            (Message::Added { name: "a b".into(), address: Address::Other }, "goagain/1 ADDED a%20b,fd,"),
            (Message::Dropped("http".into()), "goagain/1 DROPPED http"),
            (Message::State { here: 253, of: 300 }, "goagain/1 STATE 253 300"),
            (Message::NoState("too large".into()), "goagain/1 NOSTATE too large"),
            (
                Message::Migrated { listener: "a b".into(), unread: true, attached: false },
                "goagain/1 MOVED a%20b unread",
            ),
            (
                Message::Migrated { listener: "a".into(), unread: true, attached: true },
                "goagain/1 MOVED a unread attached",
            ),
        ] {
            assert_eq!(String::from_utf8(message.encode()).unwrap(), text);
        }
        assert_eq!(Message::decode(Message::LEAVING), Ok(Message::Leaving));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let Ok(Message::Abort(reason)) = Message::decode(&Message::Abort("ä".repeat(600)).encode()) else {
            panic!("no ABORT")
        };
        assert_eq!(reason.chars().count(), 500);
        let Ok(Message::Abort(reason)) = Message::decode(&Message::Abort("€".repeat(600)).encode()) else {
            panic!("no ABORT")
        };
        assert_eq!(reason.len(), 999);
    }

    #[test]
    fn errors_of_version_word_and_argument_differ() {
        let error = |text: &str| Message::decode(text.as_bytes()).unwrap_err();
        assert_eq!(error("goagain/2 READY"), MessageError::Version("goagain/2".into()));
        assert_eq!(error(""), MessageError::Version(String::new()));
        assert_eq!(error("goagain/1 HELLO x"), MessageError::Word("HELLO".into()));
        assert_eq!(error("goagain/1"), MessageError::Word(String::new()));
        let argument = MessageError::Argument { word: "COMMIT", argument: "twice".into() };
        assert_eq!(error("goagain/1 COMMIT twice"), argument);
        for text in [
            "ADDED",
            "ADDED a,tcp",
            "ADDED ,fd,",
            "ADDED a,tcp,b",
            "DROPPED",
            "DROPPED ",
            "DROPPED %",
            "STATE",
            "STATE 1",
            "STATE 1 2 3",
            "STATE -1 1",
            "STATE 1 4294967296",
            "MOVED %F",
            "MOVED a b",
            "MOVED a ",
            "MOVED a attached unread",
        ] {
            let error = error(&format!("goagain/1 {text}"));
            assert!(matches!(error, MessageError::Argument { .. }), "{text}: {error}");
        }
        assert_eq!(Message::decode(b"goagain/1 \xff"), Err(MessageError::NotText));
        assert_eq!(
            error("goagain/2 READY").to_string(),
            "channel: expected a message of goagain/1, found `goagain/2`"
        );
    }
}
