//! Every message of the table, generated from its shape: decoded, written again, cut at every byte, flipped in every bit.

use super::*;
use crate::shape::{Kind, Shape};
use kafka_protocol::messages as m;
use kafka_protocol::protocol::{Message, StrBytes};

/// Writes a message of a shape with `per_array` elements in every array and every tagged field present.
struct Generator {
    version: i16,
    flexible: bool,
    per_array: usize,
    counter: u8,
    out: Vec<u8>,
}

impl Generator {
    fn message(shape: &Shape, version: i16, per_array: usize) -> Vec<u8> {
        let flexible = version >= shape.0;
        let mut one = Generator { version, flexible, per_array, counter: 0, out: Vec::new() };
        one.object(shape.1);
        one.out
    }

    fn object(&mut self, fields: &'static [(i16, i16, Kind)]) {
        let mut tagged = Vec::new();
        for (low, high, kind) in fields {
            if !(*low..=*high).contains(&self.version) {
                continue;
            }
            match kind {
                Kind::Tag(tag, from, kind) if self.version >= *from => {
                    let before = std::mem::take(&mut self.out);
                    self.value(kind);
                    tagged.push((*tag, std::mem::replace(&mut self.out, before)));
                }
                Kind::Tag(_, _, kind) => self.value(kind),
                kind => self.value(kind),
            }
        }
        if self.flexible {
            tagged.sort();
            self.out.put_tagged_fields(&tagged);
        }
    }

    fn value(&mut self, kind: &'static Kind) {
        self.counter = self.counter.wrapping_add(1) & 0x3f;
        match kind {
            Kind::Fix(1) => self.out.put_u8(1),
            Kind::Fix(size) => self.out.put_raw(&vec![self.counter; *size]),
            Kind::Str => self.out.put_string(self.flexible, &format!("text{}", self.counter)),
            Kind::Byt => self.out.put_bytes(self.flexible, &[self.counter; 5]),
            Kind::Arr(kind) => {
                self.out.put_length(self.flexible, self.per_array);
                for _ in 0..self.per_array {
                    self.value(kind);
                }
            }
            Kind::Obj(fields) => self.object(fields),
            Kind::Opt(fields) => {
                self.out.put_i8(1);
                self.object(fields);
            }
            Kind::Tag(..) => unreachable!("tags are fields"),
        }
    }
}

fn attack<T: Guarded + Encodable + Message>() {
    let name = std::any::type_name::<T>();
    for version in T::VERSIONS.min..=T::VERSIONS.max {
        for per_array in [0, 1, 2] {
            let bytes = Bytes::from(Generator::message(T::SHAPE, version, per_array));
            let message: T = decode(&mut bytes.clone(), version)
                .unwrap_or_else(|error| panic!("{name} version {version}: {error}"));
            let mut again = BytesMut::new();
            message.encode(&mut again, version).unwrap();
            // An empty array in a tagged field is a default, and left out when written.
            assert!(per_array == 0 || again == bytes, "{name} version {version}");
            if per_array == 1 {
                attack_bytes::<T>(&bytes, version);
            }
        }
    }
}

fn attack_bytes<T: Guarded>(bytes: &Bytes, version: i16) {
    for cut in 0..bytes.len() {
        assert!(decode::<T>(&mut bytes.slice(..cut), version).is_err());
    }
    let mut long = bytes.to_vec();
    long.push(0);
    assert!(decode::<T>(&mut Bytes::from(long), version).is_err());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = decode::<T>(&mut Bytes::from(flipped), version);
    }
    // Lengths of every kind blown up.
    for at in 0..bytes.len() {
        let mut absurd = bytes.to_vec();
        absurd.splice(at..at + 1, [0xff, 0xff, 0xff, 0xff, 0x0f]);
        let _ = decode::<T>(&mut Bytes::from(absurd), version);
        let mut absurd = bytes.to_vec();
        for byte in absurd[at..].iter_mut().take(4) {
            *byte = 0x7f;
        }
        let _ = decode::<T>(&mut Bytes::from(absurd), version);
    }
}

macro_rules! attack_all {
    ($($test:ident: $($message:ident)*,)*) => {
        $(#[test]
        fn $test() {
            $(attack::<m::$message>();)*
        })*
    };
}

attack_all! {
    data: ProduceRequest ProduceResponse FetchRequest FetchResponse ListOffsetsRequest ListOffsetsResponse
        OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse InitProducerIdRequest InitProducerIdResponse,
    metadata: MetadataRequest MetadataResponse ApiVersionsRequest ApiVersionsResponse DescribeClusterRequest
        DescribeClusterResponse DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse
        DescribeQuorumRequest DescribeQuorumResponse,
    groups: OffsetCommitRequest OffsetCommitResponse OffsetFetchRequest OffsetFetchResponse
        FindCoordinatorRequest FindCoordinatorResponse JoinGroupRequest JoinGroupResponse HeartbeatRequest
        HeartbeatResponse LeaveGroupRequest LeaveGroupResponse SyncGroupRequest SyncGroupResponse,
    group_admin: DescribeGroupsRequest DescribeGroupsResponse ListGroupsRequest ListGroupsResponse
        DeleteGroupsRequest DeleteGroupsResponse,
    admin: CreateTopicsRequest CreateTopicsResponse DeleteTopicsRequest DeleteTopicsResponse
        DescribeConfigsRequest DescribeConfigsResponse CreatePartitionsRequest CreatePartitionsResponse
        ElectLeadersRequest ElectLeadersResponse IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse
        ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse,
    quorum: VoteRequest VoteResponse BeginQuorumEpochRequest BeginQuorumEpochResponse EndQuorumEpochRequest
        EndQuorumEpochResponse FetchSnapshotRequest FetchSnapshotResponse,
    controller: AlterPartitionRequest AlterPartitionResponse EnvelopeRequest EnvelopeResponse
        BrokerRegistrationRequest BrokerRegistrationResponse BrokerHeartbeatRequest BrokerHeartbeatResponse
        UnregisterBrokerRequest UnregisterBrokerResponse AllocateProducerIdsRequest
        AllocateProducerIdsResponse ControllerRegistrationRequest ControllerRegistrationResponse,
}

