//! What the replica manager keeps of the metadata image: names and ids of topics, who leads what, and which brokers may
//! join an ISR.
//!
//! Promises: it answers as the last image that it was shown would, without holding the image; a change costs what
//! changed. Not promised: settings (they are resolved into each log's configuration when they change).

use rustc_hash::FxHashMap;
use uuid::Uuid;
use wire::StrBytes;

use crate::defect::{Defect, Defects};
use crate::image::{Changes, MetadataImage};

/// Leader and leader epoch, as clients are told them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CurrentLeader {
    pub id: i32,
    pub epoch: i32,
}

#[derive(Debug)]
struct TopicView {
    name: StrBytes,
    leaders: FxHashMap<i32, CurrentLeader>,
}

/// One broker's endpoint for clients, as the tagged `NodeEndpoints` fields carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeEndpoint {
    pub id: i32,
    pub host: StrBytes,
    pub port: i32,
    pub rack: Option<StrBytes>,
}

#[derive(Debug)]
struct BrokerView {
    epoch: i64,
    active: bool,
    endpoint: Option<NodeEndpoint>,
}

#[derive(Debug, Default)]
pub(crate) struct MetadataView {
    topics: FxHashMap<Uuid, TopicView>,
    ids: FxHashMap<String, Uuid>,
    brokers: FxHashMap<i32, BrokerView>,
    defects: Defects,
}

impl MetadataView {
    pub fn new(defects: Defects) -> Self {
        Self { defects, ..Self::default() }
    }

    /// Takes over what changed. `listener` names the endpoint that clients (and followers) use.
    pub fn update(&mut self, image: &MetadataImage, changes: &Changes, listener: &str) {
        for (id, topic) in &changes.topics_removed {
            self.topics.remove(id);
            // A topic of the same name may have been made again in the same run of records.
            if self.ids.get(&topic.name) == Some(id) {
                self.ids.remove(&topic.name);
            }
        }
        for id in &changes.topics_changed {
            let Some(topic) = image.topics.get(id) else { continue };
            self.ids.insert(topic.name.clone(), *id);
            let view = self.topics.entry(*id).or_insert_with(|| TopicView {
                name: StrBytes::from_string(topic.name.clone()),
                leaders: FxHashMap::default(),
            });
            for (index, partition) in &topic.partitions {
                let leader = CurrentLeader { id: partition.leader, epoch: partition.leader_epoch };
                view.leaders.insert(*index, leader);
            }
        }
        for id in &changes.brokers_changed {
            let Some(broker) = image.brokers.get(id) else {
                self.brokers.remove(id);
                continue;
            };
            let endpoint = broker.endpoint(listener).map(|endpoint| NodeEndpoint {
                id: *id,
                host: StrBytes::from_string(endpoint.host.clone()),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone().map(StrBytes::from_string),
            });
            let view = BrokerView { epoch: broker.epoch, active: broker.is_active(), endpoint };
            self.brokers.insert(*id, view);
        }
    }

    pub fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.ids.get(name).copied()
    }

    pub fn topic_name(&self, id: Uuid) -> Option<&StrBytes> {
        self.topics.get(&id).map(|topic| &topic.name)
    }

    /// `None`: there is no such partition.
    pub fn leader(&self, topic_id: Uuid, partition: i32) -> Option<CurrentLeader> {
        self.topics.get(&topic_id)?.leaders.get(&partition).copied()
    }

    /// The epoch of the broker's present registration.
    pub fn broker_epoch(&self, id: i32) -> Option<i64> {
        self.brokers.get(&id).map(|broker| broker.epoch)
    }

    /// Unfenced, not shutting down, and of that life; -1 stands for a follower that did not tell its epoch.
    pub fn may_join_isr(&self, id: i32, broker_epoch: i64) -> bool {
        self.brokers.get(&id).is_some_and(|broker| {
            let alive = broker.active || self.defects.has(Defect::FencedJoinsIsr);
            let same_life = broker_epoch == -1 || broker.epoch == broker_epoch;
            alive && (same_life || self.defects.has(Defect::StaleBrokerEpoch))
        })
    }

    pub fn endpoint(&self, id: i32) -> Option<&NodeEndpoint> {
        self.brokers.get(&id)?.endpoint.as_ref()
    }
}
