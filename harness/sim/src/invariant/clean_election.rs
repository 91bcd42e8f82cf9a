//! Only a member of the ISR or an eligible leader replica is elected, but by an unclean election, which says so: its
//! leader has to recover.

use super::{Event, Glimpse, Invariant, Kind};
use node::image::{LeaderRecoveryState, NO_LEADER};

pub struct CleanElection;

impl Invariant for CleanElection {
    fn name(&self) -> &'static str {
        "clean-election"
    }

    fn source(&self) -> &'static str {
        "KIP-966; KIP-841; Kafka's PartitionChangeBuilder.electLeader"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Metadata]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Metadata { batch } = event else { return Ok(()) };
        batch.changes.iter().try_for_each(|change| {
            let (name, after) = (glimpse.name(change.id), &change.after);
            let Some(before) = &change.before else { return Ok(()) };
            let leader = after.leader;
            let is_eligible = [&before.isr, &before.elr].iter().any(|ids| ids.contains(&leader));
            let is_unclean = after.leader_recovery_state == LeaderRecoveryState::Recovering;
            if leader == NO_LEADER || leader == before.leader || is_eligible || is_unclean {
                return Ok(());
            }
            Err(format!(
                "{name}: broker {leader} was elected; the ISR was {:?}, the ELR {:?}",
                before.isr, before.elr
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;
    use node::image::PartitionImage;

    #[test]
    fn only_the_eligible_are_elected() {
        let mut stage = Stage::of(CleanElection);
        let mut image = partition_image();
        (image.isr, image.elr) = (vec![1], vec![2]);
        let elect = |leader| {
            move |after: &mut PartitionImage| (after.leader, after.isr) = (leader, vec![leader])
        };
        assert_eq!(stage.change(Some(image.clone()), elect(2)), Ok(()));
        assert!(stage.change(Some(image.clone()), elect(3)).is_err());
        let uncleanly = |after: &mut PartitionImage| {
            elect(3)(after);
            after.leader_recovery_state = LeaderRecoveryState::Recovering;
        };
        assert_eq!(stage.change(Some(image), uncleanly), Ok(()));
    }
}
