//! Every server on a runtime, restarted under each strategy with clients that keep their connections:
//! `cargo test -p goagain-tests --features runtimes --test runtimes`.

use goagain_tests::drills::Context;
use goagain_tests::runtimes::all;
use goagain_tests::service::Binaries;
use libtest_mimic::{Arguments, Trial};
use std::io::{self, Write as _};

/// How many drills run at the same time by default. Each is several processes, and fifty clients.
const AT_ONCE: usize = 2;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let trials = all().into_iter().flat_map(|drill| {
        drill.strategies.iter().map(move |&strategy| {
            let name = format!("{}::{strategy}", drill.name);
            Trial::test(name.clone(), move || {
                let context = Context::new(binaries(), strategy);
                (drill.run)(&context).map_err(|error| format!("{error:#}"))?;
                for note in context.notes() {
                    writeln!(io::stdout(), "{name}: {note}")?;
                }
                Ok(())
            })
        })
    });
    let trials = trials.collect();
    libtest_mimic::run(&arguments, trials).exit()
}

fn binaries() -> Binaries {
    Binaries {
        server: env!("CARGO_BIN_EXE_drill-runtimes").into(),
        go: env!("CARGO_BIN_EXE_drill-go").into(),
        load: env!("CARGO_BIN_EXE_drill-load").into(),
    }
}
