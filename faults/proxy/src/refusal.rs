//! Answers that no broker gave: an error for everything that a request asks.
//!
//! Promises: a refusal is a response of the request's version, with the error wherever the response has room for one. A
//! request that can't be read is not refused: it goes to the broker as it is.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable};

const REFUSABLE: [ApiKey; 10] = [
    ApiKey::Produce,
    ApiKey::ListOffsets,
    ApiKey::OffsetCommit,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::Heartbeat,
    ApiKey::InitProducerId,
    ApiKey::AddPartitionsToTxn,
    ApiKey::EndTxn,
];

/// Which APIs can be answered with an error, by their keys.
pub fn refusable() -> impl Iterator<Item = i16> {
    REFUSABLE.into_iter().map(|key| key as i16)
}

/// A response, length and all, to a request without its length.
pub(crate) fn refuse(mut request: Bytes, error: i16) -> Result<Vec<u8>> {
    ensure!(request.len() >= 8, "a request of {} bytes", request.len());
    let api = i16::from_be_bytes([request[0], request[1]]);
    let key = ApiKey::try_from(api).ok().context("of an API that nobody knows")?;
    let version = i16::from_be_bytes([request[2], request[3]]);
    let versions = key.valid_versions();
    ensure!((versions.min..=versions.max).contains(&version), "{key:?} in version {version}");
    let head = RequestHeader::decode(&mut request, key.request_header_version(version))?;
    let mut out = BytesMut::zeroed(4);
    ResponseHeader::default()
        .with_correlation_id(head.correlation_id)
        .encode(&mut out, key.response_header_version(version))?;
    body(key, version, &mut request, error, &mut out)?;
    ensure!(!request.has_remaining(), "{key:?} with bytes behind its end");
    let length = u32::try_from(out.len() - 4)?;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out.to_vec())
}

fn body(
    key: ApiKey,
    version: i16,
    request: &mut Bytes,
    error: i16,
    out: &mut BytesMut,
) -> Result<()> {
    match key {
        ApiKey::Produce => produce(request, version, error)?.encode(out, version),
        ApiKey::ListOffsets => list_offsets(request, version, error)?.encode(out, version),
        ApiKey::OffsetCommit => offset_commit(request, version, error)?.encode(out, version),
        ApiKey::FindCoordinator => find_coordinator(request, version, error)?.encode(out, version),
        ApiKey::AddPartitionsToTxn => add_partitions(request, version, error)?.encode(out, version),
        ApiKey::JoinGroup => {
            let asked = JoinGroupRequest::decode(request, version)?;
            let response = JoinGroupResponse::default().with_error_code(error);
            response.with_member_id(asked.member_id).encode(out, version)
        }
        ApiKey::SyncGroup => {
            SyncGroupRequest::decode(request, version)?;
            SyncGroupResponse::default().with_error_code(error).encode(out, version)
        }
        ApiKey::Heartbeat => {
            HeartbeatRequest::decode(request, version)?;
            HeartbeatResponse::default().with_error_code(error).encode(out, version)
        }
        ApiKey::InitProducerId => {
            InitProducerIdRequest::decode(request, version)?;
            let response = InitProducerIdResponse::default().with_error_code(error);
            response.with_producer_id((-1).into()).with_producer_epoch(-1).encode(out, version)
        }
        ApiKey::EndTxn => {
            EndTxnRequest::decode(request, version)?;
            EndTxnResponse::default().with_error_code(error).encode(out, version)
        }
        other => bail!("{other:?} is never refused"),
    }
}

fn produce(request: &mut Bytes, version: i16, error: i16) -> Result<ProduceResponse> {
    let asked = ProduceRequest::decode(request, version)?;
    let topics = asked.topic_data.into_iter().map(|topic| {
        let partitions = topic.partition_data.iter().map(|partition| {
            PartitionProduceResponse::default()
                .with_index(partition.index)
                .with_error_code(error)
                .with_base_offset(-1)
        });
        TopicProduceResponse::default()
            .with_partition_responses(partitions.collect())
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
    });
    Ok(ProduceResponse::default().with_responses(topics.collect()))
}

fn list_offsets(request: &mut Bytes, version: i16, error: i16) -> Result<ListOffsetsResponse> {
    let asked = ListOffsetsRequest::decode(request, version)?;
    let topics = asked.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            ListOffsetsPartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error)
        });
        ListOffsetsTopicResponse::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    });
    Ok(ListOffsetsResponse::default().with_topics(topics.collect()))
}

fn offset_commit(request: &mut Bytes, version: i16, error: i16) -> Result<OffsetCommitResponse> {
    let asked = OffsetCommitRequest::decode(request, version)?;
    let topics = asked.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error)
        });
        OffsetCommitResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
    });
    Ok(OffsetCommitResponse::default().with_topics(topics.collect()))
}

