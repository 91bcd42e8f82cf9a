//! Reading batches: from memory at the tail, from the segment elsewhere.
//!
//! A read that a truncation overtakes starts over: what it was given may be what was cut.

use bytes::Bytes;
use wire::batch::BatchHeader;

use super::scan::{Next, next_batch};
use super::{Log, State, Work};
use crate::io::{IoOp, IoQueue, IoResult};
use crate::log::lookup::TimeSearch;
use crate::log::truncate::Truncation;
use crate::types::{Event, FetchData, FoundTimestamp, Read, ReadError, ReadId};

/// One read brings at most this much, whatever was asked for; the rest comes with the next.
const READ_BYTES_MAX: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct PendingRead {
    pub purpose: Purpose,
    /// Exclusive upper bound of the offsets that may be returned.
    pub below: i64,
    /// The segment and position of the read that is under way.
    pub base: i64,
    pub at: u64,
    /// How much it asked for.
    pub len: u32,
    /// The position is by the index.
    pub by_index: bool,
    /// A truncation came after the read was submitted.
    pub stale: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Fetch { from: i64, max_bytes: usize, at_least_one: bool },
    Time(TimeSearch),
}

/// What a read or a lookup ends with.
#[derive(Debug)]
pub(super) enum Outcome {
    Fetched(Result<FetchData, ReadError>),
    Found(Result<Option<FoundTimestamp>, ReadError>),
}

impl Log {
    /// Whole batches from the one that holds `from` on, all below `below`, at most `max_bytes` of them (or one, with
    /// `at_least_one`). Fewer may come though more are there: the owner reads on.
    pub fn read(
        &mut self,
        from: i64,
        max_bytes: u32,
        below: i64,
        at_least_one: bool,
        io: &mut IoQueue,
    ) -> Read {
        if let Some(error) = self.read_error() {
            return Read::Failed(error);
        }
        let max_bytes = (max_bytes as usize).min(READ_BYTES_MAX);
        let purpose = Purpose::Fetch { from, max_bytes, at_least_one };
        let bound = below.min(self.log_end_offset);
        if from >= self.log_start_offset && from <= self.log_end_offset && from < bound {
            let data = self.tail.read(from, max_bytes, bound, at_least_one);
            if let Some(data) = data {
                return Read::Ready(data);
            }
        }
        let id = self.add_read(purpose, below);
        match self.locate(id, io) {
            None => Read::Pending(id),
            Some(outcome) => {
                self.reads.remove(&id);
                match outcome {
                    Outcome::Fetched(Ok(data)) => Read::Ready(data),
                    Outcome::Fetched(Err(ReadError::OutOfRange)) => Read::OutOfRange,
                    Outcome::Fetched(Err(error)) => Read::Failed(error),
                    Outcome::Found(_) => unreachable!("a read finds no timestamp"),
                }
            }
        }
    }

    /// Why nothing can be read now.
    pub(super) fn read_error(&self) -> Option<ReadError> {
        match &self.state {
            State::Ready | State::Truncating(Truncation::Quick { .. }) => None,
            State::Failed(error) => Some(ReadError::Io(error.clone())),
            _ => Some(ReadError::NotReady),
        }
    }

    pub(super) fn add_read(&mut self, purpose: Purpose, below: i64) -> ReadId {
        self.next_read += 1;
        let id = ReadId(self.next_read);
        let read =
            PendingRead { purpose, below, base: 0, at: 0, len: 0, by_index: false, stale: false };
        self.reads.insert(id, read);
        id
    }

    /// Finds out where to read, and starts to. `None`: something is under way for it.
    pub(super) fn locate(&mut self, id: ReadId, io: &mut IoQueue) -> Option<Outcome> {
        let read = self.reads.get_mut(&id)?;
        read.stale = false;
        match read.purpose {
            Purpose::Fetch { from, .. } => self.locate_fetch(id, from, io),
            Purpose::Time(search) => self.locate_time(id, search, io),
        }
    }

