//! What an acceptor yields, over TCP and over a Unix socket.

use crate::support::{SOON, address, server};
use goagain::Stream;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn speak(mut client: impl Read + Write, mut stream: Stream) {
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    client.write_all(b"ping").unwrap();
    let mut word = [0; 4];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"ping");

    let second = stream.try_clone().unwrap();
    (&second).write_all(b"po").unwrap();
    assert_eq!(stream.write_vectored(&[IoSlice::new(b"n"), IoSlice::new(b"g")]).unwrap(), 2);
    stream.flush().unwrap();
    client.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"pong");

    second.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert!(matches!(
        (&second).read(&mut word).unwrap_err().kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    assert_eq!(second.set_write_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);

    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut word).unwrap(), 0);

    assert!(stream.as_fd().try_clone_to_owned().is_ok());
    drop(OwnedFd::from(stream));
}

#[test]
fn over_tcp() {
    let mut again = server();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    again.ready().unwrap();
    let client = TcpStream::connect(address(&http)).unwrap();
    let (stream, _guard) = http.acceptor().unwrap().next().unwrap().unwrap();
    assert!(matches!(stream, Stream::Tcp(_)));
    speak(client, stream);
}

#[test]
fn over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.sock");
    let mut again = server();
    let http = again.listen_unix("http", &path).unwrap();
    again.ready().unwrap();
    let client = UnixStream::connect(&path).unwrap();
    let (stream, _guard) = http.acceptor().unwrap().next().unwrap().unwrap();
    assert!(matches!(stream, Stream::Unix(_)));
    speak(client, stream);
}
