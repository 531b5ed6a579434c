//! A request that is under way.

use super::activity::Activity;
use std::sync::Arc;
use std::task::Waker;

/// A request that is under way, until the last byte of its response has been sent: until the last clone of this is dropped.
#[derive(Clone, Debug)]
pub(crate) struct RequestGuard(Arc<UnderWay>);

#[derive(Debug)]
struct UnderWay(Activity);

impl RequestGuard {
    pub(super) fn new(activity: Activity) -> RequestGuard {
        RequestGuard(Arc::new(UnderWay(activity)))
    }

    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn activity(&self) -> &Activity {
        &self.0.0
    }

    /// Notes that the HTTP library has the whole response. It may not have sent all of it.
    pub(crate) fn has_answered(&self) {
        let mut state = self.0.0.lock();
        if state.guard.is_draining() {
            state.has_answered = true;
            let waker = state.answer_waker.take();
            // A waker can run any code, so it runs without the lock.
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests -= 1;
        state.update_guard();
        let answer_waker = if state.guard.is_draining() { state.answer_waker.take() } else { None };
        let end_waker = if state.requests == 0 { state.end_waker.take() } else { None };
        drop(state);
        answer_waker.into_iter().chain(end_waker).for_each(Waker::wake);
    }
}
