//! Fetch, as a leader serves it: to consumers up to the high watermark (or the last stable offset), to followers up to
//! the log's end; and the fetches that wait for more to come (delayed fetch).
//!
//! Promises: a follower's fetch offset counts as "it has everything below" only after the epoch of its last record was
//! found to be ours too; otherwise it is told where the logs part. The first batch of an answer is whole, whatever the
//! limits. Every partition asked for is answered, in the order asked. A parked fetch is looked at again only when
//! something that it waits for has moved, once for all that moved in a step.
//!
//! Not promised: fetch sessions (every answer says session 0, which is legal), reading from followers.

use std::collections::BTreeSet;

use bytes::Bytes;
use log::{FetchData, Read, ReadError};
use rustc_hash::FxHashMap;
use uuid::Uuid;
use wire::error::ErrorCode;
use wire::fetch::{
    EpochEndOffset, FetchResponse, FetchedPartition, FetchedTopic, LeaderIdAndEpoch, NodeEndpoint,
};
use wire::frame::RequestHead;
use wire::messages::{FetchRequest, TopicName};

use super::offsets::hosted;
use super::partition::{Partition, WaitFor};
use super::{ReadFor, ReplicaManager, mark};
use crate::context::{ConnId, Context, IoOwner, Request, RequestId, Severity, TopicPartitionId};
use crate::defect::Defect;

/// The first version that names topics by id.
const BY_TOPIC_ID: i16 = 13;
/// The first version that carries the follower's broker epoch.
const WITH_REPLICA_STATE: i16 = 15;
/// The first version that tells the current leader beside an error.
const WITH_CURRENT_LEADER: i16 = 16;

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Consumer {
        read_committed: bool,
    },
    Follower {
        id: i32,
        broker_epoch: i64,
    },
    /// Replica id -2: may see what is not committed, and counts for nothing.
    Debugger,
}

impl Reader {
    fn waits_for(self) -> WaitFor {
        match self {
            Reader::Consumer { .. } => WaitFor::HighWatermark,
            _ => WaitFor::LogEnd,
        }
    }
}

/// One partition of a request.
struct Asked {
    /// Index into the operation's topics.
    topic: u32,
    partition: i32,
    /// `None`: the topic is not known.
    id: Option<TopicPartitionId>,
    offset: i64,
    max_bytes: usize,
    current_leader_epoch: i32,
    last_fetched_epoch: i32,
    answer: FetchedPartition,
}

struct Op {
    id: RequestId,
    head: RequestHead,
    reader: Reader,
    deadline_ms: u64,
    min_bytes: usize,
    max_bytes: usize,
    topics: Vec<(TopicName, Uuid)>,
    asked: Vec<Asked>,
    /// The partition that is read next; a read of it may be under way.
    cursor: usize,
    /// Read so far in this pass.
    bytes: usize,
    /// Something has to be told at once: an error, or that logs diverge.
    urgent: bool,
    parked: bool,
    /// The follower's offsets have been taken note of.
    noted: bool,
}

/// Fetches that wait: for data, or for a read of the disk.
#[derive(Default)]
pub(crate) struct Fetches {
    next: u64,
    ops: FxHashMap<u64, Op>,
    deadlines: BTreeSet<(u64, u64)>,
}

impl Fetches {
    pub fn deadline_ms(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.ops.len()
    }
}

/// How far a partition of a fetch has got.
enum Progress {
    Answered(FetchedPartition),
    Reading,
}

impl ReplicaManager {
    pub(super) fn handle_fetch(&mut self, ctx: &mut Context<'_>, request: &Request) {
        let Some(fetch) = request.decode::<FetchRequest>(ctx) else { return };
        let version = request.head.api_version;
        if fetch.session_id != 0 {
            let error = match version {
                0..=6 => ErrorCode::UnknownServerError,
                _ => ErrorCode::FetchSessionIdNotFound,
            };
            let response = FetchResponse { error_code: error.code(), ..FetchResponse::default() };
            reply(ctx, request.id, &request.head, response);
            return;
        }
        let reader = reader_of(&fetch, version);
        let max_bytes = match reader {
            Reader::Consumer { .. } => fetch.max_bytes.min(ctx.config.fetch_max_bytes),
            _ => fetch.max_bytes,
        };
        let wait_ms = u64::try_from(fetch.max_wait_ms).unwrap_or(0);
        let mut topics = Vec::with_capacity(fetch.topics.len());
        let mut asked = Vec::new();
        for (index, topic) in fetch.topics.into_iter().enumerate() {
            let topic_id = match version >= BY_TOPIC_ID {
                true => self.view.topic_name(topic.topic_id).map(|_| topic.topic_id),
                false => self.view.topic_id(&topic.topic),
            };
            asked.extend(topic.partitions.iter().map(|partition| Asked {
                topic: index as u32,
                partition: partition.partition,
                id:
                    topic_id.map(|topic_id| TopicPartitionId {
                        topic_id,
                        partition: partition.partition,
                    }),
                offset: partition.fetch_offset,
                max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                answer: FetchedPartition::default(),
            }));
            topics.push((topic.topic, topic.topic_id));
        }
        let op = Op {
            id: request.id,
            head: request.head.clone(),
            reader,
            deadline_ms: ctx.now.mono_ms().saturating_add(wait_ms),
            min_bytes: usize::try_from(fetch.min_bytes).unwrap_or(0),
            max_bytes: usize::try_from(max_bytes).unwrap_or(0),
            // Nothing asked for can't be waited for.
            urgent: asked.is_empty(),
            topics,
            asked,
            cursor: 0,
            bytes: 0,
            parked: false,
            noted: false,
        };
        self.fetches.next += 1;
        let number = self.fetches.next;
        self.run_fetch(ctx, number, op);
    }

