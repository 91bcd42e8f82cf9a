//! Each seeded defect is found by its first bad schedule, at the seed and by the check that the table says; and the same
//! schedule without the defect holds. `docs/reference/defects.md` repeats the table.
//!
//! Where a change of the broker or of the simulation moves the seeds, measure anew (minutes, in the release profile):
//! `cargo test --release -p highwater-sim --test defects -- --ignored --nocapture`
#![allow(
    clippy::disallowed_methods,
    reason = "schedules run side by side, on threads that know nothing of each other"
)]

use node::defect::Defect;
use sim::run::run;
use sim::scenario::Scenario;
use sim::swarm;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Further than this nobody looks for a defect.
const SEEDS_MAX: u64 = 2_000;

/// The first seed that fails with the defect and not without it, and the check that fails.
const FOUND: &[(&str, u64, &str)] = &[
    ("ack-before-isr", 0, "acknowledged-in-sync"),
    ("truncate-to-high-watermark", 0, "recovered-prefix"),
    ("no-epoch-fencing", 11, "log-matching"),
    ("forget-producer-state", 10, "no-duplicates"),
    ("high-watermark-by-majority", 0, "high-watermark-held"),
    ("high-watermark-ignores-joining", 0, "high-watermark-held"),
    ("shrink-isr-unasked", 15, "high-watermark-held"),
    ("join-isr-at-high-watermark", 10, "joins-complete"),
    ("min-insync-unchecked", 0, "acknowledged-in-sync"),
    ("new-leader-commits-its-tail", 10, "high-watermark-held"),
    ("truncate-once", 0, "log-matching"),
    ("stale-epoch-stamp", 11, "log-matching"),
    ("sequence-noted-before-checks", 49, "durability"),
    ("ack-duplicate-at-once", 6, "acknowledged-in-sync"),
    ("sequence-gaps", 49, "order"),
    ("producer-id-twice", 0, "durability"),
    ("offset-commit-before-isr", 3, "committed-offset-lost"),
    ("load-to-high-watermark", 8, "committed-offset-lost"),
    ("zombie-commits", 0, "generation-over"),
    ("duplicate-at-log-end", 1, "acknowledged-in-sync"),
    ("read-past-high-watermark", 0, "shown-committed"),
    ("latest-is-log-end", 0, "shown-committed"),
    ("unsynced-vote", 59, "leader-completeness"),
    ("forgotten-vote", 0, "one-vote-per-epoch"),
    ("vote-for-shorter-log", 32, "metadata-kept"),
    ("commit-earlier-epoch", 8, "commits-own-epoch"),
    ("minority-commit", 0, "quorum-majority"),
    ("keep-diverged-metadata", 14, "liveness"),
    ("unsynced-metadata-log", 10, "recovered-prefix"),
    ("ack-before-sync", 79, "recovered-prefix"),
    ("unsynced-segment-name", 59, "leader-completeness"),
    ("retention-above-high-watermark", 1, "log-start-bound"),
    ("stale-epoch-cache", 17, "liveness"),
    ("recovery-skips-crc", 59, "recovered-prefix"),
    ("recovery-not-synced", 82, "recovered-prefix"),
    ("recovery-point-before-sync", 0, "recovered-prefix"),
    ("unclean-election", 32, "durability"),
    ("stale-broker-epoch", 147, "joins-complete"),
    ("fenced-joins-isr", 0, "fenced-out"),
    ("elr-after-unclean-shutdown", 229, "leader-completeness"),
    ("restart-keeps-leadership", 1, "broker-epochs"),
    ("answer-before-commit", 15, "acknowledged-in-sync"),
];

/// The schedule of a seed with the defect, and the same one without it.
fn schedules(defect: &str, seed: u64) -> (Scenario, Scenario) {
    let with = swarm::draw(seed, &[defect.to_owned()]);
    let mut without = with.clone();
    without.defects.clear();
    (with, without)
}

/// Does the work for each of them, on all cores.
fn for_each<T: Sync>(all: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(one);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(worker))));
}

#[test]
fn each_is_found_where_the_table_says() {
    let rows: BTreeMap<&str, (u64, &str)> =
        FOUND.iter().map(|(defect, seed, check)| (*defect, (*seed, *check))).collect();
    assert_eq!(rows.len(), Defect::all().len(), "one row for each defect");
    for_each(Defect::all(), |defect| {
        let name = defect.name();
        let (seed, check) = *rows.get(name).unwrap_or_else(|| panic!("{name} has no row"));
        assert!(seed < SEEDS_MAX, "{name} takes too long to be found");
        let (with, without) = schedules(name, seed);
        let found = run(&with, false).failure.map(|failure| failure.check);
        assert_eq!(found.as_deref(), Some(check), "{name} at seed {seed}");
        assert_eq!(run(&without, false).failure, None, "seed {seed} of {name}, without it");
    });
}

#[test]
#[ignore = "it measures, and prints rows for the table"]
fn measure() {
    for_each(Defect::all(), |defect| {
        let name = defect.name();
        let found = (0..SEEDS_MAX).find_map(|seed| {
            let (with, without) = schedules(name, seed);
            let failure = run(&with, false).failure?;
            run(&without, false).failure.is_none().then_some((seed, failure))
        });
        match found {
            Some((seed, failure)) => println!("    (\"{name}\", {seed}, \"{}\"),", failure.check),
            None => println!("    // {name}: not found in {SEEDS_MAX} seeds"),
        }
    });
}
