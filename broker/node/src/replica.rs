//! The replica manager: the partitions that this broker hosts, as their leader or a follower.
//!
//! Promises: what it knows of leaders and ISRs is the metadata image that it was shown last; a partition leads only in
//! the leader epoch that the image gave it. The high watermark is the least end of the maximal ISR (committed and
//! proposed together), and moves only while the committed ISR is not below `min.insync.replicas`. An acks=all write is
//! acknowledged when the high watermark has passed it. Followers cut their logs by leader epochs, never by the high
//! watermark. Whoever waits for an offset is answered once it is there, or when this broker can't tell any more.
//!
//! Batches are slices of the frame they came in, from there to the segment, the followers and the consumers; nothing here
//! looks at a record.
//!
//! Not promised: transactions, fetch sessions, reading from followers, more than one log directory.
//!
//! How it is driven: [`ReplicaManager::start`] once; then [`ReplicaManager::handle`], `on_image`, `on_io`, `on_response`
//! and `on_tick` as things happen, each of which leaves nothing undone that could be done at once;
//! [`ReplicaManager::take_events`] after each. [`ReplicaManager::shutdown`] ends in [`ReplicaEvent::Stopped`].

mod alter;
mod checkpoints;
mod directory;
mod fetch;
mod fetcher;
mod inspection;
mod leadership;
mod measured;
mod offsets;
mod partition;
mod passed_over;
mod produce;
mod range;
mod read;
mod roles;
mod settle;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;

use log::io::{IoResult, Token};
use uuid::Uuid;
use wire::api::key;
use wire::batch::Decompressor;
use wire::error::ErrorCode;

use crate::context::{
    CallAnswer, CallTag, ConnId, Context, IoOwner, Request, Severity, TopicPartitionId,
};
use crate::defect::{Defect, Defects};
use crate::image::{Changes, MetadataImage};

use alter::AlterPartitions;
use checkpoints::Checkpoints;
use directory::Directory;
use fetch::Fetches;
use fetcher::Fetcher;
use offsets::Lookups;
use partition::Partition;
use passed_over::PassedOver;
use produce::Produces;
use range::RangeCall;
use view::MetadataView;

pub(crate) use partition::Partition as InspectedPartition;
pub use read::InternalRead;

/// What the node (and the group coordinator) must know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaEvent {
    /// The data directory was read: the broker may register, with `previous_broker_epoch` if its last stop was clean
    /// (-1 otherwise).
    Started { previous_broker_epoch: i64 },
    /// This broker leads the partition, and its log can be read and appended to.
    BecameLeader { id: TopicPartitionId, leader_epoch: i32 },
    /// This broker leads it no more.
    LostLeadership { id: TopicPartitionId },
    /// An internal append is committed (its exclusive end offset is told) or came to nothing that is known.
    AppendDone { tag: u64, result: Result<i64, ErrorCode> },
    /// An internal read came back.
    ReadDone { tag: u64, result: Result<InternalRead, ErrorCode> },
    /// All logs are closed and all checkpoints written.
    Stopped,
}

/// Whom a read of a log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFor {
    Fetch(u64),
    ListOffsets { op: u64, place: (u32, u32) },
    Internal { tag: u64 },
}

/// See the module's documentation.
pub struct ReplicaManager {
    node_id: i32,
    broker_epoch: i64,
    defects: Defects,
    view: MetadataView,
    partitions: BTreeMap<TopicPartitionId, Partition>,
    produces: Produces,
    /// For looking into what clients produce to any partition.
    decompressor: Decompressor,
    passed_over: PassedOver,
    fetches: Fetches,
    lookups: Lookups,
    alter: AlterPartitions,
    /// By leader node.
    fetchers: BTreeMap<i32, Fetcher>,
    range_calls: Vec<RangeCall>,
    next_call: u64,
    /// Something happened that may let a fetch go out; otherwise nobody looks through the fetchers.
    fetches_due: bool,
    fetches_deadline_ms: Option<u64>,
    directory: Directory,
    checkpoints: Checkpoints,
    /// Partitions in which something moved in this step.
    marked: Vec<TopicPartitionId>,
    events: Vec<ReplicaEvent>,
    log_events: Vec<log::Event>,
    next_isr_check_ms: Option<u64>,
    next_maintenance_ms: Option<u64>,
    /// The metadata holds this broker's own registration: roles may be taken.
    registered: bool,
    /// The epoch of this broker's registration in the metadata; -1 for none.
    registered_in_image: i64,
    stopping: bool,
    /// Every log that the metadata of the registration gave this broker is open, or was.
    ready: bool,
    /// The last checkpoints of a stop were asked for.
    closing_checkpoints: bool,
    /// What this step acknowledged to producers; `None`: nobody asks.
    acknowledged: Option<Vec<crate::inspect::Acknowledged>>,
}

