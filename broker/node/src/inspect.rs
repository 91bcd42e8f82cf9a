//! A look into a node from inside its process: what a simulation's invariants need and no protocol tells.
//!
//! Promises: reads only, and borrows: a look costs nothing by itself, and a walk over the partitions allocates nothing.
//! What it shows is true between two steps. Not promised: that it stays what it is; nobody outside the workspace may
//! build on it.

use log::Log;
use wire::StrBytes;

use crate::context::TopicPartitionId;
use crate::image::MetadataImage;
pub use raft::Inspection as QuorumInspection;

/// One node as it is now; see [`crate::node::Node::inspect`].
#[derive(Clone, Copy)]
pub struct Inspection<'a> {
    /// `None` before the member has read what it has on disk.
    pub quorum: Option<QuorumInspection<'a>>,
    pub is_active_controller: bool,
    /// `None` on a node that is no broker, and before its parts have started.
    pub broker: Option<BrokerInspection>,
    /// Committed metadata, as far as this node has come; `offset` and `epoch` are in it.
    pub image: &'a MetadataImage,
    pub(crate) replicas: Option<&'a crate::replica::ReplicaManager>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerInspection {
    /// The epoch of its registration, once it has one.
    pub epoch: Option<i64>,
    /// By the metadata that this node has. A broker that is not registered there counts as fenced.
    pub fenced: bool,
    /// Clients' requests are answered.
    pub serving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaRole {
    /// Its log is not open: being looked for, recovering, failed, closing or being deleted.
    Offline,
    /// Nobody leads, or the role was not taken yet.
    Idle,
    Leader,
    Follower,
}

/// One partition that a broker hosts.
#[derive(Clone, Copy)]
pub struct PartitionInspection<'a> {
    pub id: TopicPartitionId,
    pub topic: &'a StrBytes,
    /// Its directory, relative to the log directory.
    pub dir: &'a str,
    pub role: ReplicaRole,
    /// That the role was taken in; -1 before the first.
    pub leader_epoch: i32,
    /// As the leader knows it; otherwise of the newest metadata.
    pub partition_epoch: i32,
    /// How many replicas the newest metadata names.
    pub replicas: usize,
    pub min_insync_replicas: usize,
    /// As the leader knows it; empty elsewhere.
    pub committed_isr: &'a [i32],
    /// What the leader has proposed and the controller has not answered yet; empty where there is no such thing.
    pub proposed_isr: &'a [i32],
    /// `None` until it is opened. Offsets, segments and epochs are told by it.
    pub log: Option<&'a Log>,
    pub(crate) partition: &'a crate::replica::InspectedPartition,
}

impl<'a> PartitionInspection<'a> {
    /// How far each follower has come as its leader knows (-1: not known yet); nothing elsewhere.
    pub fn followers(&self) -> impl Iterator<Item = (i32, i64)> + 'a {
        self.partition.followers()
    }
}

/// One partition's share of a produce request was answered without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub id: TopicPartitionId,
    /// The offset of the first record, as told to the producer. The log knows how many there are.
    pub base_offset: i64,
    /// -1 (all) or 1.
    pub acks: i16,
}
