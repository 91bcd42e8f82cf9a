//! JoinGroup, and the rebalance that it is part of.
//!
//! Promises: Kafka's order of checks and its answers. An empty group waits `group.initial.rebalance.delay.ms` for more members;
//! a rebalance waits for all members, at most as long as the most patient of them wants; dynamic members that did not come
//! back are out. A static member that comes back gets its place (and, if nothing changed, its generation) again, and
//! whoever still uses its old id is fenced.

use bytes::Bytes;
use wire::StrBytes;
use wire::error::ErrorCode;
use wire::messages::join_group_response::JoinGroupResponseMember;
use wire::messages::{JoinGroupRequest, JoinGroupResponse};

use super::member::Member;
use super::state::{Group, JoinWait, State, answer_join_error, answer_sync_error, join_error};
use super::timers::What;
use super::write::{Store, Then};
use super::{Asker, Env, GroupCoordinator, NAME_BYTES_MAX, check_group_id};
use crate::api::text;
use crate::config::derived_uuid;
use crate::context::{Context, Request};

/// From here on a new member must come back with the id that it was given.
const REQUIRE_KNOWN_MEMBER: i16 = 4;
/// From here on a leader can be told that there is nothing to assign.
const CAN_SKIP_ASSIGNMENT: i16 = 9;
/// A client id may be long; a member id made of it must fit a record.
const MEMBER_ID_PREFIX_BYTES_MAX: usize = 512;

/// A JoinGroup request, read.
pub(super) struct Ask {
    /// Empty: a new member.
    pub member_id: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: u64,
    pub session_timeout_ms: u64,
    pub protocol_type: String,
    pub protocols: Vec<(String, Bytes)>,
    pub version: i16,
}

impl GroupCoordinator {
    pub(super) fn handle_join(&mut self, ctx: &mut Context<'_>, request: &Request) {
        let Some(body) = request.decode::<JoinGroupRequest>(ctx) else { return };
        let asker = Asker::of(request);
        let ask = read(request, &body);
        let checked = check_group_id(&body.group_id)
            .and_then(|()| self.shard_of(&body.group_id))
            .and_then(|shard| check(ctx, &ask).map(|()| shard));
        let shard = match checked {
            Ok(shard) => shard,
            Err(error) => {
                asker.answer(ctx, &join_error(&asker, &ask.member_id, error));
                return;
            }
        };
        let wall_ms = ctx.now.wall_ms;
        if ask.member_id.is_empty()
            && let Some(shard) = self.shards.get_mut(&shard)
        {
            let group = body.group_id.as_str();
            shard.groups.entry(group.to_owned()).or_insert_with(|| Group::new(group, wall_ms));
        }
        let member_id = ask.member_id.clone();
        let found = self.with_group(ctx, shard, &body.group_id, |group, env| {
            group.join(env, ask, asker.clone());
        });
        if found.is_none() {
            asker.answer(ctx, &join_error(&asker, &member_id, ErrorCode::UnknownMemberId));
        }
    }
}

fn read(request: &Request, body: &JoinGroupRequest) -> Ask {
    let timeout = |ms: i32| u64::try_from(ms).unwrap_or(0);
    // Version 0 has no rebalance timeout of its own.
    let rebalance_timeout_ms = match request.head.api_version {
        0 => timeout(body.session_timeout_ms),
        _ => timeout(body.rebalance_timeout_ms),
    };
    Ask {
        member_id: body.member_id.to_string(),
        instance: body.group_instance_id.as_ref().map(ToString::to_string),
        client_id: request.head.client_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        client_host: format!("/{}", request.peer_host),
        rebalance_timeout_ms,
        session_timeout_ms: timeout(body.session_timeout_ms),
        protocol_type: body.protocol_type.to_string(),
        protocols: body
            .protocols
            .iter()
            .map(|protocol| (protocol.name.to_string(), protocol.metadata.clone()))
            .collect(),
        version: request.head.api_version,
    }
}

