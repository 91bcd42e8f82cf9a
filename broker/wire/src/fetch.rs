//! The Fetch response as parts to be written one after the other.
//!
//! Promises: the bytes that kafka-protocol's encoder would write, for every version from 4 to 18, but records stay the
//! slices that they are in the log. Fields that a version does not have are left out.

use crate::codec::Put;
use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// The versions that [`FetchResponse::write`] knows.
pub const VERSIONS: std::ops::RangeInclusive<i16> = 4..=18;

/// From here on topics go by id.
pub const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 13;

const FIRST_FLEXIBLE_VERSION: i16 = 12;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    /// 0: there is no fetch session.
    pub session_id: i32,
    pub topics: Vec<FetchedTopic>,
    /// Where the leaders named in `current_leader` are (version 16).
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchedTopic {
    /// Up to version 12.
    pub topic: StrBytes,
    /// From version 13.
    pub topic_id: Uuid,
    pub partitions: Vec<FetchedPartition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    pub partition_index: i32,
    pub error_code: i16,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    /// The end of the largest epoch that both sides have: the follower has more and must cut it off.
    pub diverging_epoch: Option<EpochEndOffset>,
    pub current_leader: Option<LeaderIdAndEpoch>,
    /// The log begins later than what was asked for: fetch this snapshot.
    pub snapshot_id: Option<SnapshotId>,
    /// `None` where the reader did not ask for committed records only.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    pub preferred_read_replica: i32,
    /// Whole batches, in pieces.
    pub records: Vec<Bytes>,
}

impl FetchedPartition {
    /// An answer without records.
    pub fn error(partition_index: i32, error_code: impl Into<i16>) -> FetchedPartition {
        FetchedPartition {
            partition_index,
            error_code: error_code.into(),
            ..FetchedPartition::default()
        }
    }

    /// Bytes of records.
    pub fn records_bytes(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }
}

