//! From metadata to roles: which partitions this broker hosts, leads and follows.
//!
//! Promises: no role is taken before the metadata holds this broker's own registration: what is older may have long been
//! overtaken. A role is taken once for each leader epoch; a later image of the same epoch changes the ISR only. What a deposed
//! leader had not committed gets an answer that says so.
//!
//! Not promised: that the metadata is the newest; the leader epochs in requests take care of that.

use log::{CleanupPolicy, LogConfig, Opened, TimestampType};
use wire::StrBytes;
use wire::error::ErrorCode;

use super::checkpoints::Kind;
use super::leadership::Leadership;
use super::partition::{Following, Partition, Role, Stage};
use super::{ReplicaEvent, ReplicaManager, mark};
use crate::config::NodeConfig;
use crate::config::topic::TopicSettings;
use crate::context::{Context, IoOwner, Severity, TopicPartitionId};
use crate::defect::Defect;
use crate::image::{
    Changes, ConfigResource, ConfigResourceKind, MetadataImage, NO_LEADER, PartitionImage,
};

impl ReplicaManager {
    pub(super) fn apply_image(
        &mut self,
        ctx: &mut Context<'_>,
        image: &MetadataImage,
        changes: &Changes,
    ) {
        if self.stopping {
            return;
        }
        for (topic_id, topic) in &changes.topics_removed {
            for partition in topic.partitions.keys() {
                let id = TopicPartitionId { topic_id: *topic_id, partition: *partition };
                self.remove_partition(ctx, id);
            }
        }
        let mut touched = Vec::new();
        for (topic_id, partition) in &changes.partitions_changed {
            let id = TopicPartitionId { topic_id: *topic_id, partition: *partition };
            let Some(topic) = image.topics.get(topic_id) else { continue };
            let Some(partition_image) = topic.partitions.get(partition) else { continue };
            if partition_image.replicas.contains(&self.node_id) {
                self.host(ctx, id, &topic.name, image, partition_image);
                touched.push(id);
            } else {
                self.remove_partition(ctx, id);
            }
        }
        self.update_configs(ctx, image, changes);
        for node in &changes.brokers_changed {
            self.leader_is_back(*node);
        }
        let registered = image.broker(self.node_id).map(|broker| broker.epoch);
        self.registered_in_image = registered.unwrap_or(-1);
        if !self.take_registration(ctx) {
            for id in touched {
                self.try_open(ctx, id);
                self.take_role(ctx, id);
            }
        }
        if !changes.brokers_changed.is_empty() {
            // Who was about to join an ISR may not be any more, and so hold nothing back.
            self.recheck_high_watermarks(ctx);
            let ids: Vec<TopicPartitionId> = self.partitions.keys().copied().collect();
            for id in ids {
                self.expand_isr(ctx, id);
            }
        }
    }

    /// The epoch of this broker's registration, which goes into its fetches and proposals. Roles are taken once the
    /// metadata holds that registration.
    pub fn set_broker_epoch(&mut self, ctx: &mut Context<'_>, broker_epoch: i64) {
        self.broker_epoch = broker_epoch;
        self.take_registration(ctx);
        self.settle(ctx);
    }

    /// From here on the metadata is known to be no older than our registration: everything that waited for that.
    fn take_registration(&mut self, ctx: &mut Context<'_>) -> bool {
        if self.registered || self.broker_epoch < 0 || self.registered_in_image < self.broker_epoch
        {
            return false;
        }
        self.registered = true;
        self.discard_strays(ctx);
        self.open_waiting(ctx);
        let ids: Vec<TopicPartitionId> = self.partitions.keys().copied().collect();
        for id in ids {
            self.take_role(ctx, id);
        }
        true
    }

