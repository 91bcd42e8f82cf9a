//! What a leader knows about the replicas of its partition: the in-sync replicas (ISR), what it proposed to the
//! controller, how far each follower has fetched, and from these the high watermark.
//!
//! Promises: a change of the ISR is in force only when the controller committed it; until then the leader acts on the
//! *maximal* ISR (committed and proposed together) wherever acting on less could acknowledge too early. At most one
//! proposal is open. Nothing here reads a log or a clock: offsets and times are told.
//!
//! Not promised: that the proposals are sent, or that a follower's word about its offset was checked against epochs; who
//! calls [`Leadership::record_fetch`] has done that.

use smallvec::SmallVec;

use crate::defect::{Defect, Defects};
use crate::image::PartitionImage;

pub(crate) type ReplicaSet = SmallVec<[i32; 4]>;

/// An end offset that is not known: below every real one, so that it holds the high watermark back.
pub(crate) const UNKNOWN_OFFSET: i64 = -1;

/// A follower as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Follower {
    pub id: i32,
    /// The offset that it fetched from last: it has everything below. [`UNKNOWN_OFFSET`] before the first fetch.
    pub log_end_offset: i64,
    /// The leader's end when the follower fetched last; reaching it later means that it had caught up by then.
    leader_end_at_last_fetch: i64,
    last_fetch_ms: u64,
    last_caught_up_ms: u64,
    /// Whether the two times above mean anything yet.
    ever_caught_up: bool,
    /// The broker epoch in its last fetch; -1 where it sent none.
    pub broker_epoch: i64,
}

impl Follower {
    fn new(id: i32, in_sync: bool, now_ms: u64) -> Self {
        Self {
            id,
            log_end_offset: UNKNOWN_OFFSET,
            leader_end_at_last_fetch: i64::MAX,
            last_fetch_ms: now_ms,
            last_caught_up_ms: now_ms,
            ever_caught_up: in_sync,
            broker_epoch: -1,
        }
    }

    /// At the leader's end, or there not longer than the allowed lag ago.
    fn is_caught_up(&self, leader_end: i64, now_ms: u64, max_lag_ms: u64) -> bool {
        self.log_end_offset == leader_end
            || (self.ever_caught_up && now_ms.saturating_sub(self.last_caught_up_ms) <= max_lag_ms)
    }
}

/// A change of the ISR that the controller has not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub isr: ReplicaSet,
    /// The partition epoch that it was made against.
    pub partition_epoch: i32,
    /// The AlterPartition call that carries it; `None` while it waits to be sent.
    pub call: Option<u64>,
    /// The controller refused it for good; only newer metadata closes it.
    pub parked: bool,
}

/// The leader's side of one partition in one leader epoch.
#[derive(Clone, Debug)]
pub(crate) struct Leadership {
    local: i32,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    /// The log's end when this epoch began: who has not reached it may miss records of earlier leaders.
    pub epoch_start_offset: i64,
    replicas: ReplicaSet,
    committed_isr: ReplicaSet,
    proposal: Option<Proposal>,
    followers: SmallVec<[Follower; 4]>,
    defects: Defects,
}

/// Who may join the ISR now: told by the metadata (unfenced, not shutting down, of that broker epoch).
pub(crate) type Eligible<'a> = &'a dyn Fn(i32, i64) -> bool;

impl Leadership {
    pub fn new(local: i32, image: &PartitionImage, log_end_offset: i64, now_ms: u64) -> Self {
        let mut leadership = Self {
            local,
            leader_epoch: image.leader_epoch,
            partition_epoch: image.partition_epoch,
            epoch_start_offset: log_end_offset,
            replicas: SmallVec::new(),
            committed_isr: SmallVec::new(),
            proposal: None,
            followers: SmallVec::new(),
            defects: Defects::default(),
        };
        leadership.take_assignment(image, now_ms);
        leadership
    }

    pub fn with_defects(mut self, defects: Defects) -> Self {
        self.defects = defects;
        self
    }

    /// Metadata of the same leader epoch: another ISR or another assignment. It closes any proposal.
    pub fn update(&mut self, image: &PartitionImage, now_ms: u64) {
        assert_eq!(image.leader_epoch, self.leader_epoch, "a new epoch needs a new leadership");
        if image.partition_epoch <= self.partition_epoch {
            return;
        }
        self.partition_epoch = image.partition_epoch;
        self.take_assignment(image, now_ms);
    }

    fn take_assignment(&mut self, image: &PartitionImage, now_ms: u64) {
        self.replicas = SmallVec::from_slice(&image.replicas);
        self.committed_isr = SmallVec::from_slice(&image.isr);
        self.proposal = None;
        self.followers.retain(|follower| image.replicas.contains(&follower.id));
        for &id in &image.replicas {
            if id != self.local && self.follower(id).is_none() {
                self.followers.push(Follower::new(id, image.isr.contains(&id), now_ms));
            }
        }
    }

