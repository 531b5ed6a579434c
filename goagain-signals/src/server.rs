//! What the loop asks of the process that it runs in.

use crate::{ConnectionInfo, Event, InFlight};
use goagain_env::{Address, Described, SaveError, StateItem};
use std::os::fd::{BorrowedFd, OwnedFd};

/// The server that a loop restarts. The facade implements it; nothing here may block.
pub trait Server {
    /// A term begins: acceptors may accept.
    fn accept(&mut self);
    /// The term ends: acceptors end, the listeners stay open, the drain begins.
    fn stop_accepting(&mut self);
    /// The second phase of the drain: the idle are told to go.
    fn close_idle(&mut self);
    /// The third phase of the drain: the long-lived are told to go.
    fn close_long_lived(&mut self);
    /// Whether the idle were told to go, and nothing but what is long-lived and was not told is left.
    fn only_long_lived(&self) -> bool;
    /// What is in flight, and those of it that have a name, the oldest first.
    fn waits_for(&self) -> (InFlight, Vec<ConnectionInfo>);
    /// Returns what is in flight.
    fn in_flight(&self) -> InFlight {
        self.waits_for().0
    }
    /// The drain is over, whatever is in flight: that is cut off, and `held` told to the callback for it.
    ///
    /// # Errors
    /// The callback's own, which is reported.
    fn close_unfinished(&mut self, held: &[ConnectionInfo]) -> Result<(), String>;
    /// Lets the listeners go; `unlink` says that nobody else has them.
    fn close_listeners(&mut self, unlink: bool);
    /// Whether the application is done and nothing is in flight.
    fn is_drained(&self) -> bool;
    /// What goes to a new image, listeners first.
    fn descriptors(&self) -> Vec<(BorrowedFd<'_>, Described)>;
    /// The successor, not committed yet, has bound this itself; what goes to an image that is exec'd in place has to have
    /// it, in place of what has its name.
    fn successor_added(&mut self, name: String, address: Address, fd: OwnedFd) {
        let _ = (name, address, fd);
    }
    /// The successor, not committed yet, has not kept what was handed to it under this name: when the term ends, this
    /// process is the last to have it.
    fn successor_dropped(&mut self, name: String) {
        let _ = name;
    }
    /// The successor that said so has failed.
    fn forget_successor(&mut self) {}
    /// The state that goes to a new image: asked once an attempt before it is started, and, of the owner under which a
    /// predecessor execs in place, once more.
    ///
    /// # Errors
    /// The name of the parcel that cannot be made, and why: the restart fails.
    fn state(&mut self) -> Result<Vec<StateItem>, (String, SaveError)> {
        Ok(Vec::new())
    }
    /// COMMIT is on its way; the term ends next.
    fn committed(&mut self) {}
    /// The successor serves, while this process drains.
    fn successor_serves(&mut self) {}
    /// A descriptor that is readable when `take_arrivals` has something to do.
    fn incoming(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Takes what the predecessor sent beside the protocol.
    fn take_arrivals(&mut self) {}
    /// A descriptor that is readable when `is_drained` or `only_long_lived` may have changed.
    fn wake(&self) -> Option<BorrowedFd<'_>>;
    /// Runs the callback for a signal that reloads.
    ///
    /// # Errors
    /// The callback's own, which is reported.
    fn reload(&mut self) -> Result<(), String>;
    /// Runs the callback for a signal that reopens.
    ///
    /// # Errors
    /// The callback's own, which is reported.
    fn reopen(&mut self) -> Result<(), String>;
    /// Runs the last callbacks of this image, before exec, which runs no destructors.
    ///
    /// # Errors
    /// The callback's own, which is reported.
    fn before_exit(&mut self) -> Result<(), String>;
    /// Returns the warnings that have not been reported yet, and forgets them: the loop reports them.
    fn take_warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// Passes an event to the callbacks for events.
    fn on_event(&mut self, event: &Event);
}
