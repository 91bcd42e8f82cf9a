//! Kafka's answers, built from what a member knows. Fields that a version lacks are left at their defaults.

use wire::error::ErrorCode;
use wire::messages::{
    BeginQuorumEpochResponse, BrokerId, DescribeQuorumResponse, EndQuorumEpochResponse,
    FetchResponse, FetchSnapshotResponse, VoteResponse, begin_quorum_epoch_response as begin,
    end_quorum_epoch_response as end, fetch_response as fetch,
    fetch_snapshot_response as fetch_snapshot, vote_response as vote,
};

use crate::Voter;
use crate::rpc::{self, Request, Response};
use crate::snapshot::SnapshotId;

pub(crate) fn known_leader(id: BrokerId) -> Option<i32> {
    (id.0 >= 0).then_some(id.0)
}

fn leader_id(leader: Option<i32>) -> BrokerId {
    BrokerId(leader.unwrap_or(-1))
}

/// An answer that says only that the whole request is refused.
pub(crate) fn refusal(request: &Request, error: ErrorCode) -> Response {
    let code = error as i16;
    match request {
        Request::Vote { .. } => vote_failed(error),
        Request::BeginQuorumEpoch { .. } => {
            Response::BeginQuorumEpoch(BeginQuorumEpochResponse::default().with_error_code(code))
        }
        Request::EndQuorumEpoch { .. } => {
            Response::EndQuorumEpoch(EndQuorumEpochResponse::default().with_error_code(code))
        }
        // Before version 7 there is no place for the error but the partition.
        Request::Fetch { version, body } if *version < 7 => {
            let responses = body.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter().map(|partition| {
                    fetch::PartitionData::default()
                        .with_partition_index(partition.partition)
                        .with_error_code(code)
                        .with_high_watermark(-1)
                        .with_records(Some(bytes::Bytes::new()))
                });
                fetch::FetchableTopicResponse::default()
                    .with_topic(topic.topic.clone())
                    .with_partitions(partitions.collect())
            });
            Response::Fetch(FetchResponse::default().with_responses(responses.collect()))
        }
        Request::Fetch { .. } => Response::Fetch(FetchResponse::default().with_error_code(code)),
        Request::FetchSnapshot { .. } => {
            Response::FetchSnapshot(FetchSnapshotResponse::default().with_error_code(code))
        }
        Request::DescribeQuorum { .. } => {
            Response::DescribeQuorum(DescribeQuorumResponse::default().with_error_code(code))
        }
    }
}

pub(crate) fn vote_failed(error: ErrorCode) -> Response {
    Response::Vote(VoteResponse::default().with_error_code(error as i16))
}

pub(crate) fn vote(
    version: i16,
    error: ErrorCode,
    epoch: i32,
    leader: Option<i32>,
    granted: bool,
    endpoint: Option<&Voter>,
) -> Response {
    let partition = vote::PartitionData::default()
        .with_partition_index(0)
        .with_error_code(error as i16)
        .with_leader_id(leader_id(leader))
        .with_leader_epoch(epoch)
        .with_vote_granted(granted);
    let topic = vote::TopicData::default()
        .with_topic_name(rpc::topic_name())
        .with_partitions(vec![partition]);
    let endpoints = endpoint.filter(|_| version >= 1).map(|voter| {
        vote::NodeEndpoint::default()
            .with_node_id(BrokerId(voter.id))
            .with_host(rpc::text(&voter.host))
            .with_port(voter.port)
    });
    Response::Vote(
        VoteResponse::default()
            .with_topics(vec![topic])
            .with_node_endpoints(endpoints.into_iter().collect()),
    )
}

pub(crate) fn begin(
    version: i16,
    error: ErrorCode,
    epoch: i32,
    leader: Option<i32>,
    endpoint: Option<&Voter>,
) -> Response {
    let partition = begin::PartitionData::default()
        .with_partition_index(0)
        .with_error_code(error as i16)
        .with_leader_id(leader_id(leader))
        .with_leader_epoch(epoch);
    let topic = begin::TopicData::default()
        .with_topic_name(rpc::topic_name())
        .with_partitions(vec![partition]);
    let endpoints = endpoint.filter(|_| version >= 1).map(|voter| {
        begin::NodeEndpoint::default()
            .with_node_id(BrokerId(voter.id))
            .with_host(rpc::text(&voter.host))
            .with_port(voter.port)
    });
    Response::BeginQuorumEpoch(
        BeginQuorumEpochResponse::default()
            .with_topics(vec![topic])
            .with_node_endpoints(endpoints.into_iter().collect()),
    )
}

