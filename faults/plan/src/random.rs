//! The one source of random choices here: SplitMix64, one salted stream for each subsystem.
//!
//! Promises: the same seed and salt give the same draws for ever (they are part of what `again` means), and a new
//! draw in one stream does not shift another. Not for secrets.

/// A stream of draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    state: u64,
}

impl Stream {
    /// The stream of one subsystem: `salt` is its name.
    pub fn new(seed: u64, salt: &str) -> Stream {
        // FNV-1a over the salt, then one round of mixing, so that near seeds and near salts are far apart.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in salt.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let mut stream = Stream { state: seed ^ hash };
        let state = stream.next_u64();
        Stream { state }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing to draw from");
        // Widening multiply: the bias is below bound / 2^64.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `least..=most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        assert!(least <= most, "an empty range");
        match (most - least).checked_add(1) {
            Some(width) => least + self.below(width),
            None => self.next_u64(),
        }
    }

    /// Fisher–Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_salt_give_the_same_draws_for_ever() {
        let mut stream = Stream::new(8412, "schedule");
        let draws: Vec<u64> = (0..3).map(|_| stream.below(1000)).collect();
        let mut again = Stream::new(8412, "schedule");
        assert_eq!(draws, (0..3).map(|_| again.below(1000)).collect::<Vec<_>>());
        let mut other = Stream::new(8412, "workload");
        assert_ne!(draws, (0..3).map(|_| other.below(1000)).collect::<Vec<_>>());
    }

    #[test]
    fn draws_stay_in_their_range_and_reach_its_ends() {
        let mut stream = Stream::new(1, "test");
        let draws: Vec<u64> = (0..1000).map(|_| stream.between(3, 7)).collect();
        assert!(draws.iter().all(|draw| (3..=7).contains(draw)));
        assert!((3..=7).all(|value| draws.contains(&value)));
        assert!(stream.between(0, u64::MAX) != stream.between(0, u64::MAX));
    }
}
