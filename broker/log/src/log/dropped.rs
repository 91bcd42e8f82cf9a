//! Segments that go: closed, renamed to `.deleted`, deleted after Kafka's delay.

use std::collections::VecDeque;

use super::{Log, Work};
use crate::io::{IoOp, IoQueue};
use crate::segment::suffix;

/// Renamed files that wait to be deleted: when, and which path.
#[derive(Debug, Default)]
pub(super) struct Trash {
    due: VecDeque<(i64, String)>,
}

impl Log {
    /// Takes a segment out of the log. All operations that create its files must be complete; reads may be under way.
    pub(super) fn drop_segment(&mut self, base: i64, io: &mut IoQueue) {
        for file in self.take_files(base) {
            self.submit(IoOp::Close { file }, Work::Plain, io);
        }
        let Some(segment) = self.segments.remove(&base) else { return };
        assert!(segment.opens_under_way == 0, "a file of segment {base} is still being created");
        self.submit_waiting_snapshot(base, io);
        for suffix in [suffix::LOG, suffix::INDEX, suffix::TIME_INDEX, suffix::TXN_INDEX] {
            let from = self.path(base, suffix);
            let to = format!("{from}{}", suffix::DELETED);
            self.submit(IoOp::Rename { from, to: to.clone() }, Work::RenameDropped { to }, io);
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

    /// Deletes the renamed files whose time has come.
    pub(super) fn empty_trash(&mut self, now_ms: i64, io: &mut IoQueue) {
        while self.trash.due.front().is_some_and(|(due, _)| *due <= now_ms) {
            let Some((_, path)) = self.trash.due.pop_front() else { break };
            self.submit(IoOp::Delete { path }, Work::Plain, io);
        }
    }
}
