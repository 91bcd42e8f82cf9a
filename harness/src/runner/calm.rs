//! Whether the load goes on undisturbed: nothing late, nothing about to be. What is warm, and what is a baseline, is for the
//! stage to say.

use crate::live::Counters;
use std::sync::atomic::Ordering;

/// A stretch of time in which nothing disturbed the load so far.
pub struct Calm {
    pub since_ms: u64,
    /// A send that waits longer than this for its answer disturbs: half of the time in which it must come.
    waits_ms_max: u64,
}

impl Calm {
    pub fn since(now_ms: u64, deadline_ms: u64) -> Calm {
        Calm { since_ms: now_ms, waits_ms_max: deadline_ms / 2 }
    }

    /// Every send that was answered was so in time, and none has been open for long.
    pub fn holds(&self, now_ms: u64, counters: &Counters) -> bool {
        let of =
            |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed) / 1_000_000;
        let (late_ms, oldest_ms) = (of(&counters.late_ns), of(&counters.oldest_open_ns));
        late_ms <= self.since_ms && now_ms.saturating_sub(oldest_ms) <= self.waits_ms_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_or_waits_for_long_ends_it() {
        let counters = Counters::new(1);
        let calm = Calm::since(1_000, 1_000);
        assert!(calm.holds(9_000, &counters), "nothing is open");
        counters.oldest_open_ns.store(9_000_000_000, Ordering::Relaxed);
        assert!(calm.holds(9_500, &counters));
        assert!(!calm.holds(9_501, &counters), "half of its time is over");
        counters.oldest_open_ns.store(u64::MAX, Ordering::Relaxed);
        counters.late_ns.store(10_000_000_000, Ordering::Relaxed);
        assert!(!calm.holds(10_001, &counters), "it was late");
        assert!(Calm::since(10_001, 1_000).holds(10_002, &counters), "before this one");
    }
}
