//! The fault atlas: how much may be damaged at one time so that the promise still has to hold.
//!
//! A copy that was destroyed (a wiped disk, an old state put back, bytes that were not synced when the power went, pages
//! dropped by a failed sync) counts as damaged until its broker is registered anew and back in every ISR: before that the
//! metadata may still name the process that had the copy. At no time are more copies damaged than an acks=all
//! acknowledgement has to spare: the smallest `min.insync.replicas` of any topic, minus one; none without eligible leader
//! replicas. A voter of the quorum never loses what it had synced: with a fixed set of voters KRaft promises nothing to a
//! voter that comes back with another disk under the same id.
//!
//! A killed process destroys nothing, and yet it counts beside a damaged copy: to a controller an end that was not a
//! controlled shutdown may have lost what was not synced, so that the broker leaves ISR and ELR when it comes back
//! (KIP-966), and where that empties both, the last leader is elected, damaged or not. So does whatever may cost a broker
//! its place in an ISR: who is stalled, cut off, slow or shutting down may be fenced while a quorum of the ISR is left, and
//! is in the ELR of nothing then. While a copy of a partition is damaged, some broker that is in its ISR or ELR therefore
//! has to stay up and be left alone: that much, and no more, Kafka's design survives. The judge knows no such excuse. It
//! calls the loss of a record broken as long as one copy was destroyed and min.insync.replicas is two, whoever was killed
//! meanwhile.
//!
//! Promises: a schedule that stays within it has no excuse. Source of the idea: TigerBeetle's `ClusterFaultAtlas`
//! (src/testing/storage.zig). Not here: schedules that are meant to exceed the promise; they are told so.

use crate::scenario::{FailingOp, Scenario, What};
use model::cluster::PartitionState;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub struct Atlas {
    exceeds: bool,
    /// Copies that may be damaged at one time.
    spare: usize,
    /// Each batch is synced before it is acknowledged, on every topic: power losses destroy nothing.
    all_synced: bool,
    voters: BTreeSet<u16>,
    /// The highest id of a broker: the nodes above have no copies.
    brokers: u16,
    damaged: BTreeSet<u16>,
    exceeded: bool,
}

/// What a fault takes from the copies on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    /// Nothing that was written; but the process ends, or may, or its place in an ISR.
    Place,
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
        // A broker gives up when it cannot write.
        What::Kill { .. } | What::DiskError { .. } | What::DiskFull { .. } => Takes::Place,
        What::Shutdown { .. } | What::Stall { .. } | What::ClockJump { .. } => Takes::Place,
        What::Cut { .. } | What::Isolate { .. } | What::Partition { .. } => Takes::Place,
        What::SlowNetwork { .. } | What::SlowDisk { .. } => Takes::Place,
        What::Reset { .. } | What::ForgetConnections { .. } | What::RestartClient { .. } => {
            Takes::Nothing
        }
        What::ElectPreferred | What::AlterTopic { .. } | What::CreatePartitions { .. } => {
            Takes::Nothing
        }
    }
}

/// The cluster as it stands when something is about to break.
pub struct Standing<'a> {
    /// Every partition, by the committed metadata.
    pub partitions: Vec<&'a PartitionState>,
    /// Brokers that are down or about to be, or under a fault, or whose process has yet to register: the metadata's word
    /// about them is that of an earlier life, and will be taken back.
    pub unsound: BTreeSet<u16>,
}

