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
    /// What else is wrong with the wall clock alone.
    shifts: Vec<WallShift>,
}

/// A reason for a wall clock to be wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallShift {
    pub by_ms: i64,
    /// Millionths by which it runs fast.
    pub ppm: i32,
    /// It counts in every other period, in the first one to begin with; 0: always.
    pub period_ns: u64,
    /// The moment of the world at which it began.
    pub from_ns: u64,
}

impl Clock {
    pub fn new(origin_ns: u64, drift_ppm: i32) -> Clock {
        assert!(drift_ppm.abs() < 1_000_000, "a clock that stands still or runs backwards");
        Clock { origin_ns, drift_ppm: i64::from(drift_ppm), jumped_ms: 0, shifts: Vec::new() }
    }

    /// What the clocks say at a moment of the world.
    pub fn now(&self, world_ns: u64) -> Now {
        let passed_ns = self.passed_ns(world_ns);
        let passed_ms = i64::try_from(passed_ns / 1_000_000).expect("less than centuries");
        let shifted_ms: i64 = self.shifts.iter().map(|shift| shift.ms(world_ns)).sum();
        let wall_ms = WALL_MS + passed_ms + self.jumped_ms + shifted_ms;
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

    /// The wall clock is wrong by this, until it is lifted.
    pub fn hold(&mut self, shift: WallShift) {
        self.shifts.push(shift);
    }

    /// Ends one of those that are held, and all that it has come to.
    pub fn lift(&mut self, shift: WallShift) {
        let at = self.shifts.iter().position(|held| *held == shift);
        at.map(|at| self.shifts.remove(at));
    }

    fn passed_ns(&self, world_ns: u64) -> u64 {
        let drift_ns = i128::from(world_ns) * i128::from(self.drift_ppm) / 1_000_000;
        u64::try_from(i128::from(world_ns) + drift_ns).expect("less than centuries")
    }
}

impl WallShift {
    fn ms(&self, world_ns: u64) -> i64 {
        let since_ns = world_ns.saturating_sub(self.from_ns);
        if since_ns.checked_div(self.period_ns).is_some_and(|beat| beat % 2 == 1) {
            return 0;
        }
        let drifted_ms = i128::from(since_ns) * i128::from(self.ppm) / 1_000_000_000_000;
        self.by_ms + i64::try_from(drifted_ms).expect("less than centuries")
    }
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
    fn what_is_held_on_a_wall_clock_adds_up_and_ends_in_any_order() {
        let mut clock = Clock::new(5, 0);
        let at = |clock: &Clock, s: u64| clock.now(s * 1_000_000_000);
        let before = [at(&clock, 11), at(&clock, 12)];
        let second = 1_000_000_000;
        let fast = WallShift { ppm: 50_000, from_ns: second, ..WallShift::default() };
        let strobe =
            WallShift { by_ms: -700, period_ns: second, from_ns: second, ..WallShift::default() };
        clock.hold(fast);
        clock.hold(strobe);
        assert_eq!(at(&clock, 11).mono_ns, before[0].mono_ns);
        assert_eq!(at(&clock, 11).wall_ms, before[0].wall_ms + 500 - 700);
        assert_eq!(at(&clock, 12).wall_ms, before[1].wall_ms + 550);
        clock.lift(fast);
        assert_eq!(at(&clock, 11).wall_ms, before[0].wall_ms - 700);
        clock.lift(strobe);
        assert_eq!([at(&clock, 11), at(&clock, 12)], before);
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
