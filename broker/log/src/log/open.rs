//! Opening a log: what is in the directory, what of it can be trusted, and recovery of the rest.
//!
//! After a clean stop only the end of the active segment is looked at. Otherwise every segment from the recovery point
//! on is walked over, batch by batch: size, magic, CRC and the order of offsets are checked, both indexes, the epochs
//! and the producers are rebuilt, and the log is cut at the first thing that is not a whole batch in its place. Later
//! segments go then, for a log has no holes. What was walked over is synced before the log is open: a killed process
//! leaves in the page cache what looks durable and is not.
//!
//! A truncation too old for memory comes this way too: as a recovery that stops at the cut.

mod scan;

use std::collections::BTreeSet;

use super::{Log, State, Work};
use crate::checkpoint;
use crate::epoch::EpochCache;
use crate::index::{OffsetIndex, TimeIndex};
use crate::io::{DirEntry, IoOp, IoQueue, IoResult};
use crate::producer::{ProducerState, snapshot};
use crate::segment::{Indexes, Segment, TimestampOffset, parse_file_name, suffix};
use crate::types::{Event, Opened, Recovery};

use scan::Scan;

/// What an operation of the opening was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpeningOp {
    MakeDir,
    List,
    /// Leftovers are deleted or renamed.
    Clean,
    Epochs,
    Snapshot(i64),
    TrustedIndex,
    TrustedTimeIndex,
    TrustedHead,
    Chunk,
    /// Something that has to be complete before the log is open.
    Write,
    SyncNames,
}

impl OpeningOp {
    pub fn tolerates_not_found(self) -> bool {
        use OpeningOp::{Epochs, Snapshot, TrustedIndex, TrustedTimeIndex};
        matches!(self, Epochs | Snapshot(_) | TrustedIndex | TrustedTimeIndex)
    }
}

#[derive(Debug)]
pub(super) struct Opening {
    recovery: Recovery,
    /// A truncation: nothing at or after this is kept.
    stop_at: Option<i64>,
    /// Operations of the present stage that are not complete.
    under_way: usize,
    /// Leftovers were renamed to what counts: the directory has to be listed again.
    list_again: bool,
    /// The files are taken as they are, but for the end of the active segment.
    trusting: bool,
    /// Base offset of the first segment to walk over.
    scan_from: i64,
    scan: Option<Scan>,
    trusted: Trusted,
    truncated_bytes: u64,
    /// Everything was looked at, only writes are still to complete.
    ending: bool,
    /// The directory's names are durable, or on the way to be.
    names_synced: bool,
}

/// The active segment's files after a clean stop.
#[derive(Debug, Default)]
struct Trusted {
    /// `None`: the file is missing.
    index: Option<bytes::Bytes>,
    time_index: Option<bytes::Bytes>,
    first_timestamp: Option<i64>,
}

impl Log {
    pub(super) fn step_opening(&mut self, op: OpeningOp, result: IoResult, io: &mut IoQueue) {
        let state = std::mem::replace(&mut self.state, State::Ended);
        if let State::Opening(mut opening) = state {
            opening.step(self, op, result, io);
            self.state = State::Opening(opening);
        } else {
            self.state = state;
        }
    }

    /// The log is open once everything is written.
    pub(super) fn step_opening_end(&mut self, io: &mut IoQueue) {
        let dir = self.dir.clone();
        let State::Opening(opening) = &mut self.state else { return };
        if !opening.ending || !self.works.is_empty() {
            return;
        }
        if !std::mem::replace(&mut opening.names_synced, true) {
            // Only now, after what was dropped is renamed: it must not come back beside what is appended next.
            self.submit(IoOp::SyncDir { path: dir }, Work::Opening(OpeningOp::SyncNames), io);
            return;
        }
        let opened = Opened {
            recovered: !opening.trusting,
            truncated_bytes: opening.truncated_bytes,
            log_start_offset: self.log_start_offset,
            log_end_offset: self.next_offset,
        };
        let is_truncation = opening.stop_at.is_some();
        self.log_end_offset = self.next_offset;
        self.recovery_point = self.next_offset;
        self.sync_wanted = self.next_offset;
        for base in self.segments.keys().copied().collect::<Vec<_>>() {
            let end = self.segment_end(base);
            if let Some(segment) = self.segments.get_mut(&base) {
                segment.synced_to = end;
            }
        }
        if is_truncation {
            return self.end_truncation(io);
        }
        self.state = State::Ready;
        self.high_watermark = self.log_start_offset;
        self.events.push(Event::Opened(opened));
        if self.queued_truncation.is_some() && !self.begin_queued_truncation(io) {
            self.events.push(Event::Truncated { log_end_offset: self.log_end_offset });
        }
    }
}

