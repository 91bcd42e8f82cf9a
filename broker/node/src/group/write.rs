//! Records on their way into `__consumer_offsets`, and what follows when they are committed.
//!
//! Promises: what follows happens in the order of the log. Whoever waits is answered once: when the record is committed, when
//! it is refused, or when its time is over. A record whose time was over may still be committed: then its effect on
//! what we hold in memory comes late, and comes before that of any later record.

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::batch::{Batch, BatchBuilder, Compression};
use wire::error::ErrorCode;
use wire::groups::{GroupKey, OffsetCommitValue};
use wire::messages::OffsetCommitResponse;

use super::describe::DeleteShare;
use super::state::Group;
use super::{Asker, GroupCoordinator, OffsetsLog, error_of_append};
use crate::context::{Context, Severity, TopicPartitionId};
use crate::defect::Defect;

/// Key and value of one record; no value is a tombstone.
pub(super) type RecordToWrite = (GroupKey, Option<Bytes>);

/// Records to be written in one batch.
pub(super) struct Store {
    pub shard: TopicPartitionId,
    pub group: String,
    pub records: Vec<RecordToWrite>,
    pub then: Then,
}

impl Store {
    /// A group's own record as it is now.
    pub fn group(shard: TopicPartitionId, group: &Group, wall_ms: i64, then: Then) -> Store {
        let (key, value) = group.record(wall_ms);
        let records = vec![(key, Some(value.encode()))];
        Store { shard, group: group.id.clone(), records, then }
    }
}

/// What follows a committed (or failed) write.
#[derive(Debug)]
pub(super) enum Then {
    /// The last member left.
    Emptied,
    Assigned {
        generation: i32,
        assignments: BTreeMap<String, Bytes>,
    },
    StaticReplaced {
        old: String,
        new: String,
        old_protocols: Vec<(String, Bytes)>,
        old_timeouts: (u64, u64),
        old_leader: Option<String>,
        skip_assignment: bool,
    },
    Committed {
        offsets: Vec<((String, i32), OffsetCommitValue)>,
        /// The partitions that still say "no error" are those that were written.
        response: OffsetCommitResponse,
        asker: Asker,
    },
    Deleted {
        share: DeleteShare,
    },
    /// Offsets that expired, or whose topic is gone; with `all`, the group too.
    Expired {
        offsets: Vec<(String, i32)>,
        all: bool,
    },
}

/// An append that is not known to be committed.
#[derive(Debug)]
pub(super) struct Write {
    group: String,
    then: Then,
    /// Whoever waited was told that we can't tell.
    answered: bool,
}

impl GroupCoordinator {
    /// Carries out what was asked for in this step, and what that leads to.
    pub(super) fn write_stores(&mut self, ctx: &mut Context<'_>, log: &mut dyn OffsetsLog) {
        while !self.stores.is_empty() {
            for store in std::mem::take(&mut self.stores) {
                self.write(ctx, log, store);
            }
        }
    }

    fn write(&mut self, ctx: &mut Context<'_>, log: &mut dyn OffsetsLog, store: Store) {
        let mut builder = BatchBuilder::new(Compression::None);
        for (key, value) in &store.records {
            builder.append(ctx.now.wall_ms, Some(&key.encode()), value.as_deref(), &[]);
        }
        let batch = Batch::new(builder.build(0, -1)).expect("our own batch is sound");
        let tag = self.next_tag(store.shard);
        let timeout_ms = ctx.config.offsets_commit_timeout_ms;
        let write = Write { group: store.group, then: store.then, answered: false };
        let appended = if self.shards.contains_key(&store.shard) {
            log.append(ctx, store.shard, vec![batch], timeout_ms, tag)
        } else {
            Err(ErrorCode::NotLeaderOrFollower)
        };
        let early = matches!(write.then, Then::Committed { .. })
            && ctx.config.highwater_defects.has(Defect::OffsetCommitBeforeIsr);
        match appended {
            Ok(_) if early => {
                self.tags.remove(&tag);
                self.finish(ctx, store.shard, write, Ok(()));
            }
            Ok(_) => {
                if let Some(shard) = self.shards.get_mut(&store.shard) {
                    shard.writes.insert(tag, write);
                }
            }
            Err(error) => {
                self.tags.remove(&tag);
                self.finish(ctx, store.shard, write, Err(error_of_append(error)));
            }
        }
    }

