//! The records inside a batch, read lazily.

use super::RecordError;
use super::header::{BatchHeader, TimestampType};
use crate::codec::{Malformed, Reader};
use bytes::Bytes;
use std::ops::Range;

/// One record, its bytes shared with the (decompressed) batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    /// Milliseconds since the epoch; the broker's where the batch says so.
    pub timestamp: i64,
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    /// In order, and with repeated keys.
    pub headers: Vec<RecordHeader>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// UTF-8 by Kafka's contract, which nobody enforces.
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// Where one record's parts lie, relative to the slice it was read from.
pub(super) struct RawRecord {
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<Range<usize>>,
    pub value: Option<Range<usize>>,
    /// The headers, unread, and how many they claim to be.
    headers: Range<usize>,
    header_count: u32,
    /// Where the next record begins.
    pub end: usize,
}

impl RawRecord {
    /// Reads the record at `at`; everything but the headers' insides is checked.
    pub fn read(bytes: &[u8], at: usize) -> Result<RawRecord, Malformed> {
        let mut reader = Reader::new(&bytes[at..]);
        let length = reader.varint()?;
        let length =
            usize::try_from(length).map_err(|_| Malformed("the record's length is negative"))?;
        if length > reader.remaining() {
            return Err(Malformed("the record is longer than the batch"));
        }
        let end = bytes.len() - reader.remaining() + length;
        let mut reader = Reader::new(&bytes[end - length..end]);
        reader.i8()?;
        let timestamp_delta = reader.varlong()?;
        let offset_delta = reader.varint()?;
        let key = range(&mut reader, end)?;
        let value = range(&mut reader, end)?;
        let header_count = u32::try_from(reader.varint()?)
            .map_err(|_| Malformed("the count of headers is negative"))?;
        if header_count as usize > reader.remaining() {
            return Err(Malformed("there are fewer headers than the record claims"));
        }
        let headers = end - reader.remaining()..end;
        Ok(RawRecord { timestamp_delta, offset_delta, key, value, headers, header_count, end })
    }

    /// Walks the headers; they must fill what is left of the record.
    pub fn walk_headers(
        &self,
        bytes: &[u8],
        mut each: impl FnMut(Range<usize>, Option<Range<usize>>),
    ) -> Result<(), Malformed> {
        let end = self.headers.end;
        let mut reader = Reader::new(&bytes[self.headers.clone()]);
        for _ in 0..self.header_count {
            let key = range(&mut reader, end)?.ok_or(Malformed("a header has no key"))?;
            let value = range(&mut reader, end)?;
            each(key, value);
        }
        if reader.remaining() == 0 {
            return Ok(());
        }
        Err(Malformed("the record is longer than its fields"))
    }
}

/// A length and the bytes it counts, as a range of the slice that ends at `end`; `None` for null.
fn range(reader: &mut Reader<'_>, end: usize) -> Result<Option<Range<usize>>, Malformed> {
    let length = reader.varint()?;
    if length < 0 {
        return if length == -1 { Ok(None) } else { Err(Malformed("a length is negative")) };
    }
    reader.take(length as usize)?;
    let stop = end - reader.remaining();
    Ok(Some(stop - length as usize..stop))
}

/// Yields the records in order and ends after the first error.
#[derive(Clone, Debug)]
pub struct Records {
    bytes: Bytes,
    at: usize,
    index: u32,
    count: u32,
    base_offset: i64,
    base_timestamp: i64,
    log_append_time: Option<i64>,
    /// More or fewer bytes than records: found out at the end.
    done: bool,
}

impl Records {
    pub(super) fn new(header: &BatchHeader, bytes: Bytes) -> Records {
        let log_append_time = (header.timestamp_type() == TimestampType::LogAppendTime)
            .then_some(header.max_timestamp);
        Records {
            bytes,
            at: 0,
            index: 0,
            count: u32::try_from(header.record_count).unwrap_or(0),
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            log_append_time,
            done: false,
        }
    }

    fn read(&mut self) -> Result<Record, Malformed> {
        let raw = RawRecord::read(&self.bytes, self.at)?;
        let mut headers = Vec::new();
        raw.walk_headers(&self.bytes, |key, value| {
            headers.push(RecordHeader {
                key: self.bytes.slice(key),
                value: value.map(|value| self.bytes.slice(value)),
            });
        })?;
        self.at = raw.end;
        let created = self.base_timestamp.saturating_add(raw.timestamp_delta);
        Ok(Record {
            offset: self.base_offset.saturating_add(i64::from(raw.offset_delta)),
            timestamp: self.log_append_time.unwrap_or(created),
            key: raw.key.map(|key| self.bytes.slice(key)),
            value: raw.value.map(|value| self.bytes.slice(value)),
            headers,
        })
    }
}

impl Iterator for Records {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let index = self.index;
        if index == self.count {
            self.done = true;
            if self.at == self.bytes.len() {
                return None;
            }
            let reason = "there are bytes after the last record";
            return Some(Err(RecordError::Record { index, reason }));
        }
        self.index += 1;
        let record = self.read().map_err(|Malformed(reason)| RecordError::Record { index, reason });
        self.done = record.is_err();
        Some(record)
    }
}
