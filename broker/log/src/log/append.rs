//! Appending: validation, offsets, the roll to a new segment, index entries.
//!
//! The bytes of a batch are never copied: its first bytes are patched in a slice of their own, and both slices go to
//! the disk and into the tail cache as they are.

use bytes::Bytes;
use wire::batch::{
    Batch, BatchHeader, Decompressor, InvalidKind, InvalidRecord, Rules, validate_deep,
    validate_header,
};

use super::recent::RecentBatch;
use super::scan::{apply_to_producers, first_record, producer_batch};
use super::{Log, PendingAppend, Work};
use crate::Defect;
use crate::config::TimestampType;
use crate::index::{OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES};
use crate::io::{IoError, IoErrorKind, IoOp, IoQueue, IoResult, Parts};
use crate::producer::{Checked, ProducerError, snapshot};
use crate::segment::{Indexes, Segment, TimestampOffset, suffix};
use crate::types::{AppendError, Appended, Origin};

impl Log {
    /// Appends batches under new offsets: all of them, or none and the reason. They count once
    /// [`crate::Event::Appended`] passed their last offset. A client's append has one batch, as Kafka demands.
    /// The decompressor is the caller's, for all its logs: one for each would be much memory.
    pub fn append_as_leader(
        &mut self,
        now_wall_ms: i64,
        mut batches: Vec<Batch>,
        leader_epoch: i32,
        origin: Origin,
        decompressor: &mut Decompressor,
        io: &mut IoQueue,
    ) -> Result<Appended, AppendError> {
        self.now_ms = self.now_ms.max(now_wall_ms);
        if let Some(error) = self.append_error() {
            return Err(error);
        }
        if batches.is_empty() {
            return Err(AppendError::Empty);
        }
        if origin == Origin::Client && batches.len() > 1 {
            return Err(invalid(format!("{} batches, where a producer sends one", batches.len())));
        }
        for batch in &mut batches {
            self.validate(now_wall_ms, batch, origin, decompressor)?;
        }
        if let Some(duplicate) = self.check_producers(&batches, origin)? {
            return Ok(duplicate);
        }
        let stamped =
            self.config.timestamp_type == TimestampType::LogAppendTime && origin != Origin::Raft;
        let base_offset = self.next_offset;
        let mut offset = base_offset;
        for batch in &mut batches {
            if stamped {
                batch.set_log_append_time(now_wall_ms);
            }
            batch.assign(offset, leader_epoch);
            offset = batch.last_offset() + 1;
        }
        self.append_all(batches, true, io);
        Ok(Appended {
            base_offset,
            last_offset: offset - 1,
            log_append_time: if stamped { now_wall_ms } else { -1 },
            log_start_offset: self.log_start_offset,
            duplicate: false,
        })
    }

    /// Appends what a leader appended, offsets and epochs kept: all of it, or none and the reason. The first batch
    /// must begin where the log ends, and each one where the one before it ended.
    pub fn append_as_follower(
        &mut self,
        batches: Vec<Batch>,
        io: &mut IoQueue,
    ) -> Result<Appended, AppendError> {
        if let Some(error) = self.append_error() {
            return Err(error);
        }
        if batches.is_empty() {
            return Err(AppendError::Empty);
        }
        let base_offset = self.next_offset;
        let mut expected = base_offset;
        for batch in &batches {
            batch.view().check().map_err(AppendError::Corrupt)?;
            let found = batch.base_offset();
            if found != expected || batch.last_offset() == i64::MAX {
                return Err(AppendError::OffsetMismatch { expected, found });
            }
            expected = batch.last_offset() + 1;
        }
        self.append_all(batches, false, io);
        Ok(Appended {
            base_offset,
            last_offset: expected - 1,
            log_append_time: -1,
            log_start_offset: self.log_start_offset,
            duplicate: false,
        })
    }

