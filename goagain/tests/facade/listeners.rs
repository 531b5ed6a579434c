//! Listeners and kept descriptors: their names and addresses, and the errors.

use crate::support::{address, server};
use goagain::Address;
use goagain::error::ListenError;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// Returns the error text for an address that cannot be bound.
fn refused(address: &str) -> String {
    server().listen("http", address).unwrap_err().to_string()
}

#[test]
fn port_zero_is_a_port_that_the_system_chooses() {
    let mut again = server();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    assert_eq!((http.name(), http.is_inherited()), ("http", false));
    assert_ne!(address(&http).port(), 0);
    assert_eq!(http.local_addr().to_string(), format!("tcp:{}", address(&http)));
    TcpStream::connect(address(&http)).unwrap();
}

#[test]
fn each_way_to_give_an_address() {
    let mut again = server();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.sock");
    again.listen("by text", "127.0.0.1:0").unwrap();
    again.listen("by host", "localhost:0").unwrap();
    again.listen_tcp("by address", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    again.listen_tcp("by parts", ("127.0.0.1", 0)).unwrap();
    again.bind("by choice").backlog(1).tcp("127.0.0.1:0").unwrap();
    again.bind("out of range").backlog(i32::MAX).tcp("127.0.0.1:0").unwrap();
    let unix = again.listen("by path", &format!("unix:{}", path.display())).unwrap();
    assert_eq!(unix.local_addr(), &Address::Unix(path));
}

#[test]
fn ipv6() {
    // Some machines do not have it.
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return;
    }
    let mut again = server();
    let http = again.listen("http", "[::1]:0").unwrap();
    assert!(address(&http).is_ipv6());
    TcpStream::connect(address(&http)).unwrap();
}

#[test]
fn a_text_that_is_not_an_address_is_named() {
    for given in
        ["", "127.0.0.1", "http", "unix:", "[::1]", ":80", "127.0.0.1:http", "127.0.0.1:65536", "/run/x.sock"]
    {
        let error = server().listen("http", given).unwrap_err();
        assert!(matches!(error, ListenError::Address { .. }), "{given}");
        let expected = "expected an address like `127.0.0.1:80` or `unix:/run/http.sock`, found";
        assert_eq!(error.to_string(), format!("{expected} `{given}`"));
        assert!(error.source().is_none());
    }
}

#[test]
fn an_address_that_cannot_be_bound_is_named_with_the_os_error() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let error = server().listen("http", &taken.to_string()).unwrap_err();
    let ListenError::Bind { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.kind(), ErrorKind::AddrInUse);
    assert_eq!(error.to_string(), format!("cannot bind `http` to tcp:{taken}: {source}"));
    assert!(error.source().is_none(), "the text has it already");

    // Reserved for documentation, so no machine has it (RFC 5737).
    assert!(refused("192.0.2.1:0").starts_with("cannot bind `http` to tcp:192.0.2.1:0: "));
    let nowhere: &[SocketAddr] = &[];
    let error = server().listen_tcp("http", nowhere).unwrap_err();
    assert!(matches!(error, ListenError::Bind { address: None, .. }));
    let error = server().listen_tcp("http", "127.0.0.1").unwrap_err();
    assert_eq!(error.to_string(), "cannot bind `http`: invalid socket address");
}

#[test]
fn a_name_is_used_once() {
    let mut again = server();
    again.listen("http", "127.0.0.1:0").unwrap();
    let (one, other) = UnixStream::pair().unwrap();
    for error in [
        again.listen("http", "127.0.0.1:0").unwrap_err(),
        again.bind("http").unix("/nonexistent/http.sock").unwrap_err(),
        again.keep_fd("http", one).unwrap_err(),
    ] {
        assert!(matches!(&error, ListenError::NameTaken { name } if name == "http"));
        assert_eq!(
            error.to_string(),
            "the name `http` is already in use in this process: give each socket and descriptor a name of its own"
        );
    }
    again.keep_fd("cache", other).unwrap();
    assert!(matches!(again.listen("cache", "127.0.0.1:0").unwrap_err(), ListenError::NameTaken { .. }));
}

#[test]
fn a_failed_bind_leaves_the_name_free() {
    let mut again = server();
    again.listen("http", "192.0.2.1:0").unwrap_err();
    again.listen("http", "127.0.0.1:0").unwrap();
}

#[test]
fn a_kept_descriptor_stays_open_and_is_not_returned_to_its_own_process() {
    let mut again = server();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    again.keep_fd("cache", ours.as_fd().try_clone_to_owned().unwrap()).unwrap();
    drop(ours);
    assert!(again.kept_fd("cache").is_none());
    assert!(again.kept_fd("never").is_none());
    theirs.write_all(b"?").unwrap();
    drop(again);
    assert!(matches!(theirs.read(&mut [0]), Ok(0) | Err(_)), "it is closed with the server");
}

#[test]
fn duplicates_are_non_blocking_and_of_the_right_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.sock");
    let mut again = server();
    let tcp = again.listen("tcp", "127.0.0.1:0").unwrap();
    let unix = again.listen_unix("unix", &path).unwrap();
    assert_eq!(tcp.to_std_tcp().unwrap().accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(unix.to_std_unix().unwrap().accept().unwrap_err().kind(), ErrorKind::WouldBlock);

    let error = tcp.to_std_unix().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        format!("the listener `tcp` is tcp:{}, expected a Unix socket", address(&tcp))
    );
    let error = unix.to_std_tcp().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        format!("the listener `unix` is unix:{}, expected a TCP socket", path.display())
    );
}
