//! Taking over a partition of `__consumer_offsets`, and giving it up.
//!
//! Promises: groups are served only when every record up to the end that the log had at the takeover was read, and is
//! committed. Reading goes in chunks, one for each step. A record that does not read is skipped and told of, as in Kafka: one
//! damaged group must not hold up the others.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use wire::batch::{Batch, split_batches};
use wire::error::ErrorCode;
use wire::groups::{GroupKey, GroupMetadataValue, OffsetCommitValue};

use super::offsets::SWEEP_INTERVAL_MS;
use super::state::Group;
use super::timers::What;
use super::{GroupCoordinator, OffsetsLog, ReadResult, Shard};
use crate::context::{Context, Severity, TopicPartitionId};
use crate::defect::Defect;

const CHUNK_BYTES: u32 = 1 << 20;
/// Between two tries of a read that failed, or that waits for the high watermark.
const RETRY_MS: u64 = 20;

/// A partition that is being read.
#[derive(Default)]
pub(super) struct Loading {
    /// The read that is under way, if one is.
    tag: Option<u64>,
    /// `None`: from the start of the log.
    next_offset: Option<i64>,
    /// The log end offset that the first read found.
    end: Option<i64>,
    groups: BTreeMap<String, Option<GroupMetadataValue>>,
    offsets: BTreeMap<(String, String, i32), OffsetCommitValue>,
    records: u64,
    damaged: u64,
}

impl GroupCoordinator {
    /// This broker leads the partition now.
    pub(super) fn start_loading(
        &mut self,
        ctx: &mut Context<'_>,
        log: &mut dyn OffsetsLog,
        id: TopicPartitionId,
    ) {
        self.unload(ctx, id);
        let shard = Shard { loading: Some(Loading::default()), ..Shard::default() };
        self.shards.insert(id, shard);
        self.continue_loading(ctx, log, id);
    }

    pub(super) fn continue_loading(
        &mut self,
        ctx: &mut Context<'_>,
        log: &mut dyn OffsetsLog,
        id: TopicPartitionId,
    ) {
        let loading = self.shards.get(&id).and_then(|shard| shard.loading.as_ref());
        let Some(Loading { tag: None, next_offset, .. }) = loading else { return };
        let Some(offset) = next_offset.or_else(|| log.log_start_offset(id)) else {
            self.timers.set(ctx.now.mono_ms() + RETRY_MS, id, "", What::Load);
            return;
        };
        let tag = self.next_tag(id);
        if let Some(loading) = self.shards.get_mut(&id).and_then(|shard| shard.loading.as_mut()) {
            loading.tag = Some(tag);
        }
        log.read(ctx, id, offset, CHUNK_BYTES, tag);
    }

    /// A chunk came back.
    pub(super) fn read_done(
        &mut self,
        ctx: &mut Context<'_>,
        log: &mut dyn OffsetsLog,
        tag: u64,
        result: &ReadResult,
    ) {
        let Some(id) = self.tags.remove(&tag) else { return };
        let Some(shard) = self.shards.get_mut(&id) else { return };
        let Some(loading) = shard.loading.as_mut().filter(|one| one.tag == Some(tag)) else {
            return;
        };
        loading.tag = None;
        let retry_ms = ctx.now.mono_ms() + RETRY_MS;
        let chunk = match result {
            Ok(chunk) => chunk,
            Err(error) => {
                if *error == ErrorCode::OffsetOutOfRange {
                    // The start of the log moved on: what is gone was expired or compacted.
                    loading.next_offset = None;
                }
                let message =
                    format!("partition {} of the group offsets: {error}; again", id.partition);
                ctx.say(Severity::Warn, message);
                self.timers.set(retry_ms, id, "", What::Load);
                return;
            }
        };
        // Seeded defect: what a new leader knows to be committed lags behind what is.
        let mistaken = ctx.config.highwater_defects.has(Defect::LoadToHighWatermark);
        let until = match mistaken {
            true => chunk.high_watermark.min(chunk.log_end_offset),
            false => chunk.log_end_offset,
        };
        let end = *loading.end.get_or_insert(until);
        loading.replay(&chunk.batches, if mistaken { end } else { i64::MAX });
        loading.next_offset = Some(chunk.next_offset);
        if chunk.next_offset < end && !chunk.batches.is_empty() {
            self.continue_loading(ctx, log, id);
        } else if chunk.next_offset < end || chunk.high_watermark < end {
            self.timers.set(retry_ms, id, "", What::Load);
        } else {
            self.finish_loading(ctx, id);
        }
    }

