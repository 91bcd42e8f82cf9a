//! The one table of a node's properties: name, default, source, meaning, and how a value is read.
//!
//! Promises: a property that is not here has no effect. `Kafka` names mean what they mean in Apache Kafka; `Highwater`
//! names are ours and start with `highwater.`.

use std::collections::BTreeMap;

use super::{ListenerAddress, QuorumVoter, Roles};
use crate::defect::{Defect, Defects};
use crate::step::Endpoint;

/// Where a property's name and meaning come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Kafka,
    Highwater,
}

/// One row of the table.
pub struct Property {
    pub name: &'static str,
    /// As it would be written in the file; empty: none.
    pub default: &'static str,
    pub source: Source,
    pub doc: &'static str,
    /// Kafka's config type code for DescribeConfigs: 1 boolean, 2 string, 3 int, 5 long, 6 double, 7 list.
    pub kind: i8,
    /// Reads a value into the configuration; the error says what was expected.
    pub set: fn(&mut NodeConfig, &str) -> Result<(), String>,
}

macro_rules! properties {
    ($($doc:literal $source:ident $name:literal $field:ident : $type:ty = $default:literal, $kind:ident, $read:expr;)*) => {
        /// Everything that was configured, with defaults where nothing was. Field names are the properties'.
        #[derive(Clone, Debug, Default)]
        pub struct NodeConfig {
            $(#[doc = $doc] pub $field: $type,)*
            /// The file's own keys and values, known or not.
            pub given: BTreeMap<String, String>,
        }

        /// Every property that has an effect.
        pub static PROPERTIES: &[Property] = &[
            $(Property {
                name: $name,
                default: $default,
                source: Source::$source,
                doc: $doc,
                kind: kind::$kind,
                set: |config, text| {
                    let read: fn(&str) -> Result<$type, String> = $read;
                    config.$field = read(text)?;
                    Ok(())
                },
            },)*
        ];
    };
}

mod kind {
    pub const BOOLEAN: i8 = 1;
    pub const STRING: i8 = 2;
    pub const INT: i8 = 3;
    pub const LONG: i8 = 5;
    pub const LIST: i8 = 7;
}

properties! {
    // Who this node is.
    "What this node does: broker, controller, or both." Kafka "process.roles" process_roles: Roles = "", LIST, roles;
    "This node's number, unique in the cluster." Kafka "node.id" node_id: i32 = "", INT, |t| number(t, 0, i32::MAX);
    "All controllers, as id@host:port." Kafka "controller.quorum.voters" controller_quorum_voters: Vec<QuorumVoter> = "", LIST, voters;
    "The addresses to listen on, as NAME://host:port." Kafka "listeners" listeners: Vec<ListenerAddress> = "", LIST, listeners;
    "The addresses that others are told, where they differ." Kafka "advertised.listeners" advertised_listeners: Vec<ListenerAddress> = "", LIST, listeners;
    "Which protocol a listener speaks; only PLAINTEXT." Kafka "listener.security.protocol.map" listener_security_protocol_map: BTreeMap<String, String> = "", STRING, protocol_map;
    "The listener that brokers use among themselves." Kafka "inter.broker.listener.name" inter_broker_listener_name: String = "PLAINTEXT", STRING, string;
    "The listeners that controllers use." Kafka "controller.listener.names" controller_listener_names: Vec<String> = "", LIST, list;
    "The data directory; only one." Kafka "log.dirs" log_dirs: Vec<String> = "", LIST, one_directory;
    "The data directory, where log.dirs is not given." Kafka "log.dir" log_dir: String = "", STRING, string;
    "The rack that this broker stands in." Kafka "broker.rack" broker_rack: Option<String> = "", STRING, optional_string;
    "The cluster id that an empty directory is formatted with; else it follows from the voters." Highwater "highwater.cluster.id" highwater_cluster_id: Option<String> = "", STRING, optional_string;

    // Topics.
    "Partitions of a topic that is created without a number." Kafka "num.partitions" num_partitions: i32 = "1", INT, |t| number(t, 1, 100_000);
    "Replicas of a topic that is created without a number." Kafka "default.replication.factor" default_replication_factor: i32 = "1", INT, |t| number(t, 1, 32_767);
    "The in-sync replicas that an acks=all write needs." Kafka "min.insync.replicas" min_insync_replicas: i32 = "1", INT, |t| number(t, 1, 32_767);
    "Whether a replica outside the ISR may be elected when no other is left." Kafka "unclean.leader.election.enable" unclean_leader_election_enable: bool = "false", BOOLEAN, boolean;
    "Not supported: topics are created only when asked for." Kafka "auto.create.topics.enable" auto_create_topics_enable: bool = "false", BOOLEAN, boolean;
    "Whether topics can be deleted." Kafka "delete.topic.enable" delete_topic_enable: bool = "true", BOOLEAN, boolean;
    "Largest record batch that a topic accepts, in bytes." Kafka "message.max.bytes" message_max_bytes: i32 = "1048588", INT, |t| number(t, 0, i32::MAX);
    "How batches are compressed; only producer (as they come)." Kafka "compression.type" compression_type: String = "producer", STRING, string;

    // The log.
    "Size at which a segment is rolled, in bytes." Kafka "log.segment.bytes" log_segment_bytes: i32 = "1073741824", INT, |t| number(t, 14, i32::MAX);
    "Age at which a segment is rolled." Kafka "log.roll.ms" log_roll_ms: Option<i64> = "", LONG, |t| optional_number(t, 1, i64::MAX);
    "Age at which a segment is rolled, where log.roll.ms is not given." Kafka "log.roll.hours" log_roll_hours: i64 = "168", INT, |t| number(t, 1, 1_000_000_000);
    "Age at which a segment is deleted; -1: never." Kafka "log.retention.ms" log_retention_ms: Option<i64> = "", LONG, |t| optional_number(t, -1, i64::MAX);
    "As log.retention.ms, in minutes." Kafka "log.retention.minutes" log_retention_minutes: Option<i64> = "", INT, |t| optional_number(t, -1, 100_000_000_000);
    "As log.retention.ms, in hours." Kafka "log.retention.hours" log_retention_hours: i64 = "168", INT, |t| number(t, -1, 1_000_000_000);
    "Size of a partition above which its oldest segments are deleted; -1: none." Kafka "log.retention.bytes" log_retention_bytes: i64 = "-1", LONG, |t| number(t, -1, i64::MAX);
    "Time between looks for segments to delete." Kafka "log.retention.check.interval.ms" log_retention_check_interval_ms: i64 = "300000", LONG, |t| number(t, 1, i64::MAX);
    "What is done with old segments: delete, compact." Kafka "log.cleanup.policy" log_cleanup_policy: Vec<String> = "delete", LIST, cleanup_policy;
    "Bytes appended between two index entries." Kafka "log.index.interval.bytes" log_index_interval_bytes: i32 = "4096", INT, |t| number(t, 0, i32::MAX);
    "Largest size of an index, in bytes." Kafka "log.index.size.max.bytes" log_index_size_max_bytes: i32 = "10485760", INT, |t| number(t, 4, i32::MAX);
    "Records appended to a partition before it is synced to disk; 1: each acknowledged write is on disk." Kafka "log.flush.interval.messages" log_flush_interval_messages: i64 = "9223372036854775807", LONG, |t| number(t, 1, i64::MAX);
    "Longest time that a record stays unsynced; empty: as long as the system likes." Kafka "log.flush.interval.ms" log_flush_interval_ms: Option<i64> = "", LONG, |t| optional_number(t, 0, i64::MAX);
    "Time between writes of the recovery point checkpoint." Kafka "log.flush.offset.checkpoint.interval.ms" log_flush_offset_checkpoint_interval_ms: i64 = "60000", INT, |t| number(t, 1, 1_000_000_000);
    "Time between writes of the log start offset checkpoint." Kafka "log.flush.start.offset.checkpoint.interval.ms" log_flush_start_offset_checkpoint_interval_ms: i64 = "60000", INT, |t| number(t, 1, 1_000_000_000);
    "Time between writes of the high watermark checkpoint." Kafka "replica.high.watermark.checkpoint.interval.ms" replica_high_watermark_checkpoint_interval_ms: i64 = "5000", LONG, |t| number(t, 1, 1_000_000_000);
    "Time between a segment's renaming to .deleted and its end." Kafka "log.segment.delete.delay.ms" log_segment_delete_delay_ms: i64 = "60000", LONG, |t| number(t, 0, i64::MAX);
    "Whose time a record carries: CreateTime or LogAppendTime." Kafka "log.message.timestamp.type" log_message_timestamp_type: String = "CreateTime", STRING, |t| one_of(t, &["CreateTime", "LogAppendTime"]);
    "How much older than now a record's time may be." Kafka "log.message.timestamp.before.max.ms" log_message_timestamp_before_max_ms: i64 = "9223372036854775807", LONG, |t| number(t, 0, i64::MAX);
    "How much later than now a record's time may be." Kafka "log.message.timestamp.after.max.ms" log_message_timestamp_after_max_ms: i64 = "3600000", LONG, |t| number(t, 0, i64::MAX);
    "Time after which an idle producer's sequence numbers are forgotten." Kafka "producer.id.expiration.ms" producer_id_expiration_ms: i64 = "86400000", INT, |t| number(t, 1, i64::MAX);
    "Bytes of newest batches that each partition keeps in memory." Highwater "highwater.tail.cache.bytes" highwater_tail_cache_bytes: i64 = "1048576", LONG, |t| number(t, 0, 1 << 34);
    "How far a produced batch is checked: deep (each record) or header." Highwater "highwater.validate" highwater_validate: String = "deep", STRING, |t| one_of(t, &["deep", "header"]);

    // Replication.
    "Time without catching up after which a follower leaves the ISR." Kafka "replica.lag.time.max.ms" replica_lag_time_max_ms: u64 = "30000", LONG, |t| number(t, 1, 1 << 40);
    "Longest wait of a follower's fetch at its leader." Kafka "replica.fetch.wait.max.ms" replica_fetch_wait_max_ms: i32 = "500", INT, |t| number(t, 0, i32::MAX);
    "Bytes that a follower's fetch waits for." Kafka "replica.fetch.min.bytes" replica_fetch_min_bytes: i32 = "1", INT, |t| number(t, 0, i32::MAX);
    "Bytes of one partition in a follower's fetch." Kafka "replica.fetch.max.bytes" replica_fetch_max_bytes: i32 = "1048576", INT, |t| number(t, 0, i32::MAX);
    "Bytes of a whole response to a follower's fetch." Kafka "replica.fetch.response.max.bytes" replica_fetch_response_max_bytes: i32 = "10485760", INT, |t| number(t, 0, i32::MAX);
    "Wait of a fetcher after a partition's error." Kafka "replica.fetch.backoff.ms" replica_fetch_backoff_ms: u64 = "1000", INT, |t| number(t, 0, 1 << 40);
    "Longest wait for an answer from a leader." Kafka "replica.socket.timeout.ms" replica_socket_timeout_ms: u64 = "30000", INT, |t| number(t, 1, 1 << 40);
    "Fetchers for each leader." Kafka "num.replica.fetchers" num_replica_fetchers: u8 = "1", INT, |t| number(t, 1, 64);
    "Bytes of a whole response to a consumer's fetch." Kafka "fetch.max.bytes" fetch_max_bytes: i32 = "57671680", INT, |t| number(t, 1024, i32::MAX);

    // Connections.
    "Largest request, in bytes." Kafka "socket.request.max.bytes" socket_request_max_bytes: i32 = "104857600", INT, |t| number(t, 1, i32::MAX);
    "Time after which an idle connection is closed." Kafka "connections.max.idle.ms" connections_max_idle_ms: i64 = "600000", LONG, |t| number(t, -1, i64::MAX);
    "Longest wait for an answer from another node." Kafka "request.timeout.ms" request_timeout_ms: u64 = "30000", INT, |t| number(t, 1, 1 << 40);
    "Bytes waiting to be sent on one connection, above which it is closed." Highwater "highwater.socket.backlog.max.bytes" highwater_socket_backlog_max_bytes: i64 = "268435456", LONG, |t| number(t, 1 << 20, 1 << 40);
    "Threads that do the disk's work." Highwater "highwater.io.threads" highwater_io_threads: usize = "2", INT, |t| number(t, 1, 64);

    "Where `GET /metrics` is answered in Prometheus' text format, as host:port; empty: nowhere." Highwater "highwater.metrics.listener" highwater_metrics_listener: Option<Endpoint> = "", STRING, endpoint;

    // The quorum and the controller.
    "Time without an answer from the leader after which a voter starts an election." Kafka "controller.quorum.fetch.timeout.ms" controller_quorum_fetch_timeout_ms: u64 = "2000", INT, |t| number(t, 1, 1 << 40);
    "Time for a candidate to win." Kafka "controller.quorum.election.timeout.ms" controller_quorum_election_timeout_ms: u64 = "1000", INT, |t| number(t, 1, 1 << 40);
    "Longest wait after a lost election." Kafka "controller.quorum.election.backoff.max.ms" controller_quorum_election_backoff_max_ms: u64 = "1000", INT, |t| number(t, 1, 1 << 40);
    "Longest wait for an answer of the quorum." Kafka "controller.quorum.request.timeout.ms" controller_quorum_request_timeout_ms: u64 = "2000", INT, |t| number(t, 1, 1 << 40);
    "Longest wait of a metadata fetch at the leader." Kafka "controller.quorum.fetch.max.wait.ms" controller_quorum_fetch_max_wait_ms: u64 = "500", INT, |t| number(t, 1, 1 << 40);
    "Time without a heartbeat after which a broker is fenced." Kafka "broker.session.timeout.ms" broker_session_timeout_ms: u64 = "9000", INT, |t| number(t, 1, 1 << 40);
    "Time between two heartbeats." Kafka "broker.heartbeat.interval.ms" broker_heartbeat_interval_ms: u64 = "2000", INT, |t| number(t, 1, 1 << 40);
    "Time for the first registration, after which the broker gives up." Kafka "initial.broker.registration.timeout.ms" initial_broker_registration_timeout_ms: u64 = "60000", INT, |t| number(t, 1, 1 << 40);
    "Bytes of metadata records between two snapshots." Kafka "metadata.log.max.record.bytes.between.snapshots" metadata_log_max_record_bytes_between_snapshots: u64 = "20971520", LONG, |t| number(t, 1, 1 << 50);
    "Size at which a segment of the metadata log is rolled." Kafka "metadata.log.segment.bytes" metadata_log_segment_bytes: i32 = "1073741824", INT, |t| number(t, 14, i32::MAX);
    "Time after which an idle controller writes a no-op record, so that its progress can be seen." Kafka "metadata.max.idle.interval.ms" metadata_max_idle_interval_ms: u64 = "500", INT, |t| number(t, 0, 1 << 40);
    "Whether leadership goes back to preferred replicas by itself." Kafka "auto.leader.rebalance.enable" auto_leader_rebalance_enable: bool = "true", BOOLEAN, boolean;
    "Time between looks at the balance of leaders." Kafka "leader.imbalance.check.interval.seconds" leader_imbalance_check_interval_seconds: u64 = "300", LONG, |t| number(t, 1, 1 << 30);
    "Whether a stopping broker first moves its leaderships away." Kafka "controlled.shutdown.enable" controlled_shutdown_enable: bool = "true", BOOLEAN, boolean;
    "Longest time that a stopping broker waits for its leaderships to move." Highwater "highwater.controlled.shutdown.max.ms" highwater_controlled_shutdown_max_ms: u64 = "10000", LONG, |t| number(t, 0, 1 << 40);
    "Whether eligible leader replicas (KIP-966) are kept." Highwater "highwater.elr" highwater_elr: bool = "true", BOOLEAN, boolean;

    // Groups.
    "Replicas of __consumer_offsets." Kafka "offsets.topic.replication.factor" offsets_topic_replication_factor: i32 = "3", INT, |t| number(t, 1, 32_767);
    "Partitions of __consumer_offsets." Kafka "offsets.topic.num.partitions" offsets_topic_num_partitions: i32 = "50", INT, |t| number(t, 1, 100_000);
    "Segment size of __consumer_offsets." Kafka "offsets.topic.segment.bytes" offsets_topic_segment_bytes: i32 = "104857600", INT, |t| number(t, 14, i32::MAX);
    "Longest wait for an offset commit's replication." Kafka "offsets.commit.timeout.ms" offsets_commit_timeout_ms: u64 = "5000", INT, |t| number(t, 1, 1 << 40);
    "Time after which an empty group's offsets are forgotten." Kafka "offsets.retention.minutes" offsets_retention_minutes: i64 = "10080", INT, |t| number(t, 1, 1 << 40);
    "Longest metadata of a committed offset, in bytes." Kafka "offset.metadata.max.bytes" offset_metadata_max_bytes: i32 = "4096", INT, |t| number(t, 0, i32::MAX);
    "Wait of an empty group's first rebalance for more members." Kafka "group.initial.rebalance.delay.ms" group_initial_rebalance_delay_ms: u64 = "3000", INT, |t| number(t, 0, 1 << 40);
    "Shortest session timeout that a member may ask for." Kafka "group.min.session.timeout.ms" group_min_session_timeout_ms: i32 = "6000", INT, |t| number(t, 0, i32::MAX);
    "Longest session timeout that a member may ask for." Kafka "group.max.session.timeout.ms" group_max_session_timeout_ms: i32 = "1800000", INT, |t| number(t, 0, i32::MAX);
    "Most members of one group." Kafka "group.max.size" group_max_size: i32 = "2147483647", INT, |t| number(t, 1, i32::MAX);

    // Ours alone.
    "Seed of every random choice; empty: drawn from the system at start." Highwater "highwater.seed" highwater_seed: Option<u64> = "", LONG, |t| optional_number(t, 0, u64::MAX);
    "Ways in which this broker is deliberately wrong, to test the checker." Highwater "highwater.defects" highwater_defects: Defects = "", LIST, defects;
}

/// The row of that name.
pub fn find(name: &str) -> Option<&'static Property> {
    PROPERTIES.iter().find(|property| property.name == name)
}

