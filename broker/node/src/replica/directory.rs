//! The data directory: what is in it at the start, making and deleting partitions' directories, and the clean stop.
//!
//! Promises: a directory is used only for the topic id that its `partition.metadata` names. Directories of topics that
//! are gone are deleted, but only once the metadata is known to be no older than this broker's registration; they are
//! renamed first, so that no crash leaves half of one under its old name. The mark of a clean stop is taken away, durably,
//! before anything is written, and put back only after every log was closed and every checkpoint written.
//!
//! Not promised: more than one data directory.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use log::checkpoint::{
    CLEAN_SHUTDOWN_FILE, PARTITION_METADATA_FILE, format_clean_shutdown, format_partition_metadata,
    parse_clean_shutdown, parse_offsets, parse_partition_metadata,
};
use log::io::{DirEntry, IoErrorKind, IoOp, IoResult, Token};
use log::{Log, Recovery};
use uuid::Uuid;
use wire::names::{CLUSTER_METADATA_TOPIC, parse_partition_dir_name};

use super::checkpoints::{KINDS, Kind};
use super::partition::{Partition, Stage};
use super::{ReplicaEvent, ReplicaManager};
use crate::context::{Context, IoOwner, Severity, TopicPartitionId};

/// A file name has at most so many bytes.
const NAME_BYTES_MAX: usize = 255;

#[derive(Clone, Debug)]
enum Task {
    List,
    ReadCleanShutdown,
    ReadCheckpoint(Kind),
    ReadMetadata {
        dir: String,
    },
    /// The mark of the clean stop is gone, and then durably so.
    ForgetCleanShutdown,
    SyncRoot,
    MakeDir(TopicPartitionId),
    WriteMetadata(TopicPartitionId),
    /// A directory of a topic that is gone gets a name that nobody looks for.
    RenameStray {
        dir: String,
        trash: String,
    },
    DeleteTrash,
    WriteCleanShutdown,
}

#[derive(Debug, Default)]
pub(crate) struct Directory {
    tasks: BTreeMap<Token, Task>,
    /// Directories found at the start that no partition has taken, with the topic id that they name.
    found: BTreeMap<String, Option<Uuid>>,
    /// Stray directories that are being renamed.
    leaving: BTreeSet<String>,
    clean: bool,
    previous_broker_epoch: i64,
    ready: bool,
    clean_shutdown_written: bool,
}

impl Directory {
    pub fn is_ready(&self) -> bool {
        self.ready
    }
}

impl ReplicaManager {
    pub(super) fn start_directory(&mut self, ctx: &mut Context<'_>) {
        self.directory.previous_broker_epoch = -1;
        self.directory_task(ctx, IoOp::List { dir: String::new() }, Task::List);
        let clean = IoOp::ReadFile { path: CLEAN_SHUTDOWN_FILE.to_owned() };
        self.directory_task(ctx, clean, Task::ReadCleanShutdown);
        for kind in KINDS {
            let op = IoOp::ReadFile { path: kind.file().to_owned() };
            self.directory_task(ctx, op, Task::ReadCheckpoint(kind));
        }
    }

    fn directory_task(&mut self, ctx: &mut Context<'_>, op: IoOp, task: Task) {
        let token = ctx.io.submit(op);
        ctx.claim_io(IoOwner::Replicas);
        self.directory.tasks.insert(token, task);
    }

