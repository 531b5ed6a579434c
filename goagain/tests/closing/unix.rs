//! Unix sockets: the path is created, stays while a process holds the socket, and is removed by the last one.

use crate::support::{assert_answered, echo, server, soon};
use goagain::error::ListenError;
use goagain::{Address, Finish, Goagain, Listener};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("http.sock")
    }

    fn entries(&self) -> usize {
        fs::read_dir(self.0.path()).unwrap().count()
    }
}

fn owner(path: &Path) -> (Goagain, Listener) {
    let mut again = server();
    let http = again.listen_unix("http", path).unwrap();
    again.ready().unwrap();
    (again, http)
}

/// Returns the kind of the error, and the text after the path.
fn refused(path: &Path) -> (ErrorKind, String) {
    let error = server().listen_unix("http", path).unwrap_err();
    let text = error.to_string();
    let ListenError::Bind { name, address, source } = error else { panic!("expected Bind, found {text}") };
    assert_eq!((name.as_str(), address), ("http", Some(Address::Unix(path.to_owned()))));
    let begin = format!("cannot bind `http` to unix:{}: ", path.display());
    (source.kind(), text.strip_prefix(&begin).unwrap_or(&text).to_owned())
}

#[test]
fn the_path_is_created_and_removed_after_a_graceful_stop() {
    let folder = Folder::new();
    let path = folder.socket();
    let (mut again, http) = owner(&path);
    assert_eq!(http.local_addr(), &Address::Unix(path.clone()));
    let accepting = echo(http.acceptor().unwrap());
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"?").unwrap();
    assert_answered(client);
    again.handle().stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        assert_eq!(accepting.join().unwrap(), 1);
        assert_eq!(again.finish().unwrap(), Finish::Exit);
        assert_eq!(folder.entries(), 0);
    });
}

#[test]
fn the_path_is_removed_although_nothing_waits_for_the_acceptors() {
    for _ in 0..20 {
        let folder = Folder::new();
        let (mut again, http) = owner(&folder.socket());
        for _ in 0..16 {
            echo(http.acceptor().unwrap());
        }
        again.handle().stop_now();
        again.wait().unwrap();
        again.finish().unwrap();
        assert_eq!(folder.entries(), 0);
    }
}

#[test]
fn the_path_is_removed_by_a_drop_after_a_stop_now() {
    let folder = Folder::new();
    let (mut again, _http) = owner(&folder.socket());
    again.handle().stop_now();
    again.wait().unwrap();
    assert!(folder.socket().exists());
    drop(again);
    assert_eq!(folder.entries(), 0);
}

#[test]
fn the_path_stays_while_a_duplicate_is_open_and_is_removed_by_the_last_try() {
    let folder = Folder::new();
    let (mut again, http) = owner(&folder.socket());
    let duplicate = http.to_std_unix().unwrap();
    again.handle().stop_now();
    again.wait().unwrap();
    again.finish().unwrap();
    assert!(folder.socket().exists(), "the duplicate still listens there");
    drop(duplicate);
    drop(again);
    assert_eq!(folder.entries(), 0);
}

#[test]
fn the_path_of_another_server_that_has_taken_it_over_stays() {
    let folder = Folder::new();
    let (mut again, _http) = owner(&folder.socket());
    fs::remove_file(folder.socket()).unwrap();
    let _other = UnixListener::bind(folder.socket()).unwrap();
    again.handle().stop_now();
    again.wait().unwrap();
    again.finish().unwrap();
    assert!(UnixStream::connect(folder.socket()).is_ok());
}

#[test]
fn a_file_that_has_taken_over_the_path_stays() {
    let folder = Folder::new();
    let (mut again, _http) = owner(&folder.socket());
    fs::remove_file(folder.socket()).unwrap();
    fs::write(folder.socket(), "precious").unwrap();
    again.handle().stop_now();
    again.wait().unwrap();
    again.finish().unwrap();
    assert_eq!(fs::read_to_string(folder.socket()).unwrap(), "precious");
}

