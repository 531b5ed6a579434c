//! The signals that are blocked from before exec until the new image has its handlers.

use std::io;
use std::marker::PhantomData;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// Blocked in a spawned process until it has its handlers: their default action would end it for no reason.
pub(crate) const BLOCKED_IN_SPAWNED: [Signal; 3] = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// All signals that the library handles. They are blocked around an exec in place, so that a stop at that time is
/// handled after it.
pub(crate) const CONTROL: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT];

/// Blocks HUP, USR1, USR2, INT, TERM and QUIT in the calling thread, by `pthread_sigmask(3)`. The mask survives exec,
/// and so do pending signals. Threads and processes that this thread starts inherit the mask.
///
/// # Errors
/// The errors of `pthread_sigmask`: none, because the signals exist.
pub fn block_control() -> io::Result<Blocked> {
    let before = set(CONTROL).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    Ok(Blocked { before, _thread: PhantomData })
}

/// Unblocks HUP, USR1, USR2, INT, TERM and QUIT in the calling thread, by `pthread_sigmask(3)`. A new image calls this
/// once it has its handlers. Pending signals are delivered before this returns.
///
/// # Errors
/// The errors of `pthread_sigmask`: none, because the signals exist.
pub fn unblock() -> io::Result<()> {
    Ok(set(CONTROL).thread_unblock()?)
}

/// The previous mask. Dropping this value restores it, in the same thread.
#[derive(Debug)]
#[must_use = "dropping it puts the mask back at once"]
pub struct Blocked {
    before: SigSet,
    /// A mask belongs to one thread, so this type is not `Send`.
    _thread: PhantomData<*const ()>,
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // This fails only for an unknown `how`.
        let _ = self.before.thread_set_mask();
    }
}

/// Returns the mask for a spawned process: that of the calling thread, with HUP, USR1 and USR2 added.
pub(crate) fn for_spawn() -> nix::Result<SigSet> {
    let mut mask = SigSet::thread_get_mask()?;
    BLOCKED_IN_SPAWNED.iter().for_each(|signal| mask.add(*signal));
    Ok(mask)
}

pub(crate) fn set(signals: impl IntoIterator<Item = Signal>) -> SigSet {
    signals.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_the_guard_restores_the_mask() {
        let before = SigSet::thread_get_mask().unwrap();
        let guard = block_control().unwrap();
        let blocked = SigSet::thread_get_mask().unwrap();
        assert!(CONTROL.iter().all(|signal| blocked.contains(*signal)));
        drop(guard);
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }

    #[test]
    fn unblock_leaves_other_signals_alone() {
        set([Signal::SIGWINCH]).thread_block().unwrap();
        std::mem::forget(block_control().unwrap());
        unblock().unwrap();
        let mask = SigSet::thread_get_mask().unwrap();
        assert!(mask.contains(Signal::SIGWINCH) && !CONTROL.iter().any(|signal| mask.contains(*signal)));
    }

    #[test]
    fn a_spawned_process_blocks_control_signals_but_can_be_stopped() {
        let mask = for_spawn().unwrap();
        assert!(mask.contains(Signal::SIGUSR2) && !mask.contains(Signal::SIGTERM));
    }
}