fn find_coordinator(
    request: &mut Bytes,
    version: i16,
    error: i16,
) -> Result<FindCoordinatorResponse> {
    let asked = FindCoordinatorRequest::decode(request, version)?;
    let response = FindCoordinatorResponse::default();
    if version < 4 {
        let nobody = response.with_node_id((-1).into()).with_port(-1);
        return Ok(nobody.with_error_code(error));
    }
    let nobody = |key| {
        let nobody = Coordinator::default().with_node_id((-1).into()).with_port(-1);
        nobody.with_key(key).with_error_code(error)
    };
    Ok(response.with_coordinators(asked.coordinator_keys.into_iter().map(nobody).collect()))
}

fn add_partitions(
    request: &mut Bytes,
    version: i16,
    error: i16,
) -> Result<AddPartitionsToTxnResponse> {
    let asked = AddPartitionsToTxnRequest::decode(request, version)?;
    let topic = |name: &TopicName, partitions: &[i32]| {
        let results = partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(error)
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(name.clone())
            .with_results_by_partition(results.collect())
    };
    let response = AddPartitionsToTxnResponse::default();
    if version < 4 {
        let topics = asked.v3_and_below_topics.iter();
        let results = topics.map(|one| topic(&one.name, &one.partitions)).collect();
        return Ok(response.with_results_by_topic_v3_and_below(results));
    }
    let results = asked.transactions.into_iter().map(|transaction| {
        let topics = transaction.topics.iter().map(|one| topic(&one.name, &one.partitions));
        AddPartitionsToTxnResult::default()
            .with_topic_results(topics.collect())
            .with_transactional_id(transaction.transactional_id)
    });
    Ok(response.with_results_by_transaction(results.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::protocol::StrBytes;

    fn encoded(key: ApiKey, version: i16, body: &impl Encodable) -> Bytes {
        let mut out = BytesMut::new();
        RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(77)
            .with_client_id(Some(StrBytes::from_static_str("x")))
            .encode(&mut out, key.request_header_version(version))
            .unwrap();
        body.encode(&mut out, version).unwrap();
        out.freeze()
    }

    #[test]
    fn a_produce_of_every_version_is_refused_in_its_own_version() {
        for version in 3..=13 {
            let partition = |index| {
                let records = Some(Bytes::from_static(b"not looked at"));
                PartitionProduceData::default().with_index(index).with_records(records)
            };
            let mut topic =
                TopicProduceData::default().with_partition_data(vec![partition(0), partition(4)]);
            topic = match version {
                13 => topic.with_topic_id(uuid(9)),
                _ => topic.with_name(TopicName(StrBytes::from_static_str("t"))),
            };
            let body = ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic]);
            let answer = refuse(encoded(ApiKey::Produce, version, &body), 19).unwrap();
            let mut answer = Bytes::from(answer);
            assert_eq!(answer.get_u32() as usize, answer.remaining());
            let header = ApiKey::Produce.response_header_version(version);
            assert_eq!(ResponseHeader::decode(&mut answer, header).unwrap().correlation_id, 77);
            let answer = ProduceResponse::decode(&mut answer, version).unwrap();
            let partitions = &answer.responses[0].partition_responses;
            let told: Vec<_> = partitions.iter().map(|p| (p.index, p.error_code)).collect();
            assert_eq!(told, [(0, 19), (4, 19)]);
        }
    }

    fn uuid(n: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(n)
    }

    #[test]
    fn every_api_that_can_be_refused_is_in_every_version() {
        for key in REFUSABLE {
            let versions = key.valid_versions();
            for version in versions.min..=versions.max {
                // Of these the crate knows responses of a version more than requests.
                let is_odd = matches!(key, ApiKey::OffsetCommit | ApiKey::InitProducerId);
                if is_odd && version == versions.max {
                    continue;
                }
                let request = match key {
                    ApiKey::Produce => encoded(key, version, &ProduceRequest::default()),
                    ApiKey::ListOffsets => encoded(key, version, &ListOffsetsRequest::default()),
                    ApiKey::OffsetCommit => encoded(
                        key,
                        version,
                        &OffsetCommitRequest::default().with_retention_time_ms(-1),
                    ),
                    ApiKey::FindCoordinator => {
                        encoded(key, version, &FindCoordinatorRequest::default())
                    }
                    ApiKey::JoinGroup => encoded(key, version, &JoinGroupRequest::default()),
                    ApiKey::SyncGroup => encoded(key, version, &SyncGroupRequest::default()),
                    ApiKey::Heartbeat => encoded(key, version, &HeartbeatRequest::default()),
                    ApiKey::InitProducerId => {
                        encoded(key, version, &InitProducerIdRequest::default())
                    }
                    ApiKey::AddPartitionsToTxn => {
                        encoded(key, version, &AddPartitionsToTxnRequest::default())
                    }
                    ApiKey::EndTxn => encoded(key, version, &EndTxnRequest::default()),
                    other => panic!("no request of {other:?}"),
                };
                refuse(request, 7).unwrap_or_else(|e| panic!("{key:?} version {version}: {e}"));
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_refused() {
        let whole = encoded(ApiKey::Heartbeat, 4, &HeartbeatRequest::default());
        for length in 0..whole.len() {
            assert!(refuse(whole.slice(..length), 7).is_err(), "{length} bytes");
        }
        assert!(refuse(Bytes::from_static(&[0, 200, 0, 0, 0, 0, 0, 0]), 7).is_err());
    }
}
