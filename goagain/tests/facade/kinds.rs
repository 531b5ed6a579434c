//! Every kind of socket, and the options of a new one.

use crate::support::{SOON, address, assert_answered, echo, server, soon};
use goagain::error::ListenError;
use goagain::socket::{Datagrams, Peer};
use goagain::{Address, Goagain, Listener};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrLike, UnixAddr, connect, getsockopt, setsockopt, socket,
    sockopt,
};
use std::cell::Cell;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::thread;

/// A client of a Unix socket of any kind, connected to a path, or to an abstract name after an `@`.
fn unix_client(kind: SockType, path: &Path) -> UnixStream {
    let client: OwnedFd = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let address: Box<dyn SockaddrLike> = match path.to_str().unwrap().strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => Box::new(UnixAddr::new_abstract(name.as_bytes()).unwrap()),
        _ => Box::new(UnixAddr::new(path).unwrap()),
    };
    connect(client.as_raw_fd(), &*address).unwrap();
    let client = UnixStream::from(client);
    client.set_read_timeout(Some(SOON)).unwrap();
    client
}

fn answers(again: &mut Goagain, listener: &Listener, mut client: impl Read + Write) {
    again.ready().unwrap();
    echo(listener.acceptor().unwrap());
    client.write_all(b"?").unwrap();
    assert_answered(client);
}