impl Default for FetchedPartition {
    fn default() -> FetchedPartition {
        FetchedPartition {
            partition_index: 0,
            error_code: 0,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: None,
            current_leader: None,
            snapshot_id: None,
            aborted_transactions: None,
            preferred_read_replica: -1,
            records: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEndOffset {
    pub epoch: i32,
    pub end_offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderIdAndEpoch {
    pub leader_id: i32,
    pub leader_epoch: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotId {
    pub end_offset: i64,
    pub epoch: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

impl FetchResponse {
    /// The body in the given version, which must be one of [`VERSIONS`]. The response's header goes before it (see
    /// [`crate::frame::encode_response_parts`]).
    pub fn write(self, version: i16) -> Vec<Bytes> {
        assert!(VERSIONS.contains(&version), "Fetch version {version} was refused before");
        let mut writer = Writer {
            version,
            flexible: version >= FIRST_FLEXIBLE_VERSION,
            parts: Vec::new(),
            current: BytesMut::with_capacity(128),
        };
        writer.response(self);
        writer.flush();
        writer.parts
    }
}

struct Writer {
    version: i16,
    flexible: bool,
    parts: Vec<Bytes>,
    current: BytesMut,
}

impl Writer {
    fn flush(&mut self) {
        if !self.current.is_empty() {
            self.parts.push(self.current.split().freeze());
        }
    }

    fn response(&mut self, response: FetchResponse) {
        self.current.put_i32(response.throttle_time_ms);
        if self.version >= 7 {
            self.current.put_i16(response.error_code);
            self.current.put_i32(response.session_id);
        }
        self.current.put_length(self.flexible, response.topics.len());
        for topic in response.topics {
            self.topic(topic);
        }
        if self.flexible {
            let mut tagged = Vec::new();
            if self.version >= 16 && !response.node_endpoints.is_empty() {
                tagged.push((0, node_endpoints(&response.node_endpoints)));
            }
            self.current.put_tagged_fields(&tagged);
        }
    }

    fn topic(&mut self, topic: FetchedTopic) {
        if self.version >= FIRST_VERSION_WITH_TOPIC_IDS {
            self.current.put_uuid(topic.topic_id);
        } else {
            self.current.put_string(self.flexible, &topic.topic);
        }
        self.current.put_length(self.flexible, topic.partitions.len());
        for partition in topic.partitions {
            self.partition(partition);
        }
        if self.flexible {
            self.current.put_tagged_fields(&[]);
        }
    }

    fn partition(&mut self, partition: FetchedPartition) {
        let out = &mut self.current;
        out.put_i32(partition.partition_index);
        out.put_i16(partition.error_code);
        out.put_i64(partition.high_watermark);
        out.put_i64(partition.last_stable_offset);
        if self.version >= 5 {
            out.put_i64(partition.log_start_offset);
        }
        let aborted = partition.aborted_transactions.as_deref();
        out.put_nullable_length(self.flexible, aborted.map(<[AbortedTransaction]>::len));
        for one in aborted.unwrap_or_default() {
            out.put_i64(one.producer_id);
            out.put_i64(one.first_offset);
            if self.flexible {
                out.put_tagged_fields(&[]);
            }
        }
        if self.version >= 11 {
            out.put_i32(partition.preferred_read_replica);
        }
        out.put_length(self.flexible, partition.records_bytes());
        if !partition.records.is_empty() {
            self.flush();
            self.parts.extend(partition.records.iter().filter(|part| !part.is_empty()).cloned());
        }
        if self.flexible {
            self.partition_tags(&partition);
        }
    }

    fn partition_tags(&mut self, partition: &FetchedPartition) {
        let mut tagged = Vec::new();
        let mut tag = |number: u32, first: &[u8], second: &[u8]| {
            let mut bytes = Vec::with_capacity(13);
            bytes.put_raw(first);
            bytes.put_raw(second);
            bytes.put_tagged_fields(&[]);
            tagged.push((number, bytes));
        };
        if let Some(end) = partition.diverging_epoch {
            tag(0, &end.epoch.to_be_bytes(), &end.end_offset.to_be_bytes());
        }
        if let Some(leader) = partition.current_leader {
            tag(1, &leader.leader_id.to_be_bytes(), &leader.leader_epoch.to_be_bytes());
        }
        if let Some(snapshot) = partition.snapshot_id {
            tag(2, &snapshot.end_offset.to_be_bytes(), &snapshot.epoch.to_be_bytes());
        }
        self.current.put_tagged_fields(&tagged);
    }
}

fn node_endpoints(endpoints: &[NodeEndpoint]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_array(true, endpoints, |out, endpoint| {
        out.put_i32(endpoint.node_id);
        out.put_string(true, &endpoint.host);
        out.put_i32(endpoint.port);
        out.put_nullable_string(true, endpoint.rack.as_deref());
        out.put_tagged_fields(&[]);
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::fetch_response as theirs;
    use kafka_protocol::messages::{BrokerId, ProducerId, TopicName};
    use kafka_protocol::protocol::Encodable;
    use proptest::prelude::*;

    fn partition() -> impl Strategy<Value = FetchedPartition> {
        let tags = (
            proptest::option::of((0..9i32, 0..99i64)),
            proptest::option::of((0..9i32, 0..9i32)),
            proptest::option::of((0..99i64, 0..9i32)),
            proptest::option::of(proptest::collection::vec((0..9i64, 0..99i64), 0..3)),
        );
        let records =
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..4);
        (any::<(i32, i16, i64, i64, i64, i32)>(), tags, records).prop_map(
            |(fixed, tags, records)| FetchedPartition {
                partition_index: fixed.0,
                error_code: fixed.1,
                high_watermark: fixed.2,
                last_stable_offset: fixed.3,
                log_start_offset: fixed.4,
                diverging_epoch: tags
                    .0
                    .map(|(epoch, end_offset)| EpochEndOffset { epoch, end_offset }),
                current_leader: tags
                    .1
                    .map(|(leader_id, leader_epoch)| LeaderIdAndEpoch { leader_id, leader_epoch }),
                snapshot_id: tags.2.map(|(end_offset, epoch)| SnapshotId { end_offset, epoch }),
                aborted_transactions: tags.3.map(|all| {
                    all.into_iter()
                        .map(|(producer_id, first_offset)| AbortedTransaction {
                            producer_id,
                            first_offset,
                        })
                        .collect()
                }),
                preferred_read_replica: fixed.5,
                records: records.into_iter().map(Bytes::from).collect(),
            },
        )
    }

    fn response() -> impl Strategy<Value = FetchResponse> {
        let topic = ("[a-z]{0,9}", any::<u128>(), proptest::collection::vec(partition(), 0..3));
        let topics = proptest::collection::vec(topic, 0..3);
        let endpoint = (0..9i32, "[a-z]{1,9}", 0..65536i32, proptest::option::of("[a-z]{0,3}"));
        let endpoints = proptest::collection::vec(endpoint, 0..3);
        (any::<(i32, i16, i32)>(), topics, endpoints).prop_map(|(fixed, topics, endpoints)| {
            FetchResponse {
                throttle_time_ms: fixed.0,
                error_code: fixed.1,
                session_id: fixed.2,
                topics: topics
                    .into_iter()
                    .map(|(topic, id, partitions)| FetchedTopic {
                        topic: StrBytes::from_string(topic),
                        topic_id: Uuid::from_u128(id),
                        partitions,
                    })
                    .collect(),
                node_endpoints: endpoints
                    .into_iter()
                    .map(|(node_id, host, port, rack)| NodeEndpoint { node_id, host, port, rack })
                    .collect(),
            }
        })
    }

    fn to_theirs(ours: &FetchResponse, version: i16) -> theirs::FetchResponse {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let partition = |one: &FetchedPartition| {
            let mut their = theirs::PartitionData::default()
                .with_partition_index(one.partition_index)
                .with_error_code(one.error_code)
                .with_high_watermark(one.high_watermark)
                .with_last_stable_offset(one.last_stable_offset)
                .with_log_start_offset(one.log_start_offset)
                .with_aborted_transactions(one.aborted_transactions.as_ref().map(|all| {
                    all.iter()
                        .map(|one| {
                            theirs::AbortedTransaction::default()
                                .with_producer_id(ProducerId(one.producer_id))
                                .with_first_offset(one.first_offset)
                        })
                        .collect()
                }))
                .with_records(Some(Bytes::from(one.records.concat())));
            if version >= 11 {
                their = their.with_preferred_read_replica(BrokerId(one.preferred_read_replica));
            }
            if let Some(end) = one.diverging_epoch {
                their = their.with_diverging_epoch(
                    theirs::EpochEndOffset::default()
                        .with_epoch(end.epoch)
                        .with_end_offset(end.end_offset),
                );
            }
            if let Some(leader) = one.current_leader {
                their = their.with_current_leader(
                    theirs::LeaderIdAndEpoch::default()
                        .with_leader_id(BrokerId(leader.leader_id))
                        .with_leader_epoch(leader.leader_epoch),
                );
            }
            if let Some(snapshot) = one.snapshot_id {
                their = their.with_snapshot_id(
                    theirs::SnapshotId::default()
                        .with_end_offset(snapshot.end_offset)
                        .with_epoch(snapshot.epoch),
                );
            }
            their
        };
        let topic = |one: &FetchedTopic| {
            theirs::FetchableTopicResponse::default()
                .with_topic(TopicName(one.topic.clone()))
                .with_topic_id(one.topic_id)
                .with_partitions(one.partitions.iter().map(partition).collect())
        };
        let endpoint = |one: &NodeEndpoint| {
            theirs::NodeEndpoint::default()
                .with_node_id(BrokerId(one.node_id))
                .with_host(text(&one.host))
                .with_port(one.port)
                .with_rack(one.rack.as_deref().map(text))
        };
        theirs::FetchResponse::default()
            .with_throttle_time_ms(ours.throttle_time_ms)
            .with_error_code(ours.error_code)
            .with_session_id(if version >= 7 { ours.session_id } else { 0 })
            .with_responses(ours.topics.iter().map(topic).collect())
            .with_node_endpoints(if version >= 16 {
                ours.node_endpoints.iter().map(endpoint).collect()
            } else {
                Vec::new()
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_bytes_are_those_of_the_generated_encoder(ours in response()) {
            for version in VERSIONS {
                let mut expected = BytesMut::new();
                to_theirs(&ours, version).encode(&mut expected, version).unwrap();
                prop_assert_eq!(ours.clone().write(version).concat(), expected.to_vec(), "version {}", version);
            }
        }
    }

    #[test]
    fn records_are_not_copied() {
        let records = Bytes::from(vec![7u8; 100]);
        let partition =
            FetchedPartition { records: vec![records.clone()], ..FetchedPartition::default() };
        let topic = FetchedTopic { partitions: vec![partition], ..FetchedTopic::default() };
        let response = FetchResponse { topics: vec![topic], ..FetchResponse::default() };
        let parts = response.write(18);
        assert!(parts.iter().any(|part| part.as_ptr() == records.as_ptr()));
    }
}
