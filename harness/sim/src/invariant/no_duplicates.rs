//! No committed log has two batches of one producer id and epoch with the same first sequence number, but where a replica
//! began anew behind retention: it can't know who wrote what is gone.

use super::state::LogId;
use super::{Event, Glimpse, Invariant, Kind};
use rustc_hash::FxHashMap;

#[derive(Default)]
pub struct NoDuplicates {
    /// By log, producer id and epoch, and sequence: where it stands.
    first: FxHashMap<(LogId, i64, i16, i32), i64>,
}

impl Invariant for NoDuplicates {
    fn name(&self) -> &'static str {
        "no-duplicates"
    }

    fn source(&self) -> &'static str {
        "KIP-98 (idempotent producer); Kafka's ProducerStateManager"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Committed]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Committed { id, entry } = event else { return Ok(()) };
        if entry.producer_id < 0 || entry.base_sequence < 0 || entry.is_control {
            return Ok(());
        }
        let key = (*id, entry.producer_id, entry.producer_epoch, entry.base_sequence);
        let Some(first) = self.first.insert(key, entry.base_offset) else { return Ok(()) };
        let Some(log) = glimpse.committed.log(*id) else { return Ok(()) };
        if first < log.writers_forgotten_below() {
            return Ok(());
        }
        // Faults may have destroyed the first one.
        let entries = log.entries();
        let at = entries.partition_point(|known| known.base_offset < first);
        let stands = entries.get(at).is_some_and(|known| {
            let same = (known.producer_id, known.producer_epoch, known.base_sequence);
            known.base_offset == first && (*id, same.0, same.1, same.2) == key
        });
        if first == entry.base_offset || !stands {
            return Ok(());
        }
        Err(format!(
            "{}: the batch of producer {}, epoch {}, sequence {} stands at offset {first} and again at {}",
            glimpse.name(*id),
            entry.producer_id,
            entry.producer_epoch,
            entry.base_sequence,
            entry.base_offset
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::ledger::Entry;
    use crate::invariant::stage::*;

    #[test]
    fn a_retry_is_not_appended_again() {
        let batch = |base_offset, base_sequence| Entry {
            producer_id: 5,
            producer_epoch: 0,
            base_sequence,
            ..entry(base_offset, base_offset + 2, 1)
        };
        for (third, fine) in [(4, true), (0, false)] {
            let mut stage = Stage::of(NoDuplicates::default());
            stage.wrote(1, LOG, &[batch(0, 0), batch(2, 2), batch(4, third)]);
            assert_eq!(stage.leads(1, 1, 6), Ok(()));
            let told = stage.partition(1, |partition| partition.high_watermark = 6);
            assert_eq!(told.is_ok(), fine, "{told:?}");
        }
    }

    #[test]
    fn who_began_anew_does_not_know_the_writers_of_what_is_gone() {
        let batch = |base_offset, base_sequence| Entry {
            producer_id: 5,
            producer_epoch: 0,
            base_sequence,
            ..entry(base_offset, base_offset + 2, 1)
        };
        for (anew_at, fine) in [(2, true), (0, false)] {
            let mut stage = Stage::of(NoDuplicates::default());
            stage.wrote(1, LOG, &[batch(0, 0), batch(2, 2)]);
            assert_eq!(stage.leads(1, 1, 4), Ok(()));
            assert_eq!(stage.partition(1, |partition| partition.high_watermark = 4), Ok(()));
            assert_eq!(stage.follows(2, 0), Ok(()));
            let anew = stage.partition(2, |partition| {
                (partition.log_start_offset, partition.log_end_offset) = (anew_at, anew_at);
            });
            assert_eq!(anew, Ok(()));
            stage.wrote(1, LOG, &[batch(4, 0)]);
            assert_eq!(stage.leads(1, 1, 6), Ok(()));
            let told = stage.partition(1, |partition| partition.high_watermark = 6);
            assert_eq!(told.is_ok(), fine, "{told:?}");
        }
    }
}
