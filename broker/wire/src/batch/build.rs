//! Making batches of our own: coordinator and controller records, markers, tests, the admin client.

use super::compression::{Compression, Compressor};
use super::header::{
    ATTRIBUTE_CONTROL, ATTRIBUTE_TRANSACTIONAL, BatchHeader, CRC_START, HEADER_BYTES, MAGIC,
};
use super::{LOG_OVERHEAD_BYTES, RecordHeader};
use crate::codec::Put;
use bytes::Bytes;

/// Who an idempotent batch is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
    /// The sequence number of the first record; -1 in markers.
    pub base_sequence: i32,
}

/// Collects records for one batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    producer: Producer,
    attributes: i16,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
    records: Vec<u8>,
    scratch: Vec<u8>,
}

impl BatchBuilder {
    pub fn new(compression: Compression) -> BatchBuilder {
        BatchBuilder {
            compression,
            producer: Producer { id: -1, epoch: -1, base_sequence: -1 },
            attributes: i16::from(compression.id()),
            base_timestamp: -1,
            max_timestamp: -1,
            count: 0,
            records: Vec::new(),
            scratch: Vec::new(),
        }
    }

    pub fn producer(mut self, producer: Producer) -> BatchBuilder {
        self.producer = producer;
        self
    }

    pub fn transactional(mut self) -> BatchBuilder {
        self.attributes |= ATTRIBUTE_TRANSACTIONAL;
        self
    }

    /// The records are control records (see [`crate::control`]).
    pub fn control(mut self) -> BatchBuilder {
        self.attributes |= ATTRIBUTE_CONTROL;
        self
    }

    /// Appends one record with the timestamp that its producer gave it, in milliseconds since the epoch.
    pub fn append(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader],
    ) {
        if self.count == 0 {
            self.base_timestamp = timestamp_ms;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        let body = &mut self.scratch;
        body.clear();
        body.put_i8(0);
        body.put_varlong(timestamp_ms.wrapping_sub(self.base_timestamp));
        body.put_varint(self.count);
        put_nullable(body, key);
        put_nullable(body, value);
        body.put_varint(i32::try_from(headers.len()).expect("a sane count of headers"));
        for header in headers {
            put_nullable(body, Some(&header.key));
            put_nullable(body, header.value.as_deref());
        }
        let length = i32::try_from(self.scratch.len()).expect("a record of less than 2 GiB");
        self.records.put_varint(length);
        self.records.put_raw(&self.scratch);
        self.count += 1;
    }

    /// Records so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch so far, before compression.
    pub fn plain_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// The finished batch. There must be at least one record. Who makes compressed batches all the time uses
    /// [`BatchBuilder::build_with`].
    pub fn build(&self, base_offset: i64, partition_leader_epoch: i32) -> Bytes {
        self.build_with(&mut Compressor::default(), base_offset, partition_leader_epoch)
    }

    /// As [`BatchBuilder::build`], compressed with memory that is used again.
    pub fn build_with(
        &self,
        compressor: &mut Compressor,
        base_offset: i64,
        partition_leader_epoch: i32,
    ) -> Bytes {
        assert!(self.count > 0, "Kafka has no use for a batch without records");
        let compressed;
        let payload = if self.compression == Compression::None {
            &self.records
        } else {
            compressed = compressor.compress(self.compression, &self.records);
            &compressed
        };
        let length = HEADER_BYTES - LOG_OVERHEAD_BYTES + payload.len();
        let mut header = BatchHeader {
            base_offset,
            batch_length: i32::try_from(length).expect("a batch of less than 2 GiB"),
            partition_leader_epoch,
            magic: MAGIC,
            crc: 0,
            attributes: self.attributes,
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            base_sequence: self.producer.base_sequence,
            record_count: self.count,
        };
        let covered = &header.to_bytes()[CRC_START..];
        header.crc = crc32c::crc32c_append(crc32c::crc32c(covered), payload);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
        bytes.put_raw(&header.to_bytes());
        bytes.put_raw(payload);
        Bytes::from(bytes)
    }
}

fn put_nullable(body: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => body.put_varint(-1),
        Some(bytes) => {
            body.put_varint(i32::try_from(bytes.len()).expect("a field of less than 2 GiB"));
            body.put_raw(bytes);
        }
    }
}
