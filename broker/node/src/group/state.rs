//! A group: its members, its state, its offsets.
//!
//! Promises: the leader, if there is one, is a member; every static member's id leads back to it. Not here: what the
//! requests do ([`super::join`], [`super::sync`], [`super::offsets`]).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use wire::error::ErrorCode;
use wire::groups::{GroupKey, GroupMember, GroupMetadataValue, OffsetCommitValue};
use wire::messages::{JoinGroupResponse, SyncGroupResponse};

use super::member::Member;
use super::timers::What;
use super::{Asker, Env};
use crate::api::text;

/// Kafka's states, by its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No members; perhaps offsets.
    Empty,
    /// Waiting for the members to (re)join.
    PreparingRebalance,
    /// They joined; waiting for the leader's assignment.
    CompletingRebalance,
    Stable,
    /// Being deleted.
    Dead,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }
}

/// How long a rebalance still waits for members.
#[derive(Debug)]
pub(super) struct JoinWait {
    pub number: u64,
    /// While an empty group gathers its first members: how much longer it may, after this wait.
    pub initial_left_ms: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub id: String,
    pub state: State,
    /// Wall clock of the last change of state, for the expiry of offsets.
    pub state_since_ms: i64,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub generation: i32,
    pub leader: Option<String>,
    pub members: BTreeMap<String, Member>,
    /// Member ids of static members.
    pub statics: BTreeMap<String, String>,
    /// Ids given out to members that must come back with them, and until when they may.
    pub pending: BTreeMap<String, u64>,
    /// Members of this generation that have not sent SyncGroup.
    pub unsynced: BTreeSet<String>,
    /// Somebody joined during the initial wait: it starts again.
    pub new_member_added: bool,
    pub join_wait: Option<JoinWait>,
    pub joins: u64,
    /// The leader's assignment of this generation is being written.
    pub assigning: bool,
    pub offsets: BTreeMap<(String, i32), OffsetCommitValue>,
}

impl Group {
    pub fn new(id: &str, wall_ms: i64) -> Group {
        Group {
            id: id.to_owned(),
            state: State::Empty,
            state_since_ms: wall_ms,
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            new_member_added: false,
            join_wait: None,
            joins: 0,
            assigning: false,
            offsets: BTreeMap::new(),
        }
    }

    /// A group as its record tells it. Its sessions start anew.
    pub fn load(id: &str, value: GroupMetadataValue, now_ms: u64) -> Group {
        let mut group = Group::new(id, value.current_state_timestamp);
        group.protocol_type = Some(value.protocol_type).filter(|name| !name.is_empty());
        group.generation = value.generation;
        let protocol = value.protocol.clone().unwrap_or_default();
        for one in value.members {
            let mut member = Member {
                id: one.member_id,
                instance: one.group_instance_id,
                client_id: one.client_id,
                client_host: one.client_host,
                rebalance_timeout_ms: u64::try_from(one.rebalance_timeout_ms).unwrap_or(0),
                session_timeout_ms: u64::try_from(one.session_timeout_ms).unwrap_or(0),
                protocols: vec![(protocol.clone(), one.subscription)],
                assignment: one.assignment,
                joining: None,
                syncing: None,
                is_new: false,
                session_due_ms: 0,
            };
            member.extend_session(now_ms);
            if let Some(instance) = &member.instance {
                group.statics.insert(instance.clone(), member.id.clone());
            }
            group.members.insert(member.id.clone(), member);
        }
        if !group.members.is_empty() {
            group.state = State::Stable;
            group.protocol = value.protocol;
            group.leader = value.leader.filter(|leader| group.members.contains_key(leader));
        }
        group
    }

    pub fn set_state(&mut self, env: &Env<'_, '_>, state: State) {
        self.state = state;
        self.state_since_ms = env.ctx.now.wall_ms;
    }

