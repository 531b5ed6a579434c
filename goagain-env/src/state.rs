//! The state that a new image is handed: parcels, over the channel.
//!
//! STATE packets carry the descriptors. The first of all is a file that lists the others, as in
//! "bytes,3,1048576,tickets;fd,0,0,log": what it holds, its version, its length in bytes, its name, escaped as in an address
//! of the web.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::handoff::{escape, number, shortened, unescape};
use crate::parcel::{StateContents, StateItem};
use crate::{Channel, Message, sys};

/// More than any server has.
const MOST_PARCELS: u32 = 10_000;

/// Longer than a list of that many names need be, in bytes.
const LONGEST_LIST: u64 = 16 << 20;

impl Channel {
    /// Sends the state, in as many STATE packets as it takes; without parcels that is one, which says so.
    ///
    /// # Errors
    /// Those of [`send_with`](Channel::send_with), and of making the list.
    pub fn send_state(&self, parcels: &[StateItem]) -> io::Result<()> {
        if parcels.is_empty() {
            return self.send(&Message::State { here: 0, of: 0 });
        }
        let list = list(parcels)?;
        let all: Vec<BorrowedFd<'_>> =
            [list.as_fd()].into_iter().chain(parcels.iter().map(AsFd::as_fd)).collect();
        let of = u32::try_from(all.len()).ok().filter(|of| *of <= MOST_PARCELS);
        let of = of.ok_or_else(|| {
            let (most, found) = (MOST_PARCELS - 1, parcels.len());
            let text =
                format!("expected at most {most} parcels, found {found}: offer fewer, and larger ones");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        all.chunks(sys::MOST_WITH_A_FRAME)
            .try_for_each(|some| self.send_with(&Message::State { here: some.len() as u32, of }, some))
    }
}

fn list(parcels: &[StateItem]) -> io::Result<File> {
    let mut text = String::new();
    for StateItem { name, version, contents, length, .. } in parcels {
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
    let mut file = File::from(sys::nameless_file()?);
    file.write_all(text.as_bytes())?;
    file.seek(SeekFrom::Start(0))?;
    sys::seal(&file)?;
    Ok(file)
}

/// Puts the state together again, packet by packet.
#[derive(Debug, Default)]
pub struct State {
    descriptors: Vec<OwnedFd>,
}

impl State {
    /// Takes what came with one STATE; gives the parcels once all are there. Of what this version does not know, nothing is
    /// given.
    ///
    /// # Errors
    /// [`StateError`]: descriptors are missing, or the list does not fit them. All are closed.
    pub fn take(
        &mut self,
        here: u32,
        of: u32,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Option<Vec<StateItem>>, StateError> {
        if descriptors.len() != here as usize {
            let found = descriptors.len();
            return Err(StateError(format!(
                "expected {here} descriptors, found {found}: this process may not have more, so raise RLIMIT_NOFILE"
            )));
        }
        self.descriptors.extend(descriptors);
        let found = self.descriptors.len();
        if of > MOST_PARCELS || found > of as usize || (here == 0 && of != 0) {
            return Err(StateError(format!("expected at most {of} descriptors in all, found {found}")));
        }
        if found < of as usize {
            return Ok(None);
        }
        let mut descriptors = std::mem::take(&mut self.descriptors).into_iter();
        let Some(list) = descriptors.next() else { return Ok(Some(Vec::new())) };
        let mut text = String::new();
        File::from(list)
            .take(LONGEST_LIST)
            .read_to_string(&mut text)
            .map_err(|error| StateError(format!("the list of parcels cannot be read: {error}")))?;
        let listed = listed(&text)?;
        if listed.len() != descriptors.len() {
            let (expected, found) = (descriptors.len(), listed.len());
            return Err(StateError(format!("expected a list of {expected} parcels, found {found}")));
        }
        let parcels = listed.into_iter().zip(descriptors).filter_map(|(listed, fd)| {
            let Listed { name, version, contents, length } = listed;
            Some(StateItem { name, version, contents: contents?, length, file: fd.into() })
        });
        let parcels: Vec<StateItem> = parcels.collect();
        parcels.iter().try_for_each(is_whole)?;
        Ok(Some(parcels))
    }
}

/// Bytes are as many as were written, and a file's.
fn is_whole(parcel: &StateItem) -> Result<(), StateError> {
    if parcel.contents != StateContents::Bytes {
        return Ok(());
    }
    match parcel.file.metadata() {
        Ok(found) if found.is_file() && found.len() == parcel.length => Ok(()),
        Ok(found) => {
            let (name, expected) = (shortened(&parcel.name), parcel.length);
            Err(StateError(format!("`{name}`: expected a file of {expected} bytes, found {}", found.len())))
        }
        Err(error) => Err(StateError(format!("`{}`: cannot be looked at: {error}", shortened(&parcel.name)))),
    }
}

#[derive(Debug, PartialEq)]
struct Listed {
    name: String,
    version: u32,
    /// `None`: of a kind that this version does not know.
    contents: Option<StateContents>,
    length: u64,
}

/// Reads the list. Total: any text is a list or an error.
fn listed(text: &str) -> Result<Vec<Listed>, StateError> {
    text.split(';').map(listed_one).collect()
}

fn listed_one(text: &str) -> Result<Listed, StateError> {
    let expected = || {
        StateError(format!(
            "the list of parcels: expected kind,version,length,name, found `{}`",
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
    Ok(Listed { name, version, contents, length })
}

/// Why a state is not whole.
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
    use crate::parcel::StateLimits;

    fn parcel(name: &str, bytes: &[u8]) -> StateItem {
        let allowance = StateLimits::new(1 << 20, Duration::from_secs(60));
        let write =
            |writer: &mut crate::StateWriter| writer.write_all(bytes).map_err(|error| error.to_string());
        StateItem::pack(name, 7, allowance, write).unwrap()
    }

    fn receive(channel: &mut Channel, state: &mut State) -> Result<Option<Vec<StateItem>>, StateError> {
        let Received::Message(Message::State { here, of }) = channel.receive().unwrap() else {
            panic!("no STATE");
        };
        state.take(here, of, channel.take_descriptors())
    }

    #[test]
    fn parcels_of_any_name_and_number_arrive_in_order() {
        let names = ["keys", "", "a,b;c=d %2C\n\0ü", " "];
        let others: Vec<String> = (0..600).map(|number| format!("parcel {number}")).collect();
        let names: Vec<&str> = names.into_iter().chain(others.iter().map(String::as_str)).collect();
        let mut parcels: Vec<StateItem> = names.iter().map(|name| parcel(name, name.as_bytes())).collect();
        parcels.push(StateItem::descriptor(
            "log",
            StateContents::Descriptor,
            tempfile::tempfile().unwrap().into(),
        ));
        let (one, mut two) = Channel::pair().unwrap();
        one.send_state(&parcels).unwrap();
        drop(parcels);
        let mut state = State::default();
        assert!(receive(&mut two, &mut state).unwrap().is_none());
        assert!(receive(&mut two, &mut state).unwrap().is_none());
        let mut arrived = receive(&mut two, &mut state).unwrap().unwrap();
        let log = arrived.pop().unwrap();
        assert_eq!((log.name(), log.contents()), ("log", StateContents::Descriptor));
        for (mut parcel, name) in arrived.into_iter().zip(names) {
            let mut read = String::new();
            parcel.read_to_string(&mut read).unwrap();
            assert_eq!((parcel.name(), parcel.version(), read.as_str()), (name, 7, name));
        }
        one.send_state(&[]).unwrap();
        assert!(receive(&mut two, &mut State::default()).unwrap().unwrap().is_empty());
    }

    #[test]
    fn what_is_torn_is_an_error() {
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
            assert!(error.starts_with("the list of parcels: expected kind,"), "{text}: {error}");
        }
        let error = take(2, 2, vec![of("bytes,1,0,a;bytes,1,0,b"), file()]);
        assert_eq!(error, "expected a list of 1 parcels, found 2");
        assert_eq!(take(2, 2, vec![of("bytes,1,9,a"), file()]), "`a`: expected a file of 9 bytes, found 0");
        let unknown = State::default().take(2, 2, vec![of("dream,1,9,a"), file()]).unwrap().unwrap();
        assert!(unknown.is_empty(), "what this version does not know is passed over");
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(text in any::<String>()) {
            let _ = listed(&text);
        }
    }
}
