//! SyncGroup, Heartbeat, LeaveGroup, and what happens when nobody sends them.
//!
//! Promises: an assignment is handed out only after it is committed; where that fails, the group rebalances. Kafka's order
//! of checks and its answers, also while the partition is being read: a heartbeat is then welcome, a SyncGroup must
//! join again.

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::StrBytes;
use wire::error::ErrorCode;
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::leave_group_response::MemberResponse;
use wire::messages::{
    HeartbeatRequest, HeartbeatResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest,
    SyncGroupResponse,
};

use super::state::{Group, State, answer_sync_error, sync_error};
use super::timers::What;
use super::write::{Store, Then};
use super::{Asker, Env, GroupCoordinator, check_group_id};
use crate::api::text;
use crate::context::{Context, Request};

/// The first version of LeaveGroup that names many members.
const MANY_MEMBERS: i16 = 3;

impl GroupCoordinator {
    pub(super) fn handle_sync(&mut self, ctx: &mut Context<'_>, request: &Request) {
        let Some(body) = request.decode::<SyncGroupRequest>(ctx) else { return };
        let asker = Asker::of(request);
        let shard = check_group_id(&body.group_id).and_then(|()| self.shard_of(&body.group_id));
        let shard = match shard {
            Ok(shard) => shard,
            // The generation may be lost with the old coordinator: join again.
            Err(ErrorCode::CoordinatorLoadInProgress) => {
                asker.answer(ctx, &sync_error(ErrorCode::RebalanceInProgress));
                return;
            }
            Err(error) => {
                asker.answer(ctx, &sync_error(error));
                return;
            }
        };
        let found = self.with_group(ctx, shard, &body.group_id, |group, env| {
            group.sync(env, &body, asker.clone());
        });
        if found.is_none() {
            asker.answer(ctx, &sync_error(ErrorCode::UnknownMemberId));
        }
    }

    pub(super) fn handle_heartbeat(&mut self, ctx: &mut Context<'_>, request: &Request) {
        let Some(body) = request.decode::<HeartbeatRequest>(ctx) else { return };
        let shard = check_group_id(&body.group_id).and_then(|()| self.shard_of(&body.group_id));
        let error = match shard {
            Ok(shard) => self
                .with_group(ctx, shard, &body.group_id, |group, env| group.heartbeat(env, &body))
                .unwrap_or(ErrorCode::UnknownMemberId),
            // The member is probably fine; its session starts anew when the partition is read.
            Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
            Err(error) => error,
        };
        ctx.respond(request, &HeartbeatResponse::default().with_error_code(error.code()));
    }

    pub(super) fn handle_leave(&mut self, ctx: &mut Context<'_>, request: &Request) {
        let Some(body) = request.decode::<LeaveGroupRequest>(ctx) else { return };
        let many = request.head.api_version >= MANY_MEMBERS;
        let leaving = if many {
            body.members.clone()
        } else {
            vec![MemberIdentity::default().with_member_id(body.member_id.clone())]
        };
        let shard = check_group_id(&body.group_id).and_then(|()| self.shard_of(&body.group_id));
        let left = shard.and_then(|shard| {
            let left = self.with_group(ctx, shard, &body.group_id, |group, env| {
                if group.state == State::Dead {
                    return Err(ErrorCode::CoordinatorNotAvailable);
                }
                Ok(leaving.iter().map(|one| group.leave(env, one)).collect::<Vec<_>>())
            });
            left.unwrap_or_else(|| Ok(leaving.iter().map(|_| ErrorCode::UnknownMemberId).collect()))
        });
        let response = match left {
            Err(error) => LeaveGroupResponse::default().with_error_code(error.code()),
            Ok(errors) if many => {
                let member = |(one, error): (&MemberIdentity, &ErrorCode)| {
                    MemberResponse::default()
                        .with_member_id(one.member_id.clone())
                        .with_group_instance_id(one.group_instance_id.clone())
                        .with_error_code(error.code())
                };
                let members = leaving.iter().zip(&errors).map(member).collect();
                LeaveGroupResponse::default().with_members(members)
            }
            Ok(errors) => {
                let error = errors.first().copied().unwrap_or(ErrorCode::None);
                LeaveGroupResponse::default().with_error_code(error.code())
            }
        };
        ctx.respond(request, &response);
    }
}