    pub(super) fn directory_io(&mut self, ctx: &mut Context<'_>, token: Token, result: IoResult) {
        let Some(task) = self.directory.tasks.remove(&token) else { return };
        if let IoResult::Failed(error) = &result {
            let may_be_missing = matches!(
                task,
                Task::ReadCleanShutdown | Task::ReadCheckpoint(_) | Task::ReadMetadata { .. }
            );
            if !(may_be_missing && error.kind == IoErrorKind::NotFound) {
                ctx.fatal(format!("the data directory failed: {error}"));
                return;
            }
        }
        match task {
            Task::List => {
                if let IoResult::Listed(entries) = result {
                    self.take_listing(ctx, entries);
                }
            }
            Task::ReadCleanShutdown => {
                if let IoResult::Data(data) = &result {
                    self.directory.clean = true;
                    let epoch = parse_clean_shutdown(&String::from_utf8_lossy(data));
                    self.directory.previous_broker_epoch = epoch.unwrap_or(-1);
                }
            }
            Task::ReadCheckpoint(kind) => {
                if let IoResult::Data(data) = &result {
                    match parse_offsets(&String::from_utf8_lossy(data)) {
                        Ok(offsets) => self.checkpoints.loaded[kind as usize] = offsets,
                        Err(error) => ctx.say(
                            Severity::Warn,
                            format!("{} does not parse and is ignored: {error}", kind.file()),
                        ),
                    }
                }
            }
            Task::ReadMetadata { dir } => {
                let topic_id = match &result {
                    IoResult::Data(data) => {
                        parse_partition_metadata(&String::from_utf8_lossy(data)).ok()
                    }
                    _ => None,
                };
                self.directory.found.insert(dir, topic_id);
            }
            Task::ForgetCleanShutdown => {
                self.directory_task(ctx, IoOp::SyncDir { path: String::new() }, Task::SyncRoot);
            }
            Task::SyncRoot => self.directory_ready(ctx),
            Task::MakeDir(id) => {
                if let Some(partition) = self.partitions.get(&id) {
                    let path = format!("{}/{PARTITION_METADATA_FILE}", partition.dir);
                    let data = Bytes::from(format_partition_metadata(id.topic_id).into_bytes());
                    let op = IoOp::Replace { path, data };
                    self.directory_task(ctx, op, Task::WriteMetadata(id));
                }
            }
            Task::WriteMetadata(id) => {
                if self.partitions.get(&id).is_some_and(|p| p.stage == Stage::Opening) {
                    self.open_log(ctx, id, true);
                }
            }
            Task::RenameStray { dir, trash } => {
                self.directory.leaving.remove(&dir);
                self.directory_task(ctx, IoOp::DeleteDir { path: trash }, Task::DeleteTrash);
                self.open_waiting(ctx);
            }
            Task::DeleteTrash => {}
            Task::WriteCleanShutdown => self.events.push(ReplicaEvent::Stopped),
        }
        self.directory_step(ctx);
    }

    fn take_listing(&mut self, ctx: &mut Context<'_>, entries: Vec<DirEntry>) {
        for entry in entries.into_iter().filter(|entry| entry.is_dir) {
            let left_over = entry.name.ends_with("-delete") || entry.name.ends_with("-stray");
            if left_over {
                let op = IoOp::DeleteDir { path: entry.name };
                self.directory_task(ctx, op, Task::DeleteTrash);
                continue;
            }
            match parse_partition_dir_name(&entry.name) {
                Some((topic, _)) if topic != CLUSTER_METADATA_TOPIC => {
                    let path = format!("{}/{PARTITION_METADATA_FILE}", entry.name);
                    let task = Task::ReadMetadata { dir: entry.name };
                    self.directory_task(ctx, IoOp::ReadFile { path }, task);
                }
                _ => {}
            }
        }
    }

    /// Everything that was to be read at the start is read: the mark of the clean stop goes.
    fn directory_step(&mut self, ctx: &mut Context<'_>) {
        let reading = self.directory.tasks.values().any(|task| !matches!(task, Task::DeleteTrash));
        if self.directory.ready || reading {
            return;
        }
        let op = IoOp::Delete { path: CLEAN_SHUTDOWN_FILE.to_owned() };
        self.directory_task(ctx, op, Task::ForgetCleanShutdown);
    }

    fn directory_ready(&mut self, ctx: &mut Context<'_>) {
        self.directory.ready = true;
        let how = if self.directory.clean { "cleanly" } else { "uncleanly, or never ran" };
        ctx.say(
            Severity::Info,
            format!(
                "the data directory has {} partitions; the broker stopped {how}",
                self.directory.found.len()
            ),
        );
        let previous_broker_epoch = self.directory.previous_broker_epoch;
        self.events.push(ReplicaEvent::Started { previous_broker_epoch });
        self.open_waiting(ctx);
    }

