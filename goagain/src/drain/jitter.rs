//! When each connection is asked to close: not all at the same moment, since their clients reconnect.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// 2^64 divided by the golden ratio. Its multiples, modulo 2^64, are spread evenly however many there are.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A window of time, in which each connection gets a moment of its own.
#[derive(Debug)]
pub(super) struct Jitter {
    window: Duration,
    /// Different in each process, so that a hundred servers that restart together do not all begin alike.
    start: u64,
    drawn: AtomicU64,
}

impl Jitter {
    pub(super) fn over(window: Duration) -> Jitter {
        Jitter { window, start: RandomState::new().hash_one(window), drawn: AtomicU64::new(0) }
    }

    /// Returns the next moment, counted from the beginning of the window.
    pub(super) fn draw(&self) -> Duration {
        if self.window.is_zero() {
            return Duration::ZERO;
        }
        moment(self.start, self.drawn.fetch_add(1, Ordering::Relaxed), self.window)
    }
}

/// Returns the moment with this number within the window.
fn moment(start: u64, number: u64, window: Duration) -> Duration {
    let fraction = start.wrapping_add(number.wrapping_mul(GOLDEN));
    // A window is at most a century, so neither of the two values is truncated.
    let nanoseconds = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(((u128::from(nanoseconds) * u128::from(fraction)) >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_moment_is_in_the_window(start: u64, number: u64, window in 1..u64::MAX) {
            let window = Duration::from_nanos(window);
            prop_assert!(moment(start, number, window) < window);
        }

        /// If the window has a third as many parts as there are connections, each part gets at least one and none gets many.
        #[test]
        fn the_moments_are_spread_evenly(start: u64, first in 0..u64::MAX / 2, count in 3..2000_u64) {
            let window = Duration::from_secs(30);
            let parts = (count / 3) as usize;
            let mut counts = vec![0; parts];
            for number in first..first + count {
                let moment = moment(start, number, window).as_nanos();
                counts[(moment * parts as u128 / window.as_nanos()) as usize] += 1;
            }
            prop_assert!(counts.iter().all(|count| (1..=9).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn without_a_window_every_moment_is_zero() {
        let jitter = Jitter::over(Duration::ZERO);
        assert_eq!((jitter.draw(), jitter.draw()), (Duration::ZERO, Duration::ZERO));
    }
}
