//! Seeded random streams. One stream for each subsystem, told apart by a salt, so that a new draw in one does not
//! shift the others.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). Small, and good enough
/// to choose partitions and payloads; nothing here needs more.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of `salt` under `seed`.
    pub fn new(seed: u64, salt: &str) -> Self {
        let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
        for byte in salt.bytes() {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let mut random = Random(state);
        random.next();
        random
    }

    #[expect(
        clippy::should_implement_trait,
        reason = "a random stream is no iterator: it never ends"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..bound`, by multiplication: its bias is below 2⁻³² for the bounds that we draw from.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing to draw from");
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_salt() {
        let draw = |seed, salt| {
            let mut random = Random::new(seed, salt);
            (0..8).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, "load"), draw(7, "load"));
        assert_ne!(draw(7, "load"), draw(7, "faults"));
        assert_ne!(draw(7, "load"), draw(8, "load"));
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut random = Random::new(1, "test");
        let mut seen = [0u32; 10];
        for _ in 0..1000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
    }
}
