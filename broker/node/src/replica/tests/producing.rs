//! Produce: what is acknowledged when, and what is refused.

use wire::api::key;
use wire::error::ErrorCode;
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::{ProduceRequest, ProduceResponse, TopicName};

use super::cluster::{Cluster, TOPIC, TOPIC_ID, batch};

const OK: i16 = 0;

#[test]
fn acks_all_waits_for_the_whole_isr() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.cut(1, 3);
    let sent = cluster.produce(1, -1, &["a", "b"]);
    cluster.advance(300);
    assert_eq!(cluster.acked(sent), None, "3 does not have it");
    assert_eq!(cluster.offsets(1), (2, 0));
    cluster.heal();
    cluster.advance(300);
    assert_eq!(cluster.acked(sent), Some((OK, 0)));
    assert_eq!(cluster.consume(1), ["a", "b"]);
    cluster.advance(600);
    assert_eq!((cluster.offsets(2), cluster.offsets(3)), ((2, 2), (2, 2)));
}

#[test]
fn acks_one_waits_for_the_leaders_disk_only() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.cut(1, 2);
    cluster.node(1).hold_io = true;
    let sent = cluster.produce(1, 1, &["a"]);
    cluster.settle();
    assert_eq!(cluster.acked(sent), None, "the append has not completed");
    cluster.node(1).hold_io = false;
    cluster.settle();
    assert_eq!(cluster.acked(sent), Some((OK, 0)));
    assert_eq!(cluster.offsets(1), (1, 0));
}

#[test]
fn acks_zero_is_never_answered_and_a_failure_closes_the_connection() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    let sent = cluster.produce(1, 0, &["a"]);
    cluster.settle();
    assert!(cluster.is_answered(sent) && cluster.produced(sent).is_none());
    assert_eq!(cluster.offsets(1).0, 1);
    let refused = cluster.produce(2, 0, &["b"]);
    cluster.settle();
    assert!(cluster.is_answered(refused) && cluster.produced(refused).is_none());
}

/// Found by the simulation: the acks=0 request's waiter had the number that the next request was given.
#[test]
fn acks_zero_leaves_nothing_behind_that_acknowledges_the_next() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.cut(1, 3);
    cluster.node(1).hold_io = true;
    cluster.produce(1, 0, &["a"]);
    let sent = cluster.produce(1, -1, &["b"]);
    cluster.node(1).hold_io = false;
    cluster.settle();
    assert_eq!(cluster.acked(sent), None, "3 has neither of them");
    cluster.heal();
    cluster.advance(300);
    assert_eq!(cluster.acked(sent), Some((OK, 1)));
}

#[test]
fn too_small_an_isr_refuses_before_the_append() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.kill(2);
    cluster.kill(3);
    let sent = cluster.produce(1, -1, &["a"]);
    cluster.settle();
    assert_eq!(cluster.acked(sent), Some((ErrorCode::NotEnoughReplicas.code(), -1)));
    assert_eq!(cluster.offsets(1).0, 0, "nothing was appended");
    let sent = cluster.produce(1, 1, &["b"]);
    cluster.settle();
    assert_eq!(cluster.acked(sent), Some((OK, 0)), "acks=1 does not ask for the ISR");
    assert_eq!(cluster.offsets(1), (1, 0), "and yet nothing is committed below min.insync");
}

#[test]
fn smaller_isr_and_smaller_min_insync_let_an_append_through() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.stall(2);
    cluster.stall(3);
    let sent = cluster.produce_records(1, -1, batch(&["a"], None), 10_000);
    cluster.advance(300);
    assert_eq!(cluster.acked(sent), None);
    let partition = cluster.partition_mut();
    partition.isr = vec![1];
    partition.partition_epoch += 1;
    cluster.publish();
    cluster.advance(2_000);
    assert_eq!(cluster.acked(sent), None, "below min.insync.replicas nothing is committed");
    cluster.image.configs.values_mut().for_each(|values| {
        values.insert("min.insync.replicas".into(), "1".into());
    });
    cluster.publish();
    cluster.settle();
    assert_eq!(cluster.acked(sent), Some((OK, 0)), "with min.insync 1, the leader alone commits");
}

#[test]
fn committed_under_a_shrunk_isr_is_doubtful() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.node(1).hold_io = true;
    let sent = cluster.produce(1, -1, &["a"]);
    cluster.settle();
    cluster.node(1).hold_io = false;
    cluster.stall(2);
    cluster.stall(3);
    cluster.settle();
    assert_eq!(cluster.acked(sent), None);
    // The followers fetch it, and before the leader looks at its waiters again, the ISR is down to itself.
    let manager = &mut cluster.node(1).manager;
    let partition = manager.partitions.get_mut(&super::cluster::TP).expect("hosted");
    let log = partition.log.as_mut().expect("open");
    log.set_high_watermark(1);
    let mut image = partition.image.clone();
    image.isr = vec![1];
    image.partition_epoch += 1;
    let leadership = partition.leadership_mut().expect("leads");
    leadership.update(&image, 0);
    let mut settled = Vec::new();
    partition.settle_appends(&mut settled);
    assert_eq!(settled[0].1, ErrorCode::NotEnoughReplicasAfterAppend);
}

