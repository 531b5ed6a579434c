//! A server with its own loop over mio, on one thread.

use crate::serve;
use crate::serve::http::{self, Reader, Request};
use goagain::drain::Linger;
use goagain::{Acceptor, Goagain, Guard, Listener, Stream, Turn};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

const AGAIN: Token = Token(0);
const HTTP: Token = Token(1);
const FIRST: usize = 2;

/// A client has this long for the rest of a request that has begun.
const PATIENCE: Duration = Duration::from_secs(10);

/// When to accept again after a lack of descriptors, since nothing reports when there are some.
const SHORTAGE: Duration = Duration::from_millis(100);

/// Serves `http` from ready to the end. Calls `begins` when a term begins.
pub(crate) fn run(
    mut again: Goagain,
    http: &Listener,
    identity: String,
    mut begins: impl FnMut(),
) -> anyhow::Result<()> {
    let mut server = Server::new(identity)?;
    server.watch(descriptor(&again)?, AGAIN, Interest::READABLE)?;
    again.announce_ready();
    let (mut turn, mut closing) = (Turn::Prepare, false);
    loop {
        let before = std::mem::replace(&mut turn, again.step());
        match (before, turn) {
            (Turn::Prepare, Turn::Exit | Turn::Drain(_)) => return Err(again.ready_error().into()),
            (_, Turn::Exit) => return Ok(()),
            (before, Turn::Serve) if before != Turn::Serve => {
                server.begin(http.acceptor()?)?;
                again.announce_serving();
                begins();
            }
            (Turn::Serve, Turn::Drain(_)) => {
                server.end()?;
                again.announce_done();
            }
            _ => {}
        }
        if std::mem::replace(&mut closing, again.connections().is_closing_idle()) != closing {
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
    anyhow::bail!("a descriptor to poll exists only on Linux")
}

struct Server {
    poll: Poll,
    identity: String,
    acceptor: Option<Acceptor>,
    connections: HashMap<Token, Connection>,
    next: usize,
    /// What has to be done at which time.
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

    /// The term is over. A listener that the successor has not requested is emptied once more.
    fn end(&mut self) -> io::Result<()> {
        self.accept()?;
        if let Some(acceptor) = self.acceptor.take() {
            self.poll.registry().deregister(&mut SourceFd(&acceptor.as_fd().as_raw_fd()))?;
        }
        Ok(())
    }

    /// Waits once, and handles what is ready or due.
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

    /// Does what can be done now for a connection. A client that goes away in the middle of a request is not an error of the
    /// server.
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
    stream: Stream,
    guard: Guard,
    reader: Reader,
    /// When the rest of a request that has begun must have arrived.
    begun_until: Option<Instant>,
    /// A request, and when to answer it.
    request: Option<(Request, Instant)>,
    answer: Answer,
    /// Whether nothing more is read, and the connection closes when the answer is written.
    closes: bool,
    /// How it ends.
    linger: Option<Linger>,
}

enum Next {
    Wait,
    At(Instant),
    Close,
}

impl Connection {
    fn new(stream: Stream, guard: Guard) -> Connection {
        let (reader, answer) = (Reader::new(), Answer::default());
        Connection {
            stream,
            guard,
            reader,
            begun_until: None,
            request: None,
            answer,
            closes: false,
            linger: None,
        }
    }

    /// Continues until it would have to wait.
    fn advance(&mut self, identity: &str) -> io::Result<Next> {
        match self.go_on(identity) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Next::Wait),
            next => next,
        }
    }

    fn go_on(&mut self, identity: &str) -> io::Result<Next> {
        loop {
            self.answer.write_to(&mut self.stream)?;
            if self.closes {
                // Not by dropping it: what the client sends at this moment would make the kernel discard the end of the last
                // answer.
                let linger = self.linger.get_or_insert_with(|| Linger::begin(&self.stream));
                return Ok(linger.step(&self.stream).map_or(Next::Close, Next::At));
            }
            if let Some((request, at)) = &self.request {
                if Instant::now() < *at {
                    return Ok(Next::At(*at));
                }
                let is_last = self.guard.should_close(&self.stream, self.reader.buffered());
                self.closes = is_last || !request.keep_alive;
                let response = http::answer_at_once(request, identity);
                self.answer = Answer::new(http::pieces(&response, self.closes));
                self.request = None;
                continue;
            }
            match self.reader.next() {
                http::Next::Request(request) => {
                    self.guard.busy();
                    self.begun_until = None;
                    let at = Instant::now() + http::time(&request);
                    self.request = Some((request, at));
                }
                http::Next::Continue => self.answer = Answer::new(std::iter::once(http::CONTINUE.to_vec())),
                http::Next::Read => match self.read() {
                    Ok(0) => return self.reader.end().map(|()| Next::Close),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.wait() {
                        Next::Close => self.closes = true,
                        next => return Ok(next),
                    },
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Reads once; returns 0 at the end.
    fn read(&mut self) -> io::Result<usize> {
        let mut chunk = [0; http::CHUNK];
        loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.inspect(|read| self.reader.add(&chunk[..*read])),
            }
        }
    }

    /// Nothing more can be read now.
    fn wait(&mut self) -> Next {
        if self.reader.has_buffered() {
            self.guard.busy();
            let until = *self.begun_until.get_or_insert_with(|| Instant::now() + PATIENCE);
            return if Instant::now() < until { Next::At(until) } else { Next::Close };
        }
        self.guard.idle();
        if self.guard.is_shutdown_requested() { Next::Close } else { Next::Wait }
    }
}

/// What has to be written, piece by piece.
#[derive(Default)]
struct Answer {
    piece: Vec<u8>,
    written: usize,
    rest: Option<Box<dyn Iterator<Item = Vec<u8>>>>,
}

impl Answer {
    fn new(pieces: impl Iterator<Item = Vec<u8>> + 'static) -> Answer {
        Answer { rest: Some(Box::new(pieces)), ..Answer::default() }
    }

    /// Writes all of it, or as much as can be written now.
    fn write_to(&mut self, stream: &mut Stream) -> io::Result<()> {
        loop {
            while self.written < self.piece.len() {
                match stream.write(&self.piece[self.written..]) {
                    Ok(written) => self.written += written,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            let Some(piece) = self.rest.as_mut().and_then(Iterator::next) else { return Ok(()) };
            (self.piece, self.written) = (piece, 0);
        }
    }
}