impl Opening {
    pub fn start(log: &mut Log, recovery: Recovery, io: &mut IoQueue) -> Opening {
        let opening = Opening::new(recovery, None);
        let op = IoOp::CreateDir { path: log.dir.clone() };
        log.submit(op, Work::Opening(OpeningOp::MakeDir), io);
        opening
    }

    /// Opens again a log whose files are closed, without what is at or after `stop_at`.
    pub fn start_cut(log: &mut Log, stop_at: i64, io: &mut IoQueue) -> Opening {
        let recovery = Recovery {
            clean: false,
            recovery_point: Some(log.recovery_point),
            log_start_offset: Some(log.log_start_offset),
        };
        let opening = Opening::new(recovery, Some(stop_at));
        opening.list(log, io);
        opening
    }

    fn new(recovery: Recovery, stop_at: Option<i64>) -> Opening {
        Opening {
            recovery,
            stop_at,
            under_way: 0,
            list_again: false,
            trusting: false,
            scan_from: 0,
            scan: None,
            trusted: Trusted::default(),
            truncated_bytes: 0,
            ending: false,
            names_synced: false,
        }
    }

    fn submit(&mut self, log: &mut Log, op: IoOp, what: OpeningOp, io: &mut IoQueue) {
        self.under_way += 1;
        log.submit(op, Work::Opening(what), io);
    }

    fn list(&self, log: &mut Log, io: &mut IoQueue) {
        let op = IoOp::List { dir: log.dir.clone() };
        log.submit(op, Work::Opening(OpeningOp::List), io);
    }

    fn step(&mut self, log: &mut Log, op: OpeningOp, result: IoResult, io: &mut IoQueue) {
        if !matches!(op, OpeningOp::MakeDir | OpeningOp::List | OpeningOp::SyncNames) {
            self.under_way -= 1;
        }
        let data = match &result {
            IoResult::Data(data) => Some(data.clone()),
            _ => None,
        };
        match op {
            OpeningOp::MakeDir => self.list(log, io),
            OpeningOp::List => {
                let IoResult::Listed(entries) = result else { return };
                self.take_list(log, &entries, io);
                if self.under_way == 0 {
                    self.after_clean(log, io);
                }
            }
            OpeningOp::Clean if self.under_way == 0 => self.after_clean(log, io),
            OpeningOp::Clean | OpeningOp::Write | OpeningOp::SyncNames => {}
            OpeningOp::Epochs => {
                self.take_epochs(log, data.as_deref());
                self.plan(log, io);
            }
            OpeningOp::Snapshot(offset) => self.take_snapshot(log, offset, data.as_deref(), io),
            OpeningOp::TrustedIndex => self.trusted.index = data,
            OpeningOp::TrustedTimeIndex => self.trusted.time_index = data,
            OpeningOp::TrustedHead => {
                let header = data.and_then(|data| wire::batch::BatchHeader::parse(&data).ok());
                self.trusted.first_timestamp = header.map(|header| header.max_timestamp);
            }
            OpeningOp::Chunk => self.scan_chunk(log, &data.unwrap_or_default(), io),
        }
        use OpeningOp::{TrustedHead, TrustedIndex, TrustedTimeIndex};
        if matches!(op, TrustedHead | TrustedIndex | TrustedTimeIndex) && self.under_way == 0 {
            self.trust(log, io);
        }
    }

