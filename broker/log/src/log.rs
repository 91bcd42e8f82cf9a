//! The log itself: its state, its lifecycle, and the dispatch of completed operations.
//!
//! Promises: one failed operation makes the whole log `Failed`, for what is on the disk is not known then; nothing is
//! appended or read after it. Offsets are handed out by `next_offset`; everything that others may see goes by
//! `log_end_offset`, which only completed appends move.

mod append;
mod dropped;
mod flush;
mod indexes;
mod lookup;
mod maintain;
mod open;
mod read;
mod recent;
mod scan;
mod tail;
mod truncate;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::Defect;
use crate::config::LogConfig;
use crate::epoch::EpochCache;
use crate::io::{FileId, IoError, IoErrorKind, IoOp, IoQueue, IoResult, Token};
use crate::producer::ProducerState;
use crate::segment::{Segment, suffix};
use crate::types::{AppendError, Event, ReadError, ReadId, Recovery};

use dropped::{Retiring, Trash};
use flush::EpochFile;
use indexes::IndexLoad;
use open::Opening;
use read::PendingRead;
use recent::Recent;
use tail::TailCache;
use truncate::{Target, Truncation};

/// One partition's log. See the crate's documentation.
#[derive(Debug)]
pub struct Log {
    dir: String,
    config: LogConfig,
    state: State,
    /// By base offset. The last one is the active one.
    segments: BTreeMap<i64, Segment>,
    epochs: EpochCache,
    epoch_file: EpochFile,
    producers: ProducerState,
    log_start_offset: i64,
    high_watermark: i64,
    log_end_offset: i64,
    next_offset: i64,
    /// Everything below is durable, and so are the epochs that begin there.
    recovery_point: i64,
    /// A sync was asked for up to here.
    sync_wanted: i64,
    /// When the oldest record above `sync_wanted` was appended.
    unsynced_since_ms: Option<i64>,
    appends: VecDeque<PendingAppend>,
    reads: BTreeMap<ReadId, PendingRead>,
    next_read: u64,
    index_loads: BTreeMap<i64, IndexLoad>,
    /// Offsets of the producer snapshots on disk.
    snapshots: BTreeSet<i64>,
    /// By rolled segment: the snapshot's offset and content. Written when the segment's indexes are synced.
    waiting_snapshots: BTreeMap<i64, (i64, Bytes)>,
    /// Asked for while another truncation was under way.
    queued_truncation: Option<Target>,
    works: FxHashMap<Token, Work>,
    tail: TailCache,
    recent: Recent,
    trash: Trash,
    /// What retention is just taking.
    retiring: Option<Retiring>,
    /// The largest wall clock time we were told.
    now_ms: i64,
    /// Told by the next `on_io`.
    events: Vec<Event>,
    /// Asked for while opening or truncating.
    ending: Option<Ending>,
}

#[derive(Debug)]
enum State {
    Opening(Box<Opening>),
    Ready,
    Truncating(Truncation),
    Ending(Ending, EndingStage),
    Ended,
    Failed(IoError),
}

