//! Cutting the end off, and starting over elsewhere.
//!
//! The offsets go back at once. A cut among the newest batches is made from memory; any other one waits until nothing
//! is under way, closes the files, and opens the log again as recovery does, up to the cut. Either way the cut is
//! durable before [`Event::Truncated`], so that what was cut cannot come back after a power cut, between new records.

use super::open::Opening;
use super::recent::RecentBatch;
use super::{Log, State, Work};
use crate::Defect;
use crate::io::{IoOp, IoQueue};
use crate::producer::ProducerState;
use crate::segment::TimestampOffset;
use crate::types::{Event, ReadError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Nothing at or after this offset is kept.
    To(i64),
    /// Nothing is kept; the log starts here.
    Restart(i64),
}

#[derive(Debug)]
pub(super) enum Truncation {
    /// The cut was made; so many operations have to complete.
    Quick { under_way: usize },
    /// Waits for everything that is under way.
    Settling(Target),
    /// Waits for the files to be closed.
    Closing(Target),
    /// Waits for the new segment.
    Restarting,
}

impl Log {
    /// Cuts off every batch that holds an offset at or after `offset`. `true`: [`Event::Truncated`] will come, and
    /// until then no appends are taken. `false`: there is nothing to cut. A cut within a batch takes the batch: until
    /// the event, the log end offset is only known to be at most `offset`.
    #[must_use]
    pub fn truncate_to(&mut self, offset: i64, io: &mut IoQueue) -> bool {
        let pending = self.queued_truncation.is_some() || !self.is_ready();
        if !pending && offset >= self.next_offset {
            // An epoch may have begun at the very end, without a record: the leader that we follow may never have had it.
            if !self.has(Defect::StaleEpochs) && self.epochs.truncate_from_end(offset) {
                self.save_epochs(offset, io);
            }
            return false;
        }
        self.truncate(Target::To(offset), io)
    }

    /// Drops everything and starts over, empty, at `offset`: [`Event::Truncated`] will come, and until then no
    /// appends are taken. Only a log that failed or is closing answers `false`.
    pub fn truncate_fully_and_start_at(&mut self, offset: i64, io: &mut IoQueue) -> bool {
        self.truncate(Target::Restart(offset), io)
    }

    fn truncate(&mut self, target: Target, io: &mut IoQueue) -> bool {
        match self.state {
            State::Ready => self.begin_truncation(target, io),
            State::Opening(_) | State::Truncating(_) => {
                self.queued_truncation = Some(match (self.queued_truncation, target) {
                    (Some(Target::To(one)), Target::To(other)) => Target::To(one.min(other)),
                    _ => target,
                });
            }
            State::Failed(_) | State::Ending(..) | State::Ended => return false,
        }
        true
    }

    fn begin_truncation(&mut self, target: Target, io: &mut IoQueue) {
        self.unsynced_since_ms = None;
        for read in self.reads.values_mut() {
            read.stale = true;
        }
        let target = match target {
            // Nothing of the log lies below: what is kept is nothing.
            Target::To(offset) if self.segment_base_for(offset).is_none() => {
                Target::Restart(offset)
            }
            target => target,
        };
        match target {
            Target::To(offset) => {
                let active = self.active_base();
                let cut = self.recent.first_cut(offset).filter(|batch| batch.segment == active);
                if let Some(&RecentBatch { base_offset, position, .. }) = cut {
                    return self.cut_quickly(base_offset, position, io);
                }
                self.cut_offsets(offset, io);
            }
            Target::Restart(offset) => {
                self.cut_offsets(offset, io);
                self.next_offset = offset;
                self.log_start_offset = offset;
                self.log_end_offset = offset;
                self.high_watermark = offset;
                self.recovery_point = offset;
                self.producers = ProducerState::new(offset);
                self.epochs.clear();
                self.save_epochs(offset, io);
            }
        }
        self.recent.forget_all(self.next_offset);
        self.fail_reads(&ReadError::NotReady);
        self.state = State::Truncating(Truncation::Settling(target));
        self.step_truncation(io);
    }

    /// Nothing at or after `offset` counts any more.
    fn cut_offsets(&mut self, offset: i64, io: &mut IoQueue) {
        self.next_offset = self.next_offset.min(offset);
        self.log_end_offset = self.log_end_offset.min(offset);
        self.high_watermark = self.high_watermark.min(offset);
        self.log_start_offset = self.log_start_offset.min(offset);
        self.recovery_point = self.recovery_point.min(offset);
        self.sync_wanted = self.sync_wanted.min(offset);
        for segment in self.segments.values_mut() {
            segment.synced_to = segment.synced_to.min(offset);
        }
        self.appends.retain(|append| append.base_offset < offset);
        if let Some(last) = self.appends.back_mut() {
            last.end_offset = last.end_offset.min(offset);
        }
        self.tail.truncate(offset);
        if !self.has(Defect::StaleEpochs) && self.epochs.truncate_from_end(offset) {
            self.save_epochs(offset, io);
        }
    }

