//! Control records: what brokers, not clients, write into logs.
//!
//! Promises: keys and values are Kafka's, byte for byte. A type that we do not know is kept apart as `Unknown` and
//! skipped by whoever reads, as Kafka does.

use crate::batch::{BatchBuilder, Compression, Producer};
use crate::codec::{Malformed, Put, Reader};
use bytes::Bytes;
use uuid::Uuid;

const KEY_VERSION: i16 = 0;

/// One control record's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    Abort {
        coordinator_epoch: i32,
    },
    Commit {
        coordinator_epoch: i32,
    },
    LeaderChange(LeaderChangeMessage),
    SnapshotHeader {
        last_contained_log_timestamp_ms: i64,
    },
    SnapshotFooter,
    /// The quorum's own feature level: 0 has a fixed voter set, 1 has one in records.
    KRaftVersion {
        level: i16,
    },
    KRaftVoters {
        voters: Vec<Voter>,
    },
    Unknown {
        kind: i16,
    },
}

/// The first record of a leader's epoch in the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderChangeMessage {
    pub leader_id: i32,
    /// Ids only: the version that Kafka writes has no directory ids.
    pub voters: Vec<i32>,
    pub granting_voters: Vec<i32>,
}

/// One member of the quorum, by VotersRecord.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Voter {
    pub id: i32,
    pub directory_id: Uuid,
    pub endpoints: Vec<VoterEndpoint>,
    /// The range of kraft.version that it can follow.
    pub min_kraft_version: i16,
    pub max_kraft_version: i16,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VoterEndpoint {
    /// The listener's name, as in `CONTROLLER`.
    pub name: String,
    pub host: String,
    pub port: u16,
}

impl ControlRecord {
    pub fn kind(&self) -> i16 {
        match self {
            ControlRecord::Abort { .. } => 0,
            ControlRecord::Commit { .. } => 1,
            ControlRecord::LeaderChange(_) => 2,
            ControlRecord::SnapshotHeader { .. } => 3,
            ControlRecord::SnapshotFooter => 4,
            ControlRecord::KRaftVersion { .. } => 5,
            ControlRecord::KRaftVoters { .. } => 6,
            ControlRecord::Unknown { kind } => *kind,
        }
    }

    pub fn key(&self) -> Bytes {
        let mut key = Vec::with_capacity(4);
        key.put_i16(KEY_VERSION);
        key.put_i16(self.kind());
        Bytes::from(key)
    }

    pub fn value(&self) -> Bytes {
        let mut value = Vec::new();
        value.put_i16(0); // every kind's version
        match self {
            ControlRecord::Abort { coordinator_epoch }
            | ControlRecord::Commit { coordinator_epoch } => {
                value.put_i32(*coordinator_epoch);
                return Bytes::from(value); // the one kind that is not flexible
            }
            ControlRecord::LeaderChange(message) => {
                value.put_i32(message.leader_id);
                for voters in [&message.voters, &message.granting_voters] {
                    value.put_array(true, voters, |value, id| {
                        value.put_i32(*id);
                        value.put_tagged_fields(&[]);
                    });
                }
            }
            ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms } => {
                value.put_i64(*last_contained_log_timestamp_ms);
            }
            ControlRecord::SnapshotFooter | ControlRecord::Unknown { .. } => {}
            ControlRecord::KRaftVersion { level } => value.put_i16(*level),
            ControlRecord::KRaftVoters { voters } => value.put_array(true, voters, put_voter),
        }
        value.put_tagged_fields(&[]);
        Bytes::from(value)
    }

    pub fn decode(key: &[u8], value: &[u8]) -> Result<ControlRecord, Malformed> {
        let mut key = Reader::new(key);
        if key.i16()? < 0 {
            return Err(Malformed("the control record's key version is negative"));
        }
        let kind = key.i16()?;
        let mut value = Reader::new(value);
        if !(0..=6).contains(&kind) {
            return Ok(ControlRecord::Unknown { kind });
        }
        let version = value.i16()?;
        let record = match kind {
            0 => return Ok(ControlRecord::Abort { coordinator_epoch: value.i32()? }),
            1 => return Ok(ControlRecord::Commit { coordinator_epoch: value.i32()? }),
            2 => ControlRecord::LeaderChange(read_leader_change(&mut value, version)?),
            3 => ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms: value.i64()? },
            4 => ControlRecord::SnapshotFooter,
            5 => ControlRecord::KRaftVersion { level: value.i16()? },
            _ => ControlRecord::KRaftVoters { voters: value.array_of(true, read_voter)? },
        };
        value.skip_tagged_fields()?;
        Ok(record)
    }
}

fn read_leader_change(
    value: &mut Reader<'_>,
    version: i16,
) -> Result<LeaderChangeMessage, Malformed> {
    let leader_id = value.i32()?;
    let mut voter = |value: &mut Reader<'_>| {
        let id = value.i32()?;
        if version >= 1 {
            value.uuid()?;
        }
        value.skip_tagged_fields()?;
        Ok(id)
    };
    let voters = value.array_of(true, &mut voter)?;
    let granting_voters = value.array_of(true, &mut voter)?;
    Ok(LeaderChangeMessage { leader_id, voters, granting_voters })
}