impl Standing<'_> {
    /// The broker is what the metadata takes it for, and in sync wherever it has a copy.
    fn is_whole(&self, node: u16) -> bool {
        let id = i32::from(node);
        let in_sync = |p: &&PartitionState| !p.replicas.contains(&id) || p.isr.contains(&id);
        !self.unsound.contains(&node) && self.partitions.iter().all(in_sync)
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
        // Without eligible leader replicas whoever is fenced last stays in the ISR and leads when it is back, damaged or
        // not (KIP-966's "last replica standing"): a stall of the others is enough.
        let elr = scenario.cluster.properties.get("highwater.elr").is_none_or(|on| on != "false");
        // The offsets of groups are in a topic of the cluster's own, which is not synced batch by batch.
        let groups = scenario.consumers.iter().any(|consumer| consumer.group.is_some());
        Atlas {
            exceeds: scenario.exceeds_promise,
            spare: if elr { copies.unwrap_or(1).saturating_sub(1) } else { 0 },
            all_synced: !groups && property("flush.messages").all(|value| value == Some("1")),
            voters: scenario.voter_ids().collect(),
            brokers: scenario.cluster.brokers,
            damaged: BTreeSet::new(),
            exceeded: false,
        }
    }

    /// Something was allowed only because the schedule is told to exceed the promise.
    pub fn was_exceeded(&self) -> bool {
        self.exceeded
    }

    /// Whether these nodes may lose this now. If so, it is counted.
    pub fn allows(&mut self, takes: Takes, nodes: &[u16], standing: &Standing<'_>) -> bool {
        self.damaged.retain(|node| !standing.is_whole(*node));
        let (is_damage, is_survivable) = match takes {
            Takes::Nothing => return true,
            Takes::Place => (false, true),
            Takes::Unsynced => (!self.all_synced, true),
            Takes::Disk => (true, !nodes.iter().any(|node| self.voters.contains(node))),
        };
        let mut damaged = self.damaged.clone();
        damaged.extend(nodes.iter().filter(|node| is_damage && **node <= self.brokers));
        let is_in_spare = !is_damage || damaged.len() <= self.spare;
        let fits = is_survivable && is_in_spare && somebody_stays(&damaged, nodes, standing);
        let allowed = self.exceeds || fits;
        if allowed {
            self.damaged = damaged;
            self.exceeded |= !fits;
        }
        allowed
    }
}

