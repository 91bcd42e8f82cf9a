//! The follower's side: fetching from the leaders, and cutting off what a leader does not have.
//!
//! Promises: for each leader node at most one Fetch is in flight on each of two lanes, and a partition is in at most one of
//! them; the second lane is for partitions that became ready while the first one waits at the leader. A partition's next
//! fetch goes out only after its last append (or truncation) completed, so the offset in it is what this broker
//! really has. A log is cut where the leader says that it diverges, by epoch, never by the high watermark.
//!
//! Not promised: that an answer is still wanted when it comes; one of another leader epoch, or for another offset than the
//! log's end, is dropped.

use std::collections::BTreeMap;

use wire::api::key;
use wire::batch::split_batches_allowing_partial;
use wire::error::ErrorCode;
use wire::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use wire::messages::fetch_response::PartitionData;
use wire::messages::{FetchRequest, FetchResponse};

use super::partition::{Partition, Role, Stage};
use super::{ReplicaManager, mark};
use crate::context::{
    CallAnswer, CallFailed, CallTag, Context, IoOwner, Lane, Peer, Severity, TopicPartitionId,
};
use crate::defect::Defect;

const VERSION: i16 = 17;
const LANES: usize = 2;

/// Longest wait after an error: a leader that is only behind with the metadata is asked again soon.
const BACKOFF_MAX_MS: u64 = 50;
/// How long partitions whose appends are complete wait for those whose are not, to go in one request.
const PATIENCE_MS: u64 = 20;

/// All partitions that follow one leader node.
#[derive(Default)]
pub(crate) struct Fetcher {
    pub partitions: BTreeMap<TopicPartitionId, Followed>,
    /// The next fetch begins with this partition: only the first with records is sure to get a batch that is larger than
    /// `replica.fetch.max.bytes` (KIP-74), so each has its turn.
    first: Option<TopicPartitionId>,
    lanes: [Option<InFlight>; LANES],
    /// The node did not answer: wait until then.
    retry_at_ms: Option<u64>,
    /// When the last answer came that may have left appends under way.
    answered_ms: u64,
}

/// One followed partition.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    in_flight: bool,
    /// After an error: wait until then.
    delayed_until_ms: Option<u64>,
    /// The leader's log does not have our offset: find out where it begins and ends.
    out_of_range: bool,
}

struct InFlight {
    call: u64,
    sent: Vec<Sent>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    id: TopicPartitionId,
    offset: i64,
    leader_epoch: i32,
}

impl Fetcher {
    fn is_idle(&self) -> bool {
        self.partitions.is_empty() && self.lanes.iter().all(Option::is_none)
    }
}

/// Whether the partition's next fetch may carry its log's end: nothing that would move the end is under way.
fn is_settled(partition: &Partition) -> bool {
    !partition.truncating
        && partition.log.as_ref().is_some_and(|log| log.next_offset() == log.log_end_offset())
}

impl ReplicaManager {
    /// Follows `leader` from now on (and nobody else).
    pub(super) fn follow(&mut self, id: TopicPartitionId, leader: i32) {
        self.unfollow(id);
        self.fetches_due = true;
        let fetcher = self.fetchers.entry(leader).or_default();
        fetcher.partitions.insert(id, Followed::default());
    }

    pub(super) fn unfollow(&mut self, id: TopicPartitionId) {
        self.fetchers.retain(|_, fetcher| {
            fetcher.partitions.remove(&id);
            !fetcher.is_idle()
        });
    }

    /// The node has registered anew, or is heard of again: no need to wait any longer.
    pub(super) fn leader_is_back(&mut self, node: i32) {
        if let Some(fetcher) = self.fetchers.get_mut(&node) {
            fetcher.retry_at_ms = None;
            self.fetches_due = true;
        }
    }

    /// Sends the fetches that are due.
    pub(super) fn send_fetches(&mut self, ctx: &mut Context<'_>) {
        if self.stopping || !std::mem::take(&mut self.fetches_due) {
            return;
        }
        let mut fetchers = std::mem::take(&mut self.fetchers);
        for (&node, fetcher) in &mut fetchers {
            for lane in 0..LANES {
                self.send_fetch(ctx, node, fetcher, lane);
            }
        }
        assert!(self.fetchers.is_empty(), "sending starts no fetcher");
        self.fetchers = fetchers;
        self.fetches_deadline_ms = self.next_fetch_ms(ctx.now.mono_ms());
    }