    /// Opens what can be opened now.
    pub(super) fn open_waiting(&mut self, ctx: &mut Context<'_>) {
        if !self.directory.ready || self.stopping {
            return;
        }
        let waiting: Vec<TopicPartitionId> = self
            .partitions
            .values()
            .filter(|partition| partition.stage == Stage::Waiting)
            .map(|partition| partition.id)
            .collect();
        for id in waiting {
            self.try_open(ctx, id);
        }
    }

    pub(super) fn try_open(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        if !self.directory.ready || self.stopping {
            return;
        }
        let registered = self.registered;
        let Some(partition) = self.partitions.get(&id) else { return };
        if partition.stage != Stage::Waiting {
            return;
        }
        let dir = partition.dir.clone();
        let taken = self
            .partitions
            .values()
            .any(|other| other.id != id && other.dir == dir && other.stage != Stage::Waiting);
        if taken || self.directory.leaving.contains(&dir) {
            return;
        }
        match self.directory.found.get(&dir).copied() {
            Some(Some(found)) if found == id.topic_id => {
                self.directory.found.remove(&dir);
                self.open_log(ctx, id, false);
            }
            // Kafka, too, lets the first user name a directory that has no topic id.
            Some(None) if registered => {
                self.directory.found.remove(&dir);
                self.make_directory(ctx, id, dir);
            }
            Some(Some(_)) if registered => self.discard_stray(ctx, &dir),
            None if registered => self.make_directory(ctx, id, dir),
            _ => {}
        }
    }

