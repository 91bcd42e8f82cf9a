//! OffsetCommit and OffsetFetch, and offsets that nobody needs any more.
//!
//! Promises: a committed offset is handed out once its record is committed, and stays until it is replaced, expires
//! (`offsets.retention.minutes` after its group was last alive), or its topic or group is deleted.

use wire::error::ErrorCode;
use wire::groups::{GroupKey, OffsetCommitValue};
use wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use wire::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};

use super::state::{Group, State};
use super::timers::What;
use super::write::{Store, Then};
use super::{Asker, Env, GroupCoordinator, NAME_BYTES_MAX};
use crate::api::text;
use crate::context::{Context, Request, TopicPartitionId};
use crate::defect::Defect;
use crate::image::MetadataImage;

/// The first version of OffsetFetch that asks for many groups.
const MANY_GROUPS: i16 = 8;
/// The first version of OffsetFetch with an error for the whole group.
const WITH_GROUP_ERROR: i16 = 2;
/// The versions of OffsetCommit in which the client may say how long an offset is to be kept.
const WITH_RETENTION: std::ops::RangeInclusive<i16> = 2..=4;
/// Kafka's `offsets.retention.check.interval.ms`.
pub(super) const SWEEP_INTERVAL_MS: u64 = 600_000;
/// Tombstones in one batch of a sweep.
const TOMBSTONES_MAX: usize = 5_000;

impl GroupCoordinator {
    pub(super) fn handle_offset_commit(
        &mut self,
        ctx: &mut Context<'_>,
        image: &MetadataImage,
        request: &Request,
    ) {
        let Some(body) = request.decode::<OffsetCommitRequest>(ctx) else { return };
        let asker = Asker::of(request);
        let (offsets, mut response) = read_commit(ctx, image, request, &body);
        let shard = match self.shard_of(&body.group_id) {
            Ok(_) if body.group_id.len() > NAME_BYTES_MAX => Err(ErrorCode::InvalidGroupId),
            other => other,
        };
        let checked = shard.and_then(|shard| {
            let group = body.group_id.as_str();
            let wall_ms = ctx.now.wall_ms;
            // Who names no generation is no member and brings its group along.
            if body.generation_id_or_member_epoch < 0
                && let Some(shard) = self.shards.get_mut(&shard)
            {
                shard.groups.entry(group.to_owned()).or_insert_with(|| Group::new(group, wall_ms));
            }
            let checked =
                self.with_group(ctx, shard, group, |group, env| group.check_commit(env, &body));
            checked.unwrap_or(Err(ErrorCode::IllegalGeneration)).map(|()| shard)
        });
        match checked {
            Err(error) => {
                fail(&mut response, error);
                asker.answer(ctx, &response);
            }
            Ok(_) if offsets.is_empty() => asker.answer(ctx, &response),
            Ok(shard) => {
                let key = |(topic, partition): &(String, i32)| GroupKey::Offset {
                    group: body.group_id.to_string(),
                    topic: topic.clone(),
                    partition: *partition,
                };
                let records =
                    offsets.iter().map(|(of, value)| (key(of), Some(value.encode()))).collect();
                let then = Then::Committed { offsets, response, asker };
                let group = body.group_id.to_string();
                self.stores.push(Store { shard, group, records, then });
            }
        }
    }

    pub(super) fn handle_offset_fetch(&mut self, ctx: &mut Context<'_>, request: &Request) {
        let Some(body) = request.decode::<OffsetFetchRequest>(ctx) else { return };
        let version = request.head.api_version;
        if version >= MANY_GROUPS {
            let groups = body.groups.iter().map(|asked| {
                let topics = asked.topics.as_ref().map(|topics| {
                    let of = topics.iter().map(|one| (&one.name, &one.partition_indexes[..]));
                    of.collect::<Vec<_>>()
                });
                let group =
                    OffsetFetchResponseGroup::default().with_group_id(asked.group_id.clone());
                match self.fetch(&asked.group_id, topics.as_deref()) {
                    Ok(found) => group.with_topics(found.into_iter().map(Found::many).collect()),
                    Err(error) => group.with_error_code(error.code()),
                }
            });
            ctx.respond(request, &OffsetFetchResponse::default().with_groups(groups.collect()));
            return;
        }
        let topics = body.topics.as_ref().map(|topics| {
            let of = topics.iter().map(|one| (&one.name, &one.partition_indexes[..]));
            of.collect::<Vec<_>>()
        });
        let response = match self.fetch(&body.group_id, topics.as_deref()) {
            Ok(found) => OffsetFetchResponse::default()
                .with_topics(found.into_iter().map(Found::single).collect()),
            Err(error) => {
                let failed = if version >= WITH_GROUP_ERROR {
                    Vec::new()
                } else {
                    topics.iter().flatten().map(|asked| Found::failed(asked, error)).collect()
                };
                OffsetFetchResponse::default().with_error_code(error.code()).with_topics(failed)
            }
        };
        ctx.respond(request, &response);
    }

