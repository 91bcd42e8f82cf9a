//! Record batches of magic 2: Kafka's unit of writing, replication and storage.
//!
//! Promises: a batch stays the bytes that its producer made. A [`Batch`] is two slices of the buffer it arrived in; giving
//! it its place in a log ([`Batch::assign`]) makes a fresh copy of the first 16 bytes, all of which lie outside the CRC,
//! and touches nothing else. Nothing here panics or over-allocates on what a stranger sent.
//!
//! Not promised: that a batch is sound because it could be split off. [`BatchView::check`] looks at the CRC,
//! [`validate::validate_deep`] at the records.
//!
//! Not here: the message formats before magic 2.

mod build;
mod compression;
mod header;
mod record;
#[cfg(test)]
mod tests;
pub mod validate;

pub use build::{BatchBuilder, Producer};
pub use compression::{Compression, Compressor, Decompressor, MAX_UNCOMPRESSED_BYTES};
pub use header::{BatchHeader, HEADER_BYTES, MAGIC, TimestampType, increment_sequence};
pub use record::{Record, RecordHeader, Records};
pub use validate::{InvalidKind, InvalidRecord, Rules, Validated, validate_deep, validate_header};

use bytes::Bytes;

/// The bytes before the CRC'd part that a log may rewrite: base offset, length, leader epoch.
const PATCHED_BYTES: usize = 16;

/// The bytes of a batch before those that its length field counts.
pub const LOG_OVERHEAD_BYTES: usize = 12;

/// Where in a records field something is wrong, and what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {position}: {reason}")]
pub struct BatchError {
    /// Byte position of the batch in the field or segment that was read.
    pub position: usize,
    pub reason: BadBatch,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    #[error("the batch ends too early: {available} of {needed} bytes")]
    Truncated { needed: usize, available: usize },
    #[error("the batch length field says {0}, less than a header")]
    Length(i32),
    #[error("magic {0}, only 2 is understood")]
    Magic(i8),
    #[error("the CRC is {stored:08x}, the bytes give {computed:08x}")]
    Crc { stored: u32, computed: u32 },
    #[error("a negative count or offset delta")]
    Negative,
}

/// Why the records inside a batch could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("compression type {0} is unknown")]
    Compression(u8),
    #[error("{0} decompression failed: {1}")]
    Decompress(&'static str, String),
    #[error("the records are larger than {0} bytes when decompressed")]
    TooLarge(usize),
    #[error("record {index}: {reason}")]
    Record { index: u32, reason: &'static str },
}

/// One batch, looked at in place.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    header: BatchHeader,
    /// The first 16 bytes, or the first 61.
    head: &'a [u8],
    rest: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch that `bytes` begins with; what follows it is ignored. Only sizes and the magic are looked at.
    pub fn new(bytes: &'a [u8]) -> Result<BatchView<'a>, BadBatch> {
        let header = BatchHeader::parse(bytes)?;
        let needed = header.size_bytes();
        let Some(whole) = bytes.get(..needed) else {
            return Err(BadBatch::Truncated { needed, available: bytes.len() });
        };
        let (head, rest) = whole.split_at(PATCHED_BYTES);
        Ok(BatchView { header, head, rest })
    }

    /// The whole check short of the records: size, magic (both done by construction), counts and the CRC.
    pub fn check(&self) -> Result<(), BadBatch> {
        if self.header.last_offset_delta < 0 || self.header.record_count < 0 {
            return Err(BadBatch::Negative);
        }
        let computed = self.compute_crc();
        if computed == self.header.crc {
            return Ok(());
        }
        Err(BadBatch::Crc { stored: self.header.crc, computed })
    }

    fn compute_crc(&self) -> u32 {
        let start = header::CRC_START;
        if self.head.len() > start {
            return crc32c::crc32c_append(crc32c::crc32c(&self.head[start..]), self.rest);
        }
        crc32c::crc32c(&self.rest[start - self.head.len()..])
    }

    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Bytes of the whole batch.
    pub fn size_bytes(&self) -> usize {
        self.header.size_bytes()
    }

    pub fn base_offset(&self) -> i64 {
        self.header.base_offset
    }

    pub fn last_offset(&self) -> i64 {
        self.header.last_offset()
    }

    pub fn is_control(&self) -> bool {
        self.header.is_control()
    }

    pub fn is_transactional(&self) -> bool {
        self.header.is_transactional()
    }

    /// `None` for a compression type that Kafka does not have.
    pub fn compression(&self) -> Option<Compression> {
        self.header.compression()
    }

    pub fn timestamp_type(&self) -> TimestampType {
        self.header.timestamp_type()
    }

    /// The bytes after the header, as they are: compressed or not.
    pub fn payload(&self) -> &'a [u8] {
        &self.rest[HEADER_BYTES - self.head.len()..]
    }

    /// The records, decompressed into at most [`MAX_UNCOMPRESSED_BYTES`]. Uncompressed records are copied once; use
    /// [`Batch::records`] where the batch is owned.
    pub fn records(&self) -> Result<Records, RecordError> {
        self.records_bounded(MAX_UNCOMPRESSED_BYTES)
    }

    pub fn records_bounded(&self, max_bytes: usize) -> Result<Records, RecordError> {
        let plain =
            self.header.decompress(self.payload(), &mut Decompressor::default(), max_bytes)?;
        Ok(Records::new(&self.header, Bytes::from(plain.into_owned())))
    }
}

