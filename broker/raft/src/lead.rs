//! Leading: the first batch of an epoch, the high watermark, check-quorum, telling the voters, and giving it back.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use log::Origin;
use log::io::IoQueue;
use wire::batch::{Batch, BatchBuilder, Compression, Decompressor};
use wire::control::{ControlRecord, LeaderChangeMessage, control_batch};
use wire::error::ErrorCode;
use wire::messages::{
    BeginQuorumEpochRequest, BeginQuorumEpochResponse, BrokerId, EndQuorumEpochRequest,
    EndQuorumEpochResponse, begin_quorum_epoch_request as begin, end_quorum_epoch_request as end,
};

use crate::Defect;
use crate::answer;
use crate::follow::CallKind;
use crate::quorum::{AppendError, Output, Phase, Quorum};
use crate::quorum_state::{ElectionState, ReplicaKey};
use crate::role::{Leader, NEVER, Progress, Resigned, Role};
use crate::rpc::{self, Request, Response};
use crate::snapshot::quorum_records;

/// Between two attempts to reach a voter that could not be told something.
const TELL_AGAIN_MS: u64 = 50;
const BEGIN_VERSION: i16 = 1;
const END_VERSION: i16 = 1;

impl Quorum {
    /// The election is won: our epoch begins with a leader change record.
    pub(crate) fn become_leader(&mut self, io: &mut IoQueue) {
        let Role::Candidate(election) = &self.role else { return };
        let granted = |id: &i32| election.votes.get(id) == Some(&crate::role::Vote::Granted);
        let me = self.config.node_id;
        let granting_voters = self.voters.ids().filter(|id| *id == me || granted(id)).collect();
        let message = LeaderChangeMessage {
            leader_id: me,
            voters: self.voters.ids().collect(),
            granting_voters,
        };
        let mut records = vec![ControlRecord::LeaderChange(message)];
        if self.log_end() == (0, 0) {
            // The voters stand in the bootstrap snapshot only, which observers do not have.
            records.extend(quorum_records(&self.voters, &self.config.listener_name));
        }
        let epoch = self.election().epoch;
        let batch = control_batch(&records, 0, epoch, self.now.wall_ms);
        let epoch_start_offset = match self.append_batch(batch, io) {
            Ok((base_offset, _)) => base_offset,
            Err(error) => return self.fail(format!("the leader change record: {error}")),
        };
        let now = self.mono();
        let others: Vec<i32> = self.other_voters().collect();
        let leader = Leader {
            epoch,
            epoch_start_offset,
            voters: others.iter().map(|id| (*id, Progress::default())).collect(),
            observers: BTreeMap::new(),
            heard: BTreeSet::new(),
            check_quorum_at: self.check_quorum_deadline(),
            begin_at: others.iter().map(|id| (*id, now)).collect(),
            announced: false,
        };
        self.set_election(ElectionState { leader: Some(me), ..self.election() });
        self.calls.clear();
        self.role = Role::Leader(Box::new(leader));
    }

    /// Until when enough voters must have fetched: as patient as one and a half of a follower's fetch timeouts. A sole
    /// voter waits for nobody.
    pub(crate) fn check_quorum_deadline(&self) -> u64 {
        if self.voters.len() == 1 {
            return NEVER;
        }
        self.mono() + self.config.fetch_timeout_ms * 3 / 2
    }

    fn append_batch(&mut self, batch: Bytes, io: &mut IoQueue) -> Result<(i64, i64), AppendError> {
        let refused = |reason: String| AppendError::Refused(reason);
        let batch = Batch::new(batch).map_err(|error| refused(error.to_string()))?;
        let epoch = self.election().epoch;
        let wall_ms = self.now.wall_ms;
        let log = self.log.as_mut().ok_or_else(|| refused("the log is not open".to_owned()))?;
        // A batch of our own is not looked into.
        let unused = &mut Decompressor::default();
        let appended = log.append_as_leader(wall_ms, vec![batch], epoch, Origin::Raft, unused, io);
        let appended = appended.map_err(|error| refused(error.to_string()))?;
        Ok((appended.base_offset, appended.last_offset))
    }

