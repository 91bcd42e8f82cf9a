//! A fenced broker is neither elected nor let into an ISR. It may still acknowledge what Kafka lets a zombie acknowledge:
//! what all of its ISR has.

use super::{Event, Glimpse, Invariant, Kind};
use node::image::NO_LEADER;

pub struct FencedOut;

impl Invariant for FencedOut {
    fn name(&self) -> &'static str {
        "fenced-out"
    }

    fn source(&self) -> &'static str {
        "KIP-631 (fencing), KIP-841 (fenced replicas stay out of the ISR), KIP-903"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Metadata]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Metadata { batch } = event else { return Ok(()) };
        batch.changes.iter().try_for_each(|change| {
            let (name, after) = (glimpse.name(change.id), &change.after);
            let (old_leader, old_isr) = match &change.before {
                Some(before) => (before.leader, before.isr.as_slice()),
                None => (NO_LEADER, &[][..]),
            };
            // Several brokers may be fenced in one batch, and lead for some records of it; what counts is its end. And a
            // broker may be unfenced after the records that let it in.
            let image = &glimpse.replay.image;
            let is_fenced = |id: i32| change.fenced.contains(&id) && !image.is_unfenced(id);
            let elected = after.leader != NO_LEADER && after.leader != old_leader;
            if elected && is_fenced(after.leader) {
                return Err(format!("{name}: broker {} was elected while fenced", after.leader));
            }
            let let_in = |id: &&i32| !old_isr.contains(id) && is_fenced(**id);
            match after.isr.iter().find(let_in) {
                None => Ok(()),
                Some(id) => Err(format!(
                    "{name}: broker {id} was let into the ISR {:?} while fenced",
                    after.isr
                )),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::replay::{Change, MetadataBatch};
    use crate::invariant::stage::*;

    #[test]
    fn the_fenced_stay_out() {
        let mut stage = Stage::of(FencedOut);
        (1..=2).for_each(|id| stage.broker(id, false));
        stage.broker(3, true);
        assert_eq!(stage.change(None, |after| after.isr = vec![1, 2]), Ok(()));
        let image = partition_image();
        assert_eq!(stage.change(Some(image.clone()), |after| after.leader = 2), Ok(()));
        let told = stage.change(Some(image.clone()), |after| after.leader = 3).unwrap_err();
        assert_eq!(told, "orders-0: broker 3 was elected while fenced");
        let mut shrunk = image;
        shrunk.isr = vec![1, 2];
        assert!(stage.change(Some(shrunk), |after| after.isr = vec![1, 2, 3]).is_err());
    }

    #[test]
    fn who_is_fenced_later_in_the_batch_was_not_when_it_was_elected() {
        let mut stage = Stage::of(FencedOut);
        stage.broker(2, true);
        let (before, mut after) = (partition_image(), partition_image());
        after.leader = 2;
        for (fenced, fine) in [(vec![], true), (vec![2], false)] {
            let (before, after) = (Some(before.clone()), after.clone());
            let change = Change { id: LOG, topic: "orders".to_owned(), before, after, fenced };
            let batch = MetadataBatch { changes: vec![change], ..MetadataBatch::default() };
            assert_eq!(stage.tell(&Event::Metadata { batch: &batch }).is_ok(), fine);
        }
    }
}
