//! A leader is in its ISR. An unclean election makes the ISR of the elected one alone, so there it holds, too.

use super::{Event, Glimpse, Invariant, Kind};
use node::image::NO_LEADER;

pub struct LeaderInIsr;

impl Invariant for LeaderInIsr {
    fn name(&self) -> &'static str {
        "leader-in-isr"
    }

    fn source(&self) -> &'static str {
        "KIP-497; Kafka's PartitionChangeBuilder"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Metadata]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Metadata { batch } = event else { return Ok(()) };
        batch.changes.iter().try_for_each(|change| {
            let (name, after) = (glimpse.name(change.id), &change.after);
            if after.leader == NO_LEADER || after.isr.contains(&after.leader) {
                return Ok(());
            }
            let (leader, isr) = (after.leader, &after.isr);
            Err(format!("{name}: broker {leader} leads and is not in the ISR {isr:?}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;

    #[test]
    fn a_leader_is_in_sync() {
        let mut stage = Stage::of(LeaderInIsr);
        assert_eq!(stage.change(None, |_| {}), Ok(()));
        assert_eq!(stage.change(None, |after| after.leader = NO_LEADER), Ok(()));
        assert!(stage.change(None, |after| after.isr = vec![2, 3]).is_err());
    }
}
