//! A voter gives its vote to one candidate in an epoch, restarts included: what others may know of is on disk.

use super::{Event, Glimpse, Invariant, Kind};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct OneVote {
    votes: BTreeMap<(u16, i32), i32>,
}

impl Invariant for OneVote {
    fn name(&self) -> &'static str {
        "one-vote-per-epoch"
    }

    fn source(&self) -> &'static str {
        "Ongaro, Raft dissertation, 3.4 and 3.8 (votedFor is persistent); KIP-595 (quorum-state)"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Quorum]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Quorum { node, now, .. } = event else { return Ok(()) };
        if !now.told || !now.is_voter || now.epoch <= glimpse.losses.forgotten_by(*node) {
            return Ok(());
        }
        let Some(voted) = now.voted else {
            // Whoever asks first would get a second vote.
            return match self.votes.get(&(*node, now.epoch)) {
                Some(before) => Err(format!(
                    "n{node} voted for n{before} in epoch {} and does not know it any more",
                    now.epoch
                )),
                None => Ok(()),
            };
        };
        let before = *self.votes.entry((*node, now.epoch)).or_insert(voted);
        if before == voted {
            return Ok(());
        }
        Err(format!("n{node} voted for n{before} and for n{voted} in epoch {}", now.epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;
    use crate::invariant::state::Loss;

    fn vote(stage: &mut Stage, epoch: i32, candidate: i32, told: bool) -> Told {
        stage.quorum(1, |quorum| {
            (quorum.epoch, quorum.voted, quorum.told) = (epoch, Some(candidate), told);
        })
    }

    #[test]
    fn a_vote_that_was_told_is_not_given_again() {
        let mut stage = Stage::of(OneVote::default());
        assert_eq!(vote(&mut stage, 3, 2, false), Ok(()));
        stage.restart(1);
        assert_eq!(vote(&mut stage, 3, 1, true), Ok(()), "nobody knew of the first one");
        stage.restart(1);
        assert_eq!(vote(&mut stage, 4, 2, true), Ok(()));
        assert!(vote(&mut stage, 3, 2, true).is_err());
    }

    #[test]
    fn a_vote_that_was_told_is_not_forgotten() {
        let mut stage = Stage::of(OneVote::default());
        assert_eq!(vote(&mut stage, 3, 2, true), Ok(()));
        stage.restart(1);
        let told = stage.quorum(1, |quorum| quorum.voted = None).unwrap_err();
        assert_eq!(told, "n1 voted for n2 in epoch 3 and does not know it any more");
        assert_eq!(stage.quorum(1, |quorum| quorum.epoch = 4), Ok(()), "a new epoch has no vote");
    }

    #[test]
    fn a_wiped_voter_may_not_know() {
        let mut stage = Stage::of(OneVote::default());
        assert_eq!(vote(&mut stage, 3, 2, true), Ok(()));
        stage.restart(1);
        assert_eq!(stage.invariants.lost(0, 1, Loss::Destroyed), Ok(()));
        assert_eq!(vote(&mut stage, 3, 1, true), Ok(()));
    }
}
