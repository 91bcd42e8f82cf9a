//! What is complete and what is durable: the log end offset, syncs, the recovery point, the epoch checkpoint.
//!
//! Syncs are grouped: at most one is under way for a segment; what was appended meanwhile is covered by the next one.
//! The recovery point never passes the start of an epoch whose checkpoint is not written yet, nor leaves a segment
//! whose indexes are not synced: recovery rebuilds both, but only above the recovery point. It stands still while a
//! segment is on its way out of the log.

use bytes::Bytes;

use super::{Log, Work};
use crate::Defect;
use crate::checkpoint;
use crate::io::{IoOp, IoQueue, Token};
use crate::types::Event;

/// How far `leader-epoch-checkpoint` is behind the epochs in memory.
#[derive(Debug, Default)]
pub(super) struct EpochFile {
    /// Changes that concern offsets from here on are not submitted yet.
    unsaved_from: Option<i64>,
    /// Changes that concern offsets from here on are being written.
    saving_from: Option<i64>,
}

impl EpochFile {
    fn saved_below(&self) -> i64 {
        self.unsaved_from.unwrap_or(i64::MAX).min(self.saving_from.unwrap_or(i64::MAX))
    }

    pub fn is_saved(&self) -> bool {
        self.unsaved_from.is_none() && self.saving_from.is_none()
    }
}

impl Log {
    /// Asks that all that was appended so far be durable soon; [`Event::Synced`] tells of the progress.
    pub fn sync(&mut self, io: &mut IoQueue) {
        if self.is_ready() {
            self.request_sync(io);
        }
    }

    pub(super) fn request_sync(&mut self, io: &mut IoQueue) {
        self.sync_wanted = self.next_offset;
        self.unsynced_since_ms = None;
        let first = self.segment_base_for(self.recovery_point).unwrap_or(i64::MIN);
        let bases: smallvec::SmallVec<[i64; 2]> =
            self.segments.range(first..).map(|(&base, _)| base).collect();
        for base in bases {
            self.submit_sync(base, io);
        }
    }

    /// Syncs a segment's records, unless that is done or under way.
    pub(super) fn submit_sync(&mut self, base: i64, io: &mut IoQueue) {
        let covers = self.segment_end(base);
        let segment = &self.segments[&base];
        if segment.sync_under_way || segment.synced_to >= covers {
            return;
        }
        let file = self.log_file(base, io);
        if let Some(segment) = self.segments.get_mut(&base) {
            segment.sync_under_way = true;
        }
        self.submit(IoOp::Sync { file }, Work::Sync { base, covers }, io);
    }

    pub(super) fn on_sync(&mut self, base: i64, covers: i64, io: &mut IoQueue) {
        let next_offset = self.next_offset;
        let is_live = self.is_live();
        let Some(segment) = self.segments.get_mut(&base) else { return };
        segment.sync_under_way = false;
        // What was cut off meanwhile is not covered, whatever takes its offsets.
        segment.synced_to = segment.synced_to.max(covers.min(next_offset));
        let synced_to = segment.synced_to;
        if !is_live {
            return;
        }
        let wanted = self.sync_wanted.min(self.segment_end(base));
        if synced_to < wanted || self.segment_after(base).is_some() {
            self.submit_sync(base, io);
        }
        self.advance();
    }

    /// Syncs both indexes of the active segment, which is about to be rolled or closed.
    pub(super) fn sync_active_indexes(&mut self, io: &mut IoQueue) {
        let segment = self.active();
        let base = segment.base_offset;
        let Some((index, time_index)) = segment.index_files else { return };
        segment.index_syncs_under_way += 2;
        for file in [index, time_index] {
            self.submit(IoOp::Sync { file }, Work::IndexSync { base }, io);
        }
    }

    pub(super) fn on_index_sync(&mut self, base: i64, io: &mut IoQueue) {
        if let Some(segment) = self.segments.get_mut(&base) {
            segment.index_syncs_under_way -= 1;
            if segment.index_syncs_under_way == 0 {
                self.submit_waiting_snapshot(base, io);
            }
        }
        self.advance();
    }

    pub(super) fn on_names_synced(&mut self, base: i64) {
        if let Some(segment) = self.segments.get_mut(&base) {
            segment.named = true;
        }
        self.advance();
    }

    pub(super) fn on_append(&mut self, token: Token) {
        // Not found: it was cut off before it completed.
        if let Some(append) = self.appends.iter_mut().find(|append| append.token == token) {
            append.done = true;
        }
        while self.appends.front().is_some_and(|append| append.done) {
            self.appends.pop_front();
        }
        self.advance();
    }

    /// Moves the log end offset and the recovery point as far as completions allow.
    pub(super) fn advance(&mut self) {
        if !self.is_live() {
            return;
        }
        let written = self.appends.front().map_or(self.next_offset, |append| append.base_offset);
        let mut end = written;
        if self.config.flush_messages <= 1 && !self.has(Defect::EndBeforeSync) {
            end = end.min(self.durable_offset(false));
        }
        if end > self.log_end_offset {
            self.log_end_offset = end;
            self.events.push(Event::Appended { log_end_offset: end });
        }
        let durable = self.durable_offset(true).min(self.epoch_file.saved_below());
        if durable > self.recovery_point && self.retiring.is_none() {
            self.recovery_point = durable;
            self.events.push(Event::Synced { offset: durable });
        }
    }

    /// All records below are durable; with `indexes`, so are the indexes of the segments that end below.
    fn durable_offset(&self, indexes: bool) -> i64 {
        let mut durable = self.recovery_point;
        let first = self.segment_base_for(durable).unwrap_or(i64::MIN);
        for (&base, segment) in self.segments.range(first..) {
            if !segment.named {
                break;
            }
            durable = durable.max(segment.synced_to);
            let more_to_come = indexes && segment.index_syncs_under_way > 0;
            if segment.synced_to < self.segment_end(base) || more_to_come {
                break;
            }
        }
        durable
    }

    /// The epochs changed, for offsets from `from` on: their checkpoint is written, after the one under way.
    pub(super) fn save_epochs(&mut self, from: i64, io: &mut IoQueue) {
        let unsaved = self.epoch_file.unsaved_from.unwrap_or(i64::MAX);
        self.epoch_file.unsaved_from = Some(unsaved.min(from));
        if self.epoch_file.saving_from.is_none() {
            self.write_epochs(io);
        }
    }

    fn write_epochs(&mut self, io: &mut IoQueue) {
        self.epoch_file.saving_from = self.epoch_file.unsaved_from.take();
        let path = self.dir_path(checkpoint::LEADER_EPOCH_FILE);
        let data = Bytes::from(checkpoint::format_epochs(self.epochs.entries()));
        self.submit(IoOp::Replace { path, data }, Work::EpochCheckpoint, io);
    }

    pub(super) fn on_epochs_saved(&mut self, io: &mut IoQueue) {
        self.epoch_file.saving_from = None;
        if self.epoch_file.unsaved_from.is_some() {
            self.write_epochs(io);
        }
        self.advance();
    }
}
