//! Events as lines on standard error.

use goagain_signals::Event;
use std::io::{self, Write};

pub(crate) fn to_stderr(event: &Event) {
    write_line(event, &mut io::stderr());
}

/// Writes by one call: `eprintln!` makes a call for each part, and two processes may write to the same place.
fn write_line(event: &Event, out: &mut impl Write) {
    // A log that cannot be written must not end the server, and there is nowhere to report it.
    let _ = out.write(format!("{event}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use goagain_env::Pid;
    use goagain_signals::{EventKind, Role};
    use std::time::Duration;

    fn event(text: &str) -> Event {
        let kind = EventKind::Warning { text: text.into() };
        Event::new(Pid::new(4711).unwrap(), 1, Role::Serving, 1, Duration::ZERO, kind)
    }

    #[derive(Default)]
    struct Calls(Vec<Vec<u8>>);

    impl Write for Calls {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            panic!("standard error has no buffer to flush")
        }
    }

    #[test]
    fn an_event_is_one_line_and_one_write() {
        let mut calls = Calls::default();
        write_line(&event("first\nsecond"), &mut calls);
        write_line(&event("third"), &mut calls);
        let lines = [
            b"goagain[4711] generation 1: warning: first\\nsecond\n".to_vec(),
            b"goagain[4711] generation 1: warning: third\n".to_vec(),
        ];
        assert_eq!(calls.0, lines);
    }

    #[test]
    fn a_write_that_fails_or_writes_a_part_is_not_repeated() {
        struct Fails(usize);
        impl Write for Fails {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 == 1 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(1) }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut fails = Fails(0);
        write_line(&event("lost"), &mut fails);
        write_line(&event("cut"), &mut fails);
        assert_eq!(fails.0, 2);
    }
}
