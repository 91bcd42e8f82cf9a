//! A partition has at most one leader in a leader epoch, over the whole history.

use super::state::LogId;
use super::{Event, Glimpse, Invariant, Kind};
use rustc_hash::FxHashMap;

#[derive(Default)]
pub struct OneLeader {
    leaders: FxHashMap<(LogId, i32), u16>,
}

impl Invariant for OneLeader {
    fn name(&self) -> &'static str {
        "one-leader-per-epoch"
    }

    fn source(&self) -> &'static str {
        "KIP-101 (leader epochs); Kafka's Partition.makeLeader: the controller gives each leader an epoch of its own"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Partition]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Partition { node, now, .. } = event else { return Ok(()) };
        if !now.is_leader() || glimpse.losses.metadata {
            return Ok(());
        }
        let leader = *self.leaders.entry((now.id, now.leader_epoch)).or_insert(*node);
        if leader == *node {
            return Ok(());
        }
        Err(format!(
            "n{leader} and n{node} both led {} in leader epoch {}",
            glimpse.name(now.id),
            now.leader_epoch
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;

    #[test]
    fn another_leader_needs_another_epoch() {
        let mut stage = Stage::of(OneLeader::default());
        assert_eq!(stage.leads(1, 1, 0), Ok(()));
        assert_eq!(stage.leads(2, 2, 0), Ok(()));
        stage.restart(1);
        assert_eq!(stage.leads(1, 3, 0), Ok(()));
        let told = stage.leads(2, 3, 0).unwrap_err();
        assert_eq!(told, "n1 and n2 both led orders-0 in leader epoch 3");
    }
}
