//! Fetch, ListOffsets and OffsetForLeaderEpoch, as consumers see them.

use wire::StrBytes;
use wire::api::key;
use wire::error::ErrorCode;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use wire::messages::{
    FetchResponse, ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, TopicName,
};

use super::cluster::{Cluster, TOPIC, TOPIC_ID};

fn name() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

/// Error, offset, timestamp and leader epoch of a ListOffsets.
pub fn list(
    cluster: &mut Cluster,
    node: i32,
    timestamp: i64,
    version: i16,
) -> (i16, i64, i64, i32) {
    let partition =
        ListOffsetsPartition::default().with_current_leader_epoch(-1).with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(name()).with_partitions(vec![partition]);
    let body = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    let sent = cluster.send(node, key::LIST_OFFSETS, version, &body);
    cluster.settle();
    let response: ListOffsetsResponse = cluster.answer(sent).expect("answered");
    let answer = &response.topics[0].partitions[0];
    (answer.error_code, answer.offset, answer.timestamp, answer.leader_epoch)
}

#[test]
fn consumers_wait_for_the_high_watermark() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.cut(1, 2);
    let parked = cluster.fetch(1, 0, 10_000, 1);
    cluster.produce(1, 1, &["a"]);
    cluster.advance(200);
    assert!(!cluster.is_answered(parked), "nothing is committed");
    cluster.heal();
    cluster.advance(300);
    let data = cluster.fetched(parked).expect("woken");
    assert_eq!((data.error_code, data.high_watermark, data.last_stable_offset), (0, 1, 1));
    assert!(!data.records.expect("the record").is_empty());
    assert_eq!(cluster.nodes[&1].manager.fetches.waiting(), 1, "only the follower's own");
}

#[test]
fn empty_answer_comes_when_the_wait_is_over() {
    let mut cluster = Cluster::new(&[1]);
    cluster.create_topic(&[1], 1);
    let parked = cluster.fetch(1, 0, 300, 1);
    cluster.advance(299);
    assert!(!cluster.is_answered(parked));
    cluster.advance(1);
    let data = cluster.fetched(parked).expect("its time is over");
    assert_eq!((data.error_code, data.records.unwrap_or_default().len()), (0, 0));
}

#[test]
fn min_bytes_are_waited_for() {
    let mut cluster = Cluster::new(&[1]);
    cluster.create_topic(&[1], 1);
    let parked = cluster.fetch(1, 0, 10_000, 200);
    cluster.produce(1, -1, &["a"]);
    cluster.settle();
    assert!(!cluster.is_answered(parked));
    for _ in 0..3 {
        cluster.produce(1, -1, &["b"]);
    }
    cluster.settle();
    let data = cluster.fetched(parked).expect("enough by now");
    assert!(data.records.expect("records").len() >= 200);
}

#[test]
fn first_batch_comes_whole_whatever_the_limits() {
    let mut cluster = Cluster::new(&[1]);
    cluster.create_topic(&[1], 1);
    for value in ["a", "b"] {
        cluster.produce(1, -1, &[value]);
    }
    cluster.settle();
    let mut body = Cluster::fetch_body(0, 0, 0);
    body.max_bytes = 10;
    body.topics[0].partitions[0].partition_max_bytes = 10;
    let sent = cluster.send(1, key::FETCH, 16, &body);
    cluster.settle();
    let records = cluster.fetched(sent).expect("answered").records.expect("a batch");
    assert_eq!(wire::batch::split_batches(records).expect("whole").len(), 1);
}

#[test]
fn offsets_and_epochs_out_of_range_are_told() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.elect(1);
    cluster.settle();
    let code = |cluster: &mut Cluster, node: i32, offset: i64, epoch: i32| {
        let mut body = Cluster::fetch_body(offset, 5_000, 1);
        body.topics[0].partitions[0].current_leader_epoch = epoch;
        let sent = cluster.send(node, key::FETCH, 16, &body);
        cluster.settle();
        cluster.fetched(sent).expect("errors are told at once").error_code
    };
    assert_eq!(code(&mut cluster, 1, 7, -1), ErrorCode::OffsetOutOfRange.code());
    assert_eq!(code(&mut cluster, 1, -1, -1), ErrorCode::OffsetOutOfRange.code());
    assert_eq!(code(&mut cluster, 1, 0, 0), ErrorCode::FencedLeaderEpoch.code());
    assert_eq!(code(&mut cluster, 1, 0, 2), ErrorCode::UnknownLeaderEpoch.code());
    assert_eq!(code(&mut cluster, 2, 0, 1), ErrorCode::NotLeaderOrFollower.code());
}

#[test]
fn fetches_by_id_and_by_name() {
    let mut cluster = Cluster::new(&[1]);
    cluster.create_topic(&[1], 1);
    cluster.produce(1, -1, &["a"]);
    cluster.settle();
    let mut body = Cluster::fetch_body(0, 0, 0);
    body.topics[0].topic = name();
    body.topics.push(body.topics[0].clone());
    body.topics[1].topic = TopicName(StrBytes::from_static_str("nothing"));
    body.topics[1].topic_id = uuid::Uuid::from_u128(77);
    for version in [4, 11, 12, 13, 16] {
        let sent = cluster.send(1, key::FETCH, version, &body);
        cluster.settle();
        let response: FetchResponse = cluster.answer(sent).expect("answered");
        let codes: Vec<i16> =
            response.responses.iter().map(|topic| topic.partitions[0].error_code).collect();
        let unknown = match version {
            0..=12 => ErrorCode::UnknownTopicOrPartition,
            _ => ErrorCode::UnknownTopicId,
        };
        assert_eq!(codes, [0, unknown.code()], "version {version}");
        let first = &response.responses[0].partitions[0];
        assert!(first.records.as_ref().is_some_and(|records| !records.is_empty()));
    }
}

