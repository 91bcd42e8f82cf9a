//! AlterPartition: what leaders propose to the controller, and what it answers.
//!
//! Promises: one request is in flight at a time, carrying every proposal that waits; each proposal ends by being committed,
//! refused, or overtaken by newer metadata. A lost answer is asked again with the same partition epoch, which the
//! controller recognises if it had carried it out.
//!
//! Not promised: that a refusal is final; where our metadata is old, the proposal counts until newer comes.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use wire::api::key;
use wire::error::ErrorCode;
use wire::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use wire::messages::{AlterPartitionRequest, AlterPartitionResponse};

use super::{ReplicaManager, mark};
use crate::context::{CallAnswer, CallTag, Context, Lane, Peer, Severity, TopicPartitionId};
use crate::defect::Defect;

const VERSION: i16 = 3;
/// Between a failed try and the next.
const RETRY_MS: u64 = 50;

#[derive(Default)]
pub(crate) struct AlterPartitions {
    /// Partitions with a proposal that no call carries.
    pub wanted: BTreeSet<TopicPartitionId>,
    in_flight: Option<InFlight>,
    next_call: u64,
    retry_at_ms: Option<u64>,
    /// ISRs that became smaller, and larger, because a leader here asked for it, since the start.
    pub shrinks: u64,
    pub expands: u64,
}

struct InFlight {
    call: u64,
    partitions: BTreeMap<TopicPartitionId, Change>,
}

/// What a proposal makes of the ISR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Shrink,
    Expand,
}

impl AlterPartitions {
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.in_flight {
            None if !self.wanted.is_empty() => self.retry_at_ms,
            _ => None,
        }
    }

    fn count(&mut self, change: Change) {
        match change {
            Change::Shrink => self.shrinks += 1,
            Change::Expand => self.expands += 1,
        }
    }
}

impl ReplicaManager {
    /// Sends what waits, if the way is free.
    pub(super) fn send_alter_partition(&mut self, ctx: &mut Context<'_>) {
        let now_ms = ctx.now.mono_ms();
        if self.alter.wanted.is_empty()
            || self.alter.in_flight.is_some()
            || self.alter.retry_at_ms.is_some_and(|at_ms| at_ms > now_ms)
        {
            return;
        }
        self.alter.retry_at_ms = None;
        self.alter.next_call += 1;
        let call = self.alter.next_call;
        let mut topics: BTreeMap<Uuid, Vec<PartitionData>> = BTreeMap::new();
        let mut partitions = BTreeMap::new();
        for id in std::mem::take(&mut self.alter.wanted) {
            let broker_epoch = self.broker_epoch;
            let Some(leadership) =
                self.partitions.get_mut(&id).and_then(|partition| partition.leadership_mut())
            else {
                continue;
            };
            let open = |proposal: &super::leadership::Proposal| {
                (proposal.call.is_none() && !proposal.parked).then_some(proposal.partition_epoch)
            };
            let Some(partition_epoch) = leadership.proposal().and_then(open) else { continue };
            let isr = leadership.proposed_with_epochs(broker_epoch);
            let change = match isr.len() < leadership.committed_isr().len() {
                true => Change::Shrink,
                false => Change::Expand,
            };
            let isr = isr.into_iter().map(|(id, epoch)| {
                BrokerState::default().with_broker_id(id.into()).with_broker_epoch(epoch)
            });
            let data = PartitionData::default()
                .with_partition_index(id.partition)
                .with_leader_epoch(leadership.leader_epoch)
                .with_new_isr_with_epochs(isr.collect())
                .with_partition_epoch(partition_epoch);
            leadership.proposal_sent(call);
            topics.entry(id.topic_id).or_default().push(data);
            partitions.insert(id, change);
        }
        if partitions.is_empty() {
            return;
        }
        let topics = topics.into_iter().map(|(id, partitions)| {
            TopicData::default().with_topic_id(id).with_partitions(partitions)
        });
        let body = AlterPartitionRequest::default()
            .with_broker_id(self.node_id.into())
            .with_broker_epoch(self.broker_epoch)
            .with_topics(topics.collect());
        self.alter.in_flight = Some(InFlight { call, partitions });
        let peer = Peer::active_controller(Lane::Controller);
        let tag = CallTag::AlterPartition { call };
        ctx.call(peer, key::ALTER_PARTITION, VERSION, &body, tag);
    }