    pub fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// The longest time that any member wants for rejoining.
    pub fn rebalance_timeout_ms(&self) -> u64 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    /// Whether a (new) member with these protocols could work with the present ones.
    pub fn supports(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| self.all_know(name))
    }

    fn all_know(&self, protocol: &str) -> bool {
        let knows = |member: &Member| member.protocols.iter().any(|(name, _)| name == protocol);
        self.members.values().all(knows)
    }

    /// The protocol that most members like best of those that all know.
    pub fn select_protocol(&self) -> Option<String> {
        let first = self.members.values().next()?;
        let candidates: Vec<&str> = first
            .protocols
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| self.all_know(name))
            .collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for vote in self.members.values().filter_map(|member| member.vote(&candidates)) {
            *votes.entry(vote).or_default() += 1;
        }
        // Ties go to the one that the first member prefers.
        let most = votes.values().copied().max()?;
        candidates.into_iter().find(|name| votes.get(name) == Some(&most)).map(str::to_owned)
    }

    /// Whether a request in this member's name is to be trusted.
    pub fn check_member(&self, member: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.statics.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(known) if known != member => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    pub fn add_member(&mut self, env: &mut Env<'_, '_>, mut member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        if let Some(instance) = &member.instance {
            self.statics.insert(instance.clone(), member.id.clone());
        }
        let due_ms = member.extend_session(env.now_ms());
        env.wake(due_ms, &self.id, What::Session { member: member.id.clone() });
        self.members.insert(member.id.clone(), member);
    }

    /// The member showed itself.
    pub fn touch(&mut self, env: &mut Env<'_, '_>, member: &str) {
        let now_ms = env.now_ms();
        if let Some(found) = self.members.get_mut(member) {
            let before_ms = found.session_due_ms;
            let due_ms = found.extend_session(now_ms);
            // A longer session is found out when the old timer fires; a shorter one (a new member's) needs its own.
            if due_ms < before_ms {
                env.wake(due_ms, &self.id, What::Session { member: member.to_owned() });
            }
        }
    }

    /// Takes a member out. Whatever it waits for is answered with `error`.
    pub fn remove_member(&mut self, env: &mut Env<'_, '_>, member: &str, error: ErrorCode) {
        let Some(mut gone) = self.members.remove(member) else { return };
        self.unsynced.remove(member);
        if let Some(instance) = &gone.instance
            && self.statics.get(instance).is_some_and(|id| id == member)
        {
            self.statics.remove(instance);
        }
        if let Some(asker) = gone.joining.take() {
            answer_join_error(env, &asker, member, error);
        }
        if let Some(asker) = gone.syncing.take() {
            answer_sync_error(env, &asker, error);
        }
        if self.is_leader(member) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// The group's record.
    pub fn record(&self, wall_ms: i64) -> (GroupKey, GroupMetadataValue) {
        let protocol = self.protocol.clone().unwrap_or_default();
        let member = |member: &Member| GroupMember {
            member_id: member.id.clone(),
            group_instance_id: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: i32::try_from(member.rebalance_timeout_ms).unwrap_or(i32::MAX),
            session_timeout_ms: i32::try_from(member.session_timeout_ms).unwrap_or(i32::MAX),
            subscription: member.metadata(&protocol),
            assignment: member.assignment.clone(),
        };
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: wall_ms,
            members: self.members.values().map(member).collect(),
        };
        (GroupKey::Group { group: self.id.clone() }, value)
    }

    /// Everybody who waits is told to look for another coordinator.
    pub fn unload(&mut self, ctx: &mut crate::context::Context<'_>) {
        for member in self.members.values_mut() {
            if let Some(asker) = member.joining.take() {
                let body = join_error(&asker, &member.id, ErrorCode::NotCoordinator);
                asker.answer(ctx, &body);
            }
            if let Some(asker) = member.syncing.take() {
                let body = sync_error(ErrorCode::NotCoordinator);
                asker.answer(ctx, &body);
            }
        }
    }
}

/// The first version in which the names of a response may be null.
const NULLABLE_NAMES: i16 = 7;

pub(super) fn join_error(asker: &Asker, member: &str, error: ErrorCode) -> JoinGroupResponse {
    let nameless = (asker.head.api_version < NULLABLE_NAMES).then(|| text(""));
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_protocol_name(nameless)
        .with_member_id(text(member))
}

pub(super) fn answer_join_error(
    env: &mut Env<'_, '_>,
    asker: &Asker,
    member: &str,
    error: ErrorCode,
) {
    let body = join_error(asker, member, error);
    asker.answer(env.ctx, &body);
}

pub(super) fn sync_error(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}

pub(super) fn answer_sync_error(env: &mut Env<'_, '_>, asker: &Asker, error: ErrorCode) {
    asker.answer(env.ctx, &sync_error(error));
}
