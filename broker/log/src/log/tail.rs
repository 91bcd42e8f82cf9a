//! The newest batches of a leader's log, in memory: what followers and consumers at the tail are served from.
//!
//! Promises: what is here is exactly what was appended, contiguous, and ends where the log ends. Not promised: that
//! its bytes are all the memory it holds: a batch shares the buffer of the request that it came in.

use std::collections::VecDeque;

use wire::batch::Batch;

use crate::types::FetchData;

#[derive(Debug)]
pub(super) struct TailCache {
    batches: VecDeque<Batch>,
    bytes: usize,
    limit: usize,
    /// Whether anything was pushed since [`TailCache::rest`] was last called.
    touched: bool,
}

impl TailCache {
    pub fn new(limit: u32) -> TailCache {
        TailCache { batches: VecDeque::new(), bytes: 0, limit: limit as usize, touched: false }
    }

    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit as usize;
        self.shrink();
    }

    pub fn push(&mut self, batch: Batch) {
        if self.batches.back().is_some_and(|last| last.last_offset() + 1 != batch.base_offset()) {
            self.clear();
        }
        self.touched = true;
        self.bytes += batch.len();
        self.batches.push_back(batch);
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.bytes > self.limit {
            let Some(batch) = self.batches.pop_front() else { break };
            self.bytes -= batch.len();
        }
    }

    pub fn clear(&mut self) {
        self.batches = VecDeque::new();
        self.bytes = 0;
    }

    /// Gives the memory back when nothing was appended since the last call.
    pub fn rest(&mut self) {
        if !std::mem::take(&mut self.touched) {
            self.clear();
        }
    }

    /// Forgets what ends at or after `offset`.
    pub fn truncate(&mut self, offset: i64) {
        while self.batches.back().is_some_and(|batch| batch.last_offset() >= offset) {
            let batch = self.batches.pop_back().expect("looked at above");
            self.bytes -= batch.len();
        }
    }

    /// `None`: what is asked for is not all here.
    pub fn read(
        &self,
        from: i64,
        max_bytes: usize,
        below: i64,
        at_least_one: bool,
    ) -> Option<FetchData> {
        if self.batches.front()?.base_offset() > from {
            return None;
        }
        let first = self.batches.partition_point(|batch| batch.last_offset() < from);
        if first == self.batches.len() {
            return None; // a follower's appends are not kept here
        }
        let mut data = FetchData { next_offset: from, ..FetchData::default() };
        for batch in self.batches.range(first..) {
            let fits = data.bytes + batch.len() <= max_bytes;
            let needed = at_least_one && data.bytes == 0;
            if batch.last_offset() >= below || !(fits || needed) {
                break;
            }
            data.batches.extend(batch.parts());
            data.bytes += batch.len();
            data.next_offset = batch.last_offset() + 1;
        }
        Some(data)
    }
}
