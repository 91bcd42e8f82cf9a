//! The indexes of old segments: loaded when first needed, rebuilt from the batches where the files are no good.

use bytes::Bytes;

use super::scan::{CHUNK_BYTES, Next, next_batch};
use super::{Log, Work};
use crate::index::{OffsetIndex, TimeIndex};
use crate::io::{IoOp, IoQueue, IoResult};
use crate::segment::{Indexes, Segment, TimestampOffset, suffix};
use crate::types::ReadId;

/// A segment's indexes on their way into memory.
#[derive(Debug, Default)]
pub(super) struct IndexLoad {
    /// `None`: not answered yet; `Some(None)`: there is no such file.
    offset: Option<Option<Bytes>>,
    time: Option<Option<Bytes>>,
    /// The segment as far as its batches were walked over.
    rebuilt: Option<Box<Segment>>,
    waiting: Vec<ReadId>,
}

impl Log {
    /// Whether a segment's indexes are in memory; if not, they are on their way, and `waiting` will be resumed.
    pub(super) fn indexes_ready(
        &mut self,
        base: i64,
        waiting: Option<ReadId>,
        io: &mut IoQueue,
    ) -> bool {
        let segment = self.segments.get_mut(&base).expect("asked for a segment that there is");
        segment.used = true;
        if segment.indexes.is_some() {
            return true;
        }
        if let Some(load) = self.index_loads.get_mut(&base) {
            load.waiting.extend(waiting);
            return false;
        }
        let load = IndexLoad { waiting: waiting.into_iter().collect(), ..IndexLoad::default() };
        self.index_loads.insert(base, load);
        for (time, suffix) in [(false, suffix::INDEX), (true, suffix::TIME_INDEX)] {
            let path = self.path(base, suffix);
            self.submit(IoOp::ReadFile { path }, Work::LoadIndexes { base, time }, io);
        }
        false
    }

    pub(super) fn on_index_loaded(
        &mut self,
        base: i64,
        time: bool,
        result: IoResult,
        io: &mut IoQueue,
    ) {
        let Some(load) = self.index_loads.get_mut(&base) else { return };
        let content = match result {
            IoResult::Data(content) => Some(content),
            _ => None,
        };
        *(if time { &mut load.time } else { &mut load.offset }) = Some(content);
        let (Some(offset), Some(time)) = (&load.offset, &load.time) else { return };
        let Some(segment) = self.segments.get_mut(&base) else {
            return self.end_index_load(base, io);
        };
        let offset = offset.as_ref().and_then(|data| OffsetIndex::decode(data, segment.size));
        let time = time.as_ref().and_then(|data| TimeIndex::decode(data));
        let (Some(offset), Some(time)) = (offset, time) else {
            load.rebuilt = Some(Box::new(Segment::to_rebuild(base)));
            return self.rebuild_on(base, 0, io);
        };
        segment.largest_timestamp = Some(time.last().map_or(TimestampOffset::NONE, |last| {
            TimestampOffset { timestamp: last.0, offset: base + i64::from(last.1) }
        }));
        segment.indexes = Some(Indexes { offset, time });
        self.end_index_load(base, io);
    }

    /// An index led a read to where no batch is, or not the one that it said. A power cut can do that to the index of
    /// an old segment. `true`: it is rebuilt from the batches, and the read resumed; `false`: it cannot be the index.
    pub(super) fn suspect_index(&mut self, base: i64, id: ReadId, io: &mut IoQueue) -> bool {
        if self.segment_after(base).is_none() {
            return false;
        }
        let Some(segment) = self.segments.get_mut(&base) else { return false };
        if segment.indexes_rebuilt {
            return false;
        }
        segment.indexes = None;
        if let Some(load) = self.index_loads.get_mut(&base) {
            load.waiting.push(id);
            return true;
        }
        let rebuilt = Some(Box::new(Segment::to_rebuild(base)));
        let load = IndexLoad { waiting: vec![id], rebuilt, ..IndexLoad::default() };
        self.index_loads.insert(base, load);
        self.rebuild_on(base, 0, io);
        true
    }