    fn validate(
        &self,
        now_wall_ms: i64,
        batch: &mut Batch,
        origin: Origin,
        decompressor: &mut Decompressor,
    ) -> Result<(), AppendError> {
        let bytes = batch.len();
        if origin != Origin::Raft && bytes > self.config.max_message_bytes as usize {
            return Err(AppendError::TooLarge { bytes, max: self.config.max_message_bytes });
        }
        if bytes as u64 > u64::from(self.config.segment_bytes) && origin == Origin::Client {
            return Err(AppendError::LargerThanSegment { bytes, max: self.config.segment_bytes });
        }
        if origin != Origin::Client {
            // Made by this process just now: nothing to be found but our own mistakes.
            assert!(batch.header().last_offset_delta >= 0, "a batch of our own has records");
            return Ok(());
        }
        batch.view().check().map_err(AppendError::Corrupt)?;
        if batch.base_offset() != 0 {
            return Err(invalid(format!("the base offset must be 0, not {}", batch.base_offset())));
        }
        let rules = Rules {
            now_ms: now_wall_ms,
            compacted: self.config.cleanup.compact,
            timestamp_type: self.config.timestamp_type,
            timestamp_before_max_ms: self.config.timestamp_before_max_ms,
            timestamp_after_max_ms: self.config.timestamp_after_max_ms,
            ..Rules::default()
        };
        if !self.config.validate_deep {
            return validate_header(&batch.view(), &rules).map_err(AppendError::Invalid);
        }
        let validated =
            validate_deep(&batch.view(), &rules, decompressor).map_err(AppendError::Invalid)?;
        if self.config.timestamp_type == TimestampType::CreateTime {
            batch.set_max_timestamp(validated.max_timestamp);
        }
        Ok(())
    }