    /// Goes on with a fetch until it is answered, parked, or waits for the disk.
    fn run_fetch(&mut self, ctx: &mut Context<'_>, number: u64, mut op: Op) {
        while op.cursor < op.asked.len() {
            match self.read_partition(ctx, number, &op) {
                Progress::Answered(answer) => op.take(answer),
                Progress::Reading => {
                    self.fetches.ops.insert(number, op);
                    return;
                }
            }
        }
        op.noted = true;
        let enough = op.bytes >= op.min_bytes || op.urgent;
        if enough || ctx.now.mono_ms() >= op.deadline_ms {
            self.answer_fetch(ctx, op);
            return;
        }
        let wait_for = op.reader.waits_for();
        for asked in &mut op.asked {
            // What was read is read again when the fetch wakes; nothing is kept of it meanwhile.
            asked.answer = FetchedPartition::default();
            if let Some(partition) = asked.id.and_then(|id| self.partitions.get_mut(&id)) {
                partition.park_fetch(number, wait_for);
            }
        }
        op.parked = true;
        self.fetches.deadlines.insert((op.deadline_ms, number));
        self.fetches.ops.insert(number, op);
    }

    fn read_partition(&mut self, ctx: &mut Context<'_>, number: u64, op: &Op) -> Progress {
        let asked = &op.asked[op.cursor];
        match self.try_read(ctx, number, op, asked) {
            Ok(progress) => progress,
            Err(error) => {
                let mut answer = FetchedPartition::error(asked.partition, error);
                let tells_leader =
                    matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
                if tells_leader && op.head.api_version >= WITH_CURRENT_LEADER {
                    let leader =
                        asked.id.and_then(|id| self.view.leader(id.topic_id, id.partition));
                    answer.current_leader = leader.map(|leader| LeaderIdAndEpoch {
                        leader_id: leader.id,
                        leader_epoch: leader.epoch,
                    });
                }
                Progress::Answered(answer)
            }
        }
    }

