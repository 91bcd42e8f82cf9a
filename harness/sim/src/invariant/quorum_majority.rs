//! The quorum's leader commits only what a majority of the voters has on disk.

use super::state::{METADATA, NodeState};
use super::{Event, Glimpse, Invariant, Kind};

pub struct QuorumMajority;

impl Invariant for QuorumMajority {
    fn name(&self) -> &'static str {
        "quorum-majority"
    }

    fn source(&self) -> &'static str {
        "Ongaro, Raft dissertation, 3.6.2; KIP-595; Kafka's RaftEventSimulationTest.MajorityReachedHighWatermark"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Quorum]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Quorum { node, before, now } = event else { return Ok(()) };
        let moved = before.is_none_or(|before| before.high_watermark < now.high_watermark);
        if !now.is_leader || !moved || now.high_watermark <= 0 {
            return Ok(());
        }
        let has = |node: u16, state: &NodeState| {
            let quorum = state.quorum.filter(|quorum| quorum.is_voter);
            let durable = quorum.map_or(-1, |quorum| quorum.durable_offset);
            durable.max(glimpse.losses.had(node, METADATA)) >= now.high_watermark
        };
        let count = glimpse.nodes.iter().filter(|(node, state)| has(**node, state)).count();
        if count > now.voters / 2 {
            return Ok(());
        }
        Err(format!(
            "n{node} committed metadata below {}, which {count} of {} voters have on disk",
            now.high_watermark, now.voters
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;
    use crate::invariant::state::QuorumState;

    fn synced(stage: &mut Stage, node: u16, offset: i64) -> Told {
        stage.quorum(node, |quorum| quorum.durable_offset = offset)
    }

    #[test]
    fn a_minority_commits_nothing() {
        let mut stage = Stage::of(QuorumMajority);
        let ready = synced(&mut stage, 1, 9).and(synced(&mut stage, 2, 6));
        assert_eq!(ready.and(synced(&mut stage, 3, 2)), Ok(()));
        let commit = |offset| {
            move |quorum: &mut QuorumState| {
                (quorum.is_leader, quorum.high_watermark) = (true, offset);
            }
        };
        assert_eq!(stage.quorum(1, commit(6)), Ok(()));
        let told = stage.quorum(1, commit(7)).unwrap_err();
        assert_eq!(told, "n1 committed metadata below 7, which 1 of 3 voters have on disk");
    }
}
