//! The group coordinator: classic consumer groups and committed offsets.
//!
//! Promises: a group lives on the leader of its partition of `__consumer_offsets` (Kafka's hash), and what it must not
//! forget (the outcome of a rebalance, committed offsets) stands there as Kafka's own records: an answer that says "done"
//! is given only when the record is committed. A new leader reads them back, and until it has, everybody is told
//! COORDINATOR_LOAD_IN_PROGRESS; a broker that does not lead the partition says NOT_COORDINATOR. Only committed
//! offsets are handed out: loading ends when the high watermark has passed what was read.
//!
//! A rebalance in progress is not written down; after a failover its members find the last generation that was, and join
//! again, as in Kafka.
//!
//! Not promised: transactional offsets, the consumer protocol of KIP-848, share and streams groups.
//!
//! How it is driven: [`GroupCoordinator::handle`] with the requests of the APIs in [`GroupCoordinator::serves`],
//! [`GroupCoordinator::on_replica_event`] with every event of the replica manager, `on_image`, `on_tick`, `deadline`.

mod describe;
mod join;
mod load;
mod member;
mod offsets;
mod state;
mod sync;
#[cfg(test)]
mod tests;
mod timers;
mod write;

use std::collections::BTreeMap;

use uuid::Uuid;
use wire::api::key;
use wire::batch::Batch;
use wire::error::ErrorCode;
use wire::names::{CONSUMER_OFFSETS_TOPIC, coordinator_partition};

use crate::context::{Context, Request, RequestId, Severity, TopicPartitionId};
use crate::image::{Changes, MetadataImage};
use crate::replica::{InternalRead, ReplicaEvent, ReplicaManager};

use load::Loading;
use state::Group;
use timers::{Timers, What};
use write::{Store, Write};

/// What the coordinator needs of the partitions of `__consumer_offsets`: the replica manager, or a test's.
pub trait OffsetsLog {
    /// Appends with acks=all; [`ReplicaEvent::AppendDone`] with `tag` follows an `Ok`.
    fn append(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        batches: Vec<Batch>,
        timeout_ms: u64,
        tag: u64,
    ) -> Result<i64, ErrorCode>;

    /// [`ReplicaEvent::ReadDone`] with `tag` follows.
    fn read(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        offset: i64,
        max_bytes: u32,
        tag: u64,
    );

    fn log_start_offset(&self, id: TopicPartitionId) -> Option<i64>;
}

impl OffsetsLog for ReplicaManager {
    fn append(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        batches: Vec<Batch>,
        timeout_ms: u64,
        tag: u64,
    ) -> Result<i64, ErrorCode> {
        self.append_internal(ctx, id.topic_id, id.partition, batches, timeout_ms, tag)
    }

    fn read(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        offset: i64,
        max_bytes: u32,
        tag: u64,
    ) {
        self.read_internal(ctx, id.topic_id, id.partition, offset, max_bytes, tag);
    }

    fn log_start_offset(&self, id: TopicPartitionId) -> Option<i64> {
        ReplicaManager::log_start_offset(self, id.topic_id, id.partition)
    }
}

/// A request that is answered later.
#[derive(Clone, Debug)]
struct Asker {
    id: RequestId,
    head: wire::frame::RequestHead,
}

impl Asker {
    fn of(request: &Request) -> Asker {
        Asker { id: request.id, head: request.head.clone() }
    }

    fn answer<T: wire::Encodable>(&self, ctx: &mut Context<'_>, body: &T) {
        ctx.respond_to(self.id, &self.head, body);
    }
}

/// What a group may do while it is looked at: answer, set timers, have records written.
struct Env<'a, 'b> {
    ctx: &'a mut Context<'b>,
    shard: TopicPartitionId,
    timers: &'a mut Timers,
    stores: &'a mut Vec<Store>,
    /// Makes member ids different.
    member_ids: &'a mut u64,
}

impl Env<'_, '_> {
    fn now_ms(&self) -> u64 {
        self.ctx.now.mono_ms()
    }

    fn wake(&mut self, at_ms: u64, group: &str, what: What) {
        self.timers.set(at_ms, self.shard, group, what);
    }
}

/// One partition of `__consumer_offsets` that this broker leads.
#[derive(Default)]
struct Shard {
    /// `None`: everything was read, requests are served.
    loading: Option<Loading>,
    groups: BTreeMap<String, Group>,
    /// Appends that are not known to be committed, by tag, which is the order of the log.
    writes: BTreeMap<u64, Write>,
}

/// See the module's documentation.
#[derive(Default)]
pub struct GroupCoordinator {
    shards: BTreeMap<TopicPartitionId, Shard>,
    offsets_topic: Option<(Uuid, i32)>,
    timers: Timers,
    /// Asked for while a request or a timer was worked on; carried out before the step ends.
    stores: Vec<Store>,
    /// Tags of appends and reads; they only go up.
    last_tag: u64,
    tags: BTreeMap<u64, TopicPartitionId>,
    member_ids: u64,
    deletes: describe::Deletes,
}

impl GroupCoordinator {
    pub fn new() -> GroupCoordinator {
        GroupCoordinator::default()
    }

    /// Whether an API's requests are for [`GroupCoordinator::handle`].
    pub fn serves(api_key: i16) -> bool {
        matches!(
            api_key,
            key::JOIN_GROUP
                | key::SYNC_GROUP
                | key::HEARTBEAT
                | key::LEAVE_GROUP
                | key::OFFSET_COMMIT
                | key::OFFSET_FETCH
                | key::DESCRIBE_GROUPS
                | key::LIST_GROUPS
                | key::DELETE_GROUPS
        )
    }

