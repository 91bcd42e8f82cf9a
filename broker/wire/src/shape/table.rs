//! Written by tools/shapes.py from Kafka's message schemas (Apache License 2.0). Not edited by hand.

use super::Kind::*;
use super::{END, Guarded, Shape};
use kafka_protocol::messages as m;

impl Guarded for m::ProduceRequest {
    const SHAPE: &'static Shape = &(9, &[(3, END, Str), (0, END, Fix(2)), (0, END, Fix(4)), (0, END, Arr(&Obj(&[(0,
        12, Str), (13, END, Fix(16)), (0, END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Byt)])))])))]);
}

impl Guarded for m::ProduceResponse {
    const SHAPE: &'static Shape = &(9, &[(0, END, Arr(&Obj(&[(0, 12, Str), (13, END, Fix(16)), (0, END, Arr(&Obj(&[(0,
        END, Fix(4)), (0, END, Fix(2)), (0, END, Fix(8)), (2, END, Fix(8)), (5, END, Fix(8)), (8, END, Arr(&Obj(&[(8,
        END, Fix(4)), (8, END, Str)]))), (8, END, Str), (10, END, Tag(0, 10, &Obj(&[(10, END, Fix(4)), (10, END,
        Fix(4))])))])))]))), (1, END, Fix(4)), (10, END, Tag(0, 10, &Arr(&Obj(&[(10, END, Fix(4)), (10, END, Str),
        (10, END, Fix(4)), (10, END, Str)]))))]);
}

impl Guarded for m::FetchRequest {
    const SHAPE: &'static Shape = &(12, &[(12, END, Tag(0, 12, &Str)), (0, 14, Fix(4)), (15, END, Tag(1, 15,
        &Obj(&[(15, END, Fix(4)), (15, END, Fix(8))]))), (0, END, Fix(4)), (0, END, Fix(4)), (3, END, Fix(4)), (4,
        END, Fix(1)), (7, END, Fix(4)), (7, END, Fix(4)), (0, END, Arr(&Obj(&[(0, 12, Str), (13, END, Fix(16)), (0,
        END, Arr(&Obj(&[(0, END, Fix(4)), (9, END, Fix(4)), (0, END, Fix(8)), (12, END, Fix(4)), (5, END, Fix(8)), (0,
        END, Fix(4)), (17, END, Tag(0, 17, &Fix(16))), (18, END, Tag(1, 18, &Fix(8)))])))]))), (7, END, Arr(&Obj(&[(7,
        12, Str), (13, END, Fix(16)), (7, END, Arr(&Fix(4)))]))), (11, END, Str)]);
}

impl Guarded for m::FetchResponse {
    const SHAPE: &'static Shape = &(12, &[(1, END, Fix(4)), (7, END, Fix(2)), (7, END, Fix(4)), (0, END,
        Arr(&Obj(&[(0, 12, Str), (13, END, Fix(16)), (0, END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Fix(2)), (0, END,
        Fix(8)), (4, END, Fix(8)), (5, END, Fix(8)), (12, END, Tag(0, 12, &Obj(&[(12, END, Fix(4)), (12, END,
        Fix(8))]))), (12, END, Tag(1, 12, &Obj(&[(12, END, Fix(4)), (12, END, Fix(4))]))), (12, END, Tag(2, 12,
        &Obj(&[(0, END, Fix(8)), (0, END, Fix(4))]))), (4, END, Arr(&Obj(&[(4, END, Fix(8)), (4, END, Fix(8))]))),
        (11, END, Fix(4)), (0, END, Byt)])))]))), (16, END, Tag(0, 16, &Arr(&Obj(&[(16, END, Fix(4)), (16, END, Str),
        (16, END, Fix(4)), (16, END, Str)]))))]);
}

