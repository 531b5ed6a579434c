//! The user's callbacks, each kept from doing harm.

use goagain_signals::ConnectionInfo;
use goagain_signals::Event;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a callback may return: nothing, or a `Result` whose error is reported.
pub trait CallbackResult {
    /// The error as text.
    ///
    /// # Errors
    /// The callback's.
    fn into_result(self) -> Result<(), String>;
}

impl CallbackResult for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Display> CallbackResult for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

pub(crate) type Callback = Box<dyn FnMut() -> Result<(), String> + Send>;
pub(crate) type OnUnfinished = Box<dyn FnMut(&[ConnectionInfo]) -> Result<(), String> + Send>;
pub(crate) type Observer = Box<dyn FnMut(&Event) + Send>;

#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) on_hup: Option<Callback>,
    pub(crate) on_usr1: Option<Callback>,
    pub(crate) before_exit: Option<Callback>,
    pub(crate) on_unfinished: Option<OnUnfinished>,
    pub(crate) observers: Vec<Observer>,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").field("observers", &self.observers.len()).finish_non_exhaustive()
    }
}

impl Callbacks {
    pub(crate) fn observe(&mut self, observed: &Event) {
        #[cfg(feature = "tracing")]
        crate::life::trace::event(observed);
        for observer in &mut self.observers {
            // An observer that panics has nobody to be reported to but std's panic hook, which has run.
            let _ = catch_unwind(AssertUnwindSafe(|| observer(observed)));
        }
    }
}

pub(crate) fn boxed<R: CallbackResult>(mut callback: impl FnMut() -> R + Send + 'static) -> Callback {
    Box::new(move || callback().into_result())
}

pub(crate) fn call(callback: &mut Option<Callback>) -> Result<(), String> {
    match callback {
        None => Ok(()),
        Some(callback) => catch_unwind(AssertUnwindSafe(callback)).unwrap_or_else(|panic| Err(said(&*panic))),
    }
}

pub(crate) fn call_with(callback: &mut Option<OnUnfinished>, held: &[ConnectionInfo]) -> Result<(), String> {
    match callback {
        None => Ok(()),
        Some(callback) => {
            catch_unwind(AssertUnwindSafe(|| callback(held))).unwrap_or_else(|panic| Err(said(&*panic)))
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_panics_of_a_callback_are_told() {
        assert_eq!(call(&mut None), Ok(()));
        assert_eq!(call(&mut Some(boxed(|| ()))), Ok(()));
        assert_eq!(call(&mut Some(boxed(|| Err("no file")))), Err("no file".to_owned()));
        let mut panics = Some(boxed(|| -> () { panic!("at the disco") }));
        assert_eq!(call(&mut panics), Err("panicked: at the disco".to_owned()));
    }
}
