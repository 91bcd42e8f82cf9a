//! What the observer saw of the cluster, over time. One line of `cluster.jsonl` for each [`Observation`].

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "observed", rename_all = "snake_case")]
pub enum Observation {
    /// A partition's state changed from the one observed before.
    Partition(PartitionState),
    /// The quorum's state changed.
    Quorum { at_ms: u64, leader: Option<i32>, epoch: i32, voters: Vec<i32>, observers: Vec<i32> },
    /// A broker came or went, by the controller's view.
    Brokers { at_ms: u64, alive: Vec<i32>, fenced: Vec<i32> },
    /// A process of ours started, ended or came back; `pid` 0 when it is down.
    Node { at_ms: u64, node: String, pid: u32, state: String },
    /// The observer could not see: nothing is known from here to the next observation.
    Blind { at_ms: u64, error: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    pub at_ms: u64,
    pub topic: String,
    pub partition: u32,
    /// -1: no leader.
    pub leader: i32,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    /// Eligible leader replicas (KIP-966), where the cluster tells them.
    pub elr: Vec<i32>,
    pub offline: Vec<i32>,
    /// Of a topic that was made anew under its name; `None`: the one that the run began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anew: Option<[u8; 16]>,
}
