//! One cell of the matrix: a point, the fault that is injected there, and the service that it hits.

use anyhow::Context as _;

use super::ends::{Ends, Owner};
use super::kind::Kind;
use super::point::{Point, Scene};
use super::{points, run};
use crate::config::{ServerConfig, StrategyKind};
use crate::drills::{BOTH, SHORT};
use crate::service::{Binaries, Service, ServiceOptions};

/// A probation period in which a process dies, in milliseconds: longer than the death takes. The next restart waits for its end.
const LONG: u64 = 10_000;

/// Longer than a cell takes, in milliseconds.
const NEVER: u64 = 60_000;

/// What delays a successor, as a server's configuration has it.
const LATE: &str = "register: stop";

/// How clients reach the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A port of 127.0.0.1.
    Tcp,
    /// A Unix socket.
    Unix,
}

impl Transport {
    /// Both transports.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Unix];

    /// Returns the name in the matrix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
        }
    }
}

/// A cell.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// The point.
    pub point: Point,
    /// The kind of fault.
    pub kind: Kind,
    /// The strategy of the service.
    pub strategy: StrategyKind,
    /// How clients reach the service.
    pub transport: Transport,
}

/// Returns all cells, in the order of the protocol.
pub fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for point in points::all() {
        for kind in point.kinds() {
            for &strategy in BOTH.iter().filter(|strategy| point.strategies.contains(strategy)) {
                let cell = |transport| Cell { point, kind, strategy, transport };
                cells.extend(Transport::ALL.map(cell));
            }
        }
    }
    cells
}

impl Cell {
    /// Returns its name: `predecessor: before Send Commit, kill, single, tcp`.
    pub fn name(&self) -> String {
        let (kind, strategy, transport) = (self.kind.name(), self.strategy, self.transport.name());
        format!("{}, {kind}, {strategy}, {transport}", self.point.label())
    }

    /// Returns the expected outcome.
    pub fn ends(&self) -> Ends {
        self.point.ends(self.kind).under(self.strategy)
    }

    /// Returns whether the service ends with it, or hangs, so that only a supervisor can help.
    pub fn needs_a_supervisor(&self) -> bool {
        self.ends().owner == Owner::Nobody || self.ends().woken
    }

    /// Returns whether the image that is hit ends by itself.
    pub(super) fn dies(&self) -> bool {
        self.kind.is_deadly()
            && !(self.kind == Kind::Panic && self.point.ends(Kind::Panic) != self.point.ends(Kind::Kill))
    }

    /// Returns the fault as a server's configuration has it.
    pub(super) fn fault(&self) -> String {
        format!("{}: {}", self.point.name, self.kind.text())
    }

    /// Runs the cell.
    ///
    /// # Errors
    /// - the outcome is not the expected one; the error contains all events of the service.
    pub fn run(&self, binaries: &Binaries) -> anyhow::Result<()> {
        let folder = tempfile::tempdir().context("a folder for the socket")?;
        let address = match self.transport {
            Transport::Tcp => "127.0.0.1:0".to_owned(),
            Transport::Unix => format!("unix:{}", folder.path().join("socket").display()),
        };
        let options = ServiceOptions::new(self.strategy).config(|config| self.configure(config, address));
        let mut service = Service::start(binaries, options)?;
        match run::run(self, &mut service, binaries) {
            Ok(Some(_)) => service.end(),
            Ok(None) => service.ended(),
            Err(error) => Err(anyhow::anyhow!("{error:#}\n{}", service.give_up())),
        }
    }

    /// Configures each generation up front, so that no image has to be deployed at the right moment.
    ///
    /// A deadline that the outcome does not wait for never passes. A deadline that the outcome waits for is longer than any
    /// step of a healthy image, and nothing else ends the wait.
    fn configure(&self, config: &mut ServerConfig, address: String) {
        config.listen = vec![("http".into(), address)];
        let time = if self.kind.is_waited_for() { SHORT } else { NEVER };
        (config.ready_ms, config.reexec_ms, config.serving_ms, config.drain_ms) = (time, time, time, time);
        // These deadlines pass in every restart, and any order of them is correct.
        (config.probation_ms, config.idle_ms, config.abort_timeout_ms) = (300, 1_000, 200);

        let Point { side, scene, .. } = self.point;
        let struck = side.generation();
        config.in_generation(struck, "fault", self.fault());
        match scene {
            Scene::Plain => {}
            Scene::Fails => config.in_generation(2, "behaviour", "fail"),
            // Late for as long as the harness needs.
            Scene::Late => {
                config.ready_ms = SHORT;
                config.in_generation(2, "fault", LATE);
            }
            Scene::Dies => config.in_generation(2, "behaviour", "die_after_ready"),
            Scene::OpenRequest => config.in_generation(struck, "drain_ms", 1_000),
        }
        if let Some(fallback) = self.point.in_probation_of {
            if fallback == side {
                config.in_generation(struck, "idle_ms", 300);
            }
            let time = if self.kind.is_deadly() { LONG } else { SHORT };
            config.in_generation(fallback.generation(), "probation_ms", time);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::ends::Image;
    use super::*;

    #[test]
    fn every_cell_exists_once() {
        let cells = all();
        let names: HashSet<String> = cells.iter().map(Cell::name).collect();
        assert_eq!(names.len(), cells.len());
        assert!(cells.len() > 1_500, "{}", cells.len());
    }

    #[test]
    fn every_kind_hits_every_image_under_every_strategy_that_has_it() {
        let cells = all();
        for kind in Kind::all() {
            for (side, strategy) in [
                (Image::Old, StrategyKind::Single),
                (Image::Old, StrategyKind::Double),
                (Image::New, StrategyKind::Single),
                (Image::New, StrategyKind::Double),
                (Image::Reexec, StrategyKind::Double),
            ] {
                let found =
                    |cell: &&Cell| cell.kind == kind && cell.point.side == side && cell.strategy == strategy;
                // Only the predecessor executes an image.
                let executes =
                    matches!(kind, Kind::Error(_)) && !super::super::kind::DESCRIBING.contains(&kind);
                assert_eq!(
                    cells.iter().any(|cell| found(&cell)),
                    side == Image::Old || !executes,
                    "{kind:?} {side:?}"
                );
            }
        }
    }

    #[test]
    fn a_letter_is_one_kind() {
        let letters: HashSet<char> = Kind::all().map(Kind::letter).collect();
        assert_eq!(letters.len(), Kind::all().count());
    }

    #[test]
    fn a_death_ends_with_somebody_else_or_nobody() {
        for cell in all().into_iter().filter(Cell::dies) {
            let owner = cell.ends().owner;
            assert_ne!(owner, Owner::One(cell.point.side), "{}", cell.name());
        }
    }
}
