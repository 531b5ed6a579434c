//! A socket that the library shares with the handles that it has handed out, and can close for all of them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// A socket that is closed when the library closes it, however many handles the application has.
#[derive(Debug)]
pub(crate) struct SharedSocket<S>(Arc<State<S>>);

#[derive(Debug)]
struct State<S> {
    open: Mutex<Option<Arc<OpenSocket<S>>>>,
    is_dropped: AtomicBool,
}

/// An open socket, for as long as a thread is in a call on it.
#[derive(Debug)]
pub(crate) struct OpenSocket<S> {
    pub(crate) socket: Arc<S>,
    /// Dropped after the socket: then the receiver knows that no thread is in a call on it any longer.
    _end: Sender<()>,
}

/// Ends a wait (with an error) once the library has closed a socket and no thread is in a call on it any longer.
pub(crate) type CallsEnded = Receiver<()>;

impl<S> SharedSocket<S> {
    pub(crate) fn new(socket: Arc<S>) -> (SharedSocket<S>, CallsEnded) {
        let (end, calls_ended) = channel();
        let open = Mutex::new(Some(Arc::new(OpenSocket { socket, _end: end })));
        (SharedSocket(Arc::new(State { open, is_dropped: AtomicBool::new(false) })), calls_ended)
    }

    /// Returns the socket of this name, for as long as this process has it.
    ///
    /// # Errors
    /// The library has closed it.
    pub(crate) fn open(&self, name: &str) -> io::Result<Arc<OpenSocket<S>>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(|| {
            let message = format!("the socket `{name}` is closed: this process no longer serves it");
            io::Error::new(io::ErrorKind::NotConnected, message)
        })
    }

    pub(crate) fn close(&self) {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Sets whether the successor has dropped it, and returns what was set before. Set it before the term ends.
    pub(crate) fn set_dropped(&self, is_dropped: bool) -> bool {
        self.0.is_dropped.swap(is_dropped, Ordering::SeqCst)
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.0.is_dropped.load(Ordering::SeqCst)
    }
}

impl<S> Clone for SharedSocket<S> {
    fn clone(&self) -> SharedSocket<S> {
        SharedSocket(Arc::clone(&self.0))
    }
}