    pub fn follower(&self, id: i32) -> Option<&Follower> {
        self.followers.iter().find(|follower| follower.id == id)
    }

    pub fn followers(&self) -> &[Follower] {
        &self.followers
    }

    pub fn is_replica(&self, id: i32) -> bool {
        self.replicas.contains(&id)
    }

    pub fn committed_isr(&self) -> &[i32] {
        &self.committed_isr
    }

    pub fn proposal(&self) -> Option<&Proposal> {
        self.proposal.as_ref()
    }

    pub fn in_maximal_isr(&self, id: i32) -> bool {
        self.committed_isr.contains(&id)
            || self.proposal.as_ref().is_some_and(|proposal| proposal.isr.contains(&id))
    }

    /// `min.insync.replicas`, but never more than there are replicas.
    pub fn effective_min_isr(&self, min_insync_replicas: usize) -> usize {
        min_insync_replicas.min(self.replicas.len())
    }

    /// Whether the committed ISR is too small for acks=all.
    pub fn is_under_min_isr(&self, min_insync_replicas: usize) -> bool {
        let isr = self.shrunk_unasked().unwrap_or(&self.committed_isr);
        isr.len() < self.effective_min_isr(min_insync_replicas)
            && !self.defects.has(Defect::MinInsyncUnchecked)
    }

    /// Seeded defect: the smaller ISR that we only proposed.
    fn shrunk_unasked(&self) -> Option<&ReplicaSet> {
        let proposal = self.proposal.as_ref()?;
        let smaller = proposal.isr.len() < self.committed_isr.len();
        (smaller && self.defects.has(Defect::ShrinkIsrUnasked)).then_some(&proposal.isr)
    }

    /// Whether the high watermark waits for that follower because it is, or may be, in the ISR.
    fn holds_back(&self, id: i32) -> bool {
        if self.defects.has(Defect::HighWatermarkIgnoresJoining) {
            return self.committed_isr.contains(&id);
        }
        match self.shrunk_unasked() {
            Some(isr) => isr.contains(&id),
            None => self.in_maximal_isr(id),
        }
    }

    /// A follower fetched from `offset`, so it has everything below. Answers whether that moved it.
    pub fn record_fetch(
        &mut self,
        id: i32,
        offset: i64,
        broker_epoch: i64,
        leader_end: i64,
        now_ms: u64,
    ) -> bool {
        let Some(follower) = self.followers.iter_mut().find(|follower| follower.id == id) else {
            return false;
        };
        if offset >= leader_end {
            follower.last_caught_up_ms = now_ms;
            follower.ever_caught_up = true;
        } else if offset >= follower.leader_end_at_last_fetch {
            follower.last_caught_up_ms = follower.last_caught_up_ms.max(follower.last_fetch_ms);
            follower.ever_caught_up = true;
        }
        follower.leader_end_at_last_fetch = leader_end;
        follower.last_fetch_ms = now_ms;
        follower.broker_epoch = broker_epoch;
        let moved = follower.log_end_offset != offset;
        follower.log_end_offset = offset;
        moved
    }

    /// The offset below which every replica of the maximal ISR has everything; `None` while the ISR is too small for
    /// anything to count as committed (KIP-966: eligible leaders must not fall behind what readers saw).
    ///
    /// A follower outside the ISR that keeps up holds it back as well: otherwise a busy leader would outrun one that is
    /// about to join, for ever.
    pub fn committed_below(
        &self,
        log_end_offset: i64,
        min_insync_replicas: usize,
        now_ms: u64,
        max_lag_ms: u64,
        eligible: Eligible<'_>,
    ) -> Option<i64> {
        if self.is_under_min_isr(min_insync_replicas) {
            return None;
        }
        if self.defects.has(Defect::HighWatermarkByMajority) {
            return self.majority_has_below(log_end_offset);
        }
        let joining_counts = !self.defects.has(Defect::HighWatermarkIgnoresJoining);
        let mut lowest = log_end_offset;
        for follower in &self.followers {
            if follower.log_end_offset >= lowest {
                continue;
            }
            let counts = self.holds_back(follower.id)
                || (joining_counts
                    && follower.log_end_offset != UNKNOWN_OFFSET
                    && follower.is_caught_up(log_end_offset, now_ms, max_lag_ms)
                    && eligible(follower.id, follower.broker_epoch));
            if counts {
                lowest = follower.log_end_offset;
            }
        }
        (lowest != UNKNOWN_OFFSET).then_some(lowest)
    }