    /// `None` asks for everything that the group has.
    fn fetch(
        &self,
        group: &str,
        asked: Option<&[(&TopicName, &[i32])]>,
    ) -> Result<Vec<Found>, ErrorCode> {
        let shard = self.shard_of(group)?;
        let group = self.shards.get(&shard).and_then(|shard| shard.groups.get(group));
        let group = group.filter(|group| group.state != State::Dead);
        let Some(asked) = asked else {
            let mut found: Vec<Found> = Vec::new();
            for ((topic, partition), value) in group.iter().flat_map(|group| &group.offsets) {
                if found.last().is_none_or(|last| last.topic.as_str() != topic.as_str()) {
                    found.push(Found { topic: TopicName(text(topic)), partitions: Vec::new() });
                }
                if let Some(last) = found.last_mut() {
                    last.partitions.push((*partition, Some(value.clone()), ErrorCode::None));
                }
            }
            return Ok(found);
        };
        let found = asked.iter().map(|(topic, partitions)| Found {
            topic: (*topic).clone(),
            partitions: partitions
                .iter()
                .map(|partition| {
                    let key = (topic.to_string(), *partition);
                    let value = group.and_then(|group| group.offsets.get(&key)).cloned();
                    (*partition, value, ErrorCode::None)
                })
                .collect(),
        });
        Ok(found.collect())
    }

    /// A topic is gone: so are the offsets in it.
    pub(super) fn forget_topic(&mut self, topic: &str) {
        for (id, shard) in &self.shards {
            for group in shard.groups.values() {
                let first = (topic.to_owned(), i32::MIN);
                let offsets: Vec<(String, i32)> = group
                    .offsets
                    .range(first..)
                    .map(|(key, _)| key.clone())
                    .take_while(|(name, _)| name == topic)
                    .collect();
                if !offsets.is_empty() {
                    self.stores.push(tombstones(*id, group, offsets, false));
                }
            }
        }
    }

    /// Looks for offsets that are too old, and for groups that have nothing left.
    pub(super) fn sweep(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        let next_ms = ctx.now.mono_ms().saturating_add(SWEEP_INTERVAL_MS);
        let retention_ms = ctx.config.offsets_retention_minutes.saturating_mul(60_000);
        let now_ms = ctx.now.wall_ms;
        let Some(shard) = self.shards.get(&id) else { return };
        self.timers.set(next_ms, id, "", What::Sweep);
        if shard.loading.is_some() || !shard.writes.is_empty() {
            return;
        }
        let mut room = TOMBSTONES_MAX;
        for group in shard.groups.values().filter(|group| group.state == State::Empty) {
            if room == 0 {
                break;
            }
            let is_due = |value: &OffsetCommitValue| {
                let base_ms = match group.protocol_type {
                    Some(_) if group.state_since_ms >= 0 => group.state_since_ms,
                    _ => value.commit_timestamp,
                };
                let due_ms = match value.expire_timestamp {
                    -1 => base_ms.saturating_add(retention_ms),
                    set => set,
                };
                due_ms <= now_ms
            };
            let mut due: Vec<(String, i32)> = group
                .offsets
                .iter()
                .filter(|(_, value)| is_due(value))
                .map(|(key, _)| key.clone())
                .collect();
            due.truncate(room);
            room -= due.len();
            let all = due.len() == group.offsets.len() && group.pending.is_empty();
            // A group that was made by a commit which then failed has never been written down.
            if !due.is_empty() || (all && group.generation > 0) {
                self.stores.push(tombstones(id, group, due, all));
            }
        }
    }

    /// The tombstones are committed.
    pub(super) fn expired(
        &mut self,
        shard: TopicPartitionId,
        name: &str,
        offsets: &[(String, i32)],
        all: bool,
    ) {
        let Some(shard) = self.shards.get_mut(&shard) else { return };
        let Some(group) = shard.groups.get_mut(name) else { return };
        for key in offsets {
            group.offsets.remove(key);
        }
        let nothing_left = group.offsets.is_empty() && group.pending.is_empty();
        if all && nothing_left && group.state == State::Empty {
            shard.groups.remove(name);
        }
    }
}

