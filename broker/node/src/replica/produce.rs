//! Produce: appends as leader, and the answers that wait for them (delayed produce).
//!
//! Promises: with acks=all a write is acknowledged only once the high watermark passed it and the committed ISR is not
//! too small; with acks=1 once the leader's log has it; with acks=0 nothing is answered, and a failure closes the
//! connection, which is all that such a producer can be told. One partition's failure does not touch the others of the
//! request. A refusal *before* the append and a doubt *after* it have different codes.
//!
//! Not promised: transactions. Not here: what makes a batch good (the log's affair).

use std::collections::BTreeSet;

use bytes::Bytes;
use log::{AppendError, Appended, Origin};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use uuid::Uuid;
use wire::StrBytes;
use wire::batch::{BadBatch, Batch, Compression, split_batches};
use wire::error::ErrorCode;
use wire::frame::RequestHead;
use wire::messages::produce_request::TopicProduceData;
use wire::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use wire::messages::{ProduceRequest, ProduceResponse};

use super::offsets::hosted;
use super::partition::{Settled, WaitFor, Waiter};
use super::{ReplicaEvent, ReplicaManager, mark};
use crate::context::{Context, IoOwner, Request, RequestId, Severity, TopicPartitionId};
use crate::defect::Defect;

/// The first version that names topics by id.
const BY_TOPIC_ID: i16 = 13;
/// The first version that tells the current leader beside NOT_LEADER_OR_FOLLOWER.
const WITH_CURRENT_LEADER: i16 = 10;
/// The first version in which zstd is allowed.
const WITH_ZSTD: i16 = 7;

const ACKS_NONE: i16 = 0;
const ACKS_LEADER: i16 = 1;
const ACKS_ALL: i16 = -1;

/// An append was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub error: ErrorCode,
    /// The record that is to blame, where one is, and what is wrong with it.
    pub record: Option<(i32, String)>,
    pub message: Option<String>,
}

impl From<ErrorCode> for Refused {
    fn from(error: ErrorCode) -> Self {
        Refused { error, record: None, message: None }
    }
}

enum Answer {
    Client {
        id: RequestId,
        head: RequestHead,
        response: ProduceResponse,
    },
    /// The group coordinator's own append.
    Internal {
        tag: u64,
    },
}

struct Op {
    deadline_ms: u64,
    /// The places in the response that are not settled yet.
    outstanding: SmallVec<[(u32, u32); 4]>,
    acks: i16,
    answer: Answer,
}

/// Produce requests (and internal appends) that wait for offsets.
#[derive(Default)]
pub(crate) struct Produces {
    next: u64,
    ops: FxHashMap<u64, Op>,
    deadlines: BTreeSet<(u64, u64)>,
}

impl Produces {
    fn add(&mut self, op: Op) -> u64 {
        self.next += 1;
        self.deadlines.insert((op.deadline_ms, self.next));
        self.ops.insert(self.next, op);
        self.next
    }

    fn next_op(&self) -> u64 {
        self.next + 1
    }

    fn remove(&mut self, op: u64) -> Option<Op> {
        let removed = self.ops.remove(&op)?;
        self.deadlines.remove(&(removed.deadline_ms, op));
        Some(removed)
    }

    pub fn deadline_ms(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.ops.len()
    }
}