fn check(ctx: &Context<'_>, ask: &Ask) -> Result<(), ErrorCode> {
    let range = timeout_range(ctx);
    if !range.contains(&ask.session_timeout_ms) {
        return Err(ErrorCode::InvalidSessionTimeout);
    }
    let names = ask.protocols.iter().map(|(name, _)| name);
    let fits = |name: &String| name.len() <= NAME_BYTES_MAX;
    if !names.chain([&ask.protocol_type, &ask.member_id]).chain(&ask.instance).all(fits) {
        return Err(ErrorCode::InvalidRequest);
    }
    Ok(())
}

fn timeout_range(ctx: &Context<'_>) -> std::ops::RangeInclusive<u64> {
    let bound = |ms: i32| u64::try_from(ms).unwrap_or(0);
    bound(ctx.config.group_min_session_timeout_ms)..=bound(ctx.config.group_max_session_timeout_ms)
}

impl Group {
    pub(super) fn join(&mut self, env: &mut Env<'_, '_>, ask: Ask, asker: Asker) {
        if !self.accepts(env, &ask.member_id) {
            self.remove_member(env, &ask.member_id, ErrorCode::UnknownMemberId);
            answer_join_error(env, &asker, "", ErrorCode::GroupMaxSizeReached);
        } else if self.state == State::Dead {
            answer_join_error(env, &asker, &ask.member_id, ErrorCode::CoordinatorNotAvailable);
        } else if !self.supports(&ask.protocol_type, &ask.protocols) {
            answer_join_error(env, &asker, &ask.member_id, ErrorCode::InconsistentGroupProtocol);
        } else if ask.member_id.is_empty() {
            self.join_new(env, ask, asker);
        } else {
            self.join_known(env, ask, asker);
        }
        self.try_complete_join(env);
    }

    fn accepts(&self, env: &Env<'_, '_>, member: &str) -> bool {
        let max = usize::try_from(env.ctx.config.group_max_size).unwrap_or(0);
        match self.state {
            State::Empty | State::Dead => true,
            State::PreparingRebalance => {
                let joining = |member: &Member| member.joining.is_some();
                self.members.get(member).is_some_and(joining)
                    || self.members.values().filter(|one| joining(one)).count() < max
            }
            State::CompletingRebalance | State::Stable => {
                self.members.contains_key(member) || self.members.len() < max
            }
        }
    }

    fn join_new(&mut self, env: &mut Env<'_, '_>, mut ask: Ask, asker: Asker) {
        let member_id = new_member_id(env, ask.instance.as_deref().unwrap_or(&ask.client_id));
        if let Some(instance) = &ask.instance {
            match self.statics.get(instance).cloned() {
                Some(old) => self.replace_static(env, old, member_id, ask, asker),
                None => {
                    ask.member_id = member_id;
                    self.add_and_rebalance(env, ask, asker);
                }
            }
        } else if ask.version >= REQUIRE_KNOWN_MEMBER {
            let due_ms = env.now_ms().saturating_add(ask.session_timeout_ms);
            self.pending.insert(member_id.clone(), due_ms);
            env.wake(due_ms, &self.id, What::Pending { member: member_id.clone() });
            answer_join_error(env, &asker, &member_id, ErrorCode::MemberIdRequired);
        } else {
            ask.member_id = member_id;
            self.add_and_rebalance(env, ask, asker);
        }
    }

