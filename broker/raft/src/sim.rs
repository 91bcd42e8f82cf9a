//! A seeded world of a few members with a bad network and bad disks, for the properties that make a quorum one.
//!
//! Messages are delayed, lost in either direction and cut off; requests of one member to another keep their order, as on
//! a stream. Members are killed (the page cache stays) and lose their power (what was not synced is gone, and any prefix
//! of the operations under way was carried out). Then the world is healed and must come to agree.
//!
//! More seeds: `HIGHWATER_RAFT_SEEDS=100000 cargo test -p highwater-raft sim`. One: `HIGHWATER_RAFT_SEED=17`.

mod check;
mod trouble;
mod world;

use crate::{Defect, Defects};
use world::{World, WorldConfig};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run_seeds(first: u64, count: u64, config: WorldConfig) {
    let count = number("HIGHWATER_RAFT_SEEDS").unwrap_or(count);
    let seeds = match number("HIGHWATER_RAFT_SEED") {
        Some(seed) => seed..seed + 1,
        None => first..first + count,
    };
    for seed in seeds {
        let told = std::panic::catch_unwind(|| World::new(seed, config).run());
        if let Err(panic) = told {
            eprintln!("to see it again: HIGHWATER_RAFT_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn three_voters_under_all_faults() {
    run_seeds(0, 300, WorldConfig::default());
}

#[test]
fn five_voters_and_observers() {
    run_seeds(1_000_000, 60, WorldConfig { voters: 5, observers: 1, ..WorldConfig::default() });
}

#[test]
fn a_sole_voter_with_an_observer() {
    run_seeds(2_000_000, 100, WorldConfig { voters: 1, observers: 1, ..WorldConfig::default() });
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..5 {
        let run = || World::new(seed, WorldConfig::default()).run();
        assert_eq!(run(), run());
    }
}

/// Without faults: an election, and from then on the same leader.
#[test]
fn a_quiet_world_elects_once() {
    for seed in 0..50 {
        let config = WorldConfig { faults: false, ..WorldConfig::default() };
        let story = World::new(seed, config).run();
        assert!(story.leaders <= 2, "seed {seed}: {story:?}");
        assert!(story.committed > 20, "seed {seed}: {story:?}");
    }
}

/// A killed leader's successor is at work long before any fetch timeout.
#[test]
fn a_dead_leader_is_replaced_at_once() {
    for seed in 0..50 {
        let config = WorldConfig { faults: false, ..WorldConfig::default() };
        let mut world = World::new(seed, config);
        let took_ms = world.fail_over();
        assert!(took_ms < 400, "seed {seed}: the next leader took {took_ms} ms");
    }
}

/// The checks see what they are for. Beginning near where they are known to, so that the test is quick.
#[test]
fn every_defect_is_caught() {
    for (defect, first) in [
        (Defect::UnsyncedVote, 100),
        (Defect::ForgottenVote, 0),
        (Defect::VoteForShorterLog, 0),
        (Defect::CommitEarlierEpoch, 0),
        (Defect::MinorityCommit, 0),
        (Defect::KeepDivergedTail, 0),
    ] {
        let config =
            WorldConfig { defects: Defects::default().with(defect), ..WorldConfig::default() };
        let run = |seed| std::panic::catch_unwind(|| World::new(seed, config).run());
        let caught = (first..first + 2_000).any(|seed| run(seed).is_err());
        assert!(caught, "2000 seeds, and nobody saw {defect:?}");
    }
}