impl ReplicaManager {
    pub(super) fn handle_produce(&mut self, ctx: &mut Context<'_>, request: &Request) {
        let Some(produce) = request.decode::<ProduceRequest>(ctx) else { return };
        let version = request.head.api_version;
        let refusal = match produce.acks {
            ACKS_ALL | ACKS_NONE | ACKS_LEADER => None,
            _ => Some(ErrorCode::InvalidRequiredAcks),
        };
        let transactional = produce.transactional_id.is_some();
        let refusal =
            refusal.or_else(|| transactional.then_some(ErrorCode::TransactionalIdNotFound));

        let op = self.produces.next_op();
        let mut outstanding = SmallVec::new();
        let mut failed = false;
        let mut responses = Vec::with_capacity(produce.topic_data.len());
        for (topic_index, topic) in produce.topic_data.into_iter().enumerate() {
            let topic_id = self.topic_of(version, &topic);
            let mut partitions = Vec::with_capacity(topic.partition_data.len());
            for (index, data) in topic.partition_data.into_iter().enumerate() {
                let appended = match (refusal, topic_id) {
                    (Some(error), _) => Err(error.into()),
                    (None, Err(error)) => Err(error.into()),
                    (None, Ok(topic_id)) => {
                        let id = TopicPartitionId { topic_id, partition: data.index };
                        self.append_records(ctx, id, data.records, produce.acks, version)
                    }
                };
                let place = (topic_index as u32, index as u32);
                let response = PartitionProduceResponse::default().with_index(data.index);
                partitions.push(match appended {
                    Ok((appended, wait_for, id)) => {
                        // Nobody waits for acks=0: its number goes to the next request, which a waiter left behind
                        // would acknowledge before its time.
                        if produce.acks != ACKS_NONE
                            && self.must_wait(id, wait_for, op, place, &appended)
                        {
                            outstanding.push(place);
                        }
                        response
                            .with_base_offset(appended.base_offset)
                            .with_log_append_time_ms(appended.log_append_time)
                            .with_log_start_offset(appended.log_start_offset)
                    }
                    Err(refused) => {
                        failed = true;
                        refuse(response, refused)
                    }
                });
            }
            responses.push(
                TopicProduceResponse::default()
                    .with_name(topic.name)
                    .with_topic_id(topic.topic_id)
                    .with_partition_responses(partitions),
            );
        }
        if produce.acks == ACKS_NONE {
            if failed {
                ctx.drop_connection(request.id.conn);
            } else {
                ctx.no_response(request.id);
            }
            return;
        }
        let mut response = ProduceResponse::default().with_responses(responses);
        self.note_acknowledged_at_once(&response, &outstanding, produce.acks, version);
        if outstanding.is_empty() {
            self.tell_leaders(version, &mut response);
            ctx.respond(request, &response);
            return;
        }
        let timeout_ms = u64::try_from(produce.timeout_ms).unwrap_or(0);
        let added = self.produces.add(Op {
            deadline_ms: ctx.now.mono_ms().saturating_add(timeout_ms),
            outstanding,
            acks: produce.acks,
            answer: Answer::Client { id: request.id, head: request.head.clone(), response },
        });
        assert_eq!(added, op, "waiters were told this number");
    }

    fn topic_of(&self, version: i16, topic: &TopicProduceData) -> Result<Uuid, ErrorCode> {
        if version >= BY_TOPIC_ID {
            let known = self.view.topic_name(topic.topic_id).is_some();
            known.then_some(topic.topic_id).ok_or(ErrorCode::UnknownTopicId)
        } else {
            self.view.topic_id(&topic.name).ok_or(ErrorCode::UnknownTopicOrPartition)
        }
    }

    fn append_records(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        records: Option<Bytes>,
        acks: i16,
        version: i16,
    ) -> Result<(Appended, WaitFor, TopicPartitionId), Refused> {
        let batches = client_batches(records, version)?;
        let first = batches.first().map(|batch| *batch.header());
        let now_ms = ctx.now.mono_ms();
        if let Some(reason) = first.as_ref().and_then(|batch| self.is_behind(now_ms, id, batch)) {
            return Err(reason.into());
        }
        let appended = self.append_as_leader(ctx, id, batches, acks == ACKS_ALL, Origin::Client);
        let error = appended.as_ref().err().map(|refused| refused.error);
        if let Some(batch) = &first {
            let judged = self.passed_over.judge(now_ms, id, batch, error);
            if let Some(reason) = judged.filter(|_| judged != error) {
                return Err(reason.into());
            }
        }
        let mut appended = appended?;
        let at_once = self.has(Defect::AckBeforeIsr)
            || (appended.duplicate && self.has(Defect::AckDuplicateAtOnce));
        if appended.duplicate && self.has(Defect::DuplicateAtLogEnd) {
            appended.base_offset = self.hosted(id)?.log_end_offset();
        }
        let wait_for = match acks {
            ACKS_ALL if !at_once => WaitFor::HighWatermark,
            _ => WaitFor::LogEnd,
        };
        Ok((appended, wait_for, id))
    }

    fn append_as_leader(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        batches: Vec<Batch>,
        acks_all: bool,
        origin: Origin,
    ) -> Result<Appended, Refused> {
        let remember_refused = self.has(Defect::SequenceNotedBeforeChecks);
        let stale_epoch = self.has(Defect::StaleEpochStamp);
        let partition = hosted(&self.view, &mut self.partitions, id)?;
        partition.check_leader(-1, true)?;
        let min_insync_replicas = partition.min_insync_replicas;
        let mut leader_epoch = partition.leader_epoch;
        let Some((log, leadership)) = partition.leading() else {
            return Err(ErrorCode::NotLeaderOrFollower.into());
        };
        if acks_all && leadership.is_under_min_isr(min_insync_replicas) {
            if remember_refused && origin == Origin::Client {
                log.remember_refused(&batches);
            }
            return Err(ErrorCode::NotEnoughReplicas.into());
        }
        if stale_epoch {
            leader_epoch = log.latest_epoch().unwrap_or(leader_epoch);
        }
        let wall_ms = ctx.now.wall_ms;
        let unpack = &mut self.decompressor;
        let appended = log.append_as_leader(wall_ms, batches, leader_epoch, origin, unpack, ctx.io);
        ctx.claim_io(IoOwner::Partition(id));
        if let Err(AppendError::Producer(error)) = &appended {
            let line = format!("{}: refusing a batch: {error}", self.partition_name(id));
            ctx.say(Severity::Warn, line);
        }
        appended.map_err(refused_by_log)
    }