impl Guarded for m::ListOffsetsRequest {
    const SHAPE: &'static Shape = &(6, &[(0, END, Fix(4)), (2, END, Fix(1)), (0, END, Arr(&Obj(&[(0, END, Str), (0,
        END, Arr(&Obj(&[(0, END, Fix(4)), (4, END, Fix(4)), (0, END, Fix(8))])))]))), (10, END, Fix(4))]);
}

impl Guarded for m::ListOffsetsResponse {
    const SHAPE: &'static Shape = &(6, &[(2, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0,
        END, Fix(4)), (0, END, Fix(2)), (1, END, Fix(8)), (1, END, Fix(8)), (4, END, Fix(4))])))])))]);
}

impl Guarded for m::MetadataRequest {
    const SHAPE: &'static Shape = &(9, &[(0, END, Arr(&Obj(&[(10, END, Fix(16)), (0, END, Str)]))), (4, END, Fix(1)),
        (8, 10, Fix(1)), (8, END, Fix(1))]);
}

impl Guarded for m::MetadataResponse {
    const SHAPE: &'static Shape = &(9, &[(3, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Str), (0,
        END, Fix(4)), (1, END, Str)]))), (2, END, Str), (1, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Fix(2)), (0,
        END, Str), (10, END, Fix(16)), (1, END, Fix(1)), (0, END, Arr(&Obj(&[(0, END, Fix(2)), (0, END, Fix(4)), (0,
        END, Fix(4)), (7, END, Fix(4)), (0, END, Arr(&Fix(4))), (0, END, Arr(&Fix(4))), (5, END, Arr(&Fix(4)))]))),
        (8, END, Fix(4))]))), (8, 10, Fix(4)), (13, END, Fix(2))]);
}

impl Guarded for m::OffsetCommitRequest {
    const SHAPE: &'static Shape = &(8, &[(0, END, Str), (1, END, Fix(4)), (1, END, Str), (7, END, Str), (2, 4,
        Fix(8)), (0, END, Arr(&Obj(&[(0, 9, Str), (10, END, Fix(16)), (0, END, Arr(&Obj(&[(0, END, Fix(4)), (0, END,
        Fix(8)), (6, END, Fix(4)), (0, END, Str)])))])))]);
}

impl Guarded for m::OffsetCommitResponse {
    const SHAPE: &'static Shape = &(8, &[(3, END, Fix(4)), (0, END, Arr(&Obj(&[(0, 9, Str), (10, END, Fix(16)), (0,
        END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Fix(2))])))])))]);
}

impl Guarded for m::OffsetFetchRequest {
    const SHAPE: &'static Shape = &(6, &[(0, 7, Str), (0, 7, Arr(&Obj(&[(0, 7, Str), (0, 7, Arr(&Fix(4)))]))), (8,
        END, Arr(&Obj(&[(8, END, Str), (9, END, Str), (9, END, Fix(4)), (8, END, Arr(&Obj(&[(8, 9, Str), (10, END,
        Fix(16)), (8, END, Arr(&Fix(4)))])))]))), (7, END, Fix(1))]);
}

impl Guarded for m::OffsetFetchResponse {
    const SHAPE: &'static Shape = &(6, &[(3, END, Fix(4)), (0, 7, Arr(&Obj(&[(0, 7, Str), (0, 7, Arr(&Obj(&[(0, 7,
        Fix(4)), (0, 7, Fix(8)), (5, 7, Fix(4)), (0, 7, Str), (0, 7, Fix(2))])))]))), (2, 7, Fix(2)), (8, END,
        Arr(&Obj(&[(8, END, Str), (8, END, Arr(&Obj(&[(8, 9, Str), (10, END, Fix(16)), (8, END, Arr(&Obj(&[(8, END,
        Fix(4)), (8, END, Fix(8)), (8, END, Fix(4)), (8, END, Str), (8, END, Fix(2))])))]))), (8, END, Fix(2))])))]);
}

impl Guarded for m::FindCoordinatorRequest {
    const SHAPE: &'static Shape = &(3, &[(0, 3, Str), (1, END, Fix(1)), (4, END, Arr(&Str))]);
}

