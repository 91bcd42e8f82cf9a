//! DescribeGroups, ListGroups, DeleteGroups.
//!
//! Promises: what is told is this broker's part; a client that wants all groups asks all brokers. A group is gone for
//! everybody when the answer says so: its records' tombstones are committed then.

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::StrBytes;
use wire::error::ErrorCode;
use wire::groups::GroupKey;
use wire::messages::delete_groups_response::DeletableGroupResult;
use wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use wire::messages::list_groups_response::ListedGroup;
use wire::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, ListGroupsRequest, ListGroupsResponse,
};

use super::state::{Group, State};
use super::write::{Store, Then};
use super::{Asker, GroupCoordinator, NAME_BYTES_MAX};
use crate::api::{OPERATIONS_NOT_ASKED, text};
use crate::context::{Context, Request, TopicPartitionId};

/// From here on a group that is not there is an error and not a dead group.
const NOT_FOUND_IS_AN_ERROR: i16 = 6;
/// The first version of DescribeGroups that may ask for authorized operations.
const WITH_OPERATIONS: i16 = 3;
/// READ, DELETE, DESCRIBE and the configs: all that can be done to a group where everybody may do everything.
const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8;
const CLASSIC: &str = "classic";
/// What librdkafka and Kafka's tools call a group that is not there.
const DEAD: &str = "Dead";

/// One group's place in a DeleteGroups request.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeleteShare {
    op: u64,
    index: usize,
}

struct Delete {
    asker: Asker,
    results: Vec<DeletableGroupResult>,
    outstanding: usize,
}

/// DeleteGroups requests that wait for tombstones.
#[derive(Default)]
pub(super) struct Deletes {
    next: u64,
    ops: BTreeMap<u64, Delete>,
}

impl GroupCoordinator {
    pub(super) fn handle_describe(&mut self, ctx: &mut Context<'_>, request: &Request) {
        let Some(body) = request.decode::<DescribeGroupsRequest>(ctx) else { return };
        let version = request.head.api_version;
        let operations = if body.include_authorized_operations && version >= WITH_OPERATIONS {
            GROUP_OPERATIONS
        } else {
            OPERATIONS_NOT_ASKED
        };
        let groups = body.groups.iter().map(|id| {
            let described = match self.shard_of(id) {
                Err(error) => DescribedGroup::default().with_error_code(error.code()),
                Ok(shard) => match self.found(shard, id) {
                    Some(group) => describe(group).with_authorized_operations(operations),
                    None => not_found(version, id),
                },
            };
            described.with_group_id(id.clone())
        });
        let response = DescribeGroupsResponse::default().with_groups(groups.collect());
        ctx.respond(request, &response);
    }

    fn found(&self, shard: TopicPartitionId, group: &str) -> Option<&Group> {
        let group = self.shards.get(&shard)?.groups.get(group)?;
        (group.state != State::Dead).then_some(group)
    }