    fn locate_fetch(&mut self, id: ReadId, from: i64, io: &mut IoQueue) -> Option<Outcome> {
        let Some(Purpose::Fetch { max_bytes, at_least_one, .. }) =
            self.reads.get(&id).map(|read| read.purpose)
        else {
            return None;
        };
        if from < self.log_start_offset || from > self.log_end_offset {
            return Some(Outcome::Fetched(Err(ReadError::OutOfRange)));
        }
        let bound = self.reads[&id].below.min(self.log_end_offset);
        if from >= bound || (max_bytes == 0 && !at_least_one) {
            return Some(empty_fetch(from));
        }
        let Some(base) = self.segment_base_for(from) else {
            return Some(Outcome::Fetched(Err(ReadError::OutOfRange)));
        };
        if !self.indexes_ready(base, Some(id), io) {
            return None;
        }
        let at = self.segments[&base].position_for(from);
        self.read_by_index(id, base, at, io)
    }

    /// Starts to read where an index says.
    pub(super) fn read_by_index(
        &mut self,
        id: ReadId,
        base: i64,
        at: u64,
        io: &mut IoQueue,
    ) -> Option<Outcome> {
        let outcome = self.read_segment(id, base, at, 0, io);
        if let Some(read) = self.reads.get_mut(&id) {
            read.by_index = at > 0 && (read.base, read.at) == (base, at);
        }
        outcome
    }

    /// Reads on in a segment, at least `needed` bytes; at its end, in the next one.
    pub(super) fn read_segment(
        &mut self,
        id: ReadId,
        base: i64,
        at: u64,
        needed: usize,
        io: &mut IoQueue,
    ) -> Option<Outcome> {
        let (mut base, mut at) = (base, at);
        while at >= self.segments[&base].size {
            match self.segment_after(base) {
                Some(next) => (base, at) = (next, 0),
                None => return Some(self.nothing_left(id)),
            }
        }
        let left = self.segments[&base].size - at;
        let purpose = self.reads[&id].purpose;
        let wanted = match purpose {
            Purpose::Fetch { max_bytes, .. } => {
                max_bytes + self.config.index_interval_bytes as usize
            }
            Purpose::Time(_) => 64 << 10,
        };
        let len = (wanted.max(needed).max(4096) as u64).min(left) as u32;
        let file = self.log_file(base, io);
        if let Some(read) = self.reads.get_mut(&id) {
            read.by_index = false;
            (read.base, read.at, read.len) = (base, at, len);
        }
        self.submit(IoOp::Read { file, at, len }, Work::Read(id), io);
        None
    }

    fn nothing_left(&self, id: ReadId) -> Outcome {
        match self.reads[&id].purpose {
            Purpose::Fetch { from, .. } => empty_fetch(from),
            Purpose::Time(_) => Outcome::Found(Ok(None)),
        }
    }

    pub(super) fn on_read(&mut self, id: ReadId, result: IoResult, io: &mut IoQueue) {
        let (Some(read), IoResult::Data(data)) = (self.reads.get(&id), result) else { return };
        let outcome = if read.stale || !self.segments.contains_key(&read.base) {
            self.locate(id, io)
        } else if data.len() < read.len as usize {
            Some(self.cut_short(id, read.at + data.len() as u64))
        } else if read.by_index && !leads_to_batch(&data, read) {
            let base = read.base;
            match self.suspect_index(base, id, io) {
                true => None,
                false => Some(self.no_batch(id)),
            }
        } else {
            match read.purpose {
                Purpose::Fetch { .. } => self.take_batches(id, data, io),
                Purpose::Time(search) => self.search_chunk(id, search, &data, io),
            }
        };
        if let Some(outcome) = outcome {
            self.end_read(id, outcome);
        }
    }

    /// A read that waited for the indexes of a segment goes on.
    pub(super) fn resume_read(&mut self, id: ReadId, io: &mut IoQueue) {
        if let Some(outcome) = self.locate(id, io) {
            self.end_read(id, outcome);
        }
    }

    fn end_read(&mut self, id: ReadId, outcome: Outcome) {
        self.reads.remove(&id);
        self.events.push(match outcome {
            Outcome::Fetched(result) => Event::Read { id, result },
            Outcome::Found(result) => Event::Lookup { id, result },
        });
    }

    /// Ends all reads that are under way.
    pub(super) fn fail_reads(&mut self, error: &ReadError) {
        for (id, read) in std::mem::take(&mut self.reads) {
            self.events.push(match read.purpose {
                Purpose::Fetch { .. } => Event::Read { id, result: Err(error.clone()) },
                Purpose::Time(_) => Event::Lookup { id, result: Err(error.clone()) },
            });
        }
    }

