//! Produce and Fetch, in every version that is served, by name and by id.

use crate::connection::{Connection, Received};
use crate::fixture::{Topic, assert_still_serving, eventually, shared_cluster};
use crate::requests::{self, World};
use std::time::Duration;
use wire::api::{self, ApiSet, Versions, key};
use wire::batch::{Compression, split_batches_allowing_partial};
use wire::error::ErrorCode;
use wire::messages as m;

const COMPRESSIONS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn served(api_key: i16) -> std::ops::RangeInclusive<i16> {
    let Versions { min, max } = api::supported(ApiSet::Broker, api_key).expect("a served API");
    let min = if api_key == key::PRODUCE { api::PRODUCE_MIN_SERVED } else { min };
    min..=max
}

/// Values in a fetched records field, with their offsets.
fn values(records: Option<&bytes::Bytes>) -> Vec<(i64, Vec<u8>)> {
    let records = records.cloned().unwrap_or_default();
    let batches = split_batches_allowing_partial(records).expect("record batches");
    let records = batches.iter().flat_map(|batch| batch.records().expect("records"));
    records
        .map(|record| {
            let record = record.expect("a record");
            (record.offset, record.value.expect("a value").to_vec())
        })
        .collect()
}

fn produced(answer: &m::ProduceResponse) -> (i16, i64) {
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

/// The error of a fetch from one partition, and what it brought.
fn fetched(answer: &m::FetchResponse) -> (i16, Vec<(i64, Vec<u8>)>) {
    assert_eq!(answer.error_code, 0);
    let partition = &answer.responses[0].partitions[0];
    (partition.error_code, values(partition.records.as_ref()))
}

#[test]
fn what_any_version_of_produce_wrote_any_version_of_fetch_reads() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "versions");
    let mut connection = topic.connect();
    let mut written = Vec::new();
    for version in served(key::PRODUCE) {
        for compression in COMPRESSIONS {
            if compression == Compression::Zstd && version < 7 {
                continue;
            }
            let value = format!("version {version} {compression:?} ").repeat(20);
            let records = requests::batch(&[value.as_bytes(), b"and another"], compression);
            let body = requests::produce(&topic.world, version, -1, records);
            let answer: m::ProduceResponse = connection.ask(key::PRODUCE, version, &body);
            let offset = written.len() as i64;
            assert_eq!(produced(&answer), (0, offset), "Produce version {version} {compression:?}");
            written.push((offset, value.into_bytes()));
            written.push((offset + 1, b"and another".to_vec()));
        }
    }
    for version in served(key::FETCH) {
        let body = requests::fetch(&topic.world, version, 0, 1_000);
        let answer: m::FetchResponse = connection.ask(key::FETCH, version, &body);
        let (error, mut read) = fetched(&answer);
        if version < 10 {
            // Such a client cannot read zstd: it gets what comes before, or this error.
            assert!([0, ErrorCode::UnsupportedCompressionType.code()].contains(&error));
            read.retain(|(offset, _)| *offset < written.len() as i64);
            assert_eq!(read[..], written[..read.len()], "Fetch version {version}");
            continue;
        }
        assert_eq!(error, 0, "Fetch version {version}");
        assert_eq!(read, written, "Fetch version {version}");
    }
}

#[test]
fn acks_0_is_not_answered() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "unanswered");
    let mut connection = topic.connect();
    let mut next = 0;
    for version in served(key::PRODUCE) {
        let records = requests::batch(&[b"fire", b"and forget"], Compression::None);
        let body = requests::produce(&topic.world, version, 0, records);
        connection.send(key::PRODUCE, version, &body);
        // The next answer is the one to the next request.
        let body = m::MetadataRequest::default().with_topics(Some(vec![]));
        let _: m::MetadataResponse = connection.ask(key::METADATA, 12, &body);
        next += 2;
    }
    // A write with acks=all behind them all: it and they are there.
    let records = requests::batch(&[b"last"], Compression::None);
    let body = requests::produce(&topic.world, 13, -1, records);
    let answer: m::ProduceResponse = connection.ask(key::PRODUCE, 13, &body);
    assert_eq!(produced(&answer), (0, next));
}

