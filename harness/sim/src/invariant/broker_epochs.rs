//! A broker epoch is given once: each registration has one above all before it, and no broker goes back to an older one.

use super::{Event, Glimpse, Invariant, Kind};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct BrokerEpochs {
    newest: Option<i64>,
    own: BTreeMap<u16, i64>,
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
            Event::Metadata { batch } => batch.registered.iter().try_for_each(|(broker, epoch)| {
                if self.newest.is_some_and(|newest| *epoch <= newest) {
                    return Err(format!(
                        "broker {broker} registered with epoch {epoch}, after epoch {:?} was given",
                        self.newest
                    ));
                }
                self.newest = Some(*epoch);
                Ok(())
            }),
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

    fn register(stage: &mut Stage, broker: i32, epoch: i64) -> Told {
        let batch = MetadataBatch { registered: vec![(broker, epoch)], ..MetadataBatch::default() };
        stage.tell(&Event::Metadata { batch: &batch })
    }

    #[test]
    fn an_epoch_is_given_once() {
        let mut stage = Stage::of(BrokerEpochs::default());
        assert_eq!(register(&mut stage, 1, 5).and(register(&mut stage, 2, 9)), Ok(()));
        assert!(register(&mut stage, 1, 9).is_err());
    }

    #[test]
    fn a_broker_does_not_go_back() {
        let mut stage = Stage::of(BrokerEpochs::default());
        let told = |epoch| Event::Broker { node: 1, epoch };
        assert_eq!(stage.tell(&told(5)).and(stage.tell(&told(8))), Ok(()));
        assert!(stage.tell(&told(6)).is_err());
    }
}
