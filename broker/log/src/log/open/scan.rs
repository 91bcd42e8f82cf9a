//! The walk over the segments that cannot be trusted, a chunk at a time.

use wire::batch::BatchView;

use super::{Opening, OpeningOp};
use crate::Defect;
use crate::index::TimeIndex;
use crate::io::{IoOp, IoQueue};
use crate::log::Log;
use crate::log::recent::RecentBatch;
use crate::log::scan::{CHUNK_BYTES, Next, apply_to_producers, first_record, next_batch};
use crate::producer::{ProducerState, snapshot};
use crate::segment::{Indexes, TimestampOffset, suffix};

/// Where the walk is.
#[derive(Debug)]
pub(super) struct Scan {
    /// Base offset of the segment.
    base: i64,
    /// The next chunk begins here.
    at: u64,
    /// Bytes of the segment's file.
    pub file_len: u64,
    /// The next batch must have this base offset; `None`: it is not known.
    expected: Option<i64>,
    /// How much was asked for.
    asked: u32,
}

impl Scan {
    pub fn new(base: i64, at: u64, file_len: u64) -> Scan {
        Scan { base, at, file_len, expected: (at == 0).then_some(base), asked: 0 }
    }
}

/// What a walk over a chunk came to.
enum Walked {
    /// So many bytes were walked over; the next batch needs that many.
    On { used: usize, needed: usize },
    /// What follows these bytes is no batch, or one that is not wanted.
    Cut,
}

impl Opening {
    pub(super) fn begin_scan(&mut self, log: &mut Log, io: &mut IoQueue) {
        // The batches tell again which epochs begin from here on.
        log.epochs.truncate_from_end(self.scan_from);
        log.recent.forget_all(self.scan_from);
        self.enter_segment(log, self.scan_from, io);
    }

    fn enter_segment(&mut self, log: &mut Log, base: i64, io: &mut IoQueue) {
        let Some(segment) = log.segments.get_mut(&base) else { return };
        let scan = Scan::new(base, 0, segment.size);
        segment.size = 0;
        segment.indexes = Some(Indexes::default());
        segment.largest_timestamp = Some(TimestampOffset::NONE);
        segment.first_timestamp = None;
        segment.bytes_since_index_entry = 0;
        self.scan = Some(scan);
        self.read_chunk(log, 0, io);
    }

    /// Reads on in the segment, at least `needed` bytes, or ends it.
    pub(super) fn read_chunk(&mut self, log: &mut Log, needed: usize, io: &mut IoQueue) {
        let Some(scan) = &self.scan else { return };
        let (base, at, left) = (scan.base, scan.at, scan.file_len - scan.at);
        if left == 0 {
            return self.end_segment(log, io);
        }
        if (needed as u64) > left {
            return self.cut(log, io);
        }
        let file = log.log_file(base, io);
        let len = CHUNK_BYTES.max(needed as u64).min(left) as u32;
        if let Some(scan) = &mut self.scan {
            scan.asked = len;
        }
        self.submit(log, IoOp::Read { file, at, len }, OpeningOp::Chunk, io);
    }

    pub(super) fn scan_chunk(&mut self, log: &mut Log, data: &[u8], io: &mut IoQueue) {
        let walked = self.walk(log, data);
        let Some(scan) = &mut self.scan else { return };
        if data.len() < scan.asked as usize {
            // The file is shorter than it was.
            scan.file_len = scan.at + data.len() as u64;
        }
        match walked {
            Walked::On { used, needed } => {
                scan.at += used as u64;
                self.read_chunk(log, needed, io);
            }
            Walked::Cut => self.cut(log, io),
        }
    }

    fn walk(&mut self, log: &mut Log, data: &[u8]) -> Walked {
        let mut used = 0;
        while used < data.len() {
            match next_batch(&data[used..]) {
                Next::Batch(view) if self.is_in_place(log, &view) => {
                    self.take_batch(log, &view);
                    used += view.size_bytes();
                }
                Next::Partial { needed } => return Walked::On { used, needed },
                Next::Batch(_) | Next::Bad(_) => return Walked::Cut,
            }
        }
        Walked::On { used, needed: 0 }
    }

