//! One schedule, written down whole: the cluster, the weather, the clients and the faults.
//!
//! Promises: a scenario plus this build decide a run; nothing else does. It reads and writes as TOML, so that a shrunk
//! failure is a file that a person can read, edit and replay. Random choices *within* a run (delays, which sectors
//! survive) draw from `seed` through one salted stream for each subsystem, so that taking a fault out does not shift the
//! others. Not here: how a seed becomes a scenario (`swarm`), and what it all does (`world`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const SCHEMA: &str = "highwater/schedule/1";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub schema: String,
    /// The seed of everything that is drawn while it runs.
    pub seed: u64,
    /// Seeded defects of the brokers, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<String>,
    /// Whether the faults may exceed what the promise survives. Then losses are expected, and judged "not promised".
    #[serde(default)]
    pub exceeds_promise: bool,
    /// Whether the invariants that look inside count. Without them a schedule is judged by what clients see alone, as a
    /// real run is.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub insiders: bool,
    pub phases: Phases,
    pub cluster: Cluster,
    pub network: Network,
    pub disk: Disk,
    #[serde(default, rename = "topic", skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<Topic>,
    #[serde(default, rename = "producer", skip_serializing_if = "Vec::is_empty")]
    pub producers: Vec<Producer>,
    #[serde(default, rename = "consumer", skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<Consumer>,
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_yes(insiders: &bool) -> bool {
    *insiders
}

/// Simulated milliseconds. Disasters begin when the topics exist and every client has made progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    pub disasters_ms: u64,
    /// How long the healed cluster has to become whole again: the liveness bound.
    pub liveness_ms: u64,
    /// Nodes that stay down at first: the others, a quorum, have to be of use without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Brokers, node ids 1, 2, …
    pub brokers: u16,
    /// Controllers on nodes of their own, ids after the brokers'. 0: the first `combined_controllers` brokers are
    /// controllers too.
    pub dedicated_controllers: u16,
    pub combined_controllers: u16,
    /// Of every node, by Kafka's names, over the simulation's own defaults.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Parts per million by which each node's clock runs fast (slow below zero), node id 1 first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clock_drift_ppm: Vec<i32>,
}

/// The weather between hosts while nothing is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// One way, for each piece that is sent: the shortest delay, and the mean of what is added to it (exponential).
    pub delay_us_min: u64,
    pub delay_us_mean: u64,
    /// Deliver frames in pieces cut at random places; each piece has its own delay, the order stays.
    pub split_frames: bool,
    /// Chance in a million, for each piece, that its connection is reset in both directions, losing what is under way.
    pub reset_per_million: u32,
    /// Chance in a million, for each piece, that its direction then stands still for up to `clog_ms_max`.
    pub clog_per_million: u32,
    pub clog_ms_max: u64,
    /// How long a dial to a host that does not answer takes to fail.
    pub dial_timeout_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Of a write or read that the page cache serves, and of a sync: shortest, and mean of what is added.
    pub cached_us_min: u64,
    pub cached_us_mean: u64,
    pub sync_us_min: u64,
    pub sync_us_mean: u64,
    /// What a power loss keeps or loses as a whole, in bytes: 512 or 4096.
    pub sector_bytes: u32,
    /// Chance in a hundred that a sector that was not synced survives a power loss all the same.
    pub unsynced_survives_percent: u8,
    /// Chance in a million, for each operation, that it takes up to `stall_ms_max`.
    pub stall_per_million: u32,
    pub stall_ms_max: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    pub name: String,
    pub partitions: u32,
    pub replication_factor: u16,
    /// By Kafka's names: `min.insync.replicas`, …
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Producer {
    /// Index into the scenario's topics. It writes to all partitions of it.
    pub topic: usize,
    pub acks: model::settings::Acks,
    pub idempotence: bool,
    pub retries: u32,
    pub in_flight_requests_max: u32,
    /// Mean time between sends (open loop), and how many records a batch holds at most.
    pub send_every_us: u64,
    pub batch_records_max: u32,
    pub record_bytes: u32,
    pub request_timeout_ms: u64,
    /// From the send to a final answer.
    pub delivery_timeout_ms: u64,
    pub retry_backoff_ms: u64,
    pub metadata_refresh_ms: u64,
    /// 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    #[serde(default)]
    pub compression: i16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    pub topic: usize,
    /// The group to subscribe in; absent: assigned to all partitions from their start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub fetch_wait_ms: u64,
    pub fetch_bytes_max: u32,
    pub request_timeout_ms: u64,
    pub metadata_refresh_ms: u64,
    /// How often it asks where the logs end, as a tool that shows lag does; 0: never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lag_every_ms: u64,
    /// Of its membership in a group, and the time that it may take to join it again.
    #[serde(default = "session_timeout_ms", skip_serializing_if = "is_session_timeout")]
    pub session_timeout_ms: u64,
}