#[test]
fn acks_0_that_cannot_be_done_closes_the_connection() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "undoable");
    let elsewhere = World { topic: "there-is-no-such-topic".into(), ..topic.world.clone() };
    let records = requests::batch(&[b"lost"], Compression::None);
    let mut connection = topic.connect();
    connection.send(key::PRODUCE, 12, &requests::produce(&elsewhere, 12, 0, records));
    assert!(matches!(connection.receive(), Received::Closed));
    assert_still_serving(&cluster, &topic);
}

#[test]
fn answers_on_one_connection_come_in_the_order_of_the_requests() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "order");
    let mut connection = topic.connect();
    let mut sent = Vec::new();
    for round in 0..50 {
        // Slow ones first: a fetch that waits for more than there is, a write for its followers, then what is known at once.
        let fetch = requests::fetch(&topic.world, 12, 0, 20).with_min_bytes(1 << 20);
        sent.push((key::FETCH, 12, connection.send(key::FETCH, 12, &fetch)));
        let records = requests::batch(&[format!("{round}").as_bytes()], Compression::None);
        let produce = requests::produce(&topic.world, 12, -1, records);
        sent.push((key::PRODUCE, 12, connection.send(key::PRODUCE, 12, &produce)));
        let metadata = requests::metadata(&topic.world.topic);
        sent.push((key::METADATA, 12, connection.send(key::METADATA, 12, &metadata)));
        let versions = m::ApiVersionsRequest::default();
        sent.push((key::API_VERSIONS, 0, connection.send(key::API_VERSIONS, 0, &versions)));
    }
    let mut base_offsets = Vec::new();
    for (api_key, version, correlation_id) in sent {
        match api_key {
            key::FETCH => {
                drop::<m::FetchResponse>(connection.answer(api_key, version, correlation_id))
            }
            key::PRODUCE => {
                let answer = connection.answer(api_key, version, correlation_id);
                base_offsets.push(produced(&answer));
            }
            key::METADATA => {
                drop::<m::MetadataResponse>(connection.answer(api_key, version, correlation_id));
            }
            _ => {
                drop::<m::ApiVersionsResponse>(connection.answer(api_key, version, correlation_id))
            }
        }
    }
    let in_order: Vec<(i16, i64)> = (0..50).map(|offset| (0, offset)).collect();
    assert_eq!(base_offsets, in_order);
}

#[test]
fn a_topic_id_of_a_topic_that_was_deleted_is_unknown() {
    let cluster = shared_cluster();
    let old = Topic::create(&cluster, "again");
    let records = || requests::batch(&[b"of the first"], Compression::None);
    let produce = requests::produce(&old.world, 13, -1, records());
    let answer: m::ProduceResponse = old.connect().ask(key::PRODUCE, 13, &produce);
    assert_eq!(produced(&answer), (0, 0));
    let topic = m::delete_topics_request::DeleteTopicState::default();
    let delete = m::DeleteTopicsRequest::default()
        .with_topics(vec![topic.with_name(None).with_topic_id(old.world.topic_id)])
        .with_timeout_ms(10_000);
    let answer: m::DeleteTopicsResponse = old.connect().ask(key::DELETE_TOPICS, 6, &delete);
    assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
    let new = Topic::create(&cluster, "again");
    assert_ne!(old.world.topic_id, new.world.topic_id);

    let unknown = ErrorCode::UnknownTopicId.code();
    let never_was = World { topic_id: wire::Uuid::from_u128(77), ..new.world.clone() };
    for world in [&old.world, &never_was] {
        let mut connection = new.connect();
        let produce = requests::produce(world, 13, -1, records());
        let answer: m::ProduceResponse = connection.ask(key::PRODUCE, 13, &produce);
        assert_eq!(produced(&answer).0, unknown);
        assert_eq!(answer.responses[0].topic_id, world.topic_id);
        for version in 13..=*served(key::FETCH).end() {
            let fetch = requests::fetch(world, version, 0, 0);
            let answer: m::FetchResponse = connection.ask(key::FETCH, version, &fetch);
            assert_eq!(fetched(&answer), (unknown, vec![]), "Fetch version {version}");
            assert_eq!(answer.responses[0].topic_id, world.topic_id);
        }
        let topic = m::metadata_request::MetadataRequestTopic::default();
        let topic = topic.with_topic_id(world.topic_id).with_name(None);
        let metadata = m::MetadataRequest::default().with_topics(Some(vec![topic]));
        let answer: m::MetadataResponse = connection.ask(key::METADATA, 12, &metadata);
        assert_eq!(answer.topics[0].error_code, unknown);
    }
    // The name is the new one's, which is empty.
    for version in [12, 13] {
        let fetch = requests::fetch(&new.world, version, 0, 0);
        let answer: m::FetchResponse = new.connect().ask(key::FETCH, version, &fetch);
        assert_eq!(fetched(&answer), (0, vec![]));
    }
}

