//! Transfers the saved state to a new process: state items, over the channel.
//!
//! STATE packets carry the descriptors. The first descriptor of all is a file that lists the others, as in
//! "bytes,3,1048576,tickets;fd,0,0,log": the contents, the version, the length in bytes and the name of each item.
//! Names are percent-encoded as in a URL.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::handoff::{escape, number, shortened, unescape};
use crate::state_item::{StateContents, StateItem};
use crate::{Channel, Message, sys};

/// No server has that many.
const MAX_ITEMS: u32 = 10_000;

/// A list of that many names is never longer, in bytes.
const MAX_LIST_BYTES: u64 = 16 << 20;

impl Channel {
    /// Sends the state, in as many STATE packets as it needs. Without items it sends one packet, which says that there
    /// are none.
    ///
    /// # Errors
    /// - The errors of [`send_with`](Channel::send_with).
    /// - The list cannot be written to a file.
    /// - There are more than 9,999 items ([`io::ErrorKind::InvalidInput`]).
    pub fn send_state(&self, items: &[StateItem]) -> io::Result<()> {
        if items.is_empty() {
            return self.send(&Message::State { here: 0, of: 0 });
        }
        let list = write_list(items)?;
        let all: Vec<BorrowedFd<'_>> =
            [list.as_fd()].into_iter().chain(items.iter().map(AsFd::as_fd)).collect();
        let of = u32::try_from(all.len()).ok().filter(|of| *of <= MAX_ITEMS);
        let of = of.ok_or_else(|| {
            let (most, found) = (MAX_ITEMS - 1, items.len());
            let text =
                format!("expected at most {most} state items, found {found}: save fewer, larger items");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        all.chunks(sys::MAX_FRAME_DESCRIPTORS)
            .try_for_each(|some| self.send_with(&Message::State { here: some.len() as u32, of }, some))
    }
}

fn write_list(items: &[StateItem]) -> io::Result<File> {
    let mut text = String::new();
    for StateItem { name, version, contents, length, .. } in items {
        if !text.is_empty() {
            text.push(';');
        }
        let word = match contents {
            StateContents::Bytes => "bytes",
            StateContents::Descriptor => "fd",
            StateContents::Connections => "connections",
        };
        text.push_str(&format!("{word},{version},{length},"));
        escape(name.as_bytes(), &mut text);
    }
    let mut file = File::from(sys::anonymous_file()?);
    file.write_all(text.as_bytes())?;
    file.seek(SeekFrom::Start(0))?;
    sys::seal(&file)?;
    Ok(file)
}

/// Puts the received state together again, packet by packet.
#[derive(Debug, Default)]
pub struct State {
    descriptors: Vec<OwnedFd>,
}

impl State {
    /// Adds the descriptors of one STATE packet. Returns the items once all packets have arrived. Items of a kind that
    /// this version does not know are left out.
    ///
    /// # Errors
    /// [`StateError`]: descriptors are missing, or the list does not match them. All descriptors are closed.
    pub fn take(
        &mut self,
        here: u32,
        of: u32,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Option<Vec<StateItem>>, StateError> {
        if descriptors.len() != here as usize {
            let found = descriptors.len();
            return Err(StateError(format!(
                "expected {here} descriptors, found {found}: this process cannot open more, so raise RLIMIT_NOFILE"
            )));
        }
        self.descriptors.extend(descriptors);
        let found = self.descriptors.len();
        if of > MAX_ITEMS || found > of as usize || (here == 0 && of != 0) {
            return Err(StateError(format!("expected at most {of} descriptors in all, found {found}")));
        }
        if found < of as usize {
            return Ok(None);
        }
        let mut descriptors = std::mem::take(&mut self.descriptors).into_iter();
        let Some(list) = descriptors.next() else { return Ok(Some(Vec::new())) };
        let mut text = String::new();
        File::from(list)
            .take(MAX_LIST_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| StateError(format!("cannot read the list of state items: {error}")))?;
        let listed = parse_list(&text)?;
        if listed.len() != descriptors.len() {
            let (expected, found) = (descriptors.len(), listed.len());
            return Err(StateError(format!("expected a list of {expected} state items, found {found}")));
        }
        let items = listed.into_iter().zip(descriptors).filter_map(|(listed, fd)| {
            let ListedItem { name, version, contents, length } = listed;
            Some(StateItem { name, version, contents: contents?, length, file: fd.into() })
        });
        let items: Vec<StateItem> = items.collect();
        items.iter().try_for_each(check_length)?;
        Ok(Some(items))
    }
}

/// Checks an item of bytes: a regular file, of the length that the list says.
fn check_length(item: &StateItem) -> Result<(), StateError> {
    if item.contents != StateContents::Bytes {
        return Ok(());
    }
    match item.file.metadata() {
        Ok(found) if found.is_file() && found.len() == item.length => Ok(()),
        Ok(found) => {
            let (name, expected) = (shortened(&item.name), item.length);
            Err(StateError(format!("`{name}`: expected a file of {expected} bytes, found {}", found.len())))
        }
        Err(error) => Err(StateError(format!("`{}`: cannot check the file: {error}", shortened(&item.name)))),
    }
}

#[derive(Debug, PartialEq)]
struct ListedItem {
    name: String,
    version: u32,
    /// `None`: a kind that this version does not know.
    contents: Option<StateContents>,
    length: u64,
}

/// Reads the list. Total: any text is a list or an error.
fn parse_list(text: &str) -> Result<Vec<ListedItem>, StateError> {
    text.split(';').map(parse_list_entry).collect()
}

fn parse_list_entry(text: &str) -> Result<ListedItem, StateError> {
    let expected = || {
        StateError(format!(
            "the list of state items: expected kind,version,length,name, found `{}`",
            shortened(text)
        ))
    };
    let fields: Vec<&str> = text.split(',').collect();
    let [kind, version, length, name] = fields[..] else {
        return Err(expected());
    };
    let contents = match kind {
        "bytes" => Some(StateContents::Bytes),
        "fd" => Some(StateContents::Descriptor),
        "connections" => Some(StateContents::Connections),
        _ => None,
    };
    let name = unescape(name).and_then(|name| String::from_utf8(name).ok()).ok_or_else(expected)?;
    let (version, length) = number(version).zip(number(length)).ok_or_else(expected)?;
    Ok(ListedItem { name, version, contents, length })
}

/// Why the received state is incomplete or invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError(String);

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StateError {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::Received;
    use crate::state_item::StateLimits;

    fn item(name: &str, bytes: &[u8]) -> StateItem {
        let limits = StateLimits::new(1 << 20, Duration::from_secs(60));
        let write =
            |writer: &mut crate::StateWriter| writer.write_all(bytes).map_err(|error| error.to_string());
        StateItem::pack(name, 7, limits, write).unwrap()
    }

    fn receive(channel: &mut Channel, state: &mut State) -> Result<Option<Vec<StateItem>>, StateError> {
        let Received::Message(Message::State { here, of }) = channel.receive().unwrap() else {
            panic!("no STATE");
        };
        state.take(here, of, channel.take_descriptors())
    }

    #[test]
    fn items_with_any_name_and_number_arrive_in_order() {
        let names = ["keys", "", "a,b;c=d %2C\n\0ü", " "];
        let others: Vec<String> = (0..600).map(|number| format!("item {number}")).collect();
        let names: Vec<&str> = names.into_iter().chain(others.iter().map(String::as_str)).collect();
        let mut items: Vec<StateItem> = names.iter().map(|name| item(name, name.as_bytes())).collect();
        items.push(StateItem::descriptor(
            "log",
            StateContents::Descriptor,
            tempfile::tempfile().unwrap().into(),
        ));
        let (one, mut two) = Channel::pair().unwrap();
        one.send_state(&items).unwrap();
        drop(items);
        let mut state = State::default();
        assert!(receive(&mut two, &mut state).unwrap().is_none());
        assert!(receive(&mut two, &mut state).unwrap().is_none());
        let mut arrived = receive(&mut two, &mut state).unwrap().unwrap();
        let log = arrived.pop().unwrap();
        assert_eq!((log.name(), log.contents()), ("log", StateContents::Descriptor));
        for (mut item, name) in arrived.into_iter().zip(names) {
            let mut read = String::new();
            item.read_to_string(&mut read).unwrap();
            assert_eq!((item.name(), item.version(), read.as_str()), (name, 7, name));
        }
        one.send_state(&[]).unwrap();
        assert!(receive(&mut two, &mut State::default()).unwrap().unwrap().is_empty());
    }

    #[test]
    fn an_incomplete_state_is_an_error() {
        let take = |here, of, descriptors: Vec<OwnedFd>| {
            State::default().take(here, of, descriptors).map(drop).unwrap_err().to_string()
        };
        let file = || OwnedFd::from(tempfile::tempfile().unwrap());
        let of = |text: &str| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.seek(SeekFrom::Start(0)).unwrap();
            OwnedFd::from(file)
        };
        assert!(take(2, 2, vec![file()]).starts_with("expected 2 descriptors, found 1: "));
        assert!(take(0, 3, vec![]).starts_with("expected at most 3"));
        assert!(take(1, 4_000_000_000, vec![file()]).starts_with("expected at most"));
        assert!(take(2, 1, vec![file(), file()]).starts_with("expected at most 1"));
        for text in ["", "bytes,1,0", "bytes,-1,0,a", "bytes,1,0,%F", "bytes,1,0,a;"] {
            let error = take(2, 2, vec![of(text), file()]);
            assert!(error.starts_with("the list of state items: expected kind,"), "{text}: {error}");
        }
        let error = take(2, 2, vec![of("bytes,1,0,a;bytes,1,0,b"), file()]);
        assert_eq!(error, "expected a list of 1 state items, found 2");
        assert_eq!(take(2, 2, vec![of("bytes,1,9,a"), file()]), "`a`: expected a file of 9 bytes, found 0");
        let unknown = State::default().take(2, 2, vec![of("unknown,1,9,a"), file()]).unwrap().unwrap();
        assert!(unknown.is_empty(), "an unknown kind is ignored");
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_or_an_error(text in any::<String>()) {
            let _ = parse_list(&text);
        }
    }
}