impl Group {
    fn sync(&mut self, env: &mut Env<'_, '_>, body: &SyncGroupRequest, asker: Asker) {
        if let Err(error) = self.check_sync(body) {
            answer_sync_error(env, &asker, error);
            return;
        }
        let member_id = body.member_id.as_str();
        self.unsynced.remove(member_id);
        match self.state {
            State::Empty => answer_sync_error(env, &asker, ErrorCode::UnknownMemberId),
            State::Dead => answer_sync_error(env, &asker, ErrorCode::CoordinatorNotAvailable),
            State::PreparingRebalance => {
                answer_sync_error(env, &asker, ErrorCode::RebalanceInProgress);
            }
            State::Stable => {
                self.touch(env, member_id);
                self.answer_sync(env, member_id, &asker);
            }
            State::CompletingRebalance => {
                let before = self
                    .members
                    .get_mut(member_id)
                    .and_then(|member| member.syncing.replace(asker));
                if let Some(before) = before {
                    answer_sync_error(env, &before, ErrorCode::RebalanceInProgress);
                }
                if self.is_leader(member_id) && !self.assigning {
                    self.assign(env, body);
                }
            }
        }
    }

    fn check_sync(&self, body: &SyncGroupRequest) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.check_member(&body.member_id, body.group_instance_id.as_deref())?;
        if body.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |asked: &Option<StrBytes>, ours: &Option<String>| {
            asked.as_ref().is_some_and(|asked| ours.as_deref() != Some(asked.as_str()))
        };
        if differs(&body.protocol_type, &self.protocol_type)
            || differs(&body.protocol_name, &self.protocol)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// The leader's assignment is written down; handed out when that is done.
    fn assign(&mut self, env: &mut Env<'_, '_>, body: &SyncGroupRequest) {
        let assignments: BTreeMap<String, Bytes> = body
            .assignments
            .iter()
            .filter(|one| self.members.contains_key(one.member_id.as_str()))
            .map(|one| (one.member_id.to_string(), one.assignment.clone()))
            .collect();
        self.assigning = true;
        // In the record the members have the new assignments; here only once it is committed.
        let before: Vec<Bytes> = self
            .members
            .values_mut()
            .map(|member| {
                let assignment = assignments.get(&member.id).cloned().unwrap_or_default();
                std::mem::replace(&mut member.assignment, assignment)
            })
            .collect();
        let then = Then::Assigned { generation: self.generation, assignments };
        env.stores.push(Store::group(env.shard, self, env.ctx.now.wall_ms, then));
        for (member, assignment) in self.members.values_mut().zip(before) {
            member.assignment = assignment;
        }
    }

    /// The leader's assignment is committed, or is not.
    pub(super) fn assigned(
        &mut self,
        env: &mut Env<'_, '_>,
        generation: i32,
        assignments: &BTreeMap<String, Bytes>,
        result: Result<(), ErrorCode>,
    ) {
        // Another rebalance began meanwhile, and told everybody who waited.
        if self.state != State::CompletingRebalance || self.generation != generation {
            return;
        }
        self.assigning = false;
        if let Err(error) = result {
            self.fail_syncs(env, error);
            self.maybe_prepare_rebalance(env);
            return;
        }
        for member in self.members.values_mut() {
            member.assignment = assignments.get(&member.id).cloned().unwrap_or_default();
        }
        self.set_state(env, State::Stable);
        let waiting: Vec<(String, Asker)> = self
            .members
            .values_mut()
            .filter_map(|member| Some((member.id.clone(), member.syncing.take()?)))
            .collect();
        for (member, asker) in waiting {
            self.touch(env, &member);
            self.answer_sync(env, &member, &asker);
        }
    }

