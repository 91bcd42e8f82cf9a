//! A leader's high watermark is never above what each member of the ISR, committed or proposed, had appended; and no
//! replica's is above its own log end.

use super::{Event, Glimpse, Invariant, Kind};

pub struct HighWatermarkHeld;

impl Invariant for HighWatermarkHeld {
    fn name(&self) -> &'static str {
        "high-watermark-held"
    }

    fn source(&self) -> &'static str {
        "Kafka's Partition.maybeIncrementLeaderHW; KIP-497 (the maximal ISR)"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Partition]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Partition { node, before, now } = event else { return Ok(()) };
        let (name, offset) = (glimpse.name(now.id), now.high_watermark);
        if offset > now.log_end_offset {
            return Err(format!(
                "{name}: n{node}'s high watermark {offset} is above its log end {}",
                now.log_end_offset
            ));
        }
        let moved = before.is_none_or(|before| before.high_watermark < offset);
        // Followers of who leads by metadata that begins anew cut off what they had.
        if !now.is_leader() || !moved || glimpse.losses.metadata {
            return Ok(());
        }
        for member in now.maximal_isr().without(*node).iter() {
            let had = glimpse.has_had(member, now.id);
            if had < offset {
                return Err(format!(
                    "{name}: the high watermark is {offset} at its leader n{node}, but n{member} of the ISR {} has only what is below {had}",
                    now.maximal_isr()
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;
    use crate::invariant::state::{Loss, PartitionState};

    fn high_watermark(stage: &mut Stage, offset: i64) -> Told {
        stage.partition(1, |partition| partition.high_watermark = offset)
    }

    #[test]
    fn every_member_has_what_is_committed() {
        let mut stage = Stage::of(HighWatermarkHeld);
        let ready = stage.leads(1, 1, 9).and(stage.follows(2, 7)).and(stage.follows(3, 5));
        assert_eq!(ready, Ok(()));
        assert_eq!(high_watermark(&mut stage, 5), Ok(()));
        let told = high_watermark(&mut stage, 6).unwrap_err();
        assert!(told.contains("n3 of the ISR [1, 2, 3] has only what is below 5"), "{told}");
    }

    #[test]
    fn a_proposed_member_counts_too() {
        let mut stage = Stage::of(HighWatermarkHeld);
        assert_eq!(stage.leads(1, 1, 9).and(stage.follows(2, 7)), Ok(()));
        let shrunk = |partition: &mut PartitionState| partition.committed_isr = members(&[1, 2]);
        assert_eq!(stage.partition(1, shrunk), Ok(()));
        assert_eq!(high_watermark(&mut stage, 6), Ok(()));
        let grown = |partition: &mut PartitionState| partition.proposed_isr = members(&[1, 2, 3]);
        assert_eq!(stage.partition(1, grown), Ok(()));
        assert!(high_watermark(&mut stage, 7).is_err());
    }

    #[test]
    fn what_a_member_lost_to_a_fault_it_had() {
        let mut stage = Stage::of(HighWatermarkHeld);
        let ready = stage.leads(1, 1, 9).and(stage.follows(2, 7)).and(stage.follows(3, 7));
        assert_eq!(ready, Ok(()));
        stage.invariants.ended(3);
        assert_eq!(stage.invariants.lost(0, 3, Loss::Unsynced), Ok(()));
        stage.invariants.started(3);
        assert_eq!(stage.follows(3, 2), Ok(()));
        assert_eq!(high_watermark(&mut stage, 7), Ok(()));
        assert!(high_watermark(&mut stage, 8).is_err());
    }

    #[test]
    fn nobody_commits_what_he_does_not_have() {
        let mut stage = Stage::of(HighWatermarkHeld);
        assert_eq!(stage.follows(2, 3), Ok(()));
        assert!(stage.partition(2, |partition| partition.high_watermark = 4).is_err());
    }

    #[test]
    fn who_leads_by_metadata_that_was_lost_promises_nothing_of_followers() {
        let mut stage = Stage::of(HighWatermarkHeld);
        assert_eq!(stage.leads(1, 1, 9).and(stage.follows(2, 7)), Ok(()));
        stage.invariants.glimpse.losses.metadata = true;
        assert_eq!(high_watermark(&mut stage, 9), Ok(()));
        assert!(high_watermark(&mut stage, 10).is_err(), "above its own end");
    }
}