    /// The cut begins in the active segment, at a batch that is still known.
    fn cut_quickly(&mut self, offset: i64, position: u64, io: &mut IoQueue) {
        self.cut_offsets(offset, io);
        let mut largest = TimestampOffset::NONE;
        while let Some(batch) = self.recent.pop_from(offset) {
            largest = batch.largest_before;
            if let Some(undo) = batch.undo {
                self.producers.undo(undo);
            }
        }
        self.producers.set_end_offset(offset);
        let segment = self.active();
        let relative = segment.relative_saturating(offset);
        segment.size = position;
        segment.largest_timestamp = Some(largest);
        segment.bytes_since_index_entry = 0;
        if position == 0 {
            segment.first_timestamp = None;
        }
        let base = segment.base_offset;
        let indexes = segment.indexes.as_mut().expect("an active segment's are loaded");
        let cut_position = u32::try_from(position).unwrap_or(u32::MAX);
        indexes.offset.truncate_to_position(cut_position);
        indexes.time.truncate_to_offset(relative);
        let lens = (indexes.offset.len_bytes() as u64, indexes.time.len_bytes() as u64);
        let (index, time_index) = segment.index_files.expect("an active segment's are open");
        let file = self.log_file(base, io);
        let ops = [
            IoOp::Truncate { file, len: position },
            IoOp::Truncate { file: index, len: lens.0 },
            IoOp::Truncate { file: time_index, len: lens.1 },
            IoOp::Sync { file },
        ];
        let under_way = ops.len();
        for op in ops {
            self.submit(op, Work::Truncating, io);
        }
        self.drop_snapshots(|snapshot| snapshot <= offset, io);
        self.state = State::Truncating(Truncation::Quick { under_way });
    }

    pub(super) fn on_truncating(&mut self) {
        if let State::Truncating(Truncation::Quick { under_way }) = &mut self.state {
            *under_way -= 1;
        }
    }

    /// Goes on with a truncation as far as completions allow.
    pub(super) fn step_truncation(&mut self, io: &mut IoQueue) {
        loop {
            let State::Truncating(truncation) = &self.state else { return };
            let idle = self.works.is_empty();
            match *truncation {
                Truncation::Quick { under_way: 0 } if self.epoch_file.is_saved() => {
                    return self.end_quick(io);
                }
                Truncation::Settling(target) if idle => {
                    self.close_all_files(io);
                    self.state = State::Truncating(Truncation::Closing(target));
                }
                Truncation::Closing(Target::To(offset)) if idle => {
                    let opening = Opening::start_cut(self, offset, io);
                    self.state = State::Opening(Box::new(opening));
                }
                Truncation::Closing(Target::Restart(offset)) if idle => {
                    for base in self.segments.keys().copied().collect::<Vec<_>>() {
                        self.drop_segment(base, io);
                    }
                    self.drop_snapshots(|_| false, io);
                    self.state = State::Truncating(Truncation::Restarting);
                    debug_assert_eq!(offset, self.next_offset);
                }
                Truncation::Restarting if idle => {
                    if self.segments.is_empty() {
                        self.create_segment(self.next_offset, io);
                    } else {
                        return self.end_truncation(io);
                    }
                }
                _ => return,
            }
        }
    }

    fn end_quick(&mut self, io: &mut IoQueue) {
        // The sync was the file's last operation, so it covers all that is left.
        let next_offset = self.next_offset;
        let segment = self.active();
        segment.synced_to = segment.synced_to.max(next_offset);
        self.advance();
        self.end_truncation(io);
    }

    /// The log is as it was asked to be; what was asked for meanwhile comes next.
    pub(super) fn end_truncation(&mut self, io: &mut IoQueue) {
        self.state = State::Ready;
        self.sync_wanted = self.next_offset;
        self.set_high_watermark(self.high_watermark);
        if !self.begin_queued_truncation(io) {
            self.events.push(Event::Truncated { log_end_offset: self.log_end_offset });
        }
    }

    /// Whether a truncation was queued and has something to do.
    pub(super) fn begin_queued_truncation(&mut self, io: &mut IoQueue) -> bool {
        match self.queued_truncation.take() {
            Some(Target::To(offset)) if offset >= self.next_offset => false,
            Some(target) => {
                self.begin_truncation(target, io);
                true
            }
            None => false,
        }
    }
}