/// Wherever a copy is damaged, a broker of the ISR or ELR is up and stays so.
fn somebody_stays(damaged: &BTreeSet<u16>, ends: &[u16], standing: &Standing<'_>) -> bool {
    let is = |nodes: &BTreeSet<u16>, id: i32| u16::try_from(id).is_ok_and(|n| nodes.contains(&n));
    let stays = |id: &i32| {
        !is(&standing.unsound, *id)
            && !is(damaged, *id)
            && !ends.iter().any(|n| i32::from(*n) == *id)
    };
    standing.partitions.iter().all(|partition| {
        let is_damaged = partition.replicas.iter().any(|id| is(damaged, *id));
        !is_damaged || partition.isr.iter().chain(&partition.elr).any(stays)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Whom;

    fn atlas(min_isr: &str) -> Atlas {
        atlas_with(min_isr, "true")
    }

    fn atlas_with(min_isr: &str, elr: &str) -> Atlas {
        let mut scenario = crate::swarm::draw(1, &[]);
        scenario.exceeds_promise = false;
        scenario.cluster.brokers = 4;
        scenario.cluster.properties.insert("highwater.elr".to_owned(), elr.to_owned());
        scenario.cluster.dedicated_controllers = 3;
        scenario.consumers.clear();
        scenario.topics.truncate(1);
        scenario.topics[0].replication_factor = 3;
        let properties = [("min.insync.replicas".to_owned(), min_isr.to_owned())];
        scenario.topics[0].properties = properties.into();
        Atlas::new(&scenario)
    }

    fn partition(replicas: &[i32], isr: &[i32], elr: &[i32]) -> PartitionState {
        PartitionState {
            at_ms: 0,
            topic: "t0".into(),
            partition: 0,
            leader: isr.first().copied().unwrap_or(-1),
            leader_epoch: 0,
            replicas: replicas.to_vec(),
            isr: isr.to_vec(),
            elr: elr.to_vec(),
            offline: Vec::new(),
            anew: None,
        }
    }

    fn standing<'a>(partition: &'a PartitionState, unsound: &[u16]) -> Standing<'a> {
        Standing { partitions: vec![partition], unsound: unsound.iter().copied().collect() }
    }

    #[test]
    fn an_isr_that_names_an_earlier_life_is_not_whole() {
        let mut atlas = atlas("2");
        let full = partition(&[1, 2, 3], &[1, 2, 3], &[]);
        assert!(atlas.allows(Takes::Unsynced, &[1], &standing(&full, &[])));
        // Back, and not registered: the metadata has the earlier process in the ISR, for as long as its session lasts.
        assert!(!atlas.allows(Takes::Unsynced, &[2], &standing(&full, &[1])));
        let fenced = partition(&[1, 2, 3], &[2, 3], &[]);
        assert!(!atlas.allows(Takes::Unsynced, &[2], &standing(&fenced, &[])), "not copied anew");
        assert!(atlas.allows(Takes::Unsynced, &[2], &standing(&full, &[])));
    }

    #[test]
    fn beside_a_damaged_copy_somebody_eligible_stays_up() {
        let mut atlas = atlas("2");
        let two = partition(&[1, 2], &[1, 2], &[]);
        assert!(atlas.allows(Takes::Place, &[2], &standing(&two, &[])), "a kill takes nothing");
        // It is down: when it is back, it is neither in the ISR nor in the ELR, for all the controller knows.
        let alone = partition(&[1, 2], &[1], &[2]);
        assert!(!atlas.allows(Takes::Unsynced, &[1], &standing(&alone, &[2])));
        assert!(atlas.allows(Takes::Unsynced, &[1], &standing(&two, &[])));
        assert!(!atlas.allows(Takes::Place, &[2], &standing(&alone, &[1])));
        let elsewhere = partition(&[2, 3], &[2, 3], &[]);
        assert!(atlas.allows(Takes::Place, &[2], &standing(&elsewhere, &[1])));
    }

    #[test]
    fn beside_a_damaged_copy_who_is_held_up_does_not_stay() {
        let mut atlas = atlas("2");
        let full = partition(&[1, 2, 3], &[1, 2, 3], &[]);
        let whom = || Whom::Node(3);
        let stall = takes(&What::Stall { whom: whom() });
        assert!(atlas.allows(stall, &[3], &standing(&full, &[])));
        assert!(atlas.allows(Takes::Unsynced, &[1], &standing(&full, &[3])));
        // Fenced while 1 and 2 are in the ISR, it is in the ELR of nothing.
        assert!(!atlas.allows(Takes::Place, &[2], &standing(&full, &[1, 3])));
        for what in [stall, takes(&What::Shutdown { whom: whom() })] {
            assert!(atlas.allows(what, &[3], &standing(&full, &[1])));
            assert!(!atlas.allows(what, &[3], &standing(&full, &[1, 2])));
        }
    }

    #[test]
    fn a_schedule_that_is_told_to_exceed_is_known_to_have_done_so() {
        let mut atlas = Atlas { exceeds: true, ..atlas("2") };
        let full = partition(&[1, 2, 3], &[1, 2, 3], &[]);
        assert!(atlas.allows(Takes::Unsynced, &[1], &standing(&full, &[])));
        assert!(!atlas.was_exceeded());
        assert!(atlas.allows(Takes::Disk, &[2], &standing(&full, &[1])));
        assert!(atlas.was_exceeded());
    }

    #[test]
    fn a_controller_on_its_own_node_has_no_copies_and_a_voter_keeps_its_disk() {
        let mut atlas = atlas("2");
        let full = partition(&[1, 2, 3], &[1, 2, 3], &[]);
        assert!(atlas.allows(Takes::Unsynced, &[5, 6, 7], &standing(&full, &[])));
        assert!(!atlas.allows(Takes::Disk, &[5], &standing(&full, &[])));
        assert!(atlas.allows(Takes::Disk, &[1], &standing(&full, &[])));
        assert!(!super::tests::atlas("1").allows(Takes::Disk, &[1], &standing(&full, &[])));
        assert!(!atlas_with("2", "false").allows(Takes::Unsynced, &[1], &standing(&full, &[])));
        assert!(atlas_with("2", "false").allows(Takes::Place, &[1], &standing(&full, &[])));
    }
}
