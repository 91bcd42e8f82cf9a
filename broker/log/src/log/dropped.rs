//! Segments that go: closed, renamed to `.deleted`, deleted after Kafka's delay.
//!
//! Promises: what retention takes goes oldest first, and the next one only when no crash brings the one before it back.
//! Recovery takes a hole among the segments for the end of the log, so none may ever be on the disk.

use std::collections::VecDeque;

use super::{Log, Work};
use crate::io::{IoOp, IoQueue};
use crate::segment::suffix;

/// Renamed files that wait to be deleted: when, and which path.
#[derive(Debug, Default)]
pub(super) struct Trash {
    due: VecDeque<(i64, String)>,
}

/// The oldest segment, on its way out of the log.
#[derive(Debug)]
pub(super) struct Retiring {
    renames_left: usize,
    /// The log begins here without it.
    end: i64,
    /// When the pass of retention that took it began.
    now_wall_ms: i64,
}

const SUFFIXES: [&str; 4] = [suffix::LOG, suffix::INDEX, suffix::TIME_INDEX, suffix::TXN_INDEX];

impl Log {
    /// Takes a segment out of the log. All operations that create its files must be complete; reads may be under way.
    pub(super) fn drop_segment(&mut self, base: i64, io: &mut IoQueue) {
        self.drop_files(base, |to| Work::RenameDropped { to }, io);
    }

    /// The same for the oldest segment; retention goes on when that is durable. Until then the recovery point stays: the
    /// segment may come back, and what of it was not synced does not.
    pub(super) fn retire_segment(
        &mut self,
        base: i64,
        end: i64,
        now_wall_ms: i64,
        io: &mut IoQueue,
    ) {
        assert!(self.retiring.is_none(), "segment {base} goes before an older one is gone");
        self.retiring = Some(Retiring { renames_left: SUFFIXES.len(), end, now_wall_ms });
        self.drop_files(base, |to| Work::RenameRetired { to }, io);
    }

    fn drop_files(&mut self, base: i64, work: impl Fn(String) -> Work, io: &mut IoQueue) {
        for file in self.take_files(base) {
            self.submit(IoOp::Close { file }, Work::Plain, io);
        }
        let Some(segment) = self.segments.remove(&base) else { return };
        assert!(segment.opens_under_way == 0, "a file of segment {base} is still being created");
        self.submit_waiting_snapshot(base, io);
        for suffix in SUFFIXES {
            let from = self.path(base, suffix);
            let to = format!("{from}{}", suffix::DELETED);
            self.submit(IoOp::Rename { from, to: to.clone() }, work(to), io);
        }
    }

    /// Deletes the snapshots of the producers that `keep` does not want.
    pub(super) fn drop_snapshots(&mut self, keep: impl Fn(i64) -> bool, io: &mut IoQueue) {
        let gone: Vec<i64> =
            self.snapshots.iter().copied().filter(|&offset| !keep(offset)).collect();
        for offset in gone {
            self.snapshots.remove(&offset);
            let path = self.path(offset, suffix::SNAPSHOT);
            self.submit(IoOp::Delete { path }, Work::Plain, io);
        }
    }

    pub(super) fn on_dropped_renamed(&mut self, to: String) {
        let due = self.now_ms.saturating_add(self.config.file_delete_delay_ms);
        self.trash.due.push_back((due, to));
    }

    pub(super) fn on_retired_renamed(&mut self, to: String, io: &mut IoQueue) {
        self.on_dropped_renamed(to);
        let Some(retiring) = &mut self.retiring else { return };
        retiring.renames_left -= 1;
        if retiring.renames_left == 0 {
            let path = self.dir.clone();
            self.submit(IoOp::SyncDir { path }, Work::SyncRetired, io);
        }
    }

    pub(super) fn on_retired(&mut self, io: &mut IoQueue) {
        let Some(retired) = self.retiring.take() else { return };
        if self.is_ready() {
            self.recovery_point = self.recovery_point.max(retired.end);
            self.advance();
            self.retain(retired.now_wall_ms, io);
        }
    }

    /// Deletes the renamed files whose time has come.
    pub(super) fn empty_trash(&mut self, now_ms: i64, io: &mut IoQueue) {
        while self.trash.due.front().is_some_and(|(due, _)| *due <= now_ms) {
            let Some((_, path)) = self.trash.due.pop_front() else { break };
            self.submit(IoOp::Delete { path }, Work::Plain, io);
        }
    }
}
