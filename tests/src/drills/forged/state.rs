//! The harness as a predecessor whose state is wrong.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, ensure};
use goagain_env::{Channel, Message, Received};
use nix::sys::socket::{MsgFlags, send};

use super::trial::Trial;
use super::{Expected, Stranger, table};
use crate::drills::Context;

/// What the harness sends instead of a state, on its end of the channel.
type Say = fn(&Channel) -> anyhow::Result<()>;

pub(super) fn torn(context: &Context) -> anyhow::Result<()> {
    let stranger = Stranger::start()?;
    let cases: [(&str, Say, &str); 9] = [
        ("nothing", |_| Ok(()), "the owner did not hand it over"),
        ("half of it", |ours| with(ours, 1, 2, &["bytes,1,0,a"]), "the owner did not hand it over"),
        ("something that is not a message", |ours| raw(ours, &[0xff; 300]), "the owner did not hand it over"),
        ("a torn message", |ours| raw(ours, b"goagain/1 STATE 1"), "the owner did not hand it over"),
        (
            "fewer descriptors than announced",
            |ours| with(ours, 3, 3, &["", ""]),
            "expected 3 descriptors, found 2",
        ),
        ("more than announced", |ours| with(ours, 2, 1, &["", ""]), "expected at most 1 descriptors in all"),
        ("no list", |ours| with(ours, 2, 2, &["\u{0}\u{1}", ""]), "the list of state items: expected"),
        (
            "an item that was truncated",
            |ours| with(ours, 2, 2, &["bytes,1,9,keys", "8 bytes!"]),
            "a file of 9 bytes, found 8",
        ),
        (
            "that it could not be saved",
            |ours| Ok(ours.send(&Message::NoState("too large".into()))?),
            "the owner could not save it: too large",
        ),
    ];
    for (what, say, reason) in cases {
        let (mut ours, theirs) = Channel::pair()?;
        say(&ours)?;
        let mut variables = table::of_ours(stranger.pid());
        variables
            .retain(|(name, _)| !["GOAGAIN_CHANNEL", "GOAGAIN_DESCRIPTORS", "GOAGAIN_PPID"].contains(name));
        let link = format!("{} state=1", table::channel(7, std::process::id() as i32));
        variables.extend([
            ("GOAGAIN_CHANNEL", link.into()),
            ("GOAGAIN_DESCRIPTORS", "".into()),
            ("GOAGAIN_PPID", std::process::id().to_string().into()),
        ]);
        let seventh = Some(seventh(theirs)?);
        let trial = Trial { variables, seventh, by_its_parent: false };
        trial.run(context, Expected::Refused("the state")).context(what)?;
        let failed = match ours.receive()? {
            Received::Message(Message::Failed(failed)) => failed,
            other => anyhow::bail!("{what}: expected FAILED, found {other:?}"),
        };
        ensure!(failed.contains(reason), "{what}: expected `{reason}`, found `{failed}`");
    }
    stranger.is_alive()
}

/// Returns the other end as a separate descriptor, which the trial can close.
fn seventh(channel: Channel) -> anyhow::Result<OwnedFd> {
    Ok(channel.as_fd().try_clone_to_owned()?)
}

fn raw(channel: &Channel, bytes: &[u8]) -> anyhow::Result<()> {
    use std::os::fd::AsRawFd as _;
    send(channel.as_raw_fd(), bytes, MsgFlags::empty())?;
    Ok(())
}

/// Sends a STATE that announces this many, with files of these texts.
fn with(channel: &Channel, here: u32, of: u32, texts: &[&str]) -> anyhow::Result<()> {
    let files = texts.iter().map(|text| {
        let mut file = tempfile::tempfile()?;
        file.write_all(text.as_bytes())?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    });
    let files: Vec<File> = files.collect::<anyhow::Result<_>>()?;
    let descriptors: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
    Ok(channel.send_with(&Message::State { here, of }, &descriptors)?)
}
