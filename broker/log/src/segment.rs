//! What is known of one segment, and how its files are called.

use crate::index::{OffsetIndex, TimeIndex};
use crate::io::FileId;

/// The kinds of file that belong to a base offset.
pub(crate) mod suffix {
    pub const LOG: &str = "log";
    pub const INDEX: &str = "index";
    pub const TIME_INDEX: &str = "timeindex";
    pub const TXN_INDEX: &str = "txnindex";
    pub const SNAPSHOT: &str = "snapshot";
    pub const DELETED: &str = ".deleted";
}

/// `00000000000000000042.log`: Kafka pads offsets to 20 digits.
pub(crate) fn file_name(offset: i64, suffix: &str) -> String {
    format!("{offset:020}.{suffix}")
}

/// The offset and suffix of a name that [`file_name`] could have made.
pub(crate) fn parse_file_name(name: &str) -> Option<(i64, &str)> {
    let (digits, suffix) = name.split_once('.')?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, suffix))
}

/// Both indexes of a segment, in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Indexes {
    pub offset: OffsetIndex,
    pub time: TimeIndex,
}

/// A timestamp and the last offset of the batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimestampOffset {
    pub timestamp: i64,
    pub offset: i64,
}

impl TimestampOffset {
    pub const NONE: TimestampOffset = TimestampOffset { timestamp: -1, offset: -1 };
}

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub base_offset: i64,
    /// Bytes of the `.log`, appends under way included.
    pub size: u64,
    /// Opened when first needed.
    pub log_file: Option<FileId>,
    /// `.index` and `.timeindex`, open while the segment is the active one.
    pub index_files: Option<(FileId, FileId)>,
    /// Always there for the active segment; loaded when needed, and dropped when idle, for the others.
    pub indexes: Option<Indexes>,
    /// `None` until the indexes were loaded once.
    pub largest_timestamp: Option<TimestampOffset>,
    pub bytes_since_index_entry: u64,
    /// Of the first batch: `segment.ms` counts from here.
    pub first_timestamp: Option<i64>,
    pub created_ms: i64,
    /// Records below are durable.
    pub synced_to: i64,
    pub sync_under_way: bool,
    /// The names of its files are durable.
    pub named: bool,
    /// How many of its files are still being created.
    pub opens_under_way: u8,
    /// How many index syncs are still to come; only after the segment was rolled.
    pub index_syncs_under_way: u8,
    /// The indexes were made from the batches, or the active segment's by appends: they cannot be wrong.
    pub indexes_rebuilt: bool,
    /// Used since `maintain` last looked.
    pub used: bool,
}

impl Segment {
    /// A segment that holds nothing yet, or whose content is not looked at yet.
    pub fn new(base_offset: i64, size: u64, created_ms: i64) -> Segment {
        Segment {
            base_offset,
            size,
            log_file: None,
            index_files: None,
            indexes: None,
            largest_timestamp: None,
            bytes_since_index_entry: 0,
            first_timestamp: None,
            created_ms,
            synced_to: base_offset,
            sync_under_way: false,
            named: true,
            opens_under_way: 0,
            index_syncs_under_way: 0,
            indexes_rebuilt: false,
            used: true,
        }
    }

    /// An offset of this segment as the indexes store it.
    pub fn relative(&self, offset: i64) -> u32 {
        let relative = offset - self.base_offset;
        assert!(
            (0..=i64::from(i32::MAX)).contains(&relative),
            "offset {offset} is none of segment {}",
            self.base_offset
        );
        relative as u32
    }

    /// As [`Self::relative`], for any offset: lookups may ask for what lies beside the segment.
    pub fn relative_saturating(&self, offset: i64) -> u32 {
        offset.saturating_sub(self.base_offset).clamp(0, i64::from(i32::MAX)) as u32
    }

    /// Where to start reading for `offset`. The indexes must be loaded.
    pub fn position_for(&self, offset: i64) -> u64 {
        let indexes = self.indexes.as_ref().expect("the indexes are loaded");
        u64::from(indexes.offset.lookup(self.relative_saturating(offset)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        assert_eq!(file_name(42, suffix::LOG), "00000000000000000042.log");
        assert_eq!(parse_file_name("00000000000000000042.log"), Some((42, "log")));
        assert_eq!(
            parse_file_name("00000000000000000042.index.deleted"),
            Some((42, "index.deleted"))
        );
        assert_eq!(parse_file_name("42.log"), None);
        assert_eq!(parse_file_name("leader-epoch-checkpoint"), None);
        assert_eq!(parse_file_name("00000000000000000042-0000000007.checkpoint"), None);
        assert_eq!(parse_file_name("99999999999999999999.log"), None);
    }
}
