//! Eligible leader replicas are replicas, and not in the ISR.

use super::{Event, Glimpse, Invariant, Kind};

pub struct ElrDisjoint;

impl Invariant for ElrDisjoint {
    fn name(&self) -> &'static str {
        "elr-disjoint"
    }

    fn source(&self) -> &'static str {
        "KIP-966: ELR and ISR are disjoint"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Metadata]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Metadata { batch } = event else { return Ok(()) };
        batch.changes.iter().try_for_each(|change| {
            let (name, after) = (glimpse.name(change.id), &change.after);
            let is_wrong = |id: &&i32| after.isr.contains(id) || !after.replicas.contains(id);
            match after.elr.iter().find(is_wrong) {
                None => Ok(()),
                Some(id) => Err(format!(
                    "{name}: broker {id} is in the ELR {:?}; the ISR is {:?}, the replicas are {:?}",
                    after.elr, after.isr, after.replicas
                )),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;
    use node::image::PartitionImage;

    #[test]
    fn nobody_is_in_both() {
        let mut stage = Stage::of(ElrDisjoint);
        let change = |isr: &[i32], elr: &[i32]| {
            let (isr, elr) = (isr.to_vec(), elr.to_vec());
            move |after: &mut PartitionImage| (after.isr, after.elr) = (isr, elr)
        };
        assert_eq!(stage.change(None, change(&[1], &[2, 3])), Ok(()));
        assert!(stage.change(None, change(&[1, 2], &[2, 3])).is_err());
        assert!(stage.change(None, change(&[1], &[4])).is_err());
    }
}
