//! The server that a loop restarts.

use crate::{ConnectionInfo, Event, InFlight};
use goagain_env::{Address, NamedDescriptor, SaveError, StateItem};
use std::os::fd::{BorrowedFd, OwnedFd};

/// The server that a loop restarts. The crate `goagain` implements it. No method may block.
pub trait Server {
    /// Begins a term: acceptors may accept.
    fn accept(&mut self);
    /// Returns the addresses on which it accepts, for the event of a term that begins.
    fn addresses(&self) -> Vec<Address> {
        Vec::new()
    }
    /// Ends the term: acceptors end, the listeners stay open, and the drain begins.
    fn stop_accepting(&mut self);
    /// Begins the second phase of the drain: idle connections are asked to close.
    fn close_idle(&mut self);
    /// Begins the third phase of the drain: long-lived connections are asked to close.
    fn close_long_lived(&mut self);
    /// Returns whether idle connections were asked to close, and only long-lived connections are left that were not.
    fn only_long_lived(&self) -> bool;
    /// Returns what is in flight, and those of it that have a name, the oldest first.
    fn waits_for(&self) -> (InFlight, Vec<ConnectionInfo>);
    /// Returns what is in flight.
    fn in_flight(&self) -> InFlight {
        self.waits_for().0
    }
    /// Ends the drain: passes `connections` to the callback for it, and handles what is unfinished as the server was set to.
    ///
    /// # Errors
    /// The error of the callback. The loop reports it.
    fn close_unfinished(&mut self, connections: &[ConnectionInfo]) -> Result<(), String>;
    /// Closes the listeners. `unlink` says that no other process has them.
    fn close_listeners(&mut self, unlink: bool);
    /// Returns whether the application is done and nothing is in flight.
    fn is_drained(&self) -> bool;
    /// Returns what a new process inherits, listeners first.
    fn descriptors(&self) -> Vec<(BorrowedFd<'_>, NamedDescriptor)>;
    /// Keeps a descriptor that the successor has made before it is ready. An image that is exec'd in place inherits it, instead
    /// of what had its name.
    fn successor_added(&mut self, name: String, address: Address, fd: OwnedFd) {
        let _ = (name, address, fd);
    }
    /// Notes that the successor has not kept what it inherited under this name: when the term ends, this process is the last
    /// that has it.
    fn successor_dropped(&mut self, name: String) {
        let _ = name;
    }
    /// Forgets what the successor has made or has not kept: it has failed.
    fn forget_successor(&mut self) {}
    /// Returns the state for a new process. It is called once an attempt, before the process is started, and once more in the
    /// owner while its predecessor execs in place.
    ///
    /// # Errors
    /// The name of the state that cannot be saved, and why. The restart fails.
    fn state(&mut self) -> Result<Vec<StateItem>, (String, SaveError)> {
        Ok(Vec::new())
    }
    /// COMMIT was sent: the term ends next.
    fn committed(&mut self) {}
    /// The successor serves, and this process drains.
    fn successor_serves(&mut self) {}
    /// Returns a descriptor that is readable when `take_arrivals` has something to do.
    fn incoming(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Takes what the predecessor has sent outside the protocol: connections that it migrates.
    fn take_arrivals(&mut self) {}
    /// Returns a descriptor that is readable when `is_drained` or `only_long_lived` may have changed.
    fn wake(&self) -> Option<BorrowedFd<'_>>;
    /// Runs the callback for a signal that reloads.
    ///
    /// # Errors
    /// The error of the callback. The loop reports it.
    fn reload(&mut self) -> Result<(), String>;
    /// Runs the callback for a signal that reopens.
    ///
    /// # Errors
    /// The error of the callback. The loop reports it.
    fn reopen(&mut self) -> Result<(), String>;
    /// Runs the last callbacks of this image before an exec, which runs no destructors.
    ///
    /// # Errors
    /// The error of the callback. The loop reports it.
    fn before_exit(&mut self) -> Result<(), String>;
    /// Returns the warnings that have not been reported yet, and forgets them: the loop reports them.
    fn take_warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// Passes an event to the callbacks for events.
    fn on_event(&mut self, event: &Event);
}