#[test]
fn followers_name_the_leader() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "led");
    let not_leader = ErrorCode::NotLeaderOrFollower.code();
    let followers: Vec<u16> = cluster
        .nodes
        .values()
        .map(|node| node.broker_port)
        .filter(|port| *port != topic.leader_port)
        .collect();
    assert_eq!(followers.len(), 2);
    for port in followers {
        let mut connection = Connection::to(port);
        let records = requests::batch(&[b"elsewhere"], Compression::None);
        let produce = requests::produce(&topic.world, 12, -1, records);
        let answer: m::ProduceResponse = eventually("the follower knows the topic", || {
            let answer: m::ProduceResponse = connection.ask(key::PRODUCE, 12, &produce);
            let known = produced(&answer).0 != ErrorCode::UnknownTopicOrPartition.code();
            known.then_some(answer)
        });
        assert_eq!(produced(&answer).0, not_leader);
        let leader = &answer.responses[0].partition_responses[0].current_leader;
        let endpoint = answer.node_endpoints.iter().find(|node| node.node_id == leader.leader_id);
        assert_eq!(endpoint.map(|node| node.port), Some(i32::from(topic.leader_port)));

        let fetch = requests::fetch(&topic.world, 16, 0, 0);
        let answer: m::FetchResponse = connection.ask(key::FETCH, 16, &fetch);
        assert_eq!(fetched(&answer).0, not_leader);
        let leader = &answer.responses[0].partitions[0].current_leader;
        let endpoint = answer.node_endpoints.iter().find(|node| node.node_id == leader.leader_id);
        assert_eq!(endpoint.map(|node| node.port), Some(i32::from(topic.leader_port)));
    }
}

#[test]
fn a_fetch_waits_for_bytes_and_a_write_ends_the_wait() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "awaited");
    let mut reader = topic.connect();
    // Longer than the test lasts.
    let fetch = requests::fetch(&topic.world, 16, 0, 600_000);
    let correlation_id = reader.send(key::FETCH, 16, &fetch);
    reader.be_patient_for(Duration::from_millis(100));
    assert!(matches!(reader.receive(), Received::Nothing));
    reader.be_patient_for(Duration::from_secs(30));
    let records = requests::batch(&[b"at last"], Compression::None);
    let produce = requests::produce(&topic.world, 12, -1, records);
    let answer: m::ProduceResponse = topic.connect().ask(key::PRODUCE, 12, &produce);
    assert_eq!(produced(&answer), (0, 0));
    let answer = reader.answer(key::FETCH, 16, correlation_id);
    assert_eq!(fetched(&answer), (0, vec![(0, b"at last".to_vec())]));
}