    /// Picks the wanted batches out of what was read, or reads on.
    fn take_batches(&mut self, id: ReadId, data: Bytes, io: &mut IoQueue) -> Option<Outcome> {
        let (base, chunk_at, below) = self.reads.get(&id).map(|r| (r.base, r.at, r.below))?;
        let Some(Purpose::Fetch { from, max_bytes, at_least_one }) =
            self.reads.get(&id).map(|read| read.purpose)
        else {
            return None;
        };
        let bound = below.min(self.log_end_offset);
        let (mut at, mut start) = (0, None);
        let mut next_offset = from;
        while at < data.len() {
            let header = match next_batch(&data[at..]) {
                Next::Batch(view) => *view.header(),
                // Enough was found, or the one that is wanted is longer than what was read.
                Next::Partial { .. } if start.is_some() => break,
                Next::Partial { needed } => {
                    return self.read_partial(id, base, chunk_at + at as u64, needed, io);
                }
                Next::Bad(reason) => {
                    if start.is_some() {
                        break;
                    }
                    let position = chunk_at + at as u64;
                    let reason = reason.to_string();
                    let error = ReadError::Corrupt { offset: next_offset, position, reason };
                    return Some(Outcome::Fetched(Err(error)));
                }
            };
            let size = header.size_bytes();
            if header.last_offset() >= from {
                let taken = start.map_or(0, |start| at - start);
                let fits = taken + size <= max_bytes || (at_least_one && taken == 0);
                if header.last_offset() >= bound || !fits {
                    return Some(fetched(&data, start, at, next_offset));
                }
                start.get_or_insert(at);
                next_offset = header.next_offset();
            }
            at += size;
        }
        if start.is_none() {
            return self.read_segment(id, base, chunk_at + at as u64, 0, io);
        }
        Some(fetched(&data, start, at, next_offset))
    }

    /// A batch that the chunk cuts: it is read whole, unless the segment ends before it does.
    pub(super) fn read_partial(
        &mut self,
        id: ReadId,
        base: i64,
        at: u64,
        needed: usize,
        io: &mut IoQueue,
    ) -> Option<Outcome> {
        if at + needed as u64 <= self.segments[&base].size {
            return self.read_segment(id, base, at, needed, io);
        }
        Some(self.cut_short(id, at))
    }

    fn no_batch(&self, id: ReadId) -> Outcome {
        let read = &self.reads[&id];
        let reason = "the index leads to no batch".to_owned();
        let error = ReadError::Corrupt { offset: read.base, position: read.at, reason };
        match read.purpose {
            Purpose::Fetch { .. } => Outcome::Fetched(Err(error)),
            Purpose::Time(_) => Outcome::Found(Err(error)),
        }
    }

    /// The file ends where a batch should go on.
    fn cut_short(&self, id: ReadId, position: u64) -> Outcome {
        let read = &self.reads[&id];
        let reason = "the segment ends within a batch".to_owned();
        let error = ReadError::Corrupt { offset: read.base, position, reason };
        match read.purpose {
            Purpose::Fetch { .. } => Outcome::Fetched(Err(error)),
            Purpose::Time(_) => Outcome::Found(Err(error)),
        }
    }
}

/// Whether a position that an index gave holds the kind of batch that the index says: one that begins in the segment
/// and not after what is looked for.
fn leads_to_batch(data: &[u8], read: &PendingRead) -> bool {
    let Ok(header) = BatchHeader::parse(data) else { return false };
    match read.purpose {
        Purpose::Fetch { from, .. } => (read.base..=from).contains(&header.base_offset),
        Purpose::Time(_) => header.base_offset >= read.base,
    }
}

fn empty_fetch(from: i64) -> Outcome {
    Outcome::Fetched(Ok(FetchData { next_offset: from, ..FetchData::default() }))
}

fn fetched(data: &Bytes, start: Option<usize>, end: usize, next_offset: i64) -> Outcome {
    let Some(start) = start else { return empty_fetch(next_offset) };
    let batches = vec![data.slice(start..end)];
    Outcome::Fetched(Ok(FetchData { batches, bytes: end - start, next_offset }))
}
