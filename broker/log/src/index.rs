//! The two sparse indexes of a segment, in memory and in Kafka's file formats.
//!
//! Promises: what decodes is sorted and lies inside its segment, so a lookup never leads past the place it is asked
//! for; anything else is refused and has to be rebuilt from the batches. Not promised: that an index is complete.
//! Every lookup is a place to start reading from, not an answer.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of one entry of an `.index` file.
pub const OFFSET_ENTRY_BYTES: usize = 8;
/// Bytes of one entry of a `.timeindex` file.
pub const TIME_ENTRY_BYTES: usize = 12;

/// `.index`: the last offset of a batch, relative to the segment's base, and the batch's position in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetIndex {
    entries: Vec<(u32, u32)>,
}

impl OffsetIndex {
    /// Reads a whole file. Zeros at the end are Kafka's preallocation, left by a broker that was killed.
    /// `None`: not a sound index of a segment that is `segment_len` bytes long.
    pub fn decode(data: &[u8], segment_len: u64) -> Option<OffsetIndex> {
        if !data.len().is_multiple_of(OFFSET_ENTRY_BYTES) {
            return None;
        }
        let mut entries = Vec::with_capacity(data.len() / OFFSET_ENTRY_BYTES);
        for entry in data.chunks_exact(OFFSET_ENTRY_BYTES) {
            let relative = u32::from_be_bytes(entry[..4].try_into().ok()?);
            let position = u32::from_be_bytes(entry[4..].try_into().ok()?);
            entries.push((relative, position));
        }
        // No entry is written for the first batch, so position 0 never stands in a sound index.
        while entries.last() == Some(&(0, 0)) {
            entries.pop();
        }
        entries.shrink_to_fit();
        let rising = entries.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
        let inside = entries.last().is_none_or(|&(relative, position)| {
            relative <= i32::MAX as u32 && u64::from(position) < segment_len
        });
        (rising && inside).then_some(OffsetIndex { entries })
    }

    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.len_bytes());
        for &(relative, position) in &self.entries {
            bytes.put_u32(relative);
            bytes.put_u32(position);
        }
        bytes.freeze()
    }

    pub fn len_bytes(&self) -> usize {
        self.entries.len() * OFFSET_ENTRY_BYTES
    }

    /// Adds an entry and answers its bytes for the file.
    pub fn push(&mut self, relative: u32, position: u32) -> Bytes {
        let sound = self.entries.last().is_none_or(|last| last.0 < relative && last.1 < position);
        assert!(sound, "an index entry ({relative}, {position}) must rise over the last one");
        self.entries.push((relative, position));
        let mut bytes = BytesMut::with_capacity(OFFSET_ENTRY_BYTES);
        bytes.put_u32(relative);
        bytes.put_u32(position);
        bytes.freeze()
    }

    /// Where to start reading for the batch that holds `relative`.
    pub fn lookup(&self, relative: u32) -> u32 {
        let above = self.entries.partition_point(|entry| entry.0 <= relative);
        above.checked_sub(1).map_or(0, |index| self.entries[index].1)
    }

    pub fn last(&self) -> Option<(u32, u32)> {
        self.entries.last().copied()
    }

    /// Drops the entries of batches at or after `position`.
    pub fn truncate_to_position(&mut self, position: u32) {
        self.entries.truncate(self.entries.partition_point(|entry| entry.1 < position));
    }
}

/// `.timeindex`: the largest timestamp so far, and the last offset of the batch that has it, relative to the base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeIndex {
    entries: Vec<(i64, u32)>,
}