    fn make_directory(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId, dir: String) {
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.stage = Stage::Opening;
        }
        self.directory_task(ctx, IoOp::CreateDir { path: dir }, Task::MakeDir(id));
    }

    /// Starts to open the log; what was closed cleanly needs no recovery, and what is new has nothing to recover.
    fn open_log(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId, new: bool) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let loaded = |kind| self.checkpoints.loaded(kind, &partition.topic, id.partition);
        let recovery = match new {
            true => Recovery { clean: true, ..Recovery::default() },
            false => Recovery {
                clean: self.directory.clean,
                recovery_point: loaded(Kind::RecoveryPoint),
                log_start_offset: loaded(Kind::LogStart),
            },
        };
        let config = partition.log_config.clone();
        partition.stage = Stage::Opening;
        partition.log = Some(Log::open(&partition.dir, config, recovery, ctx.now.wall_ms, ctx.io));
        ctx.claim_io(IoOwner::Partition(id));
    }

    /// Directories that no partition of the metadata has: their topics were deleted while this broker was away.
    pub(super) fn discard_strays(&mut self, ctx: &mut Context<'_>) {
        if !self.directory.ready || !self.registered {
            return;
        }
        let hosted: BTreeSet<&str> =
            self.partitions.values().map(|partition| partition.dir.as_str()).collect();
        let strays: Vec<String> = self
            .directory
            .found
            .keys()
            .filter(|dir| !hosted.contains(dir.as_str()))
            .cloned()
            .collect();
        for dir in strays {
            self.discard_stray(ctx, &dir);
        }
    }

    fn discard_stray(&mut self, ctx: &mut Context<'_>, dir: &str) {
        let Some(topic_id) = self.directory.found.remove(dir) else { return };
        let trash = trash_name(dir, topic_id.unwrap_or_default());
        ctx.say(Severity::Info, format!("deleting {dir}: its topic does not exist any more"));
        self.directory.leaving.insert(dir.to_owned());
        let op = IoOp::Rename { from: dir.to_owned(), to: trash.clone() };
        self.directory_task(ctx, op, Task::RenameStray { dir: dir.to_owned(), trash });
    }

    /// This broker hosts the partition no more: its log goes with all its files.
    pub(super) fn remove_partition(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        self.lose_leadership(ctx, id);
        self.abandon(ctx, id, wire::error::ErrorCode::UnknownTopicOrPartition);
        self.unfollow(id);
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        match (partition.stage, partition.log.as_mut()) {
            (Stage::Deleting, _) => return,
            (Stage::Waiting, _) => {
                self.forget_partition(ctx, id);
                return;
            }
            (_, Some(log)) => {
                partition.stage = Stage::Deleting;
                log.delete(&trash_name(&partition.dir, id.topic_id), ctx.io);
                ctx.claim_io(IoOwner::Partition(id));
            }
            // Its directory is being made: what is made of it is a stray.
            (_, None) => {
                let dir = partition.dir.clone();
                self.directory.found.insert(dir.clone(), Some(id.topic_id));
                self.forget_partition(ctx, id);
                self.discard_stray(ctx, &dir);
            }
        }
        ctx.say(Severity::Info, format!("deleting {}", self.partition_name(id)));
    }

    fn forget_partition(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        // Whoever still waits is told now, while the partition can still be found.
        self.settle(ctx);
        self.partitions.remove(&id);
        self.open_waiting(ctx);
    }

    pub(super) fn log_deleted(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        self.forget_partition(ctx, id);
        self.stop_if_closed(ctx);
    }

    pub(super) fn log_closed(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.stage = Stage::Closed;
        }
        self.stop_if_closed(ctx);
    }

    /// Stops: nobody is served any more, every log is closed, and [`ReplicaEvent::Stopped`] ends it.
    pub fn shutdown(&mut self, ctx: &mut Context<'_>) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.fetchers.clear();
        self.fetches_deadline_ms = None;
        let ids: Vec<TopicPartitionId> = self.partitions.keys().copied().collect();
        for id in ids {
            self.lose_leadership(ctx, id);
            self.abandon(ctx, id, wire::error::ErrorCode::NotLeaderOrFollower);
            let Some(partition) = self.partitions.get_mut(&id) else { continue };
            match (partition.stage, partition.log.as_mut()) {
                (Stage::Online | Stage::Opening, Some(log)) => {
                    log.close(ctx.io);
                    ctx.claim_io(IoOwner::Partition(id));
                    partition.stage = Stage::Closing;
                }
                (Stage::Opening, None) => partition.stage = Stage::Waiting,
                _ => {}
            }
        }
        self.settle(ctx);
        self.stop_if_closed(ctx);
    }

    /// Goes on with the stop as far as possible.
    pub(super) fn stop_if_closed(&mut self, ctx: &mut Context<'_>) {
        if !self.stopping || self.directory.clean_shutdown_written {
            return;
        }
        let open = self
            .partitions
            .values()
            .any(|partition| matches!(partition.stage, Stage::Closing | Stage::Deleting));
        if open {
            return;
        }
        if !self.closing_checkpoints {
            self.closing_checkpoints = true;
            self.write_all_checkpoints(ctx);
        }
        if !self.checkpoints.all_written() {
            return;
        }
        self.directory.clean_shutdown_written = true;
        let failed = self.partitions.values().any(|partition| partition.stage == Stage::Offline);
        if failed || !self.directory.ready || !self.nothing_is_left_to_recover() {
            self.events.push(ReplicaEvent::Stopped);
            return;
        }
        let data = Bytes::from(format_clean_shutdown(self.broker_epoch).into_bytes());
        let op = IoOp::Replace { path: CLEAN_SHUTDOWN_FILE.to_owned(), data };
        self.directory_task(ctx, op, Task::WriteCleanShutdown);
    }

    /// Every log was closed cleanly: in this life, or in the last one where this one never opened it. What a killed
    /// process left is neither recovered nor synced before it was opened. As Kafka's LogManager, which writes the mark
    /// only into directories whose logs have been loaded.
    fn nothing_is_left_to_recover(&self) -> bool {
        let waits = |partition: &Partition| partition.stage == Stage::Waiting;
        self.directory.clean
            || (self.directory.found.is_empty() && !self.partitions.values().any(waits))
    }
}

/// Kafka's name for a directory on its way out, kept within what a file name may have.
fn trash_name(dir: &str, id: Uuid) -> String {
    let suffix = format!(".{}-delete", id.simple());
    let kept = dir.len().min(NAME_BYTES_MAX - suffix.len());
    format!("{}{suffix}", dir.get(..kept).unwrap_or(dir))
}
