//! What is remembered of each node between its steps: small, and copied without allocating.
//!
//! Promises: what a dead node had when it died stays here until its log is open again, so that an invariant can ask for
//! "what that replica has" whether it is up or not. Not here: what is in the logs (`ledger`, `committed`).

use log::Log;
use node::context::TopicPartitionId;
use node::inspect::{PartitionInspection, QuorumInspection, ReplicaRole};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// A log of the cluster: a topic's partition, or the metadata quorum's.
pub type LogId = TopicPartitionId;

/// The metadata quorum's log, under the topic id that Kafka gives it.
pub const METADATA: LogId = TopicPartitionId { topic_id: Uuid::from_u128(1), partition: 0 };

/// A set of node ids below 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Members(pub u64);

impl Members {
    pub fn contains(self, node: u16) -> bool {
        self.0 & bit(node) != 0
    }

    pub fn with(self, node: u16) -> Members {
        Members(self.0 | bit(node))
    }

    pub fn without(self, node: u16) -> Members {
        Members(self.0 & !bit(node))
    }

    pub fn and(self, other: Members) -> Members {
        Members(self.0 & other.0)
    }

    pub fn or(self, other: Members) -> Members {
        Members(self.0 | other.0)
    }

    pub fn minus(self, other: Members) -> Members {
        Members(self.0 & !other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    pub fn iter(self) -> impl Iterator<Item = u16> {
        (0..64).filter(move |node| self.contains(*node))
    }
}

fn bit(node: u16) -> u64 {
    assert!(node < 64, "node ids of a simulated cluster are below 64, not {node}");
    1 << node
}

impl FromIterator<i32> for Members {
    fn from_iter<T: IntoIterator<Item = i32>>(ids: T) -> Members {
        ids.into_iter().filter_map(|id| u16::try_from(id).ok()).fold(Members(0), Members::with)
    }
}

impl From<&[i32]> for Members {
    fn from(ids: &[i32]) -> Members {
        ids.iter().copied().collect()
    }
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One replica of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionState {
    pub id: LogId,
    /// The life of the process in which its log was last open.
    pub life: u32,
    pub role: ReplicaRole,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    pub replicas: usize,
    pub min_insync_replicas: usize,
    /// As the leader knows them; empty elsewhere.
    pub committed_isr: Members,
    pub proposed_isr: Members,
    pub log_start_offset: i64,
    pub log_end_offset: i64,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    /// What survives a power cut, by the log's own word.
    pub durable_offset: i64,
}

impl PartitionState {
    pub fn new(id: LogId) -> PartitionState {
        PartitionState {
            id,
            life: 0,
            role: ReplicaRole::Offline,
            leader_epoch: -1,
            partition_epoch: -1,
            replicas: 0,
            min_insync_replicas: 1,
            committed_isr: Members(0),
            proposed_isr: Members(0),
            log_start_offset: 0,
            log_end_offset: 0,
            high_watermark: 0,
            last_stable_offset: 0,
            durable_offset: 0,
        }
    }

    /// Takes over what an inspection shows. A log that is not open says nothing: what was known of it stays.
    pub fn update(&mut self, life: u32, seen: &PartitionInspection<'_>) {
        self.role = seen.role;
        let Some(log) = seen.log.filter(|_| seen.role != ReplicaRole::Offline) else { return };
        self.life = life;
        self.leader_epoch = seen.leader_epoch;
        self.partition_epoch = seen.partition_epoch;
        self.replicas = seen.replicas;
        self.min_insync_replicas = seen.min_insync_replicas;
        self.committed_isr = seen.committed_isr.into();
        self.proposed_isr = seen.proposed_isr.into();
        self.log_start_offset = log.log_start_offset();
        self.log_end_offset = log.log_end_offset();
        self.high_watermark = log.high_watermark();
        self.last_stable_offset = log.last_stable_offset();
        self.durable_offset = durable_offset(log);
    }

    pub fn is_open(&self) -> bool {
        self.role != ReplicaRole::Offline
    }

    pub fn is_leader(&self) -> bool {
        self.role == ReplicaRole::Leader
    }

    /// Committed and proposed together, and the leader itself: who must have what is committed.
    pub fn maximal_isr(&self) -> Members {
        self.committed_isr.or(self.proposed_isr)
    }

    pub fn effective_min_isr(&self) -> usize {
        self.min_insync_replicas.min(self.replicas)
    }
}

/// Below this a power cut takes nothing. Where each append is synced, the log end itself is a promise.
fn durable_offset(log: &Log) -> i64 {
    match log.config().flush_messages {
        0 | 1 => log.log_end_offset(),
        _ => log.synced_offset(),
    }
}

/// One member of the metadata quorum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuorumState {
    pub life: u32,
    pub epoch: i32,
    pub leader: Option<i32>,
    pub voted: Option<i32>,
    /// Others may know of the three above.
    pub told: bool,
    pub is_leader: bool,
    pub is_voter: bool,
    pub voters: usize,
    /// -1: not known.
    pub high_watermark: i64,
    pub applied_offset: i64,
    pub log_start_offset: i64,
    pub log_end_offset: i64,
    pub durable_offset: i64,
}

impl QuorumState {
    pub fn of(life: u32, seen: &QuorumInspection<'_>) -> QuorumState {
        let offset = |get: fn(&Log) -> i64| seen.log.map_or(0, get);
        QuorumState {
            life,
            epoch: seen.epoch,
            leader: seen.leader,
            voted: seen.voted,
            told: seen.told,
            is_leader: seen.is_leader,
            is_voter: seen.is_voter,
            voters: seen.voters,
            high_watermark: seen.high_watermark.unwrap_or(-1),
            applied_offset: seen.applied_offset,
            log_start_offset: offset(Log::log_start_offset),
            log_end_offset: offset(Log::log_end_offset),
            durable_offset: offset(durable_offset),
        }
    }
}

/// A node, up or down.
#[derive(Clone, Debug, Default)]
pub struct NodeState {
    pub up: bool,
    /// Processes so far.
    pub life: u32,
    pub quorum: Option<QuorumState>,
    /// The epoch of the broker's registration, as it knows it.
    pub broker_epoch: Option<i64>,
    /// The last offset of the metadata that it has seen committed in this life.
    pub image_offset: i64,
    /// In the order of their ids.
    pub partitions: Vec<PartitionState>,
}

impl NodeState {
    pub fn partition(&self, id: LogId) -> Option<&PartitionState> {
        let at = self.partitions.binary_search_by_key(&id, |partition| partition.id).ok()?;
        self.partitions.get(at)
    }
}

pub type Nodes = BTreeMap<u16, NodeState>;

/// What faults did to a node's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Power was cut, or dirty pages were dropped after a failed sync: what was not durable may be gone.
    Unsynced,
    /// Bits of its logs were flipped.
    Rotted,
    /// Wiped, or an old state put back: nothing on it counts, its votes included.
    Destroyed,
}

/// Which copies no longer count.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    /// The end of what a node had in a log when it lost some of it: it did have that, whatever it has now.
    had: FxHashMap<(u16, LogId), i64>,
    /// The newest quorum epoch that a voter had forgotten what it did in.
    forgotten_epochs: BTreeMap<u16, i32>,
    /// So many copies of the metadata log are gone that committed metadata may be.
    pub metadata: bool,
    pub count: u32,
}

impl Losses {
    pub fn note_log(&mut self, node: u16, id: LogId, log_end_offset: i64) {
        let had = self.had.entry((node, id)).or_insert(0);
        *had = (*had).max(log_end_offset);
    }

    pub fn note_votes(&mut self, node: u16, epoch: i32) {
        let forgotten = self.forgotten_epochs.entry(node).or_insert(epoch);
        *forgotten = (*forgotten).max(epoch);
    }

    /// The end of what it had before it lost some of it; 0 where it never did.
    pub fn had(&self, node: u16, id: LogId) -> i64 {
        self.had.get(&(node, id)).copied().unwrap_or(0)
    }

    /// Whether some voter may have acted in this epoch and not know of it.
    pub fn is_forgotten(&self, epoch: i32) -> bool {
        self.forgotten_epochs.values().any(|forgotten| epoch <= *forgotten)
    }

    /// The newest epoch that this node has forgotten; -1 for none.
    pub fn forgotten_by(&self, node: u16) -> i32 {
        self.forgotten_epochs.get(&node).copied().unwrap_or(-1)
    }
}
