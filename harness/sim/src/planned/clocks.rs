//! What deeds on clocks do to a simulated node's wall clock: what they do to a real one.

use crate::clock::WallShift;
use plan::clock_deed::ClockDeed;

/// What the deed makes of a clock from a moment of the world on.
pub fn shift(deed: ClockDeed, from_ns: u64) -> WallShift {
    let shift = WallShift { from_ns, ..WallShift::default() };
    match deed {
        ClockDeed::Jump { by } => WallShift { by_ms: by.ms, ..shift },
        ClockDeed::Drift { rate } => WallShift { ppm: rate.ppm, ..shift },
        ClockDeed::Strobe { by, period } => {
            WallShift { by_ms: by.ms, period_ns: period.0 * 1_000_000, ..shift }
        }
    }
}
