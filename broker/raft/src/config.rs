//! What a quorum member is told at birth, and the identities that follow from it.

use log::LogConfig;
use uuid::Uuid;

use crate::Defects;

/// The time, as the owner tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Milliseconds of a clock that never goes back. Every timer runs on it.
    pub mono_ms: u64,
    /// Milliseconds since the epoch. Written into records and `DescribeQuorum`, decides nothing.
    pub wall_ms: i64,
}

/// One member of the voter set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    pub id: i32,
    /// The identity of the disk behind the id (KIP-853); see [`directory_id_for`].
    pub directory_id: Uuid,
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub node_id: i32,
    pub directory_id: Uuid,
    pub cluster_id: String,
    /// `controller.quorum.voters`. On a first boot they become the voter set on disk, which rules from then on for
    /// ids and directory ids; hosts and ports are always taken from here.
    pub voters: Vec<Voter>,
    /// The listener name of the endpoints in the voters record (`CONTROLLER`).
    pub listener_name: String,
    /// `controller.quorum.fetch.timeout.ms`: how long a follower goes without a fetch before it doubts its leader.
    pub fetch_timeout_ms: u64,
    /// `controller.quorum.election.timeout.ms`: an election is given between this and twice this.
    pub election_timeout_ms: u64,
    /// `controller.quorum.election.backoff.max.ms`: the longest pause after an election nobody won.
    pub election_backoff_max_ms: u64,
    /// `controller.quorum.request.timeout.ms`: a call without an answer for so long counts as failed.
    pub request_timeout_ms: u64,
    /// How long the leader may hold a fetch that has nothing to return.
    pub fetch_max_wait_ms: u64,
    /// The most bytes of records (or of a snapshot) asked for in one call.
    pub fetch_max_bytes: u32,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub snapshot_max_new_record_bytes: u64,
    /// Seeds the election jitter; two members with one seed still differ by their ids.
    pub seed: u64,
    /// The metadata log's segment sizes; retention, flushing and batch limits are set here by the quorum.
    pub log: LogConfig,
    pub defects: Defects,
}

impl Config {
    /// Kafka's defaults for a member of `voters`.
    pub fn new(node_id: i32, cluster_id: &str, voters: Vec<Voter>) -> Config {
        Config {
            node_id,
            directory_id: directory_id_for(cluster_id, node_id),
            cluster_id: cluster_id.to_owned(),
            voters,
            listener_name: "CONTROLLER".to_owned(),
            fetch_timeout_ms: 2000,
            election_timeout_ms: 1000,
            election_backoff_max_ms: 1000,
            request_timeout_ms: 2000,
            fetch_max_wait_ms: 500,
            fetch_max_bytes: 8 * 1024 * 1024,
            snapshot_max_new_record_bytes: 20 * 1024 * 1024,
            seed: 0,
            log: LogConfig::default(),
            defects: Defects::default(),
        }
    }
}

/// The directory id of a node, known to every node without asking: all voters must write the same bootstrap snapshot,
/// and there is no randomness to draw from. Shaped like a version 4 UUID, and never begins with `-` in Kafka's base64.
pub fn directory_id_for(cluster_id: &str, node_id: i32) -> Uuid {
    let mut high = 0xcbf2_9ce4_8422_2325_u64;
    for byte in cluster_id.bytes().chain([0]).chain(node_id.to_be_bytes()) {
        high = (high ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let mut rng = crate::rng::Rng::new(high);
    let high = (rng.next_u64() & 0x7fff_ffff_ffff_0fff) | 0x4000;
    let low = (rng.next_u64() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    Uuid::from_u64_pair(high, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_ids_differ_by_cluster_and_node_and_repeat() {
        let one = directory_id_for("cluster", 1);
        assert_eq!(one, directory_id_for("cluster", 1));
        assert_ne!(one, directory_id_for("cluster", 2));
        assert_ne!(one, directory_id_for("other", 1));
        assert_eq!(one.get_version_num(), 4);
    }
}