    fn try_read(
        &mut self,
        ctx: &mut Context<'_>,
        number: u64,
        op: &Op,
        asked: &Asked,
    ) -> Result<Progress, ErrorCode> {
        let fencing = !self.has(Defect::NoEpochFencing);
        let past_high_watermark = self.has(Defect::ReadPastHighWatermark);
        let Some(id) = asked.id else {
            return Err(match op.head.api_version >= BY_TOPIC_ID {
                true => ErrorCode::UnknownTopicId,
                false => ErrorCode::UnknownTopicOrPartition,
            });
        };
        let partition = hosted(&self.view, &mut self.partitions, id)?;
        partition.check_leader(asked.current_leader_epoch, fencing)?;
        if let Reader::Follower { id, broker_epoch } = op.reader {
            let known = self.view.broker_epoch(id);
            check_follower(partition, id, broker_epoch, known, asked.current_leader_epoch)?;
        }
        let Some((log, _)) = partition.leading() else {
            return Err(ErrorCode::NotLeaderOrFollower);
        };
        let (log_start_offset, log_end_offset) = (log.log_start_offset(), log.log_end_offset());
        if asked.offset < log_start_offset {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        if asked.last_fetched_epoch >= 0 && fencing {
            let (epoch, end_offset) = log.end_offset_for_epoch(asked.last_fetched_epoch);
            if epoch < 0 || end_offset < 0 {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            if epoch < asked.last_fetched_epoch || end_offset < asked.offset {
                return Ok(Progress::Answered(FetchedPartition {
                    diverging_epoch: Some(EpochEndOffset { epoch, end_offset }),
                    ..answer_of(partition, Vec::new())
                }));
            }
        }
        if asked.offset > log_end_offset {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let below = match op.reader {
            Reader::Consumer { read_committed } if !past_high_watermark => {
                partition.readable_below(read_committed)
            }
            _ => log_end_offset,
        };
        if let Reader::Follower { id: follower, broker_epoch } = op.reader
            && !op.noted
        {
            self.note_follower(ctx, id, follower, broker_epoch, asked.offset);
        }
        let remaining = op.max_bytes.saturating_sub(op.bytes).min(asked.max_bytes);
        let Some(partition) = self.partitions.get_mut(&id) else {
            return Err(ErrorCode::NotLeaderOrFollower);
        };
        let Some(log) = partition.online() else { return Err(ErrorCode::NotLeaderOrFollower) };
        if asked.offset >= below || (remaining == 0 && op.bytes > 0) {
            return Ok(Progress::Answered(answer_of(partition, Vec::new())));
        }
        let max_bytes = u32::try_from(remaining).unwrap_or(u32::MAX);
        let read = log.read(asked.offset, max_bytes, below, op.bytes == 0, ctx.io);
        ctx.claim_io(IoOwner::Partition(id));
        match read {
            Read::Ready(data) => Ok(Progress::Answered(answer_of(partition, data.batches))),
            Read::Pending(read) => {
                partition.reads.push((read, ReadFor::Fetch(number)));
                Ok(Progress::Reading)
            }
            Read::OutOfRange => Err(ErrorCode::OffsetOutOfRange),
            Read::Failed(error) => Err(self.read_failed(ctx, id, &error)),
        }
    }

    /// A follower has everything below `offset`: that may move the high watermark, and let the follower into the ISR.
    fn note_follower(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        follower: i32,
        broker_epoch: i64,
        offset: i64,
    ) {
        let now_ms = ctx.now.mono_ms();
        let max_lag_ms = ctx.config.replica_lag_time_max_ms;
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let Some((log, leadership)) = partition.leading() else { return };
        let log_end_offset = log.log_end_offset();
        let view = &self.view;
        let eligible = |id: i32, epoch: i64| view.may_join_isr(id, epoch);
        let moved = leadership.record_fetch(follower, offset, broker_epoch, log_end_offset, now_ms);
        let high_watermark = log.high_watermark();
        if leadership.propose_expansion(high_watermark, now_ms, max_lag_ms, &eligible) {
            self.alter.wanted.insert(id);
        }
        if moved && partition.advance_high_watermark(now_ms, max_lag_ms, &eligible) {
            mark(&mut self.marked, partition);
        }
    }

    fn read_failed(
        &self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        error: &ReadError,
    ) -> ErrorCode {
        if matches!(error, ReadError::Corrupt { .. } | ReadError::Io(_)) {
            let name = self.partition_name(id);
            ctx.say(Severity::Error, format!("{name}: cannot read for a fetch: {error}"));
        }
        error.error_code()
    }

    /// A read of the disk came back: its fetch goes on.
    pub(super) fn fetch_read(
        &mut self,
        ctx: &mut Context<'_>,
        number: u64,
        id: TopicPartitionId,
        result: Result<FetchData, ReadError>,
    ) {
        let Some(mut op) = self.fetches.ops.remove(&number) else { return };
        let answer = match result {
            Ok(data) => match self.partitions.get(&id) {
                Some(partition) => answer_of(partition, data.batches),
                None => FetchedPartition::error(id.partition, ErrorCode::NotLeaderOrFollower),
            },
            Err(error) => FetchedPartition::error(id.partition, self.read_failed(ctx, id, &error)),
        };
        op.take(answer);
        self.run_fetch(ctx, number, op);
    }

    /// Looks again at a parked fetch, because something moved or its time is over.
    pub(super) fn wake_fetch(&mut self, ctx: &mut Context<'_>, number: u64) {
        if self.fetches.ops.get(&number).is_none_or(|op| !op.parked) {
            return;
        }
        let Some(mut op) = self.unpark(number) else { return };
        op.parked = false;
        op.cursor = 0;
        op.bytes = 0;
        op.urgent = false;
        self.run_fetch(ctx, number, op);
    }

    /// Lets go of the fetches that nobody waits for any more.
    pub(super) fn forget_fetches(&mut self, conn: ConnId) {
        let of_conn = self.fetches.ops.iter().filter(|(_, op)| op.parked && op.id.conn == conn);
        let mut numbers: Vec<u64> = of_conn.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        for number in numbers {
            self.unpark(number);
        }
    }

    /// Takes a parked fetch from all the places where it waits.
    fn unpark(&mut self, number: u64) -> Option<Op> {
        let op = self.fetches.ops.remove(&number)?;
        self.fetches.deadlines.remove(&(op.deadline_ms, number));
        let wait_for = op.reader.waits_for();
        for id in op.asked.iter().filter_map(|asked| asked.id) {
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.unpark_fetch(number, wait_for);
            }
        }
        Some(op)
    }

    pub(super) fn expire_fetches(&mut self, ctx: &mut Context<'_>) {
        let now_ms = ctx.now.mono_ms();
        while let Some((deadline_ms, number)) = self.fetches.deadlines.first().copied() {
            if deadline_ms > now_ms {
                break;
            }
            self.wake_fetch(ctx, number);
            assert!(
                !self.fetches.deadlines.contains(&(deadline_ms, number)),
                "a fetch whose time is over is answered or reads"
            );
        }
    }

    fn answer_fetch(&mut self, ctx: &mut Context<'_>, op: Op) {
        let version = op.head.api_version;
        let read_committed = matches!(op.reader, Reader::Consumer { read_committed: true });
        let mut response = FetchResponse {
            topics: op
                .topics
                .into_iter()
                .map(|(topic, topic_id)| FetchedTopic {
                    topic: topic.0,
                    topic_id,
                    partitions: Vec::new(),
                })
                .collect(),
            ..FetchResponse::default()
        };
        let mut leaders = BTreeSet::new();
        for asked in op.asked {
            let mut answer = asked.answer;
            if read_committed && answer.error_code == 0 {
                // There are no transactions, so none was aborted.
                answer.aborted_transactions = Some(Vec::new());
            }
            leaders.extend(answer.current_leader.map(|leader| leader.leader_id));
            if let Some(topic) = response.topics.get_mut(asked.topic as usize) {
                topic.partitions.push(answer);
            }
        }
        if version >= WITH_CURRENT_LEADER {
            let endpoints = leaders.into_iter().filter_map(|id| self.view.endpoint(id));
            response.node_endpoints = endpoints
                .map(|endpoint| NodeEndpoint {
                    node_id: endpoint.id,
                    host: endpoint.host.to_string(),
                    port: endpoint.port,
                    rack: endpoint.rack.as_ref().map(ToString::to_string),
                })
                .collect();
        }
        reply(ctx, op.id, &op.head, response);
    }
}

fn reply(ctx: &mut Context<'_>, id: RequestId, head: &RequestHead, response: FetchResponse) {
    match wire::frame::encode_response_parts(head, response.write(head.api_version)) {
        Ok(parts) => ctx.reply(id, parts),
        Err(error) => {
            ctx.say(Severity::Error, format!("cannot encode a Fetch response: {error}"));
            ctx.drop_connection(id.conn);
        }
    }
}

impl Op {
    /// The partition under the cursor is answered.
    fn take(&mut self, answer: FetchedPartition) {
        self.bytes += answer.records.iter().map(Bytes::len).sum::<usize>();
        self.urgent |= answer.error_code != 0 || answer.diverging_epoch.is_some();
        self.asked[self.cursor].answer = answer;
        self.cursor += 1;
    }
}

fn reader_of(fetch: &FetchRequest, version: i16) -> Reader {
    let (id, broker_epoch) = match version >= WITH_REPLICA_STATE {
        true => (fetch.replica_state.replica_id.0, fetch.replica_state.replica_epoch),
        false => (fetch.replica_id.0, -1),
    };
    match id {
        0.. => Reader::Follower { id, broker_epoch },
        -2 => Reader::Debugger,
        _ => Reader::Consumer { read_committed: fetch.isolation_level == 1 },
    }
}

/// Whether the leader takes that broker for a follower: in the assignment, and not a former life of it.
fn check_follower(
    partition: &Partition,
    follower: i32,
    broker_epoch: i64,
    known_epoch: Option<i64>,
    current_leader_epoch: i32,
) -> Result<(), ErrorCode> {
    let replica = partition.leadership().is_some_and(|leadership| leadership.is_replica(follower));
    if !replica {
        return Err(match current_leader_epoch >= 0 {
            true => ErrorCode::UnknownLeaderEpoch,
            false => ErrorCode::NotLeaderOrFollower,
        });
    }
    match known_epoch {
        Some(known) if broker_epoch != -1 && known > broker_epoch => {
            Err(ErrorCode::NotLeaderOrFollower)
        }
        _ => Ok(()),
    }
}

fn answer_of(partition: &Partition, records: Vec<Bytes>) -> FetchedPartition {
    FetchedPartition {
        partition_index: partition.id.partition,
        high_watermark: partition.high_watermark(),
        last_stable_offset: partition.readable_below(true),
        log_start_offset: partition.log.as_ref().map_or(-1, log::Log::log_start_offset),
        records,
        ..FetchedPartition::default()
    }
}
