//! The cluster's metadata as of one offset of the metadata log: what every node believes once it has replayed that far.
//!
//! Promises: two nodes that replayed the same records hold equal images, and so does one that was rebuilt from
//! [`MetadataImage::to_records`]. A record that does not fit is an error and leaves the image as it was. Every question
//! about effective settings is answered here, so that controller and broker can't disagree.
//!
//! Not promised: that what it says is committed. The active controller runs ahead on a copy of its own.

mod apply;
pub mod configs;
mod records;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// No broker leads the partition.
pub const NO_LEADER: i32 = -1;

/// Directory ids with a meaning of their own (Kafka's `DirectoryId`).
pub const DIRECTORY_UNASSIGNED: Uuid = Uuid::from_u128(0);
pub const DIRECTORY_LOST: Uuid = Uuid::from_u128(1);
pub const DIRECTORY_MIGRATING: Uuid = Uuid::from_u128(2);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetadataImage {
    /// The last offset of the metadata log that is in here; -1: nothing yet. Set by whoever replays.
    pub offset: i64,
    /// The quorum epoch of that offset.
    pub epoch: i32,
    /// Finalized feature levels, `metadata.version` among them.
    pub features: BTreeMap<String, i16>,
    pub brokers: BTreeMap<i32, BrokerImage>,
    pub controllers: BTreeMap<i32, ControllerImage>,
    pub topics: BTreeMap<Uuid, TopicImage>,
    pub topic_ids: BTreeMap<String, Uuid>,
    pub configs: BTreeMap<ConfigResource, BTreeMap<String, String>>,
    /// The first producer id that no broker was given yet.
    pub next_producer_id: i64,
}

/// What a configuration belongs to. A broker resource with an empty name is the cluster-wide default.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    pub kind: ConfigResourceKind,
    pub name: String,
}

/// Kafka's `ConfigResource.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i8)]
pub enum ConfigResourceKind {
    Topic = 2,
    Broker = 4,
    BrokerLogger = 8,
    ClientMetrics = 16,
    Group = 32,
}

/// Where a broker or controller can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListenerEndpoint {
    /// The listener's name, as `PLAINTEXT` or `CONTROLLER`.
    pub name: String,
    pub host: String,
    pub port: u16,
    /// Kafka's `SecurityProtocol` id; 0 is PLAINTEXT.
    pub security_protocol: i16,
}