#[test]
fn sessions_are_declined() {
    let mut cluster = Cluster::new(&[1]);
    cluster.create_topic(&[1], 1);
    let mut body = Cluster::fetch_body(0, 0, 0);
    body.session_epoch = 0;
    let sent = cluster.send(1, key::FETCH, 16, &body);
    cluster.settle();
    let response: FetchResponse = cluster.answer(sent).expect("answered");
    assert_eq!((response.error_code, response.session_id), (0, 0));
    body.session_id = 5;
    let sent = cluster.send(1, key::FETCH, 16, &body);
    cluster.settle();
    let response: FetchResponse = cluster.answer(sent).expect("answered");
    assert_eq!(response.error_code, ErrorCode::FetchSessionIdNotFound.code());
}

#[test]
fn offsets_by_time_and_by_name_of_a_time() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.produce(1, -1, &["a", "b"]);
    cluster.advance(300);
    let time = 1_700_000_000_000;
    assert_eq!(list(&mut cluster, 1, -1, 7), (0, 2, -1, 0));
    assert_eq!(list(&mut cluster, 1, -2, 7), (0, 0, -1, 0));
    assert_eq!(list(&mut cluster, 1, -4, 8), (0, 0, -1, 0));
    assert_eq!(list(&mut cluster, 1, -5, 9), (0, -1, -1, -1));
    assert_eq!(list(&mut cluster, 1, time, 7), (0, 0, time, 0));
    assert_eq!(list(&mut cluster, 1, time + 1, 7), (0, -1, -1, -1));
    assert_eq!(list(&mut cluster, 1, -3, 7), (0, 0, time, 0));
    assert_eq!(list(&mut cluster, 2, -1, 7).0, ErrorCode::NotLeaderOrFollower.code());
}

#[test]
fn latest_is_refused_while_a_new_leaders_high_watermark_lags() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 1);
    cluster.produce(1, -1, &["a"]);
    cluster.settle();
    // 2 has the record but has not heard that it is committed; no follower reaches it as leader.
    assert_eq!(cluster.offsets(2), (1, 0));
    cluster.cut(2, 1);
    cluster.cut(2, 3);
    cluster.elect(2);
    cluster.settle();
    assert_eq!(list(&mut cluster, 2, -1, 7).0, ErrorCode::OffsetNotAvailable.code());
    assert_eq!(list(&mut cluster, 2, -1, 4).0, ErrorCode::LeaderNotAvailable.code());
    cluster.heal();
    cluster.advance(300);
    assert_eq!(list(&mut cluster, 2, -1, 7), (0, 1, -1, 1));
}

#[test]
fn ends_of_leader_epochs() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.produce(1, -1, &["a", "b"]);
    cluster.advance(300);
    cluster.elect(2);
    cluster.settle();
    let ask = |cluster: &mut Cluster, epoch: i32| {
        let partition = OffsetForLeaderPartition::default()
            .with_current_leader_epoch(-1)
            .with_leader_epoch(epoch);
        let topic =
            OffsetForLeaderTopic::default().with_topic(name()).with_partitions(vec![partition]);
        let body = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        let sent = cluster.send(2, key::OFFSET_FOR_LEADER_EPOCH, 4, &body);
        cluster.settle();
        let response: OffsetForLeaderEpochResponse = cluster.answer(sent).expect("answered");
        let answer = &response.topics[0].partitions[0];
        (answer.error_code, answer.leader_epoch, answer.end_offset)
    };
    assert_eq!(ask(&mut cluster, 0), (0, 0, 2));
    assert_eq!(ask(&mut cluster, 1), (0, 1, 2));
    assert_eq!(ask(&mut cluster, 9), (0, -1, -1));
}

#[test]
fn deleted_topic_lets_go_of_parked_fetches() {
    let mut cluster = Cluster::new(&[1]);
    cluster.create_topic(&[1], 1);
    let parked = cluster.fetch(1, 0, 60_000, 1);
    cluster.settle();
    cluster.delete(TOPIC_ID);
    let code = cluster.fetched(parked).expect("answered at once").error_code;
    assert!(
        [ErrorCode::NotLeaderOrFollower.code(), ErrorCode::UnknownTopicOrPartition.code()]
            .contains(&code)
    );
}

#[test]
fn the_leader_epoch_is_beside_the_offset_from_version_4_on() {
    let mut cluster = Cluster::new(&[1]);
    cluster.create_topic(&[1], 1);
    cluster.produce(1, 1, &["a"]);
    cluster.advance(100);
    for version in 1..4 {
        assert_eq!(list(&mut cluster, 1, -1, version), (0, 1, -1, -1));
    }
    assert_eq!(list(&mut cluster, 1, -1, 4), (0, 1, -1, 0));
}
