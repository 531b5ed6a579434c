//! The paths of Unix sockets: who may make one, replace one, and take one away.

use goagain_env::Address;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Makes a socket at `path` by `make`. What a dead server left there is replaced: the socket is made under a temporary
/// name and renamed, so that `path` is at no time without one, nor, where a mode was asked for, with another mode.
pub(crate) fn bind(
    path: &Path,
    mode: Option<u32>,
    make: impl FnOnce(&Path) -> io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    match fs::symlink_metadata(path) {
        // In place, so that the socket's own name (getsockname) is the path too: a seed's process passes that on.
        Err(error) if error.kind() == io::ErrorKind::NotFound && mode.is_none() => return make(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let message = "something that is no socket is there: move it away";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        Ok(_) if !is_stale(path) => {
            let message = "a server listens there: stop it, or restart it in place of starting another";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        // A dead server left it; the rename replaces it.
        Ok(_) => {}
    }
    let temporary = temporary_name(path);
    if is_stale(&temporary) {
        // Of a process of the same pid that died before its rename: in a container every first one may have it.
        let _ = fs::remove_file(&temporary);
    }
    let socket = make(&temporary)?;
    let chmod = || mode.map_or(Ok(()), |mode| fs::set_permissions(&temporary, Permissions::from_mode(mode)));
    if let Err(error) = chmod().and_then(|()| fs::rename(&temporary, path)) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(socket)
}

/// Short, since a socket's path has 108 bytes at most (unix(7)), and in the same folder, so that a rename suffices.
fn temporary_name(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{:x}", std::process::id()))
}

/// Whether a socket is at `path` that no process holds any longer (ECONNREFUSED).
///
/// It is asked with a socket of datagrams, to which one of another kind that is held answers EPROTOTYPE. So a server's queue
/// does not get a connection that nobody wants, and a queue that is full is not waited for.
pub(crate) fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let connected = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    is_socket && connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The path that a socket of this address has in the file system. An abstract name is none.
pub(crate) fn of(address: &Address) -> Option<&Path> {
    match address {
        Address::Unix(path) | Address::UnixDatagram(path) | Address::UnixSeqpacket(path) => {
            Some(path.as_path()).filter(|path| !path.as_os_str().as_bytes().starts_with(b"@"))
        }
        _ => None,
    }
}

/// Takes a path away whose last holder this was. A server that has taken it over meanwhile listens there, and keeps it.
pub(crate) fn remove_if_stale(path: &Path) {
    if is_stale(path) {
        // It is tidiness only: what is left is replaced by the next to bind there.
        let _ = fs::remove_file(path);
    }
}