    pub(crate) fn append_records(
        &mut self,
        records: &[Bytes],
        io: &mut IoQueue,
    ) -> Result<i64, AppendError> {
        let Role::Leader(leader) = &self.role else { return Err(AppendError::NotLeader) };
        if !leader.announced || !self.is_running() {
            return Err(AppendError::NotLeader);
        }
        if records.is_empty() {
            return Err(AppendError::Refused("no records to append".to_owned()));
        }
        let mut builder = BatchBuilder::new(Compression::None);
        for record in records {
            builder.append(self.now.wall_ms, None, Some(record), &[]);
        }
        let batch = builder.build(0, self.election().epoch);
        self.append_batch(batch, io).map(|(_, last_offset)| last_offset)
    }

    pub(crate) fn poll_leader(&mut self) {
        let now = self.mono();
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.check_quorum_at <= now {
            return self.resign_now();
        }
        let quiet_ms = self.config.fetch_timeout_ms / 2;
        let mut told = Vec::new();
        for (id, at) in &mut leader.begin_at {
            if *at > now {
                continue;
            }
            *at = now + quiet_ms;
            let heard_at = leader.voters.get(id).and_then(|voter| voter.last_fetch_mono_ms);
            if heard_at.is_none_or(|heard_at| heard_at + quiet_ms <= now) {
                told.push(*id);
            }
        }
        for id in told {
            let waiting = |call: &crate::quorum::Call| {
                call.peer == id && matches!(call.kind, CallKind::BeginQuorumEpoch)
            };
            if !self.calls.values().any(waiting) {
                let request = self.begin_request(id);
                self.call(id, CallKind::BeginQuorumEpoch, request);
            }
        }
        self.advance_high_watermark();
    }

    /// Kafka's rule: what a majority of the voters has, once that reaches into our own epoch. Ourselves we count by what
    /// is synced, as the others do in their fetch offsets.
    pub(crate) fn advance_high_watermark(&mut self) {
        let synced = self.synced_end();
        let majority = match self.voters.majority() {
            majority if self.has(Defect::MinorityCommit) => (majority - 1).max(1),
            majority => majority,
        };
        let any_epoch = self.has(Defect::CommitEarlierEpoch);
        let Role::Leader(leader) = &self.role else { return };
        let others = leader.voters.values().map(|voter| voter.end_offset.unwrap_or(-1));
        let mut ends: Vec<i64> = others.chain(self.is_voter().then_some(synced)).collect();
        ends.sort_unstable_by_key(|end| std::cmp::Reverse(*end));
        let Some(agreed) = ends.get(majority - 1).copied() else { return };
        let own_epoch = agreed > leader.epoch_start_offset || (any_epoch && agreed > 0);
        if own_epoch && self.high_watermark.is_none_or(|hw| agreed > hw) {
            self.set_high_watermark(agreed);
        }
    }

    pub(crate) fn set_high_watermark(&mut self, offset: i64) {
        assert!(self.high_watermark.is_none_or(|hw| offset >= hw), "the high watermark went back");
        self.high_watermark = Some(offset);
        if let Some(log) = self.log.as_mut() {
            log.set_high_watermark(offset);
        }
    }

    /// The state machine has seen all that was committed before our epoch: it may decide from now on.
    pub(crate) fn announce_leadership(&mut self) {
        let epoch = self.election().epoch;
        let applied = self.applied;
        let Role::Leader(leader) = &mut self.role else { return };
        if !leader.announced && applied > leader.epoch_start_offset {
            leader.announced = true;
            let offset = leader.epoch_start_offset;
            self.emit(Output::BecameLeader { epoch, offset });
        }
    }

    pub(crate) fn leadership_ended(&mut self, epoch: i32, announced: bool) {
        self.refuse_parked();
        if announced {
            self.emit(Output::LostLeadership { epoch });
        }
    }

    /// Gives up our epoch: nothing more is appended in it, and the voters are told.
    pub(crate) fn resign_now(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let mut successors: Vec<(i64, i32)> =
            leader.voters.iter().map(|(id, v)| (v.end_offset.unwrap_or(-1), *id)).collect();
        successors.sort_unstable_by_key(|(end, id)| (std::cmp::Reverse(*end), *id));
        let announced = leader.announced;
        let now = self.mono();
        let unacknowledged = self.other_voters().map(|id| (id, now)).collect();
        let election_at = now + self.election_timeout();
        self.calls.clear();
        self.role = Role::Resigned(Resigned {
            election_at,
            unacknowledged,
            successors: successors.into_iter().map(|(_, id)| id).collect(),
        });
        self.leadership_ended(self.election().epoch, announced);
    }

