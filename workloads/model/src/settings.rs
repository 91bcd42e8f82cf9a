//! What was asked of topics, clients and the cluster, and what was really in force.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `acks` of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Acks {
    #[serde(rename = "0")]
    None,
    #[serde(rename = "1")]
    Leader,
    #[serde(rename = "all")]
    All,
}

impl Acks {
    /// As `acks` is spelt in client configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Acks::None => "0",
            Acks::Leader => "1",
            Acks::All => "all",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

/// What a producer session was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerSettings {
    pub acks: Acks,
    pub idempotence: bool,
    /// Retries of one send inside the client; 0 and one request in flight promise order without idempotence, unless acks=0.
    pub retries: u32,
    pub in_flight_requests_max: u32,
    /// `None`: it has no transactions. Of two sessions with one id, the later one fences the earlier.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transactional_id: Option<String>,
    /// Everything given to the client library, secrets left out.
    pub properties: BTreeMap<String, String>,
    /// The library and its version, as it names itself.
    pub library: String,
}

/// When a consumer of a group commits, against when it processes what it was handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commits {
    /// First the offsets, then the work: at most once.
    Before,
    /// First the work, then the offsets: at least once.
    After,
    /// The client library commits what was handed out before the last poll: at least once, as long as the work is done by
    /// the next poll.
    Automatic,
    /// With the output, in one transaction: exactly once.
    InTransaction,
}

impl Commits {
    pub const ALL: [Commits; 4] =
        [Commits::Before, Commits::After, Commits::Automatic, Commits::InTransaction];

    pub fn as_str(self) -> &'static str {
        match self {
            Commits::Before => "before",
            Commits::After => "after",
            Commits::Automatic => "automatic",
            Commits::InTransaction => "in_transaction",
        }
    }
}

/// The group of a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSettings {
    pub name: String,
    pub commits: Commits,
}

/// What a consumer session was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerSettings {
    pub isolation: Isolation,
    /// `None`: it is assigned its logs and commits nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<GroupSettings>,
    pub properties: BTreeMap<String, String>,
    pub library: String,
}

/// The settings of one topic as the cluster itself reported them (`DescribeConfigs`), with what decides durability
/// pulled out. Read before the load and again whenever something may have changed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSettings {
    pub partitions: u32,
    pub replication_factor: u16,
    pub min_insync_replicas: u16,
    pub unclean_leader_election: bool,
    pub cleanup_policy: String,
    pub retention_ms: i64,
    pub retention_bytes: i64,
    /// `CreateTime` or `LogAppendTime`.
    pub message_timestamp_type: String,
    /// Records between two syncs of a log; 1 is a sync for each batch, `i64::MAX` leaves it to the operating system.
    pub flush_messages: i64,
    /// Milliseconds between two syncs; `i64::MAX` leaves it to the operating system.
    pub flush_ms: i64,
    /// Every effective property by Kafka's name.
    pub properties: BTreeMap<String, String>,
}
