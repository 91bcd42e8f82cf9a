//! What [`crate::metrics`] tells of the partitions.

use super::ReplicaManager;
use super::partition::Partition;
use crate::metrics::ReplicaMetrics;

impl ReplicaManager {
    pub(crate) fn metrics(&self) -> ReplicaMetrics {
        let mut metrics = ReplicaMetrics {
            partitions: self.partitions.len() as u64,
            isr_shrinks: self.alter.shrinks,
            isr_expands: self.alter.expands,
            lag_max: self.lag_max(),
            ..ReplicaMetrics::default()
        };
        for partition in self.partitions.values() {
            let Some(leadership) = partition.leadership() else { continue };
            let in_sync = leadership.committed_isr().len();
            let wanted = leadership.effective_min_isr(partition.min_insync_replicas);
            metrics.leaders += 1;
            metrics.under_replicated += u64::from(in_sync < partition.image.replicas.len());
            metrics.under_min_isr += u64::from(in_sync < wanted);
        }
        metrics
    }

    fn lag_max(&self) -> u64 {
        let followed = self.fetchers.values().flat_map(|fetcher| fetcher.partitions.keys());
        let lags = followed.filter_map(|id| self.partitions.get(id)).map(Partition::lag);
        lags.max().unwrap_or_default()
    }
}

impl Partition {
    /// As Kafka's fetchers count it: up to the leader's high watermark, and no younger than its last answer.
    fn lag(&self) -> u64 {
        let (Some(following), Some(log)) = (self.following(), &self.log) else { return 0 };
        let lacks = following.leader_high_watermark.saturating_sub(log.next_offset());
        u64::try_from(lacks).unwrap_or_default()
    }
}