impl Group {
    /// Whether a committer may commit, by Kafka's rules; a member's commit is a sign of life.
    fn check_commit(
        &mut self,
        env: &mut Env<'_, '_>,
        body: &OffsetCommitRequest,
    ) -> Result<(), ErrorCode> {
        let generation = body.generation_id_or_member_epoch;
        let instance = body.group_instance_id.as_deref();
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        if generation >= 0 || !body.member_id.is_empty() || instance.is_some() {
            let anybody = env.ctx.config.highwater_defects.has(Defect::ZombieCommits);
            if !anybody {
                self.check_member(&body.member_id, instance)?;
            }
            if generation != self.generation && !anybody {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else if self.state != State::Empty {
            // While there are members, only they commit.
            return Err(ErrorCode::UnknownMemberId);
        }
        self.touch(env, &body.member_id);
        match self.state {
            State::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }
}

type Offsets = Vec<((String, i32), OffsetCommitValue)>;

/// What is to be written, and an answer in which all else has its error already.
fn read_commit(
    ctx: &Context<'_>,
    image: &MetadataImage,
    request: &Request,
    body: &OffsetCommitRequest,
) -> (Offsets, OffsetCommitResponse) {
    let metadata_max = usize::try_from(ctx.config.offset_metadata_max_bytes).unwrap_or(0);
    let metadata_max = metadata_max.min(NAME_BYTES_MAX);
    let wall_ms = ctx.now.wall_ms;
    let keeps = WITH_RETENTION.contains(&request.head.api_version) && body.retention_time_ms >= 0;
    let expire_timestamp = if keeps { wall_ms.saturating_add(body.retention_time_ms) } else { -1 };
    let mut offsets = Vec::new();
    let mut topics = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        let known = image.topic(&topic.name);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for one in &topic.partitions {
            let metadata = one.committed_metadata.as_deref().unwrap_or_default();
            let exists =
                known.is_some_and(|topic| topic.partitions.contains_key(&one.partition_index));
            let error = if !exists {
                ErrorCode::UnknownTopicOrPartition
            } else if metadata.len() > metadata_max {
                ErrorCode::OffsetMetadataTooLarge
            } else {
                let value = OffsetCommitValue {
                    offset: one.committed_offset,
                    leader_epoch: one.committed_leader_epoch,
                    metadata: metadata.to_owned(),
                    commit_timestamp: wall_ms,
                    expire_timestamp,
                };
                offsets.push(((topic.name.to_string(), one.partition_index), value));
                ErrorCode::None
            };
            partitions.push(
                OffsetCommitResponsePartition::default()
                    .with_partition_index(one.partition_index)
                    .with_error_code(error.code()),
            );
        }
        topics.push(
            OffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions),
        );
    }
    (offsets, OffsetCommitResponse::default().with_topics(topics))
}

/// Gives an error to every partition that has none yet.
pub(super) fn fail(response: &mut OffsetCommitResponse, error: ErrorCode) {
    let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for partition in partitions.filter(|partition| partition.error_code == 0) {
        partition.error_code = error.code();
    }
}

/// The end of some of a group's offsets, and with `all` of the group.
pub(super) fn tombstones(
    shard: TopicPartitionId,
    group: &Group,
    offsets: Vec<(String, i32)>,
    all: bool,
) -> Store {
    let mut records: Vec<_> = offsets
        .iter()
        .map(|(topic, partition)| {
            let (topic, partition) = (topic.clone(), *partition);
            (GroupKey::Offset { group: group.id.clone(), topic, partition }, None)
        })
        .collect();
    if all {
        records.push((GroupKey::Group { group: group.id.clone() }, None));
    }
    Store { shard, group: group.id.clone(), records, then: Then::Expired { offsets, all } }
}

/// One topic of an answer.
struct Found {
    topic: TopicName,
    partitions: Vec<(i32, Option<OffsetCommitValue>, ErrorCode)>,
}

impl Found {
    fn failed(
        (topic, partitions): &(&TopicName, &[i32]),
        error: ErrorCode,
    ) -> OffsetFetchResponseTopic {
        let partitions = partitions.iter().map(|partition| (*partition, None, error)).collect();
        Found { topic: (*topic).clone(), partitions }.single()
    }

    /// Up to version 7.
    fn single(self) -> OffsetFetchResponseTopic {
        let one = |(index, value, error): (i32, Option<OffsetCommitValue>, ErrorCode)| {
            let (offset, leader_epoch, metadata) = parts(value);
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
                .with_committed_leader_epoch(leader_epoch)
                .with_metadata(Some(metadata))
                .with_error_code(error.code())
        };
        OffsetFetchResponseTopic::default()
            .with_name(self.topic)
            .with_partitions(self.partitions.into_iter().map(one).collect())
    }

    /// From version 8 on.
    fn many(self) -> OffsetFetchResponseTopics {
        let one = |(index, value, error): (i32, Option<OffsetCommitValue>, ErrorCode)| {
            let (offset, leader_epoch, metadata) = parts(value);
            OffsetFetchResponsePartitions::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
                .with_committed_leader_epoch(leader_epoch)
                .with_metadata(Some(metadata))
                .with_error_code(error.code())
        };
        OffsetFetchResponseTopics::default()
            .with_name(self.topic)
            .with_partitions(self.partitions.into_iter().map(one).collect())
    }
}

fn parts(value: Option<OffsetCommitValue>) -> (i64, i32, wire::StrBytes) {
    match value {
        Some(value) => (value.offset, value.leader_epoch, text(&value.metadata)),
        None => (-1, -1, text("")),
    }
}