    /// Answers a request in a version that is served, now or later.
    pub fn handle(
        &mut self,
        ctx: &mut Context<'_>,
        log: &mut dyn OffsetsLog,
        image: &MetadataImage,
        request: &Request,
    ) {
        match request.head.api_key {
            key::JOIN_GROUP => self.handle_join(ctx, request),
            key::SYNC_GROUP => self.handle_sync(ctx, request),
            key::HEARTBEAT => self.handle_heartbeat(ctx, request),
            key::LEAVE_GROUP => self.handle_leave(ctx, request),
            key::OFFSET_COMMIT => self.handle_offset_commit(ctx, image, request),
            key::OFFSET_FETCH => self.handle_offset_fetch(ctx, request),
            key::DESCRIBE_GROUPS => self.handle_describe(ctx, request),
            key::LIST_GROUPS => self.handle_list(ctx, request),
            key::DELETE_GROUPS => self.handle_delete(ctx, request),
            other => {
                let api = wire::api::api_name(other);
                ctx.say(Severity::Error, format!("{api} is not the group coordinator's to answer"));
                ctx.drop_connection(request.id.conn);
            }
        }
        self.write_stores(ctx, log);
    }

    /// Something that the replica manager told; events of no concern are ignored.
    pub fn on_replica_event(
        &mut self,
        ctx: &mut Context<'_>,
        log: &mut dyn OffsetsLog,
        event: &ReplicaEvent,
    ) {
        match event {
            ReplicaEvent::BecameLeader { id, .. } if self.is_offsets_partition(*id) => {
                self.start_loading(ctx, log, *id);
            }
            ReplicaEvent::LostLeadership { id } => self.unload(ctx, *id),
            ReplicaEvent::AppendDone { tag, result } => self.append_done(ctx, *tag, *result),
            ReplicaEvent::ReadDone { tag, result } => self.read_done(ctx, log, *tag, result),
            _ => {}
        }
        self.write_stores(ctx, log);
    }

    /// Newer metadata: where the groups are, and topics whose offsets nobody can use any more. To be told before the
    /// replica manager's events of the same image.
    pub fn on_image(
        &mut self,
        ctx: &mut Context<'_>,
        log: &mut dyn OffsetsLog,
        image: &MetadataImage,
        changes: &Changes,
    ) {
        self.offsets_topic = image
            .topic(CONSUMER_OFFSETS_TOPIC)
            .map(|topic| (topic.id, i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)));
        for topic in changes.topics_removed.values() {
            if !image.topic_ids.contains_key(&topic.name) {
                self.forget_topic(&topic.name);
            }
        }
        self.write_stores(ctx, log);
    }

    /// Time has passed: sessions, rebalances and offsets may have expired.
    pub fn on_tick(&mut self, ctx: &mut Context<'_>, log: &mut dyn OffsetsLog) {
        let now_ms = ctx.now.mono_ms();
        while let Some(due) = self.timers.pop(now_ms) {
            match &due.what {
                What::Load => self.continue_loading(ctx, log, due.shard),
                What::Sweep => self.sweep(ctx, due.shard),
                what => {
                    self.with_group(ctx, due.shard, &due.group, |group, env| {
                        group.on_timer(env, what);
                    });
                }
            }
        }
        self.write_stores(ctx, log);
    }

    /// When [`GroupCoordinator::on_tick`] is wanted at the latest, in `mono_ms`.
    pub fn deadline(&self) -> Option<u64> {
        self.timers.next_ms()
    }

    fn is_offsets_partition(&self, id: TopicPartitionId) -> bool {
        self.offsets_topic.is_some_and(|(topic_id, _)| topic_id == id.topic_id)
    }

    fn next_tag(&mut self, shard: TopicPartitionId) -> u64 {
        self.last_tag += 1;
        self.tags.insert(self.last_tag, shard);
        self.last_tag
    }

    /// The partition that a group belongs to, if this broker can answer for it now.
    fn shard_of(&self, group: &str) -> Result<TopicPartitionId, ErrorCode> {
        let (topic_id, count) = self.offsets_topic.ok_or(ErrorCode::NotCoordinator)?;
        let partition = coordinator_partition(group, count.max(1));
        let id = TopicPartitionId { topic_id, partition };
        match self.shards.get(&id) {
            None => Err(ErrorCode::NotCoordinator),
            Some(shard) if shard.loading.is_some() => Err(ErrorCode::CoordinatorLoadInProgress),
            Some(_) => Ok(id),
        }
    }

    /// Runs `work` on a group, if there is one.
    fn with_group<T>(
        &mut self,
        ctx: &mut Context<'_>,
        shard: TopicPartitionId,
        group: &str,
        work: impl FnOnce(&mut Group, &mut Env<'_, '_>) -> T,
    ) -> Option<T> {
        let found = self.shards.get_mut(&shard)?.groups.get_mut(group)?;
        let mut env = Env {
            ctx,
            shard,
            timers: &mut self.timers,
            stores: &mut self.stores,
            member_ids: &mut self.member_ids,
        };
        Some(work(found, &mut env))
    }
}

/// Longest name that fits the records' strings.
const NAME_BYTES_MAX: usize = i16::MAX as usize;

/// A group id that requests of members may have.
fn check_group_id(group: &str) -> Result<(), ErrorCode> {
    if group.is_empty() || group.len() > NAME_BYTES_MAX {
        return Err(ErrorCode::InvalidGroupId);
    }
    Ok(())
}

/// What a failed append of the coordinator's own means to a member or a committer.
fn error_of_append(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
            ErrorCode::InvalidCommitOffsetSize
        }
        _ => ErrorCode::CoordinatorNotAvailable,
    }
}

/// A chunk that came back, or why not.
type ReadResult = Result<InternalRead, ErrorCode>;