/// A configuration of nothing but defaults; what has none is empty, and the node id is -1.
pub fn defaults() -> NodeConfig {
    let mut config = NodeConfig { node_id: -1, ..NodeConfig::default() };
    for property in PROPERTIES {
        if !property.default.is_empty() {
            let set = (property.set)(&mut config, property.default);
            assert!(set.is_ok(), "the default of {} does not read", property.name);
        }
    }
    config
}

fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    min: T,
    max: T,
) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(value) if value >= min && value <= max => Ok(value),
        _ => Err(format!("a whole number from {min} to {max}")),
    }
}

fn optional_number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    min: T,
    max: T,
) -> Result<Option<T>, String> {
    if text.is_empty() { Ok(None) } else { number(text, min, max).map(Some) }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false".into()),
    }
}

#[allow(clippy::unnecessary_wraps, reason = "one signature for all readers of the table")]
fn string(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

#[allow(clippy::unnecessary_wraps, reason = "one signature for all readers of the table")]
fn optional_string(text: &str) -> Result<Option<String>, String> {
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn one_of(text: &str, allowed: &[&str]) -> Result<String, String> {
    if allowed.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("one of {}", allowed.join(", ")))
    }
}

#[allow(clippy::unnecessary_wraps, reason = "one signature for all readers of the table")]
fn list(text: &str) -> Result<Vec<String>, String> {
    Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

fn one_directory(text: &str) -> Result<Vec<String>, String> {
    let directories = list(text)?;
    if directories.len() == 1 { Ok(directories) } else { Err("one directory".into()) }
}

fn roles(text: &str) -> Result<Roles, String> {
    let mut roles = Roles::default();
    for role in list(text)? {
        match role.as_str() {
            "broker" => roles.broker = true,
            "controller" => roles.controller = true,
            _ => return Err("broker, controller, or broker,controller".into()),
        }
    }
    if roles.broker || roles.controller {
        Ok(roles)
    } else {
        Err("broker, controller, or broker,controller".into())
    }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), port.parse().ok()?))
}

