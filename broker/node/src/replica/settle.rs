//! What follows from what moved in a step: acknowledgements, woken fetches, new calls. Also the completions of the logs'
//! operations, from which most movement comes.
//!
//! Promises: each partition that moved is looked at once, each parked fetch that waits for any of them is woken once,
//! however much moved. Not promised: an order among partitions.

use log::io::{IoResult, Token};

use super::partition::{Role, Stage};
use super::{ReadFor, ReplicaManager, mark};
use crate::context::{Context, IoOwner, Severity, TopicPartitionId};

impl ReplicaManager {
    /// Ends a step.
    pub(super) fn settle(&mut self, ctx: &mut Context<'_>) {
        let mut settled = Vec::new();
        // A woken fetch of a follower may move a high watermark, and so wake others.
        while !self.marked.is_empty() {
            let mut woken = Vec::new();
            for id in std::mem::take(&mut self.marked) {
                let Some(partition) = self.partitions.get_mut(&id) else { continue };
                partition.marked = false;
                partition.settle_appends(&mut settled);
                if std::mem::take(&mut partition.log_end_moved) {
                    woken.append(&mut partition.fetch_waiters.log_end);
                }
                if std::mem::take(&mut partition.high_watermark_moved) {
                    woken.append(&mut partition.fetch_waiters.high_watermark);
                }
            }
            self.finish_appends(ctx, &mut settled);
            woken.sort_unstable();
            woken.dedup();
            for fetch in woken {
                self.wake_fetch(ctx, fetch);
            }
        }
        self.send_alter_partition(ctx);
        self.send_fetches(ctx);
        if !self.ready {
            self.look_if_ready();
        }
    }

    /// An operation of a log is complete.
    pub(super) fn log_io(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        token: Token,
        result: IoResult,
    ) {
        let mut events = std::mem::take(&mut self.log_events);
        if let Some(log) = self.partitions.get_mut(&id).and_then(|partition| partition.log.as_mut())
        {
            log.on_io(ctx.now.wall_ms, token, result, ctx.io, &mut events);
            ctx.claim_io(IoOwner::Partition(id));
        }
        for event in events.drain(..) {
            self.log_event(ctx, id, event);
        }
        self.log_events = events;
    }

    fn log_event(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId, event: log::Event) {
        match event {
            log::Event::Opened(opened) => self.log_opened(ctx, id, opened),
            log::Event::Appended { .. } => self.log_end_moved(ctx, id),
            log::Event::Synced { .. } => {}
            log::Event::Read { id: read, result } => match self.take_reader(id, read) {
                Some(ReadFor::Fetch(fetch)) => self.fetch_read(ctx, fetch, id, result),
                Some(ReadFor::Internal { tag }) => self.internal_read_done(id, tag, result),
                Some(ReadFor::ListOffsets { .. }) | None => {}
            },
            log::Event::Lookup { id: read, result } => {
                if let Some(ReadFor::ListOffsets { op, place }) = self.take_reader(id, read) {
                    self.lookup_done(ctx, op, place, result);
                }
            }
            log::Event::Truncated { .. } => self.log_truncated(ctx, id),
            log::Event::Closed => self.log_closed(ctx, id),
            log::Event::Deleted => self.log_deleted(ctx, id),
            log::Event::Failed(error) => {
                let name = self.partition_name(id);
                if let Some(partition) = self.partitions.get_mut(&id) {
                    partition.stage = Stage::Offline;
                }
                self.abandon(ctx, id, wire::error::ErrorCode::KafkaStorageError);
                ctx.fatal(format!(
                    "the log of {name} failed: {error}; check the disk under log.dirs and start the broker again"
                ));
            }
        }
    }

    fn take_reader(&mut self, id: TopicPartitionId, read: log::ReadId) -> Option<ReadFor> {
        let partition = self.partitions.get_mut(&id)?;
        let at = partition.reads.iter().position(|(other, _)| *other == read)?;
        Some(partition.reads.swap_remove(at).1)
    }

    /// Appends completed: as leader, our own end counts towards the high watermark; as follower, the leader's high
    /// watermark may apply now.
    fn log_end_moved(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        let now_ms = ctx.now.mono_ms();
        let max_lag_ms = ctx.config.replica_lag_time_max_ms;
        let view = &self.view;
        let eligible = |id: i32, epoch: i64| view.may_join_isr(id, epoch);
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        match partition.role {
            Role::Leader(_) => {
                partition.log_end_moved = true;
                partition.advance_high_watermark(now_ms, max_lag_ms, &eligible);
                mark(&mut self.marked, partition);
            }
            Role::Follower(_) => {
                partition.follow_high_watermark();
                self.fetches_due = true;
            }
            Role::Idle => {}
        }
    }

    /// A follower that had held the high watermark back may have been gone too long by now.
    pub(super) fn recheck_high_watermarks(&mut self, ctx: &mut Context<'_>) {
        let now_ms = ctx.now.mono_ms();
        let max_lag_ms = ctx.config.replica_lag_time_max_ms;
        let view = &self.view;
        let eligible = |id: i32, epoch: i64| view.may_join_isr(id, epoch);
        for partition in self.partitions.values_mut() {
            if partition.advance_high_watermark(now_ms, max_lag_ms, &eligible) {
                mark(&mut self.marked, partition);
            }
        }
    }

    /// Retention, rolling and flushing by time.
    pub(super) fn maintain_logs(&mut self, ctx: &mut Context<'_>) {
        for (id, partition) in &mut self.partitions {
            if let Some(log) = partition.online() {
                log.maintain(ctx.now.wall_ms, ctx.io);
                ctx.claim_io(IoOwner::Partition(*id));
            }
        }
    }

    /// Everybody who waits for this partition is told that nothing more comes from here.
    pub(super) fn abandon(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        error: wire::error::ErrorCode,
    ) {
        let mut settled = Vec::new();
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        partition.fail_appends(error, &mut settled);
        partition.log_end_moved = true;
        partition.high_watermark_moved = true;
        mark(&mut self.marked, partition);
        if !settled.is_empty() {
            let name = partition.dir.clone();
            ctx.say(
                Severity::Info,
                format!(
                    "{name}: {} appends get {error}: what becomes of them is not known here",
                    settled.len()
                ),
            );
        }
        self.finish_appends(ctx, &mut settled);
    }
}
