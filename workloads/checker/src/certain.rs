//! What is certain before the end: findings that no later event takes back.
//!
//! Promises: every count stands in the final answer too, as it is or higher, unless memory that was spilled is lost. Absent on purpose: what only the final reads can
//! tell (loss, places within a log), and what an outcome that comes late may still change.

use crate::Checker;
use crate::transactions::Early;
use model::finding::Kind;
use std::collections::BTreeSet;

impl Checker {
    /// The kinds that were found for certain so far, with their counts.
    pub fn certain(&self) -> Vec<(Kind, u64)> {
        let (transactions, groups) = (&self.transactions, &self.groups);
        let logs = || self.logs.iter();
        let early = |wanted: &dyn Fn(&Early) -> bool| {
            let slots = transactions.early.iter().filter(|one| wanted(one)).map(|one| one.slot);
            slots.collect::<BTreeSet<u32>>().len() as u64
        };
        let of = |early: &Early| &transactions.list[early.transaction as usize];
        let of_groups = || groups.list.iter().flat_map(|group| group.logs.values());
        let all = [
            (Kind::Duplicate, self.records.twice()),
            (Kind::Corrupted, logs().map(|log| log.corrupted.len() as u64).sum()),
            (Kind::NonmonotonicPoll, logs().map(|log| log.backward.len() as u64).sum()),
            (Kind::G1a, transactions.aborted_reads + early(&|one| of(one).is_aborted())),
            (Kind::G1b, early(&|one| !one.own && of(one).has_ended() && !of(one).is_aborted())),
            (Kind::PrecommittedRead, early(&|one| one.own)),
            (Kind::LostCommit, of_groups().map(|log| log.lost.len() as u64).sum()),
            (Kind::CommitRegression, of_groups().map(|log| log.regressed.len() as u64).sum()),
            (Kind::DoubleOwner, groups.list.iter().map(|group| group.doubles.len() as u64).sum()),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}
