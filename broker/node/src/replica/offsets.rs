//! ListOffsets and OffsetForLeaderEpoch: where a log begins and ends, which record a time leads to, and where a leader
//! epoch ended.
//!
//! Promises: a consumer is never told of an offset beyond the high watermark; while a new leader's high watermark
//! still lags behind the start of its epoch, "latest" is refused rather than answered with an offset that went back.
//! Followers (replica id from 0) and debuggers (-2) see the log's end.
//!
//! Not promised: tiered storage; its questions have the answers of a log that has none.

use std::collections::BTreeMap;

use log::{FoundTimestamp, Log, Lookup, ReadError};
use rustc_hash::FxHashMap;
use wire::error::ErrorCode;
use wire::frame::RequestHead;
use wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use wire::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};

use super::partition::Partition;
use super::view::MetadataView;
use super::{ReadFor, ReplicaManager};
use crate::context::{Context, IoOwner, Request, RequestId, TopicPartitionId};
use crate::defect::Defect;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// The first version that may be told OFFSET_NOT_AVAILABLE.
const WITH_OFFSET_NOT_AVAILABLE: i16 = 5;

/// The first version whose answer has the leader epoch beside the offset.
const WITH_LEADER_EPOCH: i16 = 4;

struct Op {
    id: RequestId,
    head: RequestHead,
    response: ListOffsetsResponse,
    outstanding: u32,
}

/// ListOffsets requests that wait for reads of the disk.
#[derive(Default)]
pub(crate) struct Lookups {
    next: u64,
    ops: FxHashMap<u64, Op>,
}

/// One partition's question.
#[derive(Clone, Copy)]
struct Question {
    timestamp: i64,
    current_leader_epoch: i32,
    replica_id: i32,
    read_committed: bool,
    version: i16,
}

/// An offset with its record's time and leader epoch, where they are known.
struct Listed {
    offset: i64,
    timestamp: i64,
    leader_epoch: i32,
}

impl Listed {
    const NOTHING: Listed = Listed { offset: -1, timestamp: -1, leader_epoch: -1 };

    fn at(offset: i64, leader_epoch: Option<i32>) -> Listed {
        Listed { offset, timestamp: -1, leader_epoch: leader_epoch.unwrap_or(-1) }
    }
}

enum Answer {
    Now(Listed),
    Reading(log::ReadId),
}

impl ReplicaManager {
    pub(super) fn handle_list_offsets(&mut self, ctx: &mut Context<'_>, request: &Request) {
        let Some(list) = request.decode::<ListOffsetsRequest>(ctx) else { return };
        self.lookups.next += 1;
        let number = self.lookups.next;
        let mut outstanding = 0;
        let mut topics = Vec::with_capacity(list.topics.len());
        for (topic_index, topic) in list.topics.into_iter().enumerate() {
            let topic_id = self.view.topic_id(&topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for (index, asked) in topic.partitions.iter().enumerate() {
                let question = Question {
                    timestamp: asked.timestamp,
                    current_leader_epoch: asked.current_leader_epoch,
                    replica_id: list.replica_id.0,
                    read_committed: list.isolation_level == 1,
                    version: request.head.api_version,
                };
                let answer = match topic_id {
                    Some(topic_id) => {
                        let id = TopicPartitionId { topic_id, partition: asked.partition_index };
                        let place = (topic_index as u32, index as u32);
                        self.list_offset(ctx, id, question, number, place)
                    }
                    None => Err(ErrorCode::UnknownTopicOrPartition),
                };
                let response = ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index);
                partitions.push(match answer {
                    Ok(Some(listed)) => fill(question.version, response, &listed),
                    Ok(None) => {
                        outstanding += 1;
                        response
                    }
                    Err(error) => response.with_error_code(error.code()),
                });
            }
            topics.push(
                ListOffsetsTopicResponse::default()
                    .with_name(topic.name)
                    .with_partitions(partitions),
            );
        }
        let response = ListOffsetsResponse::default().with_topics(topics);
        if outstanding == 0 {
            ctx.respond(request, &response);
        } else {
            let op = Op { id: request.id, head: request.head.clone(), response, outstanding };
            self.lookups.ops.insert(number, op);
        }
    }

    /// `None`: a read is under way, and its answer goes to `place`.
    fn list_offset(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        question: Question,
        number: u64,
        place: (u32, u32),
    ) -> Result<Option<Listed>, ErrorCode> {
        let fencing = !self.has(Defect::NoEpochFencing);
        let partition = self.hosted(id)?;
        partition.check_leader(question.current_leader_epoch, fencing)?;
        let answer = answer(ctx, partition, question);
        ctx.claim_io(IoOwner::Partition(id));
        match answer? {
            Answer::Now(listed) => Ok(Some(listed)),
            Answer::Reading(read) => {
                partition.reads.push((read, ReadFor::ListOffsets { op: number, place }));
                Ok(None)
            }
        }
    }

    /// The hosted partition, or why a request for it can't be served.
    pub(super) fn hosted(&mut self, id: TopicPartitionId) -> Result<&mut Partition, ErrorCode> {
        hosted(&self.view, &mut self.partitions, id)
    }

    /// A lookup came back from the disk.
    pub(super) fn lookup_done(
        &mut self,
        ctx: &mut Context<'_>,
        number: u64,
        place: (u32, u32),
        result: Result<Option<FoundTimestamp>, ReadError>,
    ) {
        let Some(op) = self.lookups.ops.get_mut(&number) else { return };
        let partition = op
            .response
            .topics
            .get_mut(place.0 as usize)
            .and_then(|topic| topic.partitions.get_mut(place.1 as usize));
        if let Some(partition) = partition {
            *partition = match result {
                Ok(found) => fill(op.head.api_version, partition.clone(), &listed(found)),
                Err(error) => partition.clone().with_error_code(error.error_code().code()),
            };
        }
        op.outstanding -= 1;
        if op.outstanding == 0
            && let Some(op) = self.lookups.ops.remove(&number)
        {
            ctx.respond_to(op.id, &op.head, &op.response);
        }
    }

