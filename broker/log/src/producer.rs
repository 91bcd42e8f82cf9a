//! What each producer last wrote: the idempotence rules of Kafka's `ProducerStateManager`.
//!
//! Promises: a retried batch is recognised among the last five of its producer; a gap or a step back in sequence
//! numbers, and a batch of a fenced epoch, are refused when they come from a client and accepted when they come from
//! the leader. The same batches in the same order give the same state. Not promised: that a producer is known for
//! ever (it expires), nor that more than its last batch survives a restart; as in Kafka.

pub mod snapshot;

use std::collections::{BTreeMap, VecDeque};

/// How many batches of each producer are remembered.
pub const BATCHES_RETAINED: usize = 5;
/// Kafka's `NO_PRODUCER_ID`.
pub const NO_PRODUCER_ID: i64 = -1;
/// Kafka's `NO_PRODUCER_EPOCH`.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// Kafka's `NO_SEQUENCE`.
pub const NO_SEQUENCE: i32 = -1;

/// What one batch says about its producer, and where it stands or would stand in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub last_sequence: i32,
    pub base_offset: i64,
    pub last_offset: i64,
    /// The batch's largest timestamp in milliseconds.
    pub timestamp: i64,
    pub is_transactional: bool,
}

/// One remembered batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMetadata {
    pub last_sequence: i32,
    pub last_offset: i64,
    /// Last offset minus base offset.
    pub offset_delta: i32,
    pub timestamp: i64,
}

impl BatchMetadata {
    pub fn base_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }

    fn base_sequence(&self) -> i32 {
        decrement_sequence(self.last_sequence, self.offset_delta)
    }
}

/// What is known of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    pub producer_epoch: i16,
    /// Oldest first, at most [`BATCHES_RETAINED`]; empty after a new epoch was only announced by a marker.
    pub batches: VecDeque<BatchMetadata>,
    /// -1: no transaction marker was seen yet.
    pub coordinator_epoch: i32,
    pub last_timestamp: i64,
    /// Where its open transaction began.
    pub current_txn_first_offset: Option<i64>,
    idle: Idle,
}

/// Since when nothing new was seen of a producer. No part of its state: two replicas see it at different times.
#[derive(Clone, Copy, Debug, Default)]
struct Idle {
    /// Its last offset then.
    of: Option<i64>,
    since_ms: Option<i64>,
}

impl PartialEq for Idle {
    fn eq(&self, _: &Idle) -> bool {
        true
    }
}

impl Eq for Idle {}

impl Default for ProducerEntry {
    fn default() -> ProducerEntry {
        ProducerEntry {
            producer_epoch: NO_PRODUCER_EPOCH,
            batches: VecDeque::new(),
            coordinator_epoch: -1,
            last_timestamp: -1,
            current_txn_first_offset: None,
            idle: Idle::default(),
        }
    }
}

impl ProducerEntry {
    /// [`NO_SEQUENCE`] when no batch of the current epoch is remembered.
    pub fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn duplicate_of(&self, batch: &ProducerBatch) -> Option<BatchMetadata> {
        if batch.producer_epoch != self.producer_epoch {
            return None;
        }
        let same = |kept: &&BatchMetadata| {
            kept.base_sequence() == batch.base_sequence && kept.last_sequence == batch.last_sequence
        };
        self.batches.iter().find(same).copied()
    }
}

/// Why a client's batch is refused. The names are Kafka's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    #[error(
        "out of order sequence number: producer {producer_id} sent {sequence} after {last_sequence}"
    )]
    OutOfOrderSequence { producer_id: i64, sequence: i32, last_sequence: i32 },
    #[error("epoch {epoch} of producer {producer_id} is older than {current}")]
    InvalidProducerEpoch { producer_id: i64, epoch: i16, current: i16 },
}

/// What the check of a client's batch found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    New,
    /// It stands in the log already, here.
    Duplicate(BatchMetadata),
}

/// All producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerState {
    producers: BTreeMap<i64, ProducerEntry>,
    /// Open transactions by their first offset.
    open_transactions: BTreeMap<i64, i64>,
    /// Ended transactions whose marker may still lie above the high watermark: first offset to marker's offset.
    unreplicated_transactions: BTreeMap<i64, i64>,
    /// Everything below this offset is accounted for.
    end_offset: i64,
}

