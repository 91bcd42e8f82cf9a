//! What happens by and by: retention, rolls and flushes by time, expiry, idle files.

use super::{Log, Work};
use crate::Defect;
use crate::io::{IoOp, IoQueue};
use crate::segment::TimestampOffset;

impl Log {
    /// Does what time demands. To be called now and then, every few seconds or as often as `flush.ms` says.
    pub fn maintain(&mut self, now_wall_ms: i64, io: &mut IoQueue) {
        self.now_ms = self.now_ms.max(now_wall_ms);
        if !self.is_ready() {
            return;
        }
        self.roll_by_time(now_wall_ms, io);
        self.retain(now_wall_ms, io);
        if self
            .unsynced_since_ms
            .is_some_and(|since_ms| now_wall_ms.saturating_sub(since_ms) >= self.config.flush_ms)
        {
            self.request_sync(io);
        }
        self.producers.expire(now_wall_ms, self.config.producer_id_expiration_ms);
        self.empty_trash(now_wall_ms, io);
        self.tail.rest();
        self.close_idle(io);
    }

    /// Moves the log start offset on; whole segments below it go with the next `maintain`. `false`, and nothing
    /// done, when `offset` is above the high watermark.
    pub fn set_log_start_offset(&mut self, offset: i64, io: &mut IoQueue) -> bool {
        if offset > self.high_watermark {
            return false;
        }
        if offset > self.log_start_offset {
            self.log_start_offset = offset;
            if self.epochs.truncate_from_start(offset) {
                // A stale file says no wrong thing about what is left, so nothing waits for this.
                self.save_epochs(i64::MAX, io);
            }
        }
        true
    }

    fn roll_by_time(&mut self, now_wall_ms: i64, io: &mut IoQueue) {
        let segment_ms = self.config.segment_ms;
        let segment = self.active();
        let since_ms = segment.first_timestamp.filter(|&first| first >= 0);
        let age_ms = now_wall_ms.saturating_sub(since_ms.unwrap_or(segment.created_ms));
        if segment.size > 0 && age_ms > segment_ms {
            self.roll(io);
        }
    }

    /// Drops the oldest segment as far as retention, or the log start offset, says and the high watermark allows. It is
    /// called again for the next one when that is durable.
    pub(super) fn retain(&mut self, now_wall_ms: i64, io: &mut IoQueue) {
        let Some((&base, segment)) = self.segments.first_key_value() else { return };
        if self.retiring.is_some()
            || segment.opens_under_way > 0
            || segment.index_syncs_under_way > 0
        {
            return;
        }
        let end = self.segment_end(base);
        let kept = end > self.high_watermark && !self.has(Defect::RetentionAboveHighWatermark);
        if kept || segment.size == 0 {
            return;
        }
        if !self.is_out_of_retention(base, end, now_wall_ms, io) {
            return;
        }
        if self.segments.len() == 1 {
            self.roll(io);
        }
        // Its name alone will say where the log ends: without it, who starts again would begin at offset 0.
        if self.segments.values().nth(1).is_some_and(|next| !next.named) {
            return;
        }
        self.retire_segment(base, end, now_wall_ms, io);
        self.log_start_offset = self.log_start_offset.max(end);
        let first = self.segments.first_key_value().map_or(end, |(&base, _)| base);
        self.drop_snapshots(|offset| offset >= first, io);
        if self.epochs.truncate_from_start(self.log_start_offset) {
            self.save_epochs(i64::MAX, io);
        }
    }

    fn is_out_of_retention(
        &mut self,
        base: i64,
        end: i64,
        now_wall_ms: i64,
        io: &mut IoQueue,
    ) -> bool {
        let is_active = self.segments.len() == 1;
        if end <= self.log_start_offset && !is_active {
            return true;
        }
        if !self.config.cleanup.delete {
            return false;
        }
        let segment = &self.segments[&base];
        let limit = self.config.retention_bytes;
        if limit >= 0 && !is_active && self.size_bytes() - segment.size >= limit as u64 {
            return true;
        }
        if self.config.retention_ms < 0 {
            return false;
        }
        let Some(largest) = self.segments[&base].largest_timestamp else {
            // Known by the next call.
            self.indexes_ready(base, None, io);
            return false;
        };
        let TimestampOffset { timestamp, .. } = largest;
        timestamp >= 0 && now_wall_ms.saturating_sub(timestamp) > self.config.retention_ms
    }

    /// Old segments that nobody read since the last call give back their memory and files.
    fn close_idle(&mut self, io: &mut IoQueue) {
        let active = self.active_base();
        let idle: Vec<i64> = self
            .segments
            .range_mut(..active)
            .filter_map(|(&base, segment)| {
                let was_used = std::mem::take(&mut segment.used);
                let busy = segment.sync_under_way || segment.index_syncs_under_way > 0;
                let holds = segment.log_file.is_some() || segment.indexes.is_some();
                (!was_used && !busy && holds).then_some(base)
            })
            .collect();
        for base in idle {
            let synced = self.segments[&base].synced_to >= self.segment_end(base);
            let Some(segment) = self.segments.get_mut(&base) else { continue };
            segment.indexes = None;
            if let Some(file) = segment.log_file.take_if(|_| synced) {
                self.submit(IoOp::Close { file }, Work::Plain, io);
            }
        }
    }
}