impl Guarded for m::FindCoordinatorResponse {
    const SHAPE: &'static Shape = &(3, &[(1, END, Fix(4)), (0, 3, Fix(2)), (1, 3, Str), (0, 3, Fix(4)), (0, 3, Str),
        (0, 3, Fix(4)), (4, END, Arr(&Obj(&[(4, END, Str), (4, END, Fix(4)), (4, END, Str), (4, END, Fix(4)), (4, END,
        Fix(2)), (4, END, Str)])))]);
}

impl Guarded for m::JoinGroupRequest {
    const SHAPE: &'static Shape = &(6, &[(0, END, Str), (0, END, Fix(4)), (1, END, Fix(4)), (0, END, Str), (5, END,
        Str), (0, END, Str), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Byt)]))), (8, END, Str)]);
}

impl Guarded for m::JoinGroupResponse {
    const SHAPE: &'static Shape = &(6, &[(2, END, Fix(4)), (0, END, Fix(2)), (0, END, Fix(4)), (7, END, Str), (0, END,
        Str), (0, END, Str), (9, END, Fix(1)), (0, END, Str), (0, END, Arr(&Obj(&[(0, END, Str), (5, END, Str), (0,
        END, Byt)])))]);
}

impl Guarded for m::HeartbeatRequest {
    const SHAPE: &'static Shape = &(4, &[(0, END, Str), (0, END, Fix(4)), (0, END, Str), (3, END, Str)]);
}

impl Guarded for m::HeartbeatResponse {
    const SHAPE: &'static Shape = &(4, &[(1, END, Fix(4)), (0, END, Fix(2))]);
}

impl Guarded for m::LeaveGroupRequest {
    const SHAPE: &'static Shape = &(4, &[(0, END, Str), (0, 2, Str), (3, END, Arr(&Obj(&[(3, END, Str), (3, END, Str),
        (5, END, Str)])))]);
}

impl Guarded for m::LeaveGroupResponse {
    const SHAPE: &'static Shape = &(4, &[(1, END, Fix(4)), (0, END, Fix(2)), (3, END, Arr(&Obj(&[(3, END, Str), (3,
        END, Str), (3, END, Fix(2))])))]);
}

impl Guarded for m::SyncGroupRequest {
    const SHAPE: &'static Shape = &(4, &[(0, END, Str), (0, END, Fix(4)), (0, END, Str), (3, END, Str), (5, END, Str),
        (5, END, Str), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Byt)])))]);
}

impl Guarded for m::SyncGroupResponse {
    const SHAPE: &'static Shape = &(4, &[(1, END, Fix(4)), (0, END, Fix(2)), (5, END, Str), (5, END, Str), (0, END,
        Byt)]);
}

impl Guarded for m::DescribeGroupsRequest {
    const SHAPE: &'static Shape = &(5, &[(0, END, Arr(&Str)), (3, END, Fix(1))]);
}

impl Guarded for m::DescribeGroupsResponse {
    const SHAPE: &'static Shape = &(5, &[(1, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Fix(2)), (6, END, Str), (0,
        END, Str), (0, END, Str), (0, END, Str), (0, END, Str), (0, END, Arr(&Obj(&[(0, END, Str), (4, END, Str), (0,
        END, Str), (0, END, Str), (0, END, Byt), (0, END, Byt)]))), (3, END, Fix(4))])))]);
}

impl Guarded for m::ListGroupsRequest {
    const SHAPE: &'static Shape = &(3, &[(4, END, Arr(&Str)), (5, END, Arr(&Str))]);
}

impl Guarded for m::ListGroupsResponse {
    const SHAPE: &'static Shape = &(3, &[(1, END, Fix(4)), (0, END, Fix(2)), (0, END, Arr(&Obj(&[(0, END, Str), (0,
        END, Str), (4, END, Str), (5, END, Str)])))]);
}