/// Puts a partition on the list of those to look at when the step ends.
pub(crate) fn mark(marked: &mut Vec<TopicPartitionId>, partition: &mut Partition) {
    if !partition.marked {
        partition.marked = true;
        marked.push(partition.id);
    }
}

impl ReplicaManager {
    pub fn new(node_id: i32, defects: Defects) -> Self {
        Self {
            node_id,
            broker_epoch: -1,
            view: MetadataView::new(defects.clone()),
            defects,
            partitions: BTreeMap::new(),
            produces: Produces::default(),
            decompressor: Decompressor::default(),
            passed_over: PassedOver::default(),
            fetches: Fetches::default(),
            lookups: Lookups::default(),
            alter: AlterPartitions::default(),
            fetchers: BTreeMap::new(),
            range_calls: Vec::new(),
            next_call: 0,
            fetches_due: false,
            fetches_deadline_ms: None,
            directory: Directory::default(),
            checkpoints: Checkpoints::default(),
            marked: Vec::new(),
            events: Vec::new(),
            log_events: Vec::new(),
            next_isr_check_ms: None,
            next_maintenance_ms: None,
            registered: false,
            registered_in_image: -1,
            stopping: false,
            ready: false,
            closing_checkpoints: false,
            acknowledged: None,
        }
    }

    fn has(&self, defect: Defect) -> bool {
        self.defects.has(defect)
    }

    /// Reads the data directory: which partitions are in it, and its checkpoints. [`ReplicaEvent::Started`] follows.
    pub fn start(&mut self, ctx: &mut Context<'_>) {
        let now_ms = ctx.now.mono_ms();
        self.next_isr_check_ms = Some(now_ms + isr_check_ms(ctx));
        self.next_maintenance_ms = Some(now_ms + maintenance_ms(ctx));
        self.checkpoints.start(now_ms, ctx.config);
        self.start_directory(ctx);
    }

