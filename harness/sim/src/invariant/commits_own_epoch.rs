//! The quorum's leader commits records of earlier epochs only together with one of its own: what a majority has of an
//! earlier epoch may still be replaced by a leader that never saw it.

use super::state::METADATA;
use super::{Event, Glimpse, Invariant, Kind};

pub struct CommitsOwnEpoch;

impl Invariant for CommitsOwnEpoch {
    fn name(&self) -> &'static str {
        "commits-own-epoch"
    }

    fn source(&self) -> &'static str {
        "Ongaro and Ousterhout, In Search of an Understandable Consensus Algorithm, 5.4.2 and figure 8; KIP-595; Kafka's LeaderState.maybeUpdateHighWatermark"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Quorum]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Quorum { node, before: Some(before), now } = event else { return Ok(()) };
        // What it knew to be committed when it was elected is committed, whatever its epoch.
        let led = before.is_leader && (before.life, before.epoch) == (now.life, now.epoch);
        if !led || !now.is_leader || now.high_watermark <= before.high_watermark {
            return Ok(());
        }
        let copy = glimpse.ledger.copy(*node, METADATA);
        match copy.and_then(|copy| copy.entries.get(copy.index_of(now.high_watermark - 1))) {
            Some(entry) if entry.leader_epoch < now.epoch => Err(format!(
                "n{node}, which leads in epoch {}, committed metadata below {}, whose last record is of epoch {}",
                now.epoch, now.high_watermark, entry.leader_epoch
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;

    fn committed(stage: &mut Stage, high_watermark: i64) -> Told {
        stage.quorum(1, |quorum| quorum.high_watermark = high_watermark)
    }

    #[test]
    fn an_earlier_epoch_is_committed_by_a_record_of_this_one() {
        let mut stage = Stage::of(CommitsOwnEpoch);
        stage.wrote(1, METADATA, &[entry(0, 4, 1), entry(4, 7, 2), entry(7, 8, 3)]);
        let elected = stage.quorum(1, |quorum| {
            (quorum.epoch, quorum.is_leader, quorum.high_watermark) = (3, true, 4);
        });
        assert_eq!(elected, Ok(()), "known to be committed before");
        assert!(committed(&mut stage, 7).unwrap_err().contains("of epoch 2"));
        assert_eq!(committed(&mut stage, 8), Ok(()));
    }
}
