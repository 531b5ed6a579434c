//! Which signals wait: blocked from before exec until the new image has its handlers.

use std::io;
use std::marker::PhantomData;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// Blocked in a spawned image until it has registered: those whose default action would end it for nothing.
pub(crate) const SPAWNED: [Signal; 3] = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// All signals that the library answers: blocked around an own exec, so that a stop that comes then is served after it.
pub(crate) const CONTROL: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT];

/// Blocks HUP, USR1, USR2, INT, TERM and QUIT in the calling thread, by `pthread_sigmask(3)`. The mask survives exec, and
/// what is pending with it. Threads and processes that this thread starts inherit it.
///
/// # Errors
/// Those of `pthread_sigmask`: none, as the signals exist.
pub fn block_control() -> io::Result<Blocked> {
    let before = set(CONTROL).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    Ok(Blocked { before, _thread: PhantomData })
}

/// Unblocks HUP, USR1, USR2, INT, TERM and QUIT in the calling thread, by `pthread_sigmask(3)`: for a new image, once it has
/// its handlers. What is pending is delivered before this returns.
///
/// # Errors
/// Those of `pthread_sigmask`: none, as the signals exist.
pub fn unblock() -> io::Result<()> {
    Ok(set(CONTROL).thread_unblock()?)
}

/// The mask of before, which drop puts back, in the same thread.
#[derive(Debug)]
#[must_use = "dropping it puts the mask back at once"]
pub struct Blocked {
    before: SigSet,
    /// A mask is a thread's own: not Send.
    _thread: PhantomData<*const ()>,
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // It can only fail for an unknown `how`.
        let _ = self.before.thread_set_mask();
    }
}

/// The mask for a spawned image: the calling thread's, and HUP, USR1 and USR2.
pub(crate) fn for_spawn() -> nix::Result<SigSet> {
    let mut mask = SigSet::thread_get_mask()?;
    SPAWNED.iter().for_each(|signal| mask.add(*signal));
    Ok(mask)
}

pub(crate) fn set(signals: impl IntoIterator<Item = Signal>) -> SigSet {
    signals.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_as_before_when_the_guard_is_gone() {
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
    fn a_spawned_image_is_sheltered_from_the_control_signals_but_can_be_stopped() {
        let mask = for_spawn().unwrap();
        assert!(mask.contains(Signal::SIGUSR2) && !mask.contains(Signal::SIGTERM));
    }
}