    fn host(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        topic: &str,
        image: &MetadataImage,
        partition_image: &PartitionImage,
    ) {
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.image = partition_image.clone();
            return;
        }
        let settings = image.topic_settings(topic, ctx.config);
        let partition = Partition::new(
            id,
            StrBytes::from_string(topic.to_owned()),
            partition_image.clone(),
            log_config(&settings, ctx.config),
            min_insync_replicas(&settings),
        );
        self.partitions.insert(id, partition);
    }

    fn update_configs(&mut self, ctx: &mut Context<'_>, image: &MetadataImage, changes: &Changes) {
        if changes.configs_changed.is_empty() {
            return;
        }
        let all = changes.configs_changed.iter().any(|resource| {
            resource.kind == ConfigResourceKind::Broker
                && (*resource == ConfigResource::cluster()
                    || *resource == ConfigResource::broker(self.node_id))
        });
        for partition in self.partitions.values_mut() {
            let resource = ConfigResource::topic(&partition.topic);
            if !all && !changes.configs_changed.contains(&resource) {
                continue;
            }
            let settings = image.topic_settings(&partition.topic, ctx.config);
            partition.min_insync_replicas = min_insync_replicas(&settings);
            partition.log_config = log_config(&settings, ctx.config);
            if let Some(log) = partition.log.as_mut() {
                log.update_config(partition.log_config.clone());
            }
            mark(&mut self.marked, partition);
        }
        // A smaller min.insync.replicas may let the high watermark go on.
        self.recheck_high_watermarks(ctx);
    }

    /// Takes the role that the newest metadata gives, if the log is there to take it with.
    pub(super) fn take_role(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        if !self.registered || self.stopping {
            return;
        }
        let Some(partition) = self.partitions.get(&id) else { return };
        if partition.stage != Stage::Online || partition.image.leader_epoch < partition.leader_epoch
        {
            return;
        }
        match partition.image.leader {
            leader if leader == self.node_id => self.lead(ctx, id),
            NO_LEADER => self.idle(ctx, id),
            leader => self.become_follower(ctx, id, leader),
        }
    }

    fn lead(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        let now_ms = ctx.now.mono_ms();
        let forget = self.has(Defect::ForgetProducerState);
        let node_id = self.node_id;
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let image = partition.image.clone();
        if let Role::Leader(leadership) = &mut partition.role
            && leadership.leader_epoch == image.leader_epoch
        {
            let before = leadership.partition_epoch;
            leadership.update(&image, now_ms);
            if leadership.partition_epoch != before {
                let name = partition.dir.clone();
                ctx.say(
                    Severity::Debug,
                    format!("{name}: the ISR is {:?} by the metadata", image.isr),
                );
            }
            self.isr_changed(ctx, id);
            self.expand_isr(ctx, id);
            return;
        }
        let Some(log) = partition.log.as_mut() else { return };
        if forget {
            log.forget_producer_state();
        }
        let start = log.next_offset();
        if !self.defects.has(Defect::StaleEpochStamp) {
            log.assign_epoch_start(image.leader_epoch, start, ctx.io);
        }
        if self.defects.has(Defect::NewLeaderCommitsItsTail) {
            log.set_high_watermark(start);
        }
        ctx.claim_io(IoOwner::Partition(id));
        partition.leader_epoch = image.leader_epoch;
        let leadership = Leadership::new(node_id, &image, start, now_ms);
        partition.role = Role::Leader(leadership.with_defects(self.defects.clone()));
        partition.truncating = false;
        // Parked fetches of an older epoch must learn of this one.
        partition.log_end_moved = true;
        partition.high_watermark_moved = true;
        let high_watermark = partition.high_watermark();
        mark(&mut self.marked, partition);
        ctx.say(
            Severity::Info,
            format!(
                "{}: leading in epoch {} from offset {start} (high watermark {high_watermark}, ISR {:?})",
                self.partition_name(id),
                image.leader_epoch,
                image.isr
            ),
        );
        self.unfollow(id);
        let leader_epoch = image.leader_epoch;
        self.events.push(ReplicaEvent::BecameLeader { id, leader_epoch });
        self.isr_changed(ctx, id);
    }

    fn idle(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        self.lose_leadership(ctx, id);
        self.unfollow(id);
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        partition.leader_epoch = partition.image.leader_epoch;
        partition.role = Role::Idle;
        self.abandon(ctx, id, ErrorCode::NotLeaderOrFollower);
    }

    fn become_follower(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId, leader: i32) {
        let cut = self.has(Defect::TruncateToHighWatermark);
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let leader_epoch = partition.image.leader_epoch;
        let same_epoch = partition.leader_epoch == leader_epoch;
        if same_epoch && matches!(&partition.role, Role::Follower(f) if f.leader == leader) {
            return;
        }
        self.lose_leadership(ctx, id);
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        partition.leader_epoch = leader_epoch;
        partition.role = Role::Follower(Following::new(leader));
        let (end, high_watermark) = (partition.log_end_offset(), partition.high_watermark());
        ctx.say(
            Severity::Info,
            format!(
                "{}: following broker {leader} in epoch {leader_epoch} from offset {end} (high watermark {high_watermark})",
                self.partition_name(id)
            ),
        );
        self.abandon(ctx, id, ErrorCode::NotLeaderOrFollower);
        self.follow(id, leader);
        if cut {
            self.truncate(ctx, id, high_watermark, "seeded defect truncate-to-high-watermark");
        }
    }

    /// Whatever comes, this broker does not lead the partition any more.
    pub(super) fn lose_leadership(&mut self, ctx: &mut Context<'_>, id: TopicPartitionId) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        self.alter.wanted.remove(&id);
        if let Role::Leader(_) = partition.role {
            let name = partition.dir.clone();
            partition.role = Role::Idle;
            self.events.push(ReplicaEvent::LostLeadership { id });
            ctx.say(Severity::Info, format!("{name}: leading no more"));
        }
    }

    /// The log is open: from here on the partition can have a role.
    pub(super) fn log_opened(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        opened: Opened,
    ) {
        let forget = self.has(Defect::ForgetProducerState);
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let high_watermark =
            self.checkpoints.loaded(Kind::HighWatermark, &partition.topic, id.partition);
        if let Some(log) = partition.log.as_mut() {
            log.set_high_watermark(high_watermark.unwrap_or(0));
            if forget {
                log.forget_producer_state();
            }
        }
        if opened.truncated_bytes > 0 {
            let name = partition.dir.clone();
            ctx.say(
                Severity::Warn,
                format!("{name}: recovery cut {} torn bytes at the end", opened.truncated_bytes),
            );
        }
        if partition.stage == Stage::Opening {
            partition.stage = Stage::Online;
            self.take_role(ctx, id);
        }
    }
}

