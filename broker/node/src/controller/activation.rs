//! What a controller does by itself: the first records of a cluster, and what time asks for.

use wire::metadata::MetadataRecord;

use super::Active;
use super::features::{ELR_VERSION, FEATURES, METADATA_VERSION};
use crate::image::ConfigResource;
use crate::image::configs::MIN_INSYNC_REPLICAS;
use crate::step::Severity;

impl Active {
    /// The records of a new cluster: `metadata.version` first, as Kafka's logs begin.
    pub(super) fn write_activation_records(&mut self) {
        if self.image.features.is_empty() {
            let elr = self.config.highwater_elr;
            let mut initial: Vec<_> = FEATURES
                .iter()
                .filter(|feature| feature.initial > 0)
                .filter(|feature| feature.name != ELR_VERSION || elr)
                .collect();
            initial.sort_by_key(|feature| feature.name != METADATA_VERSION);
            for feature in initial {
                self.write(MetadataRecord::FeatureLevel {
                    name: feature.name.to_owned(),
                    feature_level: feature.initial,
                });
            }
        }
        self.record_min_insync_replicas();
        let line = format!(
            "active in epoch {} at offset {}, metadata.version {}",
            self.epoch,
            self.next_offset,
            self.image.feature(METADATA_VERSION)
        );
        self.say(Severity::Info, line);
    }

    /// Kafka (KAFKA-16540) writes the controller's own `min.insync.replicas` down as the cluster's dynamic
    /// default when ELR is in use, so that leaders demand what the controller counts on. Kafka does so even where the
    /// controller's file is silent, and then overrides what the brokers' files say with 1. We write it only where
    /// the file names it; otherwise the controller counts on 1 and the brokers keep their own.
    fn record_min_insync_replicas(&mut self) {
        let recorded = self
            .image
            .configs
            .get(&ConfigResource::cluster())
            .is_some_and(|values| values.contains_key(MIN_INSYNC_REPLICAS));
        if !self.elr_enabled() || recorded || !self.config.given.contains_key(MIN_INSYNC_REPLICAS) {
            return;
        }
        let resource = ConfigResource::cluster();
        self.write(MetadataRecord::Config {
            resource_type: resource.kind as i8,
            resource_name: resource.name,
            name: MIN_INSYNC_REPLICAS.to_owned(),
            value: Some(self.config.min_insync_replicas.to_string()),
        });
    }

    pub(super) fn elr_enabled(&self) -> bool {
        self.image.feature(ELR_VERSION) > 0
    }

    /// Fences whoever was silent for too long, one after the other: each sees what the one before it changed.
    pub(super) fn fence_stale_brokers(&mut self) {
        while let Some(broker) = self.heartbeats.stale(&self.image, self.now_ms()) {
            self.say(Severity::Info, format!("fencing broker {broker}: its session expired"));
            self.fence_broker(broker);
        }
    }

    /// Leadership goes back to preferred replicas.
    pub(super) fn balance_leaders(&mut self) {
        if self.now_ms() < self.next_balance_ms {
            return;
        }
        self.elect_preferred_leaders();
        self.schedule_balance();
    }

    pub(super) fn schedule_balance(&mut self) {
        self.next_balance_ms = if self.config.auto_leader_rebalance_enable {
            let interval_s = self.config.leader_imbalance_check_interval_seconds;
            self.now_ms().saturating_add(interval_s.saturating_mul(1000))
        } else {
            u64::MAX
        };
    }

    /// A sign of life in an idle log: followers that fall behind show.
    pub(super) fn write_no_op(&mut self) {
        if self.records.is_empty() && self.now_ms() >= self.next_no_op_ms() {
            self.write(MetadataRecord::NoOp);
        }
    }

    fn next_no_op_ms(&self) -> u64 {
        match self.config.metadata_max_idle_interval_ms {
            0 => u64::MAX,
            interval_ms => self.last_append_ms.saturating_add(interval_ms),
        }
    }

    pub(super) fn deadline_ms(&self) -> u64 {
        let session_ms = self.heartbeats.deadline_ms(&self.image).unwrap_or(u64::MAX);
        session_ms.min(self.next_balance_ms).min(self.next_no_op_ms())
    }
}