/// One batch that owns (a share of) its bytes and can be given its place in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    /// The first 16 bytes, or the first 61 once the timestamps were rewritten.
    head: Bytes,
    rest: Bytes,
}

impl Batch {
    /// `bytes` must hold exactly one batch.
    pub fn new(bytes: Bytes) -> Result<Batch, BadBatch> {
        let view = BatchView::new(&bytes)?;
        let needed = view.size_bytes();
        if needed != bytes.len() {
            return Err(BadBatch::Truncated { needed, available: bytes.len() });
        }
        let header = view.header;
        Ok(Batch { header, head: bytes.slice(..PATCHED_BYTES), rest: bytes.slice(PATCHED_BYTES..) })
    }

    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    pub fn view(&self) -> BatchView<'_> {
        BatchView { header: self.header, head: &self.head, rest: &self.rest }
    }

    /// Bytes of the whole batch.
    #[allow(clippy::len_without_is_empty, reason = "no batch is empty: it has a header")]
    pub fn len(&self) -> usize {
        self.head.len() + self.rest.len()
    }

    pub fn base_offset(&self) -> i64 {
        self.header.base_offset
    }

    pub fn last_offset(&self) -> i64 {
        self.header.last_offset()
    }

    /// Gives the batch its place: writes base offset and leader epoch into a fresh head. The rest is shared as it is.
    pub fn assign(&mut self, base_offset: i64, partition_leader_epoch: i32) {
        self.header.base_offset = base_offset;
        self.header.partition_leader_epoch = partition_leader_epoch;
        let whole = self.header.to_bytes();
        self.head = Bytes::copy_from_slice(&whole[..self.head.len()]);
    }

    pub fn set_base_offset(&mut self, base_offset: i64) {
        self.assign(base_offset, self.header.partition_leader_epoch);
    }

    pub fn set_partition_leader_epoch(&mut self, partition_leader_epoch: i32) {
        self.assign(self.header.base_offset, partition_leader_epoch);
    }

    /// The broker's clock instead of the producer's, for all records at once: sets the timestamp type and the maximum
    /// timestamp, and computes the CRC again.
    pub fn set_log_append_time(&mut self, timestamp_ms: i64) {
        self.header.attributes |= header::ATTRIBUTE_LOG_APPEND_TIME;
        self.header.max_timestamp = timestamp_ms;
        self.rewrite_header();
    }

    /// Corrects the maximum timestamp that a producer claimed; a no-op, without a copy, where it was right.
    pub fn set_max_timestamp(&mut self, timestamp_ms: i64) {
        if self.header.max_timestamp != timestamp_ms {
            self.header.max_timestamp = timestamp_ms;
            self.rewrite_header();
        }
    }

    fn rewrite_header(&mut self) {
        let payload = self.rest.slice(HEADER_BYTES - self.head.len()..);
        let covered = &self.header.to_bytes()[header::CRC_START..];
        self.header.crc = crc32c::crc32c_append(crc32c::crc32c(covered), &payload);
        self.head = Bytes::copy_from_slice(&self.header.to_bytes());
        self.rest = payload;
    }

    /// The batch as pieces to be written one after the other.
    pub fn parts(&self) -> [Bytes; 2] {
        [self.head.clone(), self.rest.clone()]
    }

    /// The batch in one piece. Copies: not for the data path.
    pub fn to_contiguous(&self) -> Bytes {
        let mut whole = Vec::with_capacity(self.len());
        whole.extend_from_slice(&self.head);
        whole.extend_from_slice(&self.rest);
        Bytes::from(whole)
    }

    /// The records; keys and values of an uncompressed batch are slices of it. Who reads batch after batch uses
    /// [`Batch::records_with`].
    pub fn records(&self) -> Result<Records, RecordError> {
        self.records_with(&mut Decompressor::default())
    }

    /// As [`Batch::records`], decompressed with memory that is used again.
    pub fn records_with(&self, decompressor: &mut Decompressor) -> Result<Records, RecordError> {
        let payload = self.rest.slice(HEADER_BYTES - self.head.len()..);
        if self.header.compression() == Some(Compression::None) {
            return Ok(Records::new(&self.header, payload));
        }
        let plain = self.header.decompress(&payload, decompressor, MAX_UNCOMPRESSED_BYTES)?;
        Ok(Records::new(&self.header, Bytes::from(plain.into_owned())))
    }
}

/// Splits a records field into its batches, without a copy. Anything left over at the end is an error.
pub fn split_batches(bytes: Bytes) -> Result<Vec<Batch>, BatchError> {
    split(bytes, false)
}

/// As [`split_batches`], but a last batch of which the end is missing is dropped: a fetch response may be cut anywhere.
pub fn split_batches_allowing_partial(bytes: Bytes) -> Result<Vec<Batch>, BatchError> {
    split(bytes, true)
}

fn split(bytes: Bytes, allow_partial: bool) -> Result<Vec<Batch>, BatchError> {
    let mut batches = Vec::new();
    let mut position = 0;
    while position < bytes.len() {
        match BatchView::new(&bytes[position..]) {
            Ok(view) => {
                let header = *view.header();
                let end = position + view.size_bytes();
                batches.push(Batch {
                    header,
                    head: bytes.slice(position..position + PATCHED_BYTES),
                    rest: bytes.slice(position + PATCHED_BYTES..end),
                });
                position = end;
            }
            Err(BadBatch::Truncated { .. }) if allow_partial => break,
            Err(reason) => return Err(BatchError { position, reason }),
        }
    }
    Ok(batches)
}
