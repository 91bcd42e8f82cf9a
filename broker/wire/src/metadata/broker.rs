//! Brokers and controllers: who is there, where, and whether it may lead.

use super::topic::{field, put_uuids, read_uuids};
use crate::codec::{Malformed, Put, Reader};
use uuid::Uuid;

/// Where a broker or controller listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegisteredEndpoint {
    /// The listener's name.
    pub name: String,
    pub host: String,
    pub port: u16,
    /// 0 is PLAINTEXT.
    pub security_protocol: i16,
}

/// The levels of a feature that a process understands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SupportedFeature {
    pub name: String,
    pub min_supported_version: i16,
    pub max_supported_version: i16,
}

/// A broker's registration; its epoch fences every earlier life of the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBrokerRecord {
    pub broker_id: i32,
    pub is_migrating_zk_broker: bool,
    pub incarnation_id: Uuid,
    pub broker_epoch: i64,
    pub endpoints: Vec<RegisteredEndpoint>,
    pub features: Vec<SupportedFeature>,
    pub rack: Option<String>,
    pub fenced: bool,
    pub in_controlled_shutdown: bool,
    pub log_dirs: Vec<Uuid>,
}

impl RegisterBrokerRecord {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_i32(self.broker_id);
        out.put_bool(self.is_migrating_zk_broker);
        out.put_uuid(self.incarnation_id);
        out.put_i64(self.broker_epoch);
        put_endpoints(out, &self.endpoints);
        put_features(out, &self.features);
        out.put_nullable_string(true, self.rack.as_deref());
        out.put_bool(self.fenced);
        out.put_bool(self.in_controlled_shutdown);
        let mut tagged = Vec::new();
        if !self.log_dirs.is_empty() {
            tagged.push((0, field(|out| put_uuids(out, &self.log_dirs))));
        }
        out.put_tagged_fields(&tagged);
    }

    pub(super) fn read(
        reader: &mut Reader<'_>,
        version: u32,
    ) -> Result<RegisterBrokerRecord, Malformed> {
        let broker_id = reader.i32()?;
        let is_migrating_zk_broker = if version >= 2 { reader.bool()? } else { false };
        let mut record = RegisterBrokerRecord {
            broker_id,
            is_migrating_zk_broker,
            incarnation_id: reader.uuid()?,
            broker_epoch: reader.i64()?,
            endpoints: read_endpoints(reader)?,
            features: read_features(reader)?,
            rack: reader.nullable_string(true)?,
            fenced: reader.bool()?,
            in_controlled_shutdown: if version >= 1 { reader.bool()? } else { false },
            log_dirs: Vec::new(),
        };
        reader.tagged_fields(|tag, field| {
            if tag == 0 {
                record.log_dirs = read_uuids(field)?;
            }
            Ok(())
        })?;
        Ok(record)
    }
}

/// What became of a broker's right to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FenceState {
    Unfenced,
    #[default]
    Unchanged,
    Fenced,
}

/// A change to a registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerRegistrationChangeRecord {
    pub broker_id: i32,
    pub broker_epoch: i64,
    pub fenced: FenceState,
    /// False: as it was. A broker leaves controlled shutdown only by registering again.
    pub in_controlled_shutdown: bool,
    /// Empty: as they were.
    pub log_dirs: Vec<Uuid>,
}

impl BrokerRegistrationChangeRecord {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_i32(self.broker_id);
        out.put_i64(self.broker_epoch);
        let mut tagged = Vec::new();
        match self.fenced {
            FenceState::Unchanged => {}
            FenceState::Fenced => tagged.push((0, vec![1])),
            FenceState::Unfenced => tagged.push((0, vec![0xff])),
        }
        if self.in_controlled_shutdown {
            tagged.push((1, vec![1]));
        }
        if !self.log_dirs.is_empty() {
            tagged.push((2, field(|out| put_uuids(out, &self.log_dirs))));
        }
        out.put_tagged_fields(&tagged);
    }

    pub(super) fn read(
        reader: &mut Reader<'_>,
    ) -> Result<BrokerRegistrationChangeRecord, Malformed> {
        let mut record = BrokerRegistrationChangeRecord {
            broker_id: reader.i32()?,
            broker_epoch: reader.i64()?,
            ..BrokerRegistrationChangeRecord::default()
        };
        reader.tagged_fields(|tag, field| {
            match tag {
                0 => {
                    record.fenced = match field.i8()? {
                        -1 => FenceState::Unfenced,
                        0 => FenceState::Unchanged,
                        1 => FenceState::Fenced,
                        _ => return Err(Malformed("a fencing change is neither -1, 0 nor 1")),
                    }
                }
                1 => record.in_controlled_shutdown = field.i8()? == 1,
                2 => record.log_dirs = read_uuids(field)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(record)
    }
}

/// A controller's registration: its listeners and features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterControllerRecord {
    pub controller_id: i32,
    pub incarnation_id: Uuid,
    pub zk_migration_ready: bool,
    pub endpoints: Vec<RegisteredEndpoint>,
    pub features: Vec<SupportedFeature>,
}

impl RegisterControllerRecord {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_i32(self.controller_id);
        out.put_uuid(self.incarnation_id);
        out.put_bool(self.zk_migration_ready);
        put_endpoints(out, &self.endpoints);
        put_features(out, &self.features);
        out.put_tagged_fields(&[]);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<RegisterControllerRecord, Malformed> {
        let record = RegisterControllerRecord {
            controller_id: reader.i32()?,
            incarnation_id: reader.uuid()?,
            zk_migration_ready: reader.bool()?,
            endpoints: read_endpoints(reader)?,
            features: read_features(reader)?,
        };
        reader.skip_tagged_fields()?;
        Ok(record)
    }
}

fn put_endpoints(out: &mut Vec<u8>, endpoints: &[RegisteredEndpoint]) {
    out.put_array(true, endpoints, |out, endpoint| {
        out.put_string(true, &endpoint.name);
        out.put_string(true, &endpoint.host);
        out.put_u16(endpoint.port);
        out.put_i16(endpoint.security_protocol);
        out.put_tagged_fields(&[]);
    });
}

fn read_endpoints(reader: &mut Reader<'_>) -> Result<Vec<RegisteredEndpoint>, Malformed> {
    reader.array_of(true, |reader| {
        let endpoint = RegisteredEndpoint {
            name: reader.string(true)?,
            host: reader.string(true)?,
            port: reader.u16()?,
            security_protocol: reader.i16()?,
        };
        reader.skip_tagged_fields()?;
        Ok(endpoint)
    })
}

fn put_features(out: &mut Vec<u8>, features: &[SupportedFeature]) {
    out.put_array(true, features, |out, feature| {
        out.put_string(true, &feature.name);
        out.put_i16(feature.min_supported_version);
        out.put_i16(feature.max_supported_version);
        out.put_tagged_fields(&[]);
    });
}

fn read_features(reader: &mut Reader<'_>) -> Result<Vec<SupportedFeature>, Malformed> {
    reader.array_of(true, |reader| {
        let feature = SupportedFeature {
            name: reader.string(true)?,
            min_supported_version: reader.i16()?,
            max_supported_version: reader.i16()?,
        };
        reader.skip_tagged_fields()?;
        Ok(feature)
    })
}