impl Guarded for m::ApiVersionsRequest {
    const SHAPE: &'static Shape = &(3, &[(3, END, Str), (3, END, Str)]);
}

impl Guarded for m::ApiVersionsResponse {
    const SHAPE: &'static Shape = &(3, &[(0, END, Fix(2)), (0, END, Arr(&Obj(&[(0, END, Fix(2)), (0, END, Fix(2)), (0,
        END, Fix(2))]))), (1, END, Fix(4)), (3, END, Tag(0, 3, &Arr(&Obj(&[(3, END, Str), (3, END, Fix(2)), (3, END,
        Fix(2))])))), (3, END, Tag(1, 3, &Fix(8))), (3, END, Tag(2, 3, &Arr(&Obj(&[(3, END, Str), (3, END, Fix(2)),
        (3, END, Fix(2))])))), (3, END, Tag(3, 3, &Fix(1)))]);
}

impl Guarded for m::CreateTopicsRequest {
    const SHAPE: &'static Shape = &(5, &[(0, END, Arr(&Obj(&[(0, END, Str), (0, END, Fix(4)), (0, END, Fix(2)), (0,
        END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Arr(&Fix(4)))]))), (0, END, Arr(&Obj(&[(0, END, Str), (0, END,
        Str)])))]))), (0, END, Fix(4)), (1, END, Fix(1))]);
}

impl Guarded for m::CreateTopicsResponse {
    const SHAPE: &'static Shape = &(5, &[(2, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (7, END, Fix(16)), (0,
        END, Fix(2)), (1, END, Str), (5, END, Tag(0, 5, &Fix(2))), (5, END, Fix(4)), (5, END, Fix(2)), (5, END,
        Arr(&Obj(&[(5, END, Str), (5, END, Str), (5, END, Fix(1)), (5, END, Fix(1)), (5, END, Fix(1))])))])))]);
}

impl Guarded for m::DeleteTopicsRequest {
    const SHAPE: &'static Shape = &(4, &[(6, END, Arr(&Obj(&[(6, END, Str), (6, END, Fix(16))]))), (0, 5, Arr(&Str)),
        (0, END, Fix(4))]);
}

impl Guarded for m::DeleteTopicsResponse {
    const SHAPE: &'static Shape = &(4, &[(1, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (6, END, Fix(16)), (0,
        END, Fix(2)), (5, END, Str)])))]);
}

impl Guarded for m::InitProducerIdRequest {
    const SHAPE: &'static Shape = &(2, &[(0, END, Str), (0, END, Fix(4)), (3, END, Fix(8)), (3, END, Fix(2)), (6, END,
        Fix(1)), (6, END, Fix(1))]);
}

impl Guarded for m::InitProducerIdResponse {
    const SHAPE: &'static Shape = &(2, &[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Fix(8)), (0, END, Fix(2)), (6,
        END, Fix(8)), (6, END, Fix(2))]);
}

impl Guarded for m::OffsetForLeaderEpochRequest {
    const SHAPE: &'static Shape = &(4, &[(3, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0,
        END, Fix(4)), (2, END, Fix(4)), (0, END, Fix(4))])))])))]);
}

impl Guarded for m::OffsetForLeaderEpochResponse {
    const SHAPE: &'static Shape = &(4, &[(2, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0,
        END, Fix(2)), (0, END, Fix(4)), (1, END, Fix(4)), (0, END, Fix(8))])))])))]);
}

impl Guarded for m::DescribeConfigsRequest {
    const SHAPE: &'static Shape = &(4, &[(0, END, Arr(&Obj(&[(0, END, Fix(1)), (0, END, Str), (0, END, Arr(&Str))]))),
        (1, END, Fix(1)), (3, END, Fix(1))]);
}

