//! Whoever takes up leadership has everything that was committed before its epoch, as far as faults left a copy of it
//! with somebody who could be elected, and nobody was elected uncleanly.

use super::{Event, Glimpse, Invariant, Kind};

pub struct LeaderComplete;

impl Invariant for LeaderComplete {
    fn name(&self) -> &'static str {
        "leader-completeness"
    }

    fn source(&self) -> &'static str {
        "Ongaro, Raft dissertation, 3.6.3: Leader Completeness; KIP-966 (only what holds all that is committed is eligible)"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Leads]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Leads { node, now, lacks: Some(lacks) } = event else { return Ok(()) };
        let log = glimpse.committed.log(now.id);
        Err(format!(
            "{}: n{node} leads in epoch {} with a log that ends at {}, without what was committed at offset {} (up to {})",
            glimpse.name(now.id),
            now.leader_epoch,
            now.log_end_offset,
            lacks.offset,
            log.map_or(0, |log| log.due_end_offset(now.leader_epoch))
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;
    use crate::invariant::state::Loss;

    fn committed() -> Stage {
        let mut stage = Stage::of(LeaderComplete);
        let both = [entry(0, 4, 1), entry(4, 6, 1)];
        stage.wrote(1, LOG, &both);
        stage.wrote(2, LOG, &both);
        stage.wrote(3, LOG, &both[..1]);
        let ready = stage.leads(1, 1, 6).and(stage.follows(2, 6)).and(stage.follows(3, 4));
        assert_eq!(ready, Ok(()));
        let commit = stage.partition(1, |partition| {
            partition.committed_isr = members(&[1, 2]);
            partition.high_watermark = 6;
        });
        assert_eq!(commit, Ok(()));
        stage
    }

    #[test]
    fn a_new_leader_has_what_was_committed() {
        assert_eq!(committed().leads(2, 2, 6), Ok(()));
        let told = committed().leads(3, 2, 4).unwrap_err();
        assert!(told.contains("without what was committed at offset 4"), "{told}");
    }

    #[test]
    fn a_leader_of_the_same_epoch_need_not_know_what_came_later() {
        assert_eq!(committed().leads(3, 1, 4), Ok(()));
    }

    #[test]
    fn nobody_must_have_what_was_destroyed() {
        let mut stage = committed();
        for node in [1, 2] {
            stage.invariants.ended(node);
            let told = stage.invariants.lost(0, node, Loss::Unsynced);
            assert_eq!(told, Ok(()));
        }
        assert_eq!(stage.leads(3, 2, 4), Ok(()));
    }

    #[test]
    fn it_is_known_whose_records_may_be_gone() {
        let mut stage = committed();
        assert!(!stage.invariants.may_have_lost("orders"));
        for node in [1, 2] {
            stage.invariants.ended(node);
            assert_eq!(stage.invariants.lost(0, node, Loss::Unsynced), Ok(()));
        }
        assert!(stage.invariants.may_have_lost("orders"));
        assert!(!stage.invariants.may_have_lost("order"));
    }
}