    fn finish_loading(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        let Some(shard) = self.shards.get_mut(&id) else { return };
        let Some(loading) = shard.loading.take() else { return };
        let (records, damaged) = (loading.records, loading.damaged);
        let now_ms = ctx.now.mono_ms();
        shard.groups = loading.into_groups(now_ms);
        for group in shard.groups.values() {
            for member in group.members.values() {
                let what = What::Session { member: member.id.clone() };
                self.timers.set(member.session_due_ms, id, &group.id, what);
            }
        }
        self.timers.set(now_ms + SWEEP_INTERVAL_MS, id, "", What::Sweep);
        let severity = if damaged > 0 { Severity::Warn } else { Severity::Debug };
        ctx.say(
            severity,
            format!(
                "coordinates {} groups of partition {} ({records} records, {damaged} of them unreadable)",
                shard.groups.len(),
                id.partition
            ),
        );
    }

    /// This broker leads the partition no more: whoever waits must look for the new coordinator.
    pub(super) fn unload(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        let Some(mut shard) = self.shards.remove(&id) else { return };
        self.timers.drop_shard(id);
        self.abandon_writes(ctx, std::mem::take(&mut shard.writes));
        self.tags.retain(|_, shard| *shard != id);
        for group in shard.groups.values_mut() {
            group.unload(ctx);
        }
    }
}

impl Loading {
    /// Batches that begin at `below` or after it are left out.
    fn replay(&mut self, parts: &[Bytes], below: i64) {
        let field = match parts {
            [one] => one.clone(),
            many => {
                let mut field = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
                many.iter().for_each(|part| field.extend_from_slice(part));
                field.freeze()
            }
        };
        match split_batches(field) {
            Ok(batches) => {
                let told = batches.iter().filter(|batch| batch.base_offset() < below);
                told.for_each(|batch| self.replay_batch(batch));
            }
            Err(_) => self.damaged += 1,
        }
    }

    fn replay_batch(&mut self, batch: &Batch) {
        if batch.header().is_control() {
            return;
        }
        let Ok(records) = batch.records() else {
            self.damaged += 1;
            return;
        };
        for record in records {
            self.records += 1;
            let replayed = record.ok().and_then(|record| {
                self.replay_record(record.key.as_deref()?, record.value.as_deref())
            });
            if replayed.is_none() {
                self.damaged += 1;
            }
        }
    }

    fn replay_record(&mut self, key: &[u8], value: Option<&[u8]>) -> Option<()> {
        match GroupKey::decode(key).ok()? {
            GroupKey::Other { .. } => {}
            GroupKey::Group { group } => {
                let value = value.map(GroupMetadataValue::decode).transpose().ok()?;
                self.groups.insert(group, value);
            }
            GroupKey::Offset { group, topic, partition } => {
                let key = (group, topic, partition);
                match value.map(OffsetCommitValue::decode).transpose().ok()? {
                    Some(value) => self.offsets.insert(key, value),
                    None => self.offsets.remove(&key),
                };
            }
        }
        Some(())
    }

    fn into_groups(self, now_ms: u64) -> BTreeMap<String, Group> {
        let mut groups = BTreeMap::new();
        for (id, value) in self.groups {
            if let Some(value) = value {
                let group = Group::load(&id, value, now_ms);
                groups.insert(id, group);
            }
        }
        for ((id, topic, partition), value) in self.offsets {
            let group = groups.entry(id).or_insert_with_key(|id| Group::new(id, -1));
            group.offsets.insert((topic, partition), value);
        }
        groups
    }
}
