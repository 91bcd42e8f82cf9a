//! What a node measures of itself: the numbers that Apache Kafka's metrics of the same names have.
//!
//! Promises: reads only; each number is counted from the state of this moment, or, where it says "since the start", as it
//! happened; what a node can't know because it does not play that part is `None`, never zero. Not promised: that other nodes
//! see it so: each tells of what it leads and follows, and of metadata as far as it has come.

use crate::image::{MetadataImage, NO_LEADER};
use crate::inspect::{Inspection, QuorumInspection};
use crate::replica::ReplicaManager;

/// One node as it measures itself now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// `None` on a node that is no broker, and before its parts have started.
    pub replicas: Option<ReplicaMetrics>,
    /// `None` on a node that is no controller.
    pub controller: Option<ControllerMetrics>,
    /// `None` before the member has read what it has on disk.
    pub quorum: Option<QuorumMetrics>,
}

/// Kafka's `ReplicaManager` and `ReplicaFetcherManager`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicaMetrics {
    pub partitions: u64,
    pub leaders: u64,
    /// Of those led here: fewer in the committed ISR than replicas.
    pub under_replicated: u64,
    /// Of those led here: fewer in the committed ISR than an acks=all write needs.
    pub under_min_isr: u64,
    /// ISRs that this leader had made smaller, since the start. One that the controller shrank, because it fenced a broker,
    /// is not among them.
    pub isr_shrinks: u64,
    /// The same for larger ones.
    pub isr_expands: u64,
    /// The most that a log followed here lacks of what its leader's last answer called committed.
    pub lag_max: u64,
}

/// Kafka's `KafkaController`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerMetrics {
    pub is_active: bool,
    /// Partitions without a leader, in the committed metadata.
    pub offline_partitions: u64,
}

/// Kafka's `raft-metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumMetrics {
    /// -1: not known.
    pub leader: i32,
    pub epoch: i32,
    /// -1: not known.
    pub high_watermark: i64,
    pub log_end_offset: i64,
    /// As Kafka's `current-state` names it.
    pub state: &'static str,
}

/// Whatever measures itself.
pub trait Measured {
    fn metrics(&self) -> Metrics;
}

impl Metrics {
    /// At the cost of a walk over the partitions.
    pub(crate) fn of(inspection: &Inspection<'_>, is_controller: bool) -> Metrics {
        let controller = is_controller.then(|| ControllerMetrics {
            is_active: inspection.is_active_controller,
            offline_partitions: leaderless(inspection.image),
        });
        Metrics {
            replicas: inspection.replicas.map(ReplicaManager::metrics),
            controller,
            quorum: inspection.quorum.as_ref().map(quorum_metrics),
        }
    }
}

fn leaderless(image: &MetadataImage) -> u64 {
    let partitions = image.topics.values().flat_map(|topic| topic.partitions.values());
    partitions.filter(|partition| partition.leader == NO_LEADER).count() as u64
}

fn quorum_metrics(quorum: &QuorumInspection<'_>) -> QuorumMetrics {
    QuorumMetrics {
        leader: quorum.leader.unwrap_or(-1),
        epoch: quorum.epoch,
        high_watermark: quorum.high_watermark.unwrap_or(-1),
        log_end_offset: quorum.log.map_or(0, log::Log::log_end_offset),
        state: state_name(quorum.role, quorum.voted.is_some(), quorum.is_voter),
    }
}

/// Kafka's name of a member's state: it tells votes apart, and who follows without a vote is an observer.
fn state_name(role: &'static str, voted: bool, is_voter: bool) -> &'static str {
    match (role, voted) {
        ("follower", _) if !is_voter => "observer",
        ("prospective", true) => "prospective-voted",
        ("unattached", true) => "unattached-voted",
        ("resigned", _) => "unattached",
        (role, _) => role,
    }
}

#[cfg(test)]
mod tests {
    use super::state_name;

    #[test]
    fn states_have_kafkas_names() {
        let cases = [
            (("leader", true, true), "leader"),
            (("follower", true, true), "follower"),
            (("follower", false, false), "observer"),
            (("candidate", true, true), "candidate"),
            (("prospective", false, true), "prospective"),
            (("prospective", true, true), "prospective-voted"),
            (("unattached", true, true), "unattached-voted"),
            (("unattached", false, false), "unattached"),
            (("resigned", false, true), "unattached"),
        ];
        for ((role, voted, is_voter), expected) in cases {
            assert_eq!(state_name(role, voted, is_voter), expected, "{role} {voted} {is_voter}");
        }
    }
}
