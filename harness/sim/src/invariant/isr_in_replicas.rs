//! The ISR is a subset of the replicas, each once, and not empty while there is a leader.

use super::{Event, Glimpse, Invariant, Kind};

pub struct IsrInReplicas;

impl Invariant for IsrInReplicas {
    fn name(&self) -> &'static str {
        "isr-in-replicas"
    }

    fn source(&self) -> &'static str {
        "KIP-497, KIP-966; Kafka's PartitionRegistration"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Metadata]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Metadata { batch } = event else { return Ok(()) };
        batch.changes.iter().try_for_each(|change| {
            let (name, after) = (glimpse.name(change.id), &change.after);
            let stranger = after.isr.iter().find(|id| !after.replicas.contains(id));
            let mut isr = after.isr.clone();
            isr.sort_unstable();
            isr.dedup();
            if stranger.is_some() || isr.len() < after.isr.len() {
                let (isr, replicas) = (&after.isr, &after.replicas);
                return Err(format!("{name}: the ISR is {isr:?}, the replicas are {replicas:?}"));
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;

    #[test]
    fn only_replicas_are_in_sync() {
        let mut stage = Stage::of(IsrInReplicas);
        assert_eq!(stage.change(None, |after| after.isr = vec![2]), Ok(()));
        assert!(stage.change(None, |after| after.isr = vec![2, 4]).is_err());
        assert!(stage.change(None, |after| after.isr = vec![2, 2]).is_err());
    }
}
