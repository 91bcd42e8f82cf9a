//! What is needed to take back the newest batches quickly: where they begin, and what was known before them.
//!
//! A follower that truncates cuts, as a rule, a few batches above its high watermark. For those, the cut is known from
//! memory, without a read. Older cuts go the long way, through recovery.

use std::collections::VecDeque;

use crate::producer::ProducerUndo;
use crate::segment::TimestampOffset;

/// More than this are not kept, however far behind the high watermark is.
const LIMIT: usize = 4096;

#[derive(Debug)]
pub(super) struct RecentBatch {
    pub base_offset: i64,
    pub last_offset: i64,
    /// Base offset of the segment it is in.
    pub segment: i64,
    /// Where it begins in the segment, in bytes.
    pub position: u64,
    /// The segment's largest timestamp before it.
    pub largest_before: TimestampOffset,
    pub undo: Option<ProducerUndo>,
}

#[derive(Debug, Default)]
pub(super) struct Recent {
    batches: VecDeque<RecentBatch>,
    /// Every batch from here on is kept.
    floor: i64,
}

impl Recent {
    pub fn push(&mut self, batch: RecentBatch) {
        if self.batches.is_empty() {
            self.floor = batch.base_offset;
        }
        self.batches.push_back(batch);
        if self.batches.len() > LIMIT {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.floor = batch.last_offset + 1;
        }
    }

    pub fn forget_below(&mut self, offset: i64) {
        while self.batches.front().is_some_and(|batch| batch.last_offset < offset) {
            self.pop_front();
        }
    }

    /// Nothing below `offset`, the log's end, can be taken back any more.
    pub fn forget_all(&mut self, offset: i64) {
        self.batches = VecDeque::new();
        self.floor = offset;
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The batch that a cut at `offset` takes first, if it is still known.
    pub fn first_cut(&self, offset: i64) -> Option<&RecentBatch> {
        if offset < self.floor {
            return None;
        }
        self.batches.get(self.batches.partition_point(|batch| batch.last_offset < offset))
    }

    /// The newest batch, if it ends at or after `offset`.
    pub fn pop_from(&mut self, offset: i64) -> Option<RecentBatch> {
        self.batches.pop_back_if(|batch| batch.last_offset >= offset)
    }
}
