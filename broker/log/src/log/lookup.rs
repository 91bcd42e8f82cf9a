//! Finding a record by time, through the time indexes, as ListOffsets asks.

use super::Log;
use super::read::{Outcome, Purpose};
use super::scan::{Next, next_batch};
use crate::io::IoQueue;
use crate::segment::TimestampOffset;
use crate::types::{FoundTimestamp, Lookup, ReadError, ReadId};

/// How far a lookup is.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeSearch {
    /// Milliseconds since the epoch. `None`: the largest of all, which is not known yet.
    target: Option<i64>,
    /// The segment to look at, or to go on from; `None`: the first.
    base: Option<i64>,
}

impl Log {
    /// The first record below `below` whose timestamp is `timestamp` (milliseconds since the epoch) or later.
    pub fn offset_for_timestamp(&mut self, timestamp: i64, below: i64, io: &mut IoQueue) -> Lookup {
        self.start_search(TimeSearch { target: Some(timestamp), base: None }, below, io)
    }

    /// The first record that has the largest timestamp of the log; none if it is not below `below`.
    pub fn offset_for_max_timestamp(&mut self, below: i64, io: &mut IoQueue) -> Lookup {
        self.start_search(TimeSearch { target: None, base: None }, below, io)
    }

    fn start_search(&mut self, search: TimeSearch, below: i64, io: &mut IoQueue) -> Lookup {
        if let Some(error) = self.read_error() {
            return Lookup::Failed(error);
        }
        let id = self.add_read(Purpose::Time(search), below);
        match self.locate(id, io) {
            None => Lookup::Pending(id),
            Some(outcome) => {
                self.reads.remove(&id);
                match outcome {
                    Outcome::Found(Ok(found)) => Lookup::Ready(found),
                    Outcome::Found(Err(error)) => Lookup::Failed(error),
                    Outcome::Fetched(_) => unreachable!("a lookup reads no batches"),
                }
            }
        }
    }

    /// Finds the segment that has the time, loading indexes on the way.
    pub(super) fn locate_time(
        &mut self,
        id: ReadId,
        search: TimeSearch,
        io: &mut IoQueue,
    ) -> Option<Outcome> {
        let search = match search.target {
            Some(_) => search,
            None => match self.largest_of_all(id, io) {
                Ok(Some(search)) => search,
                Ok(None) => return Some(Outcome::Found(Ok(None))),
                Err(Loading) => return None,
            },
        };
        let target = search.target.unwrap_or(i64::MAX);
        let first = self.segment_base_for(self.log_start_offset);
        let mut candidate = search.base.filter(|base| self.segments.contains_key(base)).or(first);
        while let Some(base) = candidate {
            if !self.indexes_ready(base, Some(id), io) {
                self.set_search(id, TimeSearch { target: search.target, base: Some(base) });
                return None;
            }
            let segment = &self.segments[&base];
            let largest = segment.largest_timestamp.unwrap_or(TimestampOffset::NONE);
            if largest.timestamp >= target && segment.size > 0 {
                let indexes = segment.indexes.as_ref().expect("ready, as asked above");
                let offset = base + i64::from(indexes.time.lookup(target));
                let at = segment.position_for(offset.max(self.log_start_offset));
                let search = TimeSearch { target: Some(target), base: Some(base) };
                self.set_search(id, search);
                return self.read_by_index(id, base, at, io);
            }
            candidate = self.segment_after(base);
        }
        Some(Outcome::Found(Ok(None)))
    }

    fn set_search(&mut self, id: ReadId, search: TimeSearch) {
        if let Some(read) = self.reads.get_mut(&id) {
            read.purpose = Purpose::Time(search);
        }
    }

    /// The search for the largest timestamp, once all indexes are loaded. `None`: no record has a timestamp.
    fn largest_of_all(
        &mut self,
        id: ReadId,
        io: &mut IoQueue,
    ) -> Result<Option<TimeSearch>, Loading> {
        let first = self.segment_base_for(self.log_start_offset).unwrap_or(i64::MIN);
        let mut best: Option<(i64, i64)> = None;
        for base in self.segments.range(first..).map(|(&base, _)| base).collect::<Vec<_>>() {
            if self.segments[&base].largest_timestamp.is_none()
                && !self.indexes_ready(base, Some(id), io)
            {
                return Err(Loading);
            }
            let largest = self.segments[&base].largest_timestamp.unwrap_or(TimestampOffset::NONE);
            if largest.timestamp > best.map_or(-1, |(timestamp, _)| timestamp) {
                best = Some((largest.timestamp, base));
            }
        }
        Ok(best.map(|(target, base)| TimeSearch { target: Some(target), base: Some(base) }))
    }

    /// Looks through what was read for the first record of the time.
    pub(super) fn search_chunk(
        &mut self,
        id: ReadId,
        search: TimeSearch,
        data: &[u8],
        io: &mut IoQueue,
    ) -> Option<Outcome> {
        let (base, chunk_at, below) = self.reads.get(&id).map(|r| (r.base, r.at, r.below))?;
        let bound = below.min(self.log_end_offset);
        let target = search.target.unwrap_or(i64::MAX);
        let mut at = 0;
        while at < data.len() {
            let position = chunk_at + at as u64;
            let corrupt = |offset, reason: String| {
                Some(Outcome::Found(Err(ReadError::Corrupt { offset, position, reason })))
            };
            let view = match next_batch(&data[at..]) {
                Next::Batch(view) => view,
                Next::Partial { needed } => {
                    return self.read_partial(id, base, position, needed, io);
                }
                Next::Bad(reason) => return corrupt(base, reason.to_string()),
            };
            let header = *view.header();
            if header.base_offset >= bound {
                return Some(Outcome::Found(Ok(None)));
            }
            if header.max_timestamp >= target && header.last_offset() >= self.log_start_offset {
                let records = match view.records() {
                    Ok(records) => records,
                    Err(error) => return corrupt(header.base_offset, error.to_string()),
                };
                for record in records {
                    let record = match record {
                        Ok(record) => record,
                        Err(error) => return corrupt(header.base_offset, error.to_string()),
                    };
                    if record.timestamp >= target && record.offset >= self.log_start_offset {
                        let found = FoundTimestamp {
                            offset: record.offset,
                            timestamp: record.timestamp,
                            leader_epoch: header.partition_leader_epoch,
                        };
                        return Some(Outcome::Found(Ok((found.offset < bound).then_some(found))));
                    }
                }
            }
            at += view.size_bytes();
        }
        let at = chunk_at + at as u64;
        if at < self.segments[&base].size {
            return self.read_segment(id, base, at, 0, io);
        }
        // The time was only in what the log start offset hides: the next segments may have it.
        match self.segment_after(base) {
            Some(next) => {
                let search = TimeSearch { target: search.target, base: Some(next) };
                self.locate_time(id, search, io)
            }
            None => Some(Outcome::Found(Ok(None))),
        }
    }
}

/// Indexes are being loaded; the search goes on when they are there.
struct Loading;