#[test]
fn the_socket_of_a_dead_server_is_replaced() {
    let folder = Folder::new();
    drop(UnixListener::bind(folder.socket()).unwrap());
    // And the one that a process of the same pid left that died before its rename.
    drop(UnixListener::bind(folder.0.path().join(format!(".{:x}", std::process::id()))).unwrap());
    let (_again, http) = owner(&folder.socket());
    assert!(!http.is_inherited());
    assert_eq!(folder.entries(), 1);
    assert!(UnixStream::connect(folder.socket()).is_ok());
}

#[test]
fn a_live_server_keeps_its_path_and_gets_no_connection() {
    let folder = Folder::new();
    let live = UnixListener::bind(folder.socket()).unwrap();
    let text = "another server listens there: stop it, or restart it instead of starting a second one";
    assert_eq!(refused(&folder.socket()), (ErrorKind::AddrInUse, text.to_owned()));
    live.set_nonblocking(true).unwrap();
    assert_eq!(live.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(folder.entries(), 1);
}

#[test]
fn a_live_server_with_a_full_queue_is_not_waited_for() {
    let folder = Folder::new();
    let (mut again, path) = (server(), folder.socket());
    let _http = again.bind("http").backlog(0).unix(&path).unwrap();
    let _queue = fill(&path);
    soon(move || assert_eq!(refused(&folder.socket()).0, ErrorKind::AddrInUse));
}

#[test]
fn backlog_is_the_length_of_the_queue() {
    let folder = Folder::new();
    let mut again = server();
    let path = folder.socket();
    let _http = again.bind("http").backlog(3).unix(&path).unwrap();
    // On Linux, one more than the backlog may wait.
    assert!((3..=4).contains(&fill(&path).len()));
}

#[test]
fn a_file_is_not_replaced() {
    let folder = Folder::new();
    let path = folder.socket();
    fs::write(&path, "precious").unwrap();
    let text = "the path exists and is not a socket: remove it, or use another path";
    assert_eq!(refused(&path), (ErrorKind::AlreadyExists, text.to_owned()));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn os_errors_are_passed_on() {
    let folder = Folder::new();
    assert_eq!(refused(&folder.0.path().join("no/such/http.sock")).0, ErrorKind::NotFound);
    assert_eq!(refused(&folder.0.path().join("x".repeat(200))).0, ErrorKind::InvalidInput);
}

#[test]
fn fail_and_drop_before_ready_close_the_sockets() {
    for end in [|again: Goagain| again.fail("no database"), |again: Goagain| drop(again)] {
        let folder = Folder::new();
        let mut again = server();
        let http = again.listen_unix("http", folder.socket()).unwrap();
        UnixStream::connect(folder.socket()).unwrap();
        end(again);
        drop(http);
        assert_is_closed(&folder.socket());
    }
}

#[test]
fn after_a_stop_the_listeners_are_closed_despite_handles() {
    let folder = Folder::new();
    let (mut again, http) = owner(&folder.socket());
    let also = http.clone();
    again.handle().stop_now();
    again.wait().unwrap();
    for listener in [&http, &also] {
        let closed =
            [listener.to_std_tcp().map(drop).unwrap_err(), listener.to_std_unix().map(drop).unwrap_err()];
        for error in closed {
            assert_eq!(error.kind(), ErrorKind::NotConnected);
            assert_eq!(error.to_string(), "the socket `http` is closed: this process no longer serves it");
        }
    }
    assert_is_closed(&folder.socket());
}

fn assert_is_closed(path: &Path) {
    assert_eq!(UnixStream::connect(path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// Connects until the queue is full.
fn fill(path: &Path) -> Vec<OwnedFd> {
    let address = UnixAddr::new(path).unwrap();
    let client = || socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
    let connected = std::iter::repeat_with(|| {
        let client = client();
        let client = UnixStream::from(client);
        client.set_nonblocking(true).unwrap();
        connect(client.as_raw_fd(), &address).map(|()| client.into())
    });
    connected.take(100).map_while(Result::ok).collect()
}
