//! The metadata quorum has at most one leader in an epoch, and all members that name one name the same.

use super::{Event, Glimpse, Invariant, Kind};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct QuorumOneLeader {
    leaders: BTreeMap<i32, i32>,
}

impl Invariant for QuorumOneLeader {
    fn name(&self) -> &'static str {
        "quorum-one-leader-per-epoch"
    }

    fn source(&self) -> &'static str {
        "Ongaro, Raft dissertation, 3.4: Election Safety; KIP-595; Kafka's RaftEventSimulationTest.SingleLeader"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Quorum]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Quorum { node, now, .. } = event else { return Ok(()) };
        let own = now.is_leader.then_some(i32::from(*node));
        let Some(named) = own.or(now.leader) else { return Ok(()) };
        // A voter that forgot its vote may have elected two; that is the fault's doing.
        if glimpse.losses.is_forgotten(now.epoch) {
            return Ok(());
        }
        let leader = *self.leaders.entry(now.epoch).or_insert(named);
        if leader == named {
            return Ok(());
        }
        Err(format!(
            "the quorum has two leaders in epoch {}: n{leader} and, by n{node}, n{named}",
            now.epoch
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;
    use crate::invariant::state::{Loss, QuorumState};

    fn lead(stage: &mut Stage, node: u16, epoch: i32) -> Told {
        stage.quorum(node, |quorum| {
            (quorum.epoch, quorum.is_leader) = (epoch, true);
            quorum.leader = Some(node.into());
        })
    }

    #[test]
    fn two_leaders_need_two_epochs() {
        let mut stage = Stage::of(QuorumOneLeader::default());
        assert_eq!(lead(&mut stage, 1, 4), Ok(()));
        let follow = |quorum: &mut QuorumState| (quorum.epoch, quorum.leader) = (4, Some(1));
        assert_eq!(stage.quorum(3, follow), Ok(()));
        assert_eq!(lead(&mut stage, 2, 5), Ok(()));
        assert!(lead(&mut stage, 3, 5).is_err());
    }

    #[test]
    fn a_wiped_voter_excuses_its_epochs_only() {
        let mut stage = Stage::of(QuorumOneLeader::default());
        assert_eq!(lead(&mut stage, 1, 4), Ok(()));
        stage.restart(1);
        assert_eq!(stage.invariants.lost(0, 1, Loss::Destroyed), Ok(()));
        assert_eq!(lead(&mut stage, 2, 4), Ok(()));
        assert_eq!(lead(&mut stage, 2, 5), Ok(()));
        assert!(lead(&mut stage, 3, 5).is_err());
    }
}