    fn send_fetch(&mut self, ctx: &mut Context<'_>, node: i32, fetcher: &mut Fetcher, lane: usize) {
        let now_ms = ctx.now.mono_ms();
        if fetcher.lanes[lane].is_some() || fetcher.retry_at_ms.is_some_and(|at| at > now_ms) {
            return;
        }
        fetcher.retry_at_ms = None;
        let patient = now_ms < fetcher.answered_ms + PATIENCE_MS;
        let mut ready = Vec::new();
        let first = fetcher.first.or_else(|| fetcher.partitions.keys().next().copied());
        let Some(first) = first else { return };
        let partitions = &fetcher.partitions;
        for (id, followed) in partitions.range(first..).chain(partitions.range(..first)) {
            if followed.in_flight || followed.delayed_until_ms.is_some_and(|at| at > now_ms) {
                continue;
            }
            let Some(partition) = self.partitions.get(id) else { continue };
            if partition.following().is_none() {
                continue;
            }
            match is_settled(partition) {
                true => ready.push(*id),
                // It will be soon, and then all go together.
                false if patient => return,
                false => {}
            }
        }
        if ready.is_empty() {
            return;
        }
        fetcher.first = ready.get(1).copied();
        self.next_call += 1;
        let call = self.next_call;
        let tag = CallTag::ReplicaFetch { node, fetcher: lane as u8, call };
        let mut sent = Vec::with_capacity(ready.len());
        let mut topics: Vec<FetchTopic> = Vec::new();
        for id in ready {
            let Some(followed) = fetcher.partitions.get_mut(&id) else { continue };
            followed.in_flight = true;
            followed.delayed_until_ms = None;
            let Some(partition) = self.partitions.get(&id) else { continue };
            if topics.last().is_none_or(|topic| topic.topic_id != id.topic_id) {
                topics.push(FetchTopic::default().with_topic_id(id.topic_id));
            }
            let asked = self.fetch_partition(ctx, partition);
            sent.push(Sent {
                id,
                offset: asked.fetch_offset,
                leader_epoch: partition.leader_epoch,
            });
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(asked);
            }
        }
        let state = ReplicaState::default()
            .with_replica_id(self.node_id.into())
            .with_replica_epoch(self.broker_epoch);
        let body = FetchRequest::default()
            .with_replica_state(state)
            .with_max_wait_ms(ctx.config.replica_fetch_wait_max_ms)
            .with_min_bytes(ctx.config.replica_fetch_min_bytes)
            .with_max_bytes(ctx.config.replica_fetch_response_max_bytes)
            .with_session_epoch(-1)
            .with_topics(topics);
        fetcher.lanes[lane] = Some(InFlight { call, sent });
        let peer = Peer { node, lane: Lane::Fetch(lane as u8) };
        ctx.call(peer, key::FETCH, VERSION, &body, tag);
    }

    fn fetch_partition(&self, ctx: &Context<'_>, partition: &Partition) -> FetchPartition {
        let log = partition.log.as_ref();
        // The pre-KIP-101 follower said nothing of epochs, and so was never told that it diverged.
        let was_cut = partition.following().is_some_and(|following| following.was_cut);
        let silent = self.has(Defect::TruncateToHighWatermark)
            || (was_cut && self.has(Defect::TruncateOnce));
        let last_fetched_epoch = match silent {
            true => -1,
            false => log.and_then(log::Log::latest_epoch).unwrap_or(-1),
        };
        FetchPartition::default()
            .with_partition(partition.id.partition)
            .with_current_leader_epoch(partition.leader_epoch)
            .with_fetch_offset(partition.log_end_offset())
            .with_last_fetched_epoch(last_fetched_epoch)
            .with_log_start_offset(log.map_or(-1, log::Log::log_start_offset))
            .with_partition_max_bytes(ctx.config.replica_fetch_max_bytes)
    }

    /// A Fetch came back, or did not.
    pub(super) fn fetch_answered(
        &mut self,
        ctx: &mut Context<'_>,
        node: i32,
        lane: u8,
        call: u64,
        answer: CallAnswer,
    ) {
        let now_ms = ctx.now.mono_ms();
        let Some(fetcher) = self.fetchers.get_mut(&node) else { return };
        let Some(slot) = fetcher.lanes.get_mut(usize::from(lane)) else { return };
        if slot.as_ref().is_none_or(|in_flight| in_flight.call != call) {
            return;
        }
        let Some(in_flight) = slot.take() else { return };
        self.fetches_due = true;
        fetcher.answered_ms = now_ms;
        for sent in &in_flight.sent {
            if let Some(followed) = fetcher.partitions.get_mut(&sent.id) {
                followed.in_flight = false;
            }
        }
        if fetcher.is_idle() {
            self.fetchers.remove(&node);
            return;
        }
        let response = answer.and_then(|(version, mut body)| {
            wire::frame::decode::<FetchResponse>(&mut body, version)
                .map_err(|_| CallFailed { refused: false, timed_out: false })
        });
        let response = match response {
            Ok(response) if response.error_code == 0 => response,
            Ok(_) | Err(_) => {
                let backoff_ms = ctx.config.replica_fetch_backoff_ms.min(BACKOFF_MAX_MS);
                fetcher.retry_at_ms = Some(now_ms + backoff_ms);
                return;
            }
        };
        let mut answered = BTreeMap::new();
        for topic in response.responses {
            for partition in topic.partitions {
                let id = TopicPartitionId {
                    topic_id: topic.topic_id,
                    partition: partition.partition_index,
                };
                answered.insert(id, partition);
            }
        }
        for sent in in_flight.sent {
            match answered.remove(&sent.id) {
                Some(data) => self.take_fetched(ctx, node, sent, data),
                None => self.delay(ctx, node, sent.id),
            }
        }
        self.ask_for_ranges(ctx, node);
    }

    fn delay(&mut self, ctx: &Context<'_>, node: i32, id: TopicPartitionId) {
        let backoff_ms = ctx.config.replica_fetch_backoff_ms.min(BACKOFF_MAX_MS);
        let followed =
            self.fetchers.get_mut(&node).and_then(|fetcher| fetcher.partitions.get_mut(&id));
        if let Some(followed) = followed {
            followed.delayed_until_ms = Some(ctx.now.mono_ms() + backoff_ms);
        }
    }

    /// One partition of an answer.
    fn take_fetched(&mut self, ctx: &mut Context<'_>, node: i32, sent: Sent, data: PartitionData) {
        let id = sent.id;
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let follows = partition.following().is_some_and(|following| following.leader == node);
        if !follows
            || partition.leader_epoch != sent.leader_epoch
            || partition.log_end_offset() != sent.offset
            || !is_settled(partition)
        {
            return;
        }
        match ErrorCode::from_code(data.error_code).unwrap_or(ErrorCode::UnknownServerError) {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => {
                let followed = self
                    .fetchers
                    .get_mut(&node)
                    .and_then(|fetcher| fetcher.partitions.get_mut(&id));
                if let Some(followed) = followed {
                    followed.out_of_range = true;
                }
                return;
            }
            error => {
                let message = format!(
                    "{}: broker {node} answers our fetch from {} with {error}",
                    self.partition_name(id),
                    sent.offset
                );
                ctx.say(Severity::Debug, message);
                self.delay(ctx, node, id);
                return;
            }
        }
        if data.diverging_epoch.epoch >= 0 || data.diverging_epoch.end_offset >= 0 {
            let (epoch, end_offset) = (data.diverging_epoch.epoch, data.diverging_epoch.end_offset);
            // Seeded defect: the leader's end alone, and no second step.
            let offset = match self.defects.has(Defect::TruncateOnce) {
                true => end_offset.min(partition.log_end_offset()),
                false => truncation_offset(partition, epoch, end_offset),
            };
            if let Role::Follower(following) = &mut partition.role {
                following.was_cut = true;
            }
            self.truncate(ctx, id, offset, "its log parts from the leader's there");
            return;
        }
        self.append_fetched(ctx, node, id, data);
    }

    fn append_fetched(
        &mut self,
        ctx: &mut Context<'_>,
        node: i32,
        id: TopicPartitionId,
        data: PartitionData,
    ) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        if let Role::Follower(following) = &mut partition.role {
            following.leader_high_watermark = data.high_watermark;
        }
        let Some(log) = partition.online() else { return };
        let records = data.records.unwrap_or_default();
        let failure = match split_batches_allowing_partial(records) {
            Ok(batches) if batches.is_empty() => None,
            Ok(batches) => {
                log.append_as_follower(batches, ctx.io).err().map(|error| error.to_string())
            }
            Err(error) => Some(error.to_string()),
        };
        partition.follow_high_watermark();
        // What the leader has deleted, its followers need not keep; the log goes no further than the high watermark.
        if let Some(log) = partition.online() {
            let below = data.log_start_offset.min(log.high_watermark());
            log.set_log_start_offset(below, ctx.io);
        }
        ctx.claim_io(IoOwner::Partition(id));
        if let Some(failure) = failure {
            let name = self.partition_name(id);
            ctx.say(
                Severity::Warn,
                format!("{name}: what broker {node} sent can't be appended: {failure}"),
            );
            self.delay(ctx, node, id);
        }
    }

    /// Cuts a follower's log; it fetches again when that is on disk. Below its own log start too: a leader that was
    /// elected uncleanly may end there, and the log then starts over where that one's ends.
    pub(super) fn truncate(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        offset: i64,
        why: &str,
    ) {
        let name = self.partition_name(id);
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let Some(log) = partition.online() else { return };
        let (end, high_watermark) = (log.next_offset(), log.high_watermark());
        // Also where there is no record to cut: epochs that began at the end, and that the leader never had, go.
        let cuts = log.truncate_to(offset, ctx.io);
        ctx.claim_io(IoOwner::Partition(id));
        if !cuts {
            return;
        }
        partition.truncating = true;
        let severity = match offset < high_watermark {
            true => Severity::Warn,
            false => Severity::Info,
        };
        ctx.say(
            severity,
            format!(
                "{name}: truncating from {end} to {offset} (high watermark {high_watermark}): {why}"
            ),
        );
        mark(&mut self.marked, partition);
    }

    /// The partitions of that node whose offset the leader does not have.
    pub(super) fn out_of_range(&mut self, node: i32) -> Vec<TopicPartitionId> {
        let Some(fetcher) = self.fetchers.get_mut(&node) else { return Vec::new() };
        let mut found = Vec::new();
        for (id, followed) in &mut fetcher.partitions {
            if std::mem::take(&mut followed.out_of_range) {
                // Not fetched meanwhile; the answer (or its failure) ends this.
                followed.in_flight = true;
                found.push(*id);
            }
        }
        found
    }

    /// Lets a partition be fetched again.
    pub(super) fn release(&mut self, node: i32, id: TopicPartitionId) {
        let followed =
            self.fetchers.get_mut(&node).and_then(|fetcher| fetcher.partitions.get_mut(&id));
        if let Some(followed) = followed {
            followed.in_flight = false;
            self.fetches_due = true;
        }
    }

    pub(super) fn delay_fetch(&mut self, ctx: &Context<'_>, node: i32, id: TopicPartitionId) {
        self.release(node, id);
        self.delay(ctx, node, id);
    }

    /// When a fetch that waits for time alone is due.
    fn next_fetch_ms(&self, now_ms: u64) -> Option<u64> {
        let of_fetcher = |fetcher: &Fetcher| -> Option<u64> {
            if fetcher.lanes.iter().all(Option::is_some) {
                return None;
            }
            let unsettled = fetcher.partitions.iter().any(|(id, followed)| {
                !followed.in_flight
                    && self.partitions.get(id).is_some_and(|partition| {
                        partition.stage == Stage::Online && !is_settled(partition)
                    })
            });
            let patience = unsettled.then_some(fetcher.answered_ms + PATIENCE_MS);
            let idle = fetcher.partitions.values().filter(|followed| !followed.in_flight);
            let delayed = idle
                .filter_map(|followed| followed.delayed_until_ms)
                .filter(|at| *at > now_ms)
                .min();
            // What is past and still did not go out waits for something else than time.
            match fetcher.retry_at_ms {
                Some(at_ms) => Some(at_ms),
                None => [patience, delayed].into_iter().flatten().filter(|at| *at > now_ms).min(),
            }
        };
        self.fetchers.values().filter_map(of_fetcher).min()
    }
}

/// Where a follower cuts its log, told that the leader's largest epoch not above ours is `epoch` and ends at `end_offset`
/// (Kafka's `getOffsetTruncationState`). If we don't have that epoch, this is a first step, and the next fetch brings the
/// next.
fn truncation_offset(partition: &Partition, epoch: i32, end_offset: i64) -> i64 {
    let Some(log) = &partition.log else { return end_offset };
    let log_end_offset = log.log_end_offset();
    if epoch < 0 {
        return end_offset.min(log_end_offset);
    }
    match log.end_offset_for_epoch(epoch) {
        (ours, _) if ours < 0 => end_offset.min(log_end_offset),
        (ours, our_end) if ours == epoch => our_end.min(end_offset).min(log_end_offset),
        (_, our_end) => our_end.min(log_end_offset),
    }
}
