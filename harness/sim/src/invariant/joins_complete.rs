//! Who is let into the ISR has what is committed and what was written before the leader's epoch: it may lead next.
//!
//! A leader's high watermark lags when it begins to lead, so that having come as far proves nothing by itself. What a
//! member had before faults took it from its disk was proof when it was given; that it is known to have begun another
//! life since, and has less, is not. Not here: who was lost between the leader's look and the controller's.

use super::state::{LogId, PartitionState};
use super::{Event, Glimpse, Invariant, Kind};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct JoinsComplete {
    /// Where the last leader's epoch starts: the leader, its epoch, the end of its log then.
    starts: BTreeMap<LogId, (u16, i32, i64)>,
}

impl JoinsComplete {
    fn proposed(
        &self,
        node: u16,
        before: Option<&PartitionState>,
        now: &PartitionState,
        glimpse: &Glimpse,
    ) -> Result<(), String> {
        let started = self
            .starts
            .get(&now.id)
            .filter(|(leader, epoch, _)| (*leader, *epoch) == (node, now.leader_epoch));
        let Some((_, epoch, start)) = started else { return Ok(()) };
        let known = before.filter(|before| before.leader_epoch == now.leader_epoch);
        let known = known.map_or(now.committed_isr, |before| before.maximal_isr());
        let joining = now.proposed_isr.iter().filter(|id| !known.contains(*id) && *id != node);
        for id in joining {
            let had = glimpse.has_had(id, now.id);
            if had < *start {
                return Err(format!(
                    "{}: n{node} lets n{id} into the ISR, which has only what is below {had}; its epoch {epoch} starts at {start}",
                    glimpse.name(now.id)
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for JoinsComplete {
    fn name(&self) -> &'static str {
        "joins-complete"
    }

    fn source(&self) -> &'static str {
        "KAFKA-7128 and Kafka's Partition.isFollowerInSync (not before the start of the leader's epoch); KIP-903 (not on the strength of an earlier life)"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Leads, Kind::Partition, Kind::Metadata]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        match event {
            Event::Leads { node, now, .. } => {
                let start = (*node, now.leader_epoch, now.log_end_offset);
                self.starts.insert(now.id, start);
                Ok(())
            }
            // By metadata that begins anew, an epoch may begin a second time, elsewhere.
            Event::Partition { node, before, now }
                if now.is_leader() && !glimpse.losses.metadata =>
            {
                self.proposed(*node, *before, now, glimpse)
            }
            Event::Metadata { batch } => batch.changes.iter().try_for_each(|change| {
                let Some(before) = &change.before else { return Ok(()) };
                let (id, after) = (change.id, &change.after);
                let leader = u16::try_from(after.leader).ok().filter(|_| before.leader == after.leader);
                let leader = leader.and_then(|leader| glimpse.nodes.get(&leader)?.partition(id));
                let Some(leader) = leader.filter(|leader| {
                    leader.is_leader() && leader.leader_epoch == after.leader_epoch
                }) else {
                    return Ok(());
                };
                for joined in after.isr.iter().filter(|id| !before.isr.contains(id)) {
                    let Ok(node) = u16::try_from(*joined) else { continue };
                    let Some(state) = glimpse.nodes.get(&node) else { continue };
                    // The controller knows of the life that it lives: what an earlier one had is no proof.
                    let registered = glimpse.replay.image.broker(*joined).map(|broker| broker.epoch);
                    if !state.up || registered.is_none() || registered != state.broker_epoch {
                        continue;
                    }
                    let has = state.partition(id).map_or(0, |partition| partition.log_end_offset);
                    if has < leader.high_watermark {
                        return Err(format!(
                            "{}: broker {joined} was let into the ISR {:?} with what is below {has}; the leader's high watermark is {}",
                            glimpse.name(id),
                            after.isr,
                            leader.high_watermark
                        ));
                    }
                }
                Ok(())
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;

    fn proposes(stage: &mut Stage, isr: &[i32]) -> Told {
        stage.partition(1, |partition| partition.proposed_isr = members(isr))
    }

    fn stage(follower_end_offset: i64) -> Stage {
        let mut stage = Stage::of(JoinsComplete::default());
        assert_eq!(stage.follows(3, follower_end_offset), Ok(()));
        let led = stage.partition(1, |partition| {
            partition.role = node::inspect::ReplicaRole::Leader;
            partition.committed_isr = members(&[1, 2]);
            (partition.log_end_offset, partition.high_watermark) = (9, 5);
        });
        assert_eq!(led, Ok(()));
        stage
    }

    #[test]
    fn having_come_to_a_high_watermark_that_lags_is_not_enough() {
        let told = proposes(&mut stage(6), &[1, 2, 3]).unwrap_err();
        assert!(told.contains("below 6; its epoch 1 starts at 9"), "{told}");
        assert_eq!(proposes(&mut stage(9), &[1, 2, 3]), Ok(()));
        let mut forgotten = stage(6);
        forgotten.invariants.glimpse.losses.metadata = true;
        assert_eq!(proposes(&mut forgotten, &[1, 2, 3]), Ok(()), "the epoch began a second time");
    }

    #[test]
    fn what_an_earlier_life_had_is_no_proof() {
        let join = |registered: i64, living: Option<i64>| {
            let mut stage = stage(4);
            stage.broker(3, false);
            let image = &mut stage.invariants.glimpse.replay.image;
            image.brokers.get_mut(&3).expect("just put there").epoch = registered;
            stage.invariants.glimpse.nodes.entry(3).or_default().broker_epoch = living;
            let mut before = partition_image();
            before.isr = vec![1, 2];
            stage.change(Some(before), |after| after.isr = vec![1, 2, 3])
        };
        assert!(join(8, Some(8)).unwrap_err().contains("with what is below 4"));
        assert_eq!(join(7, Some(8)), Ok(()), "nobody knows yet that it lives again");
        assert_eq!(join(7, None), Ok(()), "nor that it died");
    }
}
