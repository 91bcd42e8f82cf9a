//! An acks=all acknowledgement means: on every member of the committed ISR and of any proposed one, and the committed
//! ISR is at least `min.insync.replicas`.

use super::state::Members;
use super::{Event, Glimpse, Invariant, Kind};

pub struct AcknowledgedInSync;

impl Invariant for AcknowledgedInSync {
    fn name(&self) -> &'static str {
        "acknowledged-in-sync"
    }

    fn source(&self) -> &'static str {
        "Kafka documentation, acks and min.insync.replicas; Kafka's Partition.checkEnoughReplicasReachOffset; ARCHITECTURE.md"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Acknowledged]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Acknowledged { node, acknowledged, end_offset } = event else { return Ok(()) };
        let id = acknowledged.id;
        let state = glimpse.nodes.get(node).and_then(|state| state.partition(id));
        let (true, Some(state)) = (acknowledged.acks == -1, state) else { return Ok(()) };
        let name = glimpse.name(id);
        let base_offset = acknowledged.base_offset;
        let what = format!("{name}: n{node} acknowledged the batch at offset {base_offset}");
        if !state.is_leader() {
            return Err(format!("{what}, and does not lead"));
        }
        if base_offset < state.log_start_offset {
            // Sent again, and known for written; retention has taken it since, which takes only what is committed.
            return Ok(());
        }
        let Some(end_offset) = *end_offset else {
            return Err(format!("{what}, which is not in its log"));
        };
        let (isr, min) = (state.committed_isr, state.effective_min_isr());
        if isr.count() < min {
            return Err(format!("{what} with the ISR {isr}, and min.insync.replicas is {min}"));
        }
        let image = glimpse.replay.image.partition(id.topic_id, id.partition);
        let image = image.filter(|image| image.leader_epoch == state.leader_epoch);
        let by_metadata = image.map_or(Members(0), |image| Members::from(image.isr.as_slice()));
        let lacking = |member: &u16| glimpse.has_had(*member, id) < end_offset;
        match state.maximal_isr().or(by_metadata).with(*node).iter().find(lacking) {
            None => Ok(()),
            Some(member) => Err(format!(
                "{what} (to {end_offset}); n{member} has only what is below {}. The ISR is {isr}, proposed {}, by the metadata {by_metadata}; the leader's high watermark is {}",
                glimpse.has_had(member, id),
                state.proposed_isr,
                state.high_watermark
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;
    use crate::invariant::state::PartitionState;
    use node::inspect::Acknowledged;

    fn acknowledge(stage: &mut Stage, acks: i16, end_offset: i64) -> Told {
        let acknowledged = Acknowledged { id: LOG, base_offset: end_offset - 1, acks };
        let end_offset = Some(end_offset);
        stage.tell(&Event::Acknowledged { node: 1, acknowledged, end_offset })
    }

    #[test]
    fn what_retention_took_need_not_be_there() {
        let mut stage = Stage::of(AcknowledgedInSync);
        assert_eq!(stage.leads(1, 1, 9).and(stage.follows(2, 9)).and(stage.follows(3, 9)), Ok(()));
        let again = |stage: &mut Stage| {
            let acknowledged = Acknowledged { id: LOG, base_offset: 4, acks: -1 };
            stage.tell(&Event::Acknowledged { node: 1, acknowledged, end_offset: None })
        };
        assert!(again(&mut stage).is_err(), "it was never there");
        assert_eq!(stage.partition(1, |partition| partition.log_start_offset = 5), Ok(()));
        assert_eq!(again(&mut stage), Ok(()));
    }

    #[test]
    fn every_member_has_it() {
        let mut stage = Stage::of(AcknowledgedInSync);
        let ready = stage.leads(1, 1, 9).and(stage.follows(2, 7)).and(stage.follows(3, 5));
        assert_eq!(ready, Ok(()));
        assert_eq!(acknowledge(&mut stage, -1, 5), Ok(()));
        assert_eq!(acknowledge(&mut stage, 1, 6), Ok(()), "acks=1 asks the leader only");
        let told = acknowledge(&mut stage, -1, 6).unwrap_err();
        assert!(told.contains("n3 has only what is below 5"), "{told}");
    }

    #[test]
    fn proposed_members_and_those_of_the_metadata_count() {
        let mut stage = Stage::of(AcknowledgedInSync);
        assert_eq!(stage.leads(1, 1, 9).and(stage.follows(2, 7)), Ok(()));
        let shrunk = |partition: &mut PartitionState| partition.committed_isr = members(&[1, 2]);
        assert_eq!(stage.partition(1, shrunk), Ok(()));
        assert_eq!(acknowledge(&mut stage, -1, 7), Ok(()));
        let grown = |partition: &mut PartitionState| partition.proposed_isr = members(&[1, 2, 3]);
        assert_eq!(stage.partition(1, grown), Ok(()));
        assert!(acknowledge(&mut stage, -1, 7).is_err());
    }

    #[test]
    fn a_small_isr_acknowledges_nothing() {
        let mut stage = Stage::of(AcknowledgedInSync);
        assert_eq!(stage.leads(1, 1, 9), Ok(()));
        let alone = |partition: &mut PartitionState| partition.committed_isr = members(&[1]);
        assert_eq!(stage.partition(1, alone), Ok(()));
        let told = acknowledge(&mut stage, -1, 5).unwrap_err();
        assert!(told.contains("min.insync.replicas is 2"), "{told}");
    }
}