    /// Sorts out the directory: what counts, what is left over from a crash, what is none of ours.
    fn take_list(&mut self, log: &mut Log, entries: &[DirEntry], io: &mut IoQueue) {
        log.segments.clear();
        log.snapshots.clear();
        let files = || entries.iter().filter(|entry| !entry.is_dir);
        let logs: BTreeSet<i64> = files()
            .filter_map(|entry| parse_file_name(&entry.name))
            .filter_map(|(base, suffix)| (suffix == suffix::LOG).then_some(base))
            .collect();
        let cleaning_unfinished = files().any(|entry| entry.name.ends_with(".cleaned"));
        let mut missing: BTreeSet<(i64, &str)> = logs
            .iter()
            .flat_map(|&base| [(base, suffix::INDEX), (base, suffix::TIME_INDEX)])
            .collect();
        for entry in files() {
            let path = log.dir_path(&entry.name);
            let leftover = [suffix::DELETED, ".cleaned", ".tmp"];
            if leftover.iter().any(|suffix| entry.name.ends_with(suffix)) {
                self.submit(log, IoOp::Delete { path }, OpeningOp::Clean, io);
                continue;
            }
            let Some((base, suffix)) = parse_file_name(&entry.name) else { continue };
            match suffix {
                suffix::LOG => {
                    let segment = Segment::new(base, entry.len, log.now_ms);
                    log.segments.insert(base, segment);
                }
                suffix::SNAPSHOT => {
                    log.snapshots.insert(base);
                }
                suffix::INDEX | suffix::TIME_INDEX | suffix::TXN_INDEX => {
                    missing.remove(&(base, suffix));
                    if !logs.contains(&base) {
                        self.submit(log, IoOp::Delete { path }, OpeningOp::Clean, io);
                    }
                }
                // Kafka's compaction had the new segment ready, and was about to put it in its place.
                "log.swap" if !cleaning_unfinished => {
                    let to = path.trim_end_matches(".swap").to_owned();
                    self.submit(log, IoOp::Rename { from: path, to }, OpeningOp::Clean, io);
                    self.list_again = true;
                }
                other if other.ends_with(".swap") => {
                    self.submit(log, IoOp::Delete { path }, OpeningOp::Clean, io);
                }
                _ => {}
            }
        }
        // A segment without its indexes is walked over, and so is all that comes after it.
        self.scan_from = missing.first().map_or(i64::MAX, |&(base, _)| base);
    }

    fn after_clean(&mut self, log: &mut Log, io: &mut IoQueue) {
        if std::mem::take(&mut self.list_again) {
            self.recovery.clean = false;
            self.recovery.recovery_point = None;
            return self.list(log, io);
        }
        if self.stop_at.is_some() {
            return self.plan(log, io);
        }
        let path = log.dir_path(checkpoint::LEADER_EPOCH_FILE);
        self.submit(log, IoOp::ReadFile { path }, OpeningOp::Epochs, io);
    }

    fn take_epochs(&mut self, log: &mut Log, data: Option<&[u8]>) {
        let parsed = match data {
            None => Some(Vec::new()),
            Some(data) => {
                std::str::from_utf8(data).ok().and_then(|text| checkpoint::parse_epochs(text).ok())
            }
        };
        // An unreadable or missing checkpoint is rebuilt from all the batches.
        if parsed.is_none() || data.is_none() {
            self.recovery.recovery_point = None;
            self.recovery.clean = false;
        }
        log.epochs = EpochCache::from_entries(parsed.unwrap_or_default());
    }

    /// Decides from where on batches are walked over.
    fn plan(&mut self, log: &mut Log, io: &mut IoQueue) {
        let Some((&first, _)) = log.segments.first_key_value() else {
            let base = self.recovery.log_start_offset.unwrap_or(0).max(0);
            return self.start_empty(log, base, io);
        };
        let log_start_offset = self.recovery.log_start_offset.unwrap_or(first).max(first);
        log.log_start_offset = log_start_offset;
        // Segments below the start were on their way out. Not all of their names need have survived: a hole among them
        // must not be taken for the end of the log.
        let kept = log.segment_base_for(log_start_offset).unwrap_or(first);
        for below in log.segments.range(..kept).map(|(&base, _)| base).collect::<Vec<_>>() {
            log.drop_segment(below, io);
        }
        log.drop_snapshots(|offset| offset >= kept, io);
        self.scan_from = self.scan_from.max(kept);
        let first = kept;
        self.trusting = self.recovery.clean && self.scan_from == i64::MAX;
        let trusted_below = match self.recovery.clean {
            true => i64::MAX,
            false => self.recovery.recovery_point.unwrap_or(i64::MIN),
        };
        let trusted_below = trusted_below.min(self.stop_at.unwrap_or(i64::MAX));
        let segment = log.segment_base_for(trusted_below).unwrap_or(first);
        self.scan_from = segment.min(self.scan_from);
        self.next_snapshot(log, io);
    }

