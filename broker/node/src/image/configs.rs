//! What is in force for a topic, as the image and a node's own file tell it.
//!
//! Promises: controller and leader read `min.insync.replicas` and `unclean.leader.election.enable` through the same
//! functions. Neither asks a single broker's dynamic value: elections rest on these two, and the controller must see
//! what the leader sees.
//!
//! Why it matters (KIP-966, KAFKA-16540): a replica may become eligible to lead without being in sync only because
//! nothing was acknowledged while the ISR was below `min.insync.replicas`. A controller that believes in a larger
//! number than the leader demanded would elect a replica without acknowledged records. So the controller counts only on
//! values that stand in the metadata ([`MetadataImage::recorded_min_insync_replicas`]); its own file counts once it
//! was written there.

use super::{ConfigResource, MetadataImage, PartitionImage};
use crate::config::NodeConfig;
use crate::config::topic::{Layers, TopicSettings};

pub const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
pub const UNCLEAN_LEADER_ELECTION_ENABLE: &str = "unclean.leader.election.enable";

impl MetadataImage {
    /// The dynamic values that apply to `topic`; those of one broker only where `broker` names it.
    pub fn layers(&self, topic: &str, broker: Option<i32>) -> Layers<'_> {
        Layers {
            topic: self.configs.get(&ConfigResource::topic(topic)),
            broker: broker.and_then(|broker| self.configs.get(&ConfigResource::broker(broker))),
            cluster: self.configs.get(&ConfigResource::cluster()),
        }
    }

    /// All that is in force for `topic` on the node with this file.
    pub fn topic_settings(&self, topic: &str, config: &NodeConfig) -> TopicSettings {
        let mut settings = TopicSettings::resolve(config, self.layers(topic, Some(config.node_id)));
        let shared = TopicSettings::resolve(config, self.layers(topic, None));
        settings.min_insync_replicas = shared.min_insync_replicas;
        settings.unclean_leader_election = shared.unclean_leader_election;
        settings
    }

    /// How many in-sync replicas an acks=all write to `topic` needs on the node with this file; at least 1.
    pub fn min_insync_replicas(&self, topic: &str, config: &NodeConfig) -> usize {
        let settings = TopicSettings::resolve(config, self.layers(topic, None));
        usize::try_from(settings.min_insync_replicas).unwrap_or(1).max(1)
    }

    /// [`MetadataImage::min_insync_replicas`], but never more than the partition has replicas.
    pub fn effective_min_isr(
        &self,
        topic: &str,
        partition: &PartitionImage,
        config: &NodeConfig,
    ) -> usize {
        self.min_insync_replicas(topic, config).min(partition.replicas.len().max(1))
    }

    /// The least that any leader of `topic` demands, whatever its file says: the topic's value, else the cluster's
    /// dynamic one, else 1.
    pub fn recorded_min_insync_replicas(&self, topic: &str) -> usize {
        self.recorded(topic, MIN_INSYNC_REPLICAS)
            .find_map(|value| value.parse::<usize>().ok())
            .unwrap_or(1)
            .max(1)
    }

    /// Whether a replica outside the ISR may be elected for `topic` when nobody else is left.
    pub fn unclean_election_enabled(&self, topic: &str, config: &NodeConfig) -> bool {
        self.recorded(topic, UNCLEAN_LEADER_ELECTION_ENABLE)
            .find_map(|value| value.parse::<bool>().ok())
            .unwrap_or(config.unclean_leader_election_enable)
    }

    /// The values of `name` that stand in the metadata and bind controller and leader alike, the strongest first.
    fn recorded<'a>(&'a self, topic: &str, name: &'a str) -> impl Iterator<Item = &'a str> {
        let layers = self.layers(topic, None);
        let layers = [layers.topic, layers.cluster].into_iter().flatten();
        layers.filter_map(move |values| values.get(name).map(|value| value.trim()))
    }
}
