//! The callbacks of the application. A panic in one is caught.

use goagain_signals::{ConnectionInfo, Event};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a callback returns: nothing, or a `Result` whose error is reported.
pub trait CallbackResult {
    /// Returns the error as text.
    ///
    /// # Errors
    /// The error of the callback.
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
pub(crate) type OnEvent = Box<dyn FnMut(&Event) + Send>;

#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) on_hup: Option<Callback>,
    pub(crate) on_usr1: Option<Callback>,
    pub(crate) before_exit: Option<Callback>,
    pub(crate) on_unfinished: Option<OnUnfinished>,
    pub(crate) on_event: Vec<OnEvent>,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").field("on_event", &self.on_event.len()).finish_non_exhaustive()
    }
}

impl Callbacks {
    pub(crate) fn on_event(&mut self, event: &Event) {
        #[cfg(feature = "tracing")]
        crate::life::trace::event(event);
        for callback in &mut self.on_event {
            // A panic is not reported: it would be reported to the callback that panicked. The panic hook of std has run.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(event)));
        }
    }
}

pub(crate) fn boxed<R: CallbackResult>(mut callback: impl FnMut() -> R + Send + 'static) -> Callback {
    Box::new(move || callback().into_result())
}

pub(crate) fn call(callback: &mut Option<Callback>) -> Result<(), String> {
    match callback {
        None => Ok(()),
        Some(callback) => {
            catch_unwind(AssertUnwindSafe(callback)).unwrap_or_else(|panic| Err(panic_text(&*panic)))
        }
    }
}

pub(crate) fn call_with(
    callback: &mut Option<OnUnfinished>,
    connections: &[ConnectionInfo],
) -> Result<(), String> {
    match callback {
        None => Ok(()),
        Some(callback) => catch_unwind(AssertUnwindSafe(|| callback(connections)))
            .unwrap_or_else(|panic| Err(panic_text(&*panic))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_panics_of_a_callback_are_returned() {
        assert_eq!(call(&mut None), Ok(()));
        assert_eq!(call(&mut Some(boxed(|| ()))), Ok(()));
        assert_eq!(call(&mut Some(boxed(|| Err("no file")))), Err("no file".to_owned()));
        let mut panics = Some(boxed(|| -> () { panic!("at the disco") }));
        assert_eq!(call(&mut panics), Err("panicked: at the disco".to_owned()));
    }
}