    fn join_known(&mut self, env: &mut Env<'_, '_>, ask: Ask, asker: Asker) {
        if self.pending.contains_key(&ask.member_id) {
            if ask.instance.is_some() {
                // A static member is never asked to come back with an id.
                answer_join_error(env, &asker, &ask.member_id, ErrorCode::UnknownMemberId);
            } else {
                self.add_and_rebalance(env, ask, asker);
            }
            return;
        }
        if let Err(error) = self.check_member(&ask.member_id, ask.instance.as_deref()) {
            answer_join_error(env, &asker, &ask.member_id, error);
            return;
        }
        let same = self.members.get(&ask.member_id).is_some_and(|one| one.matches(&ask.protocols));
        match self.state {
            State::PreparingRebalance => self.update_and_rebalance(env, ask, asker),
            // It may have missed the answer to its JoinGroup.
            State::CompletingRebalance if same => {
                self.answer_join(env, &ask.member_id, &asker, false);
            }
            // A leader that joins again wants another assignment; a follower wants to know where it stands.
            State::Stable if same && !self.is_leader(&ask.member_id) => {
                self.touch(env, &ask.member_id);
                self.answer_join(env, &ask.member_id, &asker, false);
            }
            State::CompletingRebalance | State::Stable => {
                self.update_and_rebalance(env, ask, asker);
            }
            State::Empty | State::Dead => {
                answer_join_error(env, &asker, &ask.member_id, ErrorCode::UnknownMemberId);
            }
        }
    }

    fn add_and_rebalance(&mut self, env: &mut Env<'_, '_>, ask: Ask, asker: Asker) {
        if self.state == State::PreparingRebalance && self.generation == 0 {
            self.new_member_added = true;
        }
        self.pending.remove(&ask.member_id);
        let member = Member {
            id: ask.member_id,
            instance: ask.instance,
            client_id: ask.client_id,
            client_host: ask.client_host,
            rebalance_timeout_ms: ask.rebalance_timeout_ms,
            session_timeout_ms: ask.session_timeout_ms,
            protocols: ask.protocols,
            assignment: Bytes::new(),
            joining: Some(asker),
            syncing: None,
            is_new: true,
            session_due_ms: 0,
        };
        self.add_member(env, member, &ask.protocol_type);
        self.maybe_prepare_rebalance(env);
    }

    fn update_and_rebalance(&mut self, env: &mut Env<'_, '_>, ask: Ask, asker: Asker) {
        let member_id = ask.member_id.clone();
        self.update_member(env, &member_id, ask, asker);
        self.touch(env, &member_id);
        self.maybe_prepare_rebalance(env);
    }

    fn update_member(&mut self, env: &mut Env<'_, '_>, member: &str, ask: Ask, asker: Asker) {
        let Some(found) = self.members.get_mut(member) else { return };
        found.protocols = ask.protocols;
        found.rebalance_timeout_ms = ask.rebalance_timeout_ms;
        found.session_timeout_ms = ask.session_timeout_ms;
        // The client gave up on its last JoinGroup, or it would not ask again.
        if let Some(before) = found.joining.replace(asker) {
            answer_join_error(env, &before, member, ErrorCode::RebalanceInProgress);
        }
    }