    /// The replica manager knows what became of an append.
    pub(super) fn append_done(
        &mut self,
        ctx: &mut Context<'_>,
        tag: u64,
        result: Result<i64, ErrorCode>,
    ) {
        let Some(shard_id) = self.tags.remove(&tag) else { return };
        let Some(shard) = self.shards.get_mut(&shard_id) else { return };
        let committed = match result {
            // Below the high watermark all the same; only too few had it at that moment.
            Err(ErrorCode::NotEnoughReplicasAfterAppend) | Ok(_) => true,
            Err(_) => false,
        };
        if !committed {
            let Some(write) = shard.writes.get_mut(&tag) else { return };
            let error = error_of_append(result.err().unwrap_or(ErrorCode::UnknownServerError));
            let Write { group, then, answered } = write;
            if !std::mem::replace(answered, true) {
                let (group, then) = (group.clone(), then.for_failure());
                match then {
                    Some(then) => {
                        let write = Write { group, then, answered: false };
                        self.finish(ctx, shard_id, write, Err(error));
                    }
                    None => ctx.say(
                        Severity::Warn,
                        format!("a record of group {group} was not committed in time: {error}"),
                    ),
                }
            }
            return;
        }
        // Everything before it in the log is committed too.
        let later = shard.writes.split_off(&(tag + 1));
        for (other, write) in std::mem::replace(&mut shard.writes, later) {
            let error = result.err().filter(|_| other == tag);
            let outcome = error.map_or(Ok(()), |error| Err(error_of_append(error)));
            if outcome.is_err() && !write.answered {
                self.apply_offsets(ctx, shard_id, &write);
            }
            self.finish(ctx, shard_id, write, outcome);
        }
    }

    /// Committed offsets count, whatever their committer is told.
    fn apply_offsets(&mut self, ctx: &Context<'_>, shard: TopicPartitionId, write: &Write) {
        let Then::Committed { offsets, .. } = &write.then else { return };
        let Some(shard) = self.shards.get_mut(&shard) else { return };
        let wall_ms = ctx.now.wall_ms;
        let group = shard
            .groups
            .entry(write.group.clone())
            .or_insert_with(|| Group::new(&write.group, wall_ms));
        group.offsets.extend(offsets.iter().cloned());
    }

    /// What follows a write.
    fn finish(
        &mut self,
        ctx: &mut Context<'_>,
        shard: TopicPartitionId,
        write: Write,
        result: Result<(), ErrorCode>,
    ) {
        if result.is_ok() {
            self.apply_offsets(ctx, shard, &write);
        }
        let Write { group, then, answered } = write;
        match then {
            Then::Committed { mut response, asker, .. } if !answered => {
                if let Err(error) = result {
                    super::offsets::fail(&mut response, error);
                }
                asker.answer(ctx, &response);
            }
            Then::Committed { .. } => {}
            Then::Deleted { share } => {
                self.deleted(ctx, shard, &group, share, result, answered);
            }
            Then::Expired { offsets, all } => {
                if result.is_ok() {
                    self.expired(shard, &group, &offsets, all);
                }
            }
            Then::Emptied => {
                if let Err(error) = result {
                    ctx.say(
                        Severity::Warn,
                        format!("that group {group} is empty could not be written down: {error}"),
                    );
                }
            }
            Then::Assigned { generation, assignments } => {
                self.with_group(ctx, shard, &group, |group, env| {
                    group.assigned(env, generation, &assignments, result);
                });
            }
            replaced @ Then::StaticReplaced { .. } => {
                self.with_group(ctx, shard, &group, |group, env| {
                    group.static_replaced(env, replaced, result);
                });
            }
        }
    }

    /// The partition is not ours any more: nobody can say what becomes of its writes.
    pub(super) fn abandon_writes(&mut self, ctx: &mut Context<'_>, writes: BTreeMap<u64, Write>) {
        for (tag, write) in writes {
            self.tags.remove(&tag);
            if write.answered {
                continue;
            }
            match write.then {
                Then::Committed { mut response, asker, .. } => {
                    super::offsets::fail(&mut response, ErrorCode::NotCoordinator);
                    asker.answer(ctx, &response);
                }
                Then::Deleted { share } => {
                    self.delete_settled(ctx, share, ErrorCode::NotCoordinator);
                }
                // Their members wait in the group itself, which is unloaded.
                Then::Emptied
                | Then::Assigned { .. }
                | Then::StaticReplaced { .. }
                | Then::Expired { .. } => {}
            }
        }
    }
}

impl Then {
    /// What is to be done when a write did not come through in time, while it may still come through: the part that
    /// answers somebody. The part that changes what we hold stays with the write.
    fn for_failure(&mut self) -> Option<Then> {
        match self {
            Then::Committed { response, asker, .. } => Some(Then::Committed {
                offsets: Vec::new(),
                response: response.clone(),
                asker: asker.clone(),
            }),
            Then::Deleted { share } => Some(Then::Deleted { share: *share }),
            Then::Assigned { generation, assignments } => {
                let assignments = std::mem::take(assignments);
                Some(Then::Assigned { generation: *generation, assignments })
            }
            Then::StaticReplaced {
                old,
                new,
                old_protocols,
                old_timeouts,
                old_leader,
                skip_assignment,
            } => Some(Then::StaticReplaced {
                old: old.clone(),
                new: new.clone(),
                old_protocols: std::mem::take(old_protocols),
                old_timeouts: *old_timeouts,
                old_leader: old_leader.clone(),
                skip_assignment: *skip_assignment,
            }),
            Then::Emptied | Then::Expired { .. } => None,
        }
    }
}
