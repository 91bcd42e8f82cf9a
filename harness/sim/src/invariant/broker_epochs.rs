//! A broker epoch is given once: each registration has one above all before it, and no broker goes back to an older one.
//!
//! A process that registers again (its answer was lost, or the controller fenced it meanwhile) keeps its epoch, as in Kafka's
//! `ClusterControlManager.registerBroker`.

use super::replay::Registered;
use super::{Event, Glimpse, Invariant, Kind};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct BrokerEpochs {
    newest: Option<i64>,
    /// The newest registration of each broker.
    registered: BTreeMap<i32, Registered>,
    own: BTreeMap<u16, i64>,
}

impl BrokerEpochs {
    fn register(&mut self, now: Registered) -> Result<(), String> {
        let before = self.registered.insert(now.broker, now);
        if before == Some(now) {
            return Ok(());
        }
        if self.newest.is_some_and(|newest| now.epoch <= newest) {
            return Err(format!(
                "broker {} registered with epoch {}, after epoch {:?} was given",
                now.broker, now.epoch, self.newest
            ));
        }
        self.newest = Some(now.epoch);
        Ok(())
    }
}

impl Invariant for BrokerEpochs {
    fn name(&self) -> &'static str {
        "broker-epochs"
    }

    fn source(&self) -> &'static str {
        "KIP-500, KIP-631 (the offset of the registration record); KIP-903"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Metadata, Kind::Broker]
    }

    fn on_event(&mut self, event: &Event<'_>, _glimpse: &Glimpse) -> Result<(), String> {
        match event {
            Event::Metadata { batch } => {
                batch.registered.iter().try_for_each(|registered| self.register(*registered))
            }
            Event::Broker { node, epoch } => {
                let before = self.own.insert(*node, *epoch).unwrap_or(i64::MIN);
                if *epoch < before {
                    return Err(format!("n{node}'s broker epoch went from {before} to {epoch}"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::replay::MetadataBatch;
    use crate::invariant::stage::*;
    use uuid::Uuid;

    fn register(stage: &mut Stage, broker: i32, life: u128, epoch: i64) -> Told {
        let incarnation = Uuid::from_u128(life);
        let registered = vec![Registered { broker, incarnation, epoch }];
        let batch = MetadataBatch { registered, ..MetadataBatch::default() };
        stage.tell(&Event::Metadata { batch: &batch })
    }

    #[test]
    fn an_epoch_is_given_once() {
        let mut stage = Stage::of(BrokerEpochs::default());
        assert_eq!(register(&mut stage, 1, 1, 5).and(register(&mut stage, 2, 2, 9)), Ok(()));
        assert!(register(&mut stage, 1, 3, 9).is_err());
    }

    #[test]
    fn a_life_that_registers_again_keeps_its_epoch() {
        let mut stage = Stage::of(BrokerEpochs::default());
        assert_eq!(register(&mut stage, 1, 1, 5).and(register(&mut stage, 2, 2, 9)), Ok(()));
        assert_eq!(register(&mut stage, 1, 1, 5), Ok(()));
        assert!(register(&mut stage, 1, 3, 5).is_err(), "another life needs another epoch");
    }

    #[test]
    fn a_broker_does_not_go_back() {
        let mut stage = Stage::of(BrokerEpochs::default());
        let told = |epoch| Event::Broker { node: 1, epoch };
        assert_eq!(stage.tell(&told(5)).and(stage.tell(&told(8))), Ok(()));
        assert!(stage.tell(&told(6)).is_err());
    }
}
