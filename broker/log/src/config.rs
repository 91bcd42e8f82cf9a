//! What a log is told about itself: Kafka's topic settings, as numbers.
//!
//! Promises: `Default` is Kafka's default for a topic. Not promised: that every setting of Kafka is here; those that
//! this crate does not act on (compression, local retention) are not.

pub use wire::batch::TimestampType;

use crate::Defects;

/// `cleanup.policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted by `retention.ms` and `retention.bytes`.
    pub delete: bool,
    /// Every record needs a key, for it is kept by key.
    pub compact: bool,
}

impl CleanupPolicy {
    pub const DELETE: CleanupPolicy = CleanupPolicy { delete: true, compact: false };
    pub const COMPACT: CleanupPolicy = CleanupPolicy { delete: false, compact: true };

    /// Reads Kafka's comma separated list.
    pub fn parse(value: &str) -> Option<CleanupPolicy> {
        let mut policy = CleanupPolicy { delete: false, compact: false };
        for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "delete" => policy.delete = true,
                "compact" => policy.compact = true,
                _ => return None,
            }
        }
        Some(policy)
    }
}

/// The settings of one log. Sizes in bytes, times in milliseconds; -1 means "no limit" where Kafka says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is rolled before it would grow beyond this.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment whose first record is older than this is rolled.
    pub segment_ms: i64,
    /// `index.interval.bytes`: one index entry for each so many bytes of log.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`: a segment whose index is this large is rolled.
    pub segment_index_bytes: u32,
    /// `max.message.bytes`: the largest batch that a leader accepts.
    pub max_message_bytes: u32,
    /// `retention.ms`; -1: for ever.
    pub retention_ms: i64,
    /// `retention.bytes`; -1: without limit.
    pub retention_bytes: i64,
    /// `cleanup.policy`.
    pub cleanup: CleanupPolicy,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far in the past a producer's timestamp may lie.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far in the future a producer's timestamp may lie.
    pub timestamp_after_max_ms: i64,
    /// `flush.messages`: a sync is asked for after this many records. At 1, the log end offset advances only over
    /// records that a completed sync covers.
    pub flush_messages: u64,
    /// `flush.ms`: records wait at most this long for a sync, as far as `maintain` is called.
    pub flush_ms: i64,
    /// `file.delete.delay.ms`: between the renaming of a dropped file to `.deleted` and its deletion.
    pub file_delete_delay_ms: i64,
    /// `producer.id.expiration.ms`: an idle producer is forgotten after this.
    pub producer_id_expiration_ms: i64,
    /// How many bytes of the newest batches are kept in memory for followers and consumers at the tail. Ours, not
    /// Kafka's.
    pub tail_cache_bytes: u32,
    /// Whether a leader reads into the batches (Kafka always does) or only checks headers and CRC. Ours.
    pub validate_deep: bool,
    /// Deliberate mistakes, for proving that they are seen. Ours.
    pub defects: Defects,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            max_message_bytes: 1_048_588,
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            cleanup: CleanupPolicy::DELETE,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            flush_messages: u64::MAX,
            flush_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            producer_id_expiration_ms: 86_400_000,
            tail_cache_bytes: 2 << 20,
            validate_deep: true,
            defects: Defects::default(),
        }
    }
}