    pub(crate) fn poll_resigned(&mut self) {
        let now = self.mono();
        let may_campaign = self.election_deadline() != NEVER;
        let Role::Resigned(resigned) = &mut self.role else { return };
        if resigned.election_at <= now && may_campaign {
            return self.start_candidacy();
        }
        let mut told = Vec::new();
        for (id, at) in &mut resigned.unacknowledged {
            if *at <= now {
                *at = NEVER;
                told.push(*id);
            }
        }
        for id in told {
            let request = self.end_request();
            self.call(id, CallKind::EndQuorumEpoch, request);
        }
    }

    fn begin_request(&self, voter: i32) -> Request {
        let directory_id = self.voters.get(voter).map(|voter| voter.directory_id);
        let partition = begin::PartitionData::default()
            .with_partition_index(0)
            .with_voter_directory_id(directory_id.unwrap_or_default())
            .with_leader_id(BrokerId(self.config.node_id))
            .with_leader_epoch(self.election().epoch);
        let topic = begin::TopicData::default()
            .with_topic_name(rpc::topic_name())
            .with_partitions(vec![partition]);
        let endpoints = self.voters.get(self.config.node_id).map(|me| {
            begin::LeaderEndpoint::default()
                .with_name(rpc::text(&self.config.listener_name))
                .with_host(rpc::text(&me.host))
                .with_port(me.port)
        });
        let body = BeginQuorumEpochRequest::default()
            .with_cluster_id(Some(rpc::text(&self.config.cluster_id)))
            .with_voter_id(BrokerId(voter))
            .with_topics(vec![topic])
            .with_leader_endpoints(endpoints.into_iter().collect());
        Request::BeginQuorumEpoch { version: BEGIN_VERSION, body }
    }

    fn end_request(&self) -> Request {
        let Role::Resigned(resigned) = &self.role else {
            unreachable!("only who resigned tells it")
        };
        let candidates = resigned.successors.iter().map(|id| {
            let directory_id = self.voters.get(*id).map(|voter| voter.directory_id);
            end::ReplicaInfo::default()
                .with_candidate_id(BrokerId(*id))
                .with_candidate_directory_id(directory_id.unwrap_or_default())
        });
        let partition = end::PartitionData::default()
            .with_partition_index(0)
            .with_leader_id(BrokerId(self.config.node_id))
            .with_leader_epoch(self.election().epoch)
            .with_preferred_candidates(candidates.collect());
        let topic = end::TopicData::default()
            .with_topic_name(rpc::topic_name())
            .with_partitions(vec![partition]);
        let endpoints = self.voters.get(self.config.node_id).map(|me| {
            end::LeaderEndpoint::default()
                .with_name(rpc::text(&self.config.listener_name))
                .with_host(rpc::text(&me.host))
                .with_port(me.port)
        });
        let body = EndQuorumEpochRequest::default()
            .with_cluster_id(Some(rpc::text(&self.config.cluster_id)))
            .with_topics(vec![topic])
            .with_leader_endpoints(endpoints.into_iter().collect());
        Request::EndQuorumEpoch { version: END_VERSION, body }
    }

    pub(crate) fn on_begin_answer(&mut self, peer: i32, body: &BeginQuorumEpochResponse) {
        let partition = body.topics.first().and_then(|topic| topic.partitions.first());
        let Some(partition) = partition.filter(|_| body.error_code == 0) else {
            return self.on_begin_failed(peer);
        };
        let error = partition.error_code;
        if !self.observe(partition.leader_epoch, answer::known_leader(partition.leader_id))
            && error != 0
        {
            self.on_begin_failed(peer);
        }
    }

    pub(crate) fn on_begin_failed(&mut self, peer: i32) {
        // A voter that comes back looks for us by itself: no hurry.
        let at = self.mono() + self.config.fetch_timeout_ms / 4;
        if let Role::Leader(leader) = &mut self.role {
            leader.begin_at.insert(peer, at);
        }
    }

    pub(crate) fn on_end_answer(&mut self, peer: i32, body: &EndQuorumEpochResponse) {
        if body.error_code != 0 {
            return self.on_end_failed(peer, false);
        }
        if let Role::Resigned(resigned) = &mut self.role {
            resigned.unacknowledged.remove(&peer);
        }
        let partition = body.topics.first().and_then(|topic| topic.partitions.first());
        if let Some(partition) = partition {
            self.observe(partition.leader_epoch, answer::known_leader(partition.leader_id));
        }
    }