/// How a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    Close,
    /// Its directory is renamed to this, then deleted.
    Delete(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndingStage {
    /// The last appends and syncs.
    Settle,
    /// The snapshot of the producers.
    Snapshot,
    CloseFiles,
    Rename,
    DeleteDir,
}

#[derive(Debug)]
struct PendingAppend {
    token: Token,
    /// Of its first record.
    base_offset: i64,
    /// The offset after its last record.
    end_offset: i64,
    done: bool,
}

/// What a token was submitted for.
#[derive(Debug)]
enum Work {
    /// It has to succeed, nothing follows.
    Plain,
    /// Whether it succeeded does not matter.
    Ignored,
    Append,
    Sync {
        base: i64,
        covers: i64,
    },
    IndexSync {
        base: i64,
    },
    /// A file of a new segment.
    OpenNew {
        base: i64,
    },
    SyncNames {
        base: i64,
    },
    EpochCheckpoint,
    Read(ReadId),
    LoadIndexes {
        base: i64,
        time: bool,
    },
    RebuildIndexes {
        base: i64,
    },
    RenameDropped {
        to: String,
    },
    RenameRetired {
        to: String,
    },
    SyncRetired,
    Opening(open::OpeningOp),
    Truncating,
    Ending,
}

impl Work {
    /// Whether a missing file is an answer, not a failure.
    fn tolerates(&self, kind: IoErrorKind) -> bool {
        let not_found = kind == IoErrorKind::NotFound;
        match self {
            Work::Ignored => true,
            Work::LoadIndexes { .. } | Work::RenameDropped { .. } | Work::RenameRetired { .. } => {
                not_found
            }
            Work::Opening(op) => not_found && op.tolerates_not_found(),
            _ => false,
        }
    }
}

impl Log {
    /// Starts to open the log in `dir`, which is made if it does not exist. Nothing else may be asked of it before
    /// [`Event::Opened`], except `close` and `delete`.
    pub fn open(
        dir: &str,
        config: LogConfig,
        recovery: Recovery,
        wall_ms: i64,
        io: &mut IoQueue,
    ) -> Log {
        let mut log = Log {
            dir: dir.to_owned(),
            tail: TailCache::new(config.tail_cache_bytes),
            config,
            state: State::Ended,
            segments: BTreeMap::new(),
            epochs: EpochCache::default(),
            epoch_file: EpochFile::default(),
            producers: ProducerState::default(),
            log_start_offset: 0,
            high_watermark: 0,
            log_end_offset: 0,
            next_offset: 0,
            recovery_point: 0,
            sync_wanted: 0,
            unsynced_since_ms: None,
            appends: VecDeque::new(),
            reads: BTreeMap::new(),
            next_read: 0,
            index_loads: BTreeMap::new(),
            snapshots: BTreeSet::new(),
            waiting_snapshots: BTreeMap::new(),
            queued_truncation: None,
            works: FxHashMap::default(),
            recent: Recent::default(),
            trash: Trash::default(),
            retiring: None,
            now_ms: wall_ms,
            events: Vec::new(),
            ending: None,
        };
        let opening = Opening::start(&mut log, recovery, io);
        log.state = State::Opening(Box::new(opening));
        log
    }

    /// Takes the completion of an operation that this log submitted.
    pub fn on_io(
        &mut self,
        now_ms: i64,
        token: Token,
        result: IoResult,
        io: &mut IoQueue,
        events: &mut Vec<Event>,
    ) {
        self.now_ms = self.now_ms.max(now_ms);
        let work = self.works.remove(&token);
        assert!(
            work.is_some(),
            "{token:?} is not of the log in {}, or was answered before",
            self.dir
        );
        let work = work.unwrap_or(Work::Ignored);
        match result {
            IoResult::Failed(error) if !work.tolerates(error.kind) => self.fail(error),
            _ if matches!(self.state, State::Failed(_)) => {}
            result => self.complete(token, work, result, io),
        }
        self.step_ending(io);
        events.append(&mut self.events);
    }

    fn complete(&mut self, token: Token, work: Work, result: IoResult, io: &mut IoQueue) {
        match work {
            Work::Plain | Work::Ignored | Work::Ending => {}
            Work::Append => self.on_append(token),
            Work::Sync { base, covers } => self.on_sync(base, covers, io),
            Work::IndexSync { base } => self.on_index_sync(base, io),
            Work::OpenNew { base } => self.on_open_new(base, &result, io),
            Work::SyncNames { base } => self.on_names_synced(base),
            Work::EpochCheckpoint => self.on_epochs_saved(io),
            Work::Read(id) => self.on_read(id, result, io),
            Work::LoadIndexes { base, time } => self.on_index_loaded(base, time, result, io),
            Work::RebuildIndexes { base } => self.on_rebuild(base, result, io),
            Work::RenameDropped { to } => self.on_dropped_renamed(to),
            Work::RenameRetired { to } => self.on_retired_renamed(to, io),
            Work::SyncRetired => self.on_retired(io),
            Work::Opening(op) => self.step_opening(op, result, io),
            Work::Truncating => self.on_truncating(),
        }
        self.step_opening_end(io);
        self.step_truncation(io);
    }

    fn submit(&mut self, op: IoOp, work: Work, io: &mut IoQueue) -> Token {
        let token = io.submit(op);
        self.works.insert(token, work);
        token
    }

    fn fail(&mut self, error: IoError) {
        if matches!(self.state, State::Failed(_) | State::Ended) {
            return;
        }
        if let State::Ending(ending, EndingStage::Settle | EndingStage::Snapshot) = &self.state {
            self.ending = Some(ending.clone());
        }
        self.state = State::Failed(error.clone());
        self.appends.clear();
        self.fail_reads(&ReadError::Io(error.clone()));
        self.events.push(Event::Failed(error));
    }

    /// Opened, not ending, not truncating, not failed.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// The error that made the log useless.
    pub fn failure(&self) -> Option<&IoError> {
        match &self.state {
            State::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// The directory, relative to the node's log directory.
    pub fn dir(&self) -> &str {
        &self.dir
    }

    fn has(&self, defect: Defect) -> bool {
        self.config.defects.has(defect)
    }

    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    pub fn update_config(&mut self, config: LogConfig) {
        self.tail.set_limit(config.tail_cache_bytes);
        self.config = config;
    }

    /// The first offset that may be read.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset
    }

    /// The offset after the last record whose append completed.
    pub fn log_end_offset(&self) -> i64 {
        self.log_end_offset
    }

    /// The offset that the next record gets: appends under way included.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// Takes note of the high watermark, held between the log start offset and the log end offset.
    pub fn set_high_watermark(&mut self, high_watermark: i64) {
        self.high_watermark = high_watermark.min(self.log_end_offset).max(self.log_start_offset);
        self.recent.forget_below(self.high_watermark);
        self.producers.on_high_watermark(self.high_watermark);
    }

    /// Up to here, transactions are decided: the high watermark, or the first offset of an open transaction below it.
    pub fn last_stable_offset(&self) -> i64 {
        let unstable = self.producers.first_unstable_offset().unwrap_or(i64::MAX);
        self.high_watermark.min(unstable)
    }

    /// The recovery point: records below survive a power cut, and recovery need not look at them.
    pub fn synced_offset(&self) -> i64 {
        if self.has(Defect::RecoveryPointBeforeSync) {
            return self.log_end_offset;
        }
        self.recovery_point
    }

    /// Bytes of all segments, appends under way included.
    pub fn size_bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.size).sum()
    }

    /// Base offsets and sizes in bytes of the segments, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        self.segments.values().map(|segment| (segment.base_offset, segment.size))
    }

    /// The producers by what was appended, appends under way included.
    pub fn producer_state(&self) -> &ProducerState {
        &self.producers
    }

    /// Seeded defect: the idempotence of every producer is forgotten.
    pub fn forget_producer_state(&mut self) {
        self.producers = ProducerState::new(self.next_offset);
        self.recent.forget_all(self.next_offset);
    }

    /// Seeded defect: takes note of sequence numbers of batches that will not be appended, as if they stood at the end.
    pub fn remember_refused(&mut self, batches: &[wire::batch::Batch]) {
        for batch in batches {
            let Some(mut noted) = scan::producer_batch(batch.header()) else { continue };
            if batch.header().has_producer()
                && matches!(self.producers.check(&noted), Ok(crate::producer::Checked::New))
            {
                noted.last_offset += self.next_offset - noted.base_offset;
                noted.base_offset = self.next_offset;
                self.producers.append(&noted);
            }
        }
    }

    /// The leader epochs by what was appended, appends under way included.
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    pub fn latest_epoch(&self) -> Option<i32> {
        self.epochs.latest().map(|entry| entry.epoch)
    }

    /// The largest epoch not above `epoch` and where it ended, as OffsetForLeaderEpoch answers it;
    /// [`crate::epoch::UNDEFINED`] where `epoch` is newer than all of the log's.
    pub fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        self.epochs.end_offset_for(epoch, self.log_end_offset)
    }

    /// A new leader's epoch begins, at its log end.
    pub fn assign_epoch_start(&mut self, epoch: i32, start_offset: i64, io: &mut IoQueue) {
        if self.epochs.assign(epoch, start_offset) {
            self.save_epochs(start_offset, io);
        }
    }

    /// Syncs, takes the snapshot of the producers and closes all files: [`Event::Closed`] comes when nothing is under
    /// way any more. A log that failed is closed without the syncs.
    pub fn close(&mut self, io: &mut IoQueue) {
        self.end(Ending::Close, io);
    }

    /// Closes all files and deletes the directory, after renaming it to `trash`, so that a crash in between leaves
    /// nothing that looks like a log; [`Event::Deleted`]. The old name is free from then on.
    pub fn delete(&mut self, trash: &str, io: &mut IoQueue) {
        self.end(Ending::Delete(trash.to_owned()), io);
    }

    fn end(&mut self, ending: Ending, io: &mut IoQueue) {
        self.ending = Some(ending);
        self.fail_reads(&ReadError::NotReady);
        self.step_ending(io);
    }

    /// Goes on with closing or deleting, as far as completions allow.
    fn step_ending(&mut self, io: &mut IoQueue) {
        loop {
            let idle = self.works.is_empty();
            match &self.state {
                State::Ending(ending, stage) if idle => {
                    let (ending, stage) = (ending.clone(), *stage);
                    self.end_stage(ending, stage, io);
                }
                State::Ready => match self.ending.take() {
                    Some(ending) => self.begin_ending(ending, io),
                    None => return,
                },
                State::Failed(_) if idle => match self.ending.take() {
                    Some(ending) => {
                        self.close_all_files(io);
                        self.state = State::Ending(ending, EndingStage::CloseFiles);
                    }
                    None => return,
                },
                State::Ended => match self.ending.take() {
                    Some(ending @ Ending::Delete(_)) => {
                        self.state = State::Ending(ending, EndingStage::CloseFiles);
                    }
                    _ => return,
                },
                _ => return,
            }
        }
    }

    fn begin_ending(&mut self, ending: Ending, io: &mut IoQueue) {
        if ending == Ending::Close {
            self.finish_active_time_index(io);
            self.request_sync(io);
            self.sync_active_indexes(io);
            self.empty_trash(i64::MAX, io);
        }
        self.state = State::Ending(ending, EndingStage::Settle);
    }

    /// A stage's operations are all complete: the next one.
    fn end_stage(&mut self, ending: Ending, stage: EndingStage, io: &mut IoQueue) {
        let next = match (&ending, stage) {
            (Ending::Close, EndingStage::Settle) => {
                self.write_producer_snapshot(io);
                EndingStage::Snapshot
            }
            (_, EndingStage::Settle | EndingStage::Snapshot) => {
                self.close_all_files(io);
                EndingStage::CloseFiles
            }
            (Ending::Close, _) => {
                self.state = State::Ended;
                self.events.push(Event::Closed);
                return;
            }
            (Ending::Delete(trash), EndingStage::CloseFiles) => {
                let op = IoOp::Rename { from: self.dir.clone(), to: trash.clone() };
                self.submit(op, Work::Ignored, io);
                EndingStage::Rename
            }
            (Ending::Delete(trash), EndingStage::Rename) => {
                self.submit(IoOp::DeleteDir { path: trash.clone() }, Work::Ending, io);
                // Where the rename failed, the directory still has its name.
                self.submit(IoOp::DeleteDir { path: self.dir.clone() }, Work::Ending, io);
                EndingStage::DeleteDir
            }
            (Ending::Delete(_), EndingStage::DeleteDir) => {
                self.state = State::Ended;
                self.segments.clear();
                self.events.push(Event::Deleted);
                return;
            }
        };
        self.state = State::Ending(ending, next);
    }

    fn close_all_files(&mut self, io: &mut IoQueue) {
        for base in self.segments.keys().copied().collect::<Vec<_>>() {
            for file in self.take_files(base) {
                self.submit(IoOp::Close { file }, Work::Ignored, io);
            }
        }
        // Also so that there is a completion to tell the end by, where no file was open.
        self.submit(IoOp::SyncDir { path: self.dir.clone() }, Work::Ignored, io);
    }

    /// The open files of a segment, which is then without.
    fn take_files(&mut self, base: i64) -> Vec<FileId> {
        let Some(segment) = self.segments.get_mut(&base) else { return Vec::new() };
        let (index, time_index) = segment.index_files.take().unzip();
        [segment.log_file.take(), index, time_index].into_iter().flatten().collect()
    }

    /// Offsets mean what they say: nothing is being opened or rebuilt.
    fn is_live(&self) -> bool {
        matches!(
            self.state,
            State::Ready | State::Truncating(Truncation::Quick { .. }) | State::Ending(..)
        )
    }

    fn append_error(&self) -> Option<AppendError> {
        match &self.state {
            State::Ready => None,
            State::Failed(error) => Some(AppendError::Failed(error.clone())),
            _ => Some(AppendError::NotReady),
        }
    }

    fn path(&self, offset: i64, suffix: &str) -> String {
        format!("{}/{}", self.dir, crate::segment::file_name(offset, suffix))
    }

    fn dir_path(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }

    fn active_base(&self) -> i64 {
        *self.segments.keys().next_back().expect("an open log has a segment")
    }

    fn active(&mut self) -> &mut Segment {
        self.segments.values_mut().next_back().expect("an open log has a segment")
    }

    /// The base offset of the segment that holds, or would hold, `offset`.
    fn segment_base_for(&self, offset: i64) -> Option<i64> {
        self.segments.range(..=offset).next_back().map(|(&base, _)| base)
    }

    fn segment_after(&self, base: i64) -> Option<i64> {
        self.segments.range(base + 1..).next().map(|(&base, _)| base)
    }

    /// The offset after the last one of a segment.
    fn segment_end(&self, base: i64) -> i64 {
        self.segment_after(base).unwrap_or(self.next_offset)
    }

    /// The file of a segment's records, opened if it is not.
    fn log_file(&mut self, base: i64, io: &mut IoQueue) -> FileId {
        let segment = self.segments.get_mut(&base).expect("asked for a segment that there is");
        segment.used = true;
        if let Some(file) = segment.log_file {
            return file;
        }
        let file = io.new_file();
        segment.log_file = Some(file);
        let path = self.path(base, suffix::LOG);
        self.submit(IoOp::Open { file, path, create: false }, Work::Plain, io);
        file
    }
}