impl ProducerState {
    pub fn new(end_offset: i64) -> ProducerState {
        ProducerState { end_offset, ..ProducerState::default() }
    }

    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    pub fn get(&self, producer_id: i64) -> Option<&ProducerEntry> {
        self.producers.get(&producer_id)
    }

    /// All producers, by id: what DescribeProducers shows.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &ProducerEntry)> {
        self.producers.iter().map(|(&id, entry)| (id, entry))
    }

    pub fn len(&self) -> usize {
        self.producers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Judges a client's batch before it is appended.
    pub fn check(&self, batch: &ProducerBatch) -> Result<Checked, ProducerError> {
        let Some(entry) = self.producers.get(&batch.producer_id) else { return Ok(Checked::New) };
        if let Some(duplicate) = entry.duplicate_of(batch) {
            return Ok(Checked::Duplicate(duplicate));
        }
        self.check_epoch(batch.producer_id, batch.producer_epoch)?;
        let last_sequence = entry.last_sequence();
        let out_of_order = ProducerError::OutOfOrderSequence {
            producer_id: batch.producer_id,
            sequence: batch.base_sequence,
            last_sequence,
        };
        if batch.producer_epoch != entry.producer_epoch {
            // A new epoch starts over, unless nothing is known of the old one.
            if batch.base_sequence != 0 && entry.producer_epoch != NO_PRODUCER_EPOCH {
                return Err(out_of_order);
            }
        } else if !in_sequence(last_sequence, batch.base_sequence) {
            return Err(out_of_order);
        }
        Ok(Checked::New)
    }

    /// Refuses the epoch of a producer that has been fenced by a newer one.
    pub fn check_epoch(&self, producer_id: i64, epoch: i16) -> Result<(), ProducerError> {
        match self.producers.get(&producer_id) {
            Some(entry) if epoch < entry.producer_epoch => {
                let current = entry.producer_epoch;
                Err(ProducerError::InvalidProducerEpoch { producer_id, epoch, current })
            }
            _ => Ok(()),
        }
    }

    /// Takes note of a batch that is appended. Answers what was known of its producer before, for [`Self::undo`].
    pub fn append(&mut self, batch: &ProducerBatch) -> ProducerUndo {
        let undo = self.undo_point(batch.producer_id);
        let entry = self.producers.entry(batch.producer_id).or_default();
        if entry.producer_epoch != batch.producer_epoch {
            entry.batches.clear();
            entry.producer_epoch = batch.producer_epoch;
        }
        if entry.batches.len() == BATCHES_RETAINED {
            entry.batches.pop_front();
        }
        entry.batches.push_back(BatchMetadata {
            last_sequence: batch.last_sequence,
            last_offset: batch.last_offset,
            offset_delta: (batch.last_offset - batch.base_offset) as i32,
            timestamp: batch.timestamp,
        });
        entry.last_timestamp = batch.timestamp;
        if batch.is_transactional && entry.current_txn_first_offset.is_none() {
            entry.current_txn_first_offset = Some(batch.base_offset);
            self.open_transactions.insert(batch.base_offset, batch.producer_id);
        }
        undo
    }

    /// Takes note of a marker that ends a transaction.
    pub fn append_end_marker(
        &mut self,
        producer_id: i64,
        producer_epoch: i16,
        coordinator_epoch: i32,
        offset: i64,
        timestamp: i64,
    ) -> ProducerUndo {
        let undo = self.undo_point(producer_id);
        let entry = self.producers.entry(producer_id).or_default();
        if entry.producer_epoch != producer_epoch {
            entry.batches.clear();
            entry.producer_epoch = producer_epoch;
        }
        entry.coordinator_epoch = coordinator_epoch;
        entry.last_timestamp = timestamp;
        if let Some(first_offset) = entry.current_txn_first_offset.take() {
            self.open_transactions.remove(&first_offset);
            self.unreplicated_transactions.insert(first_offset, offset);
        }
        undo
    }

    /// Everything below `end_offset` is accounted for, producers or not.
    pub fn advance_to(&mut self, end_offset: i64) {
        assert!(end_offset >= self.end_offset, "the producer state only moves on");
        self.end_offset = end_offset;
    }

    fn undo_point(&self, producer_id: i64) -> ProducerUndo {
        ProducerUndo { producer_id, before: self.producers.get(&producer_id).cloned() }
    }

    /// Takes back one append, newest first, so that everything from `end_offset` on is forgotten.
    pub fn undo(&mut self, undo: ProducerUndo) {
        let now = self.producers.get(&undo.producer_id);
        let open_now = now.and_then(|entry| entry.current_txn_first_offset);
        let open_before = undo.before.as_ref().and_then(|entry| entry.current_txn_first_offset);
        match (open_before, open_now) {
            (None, Some(first_offset)) => {
                self.open_transactions.remove(&first_offset);
            }
            (Some(first_offset), None) => {
                self.unreplicated_transactions.remove(&first_offset);
                self.open_transactions.insert(first_offset, undo.producer_id);
            }
            _ => {}
        }
        match undo.before {
            Some(entry) => self.producers.insert(undo.producer_id, entry),
            None => self.producers.remove(&undo.producer_id),
        };
    }

    /// After the undos: the state ends here now.
    pub fn set_end_offset(&mut self, end_offset: i64) {
        self.end_offset = end_offset;
    }

    /// The first offset that belongs to a transaction which is open, or whose end is not below `high_watermark`.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        let open = self.open_transactions.first_key_value().map(|(&first, _)| first);
        let ended = self.unreplicated_transactions.first_key_value().map(|(&first, _)| first);
        match (open, ended) {
            (Some(open), Some(ended)) => Some(open.min(ended)),
            (open, ended) => open.or(ended),
        }
    }

    /// Ended transactions whose marker is below the high watermark no longer hold anybody back.
    pub fn on_high_watermark(&mut self, high_watermark: i64) {
        self.unreplicated_transactions.retain(|_, &mut marker| marker >= high_watermark);
    }

    /// Forgets producers that were seen to write nothing for `expiration_ms` and have no open transaction.
    ///
    /// The timestamps of records are the client's: a producer that sends old ones is not idle. (Kafka looks at them alone,
    /// `ProducerStateManager.isProducerExpired`, and forgets such a producer within ten minutes.)
    pub fn expire(&mut self, now_wall_ms: i64, expiration_ms: i64) {
        self.producers.retain(|_, entry| {
            let last_offset = entry.batches.back().map(|batch| batch.last_offset);
            if entry.current_txn_first_offset.is_some() || entry.idle.of != last_offset {
                entry.idle = Idle { of: last_offset, since_ms: Some(now_wall_ms) };
            }
            let since_ms = *entry.idle.since_ms.get_or_insert(now_wall_ms);
            now_wall_ms.saturating_sub(since_ms.max(entry.last_timestamp)) < expiration_ms
        });
    }

    fn insert(&mut self, producer_id: i64, entry: ProducerEntry) {
        if let Some(first_offset) = entry.current_txn_first_offset {
            self.open_transactions.insert(first_offset, producer_id);
        }
        self.producers.insert(producer_id, entry);
    }
}

/// What was known of a producer before a batch.
#[derive(Clone, Debug)]
pub struct ProducerUndo {
    producer_id: i64,
    before: Option<ProducerEntry>,
}

fn in_sequence(last_sequence: i32, next_sequence: i32) -> bool {
    i64::from(next_sequence) == i64::from(last_sequence) + 1
        || (next_sequence == 0 && last_sequence == i32::MAX)
}

/// Sequence numbers wrap from `i32::MAX` to 0.
pub fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(increment);
    if sum > i64::from(i32::MAX) { (sum - i64::from(i32::MAX) - 1) as i32 } else { sum as i32 }
}

fn decrement_sequence(sequence: i32, decrement: i32) -> i32 {
    if sequence < decrement {
        (i64::from(i32::MAX) - i64::from(decrement - sequence) + 1) as i32
    } else {
        sequence - decrement
    }
}

#[cfg(test)]
mod tests;
