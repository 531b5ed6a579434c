//! What the loop asks of the process that it runs in.

use crate::Observed;
use goagain_env::Described;
use std::os::fd::BorrowedFd;

/// The server that a loop restarts. The facade implements it; nothing here may block.
pub trait Server {
    /// A term begins: acceptors may accept.
    fn accept(&mut self);
    /// The term ends: acceptors end, the listeners stay open, the drain begins.
    fn stop_accepting(&mut self);
    /// The second phase of the drain: the idle are told to go.
    fn close_idle(&mut self);
    /// Lets the listeners go; `unlink` says that nobody else has them.
    fn close_listeners(&mut self, unlink: bool);
    /// Whether the application is done and nothing is in flight.
    fn is_drained(&self) -> bool;
    /// What goes to a new image, listeners first.
    fn descriptors(&self) -> Vec<(BorrowedFd<'_>, Described)>;
    /// A descriptor that is readable when `is_drained` may have changed.
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
    fn before_exec(&mut self) -> Result<(), String>;
    /// Tells the observer.
    fn observe(&mut self, observed: &Observed);
}
