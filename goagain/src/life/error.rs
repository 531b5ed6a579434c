//! The error of `run`: why a process could not serve.

use crate::error::{BoxError, ListenError, ReadyError};
use goagain_signals::StartError;
use std::{error, fmt, io};

/// Why [`run`](crate::run), or the `run` of a module such as [`threads`](crate::threads), has failed.
///
/// `Debug` writes the error and its causes in one line, so a `main` that returns `Result<(), goagain::Error>` prints it
/// readably. [`exit`](crate::exit) writes the same line, and returns an exit code.
#[non_exhaustive]
pub enum Error {
    /// [`Builder::start`](crate::Builder::start) failed: the handoff is broken, or a system call failed.
    Start(StartError),
    /// `prepare` returned this error. The predecessor, if there is one, has received its text and keeps serving.
    Prepare(BoxError),
    /// This process did not become the owner.
    Ready(ReadyError),
    /// Serving returned this error before the term was over. This process has stopped as if it had crashed.
    Serve(BoxError),
    /// The loop could not wait for signals and messages (`epoll_wait`, `poll`), or the tokio runtime could not watch the
    /// descriptor of the loop.
    Wait(io::Error),
}

impl Error {
    /// Returns whether this process was not needed, and has not failed: before it became the owner, its predecessor aborted it
    /// or it was asked to stop.
    pub fn is_not_needed(&self) -> bool {
        matches!(self, Error::Ready(ReadyError::Aborted(_) | ReadyError::Stopped(_)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Start(error) => error.fmt(f),
            Error::Prepare(error) => error.fmt(f),
            Error::Ready(error) if self.is_not_needed() => write!(f, "not needed: {error}"),
            Error::Ready(error) => error.fmt(f),
            Error::Serve(error) => write!(f, "serving failed: {error}"),
            Error::Wait(error) => write!(f, "cannot wait for signals and messages: {error}"),
        }
    }
}

/// With all causes: the standard library prints an error that `main` returns by `Debug`.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text_of(self))
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            // Their own text is in that of this error already.
            Error::Start(error) => error.source(),
            Error::Prepare(error) | Error::Serve(error) => error.source(),
            Error::Ready(error) => error.source(),
            Error::Wait(error) => error.source(),
        }
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Error {
        Error::Start(error)
    }
}

impl From<ListenError> for Error {
    fn from(error: ListenError) -> Error {
        Error::Prepare(error.into())
    }
}

impl From<ReadyError> for Error {
    fn from(error: ReadyError) -> Error {
        Error::Ready(error)
    }
}

/// Returns an error's text with its causes, in one line. A cause that the text ends with already is not repeated.
pub(crate) fn text_of(error: &(dyn error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> BoxError {
        anyhow::Error::from(io::Error::other("connection refused"))
            .context("cannot reach\n  the database")
            .into()
    }

    #[test]
    fn the_text_has_each_cause_once_and_is_one_line() {
        let error = Error::Prepare(unreachable());
        assert_eq!(text_of(&error), "cannot reach the database: connection refused");
        assert_eq!(format!("{error:?}"), text_of(&error));
        let error = Error::Serve(unreachable());
        assert_eq!(text_of(&error), "serving failed: cannot reach the database: connection refused");
        let error = Error::Ready(ReadyError::Aborted("the operator said so".into()));
        assert!(error.is_not_needed());
        assert_eq!(
            text_of(&error),
            format!("not needed: {}", ReadyError::Aborted("the operator said so".into()))
        );
    }
}