/// Whether the machine has IPv6.
fn has_v6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[test]
fn packets_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packets");
    let mut again = server();
    let packets = again.bind("packets").unix_seqpacket(&path).unwrap();
    assert_eq!(packets.local_addr(), &Address::UnixSeqpacket(path.clone()));
    assert!(packets.to_owned_seqpacket().is_ok());
    assert_eq!(packets.to_std_unix().unwrap_err().kind(), ErrorKind::InvalidInput);
    let mut client = unix_client(SockType::SeqPacket, &path);
    again.ready().unwrap();
    let (mut stream, _guard) = packets.acceptor().unwrap().next().unwrap().unwrap();
    client.write_all(b"one").unwrap();
    client.write_all(b"other").unwrap();
    let mut packet = [0; 16];
    assert_eq!(stream.read(&mut packet).unwrap(), 3, "each read is one packet");
    assert_eq!(
        stream.try_clone().unwrap().read(&mut packet[..2]).unwrap(),
        2,
        "truncated to the length of the buffer"
    );
    drop(client);
    assert_eq!(stream.read(&mut packet).unwrap(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names() {
    let name = format!("@goagain-{}", std::process::id());
    let mut again = server();
    let http = again.listen("http", &format!("unix:{name}")).unwrap();
    assert_eq!(http.local_addr(), &Address::Unix((&name).into()));
    let error = server().listen_unix("http", &name).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot bind `http` to unix:{name}: ")), "{error}");
    answers(&mut again, &http, unix_client(SockType::Stream, name.as_ref()));
    assert!(!Path::new(&name).exists());
}

fn udp_address(datagrams: &Datagrams) -> SocketAddr {
    match datagrams.local_addr() {
        Address::Udp(address) => *address,
        other => panic!("expected a UDP address, found {other}"),
    }
}

#[test]
fn datagrams_are_read_by_the_owner_until_its_term_ends() {
    let mut again = server();
    let udp = again.bind("udp").udp("127.0.0.1:0").unwrap();
    assert_eq!((udp.name(), udp.is_inherited()), ("udp", false));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.send_to(b"early", udp_address(&udp)).unwrap();
    let error = udp.receiver().unwrap_err();
    assert_eq!(error.to_string(), "not ready yet: call `ready` before making a receiver");

    again.ready().unwrap();
    let receiver = udp.receiver().unwrap();
    assert!(receiver.wait().unwrap());
    let mut datagram = [0; 16];
    let (length, peer, guard) = receiver.recv_from(&mut datagram).unwrap().unwrap();
    assert_eq!(&datagram[..length], b"early");
    assert_eq!((again.connections().len(), again.connections().waiting()), (1, 0));
    receiver.send_to(b"late", &peer).unwrap();
    assert_eq!(client.recv(&mut datagram).unwrap(), 4);
    let stranger = UnixDatagram::unbound().unwrap().local_addr().unwrap();
    assert_eq!(receiver.send_to(b"", &Peer::Unix(stranger)).unwrap_err().kind(), ErrorKind::InvalidInput);
    drop(guard);

    let waiting = thread::spawn(move || (receiver.recv_from(&mut [0; 16]).unwrap().is_none(), receiver));
    again.handle().stop_gracefully();
    again.wait().unwrap();
    let (ended, receiver) = soon(|| waiting.join().unwrap());
    assert!(ended);
    client.send_to(b"after", udp_address(&udp)).unwrap();
    assert!(!receiver.wait().unwrap(), "what comes now is left to the successor");
    assert!(udp.receiver().unwrap().recv_from(&mut [0; 16]).unwrap().is_none());
}

#[test]
fn unix_datagrams() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut again = server();
    let log = again.bind("log").unix_datagram(&path).unwrap();
    assert_eq!(log.local_addr(), &Address::UnixDatagram(path.clone()));
    assert_eq!(log.to_std_udp().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(log.to_std_unix().is_ok());
    let error = server().bind("log").unix_datagram(&path).unwrap_err();
    assert!(error.to_string().contains("another server listens there"), "{error}");

    again.ready().unwrap();
    let receiver = log.receiver().unwrap();
    let mut datagram = [0; 16];
    UnixDatagram::unbound().unwrap().send_to(b"unnamed", &path).unwrap();
    let (_, unnamed, _guard) = receiver.recv_from(&mut datagram).unwrap().unwrap();
    assert_eq!(receiver.send_to(b"?", &unnamed).unwrap_err().kind(), ErrorKind::InvalidInput);
    let client = UnixDatagram::bind(folder.path().join("client")).unwrap();
    client.send_to(b"a name", &path).unwrap();
    let (_, named, _guard) = receiver.recv_from(&mut datagram).unwrap().unwrap();
    receiver.send_to(b"answer", &named).unwrap();
    assert_eq!(client.recv(&mut datagram).unwrap(), 6);

    drop(receiver);
    again.handle().stop_now();
    again.wait().unwrap();
    again.finish().unwrap();
    assert!(log.to_std_unix().is_err());
    assert!(!path.exists(), "the last owner removes the path");
}

#[test]
fn ipv4_and_ipv6() {
    if !has_v6() {
        return;
    }
    let v4 = |listener: &Listener| TcpStream::connect(("127.0.0.1", address(listener).port()));
    let mut again = server();
    let both = again.bind("both").v6only(false).tcp("[::]:0").unwrap();
    let six = again.bind("six").v6only(true).tcp("[::]:0").unwrap();
    // IPv4 does not have this option.
    again.bind("four").v6only(true).tcp("127.0.0.1:0").unwrap();
    TcpStream::connect((Ipv6Addr::LOCALHOST, address(&six).port())).unwrap();
    assert!(v4(&six).is_err());
    TcpStream::connect((Ipv6Addr::LOCALHOST, address(&both).port())).unwrap();
    let client = v4(&both).unwrap();
    // The two clients before it are closed without an answer.
    answers(&mut again, &both, client);
}

#[test]
fn a_group_shares_one_address() {
    let mut again = server();
    let group = again.bind("http").tcp_group("127.0.0.1:0", 3).unwrap();
    let names: Vec<_> = group.iter().map(Listener::name).collect();
    assert_eq!(names, ["http", "http#2", "http#3"]);
    assert!(group.iter().all(|member| address(member) == address(&group[0])));
    again.ready().unwrap();
    for member in &group {
        echo(member.acceptor().unwrap());
    }
    for _ in 0..20 {
        let mut client = TcpStream::connect(address(&group[0])).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        client.write_all(b"?").unwrap();
        assert_answered(client);
    }
    assert!(matches!(again.bind("http#2").udp("127.0.0.1:0"), Err(ListenError::NameTaken { .. })));
    assert_eq!(again.bind("dns").udp_group("127.0.0.1:0", 2).unwrap().len(), 2);
    assert_eq!(again.bind("one").udp_group("127.0.0.1:0", 0).unwrap().len(), 1);
}

#[test]
fn a_group_that_cannot_be_bound_leaves_its_names_free() {
    let mut again = server();
    again.listen("http#2", "127.0.0.1:0").unwrap();
    let error = again.bind("http").tcp_group("127.0.0.1:0", 2).unwrap_err();
    assert!(matches!(error, ListenError::NameTaken { name } if name == "http#2"));
    again.listen("http", "127.0.0.1:0").unwrap();
}

#[test]
fn the_socket_options() {
    let mut again = server();
    let usual = again.listen("usual", "127.0.0.1:0").unwrap().to_std_tcp().unwrap();
    assert!(getsockopt(&usual, sockopt::ReuseAddr).unwrap());
    assert!(!getsockopt(&usual, sockopt::ReusePort).unwrap());
    let other = again.bind("other").reuse_address(false).reuse_port(true).tcp("127.0.0.1:0").unwrap();
    let other = other.to_std_tcp().unwrap();
    assert!(!getsockopt(&other, sockopt::ReuseAddr).unwrap());
    assert!(getsockopt(&other, sockopt::ReusePort).unwrap());
    let udp = again.bind("udp").udp("127.0.0.1:0").unwrap().to_std_udp().unwrap();
    assert!(!getsockopt(&udp, sockopt::ReuseAddr).unwrap());
}

#[test]
fn hooks_set_other_options() {
    let mut again = server();
    let (binding, listening) = (Cell::new(0), Cell::new(0));
    let http = again
        .bind("http")
        .before_bind(|fd| {
            binding.set(binding.get() + 1);
            assert_eq!(Address::of(fd).unwrap().to_string(), "tcp:0.0.0.0:0");
            Ok(setsockopt(&fd, sockopt::RcvBuf, &50_000)?)
        })
        .before_listen(|fd| {
            listening.set(listening.get() + 1);
            assert_ne!(Address::of(fd).unwrap().to_string(), "tcp:0.0.0.0:0");
            assert!(!getsockopt(&fd, sockopt::AcceptConn).unwrap());
            Ok(())
        })
        .tcp("127.0.0.1:0")
        .unwrap();
    assert_eq!((binding.get(), listening.get()), (1, 1));
    // The kernel doubles it (socket(7)).
    assert_eq!(getsockopt(&http.to_std_tcp().unwrap(), sockopt::RcvBuf).unwrap(), 100_000);

    let refused = again.bind("refused").before_bind(|_| Err(ErrorKind::PermissionDenied.into()));
    let error = refused.tcp("127.0.0.1:0").unwrap_err();
    assert_eq!(error.to_string(), "cannot bind `refused` to tcp:127.0.0.1:0: permission denied");
}

#[test]
fn the_permissions_of_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut again = server();
    for (name, mode_bits) in [("one", 0o600), ("other", 0o666)] {
        let path = folder.path().join(name);
        // The first time the path is new; the second time it is replaced.
        for turn in ["first", "second"] {
            drop(server().bind(turn).mode(mode_bits).unix(&path).unwrap());
            assert_eq!(mode(&path), mode_bits);
        }
        let log = folder.path().join(format!("{name}.log"));
        again.bind(name).mode(mode_bits).unix_datagram(&log).unwrap();
        assert_eq!(mode(&log), mode_bits);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "no temporary name is left");
}

#[test]
fn descriptors_are_close_on_exec() {
    let folder = tempfile::tempdir().unwrap();
    let mut again = server();
    let tcp = again.listen("tcp", "127.0.0.1:0").unwrap().to_std_tcp().unwrap();
    let flags = nix::fcntl::fcntl(tcp.as_fd(), nix::fcntl::FcntlArg::F_GETFD).unwrap();
    assert_eq!(flags, nix::libc::FD_CLOEXEC);
    again
        .bind("made")
        .before_listen(|fd| {
            let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
            assert_eq!(flags, nix::libc::FD_CLOEXEC);
            Ok(())
        })
        .unix(folder.path().join("made"))
        .unwrap();
}