    /// Whether a batch is whole, follows the one before it, and is to be kept. The base offset is not under the CRC,
    /// so a hole is damage, unless compaction made it.
    fn is_in_place(&self, log: &Log, view: &BatchView<'_>) -> bool {
        let Some(scan) = &self.scan else { return false };
        let (base_offset, last_offset) = (view.base_offset(), view.last_offset());
        let follows = match scan.expected {
            None => base_offset >= scan.base,
            Some(expected) if log.config.cleanup.compact => base_offset >= expected,
            Some(expected) => base_offset == expected,
        };
        let size = log.segments.get(&scan.base).map_or(0, |segment| segment.size);
        follows
            && (view.check().is_ok() || log.has(Defect::SkipCrc))
            && base_offset <= last_offset
            && last_offset - scan.base <= i64::from(i32::MAX)
            && last_offset < i64::MAX
            && u32::try_from(size).is_ok()
            && self.stop_at.is_none_or(|stop_at| last_offset < stop_at)
    }

    fn take_batch(&mut self, log: &mut Log, view: &BatchView<'_>) {
        let Some(scan) = &mut self.scan else { return };
        let header = view.header();
        scan.expected = Some(header.next_offset());
        log.epochs.on_batch(header.partition_leader_epoch, header.base_offset);
        // The entries of a clean stop are in the index already.
        let interval = match self.trusting {
            true => u64::MAX,
            false => u64::from(log.config.index_interval_bytes),
        };
        let Some(segment) = log.segments.get_mut(&scan.base) else { return };
        let position = segment.size;
        let largest_before = segment.largest_timestamp.unwrap_or(TimestampOffset::NONE);
        segment.note_batch(header, view.size_bytes() as u64, interval);
        if header.base_offset >= log.producers.end_offset() {
            let records = || first_record(view.records());
            let undo = apply_to_producers(&mut log.producers, header, records);
            log.recent.push(RecentBatch {
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                segment: scan.base,
                position,
                largest_before,
                undo,
            });
        }
    }

    /// A segment was whole: on to the next one.
    fn end_segment(&mut self, log: &mut Log, io: &mut IoQueue) {
        let Some(scan) = &self.scan else { return };
        let (base, end) = (scan.base, scan.expected.unwrap_or(scan.base));
        let Some(next) = log.segment_after(base) else { return self.end_scan(log, end, io) };
        let follows = if log.config.cleanup.compact { next >= end } else { next == end };
        let wanted = self.stop_at.is_none_or(|stop_at| next <= stop_at);
        if !follows || !wanted {
            // What comes after a hole, or claims offsets that are taken, is not of this log.
            self.drop_after(log, base, io);
            return self.end_scan(log, end, io);
        }
        if let Some(segment) = log.segments.get_mut(&base) {
            let largest = segment.largest_timestamp.unwrap_or(TimestampOffset::NONE);
            let relative = segment.relative_saturating(largest.offset);
            let time: &mut TimeIndex = &mut segment.indexes.get_or_insert_default().time;
            let _ = time.maybe_push(largest.timestamp, relative);
        }
        self.write_indexes(log, base, false, io);
        self.sync(log, base, io);
        if log.producers.end_offset() == next && log.snapshots.insert(next) {
            let path = log.path(next, suffix::SNAPSHOT);
            let data = snapshot::encode(&log.producers);
            self.submit(log, IoOp::Replace { path, data }, OpeningOp::Write, io);
        }
        log.producers.advance_to(next.max(log.producers.end_offset()));
        self.enter_segment(log, next, io);
    }

    /// The segment ends here, and the log with it.
    fn cut(&mut self, log: &mut Log, io: &mut IoQueue) {
        if self.trusting {
            return self.stop_trusting(log, io);
        }
        let Some(scan) = &self.scan else { return };
        let (base, file_len) = (scan.base, scan.file_len);
        let end = scan.expected.unwrap_or(base);
        let len = log.segments.get(&base).map_or(0, |segment| segment.size);
        self.truncated_bytes += file_len - len;
        let file = log.log_file(base, io);
        self.submit(log, IoOp::Truncate { file, len }, OpeningOp::Write, io);
        self.drop_after(log, base, io);
        self.end_scan(log, end, io);
    }

    fn drop_after(&mut self, log: &mut Log, base: i64, io: &mut IoQueue) {
        for later in log.segments.range(base + 1..).map(|(&base, _)| base).collect::<Vec<_>>() {
            self.truncated_bytes += log.segments[&later].size;
            log.drop_segment(later, io);
        }
    }

