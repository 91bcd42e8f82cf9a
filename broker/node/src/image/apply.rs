//! One record onto the image, as Kafka's `replay` does it.

use std::collections::BTreeMap;

use uuid::Uuid;
use wire::metadata::{
    BrokerRegistrationChangeRecord, FenceState, MetadataRecord, PartitionChangeRecord,
    PartitionRecord, RegisterBrokerRecord, RegisterControllerRecord, RegisteredEndpoint,
    SupportedFeature,
};

use super::{
    BrokerImage, Changes, ConfigResource, ConfigResourceKind, ControllerImage, LeaderRecoveryState,
    ListenerEndpoint, MetadataImage, PartitionImage, SupportedFeatures, TopicImage,
};

impl MetadataImage {
    /// Takes in one record. An error names what did not fit and leaves the image as it was; a record of a type
    /// that we don't know changes nothing. `offset` and `epoch` are the caller's to set.
    pub fn apply(&mut self, record: &MetadataRecord, changes: &mut Changes) -> Result<(), String> {
        match record {
            MetadataRecord::RegisterBroker(record) => {
                changes.brokers_changed.insert(record.broker_id);
                self.brokers.insert(record.broker_id, broker_image(record));
            }
            MetadataRecord::UnregisterBroker { broker_id, broker_epoch } => {
                self.broker_of_epoch(*broker_id, *broker_epoch)?;
                self.brokers.remove(broker_id);
                changes.brokers_changed.insert(*broker_id);
            }
            MetadataRecord::FenceBroker { broker_id, broker_epoch } => {
                self.broker_of_epoch(*broker_id, *broker_epoch)?.fenced = true;
                changes.brokers_changed.insert(*broker_id);
            }
            MetadataRecord::UnfenceBroker { broker_id, broker_epoch } => {
                self.broker_of_epoch(*broker_id, *broker_epoch)?.fenced = false;
                changes.brokers_changed.insert(*broker_id);
            }
            MetadataRecord::BrokerRegistrationChange(record) => {
                self.change_registration(record)?;
                changes.brokers_changed.insert(record.broker_id);
            }
            MetadataRecord::RegisterController(record) => {
                changes.controllers_changed.insert(record.controller_id);
                self.controllers.insert(record.controller_id, controller_image(record));
            }
            MetadataRecord::Topic { name, topic_id } => self.add_topic(name, *topic_id, changes)?,
            MetadataRecord::RemoveTopic { topic_id } => self.remove_topic(*topic_id, changes)?,
            MetadataRecord::Partition(record) => self.set_partition(record, changes)?,
            MetadataRecord::PartitionChange(record) => self.change_partition(record, changes)?,
            MetadataRecord::Config { resource_type, resource_name, name, value } => {
                let kind = ConfigResourceKind::from_id(*resource_type)
                    .ok_or_else(|| format!("{record:?}: unknown resource type"))?;
                let resource = ConfigResource { kind, name: resource_name.clone() };
                self.set_config(resource, name, value.as_deref(), changes);
            }
            MetadataRecord::FeatureLevel { name, feature_level } => {
                changes.features_changed.insert(name.clone());
                if *feature_level == 0 {
                    self.features.remove(name);
                } else {
                    self.features.insert(name.clone(), *feature_level);
                }
            }
            MetadataRecord::ProducerIds { next_producer_id, .. } => {
                if *next_producer_id < self.next_producer_id {
                    return Err(format!("{record:?}: {} was given out", self.next_producer_id));
                }
                changes.producer_ids_changed = true;
                self.next_producer_id = *next_producer_id;
            }
            MetadataRecord::NoOp | MetadataRecord::Unknown { .. } => {}
        }
        Ok(())
    }

    fn broker_of_epoch(&mut self, id: i32, epoch: i64) -> Result<&mut BrokerImage, String> {
        match self.brokers.get_mut(&id) {
            Some(broker) if broker.epoch == epoch => Ok(broker),
            Some(broker) => Err(format!(
                "broker {id} is registered with epoch {}, the record says {epoch}",
                broker.epoch
            )),
            None => Err(format!("broker {id} is not registered")),
        }
    }

    fn change_registration(
        &mut self,
        record: &BrokerRegistrationChangeRecord,
    ) -> Result<(), String> {
        let broker = self.broker_of_epoch(record.broker_id, record.broker_epoch)?;
        match record.fenced {
            FenceState::Fenced => broker.fenced = true,
            FenceState::Unfenced => broker.fenced = false,
            FenceState::Unchanged => {}
        }
        broker.in_controlled_shutdown |= record.in_controlled_shutdown;
        if !record.log_dirs.is_empty() {
            broker.log_dirs.clone_from(&record.log_dirs);
        }
        Ok(())
    }

    fn add_topic(&mut self, name: &str, id: Uuid, changes: &mut Changes) -> Result<(), String> {
        if let Some(existing) = self.topic_ids.get(name) {
            return Err(format!("topic {name} exists already, with id {existing}"));
        }
        if let Some(existing) = self.topics.get(&id) {
            return Err(format!("topic id {id} is already that of {}", existing.name));
        }
        self.topic_ids.insert(name.to_owned(), id);
        let topic = TopicImage { name: name.to_owned(), id, partitions: BTreeMap::new() };
        self.topics.insert(id, topic);
        changes.topics_changed.insert(id);
        Ok(())
    }

