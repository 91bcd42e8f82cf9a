//! The data directory's three checkpoints: high watermarks, recovery points, log start offsets.
//!
//! Promises: each is replaced as a whole, one write at a time, and not written where nothing changed. A truncated log takes
//! appends again only after what says too much was written anew: a recovery point beyond the new end, or a log start
//! beyond the new one, by which the next start would throw the log away.
//!
//! Not promised: freshness. They lag by their intervals, and everybody who reads them lives with that.

use bytes::Bytes;
use log::checkpoint::{
    LOG_START_OFFSET_FILE, OffsetCheckpoint, RECOVERY_POINT_FILE, REPLICATION_OFFSET_FILE,
    format_offsets,
};
use log::io::{IoOp, IoResult, Token};

use super::ReplicaManager;
use super::partition::{Partition, Stage};
use crate::config::NodeConfig;
use crate::context::{Context, IoOwner, TopicPartitionId};

/// Which offset a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    HighWatermark,
    RecoveryPoint,
    LogStart,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::HighWatermark, Kind::RecoveryPoint, Kind::LogStart];

impl Kind {
    pub fn file(self) -> &'static str {
        match self {
            Kind::HighWatermark => REPLICATION_OFFSET_FILE,
            Kind::RecoveryPoint => RECOVERY_POINT_FILE,
            Kind::LogStart => LOG_START_OFFSET_FILE,
        }
    }

    fn offset_of(self, log: &log::Log) -> i64 {
        match self {
            Kind::HighWatermark => log.high_watermark(),
            Kind::RecoveryPoint => log.synced_offset(),
            Kind::LogStart => log.log_start_offset(),
        }
    }
}

#[derive(Debug, Default)]
struct File {
    interval_ms: u64,
    next_ms: Option<u64>,
    in_flight: Option<Token>,
    /// Asked for before its time.
    wanted: bool,
    /// The last write's, done or under way, of this life.
    written: Option<OffsetCheckpoint>,
    /// Truncated partitions that wait for the next write, and for the one under way.
    waiting: Vec<TopicPartitionId>,
    carried: Vec<TopicPartitionId>,
}

#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    files: [File; 3],
    /// As they were read at the start: what is known of logs that are not open yet.
    pub loaded: [OffsetCheckpoint; 3],
}

impl Checkpoints {
    pub fn start(&mut self, now_ms: u64, config: &NodeConfig) {
        let intervals = [
            config.replica_high_watermark_checkpoint_interval_ms,
            config.log_flush_offset_checkpoint_interval_ms,
            config.log_flush_start_offset_checkpoint_interval_ms,
        ];
        for (file, interval_ms) in self.files.iter_mut().zip(intervals) {
            file.interval_ms = u64::try_from(interval_ms).unwrap_or(1).max(1);
            file.next_ms = Some(now_ms + file.interval_ms);
        }
    }

    pub fn deadline_ms(&self) -> Option<u64> {
        self.files.iter().filter_map(|file| file.next_ms).min()
    }

    pub fn loaded(&self, kind: Kind, topic: &str, partition: i32) -> Option<i64> {
        self.loaded[kind as usize].get(&(topic.to_owned(), partition)).copied()
    }

    /// After a truncation, the recovery point must be written before the partition goes on, and so must the log start
    /// where it went back.
    fn wait_for(&mut self, partition: &Partition) {
        let start = Kind::LogStart as usize;
        let starts = self.files[start].written.as_ref().unwrap_or(&self.loaded[start]);
        let key = (partition.topic.to_string(), partition.id.partition);
        let start = partition.log.as_ref().map(log::Log::log_start_offset);
        let went_back = starts.get(&key).copied() > start;
        let kinds = [Some(Kind::RecoveryPoint), went_back.then_some(Kind::LogStart)];
        for kind in kinds.into_iter().flatten() {
            let file = &mut self.files[kind as usize];
            file.wanted = true;
            file.waiting.push(partition.id);
        }
    }

