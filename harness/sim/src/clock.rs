//! A node's own idea of time: it may run fast or slow, and its wall clock may jump.
//!
//! Promises: the monotonic clock never goes back, whatever the drift; its origin differs from node to node, so that a
//! node that compared its own with a peer's would be found out. Only the wall clock jumps, and only it is made to drift on the way.

use node::step::Now;

/// When every simulation begins, in milliseconds since the epoch.
pub const WALL_MS: i64 = 1_700_000_000_000;

#[derive(Clone, Debug)]
pub struct Clock {
    origin_ns: u64,
    drift_ppm: i64,
    jumped_ms: i64,
    /// Drifts of the wall clock alone: in millionths, each with the moment of the world at which it began.
    wall_drifts: Vec<(i32, u64)>,
}

impl Clock {
    pub fn new(origin_ns: u64, drift_ppm: i32) -> Clock {
        assert!(drift_ppm.abs() < 1_000_000, "a clock that stands still or runs backwards");
        Clock { origin_ns, drift_ppm: i64::from(drift_ppm), jumped_ms: 0, wall_drifts: Vec::new() }
    }

    /// What the clocks say at a moment of the world.
    pub fn now(&self, world_ns: u64) -> Now {
        let passed_ns = self.passed_ns(world_ns);
        let passed_ms = i64::try_from(passed_ns / 1_000_000).expect("less than centuries");
        let drifted_ms: i64 =
            self.wall_drifts.iter().map(|drift| drifted_ms(*drift, world_ns)).sum();
        let wall_ms = WALL_MS + passed_ms + self.jumped_ms + drifted_ms;
        Now { mono_ns: self.origin_ns + passed_ns, wall_ms }
    }

    /// The first moment of the world at which the monotonic clock has reached `mono_ns`.
    pub fn world_ns(&self, mono_ns: u64) -> u64 {
        let wanted_ns = u128::from(mono_ns.saturating_sub(self.origin_ns));
        let rate = u128::try_from(1_000_000 + self.drift_ppm).expect("a clock that goes forward");
        let mut world_ns = u64::try_from(wanted_ns * 1_000_000 / rate).unwrap_or(u64::MAX);
        // Rounding on the way here and on the way back may be a step or two apart.
        while u128::from(self.passed_ns(world_ns)) < wanted_ns {
            world_ns += 1;
        }
        while world_ns > 0 && u128::from(self.passed_ns(world_ns - 1)) >= wanted_ns {
            world_ns -= 1;
        }
        world_ns
    }

    pub fn jump(&mut self, by_ms: i64) {
        self.jumped_ms += by_ms;
    }

    /// From this moment on the wall clock runs so much faster.
    pub fn drift(&mut self, ppm: i32, from_ns: u64) {
        self.wall_drifts.push((ppm, from_ns));
    }

    /// Ends such a drift, and what it has come to.
    pub fn end_drift(&mut self, ppm: i32, from_ns: u64) {
        let at = self.wall_drifts.iter().position(|drift| *drift == (ppm, from_ns));
        at.map(|at| self.wall_drifts.remove(at));
    }

    fn passed_ns(&self, world_ns: u64) -> u64 {
        let drift_ns = i128::from(world_ns) * i128::from(self.drift_ppm) / 1_000_000;
        u64::try_from(i128::from(world_ns) + drift_ns).expect("less than centuries")
    }
}

fn drifted_ms((ppm, from_ns): (i32, u64), world_ns: u64) -> i64 {
    let passed_ns = i128::from(world_ns.saturating_sub(from_ns));
    i64::try_from(passed_ns * i128::from(ppm) / 1_000_000_000_000).expect("less than centuries")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_comes_at_the_first_moment_at_which_the_clock_has_reached_it() {
        for drift_ppm in [0, 200, -200, 50_000, -50_000] {
            let clock = Clock::new(77_000_000_000, drift_ppm);
            for deadline_ns in (77_000_000_000..77_000_050_000).step_by(777) {
                let at_ns = clock.world_ns(deadline_ns);
                assert!(clock.now(at_ns).mono_ns >= deadline_ns);
                assert!(at_ns == 0 || clock.now(at_ns - 1).mono_ns < deadline_ns);
            }
        }
    }

    #[test]
    fn drifts_of_the_wall_clock_add_up_and_end_in_any_order() {
        let mut clock = Clock::new(5, 0);
        let at = |clock: &Clock| clock.now(11_000_000_000);
        let before = at(&clock);
        clock.drift(50_000, 1_000_000_000);
        clock.drift(-10_000, 6_000_000_000);
        assert_eq!(at(&clock).mono_ns, before.mono_ns);
        assert_eq!(at(&clock).wall_ms, before.wall_ms + 500 - 50);
        clock.end_drift(50_000, 1_000_000_000);
        assert_eq!(at(&clock).wall_ms, before.wall_ms - 50);
        clock.end_drift(-10_000, 6_000_000_000);
        assert_eq!(at(&clock), before);
    }

    #[test]
    fn only_the_wall_clock_jumps() {
        let mut clock = Clock::new(5, 0);
        let before = clock.now(1_000_000_000);
        clock.jump(-3_000);
        let after = clock.now(1_000_000_000);
        assert_eq!(after.mono_ns, before.mono_ns);
        assert_eq!(after.wall_ms, before.wall_ms - 3_000);
    }
}
