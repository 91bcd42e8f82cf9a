//! What a follower does when the leader's log does not have its offset: it asks where that log ends and begins, and
//! joins it there.
//!
//! Promises: a log that reaches beyond the leader's end is cut to it; one that ends before the leader's begins is thrown
//! away and started where the leader's begins (retention has deleted what lies between). Nothing else is thrown away.

use wire::api::key;
use wire::error::ErrorCode;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::ReplicaManager;
use crate::context::{
    CallAnswer, CallTag, Context, IoOwner, Lane, Peer, Severity, TopicPartitionId,
};

const VERSION: i16 = 7;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// A question under way.
pub(crate) struct RangeCall {
    call: u64,
    node: i32,
    timestamp: i64,
    partitions: Vec<(TopicPartitionId, i32)>,
}

impl ReplicaManager {
    pub(super) fn ask_for_ranges(&mut self, ctx: &mut Context<'_>, node: i32) {
        let partitions = self.out_of_range(node);
        self.ask_for_offsets(ctx, node, LATEST, partitions);
    }

    fn ask_for_offsets(
        &mut self,
        ctx: &mut Context<'_>,
        node: i32,
        timestamp: i64,
        partitions: Vec<TopicPartitionId>,
    ) {
        let mut asked = Vec::with_capacity(partitions.len());
        let mut topics: Vec<ListOffsetsTopic> = Vec::new();
        for id in partitions {
            let Some(partition) = self.partitions.get(&id) else { continue };
            if topics.last().is_none_or(|topic| topic.name.0 != partition.topic) {
                topics.push(ListOffsetsTopic::default().with_name(partition.topic.clone().into()));
            }
            let question = ListOffsetsPartition::default()
                .with_partition_index(id.partition)
                .with_current_leader_epoch(partition.leader_epoch)
                .with_timestamp(timestamp);
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(question);
            }
            asked.push((id, partition.leader_epoch));
        }
        if asked.is_empty() {
            return;
        }
        self.next_call += 1;
        let call = self.next_call;
        let body =
            ListOffsetsRequest::default().with_replica_id(self.node_id.into()).with_topics(topics);
        let tag = CallTag::ReplicaEpoch { node, fetcher: 0, call };
        self.range_calls.push(RangeCall { call, node, timestamp, partitions: asked });
        ctx.call(Peer { node, lane: Lane::Fetch(0) }, key::LIST_OFFSETS, VERSION, &body, tag);
    }

    pub(super) fn range_answered(&mut self, ctx: &mut Context<'_>, call: u64, answer: CallAnswer) {
        let Some(at) = self.range_calls.iter().position(|range| range.call == call) else { return };
        let range = self.range_calls.swap_remove(at);
        let response = answer.ok().and_then(|(version, mut body)| {
            wire::frame::decode::<ListOffsetsResponse>(&mut body, version).ok()
        });
        let Some(response) = response else {
            for (id, _) in range.partitions {
                self.delay_fetch(ctx, range.node, id);
            }
            return;
        };
        let mut behind = Vec::new();
        for (id, leader_epoch) in range.partitions {
            let Some(partition) = self.partitions.get(&id) else { continue };
            let answered = response
                .topics
                .iter()
                .filter(|topic| topic.name.0 == partition.topic)
                .flat_map(|topic| &topic.partitions)
                .find(|answered| answered.partition_index == id.partition);
            let current = partition.leader_epoch == leader_epoch
                && partition.following().is_some_and(|following| following.leader == range.node);
            let offset = match answered {
                Some(answered)
                    if answered.error_code == ErrorCode::None.code() && answered.offset >= 0 =>
                {
                    answered.offset
                }
                _ => {
                    self.delay_fetch(ctx, range.node, id);
                    continue;
                }
            };
            if !current {
                self.release(range.node, id);
            } else if range.timestamp == EARLIEST {
                self.restart_at(ctx, id, offset);
                self.delay_fetch(ctx, range.node, id);
            } else if offset < partition.log_end_offset() {
                self.truncate(ctx, id, offset, "the leader's log ends there");
                self.release(range.node, id);
            } else {
                behind.push(id);
            }
        }
        self.ask_for_offsets(ctx, range.node, EARLIEST, behind);
    }

    /// The leader's log begins at `offset`; ours goes on there if it does not reach so far.
    fn restart_at(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId, offset: i64) {
        let name = self.partition_name(id);
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let Some(log) = partition.online() else { return };
        if offset <= log.log_end_offset() {
            return;
        }
        let end = log.log_end_offset();
        let cuts = log.truncate_fully_and_start_at(offset, ctx.io);
        ctx.claim_io(IoOwner::Partition(id));
        partition.truncating = cuts;
        ctx.say(
            Severity::Warn,
            format!("{name}: starting anew at {offset}: the leader has nothing from our end {end} on any more"),
        );
    }
}
