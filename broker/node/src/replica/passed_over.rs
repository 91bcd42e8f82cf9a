//! Batches that were refused for a passing reason, and what that means for those sent behind them.
//!
//! An idempotent producer has several requests in flight. Refused for a passing reason (not the leader yet, too small an ISR),
//! the first one will be sent again; yet those behind it are on their way, and if the reason passes in between, their
//! sequence numbers leave a gap. Kafka answers OUT_OF_ORDER_SEQUENCE_NUMBER then, upon which librdkafka takes another
//! producer epoch, numbers everything anew, and so repeats what was appended elsewhere and not acknowledged yet.
//!
//! Promises: behind a batch that was passed over, a gap gets the reason that the batch got, which is as true (nothing was
//! appended) and is answered by sending again in order. That holds for a producer's first batches, too: a log that knows
//! nothing of a producer takes any sequence number to begin with, as in Kafka, and would then refuse the one that was
//! passed over until its producer gives it up (KAFKA-14359). It never turns a refusal into an append, and a gap of which
//! nobody was told why is still out of order.

use std::collections::BTreeMap;

use wire::batch::BatchHeader;
use wire::error::ErrorCode;

use super::ReplicaManager;
use crate::context::TopicPartitionId;

/// A producer that has not come back with its batch after so long has given it up.
const REMEMBERED_MS: u64 = 30_000;
/// More than that are not kept: then gaps are out of order, as in Kafka.
const ENTRIES_MAX: usize = 10_000;

struct Entry {
    producer_epoch: i16,
    base_sequence: i32,
    reason: ErrorCode,
    at_ms: u64,
}

#[derive(Default)]
pub(crate) struct PassedOver {
    entries: BTreeMap<(TopicPartitionId, i64), Entry>,
}

impl PassedOver {
    /// Why a batch must not begin a log that knows nothing of its producer, if it must not: one before it was passed over.
    pub fn behind(
        &self,
        now_ms: u64,
        id: TopicPartitionId,
        batch: &BatchHeader,
    ) -> Option<ErrorCode> {
        let entry = self.entries.get(&(id, batch.producer_id))?;
        let is_behind = entry.counts(now_ms, batch) && batch.base_sequence > entry.base_sequence;
        is_behind.then_some(entry.reason)
    }

    /// What to answer, given what the append came to.
    pub fn judge(
        &mut self,
        now_ms: u64,
        id: TopicPartitionId,
        batch: &BatchHeader,
        error: Option<ErrorCode>,
    ) -> Option<ErrorCode> {
        if batch.producer_id < 0 || batch.base_sequence < 0 {
            return error;
        }
        let key = (id, batch.producer_id);
        let known = self.entries.get_mut(&key).filter(|entry| entry.counts(now_ms, batch));
        match (error, known) {
            (Some(ErrorCode::OutOfOrderSequenceNumber), Some(entry))
                if batch.base_sequence > entry.base_sequence =>
            {
                Some(entry.reason)
            }
            (Some(reason), Some(entry)) if is_passing(reason) => {
                if batch.base_sequence <= entry.base_sequence {
                    *entry = Entry::of(batch, reason, now_ms);
                }
                error
            }
            (Some(reason), None) if is_passing(reason) => {
                if self.entries.len() >= ENTRIES_MAX {
                    self.entries.clear();
                }
                self.entries.insert(key, Entry::of(batch, reason, now_ms));
                error
            }
            (None, Some(entry)) => {
                if batch.base_sequence >= entry.base_sequence {
                    self.entries.remove(&key);
                }
                None
            }
            _ => error,
        }
    }
}

impl ReplicaManager {
    /// Why a client's batch would leave a gap that the log cannot see, as it knows nothing of the producer.
    pub(super) fn is_behind(
        &mut self,
        now_ms: u64,
        id: TopicPartitionId,
        batch: &BatchHeader,
    ) -> Option<ErrorCode> {
        let reason = self.passed_over.behind(now_ms, id, batch)?;
        let (log, _) = self.partitions.get_mut(&id)?.leading()?;
        log.producer_state().get(batch.producer_id).is_none().then_some(reason)
    }
}

