//! What deeds on clocks do to a simulated node's wall clock.
//!
//! Promises: what they do to a real one: a jump and its end, a drift that is gone when it is healed, a strobe in the nemesis' beats.
//! They stack, and end in any order. The monotonic clock is left alone.

use crate::clock::Clock;
use plan::clock_deed::ClockDeed;

/// What was done to one clock for one fault.
#[derive(Debug)]
pub struct Wrong {
    deed: ClockDeed,
    began_ns: u64,
    /// It makes a difference now.
    off: bool,
}

impl Wrong {
    pub fn begin(deed: ClockDeed, clock: &mut Clock, now_ns: u64) -> Wrong {
        let mut wrong = Wrong { deed, began_ns: now_ns, off: false };
        wrong.set(true, clock);
        wrong
    }

    /// Makes the clock wrong, or no longer.
    pub fn set(&mut self, off: bool, clock: &mut Clock) {
        if self.off == off {
            return;
        }
        self.off = off;
        match (self.deed, off) {
            (ClockDeed::Jump { by } | ClockDeed::Strobe { by, .. }, true) => clock.jump(by.ms),
            (ClockDeed::Jump { by } | ClockDeed::Strobe { by, .. }, false) => clock.jump(-by.ms),
            (ClockDeed::Drift { rate }, true) => clock.drift(rate.ppm, self.began_ns),
            (ClockDeed::Drift { rate }, false) => clock.end_drift(rate.ppm, self.began_ns),
        }
    }
}