    /// Parks the append, unless it already has what it waits for (a duplicate of a committed one does).
    fn must_wait(
        &mut self,
        id: TopicPartitionId,
        wait_for: WaitFor,
        op: u64,
        place: (u32, u32),
        appended: &Appended,
    ) -> bool {
        let Some(partition) = self.partitions.get_mut(&id) else { return false };
        partition.wait_for(wait_for, Waiter { required: appended.last_offset + 1, op, place });
        // Settled when the step ends, which may be at once.
        mark(&mut self.marked, partition);
        true
    }

    /// Appends batches of the broker's own with acks=all. Answers the base offset; a [`ReplicaEvent::AppendDone`]
    /// with `tag` follows when they are committed, refused, or `timeout_ms` has passed.
    pub fn append_internal(
        &mut self,
        ctx: &mut Context<'_>,
        topic_id: Uuid,
        partition: i32,
        batches: Vec<Batch>,
        timeout_ms: u64,
        tag: u64,
    ) -> Result<i64, ErrorCode> {
        let id = TopicPartitionId { topic_id, partition };
        let appended = self
            .append_as_leader(ctx, id, batches, true, Origin::Coordinator)
            .map_err(|refused| refused.error)?;
        let op = self.produces.add(Op {
            deadline_ms: ctx.now.mono_ms().saturating_add(timeout_ms),
            outstanding: SmallVec::from_slice(&[(0, 0)]),
            acks: ACKS_ALL,
            answer: Answer::Internal { tag },
        });
        let wait_for = match self.has(Defect::AckBeforeIsr) {
            true => WaitFor::LogEnd,
            false => WaitFor::HighWatermark,
        };
        self.must_wait(id, wait_for, op, (0, 0), &appended);
        self.settle(ctx);
        Ok(appended.base_offset)
    }

    /// Hands settled appends to their requests, and answers those that are complete.
    pub(super) fn finish_appends(&mut self, ctx: &mut Context<'_>, settled: &mut Vec<Settled>) {
        for (waiter, error) in settled.drain(..) {
            let Some(op) = self.produces.ops.get_mut(&waiter.op) else { continue };
            let Some(at) = op.outstanding.iter().position(|place| *place == waiter.place) else {
                continue;
            };
            op.outstanding.swap_remove(at);
            let complete = op.outstanding.is_empty();
            if error == ErrorCode::None
                && let Some(acknowledged) = &mut self.acknowledged
                && let Answer::Client { response, head, .. } = &op.answer
            {
                let version = head.api_version;
                acknowledged.extend(self.view.acknowledged(
                    response,
                    waiter.place,
                    op.acks,
                    version,
                ));
            }
            match &mut op.answer {
                Answer::Client { response, .. } => {
                    if error != ErrorCode::None {
                        set_error(response, waiter.place, error);
                    }
                    if complete {
                        self.answer_produce(ctx, waiter.op);
                    }
                }
                Answer::Internal { tag } => {
                    let result =
                        if error == ErrorCode::None { Ok(waiter.required) } else { Err(error) };
                    self.events.push(ReplicaEvent::AppendDone { tag: *tag, result });
                    self.produces.remove(waiter.op);
                }
            }
        }
    }

    /// Answers the requests whose time is over; what they wait for may still happen. Their waiters stay where they are
    /// until the offset comes, and then mean nothing.
    pub(super) fn expire_produces(&mut self, ctx: &mut Context<'_>) {
        let now_ms = ctx.now.mono_ms();
        while let Some((deadline_ms, op)) = self.produces.deadlines.first().copied() {
            if deadline_ms > now_ms {
                break;
            }
            let Some(entry) = self.produces.ops.get_mut(&op) else {
                self.produces.deadlines.remove(&(deadline_ms, op));
                continue;
            };
            match &mut entry.answer {
                Answer::Client { response, .. } => {
                    for place in entry.outstanding.drain(..) {
                        set_error(response, place, ErrorCode::RequestTimedOut);
                    }
                    self.answer_produce(ctx, op);
                }
                Answer::Internal { tag } => {
                    let result = Err(ErrorCode::RequestTimedOut);
                    self.events.push(ReplicaEvent::AppendDone { tag: *tag, result });
                    self.produces.remove(op);
                }
            }
        }
    }