    /// All batches were walked over: `end` is the log end offset.
    fn end_scan(&mut self, log: &mut Log, end: i64, io: &mut IoQueue) {
        if self.trusting && log.producers.end_offset() != end {
            return self.stop_trusting(log, io);
        }
        self.ending = true;
        log.next_offset = end;
        let active = log.active_base();
        if end < log.log_start_offset {
            return self.start_over(log, io);
        }
        if self.trusting {
            self.open_indexes(log, active, io);
        } else {
            self.write_indexes(log, active, true, io);
            self.sync(log, active, io);
            log.producers.set_end_offset(end);
        }
        let keep: Vec<i64> = log.segments.keys().copied().collect();
        let newest = log.snapshots.range(..=end).next_back().copied();
        log.drop_snapshots(|offset| keep.contains(&offset) || Some(offset) == newest, io);
        if log.recent.is_empty() {
            log.recent.forget_all(end);
        }
        let cut = log.epochs.truncate_from_end(end);
        let cut = log.epochs.truncate_from_start(log.log_start_offset) || cut;
        if cut || !self.trusting {
            log.save_epochs(log.log_start_offset, io);
        }
    }

    /// The log start offset lies beyond everything that is here: nothing of it counts.
    fn start_over(&mut self, log: &mut Log, io: &mut IoQueue) {
        let start = log.log_start_offset;
        for base in log.segments.keys().copied().collect::<Vec<_>>() {
            self.truncated_bytes += log.segments[&base].size;
            log.drop_segment(base, io);
        }
        log.drop_snapshots(|_| false, io);
        log.epochs.clear();
        log.save_epochs(start, io);
        log.next_offset = start;
        log.producers = ProducerState::new(start);
        log.recent.forget_all(start);
        // No segment had this base offset, or the log would reach it.
        log.create_segment(start, io);
    }

    fn sync(&mut self, log: &mut Log, base: i64, io: &mut IoQueue) {
        if log.has(Defect::RecoveredUnsynced) {
            return;
        }
        let file = log.log_file(base, io);
        self.submit(log, IoOp::Sync { file }, OpeningOp::Write, io);
    }

    /// Replaces both index files by what was rebuilt, and keeps them open for the active segment.
    fn write_indexes(&mut self, log: &mut Log, base: i64, keep_open: bool, io: &mut IoQueue) {
        let Some(indexes) = log.segments.get(&base).and_then(|s| s.indexes.as_ref()) else {
            return;
        };
        let contents =
            [(suffix::INDEX, indexes.offset.encode()), (suffix::TIME_INDEX, indexes.time.encode())];
        let files = contents.map(|(suffix, content)| {
            let file = io.new_file();
            let path = log.path(base, suffix);
            let mut write = |op| self.submit(log, op, OpeningOp::Write, io);
            write(IoOp::Open { file, path, create: true });
            write(IoOp::Truncate { file, len: 0 });
            if !content.is_empty() {
                let parts = std::iter::once(content).collect();
                write(IoOp::Append { file, at: 0, parts });
            }
            if !keep_open {
                write(IoOp::Sync { file });
                write(IoOp::Close { file });
            }
            file
        });
        if let Some(segment) = log.segments.get_mut(&base).filter(|_| keep_open) {
            segment.index_files = Some((files[0], files[1]));
        }
    }

    /// Opens the index files of a clean stop, without what Kafka may have allocated in advance.
    fn open_indexes(&mut self, log: &mut Log, base: i64, io: &mut IoQueue) {
        let Some(indexes) = log.segments.get(&base).and_then(|s| s.indexes.as_ref()) else {
            return;
        };
        let lens = [
            (suffix::INDEX, indexes.offset.len_bytes()),
            (suffix::TIME_INDEX, indexes.time.len_bytes()),
        ];
        let files = lens.map(|(suffix, len)| {
            let file = io.new_file();
            let path = log.path(base, suffix);
            self.submit(log, IoOp::Open { file, path, create: false }, OpeningOp::Write, io);
            self.submit(log, IoOp::Truncate { file, len: len as u64 }, OpeningOp::Write, io);
            file
        });
        if let Some(segment) = log.segments.get_mut(&base) {
            segment.index_files = Some((files[0], files[1]));
        }
    }
}