    fn remove_topic(&mut self, id: Uuid, changes: &mut Changes) -> Result<(), String> {
        let topic =
            self.topics.remove(&id).ok_or_else(|| format!("there is no topic with id {id}"))?;
        self.topic_ids.remove(&topic.name);
        // Its settings go with it, without records of their own.
        let resource = ConfigResource::topic(&topic.name);
        if self.configs.remove(&resource).is_some() {
            changes.configs_changed.insert(resource);
        }
        changes.topics_changed.remove(&id);
        changes.partitions_changed.retain(|(topic_id, _)| *topic_id != id);
        changes.topics_removed.insert(id, topic);
        Ok(())
    }

    fn set_partition(
        &mut self,
        record: &PartitionRecord,
        changes: &mut Changes,
    ) -> Result<(), String> {
        let topic = self
            .topics
            .get_mut(&record.topic_id)
            .ok_or_else(|| format!("there is no topic with id {}", record.topic_id))?;
        let partition = partition_image(record)?;
        topic.partitions.insert(record.partition_id, partition);
        changes.topics_changed.insert(record.topic_id);
        changes.partitions_changed.insert((record.topic_id, record.partition_id));
        Ok(())
    }

    fn change_partition(
        &mut self,
        record: &PartitionChangeRecord,
        changes: &mut Changes,
    ) -> Result<(), String> {
        let (id, index) = (record.topic_id, record.partition_id);
        let partition = self
            .topics
            .get_mut(&id)
            .and_then(|topic| topic.partitions.get_mut(&index))
            .ok_or_else(|| format!("there is no partition {index} of a topic with id {id}"))?;
        *partition = partition.merge(record)?;
        changes.topics_changed.insert(id);
        changes.partitions_changed.insert((id, index));
        Ok(())
    }

    fn set_config(
        &mut self,
        resource: ConfigResource,
        name: &str,
        value: Option<&str>,
        changes: &mut Changes,
    ) {
        if let Some(value) = value {
            let values = self.configs.entry(resource.clone()).or_default();
            values.insert(name.to_owned(), value.to_owned());
        } else if let Some(values) = self.configs.get_mut(&resource) {
            values.remove(name);
            if values.is_empty() {
                self.configs.remove(&resource);
            }
        }
        changes.configs_changed.insert(resource);
    }
}

impl PartitionImage {
    /// The partition after this change: the partition epoch goes up by one, the leader epoch too if the change
    /// names a leader, be it the same one.
    pub fn merge(&self, record: &PartitionChangeRecord) -> Result<PartitionImage, String> {
        let mut next = self.clone();
        if let Some(replicas) = &record.replicas {
            next.replicas.clone_from(replicas);
        }
        if let Some(directories) = &record.directories {
            next.directories.clone_from(directories);
        }
        if let Some(isr) = &record.isr {
            next.isr.clone_from(isr);
        }
        if let Some(removing) = &record.removing_replicas {
            next.removing.clone_from(removing);
        }
        if let Some(adding) = &record.adding_replicas {
            next.adding.clone_from(adding);
        }
        if let Some(elr) = &record.eligible_leader_replicas {
            next.elr.clone_from(elr);
        }
        if let Some(last_known) = &record.last_known_elr {
            next.last_known_elr.clone_from(last_known);
        }
        if let Some(state) = record.leader_recovery_state {
            next.leader_recovery_state = recovery_state(state)?;
        }
        if let Some(leader) = record.leader {
            next.leader = leader;
            next.leader_epoch += 1;
        }
        next.partition_epoch += 1;
        Ok(next)
    }
}

fn recovery_state(id: i8) -> Result<LeaderRecoveryState, String> {
    LeaderRecoveryState::from_id(id).ok_or_else(|| format!("{id} is no leader recovery state"))
}

fn partition_image(record: &PartitionRecord) -> Result<PartitionImage, String> {
    Ok(PartitionImage {
        replicas: record.replicas.clone(),
        directories: record.directories.clone(),
        isr: record.isr.clone(),
        elr: record.eligible_leader_replicas.clone(),
        last_known_elr: record.last_known_elr.clone(),
        leader: record.leader,
        leader_epoch: record.leader_epoch,
        partition_epoch: record.partition_epoch,
        leader_recovery_state: recovery_state(record.leader_recovery_state)?,
        removing: record.removing_replicas.clone(),
        adding: record.adding_replicas.clone(),
    })
}

fn broker_image(record: &RegisterBrokerRecord) -> BrokerImage {
    BrokerImage {
        id: record.broker_id,
        epoch: record.broker_epoch,
        incarnation_id: record.incarnation_id,
        endpoints: endpoints(&record.endpoints),
        features: features(&record.features),
        rack: record.rack.clone(),
        fenced: record.fenced,
        in_controlled_shutdown: record.in_controlled_shutdown,
        log_dirs: record.log_dirs.clone(),
    }
}

fn controller_image(record: &RegisterControllerRecord) -> ControllerImage {
    ControllerImage {
        id: record.controller_id,
        incarnation_id: record.incarnation_id,
        endpoints: endpoints(&record.endpoints),
        features: features(&record.features),
    }
}

fn endpoints(registered: &[RegisteredEndpoint]) -> Vec<ListenerEndpoint> {
    let endpoint = |endpoint: &RegisteredEndpoint| ListenerEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    };
    registered.iter().map(endpoint).collect()
}

fn features(supported: &[SupportedFeature]) -> SupportedFeatures {
    supported
        .iter()
        .map(|feature| {
            let range = (feature.min_supported_version, feature.max_supported_version);
            (feature.name.clone(), range)
        })
        .collect()
}
