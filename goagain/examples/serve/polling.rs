//! A loop of its own over mio, on one thread.

use crate::serve;
use crate::serve::http::{self, Reader, Request};
use goagain::{Acceptor, Goagain, Guard, Listener, Stream, Turn};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

const AGAIN: Token = Token(0);
const HTTP: Token = Token(1);
const FIRST: usize = 2;

/// When to accept again after descriptors were short: nothing tells when there are some.
const SHORTAGE: Duration = Duration::from_millis(100);

/// Serves `http` from ready to the end; `begins` is called when a term begins.
pub(crate) fn run(
    mut again: Goagain,
    http: &Listener,
    identity: String,
    mut begins: impl FnMut(),
) -> anyhow::Result<()> {
    let mut server = Server::new(identity)?;
    server.watch(descriptor(&again)?, AGAIN, Interest::READABLE)?;
    again.announce();
    let (mut turn, mut closing) = (Turn::Prepare, false);
    loop {
        let before = std::mem::replace(&mut turn, again.step());
        match (before, turn) {
            (Turn::Prepare, Turn::Leave | Turn::Drain(_)) => return Err(again.not_ready().into()),
            (_, Turn::Leave) => return Ok(()),
            (before, Turn::Serve) if before != Turn::Serve => {
                server.begin(http.acceptor()?)?;
                again.serves();
                begins();
            }
            (Turn::Serve, Turn::Drain(_)) => {
                server.end()?;
                again.let_go();
            }
            _ => {}
        }
        if std::mem::replace(&mut closing, again.connections().is_closing()) != closing {
            server.advance_all();
        }
        server.turn()?;
    }
}

#[cfg(all(target_os = "linux", not(goagain_portable)))]
fn descriptor(again: &Goagain) -> anyhow::Result<RawFd> {
    Ok(again.as_raw_fd())
}

#[cfg(not(all(target_os = "linux", not(goagain_portable))))]
fn descriptor(_: &Goagain) -> anyhow::Result<RawFd> {
    anyhow::bail!("only on Linux there is a descriptor to poll")
}

struct Server {
    poll: Poll,
    identity: String,
    acceptor: Option<Acceptor>,
    connections: HashMap<Token, Connection>,
    next: usize,
    /// What is to be done at a time.
    due: BTreeSet<(Instant, Token)>,
}

impl Server {
    fn new(identity: String) -> io::Result<Server> {
        let (connections, due) = (HashMap::new(), BTreeSet::new());
        Ok(Server { poll: Poll::new()?, identity, acceptor: None, connections, next: FIRST, due })
    }

    fn watch(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd), token, interest)
    }

    fn begin(&mut self, acceptor: Acceptor) -> io::Result<()> {
        self.watch(acceptor.as_fd().as_raw_fd(), HTTP, Interest::READABLE)?;
        self.acceptor = Some(acceptor);
        Ok(())
    }

    /// The term is over. A listener that the successor has not asked for has a last word.
    fn end(&mut self) -> io::Result<()> {
        self.accept()?;
        if let Some(acceptor) = self.acceptor.take() {
            self.poll.registry().deregister(&mut SourceFd(&acceptor.as_fd().as_raw_fd()))?;
        }
        Ok(())
    }

    /// Waits once, and does what is to be done.
    fn turn(&mut self) -> io::Result<()> {
        let left = self.due.first().map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let mut events = Events::with_capacity(256);
        match self.poll.poll(&mut events, left) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        let mut ready: Vec<Token> = events.iter().map(mio::event::Event::token).collect();
        while let Some(&(at, token)) = self.due.first().filter(|(at, _)| *at <= Instant::now()) {
            self.due.remove(&(at, token));
            ready.push(token);
        }
        for token in ready {
            match token {
                AGAIN => {}
                HTTP => self.accept()?,
                token => self.advance(token),
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(acceptor) = &mut self.acceptor {
            match acceptor.try_accept() {
                Ok(Some((stream, guard))) => {
                    stream.set_nonblocking(true)?;
                    let token = Token(self.next);
                    self.next += 1;
                    self.watch(stream.as_fd().as_raw_fd(), token, Interest::READABLE | Interest::WRITABLE)?;
                    self.connections.insert(token, Connection::new(stream, guard));
                    self.advance(token);
                }
                Ok(None) => break,
                Err(error) => {
                    serve::say(format_args!("mio: {error}"));
                    self.due.insert((Instant::now() + SHORTAGE, HTTP));
                    break;
                }
            }
        }
        Ok(())
    }

    fn advance_all(&mut self) {
        for token in self.connections.keys().copied().collect::<Vec<_>>() {
            self.advance(token);
        }
    }

    /// Does for a connection what can be done now. A client that goes away in mid-request is its own affair.
    fn advance(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        match connection.advance(&self.identity) {
            Ok(Next::Wait) => {}
            Ok(Next::At(at)) => drop(self.due.insert((at, token))),
            // Closing the descriptor ends the watch.
            Ok(Next::Close) | Err(_) => drop(self.connections.remove(&token)),
        }
    }
}

struct Connection {
    reader: Reader<Stream>,
    guard: Guard,
    /// A request, and when it is to be answered.
    request: Option<(Request, Instant)>,
    /// What is to be written, and whether that is the end.
    answer: Vec<u8>,
    closes: bool,
}

enum Next {
    Wait,
    At(Instant),
    Close,
}

impl Connection {
    fn new(stream: Stream, guard: Guard) -> Connection {
        Connection { reader: Reader::new(stream), guard, request: None, answer: Vec::new(), closes: false }
    }

    fn advance(&mut self, identity: &str) -> io::Result<Next> {
        loop {
            while !self.answer.is_empty() {
                match self.reader.stream().write(&self.answer) {
                    Ok(written) => drop(self.answer.drain(..written)),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::Wait),
                    Err(error) => return Err(error),
                }
            }
            if self.closes {
                return Ok(Next::Close);
            }
            if let Some((request, at)) = &self.request {
                if Instant::now() < *at {
                    return Ok(Next::At(*at));
                }
                self.closes = self.guard.is_draining() || !request.keep_alive;
                let response = http::answer_at_once(request, identity);
                http::write_response(&mut self.answer, &response, self.closes)?;
                self.request = None;
                continue;
            }
            match http::read_request(&mut self.reader) {
                Ok(None) => return Ok(Next::Close),
                Ok(Some(request)) => {
                    self.guard.busy();
                    let at = Instant::now() + http::time(&request);
                    self.request = Some((request, at));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.reader.has_buffered() {
                        return Ok(Next::Wait);
                    }
                    self.guard.idle();
                    return Ok(if self.guard.is_closing() { Next::Close } else { Next::Wait });
                }
                Err(error) => return Err(error),
            }
        }
    }
}
