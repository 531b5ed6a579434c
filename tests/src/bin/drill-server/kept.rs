//! Descriptors that are not listeners: a file, a memfd, a pipe and a connection. Each contains the number of the generation that
//! had it last.

use anyhow::Context as _;
use goagain::Goagain;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::pipe;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// Takes them over, or creates them, writes this generation's number into each, and returns what was in them: 0 in new ones.
pub(crate) fn carry_over(again: &mut Goagain) -> anyhow::Result<Value> {
    let mut found = Map::new();
    let number = again.generation().to_le_bytes();
    for name in ["file", "memfd"] {
        let file = match again.kept_fd(name) {
            Some(fd) => File::from(fd),
            None if name == "memfd" => memfd_create(name, MFdFlags::MFD_CLOEXEC)?.into(),
            None => tempfile::tempfile()?,
        };
        let mut before = [0; 8];
        file.read_at(&mut before, 0)?;
        file.write_all_at(&number, 0)?;
        found.insert(name.into(), u64::from_le_bytes(before).into());
        again.keep_fd(name, file)?;
    }
    for (name, ends) in
        [("pipe", ["pipe out", "pipe in"]), ("connection", ["connection out", "connection in"])]
    {
        let (out, into, is_new) = match ends.map(|end| again.kept_fd(end)) {
            [Some(out), Some(into)] => (out, into, false),
            _ if name == "pipe" => {
                let (out, into) = pipe()?;
                (out, into, true)
            }
            _ => {
                let (out, into) = connection()?;
                (out, into, true)
            }
        };
        let mut before = [0; 8];
        if !is_new {
            File::from(out.try_clone()?).read_exact(&mut before).context(name)?;
        }
        File::from(into.try_clone()?).write_all(&number).context(name)?;
        found.insert(name.into(), u64::from_le_bytes(before).into());
        for (end, fd) in ends.into_iter().zip([out, into]) {
            again.keep_fd(end, fd)?;
        }
    }
    Ok(Value::Object(found))
}

fn connection() -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((listener.accept()?.0.into(), client.into()))
}
