//! The high watermark does not go back at a leader within its epoch, nor at a member of the quorum in its life.

use super::{Event, Glimpse, Invariant, Kind};

pub struct HighWatermarkMonotonic;

impl Invariant for HighWatermarkMonotonic {
    fn name(&self) -> &'static str {
        "high-watermark-monotonic"
    }

    fn source(&self) -> &'static str {
        "Kafka's UnifiedLog.maybeIncrementHighWatermark; KIP-207 (what readers saw stays readable); KIP-595"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Partition, Kind::Quorum]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        match event {
            Event::Partition { node, before: Some(before), now } => {
                let same_leadership = before.is_leader()
                    && now.is_leader()
                    && (before.life, before.leader_epoch) == (now.life, now.leader_epoch);
                if !same_leadership || now.high_watermark >= before.high_watermark {
                    return Ok(());
                }
                Err(format!(
                    "{}: the high watermark went from {} to {} at its leader n{node} in leader epoch {}",
                    glimpse.name(now.id),
                    before.high_watermark,
                    now.high_watermark,
                    now.leader_epoch
                ))
            }
            Event::Quorum { node, before: Some(before), now } if before.life == now.life => {
                if now.high_watermark >= before.high_watermark {
                    return Ok(());
                }
                Err(format!(
                    "the quorum's high watermark went from {} to {} at n{node}",
                    before.high_watermark, now.high_watermark
                ))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;
    use crate::invariant::state::PartitionState;

    #[test]
    fn it_goes_back_with_a_new_epoch_only() {
        let mut stage = Stage::of(HighWatermarkMonotonic);
        assert_eq!(stage.leads(1, 1, 9), Ok(()));
        let at = |offset| move |partition: &mut PartitionState| partition.high_watermark = offset;
        assert_eq!(stage.partition(1, at(8)), Ok(()));
        let next = |partition: &mut PartitionState| {
            (partition.high_watermark, partition.leader_epoch) = (6, 2);
        };
        assert_eq!(stage.partition(1, next), Ok(()));
        let told = stage.partition(1, at(5)).unwrap_err();
        assert!(told.contains("from 6 to 5 at its leader n1"), "{told}");
    }

    #[test]
    fn a_member_of_the_quorum_forgets_it_only_with_its_life() {
        let mut stage = Stage::of(HighWatermarkMonotonic);
        assert_eq!(stage.quorum(1, |quorum| quorum.high_watermark = 7), Ok(()));
        stage.restart(1);
        assert_eq!(stage.quorum(1, |quorum| quorum.high_watermark = -1), Ok(()));
        assert_eq!(stage.quorum(1, |quorum| quorum.high_watermark = 3), Ok(()));
        assert!(stage.quorum(1, |quorum| quorum.high_watermark = 2).is_err());
    }
}