    pub(super) fn alter_partition_answered(
        &mut self,
        ctx: &mut Context<'_>,
        call: u64,
        answer: CallAnswer,
    ) {
        if self.alter.in_flight.as_ref().is_none_or(|in_flight| in_flight.call != call) {
            return;
        }
        let Some(in_flight) = self.alter.in_flight.take() else { return };
        let response = answer.ok().and_then(|(version, mut body)| {
            wire::frame::decode::<AlterPartitionResponse>(&mut body, version).ok()
        });
        let mut unanswered = in_flight.partitions;
        match response {
            Some(response) if response.error_code == 0 => {
                for topic in &response.topics {
                    for partition in &topic.partitions {
                        let id = TopicPartitionId {
                            topic_id: topic.topic_id,
                            partition: partition.partition_index,
                        };
                        if let Some(change) = unanswered.remove(&id)
                            && !self.proposal_answered(ctx, id, call, change, partition)
                        {
                            unanswered.insert(id, change);
                        }
                    }
                }
            }
            Some(response) => ctx.say(
                Severity::Info,
                format!(
                    "the controller refused AlterPartition with {}; trying again",
                    wire::error::name_of(response.error_code)
                ),
            ),
            None => {}
        }
        // No answer, or one that asks to try again.
        for id in unanswered.into_keys() {
            let leadership =
                self.partitions.get_mut(&id).and_then(|partition| partition.leadership_mut());
            if leadership.is_some_and(|leadership| leadership.proposal_unanswered(call)) {
                self.alter.wanted.insert(id);
                self.alter.retry_at_ms = Some(ctx.now.mono_ms() + RETRY_MS);
            }
        }
    }

    /// `false`: the controller could not say; ask again.
    fn proposal_answered(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        call: u64,
        change: Change,
        answer: &wire::messages::alter_partition_response::PartitionData,
    ) -> bool {
        let fencing = !self.has(Defect::NoEpochFencing);
        let name = self.partition_name(id);
        let Some(partition) = self.partitions.get_mut(&id) else { return true };
        let Some(leadership) = partition.leadership_mut() else { return true };
        let error =
            ErrorCode::from_code(answer.error_code).unwrap_or(ErrorCode::UnknownServerError);
        match error {
            ErrorCode::None => {
                let isr: Vec<i32> = answer.isr.iter().map(|id| id.0).collect();
                if answer.leader_epoch == leadership.leader_epoch
                    && leadership.proposal_committed(&isr, answer.partition_epoch)
                {
                    let message = format!(
                        "{name}: the ISR is {isr:?} (partition epoch {})",
                        answer.partition_epoch
                    );
                    ctx.say(Severity::Info, message);
                    self.alter.count(change);
                    self.isr_changed(ctx, id);
                    self.expand_isr(ctx, id);
                }
            }
            ErrorCode::FencedLeaderEpoch
            | ErrorCode::InvalidUpdateVersion
            | ErrorCode::NewLeaderElected
                if !fencing =>
            {
                // Seeded defect: the answer that says "you lead no more" is taken for consent.
                let proposal = leadership.proposal().cloned();
                if let Some(proposal) = proposal {
                    let partition_epoch = leadership.partition_epoch;
                    leadership.proposal_committed(&proposal.isr, partition_epoch);
                    self.isr_changed(ctx, id);
                }
            }
            ErrorCode::OperationNotAttempted | ErrorCode::IneligibleReplica => {
                leadership.proposal_refused(call);
                self.isr_changed(ctx, id);
            }
            ErrorCode::FencedLeaderEpoch
            | ErrorCode::InvalidUpdateVersion
            | ErrorCode::NewLeaderElected
            | ErrorCode::UnknownTopicId
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::InvalidRequest => {
                leadership.proposal_outdated(call);
                let message = format!("{name}: the controller refused a new ISR with {error}");
                ctx.say(Severity::Info, message);
            }
            _ => return false,
        }
        true
    }

    /// Another maximal ISR: more may be committed now.
    pub(super) fn isr_changed(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        let now_ms = ctx.now.mono_ms();
        let max_lag_ms = ctx.config.replica_lag_time_max_ms;
        let view = &self.view;
        let eligible = |id: i32, epoch: i64| view.may_join_isr(id, epoch);
        if let Some(partition) = self.partitions.get_mut(&id)
            && partition.advance_high_watermark(now_ms, max_lag_ms, &eligible)
        {
            mark(&mut self.marked, partition);
        }
    }

    /// Followers that were ready to join before now may be let in by now: nothing says that they will fetch again soon.
    pub(super) fn expand_isr(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        let now_ms = ctx.now.mono_ms();
        let max_lag_ms = ctx.config.replica_lag_time_max_ms;
        let view = &self.view;
        let eligible = |id: i32, epoch: i64| view.may_join_isr(id, epoch);
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let Some((log, leadership)) = partition.leading() else { return };
        if leadership.propose_expansion(log.high_watermark(), now_ms, max_lag_ms, &eligible) {
            self.alter.wanted.insert(id);
        }
    }

    /// Looks for followers that have lagged for too long.
    pub(super) fn shrink_isrs(&mut self, ctx: &mut Context<'_>) {
        let now_ms = ctx.now.mono_ms();
        let max_lag_ms = ctx.config.replica_lag_time_max_ms;
        let mut proposed = Vec::new();
        for (id, partition) in &mut self.partitions {
            let Some((log, leadership)) = partition.leading() else { continue };
            if leadership.propose_shrink(log.log_end_offset(), now_ms, max_lag_ms) {
                let isr = leadership.proposal().map(|proposal| proposal.isr.to_vec());
                proposed.push((*id, isr.unwrap_or_default()));
            }
        }
        for (id, isr) in proposed {
            let name = self.partition_name(id);
            ctx.say(
                Severity::Info,
                format!("{name}: proposing the ISR {isr:?}: the others have not caught up in {max_lag_ms} ms"),
            );
            self.alter.wanted.insert(id);
        }
    }
}
