//! What can be done to a node's wall clock.
//!
//! Promises: as [`crate::deed`] does, plain data with every parameter in it. They stack on one node, on one another and on
//! anything else: how far a clock is off is the sum of all that stand. Not here: how a clock is moved.

use crate::deed::{DeedName, Value};
use crate::units::{Drift, Millis, Shift};

/// A deviation that grows is seen once it is this large: far above a round trip.
const SEEN_MS: u64 = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockDeed {
    /// Healed by a jump back.
    Jump { by: Shift },
    /// Healed by true time again: what it gained or lost is gone at once.
    Drift { rate: Drift },
    /// Off in the first period, true in the second one, and so on. Healed by true time.
    Strobe { by: Shift, period: Millis },
}

impl ClockDeed {
    pub fn name(self) -> DeedName {
        match self {
            ClockDeed::Jump { .. } => DeedName::ClockJump,
            ClockDeed::Drift { .. } => DeedName::ClockDrift,
            ClockDeed::Strobe { .. } => DeedName::ClockStrobe,
        }
    }

    /// How long it may take to be seen in effect, beyond what every fault is given.
    pub fn takes_ms(self) -> u64 {
        match self {
            ClockDeed::Jump { .. } => 0,
            ClockDeed::Drift { rate } => {
                SEEN_MS * 1_000_000 / u64::from(rate.ppm.unsigned_abs().max(1))
            }
            // Both of its parts are to be seen.
            ClockDeed::Strobe { period, .. } => 4 * period.0,
        }
    }

    /// Its parameters by their keys in a plan, all of them.
    pub fn parameters(self) -> Vec<(&'static str, Value)> {
        match self {
            ClockDeed::Jump { by } => vec![("by", Value::Text(by.to_string()))],
            ClockDeed::Drift { rate } => vec![("rate", Value::Text(rate.to_string()))],
            ClockDeed::Strobe { by, period } => vec![
                ("by", Value::Text(by.to_string())),
                ("period", Value::Text(period.to_string())),
            ],
        }
    }
}
