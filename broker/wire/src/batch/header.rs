//! The 61 bytes that every batch begins with.

use super::compression::{Compression, Decompressor};
use super::{BadBatch, LOG_OVERHEAD_BYTES, RecordError};
use crate::codec::{Put, Reader};
use std::borrow::Cow;

/// Bytes of a batch header.
pub const HEADER_BYTES: usize = 61;

/// The only message format that we read and write.
pub const MAGIC: i8 = 2;

/// The CRC covers everything from here, the attributes, to the end of the batch.
pub(super) const CRC_START: usize = 21;
const MAGIC_AT: usize = 16;

const ATTRIBUTE_COMPRESSION_MASK: i16 = 0x07;
pub(super) const ATTRIBUTE_LOG_APPEND_TIME: i16 = 0x08;
pub(super) const ATTRIBUTE_TRANSACTIONAL: i16 = 0x10;
pub(super) const ATTRIBUTE_CONTROL: i16 = 0x20;
const ATTRIBUTE_DELETE_HORIZON: i16 = 0x40;

/// Whose clock the timestamps are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// The fields in their order on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Bytes that follow this field.
    pub batch_length: i32,
    /// -1 until a leader appended it.
    pub partition_leader_epoch: i32,
    pub magic: i8,
    /// CRC-32C of everything after it.
    pub crc: u32,
    pub attributes: i16,
    /// The last offset, relative to the base offset; compaction leaves it as it was.
    pub last_offset_delta: i32,
    /// Milliseconds since the epoch; with a delete horizon, that horizon.
    pub base_timestamp: i64,
    /// Milliseconds since the epoch.
    pub max_timestamp: i64,
    /// -1 for a producer without idempotence.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header that `bytes` begins with and checks length field and magic.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BadBatch> {
        // The length and the magic first: they say whether the rest means anything, and what is missing.
        let mut reader = Reader::new(bytes);
        let short = |_| BadBatch::Truncated { needed: HEADER_BYTES, available: bytes.len() };
        let base_offset = reader.i64().map_err(short)?;
        let batch_length = reader.i32().map_err(short)?;
        let partition_leader_epoch = reader.i32().map_err(short)?;
        let magic = reader.i8().map_err(short)?;
        debug_assert_eq!(MAGIC_AT + 1, bytes.len() - reader.remaining());
        if magic != MAGIC {
            return Err(BadBatch::Magic(magic));
        }
        if usize::try_from(batch_length).unwrap_or(0) < HEADER_BYTES - LOG_OVERHEAD_BYTES {
            return Err(BadBatch::Length(batch_length));
        }
        let mut read = || {
            Ok(BatchHeader {
                base_offset,
                batch_length,
                partition_leader_epoch,
                magic,
                crc: reader.u32()?,
                attributes: reader.i16()?,
                last_offset_delta: reader.i32()?,
                base_timestamp: reader.i64()?,
                max_timestamp: reader.i64()?,
                producer_id: reader.i64()?,
                producer_epoch: reader.i16()?,
                base_sequence: reader.i32()?,
                record_count: reader.i32()?,
            })
        };
        read().map_err(short)
    }

    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.put_i64(self.base_offset);
        bytes.put_i32(self.batch_length);
        bytes.put_i32(self.partition_leader_epoch);
        bytes.put_i8(self.magic);
        bytes.put_u32(self.crc);
        bytes.put_i16(self.attributes);
        bytes.put_i32(self.last_offset_delta);
        bytes.put_i64(self.base_timestamp);
        bytes.put_i64(self.max_timestamp);
        bytes.put_i64(self.producer_id);
        bytes.put_i16(self.producer_epoch);
        bytes.put_i32(self.base_sequence);
        bytes.put_i32(self.record_count);
        bytes.try_into().expect("the fields take 61 bytes")
    }

    /// Bytes of the whole batch, by its length field. The length was checked when the header was parsed.
    pub fn size_bytes(&self) -> usize {
        LOG_OVERHEAD_BYTES + self.batch_length as usize
    }

    /// Saturates on a nonsense delta, so that a caller's checks see a wrong offset and not an overflow.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset after the last.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    pub fn is_control(&self) -> bool {
        self.attributes & ATTRIBUTE_CONTROL != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & ATTRIBUTE_TRANSACTIONAL != 0
    }

    pub fn has_producer(&self) -> bool {
        self.producer_id > -1
    }

    /// Set by compaction: the base timestamp is then when tombstones may go.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & ATTRIBUTE_DELETE_HORIZON != 0
    }

    /// `None` for a compression type that Kafka does not have.
    pub fn compression(&self) -> Option<Compression> {
        Compression::from_id(self.compression_id())
    }

    pub(super) fn compression_id(&self) -> u8 {
        (self.attributes & ATTRIBUTE_COMPRESSION_MASK) as u8
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & ATTRIBUTE_LOG_APPEND_TIME != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// The sequence number of the last record, wrapping as Kafka's does; `None` without a producer.
    pub fn last_sequence(&self) -> Option<i32> {
        if !self.has_producer() || self.base_sequence < 0 {
            return None;
        }
        Some(increment_sequence(self.base_sequence, self.last_offset_delta.max(0)))
    }

    pub(super) fn decompress<'a>(
        &self,
        payload: &'a [u8],
        decompressor: &mut Decompressor,
        max_bytes: usize,
    ) -> Result<Cow<'a, [u8]>, RecordError> {
        let compression =
            self.compression().ok_or_else(|| RecordError::Compression(self.compression_id()))?;
        match compression {
            Compression::None => Ok(Cow::Borrowed(payload)),
            other => decompressor.decompress(other, payload, max_bytes).map(Cow::Owned),
        }
    }
}

/// Sequence numbers count from 0 to `i32::MAX` and start again at 0.
pub fn increment_sequence(sequence: i32, by: i32) -> i32 {
    assert!(sequence >= 0 && by >= 0, "sequence numbers do not go back");
    ((i64::from(sequence) + i64::from(by)) % (i64::from(i32::MAX) + 1)) as i32
}
