//! Committed metadata records are neither lost nor changed: every member's log has them below its high watermark.

use super::state::METADATA;
use super::{Event, Glimpse, Invariant, Kind};

pub struct MetadataKept;

impl Invariant for MetadataKept {
    fn name(&self) -> &'static str {
        "metadata-kept"
    }

    fn source(&self) -> &'static str {
        "Ongaro, Raft dissertation, 3.6.3: State Machine Safety; KIP-595, KIP-630"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Differs, Kind::Gone]
    }

    fn on_event(&mut self, event: &Event<'_>, _glimpse: &Glimpse) -> Result<(), String> {
        match event {
            Event::Differs { node, id: METADATA, difference } if !difference.excused => {
                Err(format!(
                    "n{node} has other metadata than was committed at offset {}: {:?}, not {:?}",
                    difference.offset,
                    difference.found.as_ref().map(|found| (found.leader_epoch, found.crc)),
                    (difference.committed.leader_epoch, difference.committed.crc)
                ))
            }
            Event::Gone { node, id: METADATA, range } => Err(format!(
                "n{node} cut off the last copy of committed metadata below offset {}",
                range.end_offset
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::ledger::Entry;
    use crate::invariant::stage::*;
    use crate::invariant::state::{Loss, QuorumState};

    #[test]
    fn committed_records_stay_what_they_are() {
        let mut stage = Stage::of(MetadataKept);
        let mut first = entry(0, 4, 1);
        first.is_control = true;
        let mut other = first.clone();
        other.leader_epoch = 2;
        stage.wrote(1, METADATA, &[first.clone()]);
        stage.wrote(2, METADATA, &[first]);
        stage.wrote(3, METADATA, &[other]);
        let commit = |quorum: &mut QuorumState| {
            (quorum.durable_offset, quorum.high_watermark) = (4, 4);
        };
        assert_eq!(stage.quorum(1, commit).and(stage.quorum(2, commit)), Ok(()));
        let told = stage.quorum(3, commit).unwrap_err();
        assert!(told.starts_with("n3 has other metadata"), "{told}");
    }

    #[test]
    fn a_log_that_is_as_long_is_no_copy() {
        for (theirs, is_lost) in [(3, false), (2, true)] {
            let mut stage = Stage::of(MetadataKept);
            let log = |epoch| {
                [(0, 4, 1), (4, 8, epoch)]
                    .map(|(from, to, epoch)| Entry { is_control: true, ..entry(from, to, epoch) })
            };
            stage.wrote(1, METADATA, &log(theirs));
            for node in [2, 3] {
                stage.wrote(node, METADATA, &log(3));
            }
            for node in [1, 2, 3] {
                assert_eq!(stage.quorum(node, |quorum| quorum.durable_offset = 8), Ok(()));
            }
            assert_eq!(stage.quorum(2, |quorum| quorum.high_watermark = 8), Ok(()));
            stage.invariants.ended(2);
            assert_eq!(stage.invariants.lost(0, 2, Loss::Destroyed), Ok(()));
            assert_eq!(stage.invariants.has_lost_metadata(), is_lost);
        }
    }
}
