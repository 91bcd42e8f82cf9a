//! What the replicas of each log hold on their disks once everything has stopped, compared with each other.

use crate::history::LogRef;
use serde::{Deserialize, Serialize};

/// One run's comparison: `replicas.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaReport {
    pub logs: Vec<LogReplicas>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogReplicas {
    pub log: LogRef,
    pub topic: String,
    /// Who had a replica in sync, `n1`, `n2`, …: each is compared with the first.
    pub nodes: Vec<String>,
    /// The offsets that were compared: from the latest beginning of any replica to the end of the log, which is not in it.
    pub from: i64,
    pub to: i64,
    /// One for each node that differs from the first.
    pub differences: Vec<ReplicaDifference>,
    /// Each epoch of each producer that wrote to the log, by where it begins: from there on the broker counts the producer's
    /// sequence numbers anew.
    #[serde(default)]
    pub producer_epochs: Vec<ProducerEpoch>,
    /// Why they could not be compared.
    pub not_compared: Option<String>,
}

/// A producer's epoch in a log, as its batches tell it (KIP-98).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerEpoch {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// The base offset of its first batch.
    pub first_offset: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaDifference {
    pub nodes: [String; 2],
    pub first_offset: i64,
    pub last_offset: i64,
    /// How many offsets differ, of those from the first to the last.
    pub offsets: u64,
    /// The first of it, in words.
    pub what: String,
}

impl LogReplicas {
    /// `orders-0`
    pub fn name(&self) -> String {
        format!("{}-{}", self.topic, self.log.partition)
    }
}