    /// Whether the metadata has reached this broker's registration and every log that it gave this broker then was
    /// opened: the time to ask to be unfenced.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    fn look_if_ready(&mut self) {
        let unopened = |partition: &Partition| {
            matches!(partition.stage, partition::Stage::Waiting | partition::Stage::Opening)
        };
        self.ready =
            self.registered && self.directory.is_ready() && !self.partitions.values().any(unopened);
    }

    /// Produce, Fetch, ListOffsets and OffsetForLeaderEpoch, in a version that is served.
    pub fn handle(&mut self, ctx: &mut Context<'_>, request: Request) {
        match request.head.api_key {
            key::PRODUCE => self.handle_produce(ctx, &request),
            key::FETCH => self.handle_fetch(ctx, &request),
            key::LIST_OFFSETS => self.handle_list_offsets(ctx, &request),
            key::OFFSET_FOR_LEADER_EPOCH => self.handle_offset_for_leader_epoch(ctx, &request),
            other => {
                let api = wire::api::api_name(other);
                ctx.say(Severity::Error, format!("{api} is not the replica manager's to answer"));
                ctx.drop_connection(request.id.conn);
            }
        }
        self.settle(ctx);
    }

    /// Newer metadata.
    pub fn on_image(&mut self, ctx: &mut Context<'_>, image: &MetadataImage, changes: &Changes) {
        self.view.update(image, changes, &ctx.config.inter_broker_listener_name);
        self.apply_image(ctx, image, changes);
        self.settle(ctx);
    }

    /// An operation of a partition's log, of a checkpoint, or of the replica manager itself is complete.
    pub fn on_io(
        &mut self,
        ctx: &mut Context<'_>,
        owner: &IoOwner,
        token: Token,
        result: IoResult,
    ) {
        match owner {
            IoOwner::Partition(id) => self.log_io(ctx, *id, token, result),
            IoOwner::Replicas => self.directory_io(ctx, token, result),
            IoOwner::Checkpoint(_) => self.checkpoint_io(ctx, token, result),
            IoOwner::Raft | IoOwner::Node => {
                ctx.say(Severity::Error, format!("{token:?} of {owner:?} is not a replica's"));
            }
        }
        self.settle(ctx);
    }

    /// The answer to a call of ours.
    pub fn on_response(&mut self, ctx: &mut Context<'_>, tag: &CallTag, answer: CallAnswer) {
        match *tag {
            CallTag::AlterPartition { call } => self.alter_partition_answered(ctx, call, answer),
            CallTag::ReplicaFetch { node, fetcher, call } => {
                self.fetch_answered(ctx, node, fetcher, call, answer);
            }
            CallTag::ReplicaEpoch { call, .. } => self.range_answered(ctx, call, answer),
            _ => ctx.say(Severity::Error, format!("the answer of {tag:?} is not a replica's")),
        }
        self.settle(ctx);
    }

    /// Time has passed.
    pub fn on_tick(&mut self, ctx: &mut Context<'_>) {
        let now_ms = ctx.now.mono_ms();
        self.expire_produces(ctx);
        self.expire_fetches(ctx);
        if self.next_isr_check_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.next_isr_check_ms = Some(now_ms + isr_check_ms(ctx));
            self.shrink_isrs(ctx);
            self.recheck_high_watermarks(ctx);
        }
        if self.next_maintenance_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.next_maintenance_ms = Some(now_ms + maintenance_ms(ctx));
            self.maintain_logs(ctx);
        }
        self.write_due_checkpoints(ctx);
        self.fetches_due = true;
        self.settle(ctx);
    }

    /// A connection is gone: its parked fetches need no answer.
    pub fn on_connection_closed(&mut self, conn: ConnId) {
        self.forget_fetches(conn);
    }

    /// When [`ReplicaManager::on_tick`] is wanted at the latest, in `mono_ms`.
    pub fn deadline(&self) -> Option<u64> {
        [
            self.produces.deadline_ms(),
            self.fetches.deadline_ms(),
            self.alter.deadline_ms(),
            self.fetches_deadline_ms,
            self.checkpoints.deadline_ms(),
            self.next_isr_check_ms,
            self.next_maintenance_ms,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What happened since this was last asked, in order.
    pub fn take_events(&mut self) -> Vec<ReplicaEvent> {
        std::mem::take(&mut self.events)
    }

    fn partition_name(&self, id: TopicPartitionId) -> String {
        match self.partitions.get(&id) {
            Some(partition) => partition.dir.clone(),
            None => match self.view.topic_name(id.topic_id) {
                Some(name) => wire::names::partition_dir_name(name, id.partition),
                None => format!("{}-{}", id.topic_id, id.partition),
            },
        }
    }

    /// The partitions of a topic that this broker leads, with their leader epochs.
    pub fn led_partitions(&self, topic_id: Uuid) -> Vec<(i32, i32)> {
        let first = TopicPartitionId { topic_id, partition: i32::MIN };
        let last = TopicPartitionId { topic_id, partition: i32::MAX };
        self.partitions
            .range(first..=last)
            .filter(|(_, partition)| partition.leadership().is_some())
            .map(|(id, partition)| (id.partition, partition.leader_epoch))
            .collect()
    }
}

/// Kafka looks at half the lag, so that a follower is out after at most one and a half.
fn isr_check_ms(ctx: &Context<'_>) -> u64 {
    (ctx.config.replica_lag_time_max_ms / 2).max(1)
}

/// Retention is looked at as often as configured; flushes by time and delayed deletions want a second.
fn maintenance_ms(ctx: &Context<'_>) -> u64 {
    u64::try_from(ctx.config.log_retention_check_interval_ms).unwrap_or(1).clamp(1, 1000)
}