impl Guarded for m::DescribeConfigsResponse {
    const SHAPE: &'static Shape = &(4, &[(0, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Fix(2)), (0, END, Str), (0,
        END, Fix(1)), (0, END, Str), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Str), (0, END, Fix(1)), (1, END,
        Fix(1)), (0, END, Fix(1)), (1, END, Arr(&Obj(&[(1, END, Str), (1, END, Str), (1, END, Fix(1))]))), (3, END,
        Fix(1)), (3, END, Str)])))])))]);
}

impl Guarded for m::CreatePartitionsRequest {
    const SHAPE: &'static Shape = &(2, &[(0, END, Arr(&Obj(&[(0, END, Str), (0, END, Fix(4)), (0, END, Arr(&Obj(&[(0,
        END, Arr(&Fix(4)))])))]))), (0, END, Fix(4)), (0, END, Fix(1))]);
}

impl Guarded for m::CreatePartitionsResponse {
    const SHAPE: &'static Shape = &(2, &[(0, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Fix(2)), (0,
        END, Str)])))]);
}

impl Guarded for m::DeleteGroupsRequest {
    const SHAPE: &'static Shape = &(2, &[(0, END, Arr(&Str))]);
}

impl Guarded for m::DeleteGroupsResponse {
    const SHAPE: &'static Shape = &(2, &[(0, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Fix(2))])))]);
}

impl Guarded for m::ElectLeadersRequest {
    const SHAPE: &'static Shape = &(2, &[(1, END, Fix(1)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END,
        Arr(&Fix(4)))]))), (0, END, Fix(4))]);
}

impl Guarded for m::ElectLeadersResponse {
    const SHAPE: &'static Shape = &(2, &[(0, END, Fix(4)), (1, END, Fix(2)), (0, END, Arr(&Obj(&[(0, END, Str), (0,
        END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Str)])))])))]);
}

impl Guarded for m::IncrementalAlterConfigsRequest {
    const SHAPE: &'static Shape = &(1, &[(0, END, Arr(&Obj(&[(0, END, Fix(1)), (0, END, Str), (0, END, Arr(&Obj(&[(0,
        END, Str), (0, END, Fix(1)), (0, END, Str)])))]))), (0, END, Fix(1))]);
}

impl Guarded for m::IncrementalAlterConfigsResponse {
    const SHAPE: &'static Shape = &(1, &[(0, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Fix(2)), (0, END, Str), (0,
        END, Fix(1)), (0, END, Str)])))]);
}

impl Guarded for m::ListPartitionReassignmentsRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END,
        Arr(&Fix(4)))])))]);
}

impl Guarded for m::ListPartitionReassignmentsResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Str), (0, END, Arr(&Obj(&[(0,
        END, Str), (0, END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Arr(&Fix(4))), (0, END, Arr(&Fix(4))), (0, END,
        Arr(&Fix(4)))])))])))]);
}

impl Guarded for m::VoteRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Str), (1, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END,
        Arr(&Obj(&[(0, END, Fix(4)), (0, END, Fix(4)), (0, END, Fix(4)), (1, END, Fix(16)), (1, END, Fix(16)), (0,
        END, Fix(4)), (0, END, Fix(8)), (2, END, Fix(1))])))])))]);
}

impl Guarded for m::VoteResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(2)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0,
        END, Fix(4)), (0, END, Fix(2)), (0, END, Fix(4)), (0, END, Fix(4)), (0, END, Fix(1))])))]))), (1, END, Tag(0,
        1, &Arr(&Obj(&[(1, END, Fix(4)), (1, END, Str), (1, END, Fix(2))]))))]);
}

impl Guarded for m::BeginQuorumEpochRequest {
    const SHAPE: &'static Shape = &(1, &[(0, END, Str), (1, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END,
        Arr(&Obj(&[(0, END, Fix(4)), (1, END, Fix(16)), (0, END, Fix(4)), (0, END, Fix(4))])))]))), (1, END,
        Arr(&Obj(&[(1, END, Str), (1, END, Str), (1, END, Fix(2))])))]);
}