#[test]
fn delayed_produce_times_out() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 2);
    cluster.cut(1, 2);
    let sent = cluster.produce_records(1, -1, batch(&["a"], None), 500);
    cluster.advance(499);
    assert_eq!(cluster.acked(sent), None);
    cluster.advance(1);
    assert_eq!(cluster.acked(sent), Some((ErrorCode::RequestTimedOut.code(), -1)));
    cluster.heal();
    cluster.advance(500);
    assert_eq!(cluster.offsets(1), (1, 1), "it is committed all the same");
    assert_eq!(cluster.nodes[&1].manager.produces.waiting(), 0);
}

#[test]
fn follower_refuses_and_tells_who_leads() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    let sent = cluster.produce(2, -1, &["a"]);
    cluster.settle();
    let response: ProduceResponse = cluster.answer(sent).expect("answered");
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, ErrorCode::NotLeaderOrFollower.code());
    assert_eq!(
        (partition.current_leader.leader_id.0, partition.current_leader.leader_epoch),
        (1, 0)
    );
    assert_eq!(response.node_endpoints.len(), 1);
    assert_eq!(response.node_endpoints[0].port, 9102);
}

#[test]
fn appends_in_doubt_are_failed_by_a_deposed_leader() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.cut(1, 2);
    let sent = cluster.produce(1, -1, &["a"]);
    cluster.settle();
    cluster.elect(2);
    cluster.settle();
    assert_eq!(cluster.acked(sent), Some((ErrorCode::NotLeaderOrFollower.code(), -1)));
}

#[test]
fn unknown_topics_by_name_and_by_id() {
    let mut cluster = Cluster::new(&[1]);
    cluster.create_topic(&[1], 1);
    let partition = PartitionProduceData::default().with_records(Some(batch(&["a"], None)));
    let by = |name: &str, id: u128| {
        TopicProduceData::default()
            .with_name(TopicName(wire::StrBytes::from_string(name.into())))
            .with_topic_id(uuid::Uuid::from_u128(id))
            .with_partition_data(vec![partition.clone()])
    };
    let body = |topics| {
        ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(topics)
    };
    let named = cluster.send(1, key::PRODUCE, 9, &body(vec![by(TOPIC, 0), by("nothing", 0)]));
    let numbered =
        cluster.send(1, key::PRODUCE, 13, &body(vec![by("", TOPIC_ID.as_u128()), by("", 99)]));
    cluster.settle();
    let errors = |cluster: &Cluster, sent| -> Vec<i16> {
        let response: ProduceResponse = cluster.answer(sent).expect("answered");
        response.responses.iter().map(|topic| topic.partition_responses[0].error_code).collect()
    };
    assert_eq!(errors(&cluster, named), [0, ErrorCode::UnknownTopicOrPartition.code()]);
    assert_eq!(errors(&cluster, numbered), [0, ErrorCode::UnknownTopicId.code()]);
}

#[test]
fn bad_batches_are_refused_for_what_they_are() {
    let mut cluster = Cluster::new(&[1]);
    cluster.create(
        TOPIC,
        TOPIC_ID,
        &[1],
        &[("max.message.bytes", "200"), ("min.insync.replicas", "1")],
    );
    let refused = |cluster: &mut Cluster, records: bytes::Bytes| {
        let sent = cluster.produce_records(1, -1, records, 1000);
        cluster.settle();
        cluster.acked(sent).expect("answered").0
    };
    let large = "x".repeat(300);
    let code = refused(&mut cluster, batch(&[&large], None));
    assert_eq!(code, ErrorCode::MessageTooLarge.code());
    let mut corrupt = batch(&["a"], None).to_vec();
    *corrupt.last_mut().expect("bytes") ^= 1;
    assert_eq!(refused(&mut cluster, corrupt.into()), ErrorCode::CorruptMessage.code());
    let cut = batch(&["a"], None).slice(..40);
    assert_eq!(refused(&mut cluster, cut), ErrorCode::InvalidRecord.code(), "as Kafka says");
    let two = [batch(&["a"], None), batch(&["b"], None)].concat();
    assert_eq!(refused(&mut cluster, two.into()), ErrorCode::InvalidRecord.code());
    let sent = cluster.send(
        1,
        key::PRODUCE,
        13,
        &ProduceRequest::default().with_acks(7).with_topic_data(vec![
            TopicProduceData::default()
                .with_topic_id(TOPIC_ID)
                .with_partition_data(vec![PartitionProduceData::default()]),
        ]),
    );
    cluster.settle();
    assert_eq!(cluster.acked(sent), Some((ErrorCode::InvalidRequiredAcks.code(), -1)));
    assert_eq!(cluster.offsets(1).0, 0);
}