    fn is_waited_for(&self, id: TopicPartitionId) -> bool {
        self.files.iter().any(|file| file.waiting.contains(&id) || file.carried.contains(&id))
    }

    fn want_all(&mut self) {
        for file in &mut self.files {
            file.wanted = true;
        }
    }

    pub fn all_written(&self) -> bool {
        self.files.iter().all(|file| file.in_flight.is_none() && !file.wanted)
    }
}

impl ReplicaManager {
    /// A truncation is complete; the partition goes on when the checkpoints say no more of it than is true.
    pub(super) fn log_truncated(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        if let Some(partition) = self.partitions.get(&id) {
            self.checkpoints.wait_for(partition);
        }
        self.write_due_checkpoints(ctx);
    }

    /// Writes the checkpoints whose time has come, or that were asked for.
    pub(super) fn write_due_checkpoints(&mut self, ctx: &mut Context<'_>) {
        let now_ms = ctx.now.mono_ms();
        for kind in KINDS {
            let file = &mut self.checkpoints.files[kind as usize];
            let due = file.next_ms.is_some_and(|at_ms| at_ms <= now_ms);
            if due {
                file.next_ms = Some(now_ms + file.interval_ms);
                file.wanted = true;
            }
            if file.wanted && file.in_flight.is_none() && self.directory.is_ready() {
                self.write_checkpoint(ctx, kind);
            }
        }
    }

    /// All three, whatever their time: the logs are closed.
    pub(super) fn write_all_checkpoints(&mut self, ctx: &mut Context<'_>) {
        self.checkpoints.want_all();
        self.write_due_checkpoints(ctx);
    }

    fn write_checkpoint(&mut self, ctx: &mut Context<'_>, kind: Kind) {
        let mut offsets = OffsetCheckpoint::new();
        for (id, partition) in &self.partitions {
            if let Some(offset) = self.checkpointed_offset(kind, partition) {
                offsets.insert((partition.topic.to_string(), id.partition), offset);
            }
        }
        let file = &mut self.checkpoints.files[kind as usize];
        file.wanted = false;
        if file.written.as_ref() == Some(&offsets) && file.waiting.is_empty() {
            return;
        }
        let data = Bytes::from(format_offsets(&offsets).into_bytes());
        let op = IoOp::Replace { path: kind.file().to_owned(), data };
        file.written = Some(offsets);
        file.carried.append(&mut file.waiting);
        file.in_flight = Some(ctx.io.submit(op));
        ctx.claim_io(IoOwner::Checkpoint(kind.file()));
    }

    fn checkpointed_offset(&self, kind: Kind, partition: &Partition) -> Option<i64> {
        match (partition.stage, &partition.log) {
            (Stage::Deleting, _) => None,
            (Stage::Online | Stage::Closing | Stage::Closed, Some(log)) => {
                Some(kind.offset_of(log))
            }
            _ => self.checkpoints.loaded(kind, &partition.topic, partition.id.partition),
        }
    }

    pub(super) fn checkpoint_io(&mut self, ctx: &mut Context<'_>, token: Token, result: IoResult) {
        let Some(kind) = KINDS
            .into_iter()
            .find(|kind| self.checkpoints.files[*kind as usize].in_flight == Some(token))
        else {
            return;
        };
        if let IoResult::Failed(error) = result {
            ctx.fatal(format!("cannot write {}: {error}", kind.file()));
            return;
        }
        let file = &mut self.checkpoints.files[kind as usize];
        file.in_flight = None;
        for id in std::mem::take(&mut file.carried) {
            let waits = self.checkpoints.is_waited_for(id);
            if let Some(partition) = self.partitions.get_mut(&id).filter(|_| !waits) {
                partition.truncating = false;
                self.fetches_due = true;
            }
        }
        self.write_due_checkpoints(ctx);
        self.stop_if_closed(ctx);
    }
}
