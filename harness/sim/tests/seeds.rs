//! Fresh schedules of the healthy broker hold, each of them twice in the same way; and together they come through every
//! state that schedules should come through.
#![allow(
    clippy::disallowed_methods,
    reason = "schedules run side by side, on threads that know nothing of each other"
)]

use sim::run::run;
use sim::swarm;
use sim::tally::Tally;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many at least, and more until every state was reached; a rare one moves with every change of the broker.
const SEEDS: u64 = 250;
const SEEDS_MAX: u64 = 2_000;

#[test]
fn no_schedule_fails_and_each_repeats_itself() {
    let next = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_reached =
                || tally.lock().expect("no other thread has failed").unreached().is_empty();
            if seed >= SEEDS_MAX || (seed >= SEEDS && is_reached()) {
                return;
            }
            let scenario = swarm::draw(seed, &[]);
            let (first, second) = (run(&scenario, false), run(&scenario, true));
            assert_eq!(first.failure, None, "seed {seed}");
            assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}, told and untold");
            tally.lock().expect("no other thread has failed").add(seed, &first);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let tally = tally.into_inner().expect("no thread has failed");
    assert!(tally.schedules >= SEEDS);
    assert_eq!(tally.unreached(), [""; 0], "states that no schedule reaches");
}