    pub(crate) fn on_end_failed(&mut self, peer: i32, refused: bool) {
        let at = self.mono() + TELL_AGAIN_MS;
        let closing = matches!(self.phase, Phase::Resigning { .. });
        let Role::Resigned(resigned) = &mut self.role else { return };
        if refused && closing {
            // Nobody is there to be told: not worth staying for.
            resigned.unacknowledged.remove(&peer);
        } else {
            resigned.unacknowledged.insert(peer, at);
        }
    }

    // ---- the voters' side

    pub(crate) fn serve_begin(&mut self, version: i16, body: &BeginQuorumEpochRequest) -> Response {
        let error = self.judge_begin(body);
        let ElectionState { epoch, leader, .. } = self.election();
        match error {
            Ok(error) => answer::begin(version, error, epoch, leader, self.leader_endpoint()),
            Err(error) => Response::BeginQuorumEpoch(
                BeginQuorumEpochResponse::default().with_error_code(error as i16),
            ),
        }
    }

    /// `Err`: the whole request is at fault.
    fn judge_begin(&mut self, body: &BeginQuorumEpochRequest) -> Result<ErrorCode, ErrorCode> {
        if !self.is_my_cluster(body.cluster_id.as_deref()) {
            return Err(ErrorCode::InconsistentClusterId);
        }
        let partition = match body.topics.as_slice() {
            [topic] if topic.topic_name.0.as_str() == rpc::TOPIC => topic.partitions.first(),
            _ => None,
        };
        let partition = partition.ok_or(ErrorCode::InvalidRequest)?;
        let leader = answer::known_leader(partition.leader_id).ok_or(ErrorCode::InvalidRequest)?;
        let asked = ReplicaKey { id: body.voter_id.0, directory_id: partition.voter_directory_id };
        if asked.id != -1 && !asked.matches(&self.local_key()) {
            return Ok(ErrorCode::InvalidVoterKey);
        }
        Ok(self.hear_leader(partition.leader_epoch, leader))
    }

    /// A leader speaks in its own name.
    fn hear_leader(&mut self, epoch: i32, leader: i32) -> ErrorCode {
        let known = self.election();
        if epoch < known.epoch {
            return ErrorCode::FencedLeaderEpoch;
        }
        let contradicts = epoch == known.epoch && known.leader.is_some_and(|id| id != leader);
        if leader == self.config.node_id || contradicts {
            return ErrorCode::InvalidRequest;
        }
        if epoch > known.epoch || !matches!(self.role, Role::Follower(_)) {
            self.gone_until = 0;
            self.follow(epoch, leader);
        }
        ErrorCode::None
    }

    pub(crate) fn serve_end(&mut self, version: i16, body: &EndQuorumEpochRequest) -> Response {
        let error = self.judge_end(body);
        let ElectionState { epoch, leader, .. } = self.election();
        match error {
            Ok(error) => answer::end(version, error, epoch, leader, self.leader_endpoint()),
            Err(error) => Response::EndQuorumEpoch(
                EndQuorumEpochResponse::default().with_error_code(error as i16),
            ),
        }
    }

    fn judge_end(&mut self, body: &EndQuorumEpochRequest) -> Result<ErrorCode, ErrorCode> {
        if !self.is_my_cluster(body.cluster_id.as_deref()) {
            return Err(ErrorCode::InconsistentClusterId);
        }
        let partition = match body.topics.as_slice() {
            [topic] if topic.topic_name.0.as_str() == rpc::TOPIC => topic.partitions.first(),
            _ => None,
        };
        let partition = partition.ok_or(ErrorCode::InvalidRequest)?;
        let leader = answer::known_leader(partition.leader_id).ok_or(ErrorCode::InvalidRequest)?;
        let error = self.hear_leader(partition.leader_epoch, leader);
        if error == ErrorCode::None {
            let me = self.config.node_id;
            let successors: Vec<i32> = if partition.preferred_candidates.is_empty() {
                partition.preferred_successors.clone()
            } else {
                partition.preferred_candidates.iter().map(|c| c.candidate_id.0).collect()
            };
            let rank = successors.iter().position(|id| *id == me).unwrap_or(successors.len());
            self.give_leader_up();
            self.expect_election(rank as u64 * crate::election::STAGGER_MS);
        }
        Ok(error)
    }
}
