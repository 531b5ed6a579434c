//! The streams of an acceptor, over TCP and over a Unix socket.

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

#[test]
fn closing_waits_for_a_client_that_still_sends() {
    let (again, http) = crate::support::owner();
    let connections = again.connections();
    let mut client = TcpStream::connect(address(&http)).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(b"?").unwrap();
    let (mut stream, guard) = http.acceptor().unwrap().next().unwrap().unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let answer = vec![b'!'; 4 << 20];
    let expected = answer.len();
    let closing = std::thread::spawn(move || {
        stream.write_all(&answer).unwrap();
        stream.close(guard);
    });
    // More than the server has read: if it closed without waiting, the kernel would send a reset.
    let mut chunk = [0; 16 * 1024];
    let mut read = 0;
    while read < expected {
        client.write_all(b"more").unwrap();
        read += client.read(&mut chunk).unwrap();
    }
    assert_eq!(client.read(&mut chunk).unwrap(), 0);
    assert!(!closing.is_finished() || connections.is_empty());
    drop(client);
    closing.join().unwrap();
    assert!(connections.is_empty());
}

#[test]
fn the_last_response_is_the_one_after_which_nothing_has_come() {
    let (mut again, http) = crate::support::owner();
    let mut client = TcpStream::connect(address(&http)).unwrap();
    client.write_all(b"12").unwrap();
    let (mut stream, guard) = http.acceptor().unwrap().next().unwrap().unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    assert!(!guard.should_close(&stream, b""), "it is not draining");
    again.handle().stop_gracefully();
    again.step();
    assert!(!guard.should_close(&stream, b""), "the second request waits in the socket");
    stream.read_exact(&mut byte).unwrap();
    assert!(!guard.should_close(&stream, b"3"), "the third request was read");
    assert!(guard.should_close(&stream, b""));
}