fn put_voter(value: &mut Vec<u8>, voter: &Voter) {
    value.put_i32(voter.id);
    value.put_uuid(voter.directory_id);
    value.put_array(true, &voter.endpoints, |value, endpoint| {
        value.put_string(true, &endpoint.name);
        value.put_string(true, &endpoint.host);
        value.put_u16(endpoint.port);
        value.put_tagged_fields(&[]);
    });
    value.put_i16(voter.min_kraft_version);
    value.put_i16(voter.max_kraft_version);
    value.put_tagged_fields(&[]); // of the version range, a structure of its own
    value.put_tagged_fields(&[]);
}

fn read_voter(value: &mut Reader<'_>) -> Result<Voter, Malformed> {
    let id = value.i32()?;
    let directory_id = value.uuid()?;
    let endpoints = value.array_of(true, |value| {
        let endpoint = VoterEndpoint {
            name: value.string(true)?,
            host: value.string(true)?,
            port: value.u16()?,
        };
        value.skip_tagged_fields()?;
        Ok(endpoint)
    })?;
    let min_kraft_version = value.i16()?;
    let max_kraft_version = value.i16()?;
    value.skip_tagged_fields()?;
    value.skip_tagged_fields()?;
    Ok(Voter { id, directory_id, endpoints, min_kraft_version, max_kraft_version })
}

/// A batch of the quorum's control records. There must be at least one.
pub fn control_batch(
    records: &[ControlRecord],
    base_offset: i64,
    partition_leader_epoch: i32,
    timestamp_ms: i64,
) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None).control();
    for record in records {
        builder.append(timestamp_ms, Some(&record.key()), Some(&record.value()), &[]);
    }
    builder.build(base_offset, partition_leader_epoch)
}

/// The batch that ends a producer's transaction on a partition.
pub fn end_transaction_batch(
    marker: &ControlRecord,
    producer_id: i64,
    producer_epoch: i16,
    timestamp_ms: i64,
) -> Bytes {
    assert!(
        matches!(marker, ControlRecord::Abort { .. } | ControlRecord::Commit { .. }),
        "only a marker ends a transaction"
    );
    let producer = Producer { id: producer_id, epoch: producer_epoch, base_sequence: -1 };
    let mut builder =
        BatchBuilder::new(Compression::None).control().transactional().producer(producer);
    builder.append(timestamp_ms, Some(&marker.key()), Some(&marker.value()), &[]);
    builder.build(0, -1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use kafka_protocol::messages as theirs;
    use kafka_protocol::protocol::{Decodable, Encodable};

    fn examples() -> Vec<ControlRecord> {
        vec![
            ControlRecord::Abort { coordinator_epoch: 3 },
            ControlRecord::Commit { coordinator_epoch: 4 },
            ControlRecord::LeaderChange(LeaderChangeMessage {
                leader_id: 1,
                voters: vec![1, 2, 3],
                granting_voters: vec![1, 3],
            }),
            ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms: 1234 },
            ControlRecord::SnapshotFooter,
            ControlRecord::KRaftVersion { level: 1 },
            ControlRecord::KRaftVoters {
                voters: vec![Voter {
                    id: 1,
                    directory_id: Uuid::from_u128(7),
                    endpoints: vec![VoterEndpoint {
                        name: "CONTROLLER".to_owned(),
                        host: "localhost".to_owned(),
                        port: 9093,
                    }],
                    min_kraft_version: 0,
                    max_kraft_version: 1,
                }],
            },
        ]
    }

    #[test]
    fn they_come_back_out_of_a_batch() {
        let batch = Batch::new(control_batch(&examples(), 10, 2, 99)).unwrap();
        batch.view().check().unwrap();
        assert!(batch.view().is_control());
        let read: Vec<ControlRecord> = batch
            .records()
            .unwrap()
            .map(|record| {
                let record = record.unwrap();
                ControlRecord::decode(&record.key.unwrap(), &record.value.unwrap()).unwrap()
            })
            .collect();
        assert_eq!(read, examples());
    }

    /// Values agree, byte for byte, with a generated codec (whose message body is the value).
    #[test]
    fn values_are_those_of_the_protocol_crate() {
        fn same<T: Decodable + Encodable>(record: &ControlRecord) {
            let mut value = record.value();
            let decoded = T::decode(&mut value, 0).unwrap();
            assert!(value.is_empty());
            let mut again = bytes::BytesMut::new();
            decoded.encode(&mut again, 0).unwrap();
            assert_eq!(again.freeze(), record.value());
        }
        let examples = examples();
        same::<theirs::LeaderChangeMessage>(&examples[2]);
        same::<theirs::SnapshotHeaderRecord>(&examples[3]);
        same::<theirs::SnapshotFooterRecord>(&examples[4]);
        same::<theirs::KRaftVersionRecord>(&examples[5]);
        same::<theirs::VotersRecord>(&examples[6]);
    }

    #[test]
    fn cut_anywhere_is_an_error_not_a_panic() {
        for record in examples() {
            let value = record.value();
            for cut in 0..value.len() {
                assert!(ControlRecord::decode(&record.key(), &value[..cut]).is_err());
            }
            for cut in 0..4 {
                assert!(ControlRecord::decode(&record.key()[..cut], &value).is_err());
            }
        }
        assert_eq!(
            ControlRecord::decode(&[0, 0, 0, 9], &[]),
            Ok(ControlRecord::Unknown { kind: 9 })
        );
    }
}