fn endpoint(text: &str) -> Result<Option<Endpoint>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let endpoint = host_and_port(text).map(|(host, port)| Endpoint { host, port });
    endpoint.map(Some).ok_or_else(|| "host:port".into())
}

fn voters(text: &str) -> Result<Vec<QuorumVoter>, String> {
    let expected = || "id@host:port,… with a different id for each voter".to_owned();
    let mut voters: Vec<QuorumVoter> = Vec::new();
    for entry in list(text)? {
        let (id, address) = entry.split_once('@').ok_or_else(expected)?;
        let id: i32 = id.parse().ok().filter(|id| *id >= 0).ok_or_else(expected)?;
        let (host, port) = host_and_port(address)
            .filter(|(host, port)| !host.is_empty() && *port != 0)
            .ok_or_else(expected)?;
        if voters.iter().any(|voter| voter.id == id) {
            return Err(expected());
        }
        voters.push(QuorumVoter { id, host, port });
    }
    Ok(voters)
}

fn listeners(text: &str) -> Result<Vec<ListenerAddress>, String> {
    let expected = || "NAME://host:port,… with a different name for each listener".to_owned();
    let mut listeners: Vec<ListenerAddress> = Vec::new();
    for entry in list(text)? {
        let (name, address) = entry.split_once("://").ok_or_else(expected)?;
        let (host, port) = host_and_port(address).ok_or_else(expected)?;
        if name.is_empty() || listeners.iter().any(|listener| listener.name == name) {
            return Err(expected());
        }
        listeners.push(ListenerAddress { name: name.to_owned(), host, port });
    }
    Ok(listeners)
}

fn protocol_map(text: &str) -> Result<BTreeMap<String, String>, String> {
    list(text)?
        .into_iter()
        .map(|entry| {
            entry
                .split_once(':')
                .map(|(name, protocol)| (name.to_owned(), protocol.to_owned()))
                .ok_or_else(|| "NAME:PROTOCOL,…".to_owned())
        })
        .collect()
}

fn cleanup_policy(text: &str) -> Result<Vec<String>, String> {
    let policies = list(text)?;
    let known = policies.iter().all(|policy| policy == "delete" || policy == "compact");
    if known && !policies.is_empty() {
        Ok(policies)
    } else {
        Err("delete, compact, or both".into())
    }
}

fn defects(text: &str) -> Result<Defects, String> {
    let mut defects = Defects::default();
    for name in list(text)? {
        match Defect::from_name(&name) {
            Some(defect) => defects.insert(defect),
            None => {
                let names: Vec<&str> = Defect::all().iter().map(|defect| defect.name()).collect();
                return Err(format!("names from: {}", names.join(", ")));
            }
        }
    }
    Ok(defects)
}