impl Guarded for m::BeginQuorumEpochResponse {
    const SHAPE: &'static Shape = &(1, &[(0, END, Fix(2)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0,
        END, Fix(4)), (0, END, Fix(2)), (0, END, Fix(4)), (0, END, Fix(4))])))]))), (1, END, Tag(0, 1, &Arr(&Obj(&[(1,
        END, Fix(4)), (1, END, Str), (1, END, Fix(2))]))))]);
}

impl Guarded for m::EndQuorumEpochRequest {
    const SHAPE: &'static Shape = &(1, &[(0, END, Str), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0,
        END, Fix(4)), (0, END, Fix(4)), (0, END, Fix(4)), (0, 0, Arr(&Fix(4))), (1, END, Arr(&Obj(&[(1, END, Fix(4)),
        (1, END, Fix(16))])))])))]))), (1, END, Arr(&Obj(&[(1, END, Str), (1, END, Str), (1, END, Fix(2))])))]);
}

impl Guarded for m::EndQuorumEpochResponse {
    const SHAPE: &'static Shape = &(1, &[(0, END, Fix(2)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0,
        END, Fix(4)), (0, END, Fix(2)), (0, END, Fix(4)), (0, END, Fix(4))])))]))), (1, END, Tag(0, 1, &Arr(&Obj(&[(1,
        END, Fix(4)), (1, END, Str), (1, END, Fix(2))]))))]);
}

impl Guarded for m::DescribeQuorumRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0, END,
        Fix(4))])))])))]);
}

impl Guarded for m::DescribeQuorumResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(2)), (2, END, Str), (0, END, Arr(&Obj(&[(0, END, Str), (0, END,
        Arr(&Obj(&[(0, END, Fix(4)), (0, END, Fix(2)), (2, END, Str), (0, END, Fix(4)), (0, END, Fix(4)), (0, END,
        Fix(8)), (0, END, Arr(&Obj(&[(0, END, Fix(4)), (2, END, Fix(16)), (0, END, Fix(8)), (1, END, Fix(8)), (1, END,
        Fix(8))]))), (0, END, Arr(&Obj(&[(0, END, Fix(4)), (2, END, Fix(16)), (0, END, Fix(8)), (1, END, Fix(8)), (1,
        END, Fix(8))])))])))]))), (2, END, Arr(&Obj(&[(2, END, Fix(4)), (2, END, Arr(&Obj(&[(2, END, Str), (2, END,
        Str), (2, END, Fix(2))])))])))]);
}

impl Guarded for m::AlterPartitionRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(8)), (0, END, Arr(&Obj(&[(2, END, Fix(16)),
        (0, END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Fix(4)), (0, 2, Arr(&Fix(4))), (3, END, Arr(&Obj(&[(3, END,
        Fix(4)), (3, END, Fix(8))]))), (1, END, Fix(1)), (0, END, Fix(4))])))])))]);
}

impl Guarded for m::AlterPartitionResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Arr(&Obj(&[(2, END, Fix(16)),
        (0, END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Fix(4)), (0, END, Fix(4)), (0, END,
        Arr(&Fix(4))), (1, END, Fix(1)), (0, END, Fix(4))])))])))]);
}

impl Guarded for m::EnvelopeRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Byt), (0, END, Byt), (0, END, Byt)]);
}

impl Guarded for m::EnvelopeResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Byt), (0, END, Fix(2))]);
}

impl Guarded for m::FetchSnapshotRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Tag(0, 0, &Str)), (0, END, Fix(4)), (0, END, Fix(4)), (0, END,
        Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Fix(4)), (0, END, Obj(&[(0, END,
        Fix(8)), (0, END, Fix(4))])), (0, END, Fix(8)), (1, END, Tag(0, 1, &Fix(16)))])))])))]);
}

