//! Every drill as a test, once for each strategy that it applies to: `restart_once::single`.

use std::io::{self, Write as _};

use goagain_tests::drills::{Context, all};
use goagain_tests::service::Binaries;
use libtest_mimic::{Arguments, Trial};

/// How many drills run at the same time by default. Each is several processes.
const AT_ONCE: usize = 2;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    libtest_mimic::run(&arguments, trials()).exit()
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for drill in all() {
        for &strategy in drill.strategies {
            let name = format!("{}::{strategy}", drill.name);
            trials.push(Trial::test(name.clone(), move || {
                let context = Context::new(binaries(), strategy);
                (drill.run)(&context).map_err(|error| format!("{error:#}"))?;
                for note in context.notes() {
                    writeln!(io::stdout(), "{name}: {note}")?;
                }
                Ok(())
            }));
        }
    }
    trials
}

fn binaries() -> Binaries {
    Binaries {
        server: env!("CARGO_BIN_EXE_drill-server").into(),
        go: env!("CARGO_BIN_EXE_drill-go").into(),
        load: env!("CARGO_BIN_EXE_drill-load").into(),
    }
}