    pub(super) fn handle_list(&mut self, ctx: &mut Context<'_>, request: &Request) {
        let Some(body) = request.decode::<ListGroupsRequest>(ctx) else { return };
        let loading = self.shards.values().any(|shard| shard.loading.is_some());
        let error = if loading { ErrorCode::CoordinatorLoadInProgress } else { ErrorCode::None };
        let passes = |filter: &[StrBytes], value: &str| {
            filter.is_empty() || filter.iter().any(|one| one.eq_ignore_ascii_case(value))
        };
        let groups = self
            .shards
            .values()
            .filter(|shard| shard.loading.is_none())
            .flat_map(|shard| shard.groups.values())
            .filter(|group| group.state != State::Dead)
            .filter(|group| passes(&body.states_filter, group.state.name()))
            .filter(|_| passes(&body.types_filter, CLASSIC))
            .map(|group| {
                ListedGroup::default()
                    .with_group_id(GroupId(text(&group.id)))
                    .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or_default()))
                    .with_group_state(text(group.state.name()))
                    .with_group_type(text(CLASSIC))
            });
        let response = ListGroupsResponse::default()
            .with_error_code(error.code())
            .with_groups(groups.collect());
        ctx.respond(request, &response);
    }

    pub(super) fn handle_delete(&mut self, ctx: &mut Context<'_>, request: &Request) {
        let Some(body) = request.decode::<DeleteGroupsRequest>(ctx) else { return };
        self.deletes.next += 1;
        let op = self.deletes.next;
        let mut outstanding = 0;
        let mut results = Vec::with_capacity(body.groups_names.len());
        for (index, id) in body.groups_names.iter().enumerate() {
            let error = match self.start_delete(id, DeleteShare { op, index }) {
                Ok(store) => {
                    self.stores.push(store);
                    outstanding += 1;
                    ErrorCode::None
                }
                Err(error) => error,
            };
            let result = DeletableGroupResult::default();
            results.push(result.with_group_id(id.clone()).with_error_code(error.code()));
        }
        if outstanding == 0 {
            ctx.respond(request, &DeleteGroupsResponse::default().with_results(results));
            return;
        }
        let delete = Delete { asker: Asker::of(request), results, outstanding };
        self.deletes.ops.insert(op, delete);
    }

    fn start_delete(&mut self, id: &str, share: DeleteShare) -> Result<Store, ErrorCode> {
        if id.len() > NAME_BYTES_MAX {
            return Err(ErrorCode::GroupIdNotFound);
        }
        let shard = self.shard_of(id)?;
        let group = self.shards.get_mut(&shard).and_then(|shard| shard.groups.get_mut(id));
        let group = group.ok_or(ErrorCode::GroupIdNotFound)?;
        match group.state {
            State::Dead => return Err(ErrorCode::GroupIdNotFound),
            State::Empty => {}
            _ => return Err(ErrorCode::NonEmptyGroup),
        }
        let mut records: Vec<(GroupKey, Option<Bytes>)> = group
            .offsets
            .keys()
            .map(|(topic, partition)| {
                let (group, topic) = (id.to_owned(), topic.clone());
                (GroupKey::Offset { group, topic, partition: *partition }, None)
            })
            .collect();
        records.push((GroupKey::Group { group: id.to_owned() }, None));
        group.state = State::Dead;
        Ok(Store { shard, group: id.to_owned(), records, then: Then::Deleted { share } })
    }

    /// The tombstones are committed, or are not. Late news (`answered`) find a group that may be alive again.
    pub(super) fn deleted(
        &mut self,
        ctx: &mut Context<'_>,
        shard: TopicPartitionId,
        name: &str,
        share: DeleteShare,
        result: Result<(), ErrorCode>,
        answered: bool,
    ) {
        if let Some(shard) = self.shards.get_mut(&shard)
            && let Some(group) = shard.groups.get_mut(name)
        {
            if result.is_ok() {
                group.offsets.clear();
            }
            let gone = result.is_ok()
                && (group.state == State::Dead
                    || group.state == State::Empty && group.pending.is_empty());
            if gone {
                shard.groups.remove(name);
            } else if group.state == State::Dead {
                group.state = State::Empty;
            }
        }
        if !answered {
            self.delete_settled(ctx, share, result.err().unwrap_or(ErrorCode::None));
        }
    }

    pub(super) fn delete_settled(
        &mut self,
        ctx: &mut Context<'_>,
        share: DeleteShare,
        error: ErrorCode,
    ) {
        let Some(delete) = self.deletes.ops.get_mut(&share.op) else { return };
        if let Some(result) = delete.results.get_mut(share.index) {
            result.error_code = error.code();
        }
        delete.outstanding -= 1;
        if delete.outstanding > 0 {
            return;
        }
        if let Some(delete) = self.deletes.ops.remove(&share.op) {
            let body = DeleteGroupsResponse::default().with_results(delete.results);
            delete.asker.answer(ctx, &body);
        }
    }
}

fn describe(group: &Group) -> DescribedGroup {
    let stable = group.state == State::Stable;
    let protocol = group.protocol.as_deref().filter(|_| stable).unwrap_or_default();
    let members = group.members.values().map(|member| {
        // What a member told an assignor is settled only with the assignor.
        let metadata = if stable { member.metadata(protocol) } else { Bytes::new() };
        DescribedGroupMember::default()
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance.as_deref().map(text))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(metadata)
            .with_member_assignment(member.assignment.clone())
    });
    DescribedGroup::default()
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or_default()))
        .with_protocol_data(text(protocol))
        .with_members(members.collect())
}

fn not_found(version: i16, id: &str) -> DescribedGroup {
    let dead = DescribedGroup::default().with_group_state(text(DEAD));
    if version < NOT_FOUND_IS_AN_ERROR {
        return dead;
    }
    dead.with_error_code(ErrorCode::GroupIdNotFound.code())
        .with_error_message(Some(text(&format!("Group {id} not found."))))
}
