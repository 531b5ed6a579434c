//! A share of the cells, chosen by a random seed. If the seeds take turns, every cell is run at some time.

use std::str::FromStr;

/// One part of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which part, from 1.
    pub part: usize,
    /// The number of parts.
    pub of: usize,
}

impl Share {
    /// Everything.
    pub const WHOLE: Self = Self { part: 1, of: 1 };
}

/// Shown as `1/4`.
impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers =
            text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((part, of)) if (1..=of).contains(&part) => Ok(Self { part, of }),
            _ => Err(format!("expected a share such as `1/4`, found `{text}`")),
        }
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.part, self.of)
    }
}

/// Returns this share of the numbers below `count`, in an order that `seed` determines. All parts of a seed make up
/// the whole.
pub fn choose(count: usize, share: Share, seed: u64) -> Vec<usize> {
    let mut all: Vec<usize> = (0..count).collect();
    let mut state = seed;
    for index in (1..count).rev() {
        let other = (mix(&mut state) % (index as u64 + 1)) as usize;
        all.swap(index, other);
    }
    let mut chosen: Vec<usize> = all.into_iter().skip(share.part - 1).step_by(share.of).collect();
    chosen.sort_unstable();
    chosen
}

/// SplitMix64.
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_a_seed_are_the_whole() {
        let mut all: Vec<usize> = (1..=7).flat_map(|part| choose(100, Share { part, of: 7 }, 3)).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..100));
        assert_ne!(choose(100, Share { part: 1, of: 7 }, 3), choose(100, Share { part: 1, of: 7 }, 4));
    }

    #[test]
    fn a_share_is_read_and_shown() {
        assert_eq!("2/5".parse::<Share>().unwrap().to_string(), "2/5");
        for text in ["", "0/3", "4/3", "1", "1/0", "a/b"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
