//! One partition's batches in the order of their sends, from the first record to the final answer, and the sequence
//! numbers of an idempotent producer.
//!
//! Promises: batches of an idempotent producer are sent in order, and sent again with the sequence number that they had; one
//! that was answered with an error goes before everything behind it (as in the Java client, one at a time then). No more than
//! five are open with sequence numbers: so many a broker remembers.
//!
//! When a gap can't be filled any more (a batch was given up, or the broker lost what it knew of us), the producer's epoch
//! is raised and what is open is numbered anew from 0, as the Java client does since 2.5, but with two rules more, so that a
//! duplicate is always a broker's doing: nothing is numbered anew while an answer is outstanding, and a batch of which
//! some attempt may have been appended is given up instead.

use bytes::Bytes;
use std::collections::VecDeque;
use wire::batch::{BatchBuilder, Compression, Compressor, Producer, increment_sequence};

/// Batches with sequence numbers that may be open at once: what a broker remembers of a producer.
const NUMBERED_MAX: usize = 5;

/// A producer id with its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub id: i64,
    pub epoch: i16,
}

pub(super) struct Batch {
    /// Counts the batches of the partition.
    pub number: u64,
    builder: BatchBuilder,
    bytes: Option<Bytes>,
    /// The producer's own numbers of the records: what outcomes are told for.
    pub records: Vec<u64>,
    pub created_ns: u64,
    pub in_flight: bool,
    /// Attempts that were sent.
    pub attempts: u32,
    pub retry_at_ns: u64,
    /// An attempt that has ended may have been appended.
    pub doubtful: bool,
    pub sequence: Option<i32>,
    /// Of the last attempt that ended.
    pub error: String,
}

impl Batch {
    fn last_sequence(&self) -> Option<i32> {
        Some(increment_sequence(self.sequence?, self.records.len() as i32 - 1))
    }

    /// As it is sent, also again.
    pub fn bytes(&mut self, compressor: &mut Compressor) -> Bytes {
        self.bytes.get_or_insert_with(|| self.builder.build_with(compressor, 0, -1)).clone()
    }

    /// Whether it can be told that no attempt was appended.
    pub fn may_be_appended(&self) -> bool {
        self.doubtful || self.in_flight
    }
}

/// What decides what is sent when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub idempotent: bool,
    /// One request in flight: then nothing overtakes, not even on the way to another leader.
    pub one_at_a_time: bool,
    pub batch_records_max: usize,
    pub linger_ns: u64,
    pub compression: Compression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    At(u64),
    /// This batch, by its place.
    Now(usize),
}

#[derive(Default)]
pub(super) struct Queue {
    pub batches: VecDeque<Batch>,
    next_number: u64,
    pub in_flight: usize,
    identity: Option<Identity>,
    next_sequence: i32,
    /// The last sequence number of the highest acknowledged batch; `None` at the start of an identity.
    last_acked: Option<i32>,
    /// What would follow the last batch that was given up, as long as nobody knows whether it was appended.
    unresolved: Option<i32>,
    /// The rest is to be numbered anew once nothing is in flight.
    renumber: bool,
}

impl Queue {
    pub fn append(
        &mut self,
        now_ns: u64,
        wall_ms: i64,
        sequence: u64,
        value: &[u8],
        rules: &Rules,
    ) {
        let is_open = |batch: &Batch| {
            !batch.in_flight && batch.attempts == 0 && batch.records.len() < rules.batch_records_max
        };
        if !self.batches.back().is_some_and(is_open) {
            self.next_number += 1;
            self.batches.push_back(Batch {
                number: self.next_number,
                builder: BatchBuilder::new(rules.compression),
                bytes: None,
                records: Vec::with_capacity(rules.batch_records_max.min(64)),
                created_ns: now_ns,
                in_flight: false,
                attempts: 0,
                retry_at_ns: 0,
                doubtful: false,
                sequence: None,
                error: String::new(),
            });
        }
        let batch = self.batches.back_mut().expect("it was just made sure of");
        assert!(batch.sequence.is_none() && batch.bytes.is_none(), "an open batch was never sent");
        batch.builder.append(wall_ms, None, Some(value), &[]);
        batch.records.push(sequence);
    }

    /// What may be sent, and when.
    pub fn next(&self, now_ns: u64, rules: &Rules, current: Option<Identity>) -> Next {
        if rules.one_at_a_time && self.in_flight > 0 {
            return Next::Nothing;
        }
        let Some(index) = self.batches.iter().position(|batch| !batch.in_flight) else {
            return Next::Nothing;
        };
        let batch = &self.batches[index];
        if rules.idempotent && !self.may_go(index, current) {
            return Next::Nothing;
        }
        let at_ns = if batch.attempts > 0 {
            batch.retry_at_ns
        } else if batch.records.len() >= rules.batch_records_max {
            0
        } else {
            batch.created_ns + rules.linger_ns
        };
        if at_ns <= now_ns { Next::Now(index) } else { Next::At(at_ns) }
    }

