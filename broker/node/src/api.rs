//! The APIs that a broker answers from what it knows: one file for each.
//!
//! Promises: an answer depends on the request, the committed metadata and the configuration only; nothing here changes
//! anything. Requests that change metadata go to the active controller ([`forward`]).

pub mod api_versions;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_topic_partitions;
pub mod find_coordinator;
pub mod forward;
pub mod init_producer_id;
pub mod list_partition_reassignments;
pub mod metadata;

use wire::StrBytes;
use wire::messages::BrokerId;

use crate::config::NodeConfig;
use crate::image::{BrokerImage, ListenerEndpoint, MetadataImage, PartitionImage};

/// What the answers rest on.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub image: &'a MetadataImage,
    pub config: &'a NodeConfig,
    pub cluster_id: &'a str,
}

/// Kafka's "was not asked for" in the fields of authorized operations.
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

/// All operations on a topic (without authorization everybody may do everything): the bits of Kafka's `AclOperation`.
const TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
/// All operations on the cluster.
const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

pub fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

/// Topics that the brokers themselves write.
pub fn is_internal(topic: &str) -> bool {
    topic == wire::names::CONSUMER_OFFSETS_TOPIC
}

impl<'a> Facts<'a> {
    /// The broker's address on the listener that clients use.
    pub fn endpoint(&self, broker: &'a BrokerImage) -> Option<&'a ListenerEndpoint> {
        let ours = self.config.listener(crate::step::Listener::Broker).map(|l| l.name.as_str());
        broker
            .endpoint(ours.unwrap_or(&self.config.inter_broker_listener_name))
            .or(broker.endpoints.first())
    }

    /// Alive brokers with an address, by ascending id.
    pub fn alive(&self) -> impl Iterator<Item = (&'a BrokerImage, &'a ListenerEndpoint)> {
        let facts = *self;
        self.image
            .alive_brokers()
            .filter_map(move |b| facts.endpoint(b).map(|endpoint| (b, endpoint)))
    }

    /// The broker that clients are told is the controller. Any alive one will do, since all forward; ourselves if we can.
    pub fn controller_for_clients(&self) -> BrokerId {
        let ours = self.config.node_id;
        let alive = |id: &i32| self.image.is_unfenced(*id);
        let first = || self.image.alive_brokers().next().map(|broker| broker.id);
        BrokerId(Some(ours).filter(alive).or_else(first).unwrap_or(-1))
    }

    /// The leader if it is alive, else -1.
    pub fn alive_leader(&self, partition: &PartitionImage) -> i32 {
        if self.image.is_unfenced(partition.leader) { partition.leader } else { -1 }
    }

    /// Replicas on brokers that are fenced or gone.
    pub fn offline_replicas(&self, partition: &PartitionImage) -> Vec<BrokerId> {
        let offline = partition.replicas.iter().filter(|id| !self.image.is_unfenced(**id));
        offline.map(|id| BrokerId(*id)).collect()
    }
}

pub fn broker_ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().map(|id| BrokerId(*id)).collect()
}