impl TimeIndex {
    /// As [`OffsetIndex::decode`].
    pub fn decode(data: &[u8]) -> Option<TimeIndex> {
        if !data.len().is_multiple_of(TIME_ENTRY_BYTES) {
            return None;
        }
        let mut entries = Vec::with_capacity(data.len() / TIME_ENTRY_BYTES);
        for entry in data.chunks_exact(TIME_ENTRY_BYTES) {
            let timestamp = i64::from_be_bytes(entry[..8].try_into().ok()?);
            let relative = u32::from_be_bytes(entry[8..].try_into().ok()?);
            entries.push((timestamp, relative));
        }
        while entries.len() > 1 && entries.last() == Some(&(0, 0)) {
            entries.pop();
        }
        entries.shrink_to_fit();
        let rising = entries.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
        let inside = entries.iter().all(|&(ts, relative)| ts >= 0 && relative <= i32::MAX as u32);
        (rising && inside).then_some(TimeIndex { entries })
    }

    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.len_bytes());
        for &(timestamp, relative) in &self.entries {
            bytes.put_i64(timestamp);
            bytes.put_u32(relative);
        }
        bytes.freeze()
    }

    pub fn len_bytes(&self) -> usize {
        self.entries.len() * TIME_ENTRY_BYTES
    }

    /// Adds an entry if its timestamp is news, and answers its bytes for the file.
    pub fn maybe_push(&mut self, timestamp: i64, relative: u32) -> Option<Bytes> {
        if timestamp < 0
            || self.entries.last().is_some_and(|last| last.0 >= timestamp || last.1 >= relative)
        {
            return None;
        }
        self.entries.push((timestamp, relative));
        let mut bytes = BytesMut::with_capacity(TIME_ENTRY_BYTES);
        bytes.put_i64(timestamp);
        bytes.put_u32(relative);
        Some(bytes.freeze())
    }

    /// No record before the answered (relative) offset has a timestamp of `timestamp` or more.
    pub fn lookup(&self, timestamp: i64) -> u32 {
        let above = self.entries.partition_point(|entry| entry.0 <= timestamp);
        above.checked_sub(1).map_or(0, |index| self.entries[index].1)
    }

    /// The largest timestamp of the segment, as far as the index knows.
    pub fn last(&self) -> Option<(i64, u32)> {
        self.entries.last().copied()
    }

    /// Drops the entries of batches that end at or after `relative`.
    pub fn truncate_to_offset(&mut self, relative: u32) {
        self.entries.truncate(self.entries.partition_point(|entry| entry.1 < relative));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_index_round_trips_and_finds() {
        let mut index = OffsetIndex::default();
        index.push(9, 4_200);
        index.push(25, 9_000);
        assert_eq!(OffsetIndex::decode(&index.encode(), 10_000), Some(index.clone()));
        assert_eq!(index.lookup(0), 0);
        assert_eq!(index.lookup(8), 0);
        assert_eq!(index.lookup(9), 4_200);
        assert_eq!(index.lookup(24), 4_200);
        assert_eq!(index.lookup(1_000), 9_000);
        index.truncate_to_position(9_000);
        assert_eq!(index.last(), Some((9, 4_200)));
    }

    #[test]
    fn unsound_offset_indexes_are_refused() {
        let mut index = OffsetIndex::default();
        index.push(9, 4_200);
        index.push(25, 9_000);
        let sound = index.encode();
        assert_eq!(OffsetIndex::decode(&sound, 9_000), None, "points past the segment");
        assert_eq!(OffsetIndex::decode(&sound[..15], 10_000), None, "a torn entry");
        let swapped = [&sound[8..], &sound[..8]].concat();
        assert_eq!(OffsetIndex::decode(&swapped, 10_000), None, "falling");
        let preallocated = [&sound[..], &[0; 64]].concat();
        assert_eq!(OffsetIndex::decode(&preallocated, 10_000), Some(index));
    }

    #[test]
    fn time_index_round_trips_and_finds() {
        let mut index = TimeIndex::default();
        assert!(index.maybe_push(1_000, 4).is_some());
        assert!(index.maybe_push(1_000, 9).is_none(), "not news");
        assert!(index.maybe_push(2_000, 9).is_some());
        assert!(index.maybe_push(-1, 20).is_none());
        assert_eq!(TimeIndex::decode(&index.encode()), Some(index.clone()));
        assert_eq!(index.lookup(999), 0);
        assert_eq!(index.lookup(1_500), 4);
        assert_eq!(index.lookup(9_999), 9);
        index.truncate_to_offset(9);
        assert_eq!(index.last(), Some((1_000, 4)));
        assert_eq!(TimeIndex::decode(&[1; 13]), None);
    }
}