/// `session.timeout.ms`: the least that brokers allow by default.
pub const SESSION_TIMEOUT_MS: u64 = 6_000;

fn session_timeout_ms() -> u64 {
    SESSION_TIMEOUT_MS
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_session_timeout(ms: &u64) -> bool {
    *ms == SESSION_TIMEOUT_MS
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One thing that goes wrong, `at_ms` after disasters began, and is over `for_ms` later (where it lasts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub at_ms: u64,
    #[serde(default)]
    pub for_ms: u64,
    #[serde(flatten)]
    pub what: What,
}

/// Whom a fault hits, resolved when it strikes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whom {
    Node(u16),
    /// The leader of a partition of a topic, by their numbers.
    Leader(usize, u32),
    /// The n-th follower of it, in the order of its replicas.
    Follower(usize, u32, u16),
    Controller,
    /// A voter that is not the active controller, the n-th.
    Voter(u16),
}

/// Which storage operations fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailingOp {
    Write,
    Read,
    /// EIO on a sync, and the dirty pages are dropped: what was written before it is gone from the cache too.
    Sync,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum What {
    /// SIGKILL; started again on its own disk after `for_ms`. The page cache stays.
    Kill {
        whom: Whom,
    },
    /// The machine loses power: what was not synced is at the mercy of chance. Peers see silence, not a reset.
    PowerLoss {
        whom: Whom,
    },
    /// Power loss of all these nodes in one instant.
    PowerLossOfAll {
        nodes: Vec<u16>,
    },
    /// SIGTERM: controlled shutdown, then started again.
    Shutdown {
        whom: Whom,
    },
    /// SIGSTOP; SIGCONT after `for_ms`.
    Stall {
        whom: Whom,
    },
    /// SIGKILL and an empty disk.
    Wipe {
        whom: Whom,
    },
    /// SIGKILL, and the disk as it was `age_ms` ago (as far back as snapshots go).
    OldSnapshot {
        whom: Whom,
        age_ms: u64,
    },
    /// Nothing goes from one to the other (and back, unless `one_way`). Dials time out.
    Cut {
        from: Whom,
        to: Whom,
        one_way: bool,
    },
    /// Nothing goes to or from it, clients included.
    Isolate {
        whom: Whom,
    },
    /// Every node and client is in one of two halves; `left` names one side's nodes.
    Partition {
        left: Vec<u16>,
    },
    /// All its connections are reset now; what is under way is lost at a random place.
    Reset {
        whom: Whom,
    },
    /// Its connections stay open at the peers, but it has forgotten them (half-open).
    ForgetConnections {
        whom: Whom,
    },
    /// Everything to and from it is this much slower.
    SlowNetwork {
        whom: Whom,
        delay_us_mean: u64,
    },
    SlowDisk {
        whom: Whom,
        factor: u32,
    },
    /// The next operation of the kind fails with EIO.
    DiskError {
        whom: Whom,
        op: FailingOp,
    },
    DiskFull {
        whom: Whom,
    },
    /// Bits flip in a file of a closed-over past: below the log end, once; the page is clean, nobody is told.
    BitRot {
        whom: Whom,
    },
    /// The wall clock jumps by this much (back, below zero).
    ClockJump {
        whom: Whom,
        by_ms: i64,
    },
    /// A client's process dies and another session begins: an index into producers, then consumers.
    RestartClient {
        client: usize,
    },
    /// An administrator's doings, through the protocol.
    ElectPreferred,
    AlterTopic {
        topic: usize,
        key: String,
        value: String,
    },
    CreatePartitions {
        topic: usize,
        count: u32,
    },
}

impl Scenario {
    /// What is wrong with a scenario that a person wrote, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!("schema is {}, this build reads {SCHEMA}", self.schema));
        }
        if self.cluster.brokers == 0 || self.topics.is_empty() || self.producers.is_empty() {
            return Err("a schedule needs a broker, a topic and a producer at least".to_owned());
        }
        let topics =
            self.producers.iter().map(|p| p.topic).chain(self.consumers.iter().map(|c| c.topic));
        if let Some(topic) = topics.into_iter().find(|topic| *topic >= self.topics.len()) {
            return Err(format!("a client names topic {topic}; there are {}", self.topics.len()));
        }
        crate::properties::check(self)
    }

    /// Every node's id: brokers first, then controllers on nodes of their own.
    pub fn node_ids(&self) -> impl Iterator<Item = u16> + use<> {
        1..=self.cluster.brokers + self.cluster.dedicated_controllers
    }

    /// The quorum's voters.
    pub fn voter_ids(&self) -> impl Iterator<Item = u16> + use<> {
        let brokers = self.cluster.brokers;
        match self.cluster.dedicated_controllers {
            0 => 1..=self.cluster.combined_controllers.clamp(1, brokers),
            dedicated => brokers + 1..=brokers + dedicated,
        }
    }
}
