//! What is said over the channel: one small text a packet, its version first.

use std::fmt;

use crate::handoff::described::{decode_name, decode_named, encode_name, encode_named};
use crate::{Address, sys};

const VERSION: &str = "goagain/1";

/// A reason is cut to this many bytes.
const LONGEST_REASON: usize = 1000;

/// One message between predecessor and successor, as in "goagain/1 COMMIT again".
// Exhaustive: the loop must deal with each. What a later version sends is a `MessageError` here, not a variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// From the successor: I can serve.
    Ready,
    /// From the successor: I cannot, for this reason, and leave.
    Failed(String),
    /// From the owner, and final: you own.
    Commit {
        /// A restart was asked for meanwhile; it is yours to start.
        again: bool,
    },
    /// From the owner: I go on, for this reason; leave.
    Abort(String),
    /// From the successor: I accept.
    Serving,
    /// From the predecessor: I will never roll back.
    Released {
        /// I exec now; to give me up is yours to decide from here on.
        exec: bool,
        /// A restart was asked for meanwhile; it is yours to start.
        again: bool,
    },
    /// From either: a stop reached me. This is no crash, do not take over.
    Leaving,
    /// From the owner: I need my net no longer.
    Dismiss,
    /// From the successor, before READY: I have bound this myself, and its descriptor comes with the packet. A predecessor
    /// that execs passes it on to itself.
    Added {
        /// The name.
        name: String,
        /// Where it is bound.
        address: Address,
    },
    /// From the successor, before READY: I have not kept the descriptor of this name, and nobody will after you.
    Dropped(String),
    /// To a new image: so many descriptors of the state come with this packet, of so many in all. No word of the protocol of
    /// owners: it carries [`State`](crate::State).
    State {
        /// With this packet.
        here: u32,
        /// In all packets.
        of: u32,
    },
    /// To a new image: the state could not be made, for this reason.
    NoState(String),
    /// Over a socket of its own, to the successor: with this packet comes a connection that the listener of this name had
    /// accepted, then a file of the bytes that were read of it and not served, if there are some, and one of the bytes that its
    /// server has it carry, if there are some.
    Migrated {
        /// The listener's name.
        listener: String,
        /// Whether there is a file of unread bytes.
        unread: bool,
        /// Whether there is a file of attached bytes.
        attached: bool,
    },
}

impl Message {
    /// [`Message::Leaving`] with its frame, for a signal handler to `send(2)` as it is.
    pub const LEAVING: &[u8] = sys::LEAVING;

    /// The text of the message, without a frame. A reason has its control characters replaced by spaces, and is cut to
    /// 1,000 bytes at the bound of a character.
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

    /// Reads a message. Total: any bytes are a message or an error.
    ///
    /// # Errors
    /// - [`MessageError::NotText`]: it is not UTF-8.
    /// - [`MessageError::Version`]: it is of another version of the protocol, or of another protocol.
    /// - [`MessageError::Word`]: this version has no such message.
    /// - [`MessageError::Argument`]: what follows the word does not belong to it.
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

/// Digits and nothing else, where `parse` would take a sign too.
fn count(text: &str) -> Option<u32> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal { text.parse().ok() } else { None }
}

fn with_reason(word: &str, reason: &str) -> String {
    let reason = clean(reason);
    if reason.is_empty() { format!("{VERSION} {word}") } else { format!("{VERSION} {word} {reason}") }
}

/// Short, and of one line: it ends up in logs. What the peer sent is cleaned too.
fn clean(text: &str) -> String {
    let mut clean = String::new();
    for each in text.chars() {
        if clean.len() + each.len_utf8() > LONGEST_REASON {
            break;
        }
        clean.push(if each.is_control() { ' ' } else { each });
    }
    clean
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// Another version, or another protocol.
    Version(String),
    /// No message of this version.
    Word(String),
    /// A message of this version with something that does not belong to it.
    Argument {
        /// The message.
        word: &'static str,
        /// What followed it.
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
                write!(f, "expected {word}, found `{argument}` behind it")
            }
            MessageError::NotText => f.write_str("expected text, found other bytes"),
            MessageError::TooLong => {
                write!(f, "expected at most {} bytes, found more", sys::LONGEST_FRAME)
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
        fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let _ = Message::decode(&bytes);
        }

        #[test]
        fn any_reason_fits_a_frame(reason in any::<String>(), times in 1..50usize) {
            let packet = Message::Failed(reason.repeat(times)).encode();
            prop_assert!(packet.len() < sys::LONGEST_FRAME);
            let Ok(Message::Failed(read)) = Message::decode(&packet) else { panic!("no FAILED") };
            prop_assert!(read.len() <= LONGEST_REASON && !read.chars().any(char::is_control));
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
    fn version_word_and_argument_are_told_apart() {
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