fn min_insync_replicas(settings: &TopicSettings) -> usize {
    usize::try_from(settings.min_insync_replicas).unwrap_or(1)
}

/// A topic's settings as its logs take them.
pub(super) fn log_config(settings: &TopicSettings, config: &NodeConfig) -> LogConfig {
    let size = |value: i32| u32::try_from(value).unwrap_or(0);
    LogConfig {
        segment_bytes: size(settings.segment_bytes),
        segment_ms: settings.segment_ms,
        index_interval_bytes: size(settings.index_interval_bytes),
        segment_index_bytes: size(settings.segment_index_bytes),
        max_message_bytes: size(settings.max_message_bytes),
        retention_ms: settings.retention_ms,
        retention_bytes: settings.retention_bytes,
        cleanup: CleanupPolicy {
            delete: settings.cleanup_delete,
            compact: settings.cleanup_compact,
        },
        timestamp_type: match settings.log_append_time {
            true => TimestampType::LogAppendTime,
            false => TimestampType::CreateTime,
        },
        timestamp_before_max_ms: settings.timestamp_before_max_ms,
        timestamp_after_max_ms: settings.timestamp_after_max_ms,
        flush_messages: u64::try_from(settings.flush_messages).unwrap_or(u64::MAX),
        flush_ms: settings.flush_ms,
        file_delete_delay_ms: settings.file_delete_delay_ms,
        producer_id_expiration_ms: config.producer_id_expiration_ms,
        tail_cache_bytes: u32::try_from(config.highwater_tail_cache_bytes).unwrap_or(u32::MAX),
        validate_deep: config.highwater_validate == "deep",
        defects: config.highwater_defects.in_partition_log(),
    }
}
