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
    use crate::invariant::stage::*;
    use crate::invariant::state::QuorumState;

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
}
