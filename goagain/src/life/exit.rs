//! The last line on stderr, and the exit code.

use crate::error::ReadyError;
use crate::life::Error;
use crate::life::error::text_of;
use std::io::Write;
use std::process::ExitCode;

/// EX_TEMPFAIL of sysexits(3).
const NOT_NEEDED: u8 = 75;

/// Returns the exit code for the result of `run`, and writes an error to stderr as one line, with one `write(2)`.
///
/// | the process | exit code | last line on stderr |
/// |---|---|---|
/// | has served and is done, or was asked to stop | 0 | |
/// | was asked to stop while it waited in [`Goagain::ready`](crate::Goagain::ready), called by hand (`run` returns `Ok` then) | 0 | `server[4711]: not needed: ...` |
/// | failed | 1 | `server[4711]: cannot bind ...` |
/// | was aborted by its predecessor | 75 (EX_TEMPFAIL) | `server[4711]: not needed: ...` |
///
/// ```no_run
/// use goagain::{Single, Stream, Guard};
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     goagain::exit(goagain::threads::run(Single, "127.0.0.1:3000", serve))
/// }
/// # fn serve(_: Stream, _: Guard) {}
/// ```
pub fn exit(result: Result<(), Error>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let program = std::env::args_os().next().unwrap_or_default();
    let program = std::path::Path::new(&program).file_name().unwrap_or_default();
    // Where nobody reads it any longer it is lost.
    let line = format!("{}[{}]: {}\n", program.to_string_lossy(), std::process::id(), text_of(&error));
    let _ = std::io::stderr().write_all(line.as_bytes());
    code_of(&error)
}

fn code_of(error: &Error) -> ExitCode {
    match error {
        Error::Ready(ReadyError::Stopped(_)) => ExitCode::SUCCESS,
        Error::Ready(ReadyError::Aborted(_)) => ExitCode::from(NOT_NEEDED),
        _ => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use goagain_signals::Stop;

    #[test]
    fn the_code_tells_a_process_that_was_not_needed_from_one_that_failed() {
        let code = |error| format!("{:?}", code_of(&error));
        let is = |expected: ExitCode| format!("{expected:?}");
        assert_eq!(code(Error::Ready(ReadyError::Aborted("it is late".into()))), is(ExitCode::from(75)));
        assert_eq!(code(Error::Ready(ReadyError::Stopped(Stop::Gracefully))), is(ExitCode::SUCCESS));
        assert_eq!(code(Error::Prepare("no database".into())), is(ExitCode::FAILURE));
        assert_eq!(code(Error::Serve("no disk".into())), is(ExitCode::FAILURE));
        assert_eq!(format!("{:?}", exit(Ok(()))), is(ExitCode::SUCCESS));
    }
}