impl Guarded for m::FetchSnapshotResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Arr(&Obj(&[(0, END, Str), (0,
        END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Obj(&[(0, END, Fix(8)), (0, END, Fix(4))])), (0,
        END, Tag(0, 0, &Obj(&[(0, END, Fix(4)), (0, END, Fix(4))]))), (0, END, Fix(8)), (0, END, Fix(8)), (0, END,
        Byt)])))]))), (1, END, Tag(0, 1, &Arr(&Obj(&[(1, END, Fix(4)), (1, END, Str), (1, END, Fix(2))]))))]);
}

impl Guarded for m::DescribeClusterRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(1)), (1, END, Fix(1)), (2, END, Fix(1))]);
}

impl Guarded for m::DescribeClusterResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Str), (1, END, Fix(1)), (0, END,
        Str), (0, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Str), (0, END, Fix(4)), (0, END, Str),
        (2, END, Fix(1))]))), (0, END, Fix(4))]);
}

impl Guarded for m::BrokerRegistrationRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Str), (0, END, Fix(16)), (0, END, Arr(&Obj(&[(0,
        END, Str), (0, END, Str), (0, END, Fix(2)), (0, END, Fix(2))]))), (0, END, Arr(&Obj(&[(0, END, Str), (0, END,
        Fix(2)), (0, END, Fix(2))]))), (0, END, Str), (1, END, Fix(1)), (2, END, Arr(&Fix(16))), (3, END, Fix(8))]);
}

impl Guarded for m::BrokerRegistrationResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Fix(8))]);
}

impl Guarded for m::BrokerHeartbeatRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(8)), (0, END, Fix(8)), (0, END, Fix(1)), (0,
        END, Fix(1)), (1, END, Tag(0, 1, &Arr(&Fix(16)))), (2, END, Tag(1, 2, &Arr(&Fix(16))))]);
}

impl Guarded for m::BrokerHeartbeatResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Fix(1)), (0, END, Fix(1)), (0,
        END, Fix(1))]);
}

impl Guarded for m::UnregisterBrokerRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4))]);
}

impl Guarded for m::UnregisterBrokerResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Str)]);
}

impl Guarded for m::AllocateProducerIdsRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(8))]);
}

impl Guarded for m::AllocateProducerIdsResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Fix(8)), (0, END, Fix(4))]);
}

impl Guarded for m::ControllerRegistrationRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(16)), (0, END, Fix(1)), (0, END,
        Arr(&Obj(&[(0, END, Str), (0, END, Str), (0, END, Fix(2)), (0, END, Fix(2))]))), (0, END, Arr(&Obj(&[(0, END,
        Str), (0, END, Fix(2)), (0, END, Fix(2))])))]);
}

impl Guarded for m::ControllerRegistrationResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Str)]);
}

impl Guarded for m::DescribeTopicPartitionsRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Arr(&Obj(&[(0, END, Str)]))), (0, END, Fix(4)), (0, END, Opt(&[(0,
        END, Str), (0, END, Fix(4))]))]);
}

impl Guarded for m::DescribeTopicPartitionsResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Fix(2)), (0, END, Str), (0,
        END, Fix(16)), (0, END, Fix(1)), (0, END, Arr(&Obj(&[(0, END, Fix(2)), (0, END, Fix(4)), (0, END, Fix(4)), (0,
        END, Fix(4)), (0, END, Arr(&Fix(4))), (0, END, Arr(&Fix(4))), (0, END, Arr(&Fix(4))), (0, END, Arr(&Fix(4))),
        (0, END, Arr(&Fix(4)))]))), (0, END, Fix(4))]))), (0, END, Opt(&[(0, END, Str), (0, END, Fix(4))]))]);
}

impl Guarded for m::AlterPartitionReassignmentsRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (1, END, Fix(1)), (0, END, Arr(&Obj(&[(0, END, Str), (0,
        END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Arr(&Fix(4)))])))])))]);
}

