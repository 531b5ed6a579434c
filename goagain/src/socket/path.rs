//! The paths of Unix sockets: when one is created, replaced and removed.

use goagain_env::Address;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Makes a socket at `path` with `make`. A socket that a dead server has left there is replaced: the new one is made under a
/// temporary name and renamed. So there is a socket at `path` at all times, and never one with another mode than `mode`.
pub(crate) fn bind(
    path: &Path,
    mode: Option<u32>,
    make: impl FnOnce(&Path) -> io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    match fs::symlink_metadata(path) {
        // Without a rename, the name of the socket itself (getsockname) is the path too. A Go process passes that name on.
        Err(error) if error.kind() == io::ErrorKind::NotFound && mode.is_none() => return make(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let message = "the path exists and is not a socket: remove it, or use another path";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        Ok(_) if !is_stale(path) => {
            let message =
                "another server listens there: stop it, or restart it instead of starting a second one";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        // A dead server has left it. The rename replaces it.
        Ok(_) => {}
    }
    let temporary = temporary_name(path);
    if is_stale(&temporary) {
        // Left by a process of the same pid that died before its rename. In a container the first process always has the same pid.
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

/// Returns a name that is short, since the path of a socket has at most 108 bytes (unix(7)), and in the same directory, so that a
/// rename works.
fn temporary_name(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{:x}", std::process::id()))
}

/// Returns whether there is a socket at `path` that no process holds any longer (ECONNREFUSED).
///
/// This connects a datagram socket. If `path` belongs to a live socket of another kind, the error is EPROTOTYPE. So no useless
/// connection enters the queue of a server, and a full queue does not make this wait.
pub(crate) fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let connected = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    is_socket && connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Returns the path that a socket of this address has in the file system. An abstract name is not a path.
pub(crate) fn of(address: &Address) -> Option<&Path> {
    match address {
        Address::Unix(path) | Address::UnixDatagram(path) | Address::UnixSeqpacket(path) => {
            Some(path.as_path()).filter(|path| !path.as_os_str().as_bytes().starts_with(b"@"))
        }
        _ => None,
    }
}

/// Removes the path of a Unix socket if no process holds the socket any longer. A path at which another server listens by now
/// stays.
pub(crate) fn remove_if_stale(path: &Path) {
    if is_stale(path) {
        // This is tidiness only: the next server that binds the path replaces what is left.
        let _ = fs::remove_file(path);
    }
}
