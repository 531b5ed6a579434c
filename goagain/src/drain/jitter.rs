//! When each connection is told to go: not all at one moment, for their clients come back.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// 2^64 divided by the golden ratio. Its multiples, modulo 2^64, are spread evenly however many there are.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A window, and who has which moment in it.
#[derive(Debug)]
pub(super) struct Jitter {
    window: Duration,
    /// Different in each process: of a hundred servers that restart together, each begins elsewhere.
    start: u64,
    places: AtomicU64,
}

impl Jitter {
    pub(super) fn over(window: Duration) -> Jitter {
        Jitter { window, start: RandomState::new().hash_one(window), places: AtomicU64::new(0) }
    }

    /// The next moment, counted from the beginning of the window.
    pub(super) fn draw(&self) -> Duration {
        if self.window.is_zero() {
            return Duration::ZERO;
        }
        moment(self.start, self.places.fetch_add(1, Ordering::Relaxed), self.window)
    }
}

/// The moment of this place within the window.
fn moment(start: u64, place: u64, window: Duration) -> Duration {
    let fraction = start.wrapping_add(place.wrapping_mul(GOLDEN));
    // A window is at most a century, so that neither of the two is cut short.
    let nanoseconds = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(((u128::from(nanoseconds) * u128::from(fraction)) >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_moment_is_in_the_window(start: u64, place: u64, window in 1..u64::MAX) {
            let window = Duration::from_nanos(window);
            prop_assert!(moment(start, place, window) < window);
        }

        /// Of as many parts of the window as a third of the connections, each has one at least, and none has many.
        #[test]
        fn the_moments_are_spread_evenly(start: u64, first in 0..u64::MAX / 2, count in 3..2000_u64) {
            let window = Duration::from_secs(30);
            let parts = (count / 3) as usize;
            let mut told = vec![0; parts];
            for place in first..first + count {
                let moment = moment(start, place, window).as_nanos();
                told[(moment * parts as u128 / window.as_nanos()) as usize] += 1;
            }
            prop_assert!(told.iter().all(|&told| (1..=9).contains(&told)), "{told:?}");
        }
    }

    #[test]
    fn without_a_window_it_is_the_beginning() {
        let spread = Jitter::over(Duration::ZERO);
        assert_eq!((spread.draw(), spread.draw()), (Duration::ZERO, Duration::ZERO));
    }
}