    /// Judges the sequence numbers of a client, and the epochs of a coordinator's markers.
    fn check_producers(
        &self,
        batches: &[Batch],
        origin: Origin,
    ) -> Result<Option<Appended>, AppendError> {
        for batch in batches {
            let header = batch.header();
            if !header.has_producer() {
                continue;
            }
            let checked = match (origin, producer_batch(header)) {
                (Origin::Client, Some(batch)) => self.producers.check(&batch),
                _ => self
                    .producers
                    .check_epoch(header.producer_id, header.producer_epoch)
                    .map(|()| Checked::New),
            };
            let gaps = origin == Origin::Client && self.has(Defect::SequenceGaps);
            match checked.map_err(AppendError::Producer) {
                Err(AppendError::Producer(ProducerError::OutOfOrderSequence { .. })) if gaps => {}
                Err(error) => return Err(error),
                Ok(Checked::New) => {}
                Ok(Checked::Duplicate(known)) => {
                    let stamped = self.config.timestamp_type == TimestampType::LogAppendTime;
                    return Ok(Some(Appended {
                        base_offset: known.base_offset(),
                        last_offset: known.last_offset,
                        log_append_time: if stamped { known.timestamp } else { -1 },
                        log_start_offset: self.log_start_offset,
                        duplicate: true,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// Batches that have their offsets go to the disk: one write for each segment that they touch.
    fn append_all(&mut self, batches: Vec<Batch>, cache: bool, io: &mut IoQueue) {
        let mut parts = Parts::new();
        let mut run_offset = self.next_offset;
        let mut run_position = self.active().size;
        for batch in batches {
            if self.should_roll(batch.header(), batch.len()) {
                self.submit_append(run_offset, run_position, std::mem::take(&mut parts), io);
                self.roll(io);
                (run_offset, run_position) = (self.next_offset, 0);
            }
            self.take_note(&batch, io);
            parts.extend(batch.parts());
            if cache {
                self.tail.push(batch);
            }
        }
        self.submit_append(run_offset, run_position, parts, io);
        self.unsynced_since_ms.get_or_insert(self.now_ms);
        let unsynced = (self.next_offset - self.sync_wanted).max(0) as u64;
        if unsynced >= self.config.flush_messages {
            self.request_sync(io);
        }
    }

    fn submit_append(&mut self, base_offset: i64, at: u64, parts: Parts, io: &mut IoQueue) {
        if parts.is_empty() {
            return;
        }
        let file = self.log_file(self.active_base(), io);
        let token = self.submit(IoOp::Append { file, at, parts }, Work::Append, io);
        self.appends.push_back(PendingAppend {
            token,
            base_offset,
            end_offset: self.next_offset,
            done: false,
        });
    }

    /// Everything that is known of the log besides its bytes moves over one more batch.
    fn take_note(&mut self, batch: &Batch, io: &mut IoQueue) {
        let header = batch.header();
        if self.epochs.on_batch(header.partition_leader_epoch, header.base_offset) {
            self.save_epochs(header.base_offset, io);
        }
        let undo =
            apply_to_producers(&mut self.producers, header, || first_record(batch.records()));
        let interval = u64::from(self.config.index_interval_bytes);
        let segment = self.segments.values_mut().next_back().expect("there is an active segment");
        let position = segment.size;
        let largest_before = segment.largest_timestamp.unwrap_or(TimestampOffset::NONE);
        let entry = segment.note_batch(header, batch.len() as u64, interval);
        self.recent.push(RecentBatch {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            segment: segment.base_offset,
            position,
            largest_before,
            undo,
        });
        self.next_offset = header.next_offset();
        if let Some((offset_at, time_at)) = entry {
            self.write_index_entries(offset_at, time_at, io);
        }
    }

    /// Appends the newest entries of the active segment's indexes, which were pushed already, to their files.
    fn write_index_entries(
        &mut self,
        (offset_at, offset_entry): (usize, Bytes),
        time: Option<(usize, Bytes)>,
        io: &mut IoQueue,
    ) {
        let (index, time_index) = self.active().index_files.expect("an active segment's are open");
        let mut append = |file, at, entry| {
            let parts = std::iter::once(entry).collect();
            self.submit(IoOp::Append { file, at: at as u64, parts }, Work::Plain, io);
        };
        append(index, offset_at, offset_entry);
        if let Some((time_at, time_entry)) = time {
            append(time_index, time_at, time_entry);
        }
    }

    fn should_roll(&self, header: &BatchHeader, bytes: usize) -> bool {
        let segment = self.segments.values().next_back().expect("there is an active segment");
        if segment.size == 0 {
            return false;
        }
        let indexes = segment.indexes.as_ref().expect("an active segment's are loaded");
        let index_limit = self.config.segment_index_bytes as usize;
        let since_first_ms = match segment.first_timestamp {
            Some(first) if first >= 0 => header.max_timestamp.saturating_sub(first),
            _ => self.now_ms.saturating_sub(segment.created_ms),
        };
        segment.size + bytes as u64 > u64::from(self.config.segment_bytes)
            || since_first_ms > self.config.segment_ms
            || indexes.offset.len_bytes() + OFFSET_ENTRY_BYTES > index_limit
            || indexes.time.len_bytes() + TIME_ENTRY_BYTES > index_limit
            || header.last_offset() - segment.base_offset > i64::from(i32::MAX)
    }

    /// Ends the active segment and begins the next one at the next offset.
    pub(super) fn roll(&mut self, io: &mut IoQueue) {
        let rolled = self.active_base();
        assert!(self.next_offset > rolled, "only a segment with records is rolled");
        self.finish_active_time_index(io);
        self.sync_active_indexes(io);
        self.submit_sync(rolled, io);
        let (index, time_index) = self.active().index_files.take().expect("an active segment's");
        for file in [index, time_index] {
            self.submit(IoOp::Close { file }, Work::Plain, io);
        }
        // Its presence shall say that the indexes before it are durable, so it waits for them.
        let snapshot = (self.next_offset, snapshot::encode(&self.producers));
        self.waiting_snapshots.insert(rolled, snapshot);
        self.create_segment(self.next_offset, io);
    }

    /// Makes the files of a new, empty, active segment.
    pub(super) fn create_segment(&mut self, base: i64, io: &mut IoQueue) {
        let mut segment = Segment::new(base, 0, self.now_ms);
        segment.indexes = Some(Indexes::default());
        segment.largest_timestamp = Some(TimestampOffset::NONE);
        segment.named = false;
        segment.opens_under_way = 3;
        let files = [suffix::LOG, suffix::INDEX, suffix::TIME_INDEX].map(|suffix| {
            let file = io.new_file();
            let op = IoOp::Open { file, path: self.path(base, suffix), create: true };
            self.submit(op, Work::OpenNew { base }, io);
            file
        });
        segment.log_file = Some(files[0]);
        segment.index_files = Some((files[1], files[2]));
        let old = self.segments.insert(base, segment);
        assert!(old.is_none(), "segment {base} of {} is there already", self.dir);
    }

    pub(super) fn on_open_new(&mut self, base: i64, result: &IoResult, io: &mut IoQueue) {
        if matches!(result, IoResult::Opened { len } if *len > 0) {
            // Appended to, it would become a segment of two halves that know nothing of each other.
            let message = format!("{}: a file of the new segment {base} is not empty", self.dir);
            return self.fail(IoError { kind: IoErrorKind::Other, message });
        }
        let unsynced_names = self.has(Defect::UnsyncedNames);
        let Some(segment) = self.segments.get_mut(&base) else { return };
        segment.opens_under_way -= 1;
        if segment.opens_under_way == 0 && unsynced_names {
            self.on_names_synced(base);
        } else if segment.opens_under_way == 0 {
            let path = self.dir.clone();
            self.submit(IoOp::SyncDir { path }, Work::SyncNames { base }, io);
        }
    }

    /// Kafka's last entry of a time index that will not grow for now: the largest timestamp.
    pub(super) fn finish_active_time_index(&mut self, io: &mut IoQueue) {
        let segment = self.active();
        let Some(largest) = segment.largest_timestamp.filter(|largest| largest.timestamp >= 0)
        else {
            return;
        };
        let relative = segment.relative(largest.offset);
        let (_, time_index) = segment.index_files.expect("an active segment's are open");
        let time = &mut segment.indexes.as_mut().expect("an active segment's are loaded").time;
        let at = time.len_bytes() as u64;
        if let Some(entry) = time.maybe_push(largest.timestamp, relative) {
            let parts = std::iter::once(entry).collect();
            self.submit(IoOp::Append { file: time_index, at, parts }, Work::Plain, io);
        }
    }

    /// Writes what is known of the producers at the next offset.
    pub(super) fn write_producer_snapshot(&mut self, io: &mut IoQueue) {
        let data = snapshot::encode(&self.producers);
        self.submit_snapshot(self.next_offset, data, io);
    }

    /// Writes the snapshot that was taken when a segment was rolled.
    pub(super) fn submit_waiting_snapshot(&mut self, rolled: i64, io: &mut IoQueue) {
        if let Some((offset, data)) = self.waiting_snapshots.remove(&rolled) {
            self.submit_snapshot(offset, data, io);
        }
    }

    fn submit_snapshot(&mut self, offset: i64, data: Bytes, io: &mut IoQueue) {
        let path = self.path(offset, suffix::SNAPSHOT);
        self.snapshots.insert(offset);
        self.submit(IoOp::Replace { path, data }, Work::Plain, io);
    }
}

fn invalid(reason: String) -> AppendError {
    AppendError::Invalid(InvalidRecord { index: None, kind: InvalidKind::Record, reason })
}

/// An entry's position in its index file, and its bytes.
type IndexEntry = (usize, Bytes);

impl Segment {
    /// Moves over one more batch. Answers the index entries that it caused, which are in the indexes already.
    pub(crate) fn note_batch(
        &mut self,
        header: &BatchHeader,
        bytes: u64,
        interval: u64,
    ) -> Option<(IndexEntry, Option<IndexEntry>)> {
        let last_offset = header.last_offset();
        let largest = self.largest_timestamp.unwrap_or(TimestampOffset::NONE);
        if header.max_timestamp > largest.timestamp {
            let timestamp = header.max_timestamp;
            self.largest_timestamp = Some(TimestampOffset { timestamp, offset: last_offset });
        } else {
            self.largest_timestamp = Some(largest);
        }
        self.first_timestamp.get_or_insert(header.max_timestamp);
        let entries = (self.bytes_since_index_entry > interval).then(|| {
            self.bytes_since_index_entry = 0;
            let relative = self.relative(last_offset);
            let position = u32::try_from(self.size).expect("a segment is smaller than 4 GiB");
            let largest = self.largest_timestamp.unwrap_or(TimestampOffset::NONE);
            let time_relative = self.relative_saturating(largest.offset);
            let indexes = self.indexes.as_mut().expect("an active segment's are loaded");
            let (offset_at, time_at) = (indexes.offset.len_bytes(), indexes.time.len_bytes());
            let offset_entry = indexes.offset.push(relative, position);
            let time_entry = indexes.time.maybe_push(largest.timestamp, time_relative);
            ((offset_at, offset_entry), time_entry.map(|entry| (time_at, entry)))
        });
        self.size += bytes;
        self.bytes_since_index_entry += bytes;
        entries
    }
}
