//! The tables of all points, in the order of the protocol.

mod back;
mod predecessor;
mod successor;

use super::point::Point;
use crate::config::StrategyKind;
use crate::drills::BOTH;

const SINGLE: &[StrategyKind] = &[StrategyKind::Single];
const DOUBLE: &[StrategyKind] = &[StrategyKind::Double];

/// All points. One that ends otherwise under another strategy stands there once for each.
pub fn all() -> Vec<Point> {
    [predecessor::COMMITS, predecessor::RELEASES, successor::BECOMES, successor::HANDS_BACK, back::BECOMES]
        .concat()
}
