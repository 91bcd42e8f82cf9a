//! One partition that this broker hosts: its log, its part in the replication, and who waits for it.
//!
//! Promises: the high watermark moves only through [`Partition::advance_high_watermark`] (as leader) and
//! [`Partition::follow_high_watermark`] (as follower), never back while the partition leads, and never beyond what the
//! maximal ISR has. Waiting appends are settled in the order of their offsets, at a cost of those settled.
//!
//! Not promised: anything about requests; what waits here are numbers that mean something to the purgatories.

use std::collections::VecDeque;

use log::{Log, LogConfig};
use wire::StrBytes;
use wire::error::ErrorCode;

use super::ReadFor;
use super::leadership::{Eligible, Leadership};
use crate::context::TopicPartitionId;
use crate::image::PartitionImage;

/// How far along the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its directory is looked for, made, or not yet free.
    Waiting,
    /// The log recovers.
    Opening,
    Online,
    /// Its storage failed.
    Offline,
    Closing,
    Closed,
    /// Gone from the metadata; its files are being deleted.
    Deleting,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one for each partition, and most are leaders")]
pub(crate) enum Role {
    /// Nothing yet, or nobody leads.
    Idle,
    Leader(Leadership),
    Follower(Following),
}

#[derive(Debug)]
pub(crate) struct Following {
    pub leader: i32,
    /// The high watermark in the leader's last answer; our own can't pass our end.
    pub leader_high_watermark: i64,
    /// Our log was cut once in this leader epoch: what seeded defect `truncate-once` asks for.
    pub was_cut: bool,
}

impl Following {
    pub fn new(leader: i32) -> Self {
        Self { leader, leader_high_watermark: 0, was_cut: false }
    }
}

/// An append (or one partition's share of it) that waits for `required`, an exclusive end offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub required: i64,
    pub op: u64,
    /// Where in the response: topic and partition index.
    pub place: (u32, u32),
}

/// What has to reach [`Waiter::required`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitFor {
    /// The leader's own end (acks=1).
    LogEnd,
    /// The high watermark (acks=all).
    HighWatermark,
}

/// A waiter that waits no more, and why.
pub(crate) type Settled = (Waiter, ErrorCode);

/// Parked fetches by what wakes them.
#[derive(Debug, Default)]
pub(crate) struct FetchWaiters {
    /// Followers' and debuggers': any new record.
    pub log_end: Vec<u64>,
    /// Consumers'.
    pub high_watermark: Vec<u64>,
}

pub(crate) struct Partition {
    pub id: TopicPartitionId,
    pub topic: StrBytes,
    /// The directory's name.
    pub dir: String,
    pub stage: Stage,
    pub role: Role,
    /// The newest metadata of this partition; the role follows it once the log is online.
    pub image: PartitionImage,
    /// The leader epoch that the role was taken in; -1 before the first.
    pub leader_epoch: i32,
    pub log: Option<Log>,
    pub log_config: LogConfig,
    pub min_insync_replicas: usize,
    /// Ordered by `required`.
    by_log_end: VecDeque<Waiter>,
    by_high_watermark: VecDeque<Waiter>,
    pub fetch_waiters: FetchWaiters,
    /// Log reads under way, with the reader that each belongs to.
    pub reads: Vec<(log::ReadId, ReadFor)>,
    /// On the list of partitions to look at when the step ends.
    pub marked: bool,
    pub log_end_moved: bool,
    pub high_watermark_moved: bool,
    /// A follower's append or truncation has not completed: its next fetch waits.
    pub truncating: bool,
}

impl Partition {
    pub fn new(
        id: TopicPartitionId,
        topic: StrBytes,
        image: PartitionImage,
        log_config: LogConfig,
        min_insync_replicas: usize,
    ) -> Self {
        let dir = wire::names::partition_dir_name(&topic, id.partition);
        Self {
            id,
            topic,
            dir,
            stage: Stage::Waiting,
            role: Role::Idle,
            image,
            leader_epoch: -1,
            log: None,
            log_config,
            min_insync_replicas,
            by_log_end: VecDeque::new(),
            by_high_watermark: VecDeque::new(),
            fetch_waiters: FetchWaiters::default(),
            reads: Vec::new(),
            marked: false,
            log_end_moved: false,
            high_watermark_moved: false,
            truncating: false,
        }
    }

    pub fn leadership(&self) -> Option<&Leadership> {
        match &self.role {
            Role::Leader(leadership) if self.stage == Stage::Online => Some(leadership),
            _ => None,
        }
    }

    pub fn leadership_mut(&mut self) -> Option<&mut Leadership> {
        match &mut self.role {
            Role::Leader(leadership) if self.stage == Stage::Online => Some(leadership),
            _ => None,
        }
    }

    pub fn following(&self) -> Option<&Following> {
        match &self.role {
            Role::Follower(following) if self.stage == Stage::Online => Some(following),
            _ => None,
        }
    }

    /// The log, where it can be used.
    pub fn online(&mut self) -> Option<&mut Log> {
        match self.stage {
            Stage::Online => self.log.as_mut(),
            _ => None,
        }
    }

    /// The end of what was written, 0 while that is not known.
    pub fn log_end_offset(&self) -> i64 {
        self.log.as_ref().map_or(0, Log::log_end_offset)
    }

    pub fn high_watermark(&self) -> i64 {
        self.log.as_ref().map_or(0, Log::high_watermark)
    }

