//! What a history says about its topics, its clients and its logs, beside anomalies: the checker gathers it in
//! passing, the judge and the reports use it. Times are milliseconds since the run began.

use crate::history::{LogRef, Phase, Session, TopicRef};
use crate::settings::{ProducerSettings, TopicSettings};
use serde::{Deserialize, Serialize};

/// One topic id and the settings that were in force on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicFacts {
    pub topic: TopicRef,
    pub name: String,
    pub topic_id: [u8; 16],
    /// From when each of them was in force, the first one first.
    pub settings: Vec<(u64, TopicSettings)>,
    pub deleted_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerFacts {
    pub session: Session,
    pub name: String,
    pub opened_ms: u64,
    pub settings: ProducerSettings,
    /// Its sends by outcome; one without any is counted as indeterminate.
    pub ok: u64,
    pub fail: u64,
    pub info: u64,
    pub unacknowledged: u64,
    /// When the library first gave one of its sends up for its age. An idempotent librdkafka producer then begins a new epoch,
    /// and what it sends again in that is new to the broker (`rd_kafka_idemp_drain_epoch_bump`, rdkafka_broker.c).
    #[serde(default)]
    pub timed_out_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFacts {
    pub log: LogRef,
    /// The topic's name.
    pub topic: String,
    /// Sends to it that were acknowledged.
    pub ok: u64,
    /// Sends to it with acks=0.
    pub unacknowledged: u64,
    pub first_ok_ms: Option<u64>,
    pub last_ok_ms: Option<u64>,
    /// Of the last settled bounds: log start offset, high watermark and leader epoch.
    pub start: Option<i64>,
    pub end: Option<i64>,
    pub leader_epoch: Option<i32>,
    /// Enough independent readers read it from its start to its settled end.
    pub finally_read: bool,
    /// Why it was not finally read.
    pub because: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryFacts {
    pub topics: Vec<TopicFacts>,
    pub producers: Vec<ProducerFacts>,
    pub logs: Vec<LogFacts>,
    pub phases: Vec<(u64, Phase)>,
    /// Every log that has acknowledged (or acks=0) records was finally read.
    pub final_reads_complete: bool,
    /// Which final reads there were, or what they lack.
    pub final_reads: String,
    /// The history was cut off: why.
    pub cut: Option<String>,
    pub last_event_ms: u64,
}