impl Guarded for m::AlterPartitionReassignmentsResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (1, END, Fix(1)), (0, END, Fix(2)), (0, END, Str), (0, END,
        Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Str)])))])))]);
}

impl Guarded for m::DeleteRecordsRequest {
    const SHAPE: &'static Shape = &(2, &[(0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0, END, Fix(4)), (0,
        END, Fix(8))])))]))), (0, END, Fix(4))]);
}

impl Guarded for m::DeleteRecordsResponse {
    const SHAPE: &'static Shape = &(2, &[(0, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0,
        END, Fix(4)), (0, END, Fix(8)), (0, END, Fix(2))])))])))]);
}

impl Guarded for m::DescribeLogDirsRequest {
    const SHAPE: &'static Shape = &(2, &[(0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Fix(4)))])))]);
}

impl Guarded for m::DescribeLogDirsResponse {
    const SHAPE: &'static Shape = &(2, &[(0, END, Fix(4)), (3, END, Fix(2)), (0, END, Arr(&Obj(&[(0, END, Fix(2)), (0,
        END, Str), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Fix(8)), (0, END,
        Fix(8)), (0, END, Fix(1))])))]))), (4, END, Fix(8)), (4, END, Fix(8)), (5, END, Fix(1))])))]);
}

impl Guarded for m::DescribeProducersRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Fix(4)))])))]);
}

impl Guarded for m::DescribeProducersResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0,
        END, Fix(4)), (0, END, Fix(2)), (0, END, Str), (0, END, Arr(&Obj(&[(0, END, Fix(8)), (0, END, Fix(4)), (0,
        END, Fix(4)), (0, END, Fix(8)), (0, END, Fix(4)), (0, END, Fix(8))])))])))])))]);
}

impl Guarded for m::OffsetDeleteRequest {
    const SHAPE: &'static Shape = &(END, &[(0, END, Str), (0, END, Arr(&Obj(&[(0, END, Str), (0, END, Arr(&Obj(&[(0,
        END, Fix(4))])))])))]);
}

impl Guarded for m::OffsetDeleteResponse {
    const SHAPE: &'static Shape = &(END, &[(0, END, Fix(2)), (0, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Str), (0,
        END, Arr(&Obj(&[(0, END, Fix(4)), (0, END, Fix(2))])))])))]);
}

impl Guarded for m::ListConfigResourcesRequest {
    const SHAPE: &'static Shape = &(0, &[(1, END, Arr(&Fix(1)))]);
}

impl Guarded for m::ListConfigResourcesResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Fix(2)), (0, END, Arr(&Obj(&[(0, END, Str), (1,
        END, Fix(1))])))]);
}

impl Guarded for m::ConsumerGroupDescribeRequest {
    const SHAPE: &'static Shape = &(0, &[(0, END, Arr(&Str)), (0, END, Fix(1))]);
}

impl Guarded for m::ConsumerGroupDescribeResponse {
    const SHAPE: &'static Shape = &(0, &[(0, END, Fix(4)), (0, END, Arr(&Obj(&[(0, END, Fix(2)), (0, END, Str), (0,
        END, Str), (0, END, Str), (0, END, Fix(4)), (0, END, Fix(4)), (0, END, Str), (0, END, Arr(&Obj(&[(0, END,
        Str), (0, END, Str), (0, END, Str), (0, END, Fix(4)), (0, END, Str), (0, END, Str), (0, END, Arr(&Str)), (0,
        END, Str), (0, END, Obj(&[(0, END, Arr(&Obj(&[(0, END, Fix(16)), (0, END, Str), (0, END, Arr(&Fix(4)))])))])),
        (0, END, Obj(&[(0, END, Arr(&Obj(&[(0, END, Fix(16)), (0, END, Str), (0, END, Arr(&Fix(4)))])))])), (1, END,
        Fix(1))]))), (0, END, Fix(4))])))]);
}