    /// The log and the leadership together, for those who may be served by a leader only.
    pub fn leading(&mut self) -> Option<(&mut Log, &mut Leadership)> {
        match (&mut self.role, &mut self.log) {
            (Role::Leader(leadership), Some(log)) if self.stage == Stage::Online => {
                Some((log, leadership))
            }
            _ => None,
        }
    }

    /// Whether a request that believes in `current_leader_epoch` (-1: in none) may be served here, in Kafka's order of
    /// checks: the epoch first, so that an old client learns of a new leader from the old one.
    pub fn check_leader(&self, current_leader_epoch: i32, fencing: bool) -> Result<(), ErrorCode> {
        match self.stage {
            Stage::Online => {}
            Stage::Offline => return Err(ErrorCode::KafkaStorageError),
            _ => return Err(ErrorCode::NotLeaderOrFollower),
        }
        if fencing && current_leader_epoch >= 0 {
            if current_leader_epoch < self.leader_epoch {
                return Err(ErrorCode::FencedLeaderEpoch);
            }
            if current_leader_epoch > self.leader_epoch {
                return Err(ErrorCode::UnknownLeaderEpoch);
            }
        }
        match self.role {
            Role::Leader(_) => Ok(()),
            _ => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// The first offset that a consumer may not read.
    pub fn readable_below(&self, read_committed: bool) -> i64 {
        match &self.log {
            Some(log) if read_committed => log.last_stable_offset().min(log.high_watermark()),
            Some(log) => log.high_watermark(),
            None => 0,
        }
    }

    /// As leader: everything below the least end of the maximal ISR is committed. Answers whether that moved.
    pub fn advance_high_watermark(
        &mut self,
        now_ms: u64,
        max_lag_ms: u64,
        eligible: Eligible<'_>,
    ) -> bool {
        let min_insync_replicas = self.min_insync_replicas;
        let Some((log, leadership)) = self.leading() else { return false };
        let log_end_offset = log.log_end_offset();
        let committed = leadership.committed_below(
            log_end_offset,
            min_insync_replicas,
            now_ms,
            max_lag_ms,
            eligible,
        );
        match committed {
            Some(offset) if offset > log.high_watermark() => {
                log.set_high_watermark(offset);
                self.high_watermark_moved = true;
                true
            }
            _ => false,
        }
    }

    /// As follower: the leader's high watermark, as far as our log reaches.
    pub fn follow_high_watermark(&mut self) {
        let Role::Follower(following) = &self.role else { return };
        let leader_high_watermark = following.leader_high_watermark;
        let Some(log) = self.log.as_mut() else { return };
        let offset = leader_high_watermark.min(log.log_end_offset());
        if offset > log.high_watermark() {
            log.set_high_watermark(offset);
        }
    }

    /// Parks an append until what it waits for has come.
    pub fn wait_for(&mut self, wait_for: WaitFor, waiter: Waiter) {
        let queue = match wait_for {
            WaitFor::LogEnd => &mut self.by_log_end,
            WaitFor::HighWatermark => &mut self.by_high_watermark,
        };
        // Appends come in order; only a duplicate, which has its first append's offsets, goes before others.
        let at = match queue.back() {
            Some(last) if last.required > waiter.required => {
                queue.partition_point(|other| other.required <= waiter.required)
            }
            _ => queue.len(),
        };
        queue.insert(at, waiter);
    }

    /// Takes out the appends that have what they waited for.
    pub fn settle_appends(&mut self, settled: &mut Vec<Settled>) {
        let log_end_offset = self.log_end_offset();
        while let Some(waiter) = self.by_log_end.front().copied() {
            if waiter.required > log_end_offset {
                break;
            }
            self.by_log_end.pop_front();
            settled.push((waiter, ErrorCode::None));
        }
        let high_watermark = self.high_watermark();
        if self.by_high_watermark.front().is_none_or(|waiter| waiter.required > high_watermark) {
            return;
        }
        let error = self.committed_error();
        while let Some(waiter) = self.by_high_watermark.front().copied() {
            if waiter.required > high_watermark {
                break;
            }
            self.by_high_watermark.pop_front();
            settled.push((waiter, error));
        }
    }

    /// What an acks=all append whose offset is committed is told: the ISR may have become too small since.
    pub fn committed_error(&self) -> ErrorCode {
        match self.leadership() {
            Some(leadership) if leadership.is_under_min_isr(self.min_insync_replicas) => {
                ErrorCode::NotEnoughReplicasAfterAppend
            }
            Some(_) => ErrorCode::None,
            None => ErrorCode::NotLeaderOrFollower,
        }
    }

    /// Takes out all appends: this broker can't tell any more what becomes of them.
    pub fn fail_appends(&mut self, error: ErrorCode, settled: &mut Vec<Settled>) {
        let waiters = self.by_log_end.drain(..).chain(self.by_high_watermark.drain(..));
        settled.extend(waiters.map(|waiter| (waiter, error)));
    }

    pub fn park_fetch(&mut self, op: u64, wait_for: WaitFor) {
        match wait_for {
            WaitFor::LogEnd => self.fetch_waiters.log_end.push(op),
            WaitFor::HighWatermark => self.fetch_waiters.high_watermark.push(op),
        }
    }

    pub fn unpark_fetch(&mut self, op: u64, wait_for: WaitFor) {
        let waiters = match wait_for {
            WaitFor::LogEnd => &mut self.fetch_waiters.log_end,
            WaitFor::HighWatermark => &mut self.fetch_waiters.high_watermark,
        };
        if let Some(at) = waiters.iter().position(|other| *other == op) {
            waiters.swap_remove(at);
        }
    }
}