    /// Whoever waits for an assignment gets an error instead; nobody keeps an old one.
    pub(super) fn fail_syncs(&mut self, env: &mut Env<'_, '_>, error: ErrorCode) {
        let mut waiting = Vec::new();
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            waiting.extend(member.syncing.take().map(|asker| (member.id.clone(), asker)));
        }
        for (member, asker) in waiting {
            self.touch(env, &member);
            answer_sync_error(env, &asker, error);
        }
    }

    fn answer_sync(&self, env: &mut Env<'_, '_>, member: &str, asker: &Asker) {
        let assignment =
            self.members.get(member).map(|member| member.assignment.clone()).unwrap_or_default();
        let body = SyncGroupResponse::default()
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(self.protocol.as_deref().map(text))
            .with_assignment(assignment);
        asker.answer(env.ctx, &body);
    }

    fn heartbeat(&mut self, env: &mut Env<'_, '_>, body: &HeartbeatRequest) -> ErrorCode {
        if self.state == State::Dead {
            return ErrorCode::CoordinatorNotAvailable;
        }
        if let Err(error) = self.check_member(&body.member_id, body.group_instance_id.as_deref()) {
            return error;
        }
        if body.generation_id != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        self.touch(env, &body.member_id);
        match self.state {
            State::PreparingRebalance => ErrorCode::RebalanceInProgress,
            _ => ErrorCode::None,
        }
    }

    fn leave(&mut self, env: &mut Env<'_, '_>, who: &MemberIdentity) -> ErrorCode {
        let instance = who.group_instance_id.as_deref();
        let mut member_id = who.member_id.to_string();
        // An administrator takes a static member out by its instance id alone.
        if let Some(instance) = instance.filter(|_| member_id.is_empty()) {
            match self.statics.get(instance) {
                Some(known) => member_id = known.clone(),
                None => return ErrorCode::UnknownMemberId,
            }
        } else if self.pending.contains_key(&member_id) {
            self.pending.remove(&member_id);
            self.try_complete_join(env);
            return ErrorCode::None;
        }
        if let Err(error) = self.check_member(&member_id, instance) {
            return error;
        }
        self.remove_and_rebalance(env, &member_id);
        ErrorCode::None
    }

    fn remove_and_rebalance(&mut self, env: &mut Env<'_, '_>, member: &str) {
        self.remove_member(env, member, ErrorCode::UnknownMemberId);
        match self.state {
            State::Stable | State::CompletingRebalance => self.maybe_prepare_rebalance(env),
            State::PreparingRebalance => self.try_complete_join(env),
            State::Empty | State::Dead => {}
        }
    }

    pub(super) fn on_timer(&mut self, env: &mut Env<'_, '_>, what: &What) {
        let now_ms = env.now_ms();
        match what {
            What::Session { member } => {
                let Some(found) = self.members.get_mut(member) else { return };
                if found.waits() && !found.is_new {
                    // It waits for us, not we for it.
                    found.extend_session(now_ms);
                }
                let due_ms = found.session_due_ms;
                if due_ms > now_ms {
                    env.wake(due_ms, &self.id, what.clone());
                } else {
                    self.remove_and_rebalance(env, member);
                }
            }
            What::Pending { member } => {
                if self.pending.get(member).is_some_and(|due_ms| *due_ms <= now_ms) {
                    self.pending.remove(member);
                    self.try_complete_join(env);
                }
            }
            What::Join { number } => self.join_due(env, *number),
            What::Sync { generation } => self.sync_due(env, *generation),
            What::Load | What::Sweep => {}
        }
    }

    /// Members that joined and then never asked for their assignment hold everybody up: they are out.
    fn sync_due(&mut self, env: &mut Env<'_, '_>, generation: i32) {
        let waits = matches!(self.state, State::CompletingRebalance | State::Stable);
        if self.generation != generation || !waits || self.unsynced.is_empty() {
            return;
        }
        for member in std::mem::take(&mut self.unsynced) {
            self.remove_member(env, &member, ErrorCode::UnknownMemberId);
        }
        self.maybe_prepare_rebalance(env);
    }
}