    /// Reads the newest snapshot of the producers from which their state can be completed.
    fn next_snapshot(&mut self, log: &mut Log, io: &mut IoQueue) {
        let bound = if self.trusting { i64::MAX } else { self.scan_from };
        if let Some(&offset) = log.snapshots.range(..=bound).next_back() {
            let path = log.path(offset, suffix::SNAPSHOT);
            return self.submit(log, IoOp::ReadFile { path }, OpeningOp::Snapshot(offset), io);
        }
        // Without one, everything that is left of the log tells.
        self.trusting = false;
        log.producers = ProducerState::new(log.log_start_offset);
        self.lower_scan(log, log.log_start_offset);
        self.begin_scan(log, io);
    }

    fn lower_scan(&mut self, log: &Log, offset: i64) {
        let first = log.segments.first_key_value().map_or(0, |(&base, _)| base);
        self.scan_from = self.scan_from.min(log.segment_base_for(offset).unwrap_or(first));
    }

    fn take_snapshot(&mut self, log: &mut Log, offset: i64, data: Option<&[u8]>, io: &mut IoQueue) {
        let Some(Ok(state)) = data.map(|data| snapshot::decode(data, offset)) else {
            log.snapshots.remove(&offset);
            let path = log.path(offset, suffix::SNAPSHOT);
            self.submit(log, IoOp::Delete { path }, OpeningOp::Write, io);
            return self.next_snapshot(log, io);
        };
        log.producers = state;
        let active = log.active_base();
        if self.trusting && offset >= active {
            return self.read_trusted(log, active, io);
        }
        self.trusting = false;
        self.lower_scan(log, offset);
        self.begin_scan(log, io);
    }

    fn read_trusted(&mut self, log: &mut Log, active: i64, io: &mut IoQueue) {
        for (suffix, op) in [
            (suffix::INDEX, OpeningOp::TrustedIndex),
            (suffix::TIME_INDEX, OpeningOp::TrustedTimeIndex),
        ] {
            let path = log.path(active, suffix);
            self.submit(log, IoOp::ReadFile { path }, op, io);
        }
        let file = log.log_file(active, io);
        let len = wire::batch::HEADER_BYTES as u32;
        self.submit(log, IoOp::Read { file, at: 0, len }, OpeningOp::TrustedHead, io);
    }

    /// The files of a clean stop are here: only what comes after the last index entry is walked over.
    fn trust(&mut self, log: &mut Log, io: &mut IoQueue) {
        let base = log.active_base();
        let segment = log.active();
        let Trusted { index, time_index, first_timestamp } = &self.trusted;
        let offset = index.as_ref().and_then(|data| OffsetIndex::decode(data, segment.size));
        let time = time_index.as_ref().and_then(|data| TimeIndex::decode(data));
        let (Some(offset), Some(time)) = (offset, time) else {
            return self.stop_trusting(log, io);
        };
        let at = offset.last().map_or(0, |(_, position)| u64::from(position));
        segment.largest_timestamp = Some(time.last().map_or(TimestampOffset::NONE, |last| {
            TimestampOffset { timestamp: last.0, offset: base + i64::from(last.1) }
        }));
        segment.first_timestamp = *first_timestamp;
        segment.indexes = Some(Indexes { offset, time });
        self.scan = Some(Scan::new(base, at, segment.size));
        segment.size = at;
        self.read_chunk(log, 0, io);
    }

    /// The clean stop was none, or somebody touched the files: the active segment is walked over as a whole.
    fn stop_trusting(&mut self, log: &mut Log, io: &mut IoQueue) {
        self.trusting = false;
        self.scan_from = log.active_base();
        if let Some(scan) = self.scan.take() {
            log.active().size = scan.file_len;
        }
        self.next_snapshot(log, io);
    }

    /// A log without any segment.
    fn start_empty(&mut self, log: &mut Log, base: i64, io: &mut IoQueue) {
        log.log_start_offset = base;
        log.next_offset = base;
        log.producers = ProducerState::new(base);
        log.recent.forget_all(base);
        log.drop_snapshots(|_| false, io);
        if log.epochs.truncate_from_end(base) {
            log.save_epochs(base, io);
        }
        log.create_segment(base, io);
        self.trusting = true;
        self.ending = true;
    }
}