    /// A static member came back under a new id: the old one is fenced.
    fn replace_static(
        &mut self,
        env: &mut Env<'_, '_>,
        old: String,
        new: String,
        ask: Ask,
        asker: Asker,
    ) {
        let Some(mut member) = self.members.remove(&old) else { return };
        let old_protocols = member.protocols.clone();
        let old_timeouts = (member.rebalance_timeout_ms, member.session_timeout_ms);
        if let Some(before) = member.joining.take() {
            answer_join_error(env, &before, &old, ErrorCode::FencedInstanceId);
        }
        if let Some(before) = member.syncing.take() {
            answer_sync_error(env, &before, ErrorCode::FencedInstanceId);
        }
        let old_leader = self.leader.clone();
        if self.is_leader(&old) {
            self.leader = Some(new.clone());
        }
        if self.unsynced.remove(&old) {
            self.unsynced.insert(new.clone());
        }
        if let Some(instance) = &ask.instance {
            self.statics.insert(instance.clone(), new.clone());
        }
        member.id = new.clone();
        self.members.insert(new.clone(), member);
        let version = ask.version;
        self.update_member(env, &new, ask, asker);
        let due_ms = env.now_ms();
        env.wake(due_ms, &self.id, What::Session { member: new.clone() });
        self.touch(env, &new);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol => {
                // Nothing changed but an id: written down, and no rebalance.
                let then = Then::StaticReplaced {
                    old,
                    new,
                    old_protocols,
                    old_timeouts,
                    old_leader,
                    skip_assignment: version >= CAN_SKIP_ASSIGNMENT,
                };
                env.stores.push(Store::group(env.shard, self, env.ctx.now.wall_ms, then));
            }
            State::Stable | State::CompletingRebalance | State::Empty => {
                self.maybe_prepare_rebalance(env);
            }
            State::PreparingRebalance | State::Dead => {}
        }
    }

    /// The record of a replaced static member is written, or is not.
    pub(super) fn static_replaced(
        &mut self,
        env: &mut Env<'_, '_>,
        then: Then,
        result: Result<(), ErrorCode>,
    ) {
        let Then::StaticReplaced {
            old,
            new,
            old_protocols,
            old_timeouts,
            old_leader,
            skip_assignment,
        } = then
        else {
            return;
        };
        let Some(member) = self.members.get_mut(&new) else { return };
        // In a rebalance by now: its end answers.
        let Some(asker) = member.joining.take_if(|_| self.state == State::Stable) else { return };
        match result {
            Ok(()) if skip_assignment => self.answer_join(env, &new, &asker, true),
            Ok(()) => {
                // An old client would compute an assignment if it were told that it leads: it hears the old leader's id.
                let mut body = self.join_answer(&new, &asker, false);
                body.leader = text(old_leader.as_deref().unwrap_or_default());
                body.members.clear();
                asker.answer(env.ctx, &body);
            }
            Err(error) => {
                if let Some(mut member) = self.members.remove(&new) {
                    member.id = old.clone();
                    member.protocols = old_protocols;
                    (member.rebalance_timeout_ms, member.session_timeout_ms) = old_timeouts;
                    if let Some(instance) = &member.instance {
                        self.statics.insert(instance.clone(), old.clone());
                    }
                    self.members.insert(old.clone(), member);
                    if self.is_leader(&new) {
                        self.leader = Some(old.clone());
                    }
                    let due_ms = env.now_ms();
                    env.wake(due_ms, &self.id, What::Session { member: old });
                }
                answer_join_error(env, &asker, "", error);
            }
        }
    }

    pub(super) fn maybe_prepare_rebalance(&mut self, env: &mut Env<'_, '_>) {
        if !matches!(self.state, State::Stable | State::CompletingRebalance | State::Empty) {
            return;
        }
        if self.state == State::CompletingRebalance {
            self.fail_syncs(env, ErrorCode::RebalanceInProgress);
        }
        let (wait_ms, initial_left_ms) = if self.state == State::Empty {
            let delay_ms = env.ctx.config.group_initial_rebalance_delay_ms;
            (delay_ms, Some(self.rebalance_timeout_ms().saturating_sub(delay_ms)))
        } else {
            (self.rebalance_timeout_ms(), None)
        };
        self.unsynced.clear();
        self.assigning = false;
        self.set_state(env, State::PreparingRebalance);
        self.wait_for_joins(env, wait_ms, initial_left_ms);
        self.try_complete_join(env);
    }

    fn wait_for_joins(
        &mut self,
        env: &mut Env<'_, '_>,
        wait_ms: u64,
        initial_left_ms: Option<u64>,
    ) {
        self.joins += 1;
        self.join_wait = Some(JoinWait { number: self.joins, initial_left_ms });
        let due_ms = env.now_ms().saturating_add(wait_ms);
        env.wake(due_ms, &self.id, What::Join { number: self.joins });
    }

    /// Ends the wait for members if all are there.
    pub(super) fn try_complete_join(&mut self, env: &mut Env<'_, '_>) {
        let Some(wait) = &self.join_wait else { return };
        // The initial wait is for members that nobody knows yet: it runs its time.
        if wait.initial_left_ms.is_some() {
            return;
        }
        let all_here = self.members.values().all(|member| member.joining.is_some());
        if all_here && self.pending.is_empty() {
            self.complete_join(env);
        }
    }

    /// The wait of that number is over.
    pub(super) fn join_due(&mut self, env: &mut Env<'_, '_>, number: u64) {
        let Some(wait) = &self.join_wait else { return };
        if wait.number != number {
            return;
        }
        if let Some(left_ms) = wait.initial_left_ms
            && self.new_member_added
            && left_ms > 0
        {
            self.new_member_added = false;
            let wait_ms = env.ctx.config.group_initial_rebalance_delay_ms.min(left_ms);
            self.wait_for_joins(env, wait_ms, Some(left_ms - wait_ms));
            return;
        }
        self.complete_join(env);
    }

    fn complete_join(&mut self, env: &mut Env<'_, '_>) {
        let absent = |member: &&Member| member.joining.is_none() && member.instance.is_none();
        let out: Vec<String> =
            self.members.values().filter(absent).map(|member| member.id.clone()).collect();
        for member in out {
            self.remove_member(env, &member, ErrorCode::UnknownMemberId);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only static members, and none is back: they keep their places for another wait.
            let wait_ms = self.rebalance_timeout_ms();
            self.wait_for_joins(env, wait_ms, None);
            return;
        }
        self.join_wait = None;
        self.new_member_added = false;
        self.generation = self.generation.wrapping_add(1).max(1);
        self.unsynced.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.set_state(env, State::Empty);
            let store = Store::group(env.shard, self, env.ctx.now.wall_ms, Then::Emptied);
            env.stores.push(store);
            return;
        }
        self.protocol = self.select_protocol();
        self.set_state(env, State::CompletingRebalance);
        self.unsynced = self.members.keys().cloned().collect();
        let due_ms = env.now_ms().saturating_add(self.rebalance_timeout_ms());
        env.wake(due_ms, &self.id, What::Sync { generation: self.generation });
        let members: Vec<String> = self.members.keys().cloned().collect();
        for id in members {
            let asker = self.members.get_mut(&id).and_then(|member| {
                member.is_new = false;
                member.joining.take()
            });
            self.touch(env, &id);
            if let Some(asker) = asker {
                self.answer_join(env, &id, &asker, false);
            }
        }
    }

    /// Whether a member that joined leads now.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |member: &Member| member.joining.is_some();
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        if leader.is_some_and(joined) {
            return true;
        }
        let next = self.members.values().find(|member| joined(member)).map(|one| one.id.clone());
        let found = next.is_some();
        if found {
            self.leader = next;
        }
        found
    }

    fn answer_join(
        &mut self,
        env: &mut Env<'_, '_>,
        member: &str,
        asker: &Asker,
        skip_assignment: bool,
    ) {
        let body = self.join_answer(member, asker, skip_assignment);
        asker.answer(env.ctx, &body);
    }

    fn join_answer(&self, member: &str, asker: &Asker, skip_assignment: bool) -> JoinGroupResponse {
        let leads = self.is_leader(member);
        let protocol = self.protocol.clone().unwrap_or_default();
        let one = |one: &Member| {
            JoinGroupResponseMember::default()
                .with_member_id(text(&one.id))
                .with_group_instance_id(one.instance.as_deref().map(text))
                .with_metadata(one.metadata(&protocol))
        };
        let members = if leads { self.members.values().map(one).collect() } else { Vec::new() };
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(Some(StrBytes::from_string(protocol)))
            .with_leader(text(self.leader.as_deref().unwrap_or_default()))
            .with_skip_assignment(
                skip_assignment && leads && asker.head.api_version >= CAN_SKIP_ASSIGNMENT,
            )
            .with_member_id(text(member))
            .with_members(members)
    }
}

/// The client's (or instance's) name with something that no other member ever had.
fn new_member_id(env: &mut Env<'_, '_>, prefix: &str) -> String {
    *env.member_ids += 1;
    let mut end = prefix.len().min(MEMBER_ID_PREFIX_BYTES_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let now = env.ctx.now;
    let node = env.ctx.config.node_id;
    let unique =
        derived_uuid(&format!("{node}|{}|{}|{}", now.wall_ms, now.mono_ns, env.member_ids));
    format!("{}-{}", &prefix[..end], unique.hyphenated())
}
