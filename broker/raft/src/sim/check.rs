//! What must hold, whatever happens. Each has the name that Kafka's `RaftEventSimulationTest` gives it, where it has one.

use std::collections::BTreeMap;

use crate::quorum::Quorum;
use crate::role::Role;
use crate::rpc::{Request, Response};
use crate::{ReplicaKey, VoterSet};

/// What the world knows of itself, over all members and all their lives.
#[derive(Debug, Default)]
pub(super) struct Checks {
    leaders: BTreeMap<i32, i32>,
    /// Who voted for whom in which epoch, as far as anybody was told.
    votes: BTreeMap<(i32, i32), i32>,
    /// The last synced end of each member's log, alive or not.
    durable_ends: BTreeMap<i32, i64>,
    /// Every committed record, by offset.
    pub committed: BTreeMap<i64, u64>,
    high_watermark: i64,
}

/// What is known of one life of one member.
#[derive(Debug, Default)]
pub(super) struct Life {
    epoch: i32,
    high_watermark: i64,
    /// It leads in `epoch`.
    leads: bool,
}

impl Checks {
    pub(super) fn leaders(&self) -> usize {
        self.leaders.len()
    }

    pub(super) fn after_step(
        &mut self,
        id: i32,
        quorum: &Quorum,
        life: &mut Life,
        voters: &VoterSet,
    ) {
        check_commits_own_epoch(id, quorum, life);
        // MonotonicEpoch
        assert!(quorum.epoch() >= life.epoch, "epoch of {id} went back");
        life.leads = quorum.is_leader();
        life.epoch = quorum.epoch();
        // MonotonicHighWatermark
        let high_watermark = quorum.high_watermark().unwrap_or(0);
        assert!(high_watermark >= life.high_watermark, "high watermark of {id} went back");
        life.high_watermark = high_watermark;
        if quorum.is_running() {
            self.durable_ends.insert(id, quorum.synced_end());
            check_snapshot_at_log_start(id, quorum);
        }
        // SingleLeader
        if quorum.is_leader() {
            let known = *self.leaders.entry(quorum.epoch()).or_insert(id);
            assert_eq!(known, id, "two leaders in epoch {}", quorum.epoch());
        }
        // MajorityReachedHighWatermark
        if high_watermark > self.high_watermark {
            self.high_watermark = high_watermark;
            let reached =
                |id: &i32| self.durable_ends.get(id).is_some_and(|e| *e >= high_watermark);
            let count = voters.ids().filter(reached).count();
            assert!(
                count >= voters.majority(),
                "high watermark {high_watermark} at {id} is synced by {count} only: {:?}",
                self.durable_ends
            );
        }
    }

    /// A record was delivered. ConsistentCommittedData.
    pub(super) fn delivered(&mut self, id: i32, offset: i64, value: u64) {
        let known = *self.committed.entry(offset).or_insert(value);
        assert_eq!(known, value, "member {id} was told another record at offset {offset}");
    }

    /// What a member said to another: a vote given (to itself too) is given once in an epoch.
    pub(super) fn asked(&mut self, from: i32, request: &Request) {
        let Request::Vote { body, .. } = request else { return };
        let partition = &body.topics[0].partitions[0];
        if !partition.pre_vote {
            self.voted(from, partition.replica_epoch, from);
        }
    }

    pub(super) fn answered(&mut self, by: i32, request: &Request, response: &Response) {
        let (Request::Vote { body, .. }, Response::Vote(answer)) = (request, response) else {
            return;
        };
        let asked = &body.topics[0].partitions[0];
        let granted = answer.topics.first().is_some_and(|topic| topic.partitions[0].vote_granted);
        if granted && !asked.pre_vote {
            self.voted(by, asked.replica_epoch, asked.replica_id.0);
        }
    }

    fn voted(&mut self, voter: i32, epoch: i32, candidate: i32) {
        let known = *self.votes.entry((voter, epoch)).or_insert(candidate);
        assert_eq!(known, candidate, "member {voter} voted twice in epoch {epoch}");
    }
}

/// A leader commits what earlier epochs left only together with a record of its own (Raft, 5.4.2 and figure 8).
fn check_commits_own_epoch(id: i32, quorum: &Quorum, before: &Life) {
    let high_watermark = quorum.high_watermark().unwrap_or(0);
    let led = before.leads && quorum.is_leader() && quorum.epoch() == before.epoch;
    let Some(log) = quorum.log.as_ref().filter(|_| led && high_watermark > before.high_watermark)
    else {
        return;
    };
    let epoch = log.epochs().epoch_for_offset(high_watermark - 1);
    assert_eq!(epoch, Some(quorum.epoch()), "{id} committed an earlier epoch's records alone");
}

/// SnapshotAtLogStart
fn check_snapshot_at_log_start(id: i32, quorum: &Quorum) {
    let Some(log) = quorum.log.as_ref().filter(|_| quorum.log_is_settled()) else { return };
    let start = log.log_start_offset();
    let held = quorum.snapshots.iter().any(|snapshot| snapshot.end_offset == start);
    assert!(start == 0 || held, "the log of {id} starts at {start}, without a snapshot there");
    if let Role::Leader(leader) = &quorum.role {
        let me = ReplicaKey { id, directory_id: quorum.config.directory_id };
        assert!(!leader.observers.contains_key(&me), "a leader observes itself");
    }
}