    pub(super) fn handle_offset_for_leader_epoch(
        &mut self,
        ctx: &mut Context<'_>,
        request: &Request,
    ) {
        let Some(asked) = request.decode::<OffsetForLeaderEpochRequest>(ctx) else { return };
        let mut topics = Vec::with_capacity(asked.topics.len());
        for topic in asked.topics {
            let topic_id = self.view.topic_id(&topic.topic);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in &topic.partitions {
                let answer = topic_id.ok_or(ErrorCode::UnknownTopicOrPartition).and_then(|id| {
                    let id = TopicPartitionId { topic_id: id, partition: asked.partition };
                    let partition = self.hosted(id)?;
                    partition.check_leader(asked.current_leader_epoch, true)?;
                    let Some((log, _)) = partition.leading() else {
                        return Err(ErrorCode::NotLeaderOrFollower);
                    };
                    // The epoch that we lead in may not have a record yet; it ends at the end all the same.
                    Ok(match log.end_offset_for_epoch(asked.leader_epoch) {
                        (-1, _) if asked.leader_epoch == partition.leader_epoch => {
                            (asked.leader_epoch, partition.log_end_offset())
                        }
                        known => known,
                    })
                });
                let response = EpochEndOffset::default().with_partition(asked.partition);
                partitions.push(match answer {
                    Ok((epoch, end_offset)) => {
                        response.with_leader_epoch(epoch).with_end_offset(end_offset)
                    }
                    Err(error) => response.with_error_code(error.code()),
                });
            }
            topics.push(
                OffsetForLeaderTopicResult::default()
                    .with_topic(topic.topic)
                    .with_partitions(partitions),
            );
        }
        ctx.respond(request, &OffsetForLeaderEpochResponse::default().with_topics(topics));
    }
}

/// As [`ReplicaManager::hosted`], for who needs the manager's other parts meanwhile.
pub(super) fn hosted<'a>(
    view: &MetadataView,
    partitions: &'a mut BTreeMap<TopicPartitionId, Partition>,
    id: TopicPartitionId,
) -> Result<&'a mut Partition, ErrorCode> {
    partitions.get_mut(&id).ok_or_else(|| match view.leader(id.topic_id, id.partition) {
        Some(_) => ErrorCode::NotLeaderOrFollower,
        None => ErrorCode::UnknownTopicOrPartition,
    })
}

fn answer(
    ctx: &mut Context<'_>,
    partition: &mut Partition,
    question: Question,
) -> Result<Answer, ErrorCode> {
    let to_log_end = ctx.config.highwater_defects.has(Defect::LatestIsLogEnd);
    let consumer = question.replica_id == -1 && !to_log_end;
    let leader_epoch = partition.leader_epoch;
    let below = match consumer {
        true => partition.readable_below(question.read_committed),
        false => partition.log_end_offset(),
    };
    let Some((log, leadership)) = partition.leading() else {
        return Err(ErrorCode::NotLeaderOrFollower);
    };
    let lags = consumer && leadership.epoch_start_offset > log.high_watermark();
    let not_available = match question.version >= WITH_OFFSET_NOT_AVAILABLE {
        true => ErrorCode::OffsetNotAvailable,
        false => ErrorCode::LeaderNotAvailable,
    };
    match question.timestamp {
        LATEST if lags => Err(not_available),
        LATEST => Ok(Answer::Now(Listed::at(below, Some(leader_epoch)))),
        EARLIEST | EARLIEST_LOCAL => {
            let start = log.log_start_offset();
            Ok(Answer::Now(Listed::at(start, epoch_at(log, start))))
        }
        LATEST_TIERED => Ok(Answer::Now(Listed::NOTHING)),
        MAX_TIMESTAMP => looked_up(log.offset_for_max_timestamp(below, ctx.io)),
        timestamp if timestamp >= 0 => {
            let found = log.offset_for_timestamp(timestamp, below, ctx.io);
            let answer = looked_up(found)?;
            match answer {
                // It may be among what is committed but not known to be.
                Answer::Now(Listed { offset: -1, .. }) if lags => Err(not_available),
                answer => Ok(answer),
            }
        }
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

fn looked_up(lookup: Lookup) -> Result<Answer, ErrorCode> {
    match lookup {
        Lookup::Ready(found) => Ok(Answer::Now(listed(found))),
        Lookup::Pending(read) => Ok(Answer::Reading(read)),
        Lookup::Failed(error) => Err(error.error_code()),
    }
}

fn listed(found: Option<FoundTimestamp>) -> Listed {
    match found {
        Some(found) => Listed {
            offset: found.offset,
            timestamp: found.timestamp,
            leader_epoch: found.leader_epoch,
        },
        None => Listed::NOTHING,
    }
}

fn epoch_at(log: &Log, offset: i64) -> Option<i32> {
    log.epochs().epoch_for_offset(offset)
}

fn fill(
    version: i16,
    response: ListOffsetsPartitionResponse,
    listed: &Listed,
) -> ListOffsetsPartitionResponse {
    let response = response.with_offset(listed.offset).with_timestamp(listed.timestamp);
    match version {
        ..WITH_LEADER_EPOCH => response,
        _ => response.with_leader_epoch(listed.leader_epoch),
    }
}
