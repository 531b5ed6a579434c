//! `cargo xtask e2e`: restarts real servers under load, prints the figures, then runs the drills.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use goagain_tests::config::StrategyKind;
use goagain_tests::faults::share::Share;
use serde::Serialize;
use xshell::Shell;

use crate::busy::Busy;
use crate::output::print_line;
use crate::run::Figures;
use crate::{drills, faults, programs, report, run, soak};

/// Restarts a real server under load for each strategy, then runs every drill.
///
/// Prints how many requests were lost and how long the restarts took. Exits with 1 if a request was lost, a process or
/// a descriptor was left behind, or a drill failed.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Strategies to run.
    #[arg(long, value_enum, default_value_t = Strategies::Both)]
    strategy: Strategies,
    /// Restarts for each strategy.
    #[arg(
        long,
        default_value_t = 20,
        default_value_if("soak", "true", "1000"),
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    restarts: u32,
    /// New connections per second.
    #[arg(
        long,
        default_value_t = 1_000,
        default_value_if("soak", "true", "500"),
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    rate: u32,
    /// Spread the restarts over this many seconds of load for each strategy, and start none after that. By default, a
    /// restart follows half a second after the previous one has settled.
    #[arg(long, value_parser = clap::value_parser!(u64).range(10..=3_600))]
    seconds: Option<u64>,
    /// Write all figures to this file, in nanoseconds.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// List the drills and exit.
    #[arg(long)]
    list: bool,
    /// Run only this drill, and no load. Can be repeated.
    #[arg(long, value_name = "NAME", value_parser = drills::known)]
    drill: Vec<String>,
    /// Run only the load, and no drills.
    #[arg(long, conflicts_with = "drill")]
    no_drills: bool,
    /// Restart many times without a pause, and compare the start with the end.
    ///
    /// Defaults to 1,000 restarts for each strategy under 500 new connections per second. Prints the memory,
    /// descriptors, threads and processes of the service, and how long a handoff takes, at the start and at the end.
    /// Runs nothing else. With --seconds, each strategy ends after that time.
    #[arg(long, conflicts_with_all = ["drill", "no_drills"])]
    soak: bool,
    /// Keep every core busy with one thread while the drills or the faults run.
    #[arg(long, conflicts_with = "soak")]
    busy: bool,
    /// Run the drills or the faults this many times.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        conflicts_with = "soak",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    repeat: u32,
    #[command(flatten)]
    faults: faults::Options,
}

impl Options {
    /// Both strategies under the default load, without drills.
    pub(crate) fn load_only(restarts: u32) -> Self {
        Self {
            strategy: Strategies::Both,
            restarts,
            rate: 1_000,
            seconds: None,
            json: None,
            list: false,
            drill: Vec::new(),
            no_drills: true,
            soak: false,
            busy: false,
            repeat: 1,
            faults: faults::Options::default(),
        }
    }

    /// A share of the fault matrix, a different one each day.
    pub(crate) fn faults(share: Share) -> Self {
        Self { faults: faults::Options::share(share), ..Self::load_only(1) }
    }

    fn plans(&self) -> Vec<run::Plan> {
        let plan = |strategy| run::Plan {
            strategy,
            restarts: self.restarts,
            rate: self.rate,
            seconds: self.seconds,
        };
        self.strategy.kinds().into_iter().map(plan).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Strategies {
    Single,
    Double,
    Both,
}

impl Strategies {
    fn kinds(self) -> Vec<StrategyKind> {
        match self {
            Self::Single => vec![StrategyKind::Single],
            Self::Double => vec![StrategyKind::Double],
            Self::Both => vec![StrategyKind::Single, StrategyKind::Double],
        }
    }
}

/// The contents of the `--json` file.
#[derive(Debug, Default, Serialize)]
struct Results {
    runs: Vec<Figures>,
    drills: Vec<drills::Outcome>,
}

/// Runs the command. Returns whether everything passed.
///
/// # Errors
/// - The programs cannot be built, or the file cannot be written.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    if options.list {
        drills::list();
        return Ok(true);
    }
    let shell = Shell::new()?;
    if options.faults.is_enabled() {
        let plan = faults::Plan {
            strategies: options.strategy.kinds(),
            busy: options.busy,
            times: options.repeat,
            json: options.json.as_deref(),
        };
        return faults::run(&shell, &options.faults, &plan);
    }
    print_line("building the drill servers");
    let binaries = programs::build(&shell)?;
    if options.soak {
        return soak::run_all(&binaries, &options.plans(), options.json.as_deref());
    }
    let mut results = Results::default();
    let mut good = true;
    if options.drill.is_empty() {
        for plan in options.plans() {
            let kind = plan.strategy;
            // The failure of one strategy must not hide the figures of the other.
            match run::run(&binaries, &plan).with_context(|| format!("{kind}: load")) {
                Ok(figures) => results.runs.push(figures),
                Err(error) => {
                    good = false;
                    print_line(format!("{error:#}"));
                }
            }
        }
        if !results.runs.is_empty() {
            print_line(report::table(&results.runs));
        }
        for line in results.runs.iter().flat_map(report::verdicts) {
            print_line(line);
        }
        good &= results.runs.iter().all(Figures::is_good);
    }
    if !options.no_drills {
        let _busy = options.busy.then(Busy::start);
        for _ in 0..options.repeat {
            results.drills.extend(drills::run(&binaries, &options.strategy.kinds(), &options.drill));
        }
        good &= results.drills.iter().all(|outcome| outcome.failure.is_none());
    }
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&results)?;
        fs::write(path, json + "\n").with_context(|| format!("{}: results", path.display()))?;
    }
    Ok(good)
}