/// The feature levels that one node can live with, by feature name: (min, max).
pub type SupportedFeatures = BTreeMap<String, (i16, i16)>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BrokerImage {
    pub id: i32,
    /// The offset of the registration record: another one for each life of the process.
    pub epoch: i64,
    pub incarnation_id: Uuid,
    pub endpoints: Vec<ListenerEndpoint>,
    pub features: SupportedFeatures,
    pub rack: Option<String>,
    /// A fenced broker is in no ISR, leads nothing and is not shown to clients.
    pub fenced: bool,
    pub in_controlled_shutdown: bool,
    pub log_dirs: Vec<Uuid>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ControllerImage {
    pub id: i32,
    pub incarnation_id: Uuid,
    pub endpoints: Vec<ListenerEndpoint>,
    pub features: SupportedFeatures,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicImage {
    pub name: String,
    pub id: Uuid,
    pub partitions: BTreeMap<i32, PartitionImage>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionImage {
    /// In the order of preference: the first is the preferred leader.
    pub replicas: Vec<i32>,
    /// The log directory of each replica, in the order of `replicas`.
    pub directories: Vec<Uuid>,
    pub isr: Vec<i32>,
    /// Eligible leader replicas (KIP-966): out of the ISR, yet holding all that was acknowledged. Disjoint from `isr`.
    pub elr: Vec<i32>,
    /// Who led last, when neither ISR nor ELR has anybody left.
    pub last_known_elr: Vec<i32>,
    /// [`NO_LEADER`] while nobody may lead.
    pub leader: i32,
    pub leader_epoch: i32,
    /// Counts every change of this partition.
    pub partition_epoch: i32,
    pub leader_recovery_state: LeaderRecoveryState,
    pub removing: Vec<i32>,
    pub adding: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(i8)]
pub enum LeaderRecoveryState {
    #[default]
    Recovered = 0,
    /// Elected uncleanly, and has not said yet that it came to terms with it.
    Recovering = 1,
}

/// What a run of records touched, for those who must act on the difference and not on the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Topics that are new, or of which a partition is new or changed.
    pub topics_changed: BTreeSet<Uuid>,
    pub partitions_changed: BTreeSet<(Uuid, i32)>,
    /// Removed topics with their last image: its partitions are to be deleted.
    pub topics_removed: BTreeMap<Uuid, TopicImage>,
    pub brokers_changed: BTreeSet<i32>,
    pub controllers_changed: BTreeSet<i32>,
    pub configs_changed: BTreeSet<ConfigResource>,
    pub features_changed: BTreeSet<String>,
    pub producer_ids_changed: bool,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for MetadataImage {
    fn default() -> Self {
        Self::empty()
    }
}

impl MetadataImage {
    /// The image of an empty log.
    pub fn empty() -> Self {
        Self {
            offset: -1,
            epoch: -1,
            features: BTreeMap::new(),
            brokers: BTreeMap::new(),
            controllers: BTreeMap::new(),
            topics: BTreeMap::new(),
            topic_ids: BTreeMap::new(),
            configs: BTreeMap::new(),
            next_producer_id: 0,
        }
    }

    /// Everything that differs from `before`: what a loaded snapshot means to those who act on changes.
    pub fn changes_since(&self, before: &MetadataImage) -> Changes {
        let mut changes = Changes::default();
        for (id, topic) in &self.topics {
            let old = before.topics.get(id);
            if old.is_none() {
                changes.topics_changed.insert(*id);
            }
            for (index, partition) in &topic.partitions {
                if old.and_then(|old| old.partitions.get(index)) != Some(partition) {
                    changes.topics_changed.insert(*id);
                    changes.partitions_changed.insert((*id, *index));
                }
            }
        }
        for (id, topic) in &before.topics {
            if !self.topics.contains_key(id) {
                changes.topics_removed.insert(*id, topic.clone());
            }
        }
        changes.brokers_changed = differing_keys(&self.brokers, &before.brokers);
        changes.controllers_changed = differing_keys(&self.controllers, &before.controllers);
        changes.configs_changed = differing_keys(&self.configs, &before.configs);
        changes.features_changed = differing_keys(&self.features, &before.features);
        changes.producer_ids_changed = self.next_producer_id != before.next_producer_id;
        changes
    }

    pub fn topic(&self, name: &str) -> Option<&TopicImage> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    pub fn topic_by_id(&self, id: Uuid) -> Option<&TopicImage> {
        self.topics.get(&id)
    }

    pub fn topic_name(&self, id: Uuid) -> Option<&str> {
        Some(self.topics.get(&id)?.name.as_str())
    }

    pub fn partition(&self, topic_id: Uuid, partition: i32) -> Option<&PartitionImage> {
        self.topics.get(&topic_id)?.partitions.get(&partition)
    }

    pub fn partition_by_name(&self, topic: &str, partition: i32) -> Option<&PartitionImage> {
        self.topic(topic)?.partitions.get(&partition)
    }

    pub fn broker(&self, id: i32) -> Option<&BrokerImage> {
        self.brokers.get(&id)
    }

    /// Registered and not fenced: may lead, and is shown to clients.
    pub fn is_unfenced(&self, broker: i32) -> bool {
        self.brokers.get(&broker).is_some_and(|broker| !broker.fenced)
    }

    /// Unfenced and not shutting down: may be elected and may join an ISR.
    pub fn is_active(&self, broker: i32) -> bool {
        self.brokers.get(&broker).is_some_and(BrokerImage::is_active)
    }

    /// Brokers that clients may be told of.
    pub fn alive_brokers(&self) -> impl Iterator<Item = &BrokerImage> {
        self.brokers.values().filter(|broker| !broker.fenced)
    }

    /// The finalized level of a feature; 0 where it is not enabled.
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }
}

impl BrokerImage {
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// The endpoint of the listener of that name.
    pub fn endpoint(&self, listener: &str) -> Option<&ListenerEndpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == listener)
    }
}

impl PartitionImage {
    pub fn has_preferred_leader(&self) -> bool {
        self.replicas.first() == Some(&self.leader)
    }

    pub fn is_reassigning(&self) -> bool {
        !self.removing.is_empty() || !self.adding.is_empty()
    }

    /// The log directory that holds the replica on `broker`.
    pub fn directory(&self, broker: i32) -> Option<Uuid> {
        let index = self.replicas.iter().position(|replica| *replica == broker)?;
        self.directories.get(index).copied()
    }
}

impl ConfigResource {
    pub fn topic(name: &str) -> Self {
        Self { kind: ConfigResourceKind::Topic, name: name.to_owned() }
    }

    pub fn broker(id: i32) -> Self {
        Self { kind: ConfigResourceKind::Broker, name: id.to_string() }
    }

    /// The dynamic default of all brokers.
    pub fn cluster() -> Self {
        Self { kind: ConfigResourceKind::Broker, name: String::new() }
    }
}

impl ConfigResourceKind {
    pub fn from_id(id: i8) -> Option<Self> {
        [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group]
            .into_iter()
            .find(|kind| *kind as i8 == id)
    }
}

impl LeaderRecoveryState {
    pub fn from_id(id: i8) -> Option<Self> {
        match id {
            0 => Some(Self::Recovered),
            1 => Some(Self::Recovering),
            _ => None,
        }
    }
}

fn differing_keys<K: Ord + Clone, V: PartialEq>(
    now: &BTreeMap<K, V>,
    before: &BTreeMap<K, V>,
) -> BTreeSet<K> {
    let keys = now.keys().chain(before.keys());
    keys.filter(|key| now.get(*key) != before.get(*key)).cloned().collect()
}
