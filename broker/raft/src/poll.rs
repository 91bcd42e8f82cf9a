//! The step's plumbing: which request goes where, what became of a call, which timers are due.

use log::io::IoQueue;
use wire::error::ErrorCode;

use crate::Voter;
use crate::answer;
use crate::follow::CallKind;
use crate::open::MAINTAIN_MS;
use crate::quorum::{Call, Phase, Quorum};
use crate::role::{Election, NEVER, Role, Vote};
use crate::rpc::{CallFailed, Request, RequestRef, Response};

/// More changes of role than this in one step would be a loop.
const MAX_TRANSITIONS: usize = 16;

impl Quorum {
    pub(crate) fn is_my_cluster(&self, cluster_id: Option<&str>) -> bool {
        cluster_id.is_none_or(|id| id == self.config.cluster_id)
    }

    pub(crate) fn leader_endpoint(&self) -> Option<&Voter> {
        self.leader().and_then(|id| self.voters.get(id))
    }

    pub(crate) fn serve(&mut self, to: RequestRef, request: Request, io: &mut IoQueue) {
        if !self.is_running() {
            let response = answer::refusal(&request, ErrorCode::BrokerNotAvailable);
            return self.respond(to, response);
        }
        let response = match request {
            Request::Vote { version, body } => self.serve_vote(version, &body),
            Request::BeginQuorumEpoch { version, body } => self.serve_begin(version, &body),
            Request::EndQuorumEpoch { version, body } => self.serve_end(version, &body),
            Request::DescribeQuorum { version, body } => self.serve_describe(version, &body),
            Request::Fetch { version, body } => return self.serve_fetch(to, version, &body, io),
            Request::FetchSnapshot { version, body } => {
                return self.serve_fetch_snapshot(to, version, body, io);
            }
        };
        self.respond(to, response);
    }

    pub(crate) fn on_answer(
        &mut self,
        made: Call,
        response: Result<Response, CallFailed>,
        io: &mut IoQueue,
    ) {
        let Call { peer, kind, .. } = made;
        match (kind, response) {
            (CallKind::Vote { pre_vote }, Ok(Response::Vote(body))) => {
                self.on_vote_answer(peer, pre_vote, &body);
            }
            (CallKind::BeginQuorumEpoch, Ok(Response::BeginQuorumEpoch(body))) => {
                self.on_begin_answer(peer, &body);
            }
            (CallKind::EndQuorumEpoch, Ok(Response::EndQuorumEpoch(body))) => {
                self.on_end_answer(peer, &body);
            }
            (CallKind::Fetch { offset }, Ok(Response::Fetch(body))) => {
                self.on_fetch_answer(peer, offset, body, io);
            }
            (CallKind::FetchSnapshot { id, position }, Ok(Response::FetchSnapshot(body))) => {
                self.on_snapshot_answer(peer, id, position, body, io);
            }
            (kind, Err(failed)) => self.on_call_failed(peer, kind, failed),
            // An answer of another kind is as good as none.
            (kind, Ok(_)) => self.on_call_failed(peer, kind, CallFailed { refused: false }),
        }
    }

    fn on_call_failed(&mut self, peer: i32, kind: CallKind, failed: CallFailed) {
        match kind {
            CallKind::Vote { .. } => self.on_vote_failed(peer, failed.refused),
            CallKind::BeginQuorumEpoch => self.on_begin_failed(peer),
            CallKind::EndQuorumEpoch => self.on_end_failed(peer, failed.refused),
            CallKind::Fetch { .. } | CallKind::FetchSnapshot { .. } => self.on_fetch_failed(),
        }
    }

    fn expire_calls(&mut self) {
        let now = self.mono();
        let expired: Vec<u64> =
            self.calls.iter().filter(|(_, c)| c.expires_at <= now).map(|(id, _)| *id).collect();
        for id in expired {
            if let Some(call) = self.calls.remove(&id) {
                self.on_call_failed(call.peer, call.kind, CallFailed { refused: false });
            }
        }
    }