impl Entry {
    fn of(batch: &BatchHeader, reason: ErrorCode, at_ms: u64) -> Entry {
        let (producer_epoch, base_sequence) = (batch.producer_epoch, batch.base_sequence);
        Entry { producer_epoch, base_sequence, reason, at_ms }
    }

    /// Says something of this batch of the same producer.
    fn counts(&self, now_ms: u64, batch: &BatchHeader) -> bool {
        self.producer_epoch == batch.producer_epoch
            && now_ms.saturating_sub(self.at_ms) <= REMEMBERED_MS
    }
}

fn is_passing(error: ErrorCode) -> bool {
    matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::NotEnoughReplicas)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use wire::batch::{BatchBuilder, BatchHeader, BatchView, Compression};
    use wire::error::ErrorCode;

    use super::{PassedOver, REMEMBERED_MS};
    use crate::context::TopicPartitionId;

    const ID: TopicPartitionId = TopicPartitionId { topic_id: Uuid::from_u128(1), partition: 0 };
    const GAP: Option<ErrorCode> = Some(ErrorCode::OutOfOrderSequenceNumber);
    const PASSING: Option<ErrorCode> = Some(ErrorCode::NotEnoughReplicas);

    fn batch(producer_epoch: i16, base_sequence: i32) -> BatchHeader {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(1, None, Some(b"v"), &[]);
        let bytes = builder.build(0, 0);
        let mut header = *BatchView::new(&bytes).expect("a batch").header();
        header.producer_id = 7;
        header.producer_epoch = producer_epoch;
        header.base_sequence = base_sequence;
        header
    }

    #[test]
    fn a_gap_behind_a_batch_that_was_passed_over_has_its_reason() {
        let mut passed = PassedOver::default();
        assert_eq!(passed.judge(0, ID, &batch(0, 10), PASSING), PASSING);
        assert_eq!(passed.judge(1, ID, &batch(0, 20), GAP), PASSING);
        assert_eq!(passed.judge(1, ID, &batch(0, 30), GAP), PASSING);
        assert_eq!(passed.judge(2, ID, &batch(0, 10), None), None);
        assert_eq!(passed.judge(3, ID, &batch(0, 40), GAP), GAP, "that one nobody can explain");
    }

    #[test]
    fn a_gap_of_another_epoch_or_too_late_is_out_of_order() {
        let mut passed = PassedOver::default();
        assert_eq!(passed.judge(0, ID, &batch(0, 10), PASSING), PASSING);
        assert_eq!(passed.judge(1, ID, &batch(1, 20), GAP), GAP);
        assert_eq!(passed.judge(1, ID, &batch(0, 5), GAP), GAP, "before it, not behind it");
        assert_eq!(passed.judge(REMEMBERED_MS + 1, ID, &batch(0, 20), GAP), GAP);
    }

    #[test]
    fn what_is_behind_a_batch_that_was_passed_over_begins_no_log() {
        let mut passed = PassedOver::default();
        assert_eq!(passed.judge(0, ID, &batch(0, 10), PASSING), PASSING);
        assert_eq!(passed.behind(1, ID, &batch(0, 20)), PASSING);
        assert_eq!(passed.behind(1, ID, &batch(0, 10)), None, "the one that comes again");
        assert_eq!(passed.behind(1, ID, &batch(1, 20)), None);
        assert_eq!(passed.behind(REMEMBERED_MS + 1, ID, &batch(0, 20)), None, "given up");
        assert_eq!(passed.judge(2, ID, &batch(0, 10), None), None);
        assert_eq!(passed.behind(3, ID, &batch(0, 20)), None);
    }
}
