//! Epochs only grow: a partition's leader and partition epochs, in the metadata and at each replica, and the quorum's at
//! each member, restarts included.

use super::{Event, Glimpse, Invariant, Kind};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct EpochsMonotonic {
    /// The newest quorum epoch that each node may have told others of.
    told: BTreeMap<u16, i32>,
}

impl Invariant for EpochsMonotonic {
    fn name(&self) -> &'static str {
        "epochs-monotonic"
    }

    fn source(&self) -> &'static str {
        "KIP-101, KIP-497 (partition epochs), KIP-595; Kafka's RaftEventSimulationTest.MonotonicEpoch"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Partition, Kind::Quorum, Kind::Metadata]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        match event {
            Event::Partition { node, before: Some(before), now } if before.life == now.life => {
                let name = glimpse.name(now.id);
                check(name, *node, "leader epoch", before.leader_epoch, now.leader_epoch)?;
                let same_leadership = before.is_leader()
                    && now.is_leader()
                    && before.leader_epoch == now.leader_epoch;
                if same_leadership {
                    let (before, now) = (before.partition_epoch, now.partition_epoch);
                    check(name, *node, "partition epoch", before, now)?;
                }
                Ok(())
            }
            Event::Quorum { node, before, now } => {
                if let Some(before) = before.filter(|before| before.life == now.life) {
                    check("the quorum", *node, "epoch", before.epoch, now.epoch)?;
                }
                let told = self.told.entry(*node).or_insert(-1);
                if now.epoch < *told && *told > glimpse.losses.forgotten_by(*node) {
                    return check("the quorum", *node, "epoch that it had told", *told, now.epoch);
                }
                if now.told {
                    *told = now.epoch;
                }
                Ok(())
            }
            Event::Metadata { batch } => batch.changes.iter().try_for_each(|change| {
                let Some(before) = &change.before else { return Ok(()) };
                let (name, after) = (glimpse.name(change.id), &change.after);
                let (old, new) = (before.leader_epoch, after.leader_epoch);
                if new < old || after.partition_epoch <= before.partition_epoch {
                    return Err(format!(
                        "{name}: the metadata goes from leader epoch {old}, partition epoch {} to {new}, {}",
                        before.partition_epoch, after.partition_epoch
                    ));
                }
                Ok(())
            }),
            _ => Ok(()),
        }
    }
}

fn check(whose: &str, node: u16, what: &str, before: i32, now: i32) -> Result<(), String> {
    if now >= before {
        return Ok(());
    }
    Err(format!("{whose}: the {what} went from {before} to {now} at n{node}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;
    use crate::invariant::state::QuorumState;

    #[test]
    fn a_replicas_epochs_do_not_go_back_in_a_life() {
        let mut stage = Stage::of(EpochsMonotonic::default());
        assert_eq!(stage.leads(1, 5, 0), Ok(()));
        stage.restart(1);
        assert_eq!(stage.follows(1, 0).and(stage.leads(1, 5, 0)), Ok(()));
        assert_eq!(stage.partition(1, |partition| partition.partition_epoch = 3), Ok(()));
        assert!(stage.partition(1, |partition| partition.partition_epoch = 2).is_err());
        assert!(stage.partition(1, |partition| partition.leader_epoch = 4).is_err());
    }

    #[test]
    fn a_members_epoch_does_not_go_back_even_over_a_restart() {
        let mut stage = Stage::of(EpochsMonotonic::default());
        assert_eq!(stage.quorum(1, |quorum| quorum.epoch = 5), Ok(()));
        let untold = |quorum: &mut QuorumState| (quorum.epoch, quorum.told) = (6, false);
        assert_eq!(stage.quorum(1, untold), Ok(()));
        stage.restart(1);
        let again = |quorum: &mut QuorumState| (quorum.epoch, quorum.told) = (5, true);
        assert_eq!(stage.quorum(1, again), Ok(()), "nobody knew of epoch 6");
        stage.restart(1);
        assert!(stage.quorum(1, |quorum| quorum.epoch = 4).is_err());
    }

    #[test]
    fn each_change_of_a_partition_has_its_own_epoch() {
        let mut stage = Stage::of(EpochsMonotonic::default());
        let image = partition_image();
        assert_eq!(stage.change(Some(image.clone()), |after| after.leader_epoch += 1), Ok(()));
        assert!(stage.change(Some(image.clone()), |after| after.partition_epoch -= 1).is_err());
        assert!(stage.change(Some(image), |after| after.leader_epoch -= 1).is_err());
    }
}
