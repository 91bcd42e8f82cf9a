//! The fault atlas: how much may be damaged at one time so that the promise still has to hold.
//!
//! A copy that was destroyed (a wiped disk, an old state put back, bytes that were not synced when the power went, pages
//! dropped by a failed sync) counts as damaged until every partition's ISR was seen whole again, with its node up. At no
//! time are more copies damaged than an acks=all acknowledgement has to spare: the smallest `min.insync.replicas` of any
//! topic, minus one. A voter of the quorum never loses what it had synced: with a fixed set of voters KRaft promises
//! nothing to a voter that comes back with another disk under the same id.
//!
//! Promises: a schedule that stays within it has no excuse. Source of the idea: TigerBeetle's `ClusterFaultAtlas`
//! (src/testing/storage.zig). Not here: schedules that are meant to exceed the promise; they are told so.

use crate::scenario::{FailingOp, Scenario, What};
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub struct Atlas {
    exceeds: bool,
    /// Copies that may be damaged at one time.
    spare: usize,
    /// Each batch is synced before it is acknowledged, on every topic: power losses destroy nothing.
    all_synced: bool,
    voters: BTreeSet<u16>,
    damaged: BTreeSet<u16>,
}

/// What a fault takes from the copies on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Unsynced,
    Disk,
}

pub fn takes(what: &What) -> Takes {
    match what {
        What::PowerLoss { .. } | What::PowerLossOfAll { .. } => Takes::Unsynced,
        // The kernel drops the dirty pages with the error (Rebello et al., "Can Applications Recover from fsync
        // Failures?", ATC 2020).
        What::DiskError { op: FailingOp::Sync, .. } => Takes::Unsynced,
        What::Wipe { .. } | What::OldSnapshot { .. } | What::BitRot { .. } => Takes::Disk,
        _ => Takes::Nothing,
    }
}

impl Atlas {
    pub fn new(scenario: &Scenario) -> Atlas {
        let property = |key: &'static str| {
            scenario.topics.iter().map(move |topic| topic.properties.get(key).map(String::as_str))
        };
        let copies = property("min.insync.replicas")
            .zip(&scenario.topics)
            .map(|(value, topic)| {
                let least = value.and_then(|value| value.parse().ok()).unwrap_or(1usize);
                least.min(usize::from(topic.replication_factor))
            })
            .min();
        Atlas {
            exceeds: scenario.exceeds_promise,
            spare: copies.unwrap_or(1).saturating_sub(1),
            all_synced: property("flush.messages").all(|value| value == Some("1")),
            voters: scenario.voter_ids().collect(),
            damaged: BTreeSet::new(),
        }
    }

    /// Whether these nodes may lose this now. If so, it is counted.
    pub fn allows(&mut self, takes: Takes, nodes: &[u16]) -> bool {
        let counts = match takes {
            Takes::Nothing => return true,
            Takes::Unsynced if self.all_synced => return true,
            Takes::Unsynced => true,
            Takes::Disk => !nodes.iter().any(|node| self.voters.contains(node)),
        };
        let with: BTreeSet<u16> = self.damaged.iter().chain(nodes).copied().collect();
        let allowed = self.exceeds || (counts && with.len() <= self.spare);
        if allowed {
            self.damaged = with;
        }
        allowed
    }

    /// Every ISR is whole and every damaged node is up: the copies have been made anew.
    pub fn all_whole(&mut self) {
        self.damaged.clear();
    }

    pub fn damaged(&self) -> &BTreeSet<u16> {
        &self.damaged
    }
}
