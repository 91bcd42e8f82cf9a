//! Standing for election and voting: PreVote (KIP-996), Vote, and the transitions between roles.

use log::io::IoQueue;
use wire::error::ErrorCode;
use wire::messages::{BrokerId, VoteRequest, VoteResponse, vote_request};

use crate::Defect;
use crate::answer;
use crate::follow::{CallKind, LogWait};
use crate::quorum::{Phase, Quorum};
use crate::quorum_state::{ElectionState, ReplicaKey};
use crate::role::{Election, Follower, NEVER, Role, Unattached, Vote};
use crate::rpc::{self, Request, Response};

/// How long a voter that did not help is left alone before it is asked again: at first, and at most.
const ASK_AGAIN_MS: u64 = 20;
const ASK_AGAIN_MAX_MS: u64 = 320;
/// After a leader's death its voters stand up one after the other, so far apart, not all at once.
pub(crate) const STAGGER_MS: u64 = 40;

const VOTE_VERSION: i16 = 2;

impl Quorum {
    pub(crate) fn other_voters(&self) -> impl Iterator<Item = i32> + '_ {
        self.voters.ids().filter(|id| *id != self.config.node_id)
    }

    /// How long an election is given: between the configured timeout and twice that.
    pub(crate) fn election_timeout(&mut self) -> u64 {
        let base = self.config.election_timeout_ms;
        base + self.rng.below(base.max(1))
    }

    /// A fresh time at which a voter stands for election; observers never do.
    pub(crate) fn election_deadline(&mut self) -> u64 {
        if !self.may_campaign() {
            return NEVER;
        }
        self.mono() + self.election_timeout()
    }

    fn may_campaign(&self) -> bool {
        self.is_voter() && matches!(self.phase, Phase::Running)
    }

    /// Offset after the last record of our log, synced or not, and that record's epoch.
    pub(crate) fn log_end(&self) -> (i64, i32) {
        let newest = self.snapshots.last();
        let Some(log) = &self.log else { return (0, 0) };
        let epoch = log.latest_epoch().or(newest.map(|id| id.epoch)).unwrap_or(0);
        (log.next_offset(), epoch)
    }

    fn is_up_to_date(&self, last_epoch: i32, last_offset: i64) -> bool {
        let (end_offset, epoch) = self.log_end();
        (last_epoch, last_offset) >= (epoch, end_offset)
    }

    // ---- transitions

    fn change_role(&mut self, role: Role) {
        self.calls.clear();
        let before = std::mem::replace(&mut self.role, role);
        if let Role::Leader(leader) = before {
            self.leadership_ended(leader.epoch, leader.announced);
        }
    }

    pub(crate) fn follow(&mut self, epoch: i32, leader: i32) {
        assert_ne!(leader, self.config.node_id, "a member does not follow itself");
        let old = self.election();
        let voted = if epoch == old.epoch { old.voted } else { None };
        self.set_election(ElectionState { epoch, leader: Some(leader), voted });
        self.leaders_high_watermark = 0;
        let now = self.mono();
        let fetch_timeout_at = now + self.fetch_timeout();
        self.change_role(Role::Follower(Follower {
            fetch_timeout_at,
            has_fetched: false,
            fetch_at: now,
            download: None,
        }));
    }

    /// A member whose leader died is not to be found by all its voters at the same moment: a little jitter.
    pub(crate) fn fetch_timeout(&mut self) -> u64 {
        let base = self.config.fetch_timeout_ms;
        base + self.rng.below(base / 4 + 1)
    }

    /// Without a leader to follow, in this epoch or a newer one. A new epoch does not put off our own candidacy.
    pub(crate) fn detach(&mut self, epoch: i32) {
        let old = self.election();
        let state = if epoch > old.epoch {
            ElectionState { epoch, leader: None, voted: None }
        } else {
            old
        };
        let election_at = match &self.role {
            Role::Unattached(unattached) => unattached.election_at,
            Role::Prospective(election) | Role::Candidate(election) => election.ends_at,
            Role::Follower(follower) if self.may_campaign() => follower.fetch_timeout_at,
            _ => self.election_deadline(),
        };
        self.set_election(state);
        let discover_at = self.mono();
        self.change_role(Role::Unattached(Unattached { election_at, discover_at }));
    }

    /// The first step of a candidacy; a sole voter needs no opinion but its own.
    pub(crate) fn start_candidacy(&mut self) {
        if !self.may_campaign() {
            return;
        }
        if self.voters.len() == 1 {
            return self.become_candidate();
        }
        let election = self.new_election();
        self.change_role(Role::Prospective(election));
    }

    fn new_election(&mut self) -> Election {
        let at = self.mono();
        let votes = self.other_voters().map(|id| (id, Vote::Ask { at })).collect();
        let ends_at = at + self.election_timeout();
        Election { votes, ends_at, backing_off_until: None, rounds: 0 }
    }

    fn become_candidate(&mut self) {
        let Some(epoch) = self.election().epoch.checked_add(1) else {
            return self.fail("the epochs are used up".to_owned());
        };
        let voted = Some(self.local_key());
        self.set_election(ElectionState { epoch, leader: None, voted });
        let election = self.new_election();
        self.change_role(Role::Candidate(election));
    }

    /// What another member said of who leads. `true` when it moved us to another epoch or role.
    pub(crate) fn observe(&mut self, epoch: i32, leader: Option<i32>) -> bool {
        let known = self.election();
        let other = leader.filter(|id| *id != self.config.node_id);
        if epoch > known.epoch {
            match other {
                Some(leader) => self.follow(epoch, leader),
                None => self.detach(epoch),
            }
            return true;
        }
        // In our epoch: news, or a leader that we had only lost sight of.
        let Some(leader) = other.filter(|_| epoch == known.epoch) else { return false };
        let lost_sight = matches!(self.role, Role::Unattached(_)) && !self.leader_gone();
        let news = known.leader.is_none() || (known.leader == Some(leader) && lost_sight);
        if news {
            self.follow(epoch, leader);
        }
        news
    }

    pub(crate) fn on_gone(&mut self, peer: i32) {
        if self.election().leader != Some(peer) || self.is_leader() {
            return;
        }
        self.give_leader_up();
        self.expect_election(self.other_rank(peer) * STAGGER_MS);
    }

    /// Our place among the voters without `gone`, which decides who stands up first.
    fn other_rank(&self, gone: i32) -> u64 {
        let before = |id: &i32| *id < self.config.node_id && *id != gone;
        self.voters.ids().filter(before).count() as u64
    }

    /// The leader is no more: stand for election after `delay_ms`, and look for another leader until then.
    pub(crate) fn expect_election(&mut self, delay_ms: u64) {
        let now = self.mono();
        match &mut self.role {
            Role::Follower(_) | Role::Unattached(_) => {
                let at = if self.may_campaign() { now + delay_ms } else { NEVER };
                let waiting = Unattached { election_at: at, discover_at: now + ASK_AGAIN_MS };
                self.change_role(Role::Unattached(waiting));
            }
            Role::Prospective(election) => {
                // Those who refused because they believed in the leader may have learned better.
                for vote in election.votes.values_mut() {
                    if matches!(vote, Vote::Rejected { .. }) {
                        *vote = Vote::Ask { at: now };
                    }
                }
            }
            _ => {}
        }
    }

    // ---- the candidate's side

    pub(crate) fn poll_election(&mut self, io: &mut IoQueue) {
        let now = self.mono();
        let majority = self.voters.majority();
        let voters = self.voters.len();
        let durable = self.is_durable();
        let may_campaign = self.may_campaign();
        let log_idle = self.log_takes_appends();
        let me = self.config.node_id;
        let lost_leader = self.election().leader.filter(|id| *id != me && !self.leader_gone());
        match &self.role {
            Role::Prospective(_) if !may_campaign => self.detach(self.election().epoch),
            Role::Candidate(_) if !may_campaign => self.detach(self.election().epoch),
            Role::Prospective(election) => {
                let refused = election.rejected() > voters - majority;
                if election.granted() >= majority {
                    if log_idle {
                        self.become_candidate();
                    }
                } else if refused || now >= election.ends_at {
                    match lost_leader {
                        Some(leader) => self.follow(self.election().epoch, leader),
                        None if now >= election.ends_at => self.start_candidacy(),
                        None => self.ask_for_votes(),
                    }
                } else {
                    self.ask_for_votes();
                }
            }
            Role::Candidate(election) => {
                if election.granted() >= majority && durable {
                    if log_idle {
                        self.become_leader(io);
                    }
                } else if now >= election.backing_off_until.unwrap_or(election.ends_at) {
                    self.election_failures += 1;
                    self.start_candidacy();
                } else {
                    self.ask_for_votes();
                    self.maybe_back_off(majority);
                }
            }
            _ => {}
        }
    }

    /// An election that cannot be won by those who may still answer is given up after a random pause.
    fn maybe_back_off(&mut self, majority: usize) {
        let now = self.mono();
        let range = 50 << self.election_failures.min(8);
        let pause = 10 + self.rng.below(range.min(self.config.election_backoff_max_ms));
        let Role::Candidate(election) = &mut self.role else { return };
        if election.backing_off_until.is_none() && election.granted() + election.open() < majority {
            election.backing_off_until = Some((now + pause).min(election.ends_at));
        }
    }

    fn ask_for_votes(&mut self) {
        let now = self.mono();
        let pre_vote = matches!(self.role, Role::Prospective(_));
        let (Role::Prospective(election) | Role::Candidate(election)) = &mut self.role else {
            return;
        };
        let mut asked = Vec::new();
        for (id, vote) in &mut election.votes {
            let due = match vote {
                Vote::Ask { at } => *at <= now,
                // A candidate's epoch has one vote from each; an opinion may change.
                Vote::Rejected { ask_again_at } => pre_vote && *ask_again_at <= now,
                Vote::Refused { ask_again_at } => *ask_again_at <= now,
                Vote::Asked | Vote::Granted => false,
            };
            if due {
                *vote = Vote::Asked;
                asked.push(*id);
            }
        }
        for id in asked {
            let request = self.vote_request(id, pre_vote);
            self.call(id, CallKind::Vote { pre_vote }, request);
        }
    }

    fn vote_request(&self, voter: i32, pre_vote: bool) -> Request {
        let (last_offset, last_offset_epoch) = self.log_end();
        let directory_id = self.voters.get(voter).map(|voter| voter.directory_id);
        let partition = vote_request::PartitionData::default()
            .with_partition_index(0)
            .with_replica_epoch(self.election().epoch)
            .with_replica_id(BrokerId(self.config.node_id))
            .with_replica_directory_id(self.config.directory_id)
            .with_voter_directory_id(directory_id.unwrap_or_default())
            .with_last_offset_epoch(last_offset_epoch)
            .with_last_offset(last_offset)
            .with_pre_vote(pre_vote);
        let topic = vote_request::TopicData::default()
            .with_topic_name(rpc::topic_name())
            .with_partitions(vec![partition]);
        let body = VoteRequest::default()
            .with_cluster_id(Some(rpc::text(&self.config.cluster_id)))
            .with_voter_id(BrokerId(voter))
            .with_topics(vec![topic]);
        Request::Vote { version: VOTE_VERSION, body }
    }

    /// When to ask again somebody who did not help, a little later each time.
    fn ask_again_at(&mut self) -> u64 {
        let jitter = self.rng.below(ASK_AGAIN_MS / 2);
        let now = self.mono();
        let (Role::Prospective(election) | Role::Candidate(election)) = &mut self.role else {
            return now;
        };
        election.rounds += 1;
        now + jitter + (ASK_AGAIN_MS << (election.rounds.min(8) / 2)).min(ASK_AGAIN_MAX_MS)
    }

    pub(crate) fn on_vote_answer(&mut self, peer: i32, pre_vote: bool, body: &VoteResponse) {
        let partition = body.topics.first().and_then(|topic| topic.partitions.first());
        let Some(partition) = partition.filter(|_| body.error_code == 0) else {
            return self.on_vote_failed(peer, false);
        };
        if self.observe(partition.leader_epoch, answer::known_leader(partition.leader_id)) {
            return;
        }
        let asked_again_at = self.ask_again_at();
        let asking_before_vote = matches!(self.role, Role::Prospective(_));
        let (Role::Prospective(election) | Role::Candidate(election)) = &mut self.role else {
            return;
        };
        assert_eq!(asking_before_vote, pre_vote, "calls end with the role that made them");
        let granted = partition.vote_granted && partition.error_code == 0;
        let vote =
            if granted { Vote::Granted } else { Vote::Rejected { ask_again_at: asked_again_at } };
        election.votes.insert(peer, vote);
    }

    pub(crate) fn on_vote_failed(&mut self, peer: i32, refused: bool) {
        let ask_again_at = self.ask_again_at();
        if let Role::Prospective(election) | Role::Candidate(election) = &mut self.role {
            let vote = if refused {
                Vote::Refused { ask_again_at }
            } else {
                Vote::Ask { at: ask_again_at }
            };
            election.votes.insert(peer, vote);
        }
    }

    // ---- the voter's side

    pub(crate) fn serve_vote(&mut self, version: i16, body: &VoteRequest) -> Response {
        if !self.is_my_cluster(body.cluster_id.as_deref()) {
            return answer::vote_failed(ErrorCode::InconsistentClusterId);
        }
        let partition = match body.topics.as_slice() {
            [topic] if topic.topic_name.0.as_str() == rpc::TOPIC => topic.partitions.as_slice(),
            _ => return answer::vote_failed(ErrorCode::InvalidRequest),
        };
        let [partition] = partition else {
            return answer::vote_failed(ErrorCode::InvalidRequest);
        };
        let (error, granted) = self.judge_vote(body.voter_id.0, partition);
        self.vote_answer(version, error, granted)
    }

    fn judge_vote(
        &mut self,
        voter_id: i32,
        partition: &vote_request::PartitionData,
    ) -> (ErrorCode, bool) {
        let epoch = partition.replica_epoch;
        let pre_vote = partition.pre_vote;
        let last_epoch = partition.last_offset_epoch;
        let epoch_too_new = if pre_vote { last_epoch > epoch } else { last_epoch >= epoch };
        if partition.last_offset < 0 || last_epoch < 0 || epoch_too_new {
            return (ErrorCode::InvalidRequest, false);
        }
        let asked = ReplicaKey { id: voter_id, directory_id: partition.voter_directory_id };
        if voter_id != -1 && !asked.matches(&self.local_key()) {
            return (ErrorCode::InvalidVoterKey, false);
        }
        if epoch < self.election().epoch {
            return (ErrorCode::FencedLeaderEpoch, false);
        }
        if epoch > self.election().epoch {
            self.detach(epoch);
        }
        let candidate =
            ReplicaKey { id: partition.replica_id.0, directory_id: partition.replica_directory_id };
        let up_to_date = self.is_up_to_date(last_epoch, partition.last_offset)
            || self.has(Defect::VoteForShorterLog);
        let granted = self.would_grant(candidate, up_to_date, pre_vote);
        if granted && pre_vote {
            self.make_way();
        } else if granted && self.election().voted.is_none() {
            self.vote_for(candidate);
        }
        (ErrorCode::None, granted)
    }

    /// Kafka's `canGrantVote`, role by role.
    fn would_grant(&self, candidate: ReplicaKey, up_to_date: bool, pre_vote: bool) -> bool {
        // In the middle of an installation nobody can tell what our log holds.
        if matches!(self.log_wait, LogWait::Install { .. }) {
            return false;
        }
        if pre_vote {
            let believes = match &self.role {
                Role::Leader(_) => true,
                Role::Follower(follower) => follower.has_fetched && !self.leader_gone(),
                _ => false,
            };
            return up_to_date && !believes;
        }
        match (self.election().voted, self.election().leader) {
            (Some(voted), _) => voted.matches(&candidate) && candidate.id != self.config.node_id,
            (None, Some(_)) => false,
            (None, None) => up_to_date,
        }
    }

    fn vote_for(&mut self, candidate: ReplicaKey) {
        let state = ElectionState { voted: Some(candidate), ..self.election() };
        self.set_election(state);
        let election_at = self.election_deadline();
        let discover_at = self.mono() + self.config.election_timeout_ms / 2;
        self.change_role(Role::Unattached(Unattached { election_at, discover_at }));
    }

    /// Somebody else is about to stand: a candidacy of ours that has not begun waits a moment.
    fn make_way(&mut self) {
        let until = self.mono() + 2 * STAGGER_MS + self.rng.below(STAGGER_MS);
        if let Role::Unattached(unattached) = &mut self.role
            && unattached.election_at != NEVER
        {
            unattached.election_at = unattached.election_at.max(until);
        }
    }

    fn vote_answer(&self, version: i16, error: ErrorCode, granted: bool) -> Response {
        let ElectionState { epoch, leader, .. } = self.election();
        answer::vote(version, error, epoch, leader, granted, self.leader_endpoint())
    }
}
