//! What a leader checks before it appends a client's batch, as Kafka's `LogValidator` does.
//!
//! Promises: nothing is changed, and an uncompressed batch is checked in place without a copy. Two differences from
//! Kafka: records whose offset deltas do not count 0, 1, 2, … are refused where Kafka would rewrite the batch, because
//! we never re-encode one; and a wrong maximum timestamp is returned for the log to correct.

use super::header::TimestampType;
use super::record::RawRecord;
use super::{BatchView, Decompressor, MAX_UNCOMPRESSED_BYTES};
use crate::codec::Malformed;
use crate::error::ErrorCode;

/// What the topic and the clock ask of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The leader's wall clock.
    pub now_ms: i64,
    /// `cleanup.policy` contains `compact`: every record needs a key.
    pub compacted: bool,
    /// The topic's `message.timestamp.type`; the two bounds below count only under `CreateTime`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub timestamp_after_max_ms: i64,
    /// Clients may not write control batches; coordinators and the quorum may.
    pub allow_control: bool,
    /// What the batch may grow to when decompressed.
    pub max_uncompressed_bytes: usize,
}

impl Default for Rules {
    /// Kafka's defaults, for a client's batch at time 0.
    fn default() -> Rules {
        Rules {
            now_ms: 0,
            compacted: false,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: i64::MAX,
            allow_control: false,
            max_uncompressed_bytes: MAX_UNCOMPRESSED_BYTES,
        }
    }
}

/// What a deep look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validated {
    pub record_count: i32,
    /// The largest timestamp of the records; -1 where the header says LogAppendTime already.
    pub max_timestamp: i64,
}

/// Why a batch is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidRecord {
    /// The record's place in the batch, for `record_errors`; `None` where it is the batch itself.
    pub index: Option<i32>,
    pub kind: InvalidKind,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidKind {
    Record,
    Timestamp,
    Corrupt,
    Compression,
}

impl InvalidRecord {
    fn batch(reason: impl Into<String>) -> InvalidRecord {
        InvalidRecord { index: None, kind: InvalidKind::Record, reason: reason.into() }
    }

    /// What the produce response says.
    pub fn error_code(&self) -> ErrorCode {
        match self.kind {
            InvalidKind::Record => ErrorCode::InvalidRecord,
            InvalidKind::Timestamp => ErrorCode::InvalidTimestamp,
            InvalidKind::Corrupt => ErrorCode::CorruptMessage,
            InvalidKind::Compression => ErrorCode::UnsupportedCompressionType,
        }
    }
}

/// The part that needs no look at the records.
pub fn validate_header(view: &BatchView<'_>, rules: &Rules) -> Result<(), InvalidRecord> {
    let header = view.header();
    if header.record_count <= 0 {
        return Err(InvalidRecord::batch(format!(
            "a batch must have records, this one claims {}",
            header.record_count
        )));
    }
    if i64::from(header.last_offset_delta) + 1 != i64::from(header.record_count) {
        return Err(InvalidRecord::batch(format!(
            "the offset range of {} does not fit the {} records",
            i64::from(header.last_offset_delta) + 1,
            header.record_count
        )));
    }
    if header.is_control() && !rules.allow_control {
        return Err(InvalidRecord::batch("clients are not allowed to write control records"));
    }
    if header.has_producer() && !header.is_control() && header.base_sequence < 0 {
        return Err(InvalidRecord::batch(format!(
            "invalid sequence number {} in a batch with producer id {}",
            header.base_sequence, header.producer_id
        )));
    }
    if view.compression().is_none() {
        return Err(InvalidRecord {
            index: None,
            kind: InvalidKind::Compression,
            reason: format!("compression type {} is unknown", header.compression_id()),
        });
    }
    if rules.timestamp_type == TimestampType::CreateTime
        && header.timestamp_type() == TimestampType::LogAppendTime
        && !rules.allow_control
    {
        return Err(InvalidRecord {
            index: None,
            kind: InvalidKind::Timestamp,
            reason: "the broker's clock is the broker's to set: a client sent LogAppendTime".into(),
        });
    }
    Ok(())
}

/// The header and every record: sizes, offsets, timestamps, keys.
pub fn validate_deep(
    view: &BatchView<'_>,
    rules: &Rules,
    decompressor: &mut Decompressor,
) -> Result<Validated, InvalidRecord> {
    validate_header(view, rules)?;
    let header = view.header();
    let plain = header
        .decompress(view.payload(), decompressor, rules.max_uncompressed_bytes)
        .map_err(|error| {
            let reason = error.to_string();
            InvalidRecord { index: None, kind: InvalidKind::Corrupt, reason }
        })?;
    let mut at = 0;
    let mut max_timestamp = -1;
    for index in 0..header.record_count {
        let raw = RawRecord::read(&plain, at)
            .and_then(|raw| raw.walk_headers(&plain, |_, _| ()).map(|()| raw))
            .map_err(|Malformed(reason)| InvalidRecord {
                index: Some(index),
                kind: InvalidKind::Record,
                reason: reason.to_owned(),
            })?;
        let timestamp = header.base_timestamp.saturating_add(raw.timestamp_delta);
        validate_record(&raw, index, timestamp, rules)?;
        max_timestamp = max_timestamp.max(timestamp);
        at = raw.end;
    }
    if at != plain.len() {
        return Err(InvalidRecord::batch("there are bytes after the last record"));
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        max_timestamp = -1;
    }
    Ok(Validated { record_count: header.record_count, max_timestamp })
}

fn validate_record(
    raw: &RawRecord,
    index: i32,
    timestamp: i64,
    rules: &Rules,
) -> Result<(), InvalidRecord> {
    let refuse = |kind, reason: String| Err(InvalidRecord { index: Some(index), kind, reason });
    if raw.offset_delta != index {
        let reason = format!("record {index} has offset delta {}", raw.offset_delta);
        return refuse(InvalidKind::Record, reason);
    }
    if rules.compacted && raw.key.is_none() && !rules.allow_control {
        let reason = "a compacted topic cannot accept a message without key".to_owned();
        return refuse(InvalidKind::Record, reason);
    }
    // A record without a timestamp, -1, is Kafka's way to say "none".
    if rules.timestamp_type == TimestampType::CreateTime && timestamp >= 0 {
        let behind_ms = rules.now_ms.saturating_sub(timestamp);
        let ahead_ms = timestamp.saturating_sub(rules.now_ms);
        if behind_ms > rules.timestamp_before_max_ms || ahead_ms > rules.timestamp_after_max_ms {
            let reason =
                format!("timestamp {timestamp} is too far from the broker's {}", rules.now_ms);
            return refuse(InvalidKind::Timestamp, reason);
        }
    } else if rules.timestamp_type == TimestampType::CreateTime && timestamp < -1 {
        return refuse(InvalidKind::Timestamp, format!("timestamp {timestamp} is negative"));
    }
    Ok(())
}
