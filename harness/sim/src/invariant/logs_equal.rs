//! Replicas' logs are equal below the high watermark: the same batches at the same offsets, by epoch and CRC. Excused are
//! records of which faults destroyed every copy that counted.

use super::state::METADATA;
use super::{Event, Glimpse, Invariant, Kind};

pub struct LogsEqual;

impl Invariant for LogsEqual {
    fn name(&self) -> &'static str {
        "log-matching"
    }

    fn source(&self) -> &'static str {
        "Ongaro, Raft dissertation, 3.5: Log Matching; KIP-101, KIP-279"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Differs]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Differs { node, id, difference } = event else { return Ok(()) };
        if *id == METADATA || difference.excused {
            return Ok(());
        }
        let committed = &difference.committed;
        let found = match &difference.found {
            Some(found) => format!(
                "the batch {}..{} of epoch {} (CRC {:08x})",
                found.base_offset, found.next_offset, found.leader_epoch, found.crc
            ),
            None => "nothing".to_owned(),
        };
        Err(format!(
            "{}: n{node} holds {found} for committed where the batch {}..{} of epoch {} (CRC {:08x}) was committed",
            glimpse.name(*id),
            committed.base_offset,
            committed.next_offset,
            committed.leader_epoch,
            committed.crc
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;
    use crate::invariant::state::Loss;

    fn committed(stage: &mut Stage, node: u16, offset: i64) -> Told {
        stage.partition(node, |partition| {
            (partition.log_end_offset, partition.high_watermark) = (offset, offset);
        })
    }

    #[test]
    fn what_is_committed_is_the_same_everywhere() {
        let mut stage = Stage::of(LogsEqual);
        let (first, second) = (entry(0, 4, 1), entry(4, 6, 1));
        stage.wrote(1, LOG, &[first.clone(), second.clone()]);
        stage.wrote(2, LOG, &[first.clone(), second, entry(6, 9, 1)]);
        stage.wrote(3, LOG, &[first, entry(4, 6, 2)]);
        assert_eq!(stage.leads(1, 1, 6).and(committed(&mut stage, 1, 6)), Ok(()));
        assert_eq!(committed(&mut stage, 2, 6), Ok(()));
        assert_eq!(committed(&mut stage, 3, 4), Ok(()), "a tail that is not committed may differ");
        let told = committed(&mut stage, 3, 6).unwrap_err();
        assert!(told.contains("n3 holds the batch 4..6 of epoch 2"), "{told}");
    }

    #[test]
    fn what_every_copy_of_was_destroyed_may_come_otherwise() {
        let mut stage = Stage::of(LogsEqual);
        stage.wrote(1, LOG, &[entry(0, 4, 1)]);
        assert_eq!(stage.leads(1, 1, 4).and(committed(&mut stage, 1, 4)), Ok(()));
        for node in 1..=3 {
            assert_eq!(stage.follows(node, 4), Ok(()));
            assert_eq!(stage.invariants.lost(0, node, Loss::Destroyed), Ok(()));
        }
        stage.wrote(2, LOG, &[entry(0, 3, 2)]);
        assert_eq!(committed(&mut stage, 2, 3), Ok(()));
    }
}