    /// The reads that waited go on, whatever became of the segment.
    fn end_index_load(&mut self, base: i64, io: &mut IoQueue) {
        let Some(load) = self.index_loads.remove(&base) else { return };
        for id in load.waiting {
            self.resume_read(id, io);
        }
    }

    /// Reads the next chunk of a segment whose indexes are being rebuilt, or ends the rebuilding.
    fn rebuild_on(&mut self, base: i64, needed: usize, io: &mut IoQueue) {
        let rebuilt = self.index_loads.get(&base).and_then(|load| load.rebuilt.as_ref());
        let at = rebuilt.map_or(u64::MAX, |rebuilt| rebuilt.size);
        let Some(segment) = self.segments.get(&base) else { return self.end_index_load(base, io) };
        let left = segment.size.saturating_sub(at);
        if left == 0 || left < needed as u64 {
            return self.end_rebuild(base, io);
        }
        let len = CHUNK_BYTES.max(needed as u64).min(left) as u32;
        let file = self.log_file(base, io);
        self.submit(IoOp::Read { file, at, len }, Work::RebuildIndexes { base }, io);
    }

    pub(super) fn on_rebuild(&mut self, base: i64, result: IoResult, io: &mut IoQueue) {
        let interval = u64::from(self.config.index_interval_bytes);
        let IoResult::Data(data) = result else { return };
        let Some(load) = self.index_loads.get_mut(&base) else { return };
        let Some(rebuilt) = load.rebuilt.as_mut() else { return };
        let mut at = 0;
        let mut needed = 0;
        while at < data.len() {
            match next_batch(&data[at..]) {
                Next::Batch(view) if fits(rebuilt, view.base_offset(), view.last_offset()) => {
                    rebuilt.note_batch(view.header(), view.size_bytes() as u64, interval);
                    at += view.size_bytes();
                }
                Next::Partial { needed: bytes } => {
                    needed = bytes;
                    break;
                }
                // What comes after a damaged batch is found by reading on from the last entry, or not at all.
                _ => return self.end_rebuild(base, io),
            }
        }
        if data.is_empty() {
            return self.end_rebuild(base, io);
        }
        self.rebuild_on(base, needed, io);
    }

    fn end_rebuild(&mut self, base: i64, io: &mut IoQueue) {
        let rebuilt = self.index_loads.get_mut(&base).and_then(|load| load.rebuilt.take());
        let (Some(rebuilt), Some(segment)) = (rebuilt, self.segments.get_mut(&base)) else {
            return self.end_index_load(base, io);
        };
        let largest = rebuilt.largest_timestamp.unwrap_or(TimestampOffset::NONE);
        let relative = rebuilt.relative_saturating(largest.offset);
        let mut indexes = rebuilt.indexes.unwrap_or_default();
        let _ = indexes.time.maybe_push(largest.timestamp, relative);
        let files =
            [(suffix::INDEX, indexes.offset.encode()), (suffix::TIME_INDEX, indexes.time.encode())];
        segment.largest_timestamp = Some(largest);
        segment.indexes = Some(indexes);
        segment.indexes_rebuilt = true;
        for (suffix, data) in files {
            let path = self.path(base, suffix);
            self.submit(IoOp::Replace { path, data }, Work::Plain, io);
        }
        self.end_index_load(base, io);
    }
}

impl Segment {
    /// Of which no batch was walked over yet.
    fn to_rebuild(base: i64) -> Segment {
        let mut segment = Segment::new(base, 0, 0);
        segment.indexes = Some(Indexes::default());
        segment
    }
}

/// A damaged header could claim any offsets; an index takes only rising ones.
fn fits(segment: &Segment, base_offset: i64, last_offset: i64) -> bool {
    let lowest = match segment.indexes.as_ref().and_then(|indexes| indexes.offset.last()) {
        Some((relative, _)) => segment.base_offset + i64::from(relative) + 1,
        None => segment.base_offset,
    };
    let room = u32::try_from(segment.size).is_ok();
    room && base_offset >= lowest
        && last_offset >= base_offset
        && last_offset - segment.base_offset <= i64::from(i32::MAX)
}
