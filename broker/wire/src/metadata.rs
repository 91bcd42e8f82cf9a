//! The records of the metadata log: the cluster's whole configuration, as Kafka writes it.
//!
//! Promises: what we write, Kafka's tools read, and what Kafka's controllers write we read or keep. A record of a type
//! (or of a version) that we do not know stays [`MetadataRecord::Unknown`] with its bytes, and is written again unchanged.
//!
//! Frame: frame version 1, API key and version as unsigned variable-length integers, then the fields. Every record is
//! written in the one version that the pinned metadata.version asks for, [`MetadataRecord::version`].

mod broker;
mod topic;

#[cfg(test)]
mod tests;

pub use broker::{
    BrokerRegistrationChangeRecord, FenceState, RegisterBrokerRecord, RegisterControllerRecord,
    RegisteredEndpoint, SupportedFeature,
};
pub use topic::{PartitionChangeRecord, PartitionRecord};

use crate::codec::{Malformed, Put, Reader};
use bytes::Bytes;
use uuid::Uuid;

const FRAME_VERSION: u32 = 1;

/// Records' API keys, by Kafka's names.
pub mod key {
    pub const REGISTER_BROKER: u32 = 0;
    pub const UNREGISTER_BROKER: u32 = 1;
    pub const TOPIC: u32 = 2;
    pub const PARTITION: u32 = 3;
    pub const CONFIG: u32 = 4;
    pub const PARTITION_CHANGE: u32 = 5;
    pub const FENCE_BROKER: u32 = 7;
    pub const UNFENCE_BROKER: u32 = 8;
    pub const REMOVE_TOPIC: u32 = 9;
    pub const FEATURE_LEVEL: u32 = 12;
    pub const PRODUCER_IDS: u32 = 15;
    pub const BROKER_REGISTRATION_CHANGE: u32 = 17;
    pub const NO_OP: u32 = 20;
    pub const REGISTER_CONTROLLER: u32 = 27;
}

/// What a `ConfigRecord` is about, by Kafka's `ConfigResource.Type`.
pub mod resource {
    pub const TOPIC: i8 = 2;
    pub const BROKER: i8 = 4;
}

/// One change to the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataRecord {
    RegisterBroker(RegisterBrokerRecord),
    UnregisterBroker {
        broker_id: i32,
        broker_epoch: i64,
    },
    Topic {
        name: String,
        topic_id: Uuid,
    },
    Partition(PartitionRecord),
    /// A value of `None` deletes the setting.
    Config {
        resource_type: i8,
        resource_name: String,
        name: String,
        value: Option<String>,
    },
    PartitionChange(PartitionChangeRecord),
    FenceBroker {
        broker_id: i32,
        broker_epoch: i64,
    },
    UnfenceBroker {
        broker_id: i32,
        broker_epoch: i64,
    },
    /// Its partitions go with it.
    RemoveTopic {
        topic_id: Uuid,
    },
    /// Level 0 ends the use of the feature.
    FeatureLevel {
        name: String,
        feature_level: i16,
    },
    /// `next_producer_id` is the first of the next block to be given out.
    ProducerIds {
        broker_id: i32,
        broker_epoch: i64,
        next_producer_id: i64,
    },
    BrokerRegistrationChange(BrokerRegistrationChangeRecord),
    NoOp,
    RegisterController(RegisterControllerRecord),
    /// The fields as they were.
    Unknown {
        api_key: u32,
        version: u32,
        bytes: Bytes,
    },
}

impl MetadataRecord {
    pub fn api_key(&self) -> u32 {
        match self {
            MetadataRecord::RegisterBroker(_) => key::REGISTER_BROKER,
            MetadataRecord::UnregisterBroker { .. } => key::UNREGISTER_BROKER,
            MetadataRecord::Topic { .. } => key::TOPIC,
            MetadataRecord::Partition(_) => key::PARTITION,
            MetadataRecord::Config { .. } => key::CONFIG,
            MetadataRecord::PartitionChange(_) => key::PARTITION_CHANGE,
            MetadataRecord::FenceBroker { .. } => key::FENCE_BROKER,
            MetadataRecord::UnfenceBroker { .. } => key::UNFENCE_BROKER,
            MetadataRecord::RemoveTopic { .. } => key::REMOVE_TOPIC,
            MetadataRecord::FeatureLevel { .. } => key::FEATURE_LEVEL,
            MetadataRecord::ProducerIds { .. } => key::PRODUCER_IDS,
            MetadataRecord::BrokerRegistrationChange(_) => key::BROKER_REGISTRATION_CHANGE,
            MetadataRecord::NoOp => key::NO_OP,
            MetadataRecord::RegisterController(_) => key::REGISTER_CONTROLLER,
            MetadataRecord::Unknown { api_key, .. } => *api_key,
        }
    }

    /// The version that it is written in.
    pub fn version(&self) -> u32 {
        match self {
            MetadataRecord::RegisterBroker(_) => 3,
            MetadataRecord::Partition(_)
            | MetadataRecord::PartitionChange(_)
            | MetadataRecord::BrokerRegistrationChange(_) => 2,
            MetadataRecord::Unknown { version, .. } => *version,
            _ => 0,
        }
    }

