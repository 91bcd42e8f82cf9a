//! The image as records: what a snapshot of the metadata log holds.

use wire::metadata::{
    MetadataRecord, PartitionRecord, RegisterBrokerRecord, RegisterControllerRecord,
    RegisteredEndpoint, SupportedFeature,
};

use super::{
    BrokerImage, ControllerImage, ListenerEndpoint, MetadataImage, PartitionImage,
    SupportedFeatures, TopicImage,
};
use crate::controller::features::METADATA_VERSION;

impl MetadataImage {
    /// Records that build this image out of an empty one, `metadata.version` first, as Kafka's snapshots begin.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        let feature = |name: &str, level: i16| MetadataRecord::FeatureLevel {
            name: name.to_owned(),
            feature_level: level,
        };
        if let Some(level) = self.features.get(METADATA_VERSION) {
            records.push(feature(METADATA_VERSION, *level));
        }
        for (name, level) in self.features.iter().filter(|(name, _)| *name != METADATA_VERSION) {
            records.push(feature(name, *level));
        }
        records.extend(self.brokers.values().map(BrokerImage::to_record));
        records.extend(self.controllers.values().map(ControllerImage::to_record));
        for topic in self.topics.values() {
            topic.push_records(&mut records);
        }
        for (resource, values) in &self.configs {
            for (name, value) in values {
                records.push(MetadataRecord::Config {
                    resource_type: resource.kind as i8,
                    resource_name: resource.name.clone(),
                    name: name.clone(),
                    value: Some(value.clone()),
                });
            }
        }
        if self.next_producer_id > 0 {
            records.push(MetadataRecord::ProducerIds {
                broker_id: -1,
                broker_epoch: -1,
                next_producer_id: self.next_producer_id,
            });
        }
        records
    }

    /// The image that a snapshot's records build.
    pub fn from_records<'a>(
        records: impl IntoIterator<Item = &'a MetadataRecord>,
        offset: i64,
        epoch: i32,
    ) -> Result<MetadataImage, String> {
        let mut image = MetadataImage { offset, epoch, ..MetadataImage::empty() };
        let mut changes = super::Changes::default();
        for record in records {
            image.apply(record, &mut changes)?;
        }
        Ok(image)
    }
}

impl BrokerImage {
    pub fn to_record(&self) -> MetadataRecord {
        MetadataRecord::RegisterBroker(RegisterBrokerRecord {
            broker_id: self.id,
            is_migrating_zk_broker: false,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            endpoints: endpoints(&self.endpoints),
            features: features(&self.features),
            rack: self.rack.clone(),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            log_dirs: self.log_dirs.clone(),
        })
    }
}

impl ControllerImage {
    pub fn to_record(&self) -> MetadataRecord {
        MetadataRecord::RegisterController(RegisterControllerRecord {
            controller_id: self.id,
            incarnation_id: self.incarnation_id,
            zk_migration_ready: false,
            endpoints: endpoints(&self.endpoints),
            features: features(&self.features),
        })
    }
}

impl TopicImage {
    fn push_records(&self, records: &mut Vec<MetadataRecord>) {
        records.push(MetadataRecord::Topic { name: self.name.clone(), topic_id: self.id });
        for (index, partition) in &self.partitions {
            records.push(MetadataRecord::Partition(partition.to_record(self.id, *index)));
        }
    }
}

impl PartitionImage {
    pub fn to_record(&self, topic_id: uuid::Uuid, partition_id: i32) -> PartitionRecord {
        PartitionRecord {
            partition_id,
            topic_id,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            removing_replicas: self.removing.clone(),
            adding_replicas: self.adding.clone(),
            leader: self.leader,
            leader_recovery_state: self.leader_recovery_state as i8,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories: self.directories.clone(),
            eligible_leader_replicas: self.elr.clone(),
            last_known_elr: self.last_known_elr.clone(),
        }
    }
}

fn endpoints(endpoints: &[ListenerEndpoint]) -> Vec<RegisteredEndpoint> {
    let endpoint = |endpoint: &ListenerEndpoint| RegisteredEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    };
    endpoints.iter().map(endpoint).collect()
}

fn features(features: &SupportedFeatures) -> Vec<SupportedFeature> {
    features
        .iter()
        .map(|(name, (min, max))| SupportedFeature {
            name: name.clone(),
            min_supported_version: *min,
            max_supported_version: *max,
        })
        .collect()
}