#[test]
fn what_librdkafka_sends_for_all_topics_is_read() {
    // Version 13: null for all topics in four bytes, where one is meant; then two flags and no tagged fields.
    let mut body = Bytes::from_static(&[0, 0, 0, 0, 1, 0, 0]);
    assert!(decode::<m::MetadataRequest>(&mut body.clone(), 13).is_err());
    let request: m::MetadataRequest = decode_request(&mut body, 13).unwrap();
    assert_eq!((request.topics, body.len()), (None, 3));
}

#[test]
fn an_array_of_four_thousand_million_is_refused_before_anything_is_allocated() {
    // MetadataRequest version 9: a compact array of topics.
    let mut body = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0]);
    assert!(matches!(decode::<m::MetadataRequest>(&mut body, 9), Err(FrameError::Body(_))));
    // Even where the bytes are there: one byte must not become hundreds.
    let mut many = vec![0x80, 0x89, 0x7a]; // 1,999,999 + 1
    many.resize(3_000_000, 1);
    assert!(decode::<m::MetadataRequest>(&mut Bytes::from(many), 9).is_err());
}

#[test]
fn a_requests_head_comes_back_in_every_header_version() {
    for (api_key, version) in [(key::METADATA, 4), (key::METADATA, 9), (key::PRODUCE, 8)] {
        let body = m::MetadataRequest::default();
        let encoded = encode_request(
            key::METADATA,
            if api_key == key::METADATA { version } else { 4 },
            7,
            "me",
            &body,
        );
        let mut frame = encoded.unwrap();
        let before = frame.clone();
        let head = read_request_head(&mut frame).unwrap();
        assert_eq!((head.api_key, head.correlation_id), (key::METADATA, 7));
        assert_eq!(head.client_id, Some(StrBytes::from_static_str("me")));
        decode::<m::MetadataRequest>(&mut frame, head.api_version).unwrap();
        for cut in 0..10 {
            assert!(read_request_head(&mut before.slice(..cut)).is_err());
        }
    }
}

#[test]
fn unknown_apis_have_a_head_but_no_response() {
    let mut frame = Bytes::from_static(&[0x7f, 0, 0, 9, 0, 0, 0, 5, 0xff, 0xff, 1, 2]);
    let head = read_request_head(&mut frame).unwrap();
    assert_eq!((head.api_key, head.api_version, head.correlation_id), (0x7f00, 9, 5));
    assert_eq!(head.client_id, None);
    assert_eq!(frame.len(), 2);
    assert_eq!(response_header(&head), Err(FrameError::UnknownApi(0x7f00)));
    let mut not_utf8 = Bytes::from_static(&[0, 3, 0, 4, 0, 0, 0, 5, 0, 1, 0xff]);
    assert!(read_request_head(&mut not_utf8).is_err());
    let mut negative = Bytes::from_static(&[0, 3, 0, 4, 0, 0, 0, 5, 0xff, 0xfe]);
    assert!(read_request_head(&mut negative).is_err());
}

#[test]
fn responses_have_the_header_that_the_version_asks_for() {
    let head = |api_key, api_version| RequestHead {
        api_key,
        api_version,
        correlation_id: 9,
        client_id: None,
    };
    let body = m::ApiVersionsResponse::default();
    for version in 0..=4 {
        let mut frame = encode_response(&head(key::API_VERSIONS, version), &body).unwrap();
        assert_eq!(read_response_head(&mut frame, key::API_VERSIONS, version), Ok(9));
        decode::<m::ApiVersionsResponse>(&mut frame, version).unwrap();
    }
    // Asked in a version that nobody knows: answered in version 0.
    let frame = encode_response_as(&head(key::API_VERSIONS, 99), 0, &body).unwrap();
    assert_eq!(&frame[..], [0, 0, 0, 9, 0, 0, 0, 0, 0, 0]);
    assert_eq!(response_header(&head(key::METADATA, 8)).unwrap().len(), 4);
    assert_eq!(response_header(&head(key::METADATA, 9)).unwrap().len(), 5);
    let parts =
        encode_response_parts(&head(key::FETCH, 12), vec![Bytes::from_static(b"x")]).unwrap();
    assert_eq!(parts.concat(), [0, 0, 0, 9, 0, b'x']);
}
