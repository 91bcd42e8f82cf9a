//! Whether the load goes on undisturbed: nothing late, nothing left unanswered. What is warm, and what is a baseline, is for
//! the stage to say.

use crate::live::Counters;
use std::sync::atomic::Ordering;

/// Open sends of which none is answered for so long are a disturbance, before any of them is late.
const UNANSWERED_MS: u64 = 500;

/// A stretch of time in which nothing disturbed the load so far.
pub struct Calm {
    pub since_ms: u64,
    /// When something was last answered, or nothing was open, and how many sends had succeeded by then.
    answered: (u64, u64),
}

impl Calm {
    pub fn since(now_ms: u64) -> Calm {
        Calm { since_ms: now_ms, answered: (now_ms, 0) }
    }

    /// Wants to be asked again and again.
    pub fn holds(&mut self, now_ms: u64, counters: &Counters) -> bool {
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        // Outcomes first: what is sent meanwhile is open then, and not the other way round.
        let ok = of(&counters.ok);
        let ended = ok + of(&counters.fail) + of(&counters.info);
        let is_open = of(&counters.sent) > ended;
        if ok != self.answered.1 || !is_open {
            self.answered = (now_ms, ok);
        }
        let late_ms = of(&counters.late_ns) / 1_000_000;
        late_ms <= self.since_ms && now_ms <= self.answered.0 + UNANSWERED_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_or_unanswered_ends_it() {
        let counters = Counters::new(1);
        let mut calm = Calm::since(1_000);
        assert!(calm.holds(9_000, &counters), "nothing is open");
        counters.sent.store(10, Ordering::Relaxed);
        assert!(calm.holds(9_400, &counters));
        counters.ok.store(1, Ordering::Relaxed);
        assert!(calm.holds(9_600, &counters), "one was answered");
        assert!(calm.holds(10_100, &counters));
        assert!(!calm.holds(10_101, &counters), "nine are open, and none was answered for so long");
        counters.ok.store(9, Ordering::Relaxed);
        counters.info.store(1, Ordering::Relaxed);
        assert!(calm.holds(20_000, &counters), "all have ended");
        counters.late_ns.store(19_000_000_000, Ordering::Relaxed);
        assert!(!calm.holds(20_001, &counters), "one of them late");
        assert!(Calm::since(20_001).holds(20_002, &counters), "before this one");
    }
}
