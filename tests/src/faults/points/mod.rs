//! The tables of all points, in the order of the protocol.

mod predecessor;
mod reexec;
mod successor;

use super::point::Point;
use crate::config::StrategyKind;
use crate::drills::BOTH;

const SINGLE: &[StrategyKind] = &[StrategyKind::Single];
const DOUBLE: &[StrategyKind] = &[StrategyKind::Double];

/// Returns all points. A point whose outcome depends on the strategy is listed once for each strategy.
pub fn all() -> Vec<Point> {
    [predecessor::COMMITS, predecessor::RELEASES, successor::BECOMES, successor::HANDS_BACK, reexec::BECOMES]
        .concat()
}
