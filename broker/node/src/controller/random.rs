//! The controller's stream of draws: placement and topic ids.
//!
//! Promises: a seed gives the same draws for ever (SplitMix64). Not for secrets.

use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Steers the stream by something that no other life of a controller shares, such as its epoch.
    pub fn mix(&mut self, salt: u64) {
        self.state = self.state.wrapping_add(salt.wrapping_mul(0xd134_2543_de82_ef95));
        self.draw();
    }

    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A draw in `0..bound`; 0 where the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 {
            return 0;
        }
        // The bias of the remainder is 2^-50 for any number of brokers that fits a cluster.
        (self.draw() % bound as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// A version 4 UUID. None of Kafka's reserved ids is of that version.
    pub fn uuid(&mut self) -> Uuid {
        let bits = (u128::from(self.draw()) << 64) | u128::from(self.draw());
        let version = 0x4_u128 << 76;
        let variant = 0x2_u128 << 62;
        Uuid::from_u128((bits & !(0xf_u128 << 76) & !(0x3_u128 << 62)) | version | variant)
    }
}