    /// Seeded defect: Raft's rule, where an election asks for no majority.
    fn majority_has_below(&self, log_end_offset: i64) -> Option<i64> {
        let mut ends: Vec<i64> = self.followers.iter().map(|one| one.log_end_offset).collect();
        ends.push(log_end_offset);
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let end = *ends.get(ends.len() / 2)?;
        (end != UNKNOWN_OFFSET).then_some(end.min(log_end_offset))
    }

    /// Proposes to let the followers in that have everything committed and everything of earlier epochs, and that have
    /// fetched lately: one that is gone would only hold everything up until it is dropped again.
    pub fn propose_expansion(
        &mut self,
        high_watermark: i64,
        now_ms: u64,
        max_lag_ms: u64,
        eligible: Eligible<'_>,
    ) -> bool {
        if self.proposal.is_some() {
            return false;
        }
        let enough = match self.defects.has(Defect::JoinIsrAtHighWatermark) {
            true => high_watermark,
            false => high_watermark.max(self.epoch_start_offset),
        };
        let joins = |follower: &&Follower| {
            !self.committed_isr.contains(&follower.id)
                && follower.log_end_offset >= enough
                && now_ms.saturating_sub(follower.last_fetch_ms) <= max_lag_ms
                && eligible(follower.id, follower.broker_epoch)
        };
        let joining = self.followers.iter().filter(joins).map(|follower| follower.id);
        let isr: ReplicaSet = self.committed_isr.iter().copied().chain(joining).collect();
        if isr.len() == self.committed_isr.len() {
            return false;
        }
        self.propose(isr);
        true
    }

    /// Proposes to drop the followers that have lagged for too long.
    pub fn propose_shrink(&mut self, log_end_offset: i64, now_ms: u64, max_lag_ms: u64) -> bool {
        if self.proposal.is_some() {
            return false;
        }
        let lags = |id: i32| {
            id != self.local
                && !self.follower(id).is_some_and(|follower| {
                    follower.is_caught_up(log_end_offset, now_ms, max_lag_ms)
                })
        };
        if !self.committed_isr.iter().any(|id| lags(*id)) {
            return false;
        }
        let isr: ReplicaSet = self.committed_isr.iter().copied().filter(|id| !lags(*id)).collect();
        self.propose(isr);
        true
    }

    fn propose(&mut self, isr: ReplicaSet) {
        assert!(self.proposal.is_none(), "one proposal at a time");
        assert!(isr.contains(&self.local), "a leader is in its own ISR");
        let partition_epoch = self.partition_epoch;
        self.proposal = Some(Proposal { isr, partition_epoch, call: None, parked: false });
    }

    /// Marks the proposal as carried by a call.
    pub fn proposal_sent(&mut self, call: u64) {
        if let Some(proposal) = self.proposal.as_mut() {
            proposal.call = Some(call);
        }
    }

    fn proposal_of(&mut self, call: u64) -> Option<&mut Proposal> {
        self.proposal.as_mut().filter(|proposal| proposal.call == Some(call))
    }

    /// The call's answer was lost or asks to try again: whether it was carried out is not known, so the proposal stays.
    pub fn proposal_unanswered(&mut self, call: u64) -> bool {
        self.proposal_of(call).map(|proposal| proposal.call = None).is_some()
    }

    /// Refused, and nothing was changed: back to the committed ISR.
    pub fn proposal_refused(&mut self, call: u64) {
        if self.proposal_of(call).is_some() {
            self.proposal = None;
        }
    }

    /// Refused because our view is old: what we proposed may have been carried out by an earlier try, so it goes on
    /// counting towards the maximal ISR until newer metadata comes.
    pub fn proposal_outdated(&mut self, call: u64) {
        if let Some(proposal) = self.proposal_of(call) {
            proposal.parked = true;
        }
    }

    /// The controller committed an ISR. Older news than what we have is ignored.
    pub fn proposal_committed(&mut self, isr: &[i32], partition_epoch: i32) -> bool {
        if partition_epoch < self.partition_epoch {
            return false;
        }
        self.committed_isr = SmallVec::from_slice(isr);
        self.partition_epoch = partition_epoch;
        self.proposal = None;
        true
    }

    /// The ISR to propose, with each member's broker epoch.
    pub fn proposed_with_epochs(&self, local_broker_epoch: i64) -> Vec<(i32, i64)> {
        let Some(proposal) = &self.proposal else { return Vec::new() };
        let epoch_of = |id: i32| match id == self.local {
            true => local_broker_epoch,
            false => self.follower(id).map_or(-1, |follower| follower.broker_epoch),
        };
        proposal.isr.iter().map(|id| (*id, epoch_of(*id))).collect()
    }
}

#[cfg(test)]
mod tests;