    /// A record's value in the metadata log.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        out.put_uvarint(FRAME_VERSION);
        out.put_uvarint(self.api_key());
        out.put_uvarint(self.version());
        match self {
            MetadataRecord::RegisterBroker(record) => record.put(&mut out),
            MetadataRecord::Partition(record) => record.put(&mut out),
            MetadataRecord::PartitionChange(record) => record.put(&mut out),
            MetadataRecord::BrokerRegistrationChange(record) => record.put(&mut out),
            MetadataRecord::RegisterController(record) => record.put(&mut out),
            MetadataRecord::Unknown { bytes, .. } => out.put_raw(bytes),
            small => {
                small.put_small(&mut out);
                out.put_tagged_fields(&[]);
            }
        }
        Bytes::from(out)
    }

    /// The fields of the records that have only a few.
    fn put_small(&self, out: &mut Vec<u8>) {
        match self {
            MetadataRecord::UnregisterBroker { broker_id, broker_epoch }
            | MetadataRecord::FenceBroker { broker_id, broker_epoch }
            | MetadataRecord::UnfenceBroker { broker_id, broker_epoch } => {
                out.put_i32(*broker_id);
                out.put_i64(*broker_epoch);
            }
            MetadataRecord::Topic { name, topic_id } => {
                out.put_string(true, name);
                out.put_uuid(*topic_id);
            }
            MetadataRecord::Config { resource_type, resource_name, name, value } => {
                out.put_i8(*resource_type);
                out.put_string(true, resource_name);
                out.put_string(true, name);
                out.put_nullable_string(true, value.as_deref());
            }
            MetadataRecord::RemoveTopic { topic_id } => out.put_uuid(*topic_id),
            MetadataRecord::FeatureLevel { name, feature_level } => {
                out.put_string(true, name);
                out.put_i16(*feature_level);
            }
            MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id } => {
                out.put_i32(*broker_id);
                out.put_i64(*broker_epoch);
                out.put_i64(*next_producer_id);
            }
            MetadataRecord::NoOp => {}
            _ => unreachable!("it has a codec of its own"),
        }
    }

    /// Reads a record's value. Bytes after the record are an error.
    pub fn decode(value: &[u8]) -> Result<MetadataRecord, Malformed> {
        let mut reader = Reader::new(value);
        if reader.uvarint()? != FRAME_VERSION {
            return Err(Malformed("the metadata record's frame version is not 1"));
        }
        let api_key = reader.uvarint()?;
        let version = reader.uvarint()?;
        if version > newest_version(api_key) || !is_known(api_key) {
            let bytes = Bytes::copy_from_slice(reader.rest());
            return Ok(MetadataRecord::Unknown { api_key, version, bytes });
        }
        let record = read_fields(&mut reader, api_key, version)?;
        if reader.remaining() == 0 {
            return Ok(record);
        }
        Err(Malformed("there are bytes after the metadata record"))
    }
}

fn is_known(api_key: u32) -> bool {
    matches!(api_key, 0..=5 | 7..=9 | 12 | 15 | 17 | 20 | 27)
}

fn newest_version(api_key: u32) -> u32 {
    match api_key {
        key::REGISTER_BROKER => 4,
        key::BROKER_REGISTRATION_CHANGE => 3,
        key::PARTITION | key::PARTITION_CHANGE => 2,
        _ => 0,
    }
}

fn read_fields(
    reader: &mut Reader<'_>,
    api_key: u32,
    version: u32,
) -> Result<MetadataRecord, Malformed> {
    let record = match api_key {
        key::REGISTER_BROKER => {
            return RegisterBrokerRecord::read(reader, version).map(MetadataRecord::RegisterBroker);
        }
        key::PARTITION => {
            return PartitionRecord::read(reader, version).map(MetadataRecord::Partition);
        }
        key::PARTITION_CHANGE => {
            return PartitionChangeRecord::read(reader).map(MetadataRecord::PartitionChange);
        }
        key::BROKER_REGISTRATION_CHANGE => {
            return BrokerRegistrationChangeRecord::read(reader)
                .map(MetadataRecord::BrokerRegistrationChange);
        }
        key::REGISTER_CONTROLLER => {
            return RegisterControllerRecord::read(reader).map(MetadataRecord::RegisterController);
        }
        key::UNREGISTER_BROKER => MetadataRecord::UnregisterBroker {
            broker_id: reader.i32()?,
            broker_epoch: reader.i64()?,
        },
        key::TOPIC => {
            MetadataRecord::Topic { name: reader.string(true)?, topic_id: reader.uuid()? }
        }
        key::CONFIG => MetadataRecord::Config {
            resource_type: reader.i8()?,
            resource_name: reader.string(true)?,
            name: reader.string(true)?,
            value: reader.nullable_string(true)?,
        },
        key::FENCE_BROKER => {
            MetadataRecord::FenceBroker { broker_id: reader.i32()?, broker_epoch: reader.i64()? }
        }
        key::UNFENCE_BROKER => {
            MetadataRecord::UnfenceBroker { broker_id: reader.i32()?, broker_epoch: reader.i64()? }
        }
        key::REMOVE_TOPIC => MetadataRecord::RemoveTopic { topic_id: reader.uuid()? },
        key::FEATURE_LEVEL => MetadataRecord::FeatureLevel {
            name: reader.string(true)?,
            feature_level: reader.i16()?,
        },
        key::PRODUCER_IDS => MetadataRecord::ProducerIds {
            broker_id: reader.i32()?,
            broker_epoch: reader.i64()?,
            next_producer_id: reader.i64()?,
        },
        key::NO_OP => MetadataRecord::NoOp,
        _ => unreachable!("only known keys come here"),
    };
    reader.skip_tagged_fields()?;
    Ok(record)
}