pub(crate) fn end(
    version: i16,
    error: ErrorCode,
    epoch: i32,
    leader: Option<i32>,
    endpoint: Option<&Voter>,
) -> Response {
    let partition = end::PartitionData::default()
        .with_partition_index(0)
        .with_error_code(error as i16)
        .with_leader_id(leader_id(leader))
        .with_leader_epoch(epoch);
    let topic = end::TopicData::default()
        .with_topic_name(rpc::topic_name())
        .with_partitions(vec![partition]);
    let endpoints = endpoint.filter(|_| version >= 1).map(|voter| {
        end::NodeEndpoint::default()
            .with_node_id(BrokerId(voter.id))
            .with_host(rpc::text(&voter.host))
            .with_port(voter.port)
    });
    Response::EndQuorumEpoch(
        EndQuorumEpochResponse::default()
            .with_topics(vec![topic])
            .with_node_endpoints(endpoints.into_iter().collect()),
    )
}

/// The one partition of a fetch answer, with who leads filled in.
pub(crate) fn fetch_partition(
    error: ErrorCode,
    epoch: i32,
    leader: Option<i32>,
) -> fetch::PartitionData {
    let current = fetch::LeaderIdAndEpoch::default()
        .with_leader_id(leader_id(leader))
        .with_leader_epoch(epoch);
    fetch::PartitionData::default()
        .with_partition_index(0)
        .with_error_code(error as i16)
        .with_high_watermark(-1)
        .with_log_start_offset(-1)
        .with_current_leader(current)
        .with_records(Some(bytes::Bytes::new()))
}

pub(crate) fn fetch(
    version: i16,
    partition: fetch::PartitionData,
    endpoint: Option<&Voter>,
) -> Response {
    let mut topic = fetch::FetchableTopicResponse::default().with_partitions(vec![partition]);
    if version >= 13 {
        topic.topic_id = rpc::TOPIC_ID;
    } else {
        topic.topic = rpc::topic_name();
    }
    let endpoints = endpoint.filter(|_| version >= 16).map(|voter| {
        fetch::NodeEndpoint::default()
            .with_node_id(BrokerId(voter.id))
            .with_host(rpc::text(&voter.host))
            .with_port(i32::from(voter.port))
    });
    Response::Fetch(
        FetchResponse::default()
            .with_responses(vec![topic])
            .with_node_endpoints(endpoints.into_iter().collect()),
    )
}

/// The one partition of a snapshot fetch answer, with who leads filled in.
pub(crate) fn snapshot_partition(
    error: ErrorCode,
    epoch: i32,
    leader: Option<i32>,
    id: SnapshotId,
) -> fetch_snapshot::PartitionSnapshot {
    let current = fetch_snapshot::LeaderIdAndEpoch::default()
        .with_leader_id(leader_id(leader))
        .with_leader_epoch(epoch);
    let id =
        fetch_snapshot::SnapshotId::default().with_end_offset(id.end_offset).with_epoch(id.epoch);
    fetch_snapshot::PartitionSnapshot::default()
        .with_index(0)
        .with_error_code(error as i16)
        .with_snapshot_id(id)
        .with_current_leader(current)
}

pub(crate) fn fetch_snapshot(
    version: i16,
    partition: fetch_snapshot::PartitionSnapshot,
    endpoint: Option<&Voter>,
) -> Response {
    let topic = fetch_snapshot::TopicSnapshot::default()
        .with_name(rpc::topic_name())
        .with_partitions(vec![partition]);
    let endpoints = endpoint.filter(|_| version >= 1).map(|voter| {
        fetch_snapshot::NodeEndpoint::default()
            .with_node_id(BrokerId(voter.id))
            .with_host(rpc::text(&voter.host))
            .with_port(voter.port)
    });
    Response::FetchSnapshot(
        FetchSnapshotResponse::default()
            .with_topics(vec![topic])
            .with_node_endpoints(endpoints.into_iter().collect()),
    )
}