    fn answer_produce(&mut self, ctx: &mut Context<'_>, op: u64) {
        let Some(op) = self.produces.remove(op) else { return };
        if let Answer::Client { id, head, mut response } = op.answer {
            self.tell_leaders(head.api_version, &mut response);
            ctx.respond_to(id, &head, &response);
        }
    }

    /// Beside NOT_LEADER_OR_FOLLOWER goes who leads now, and where that broker is (KIP-951).
    fn tell_leaders(&self, version: i16, response: &mut ProduceResponse) {
        if version < WITH_CURRENT_LEADER {
            return;
        }
        let mut named: BTreeSet<i32> = BTreeSet::new();
        for topic in &mut response.responses {
            let by_name = || self.view.topic_id(&topic.name);
            let topic_id = if version >= BY_TOPIC_ID { Some(topic.topic_id) } else { by_name() };
            for partition in &mut topic.partition_responses {
                if partition.error_code != ErrorCode::NotLeaderOrFollower.code() {
                    continue;
                }
                let Some(leader) = topic_id.and_then(|id| self.view.leader(id, partition.index))
                else {
                    continue;
                };
                partition.current_leader = LeaderIdAndEpoch::default()
                    .with_leader_id(leader.id.into())
                    .with_leader_epoch(leader.epoch);
                named.insert(leader.id);
            }
        }
        response.node_endpoints = named
            .into_iter()
            .filter_map(|id| self.view.endpoint(id))
            .map(|endpoint| {
                NodeEndpoint::default()
                    .with_node_id(endpoint.id.into())
                    .with_host(endpoint.host.clone())
                    .with_port(endpoint.port)
                    .with_rack(endpoint.rack.clone())
            })
            .collect();
    }
}

fn refused_by_log(error: AppendError) -> Refused {
    let record = match &error {
        AppendError::Invalid(invalid) => invalid.index.map(|index| (index, invalid.to_string())),
        _ => None,
    };
    Refused { error: error.error_code(), record, message: Some(error.to_string()) }
}

/// What every producer must keep to: one batch, and none of the kinds that only brokers write.
fn client_batches(records: Option<Bytes>, version: i16) -> Result<Vec<Batch>, Refused> {
    let invalid = |message: String| Refused {
        error: ErrorCode::InvalidRecord,
        record: None,
        message: Some(message),
    };
    let Some(records) = records else {
        return Err(invalid("a produce request has one record batch per partition".into()));
    };
    let batches = split_batches(records).map_err(|error| match error.reason {
        // As Kafka tells them apart: what is not there, or is of the formats before batches, is not damaged.
        BadBatch::Magic(0 | 1) | BadBatch::Truncated { .. } if error.position == 0 => {
            invalid(error.to_string())
        }
        _ => Refused {
            error: ErrorCode::CorruptMessage,
            record: None,
            message: Some(error.to_string()),
        },
    })?;
    let [batch] = batches.as_slice() else {
        return Err(invalid(format!(
            "a produce request has one record batch per partition, not {}",
            batches.len()
        )));
    };
    let header = batch.header();
    if header.is_control() {
        return Err(invalid("clients do not write control records".into()));
    }
    if header.is_transactional() {
        return Err(ErrorCode::InvalidTxnState.into());
    }
    match header.compression() {
        None => return Err(ErrorCode::UnsupportedCompressionType.into()),
        Some(Compression::Zstd) if version < WITH_ZSTD => {
            return Err(ErrorCode::UnsupportedCompressionType.into());
        }
        Some(_) => {}
    }
    Ok(batches)
}

fn refuse(response: PartitionProduceResponse, refused: Refused) -> PartitionProduceResponse {
    let mut response = response
        .with_error_code(refused.error.code())
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
        .with_error_message(refused.message.map(StrBytes::from_string));
    if let Some((index, message)) = refused.record {
        let record = BatchIndexAndErrorMessage::default()
            .with_batch_index(index)
            .with_batch_index_error_message(Some(StrBytes::from_string(message)));
        response.record_errors.push(record);
    }
    response
}

fn set_error(response: &mut ProduceResponse, place: (u32, u32), error: ErrorCode) {
    let partition = response
        .responses
        .get_mut(place.0 as usize)
        .and_then(|topic| topic.partition_responses.get_mut(place.1 as usize));
    if let Some(partition) = partition {
        partition.error_code = error.code();
        partition.base_offset = -1;
        partition.log_append_time_ms = -1;
    }
}