    /// Does what is due by now, until nothing is.
    pub(crate) fn poll(&mut self, io: &mut IoQueue) {
        self.expire_calls();
        self.poll_housekeeping(io);
        for _ in 0..MAX_TRANSITIONS {
            let before = (self.role.name(), self.epoch());
            match &self.role {
                Role::Unattached(_) => self.poll_unattached(),
                Role::Prospective(_) | Role::Candidate(_) => self.poll_election(io),
                Role::Leader(_) => {
                    self.poll_leader();
                    self.serve_parked(io);
                }
                Role::Follower(_) => self.poll_follower(),
                Role::Resigned(_) => self.poll_resigned(),
            }
            if before == (self.role.name(), self.epoch()) || !self.is_running() {
                return;
            }
        }
    }

    fn poll_housekeeping(&mut self, io: &mut IoQueue) {
        let now = self.mono();
        if self.serving.as_ref().is_some_and(|(.., until)| *until <= now) {
            self.serving = None;
        }
        if self.maintain_at <= now {
            self.maintain_at = now + MAINTAIN_MS;
            let idle = self.log_is_settled();
            if let Some(log) = self.log.as_mut().filter(|_| idle) {
                log.maintain(self.now.wall_ms, io);
            }
        }
        if let Phase::Resigning { until } = self.phase {
            let told = match &self.role {
                Role::Resigned(resigned) => resigned.unacknowledged.is_empty(),
                _ => true,
            };
            if (told && self.log_takes_appends()) || until <= now {
                self.phase = Phase::Closing;
                self.calls.clear();
                match self.log.as_mut() {
                    Some(log) => log.close(io),
                    None => self.phase = Phase::Closed,
                }
            }
        }
    }

    pub(crate) fn next_timer(&self) -> u64 {
        if !self.is_running() {
            return NEVER;
        }
        let calls = self.calls.values().map(|call| call.expires_at).min().unwrap_or(NEVER);
        let closing = match self.phase {
            Phase::Resigning { until } => until,
            _ => NEVER,
        };
        let serving = self.serving.as_ref().map_or(NEVER, |(.., until)| *until);
        let role = match &self.role {
            Role::Unattached(unattached) if self.log_is_settled() => {
                unattached.election_at.min(unattached.discover_at)
            }
            Role::Unattached(unattached) => unattached.election_at,
            Role::Prospective(election) => election_timer(election, true),
            Role::Candidate(election) => election_timer(election, false),
            Role::Leader(leader) => {
                let parked = self.parked.iter().map(|fetch| fetch.expires_at);
                let begin = leader.begin_at.values().copied();
                parked.chain(begin).min().unwrap_or(NEVER).min(leader.check_quorum_at)
            }
            Role::Follower(follower) => {
                let idle = self.calls.is_empty() && self.log_is_settled();
                let fetch_at = if idle { follower.fetch_at } else { NEVER };
                follower.fetch_timeout_at.min(fetch_at)
            }
            Role::Resigned(resigned) => {
                let tell = resigned.unacknowledged.values().copied().min().unwrap_or(NEVER);
                resigned.election_at.min(tell)
            }
        };
        [calls, closing, serving, role, self.maintain_at].into_iter().min().unwrap_or(NEVER)
    }
}

fn election_timer(election: &Election, pre_vote: bool) -> u64 {
    let ask = election.votes.values().map(|vote| match vote {
        Vote::Ask { at } => *at,
        Vote::Refused { ask_again_at } => *ask_again_at,
        Vote::Rejected { ask_again_at } if pre_vote => *ask_again_at,
        Vote::Rejected { .. } | Vote::Asked | Vote::Granted => NEVER,
    });
    let end = election.backing_off_until.unwrap_or(election.ends_at);
    ask.min().unwrap_or(NEVER).min(end)
}