    fn may_go(&self, index: usize, current: Option<Identity>) -> bool {
        if self.renumber || current.is_none() {
            return false;
        }
        if self.batches[index].sequence.is_some() {
            // Sent again: only what is the next in line.
            return index == 0;
        }
        let is_of_this_epoch = index == 0 || self.identity == current;
        self.unresolved.is_none() && index < NUMBERED_MAX && is_of_this_epoch
    }

    /// The batch leaves now. Gives it its sequence number if it has none.
    pub fn sent(&mut self, index: usize, current: Option<Identity>) -> &mut Batch {
        self.in_flight += 1;
        if let Some(identity) = current
            && self.batches[index].sequence.is_none()
        {
            if self.identity != current {
                assert_eq!(index, 0, "an epoch begins when nothing of the last one is open");
                self.identity = current;
                self.next_sequence = 0;
                self.last_acked = None;
            }
            let base_sequence = self.next_sequence;
            let batch = &mut self.batches[index];
            batch.sequence = Some(base_sequence);
            batch.bytes = None;
            let producer = Producer { id: identity.id, epoch: identity.epoch, base_sequence };
            let builder =
                std::mem::replace(&mut batch.builder, BatchBuilder::new(Compression::None));
            batch.builder = builder.producer(producer);
            self.next_sequence = increment_sequence(base_sequence, batch.records.len() as i32);
        }
        let batch = &mut self.batches[index];
        batch.in_flight = true;
        batch.attempts += 1;
        batch
    }

    pub fn find(&self, number: u64) -> Option<usize> {
        self.batches.iter().position(|batch| batch.number == number)
    }

    /// Acknowledged: it is taken out.
    pub fn acknowledged(&mut self, index: usize) -> Batch {
        let batch = self.take(index);
        if let Some(last) = batch.last_sequence() {
            self.last_acked = self.last_acked.max(Some(last));
        }
        batch
    }

    /// It was answered with an error, or not at all, and will be sent again.
    pub fn back(&mut self, index: usize) -> &mut Batch {
        self.in_flight -= 1;
        let batch = &mut self.batches[index];
        assert!(batch.in_flight, "what comes back was away");
        batch.in_flight = false;
        batch
    }

    /// It is given up: what is open behind it may now have a gap before it.
    pub fn give_up(&mut self, index: usize) -> Batch {
        let batch = self.take(index);
        if let Some(last) = batch.last_sequence() {
            self.unresolved = self.unresolved.max(Some(increment_sequence(last, 1)));
        }
        batch
    }

    fn take(&mut self, index: usize) -> Batch {
        let batch = self.batches.remove(index).expect("a batch at this place");
        self.in_flight -= usize::from(batch.in_flight);
        batch
    }

    /// The broker says that a batch's sequence number does not follow. Behind one that is being sent again that is so; if it
    /// was the next in line, it will never follow.
    pub fn out_of_order(&mut self, index: usize) {
        let Some(sequence) = self.batches[index].sequence else { return };
        let next_in_line = self.last_acked.map_or(0, |last| increment_sequence(last, 1));
        self.renumber |= match self.unresolved {
            None => sequence == next_in_line,
            Some(unresolved) => sequence == unresolved,
        };
    }

    /// Whether everything is to be numbered anew now, under a raised epoch.
    pub fn wants_new_epoch(&mut self) -> bool {
        if self.in_flight > 0 {
            return false;
        }
        if self.unresolved.is_some() && self.batches.iter().all(|batch| batch.sequence.is_none()) {
            let follows = self.last_acked.map_or(0, |last| increment_sequence(last, 1));
            // What came behind the batch that was given up was acknowledged: so it had been appended.
            self.renumber |= follows != self.next_sequence;
            self.unresolved = None;
        }
        self.renumber
    }

    /// Numbers what is open anew. What may have been appended under the old numbers is taken out, to be given up.
    pub fn start_epoch(&mut self) -> Vec<Batch> {
        assert_eq!(self.in_flight, 0, "an answer might still come");
        self.renumber = false;
        self.unresolved = None;
        self.identity = None;
        let (given_up, kept): (Vec<Batch>, Vec<Batch>) =
            self.batches.drain(..).partition(|batch| batch.doubtful);
        self.batches = kept.into();
        for batch in &mut self.batches {
            batch.sequence = None;
        }
        given_up
    }
}
