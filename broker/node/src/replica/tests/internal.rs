//! What the broker's own coordinators do: append with acks=all, and read a partition back.

use wire::batch::{Batch, split_batches};
use wire::error::ErrorCode;

use super::cluster::{Cluster, TOPIC_ID, TP, batch};
use crate::replica::ReplicaEvent;

fn append(cluster: &mut Cluster, node: i32, value: &str, tag: u64) -> Result<i64, ErrorCode> {
    let batches = vec![Batch::new(batch(&[value], None)).expect("a batch")];
    let mut result = Err(ErrorCode::None);
    cluster.step(node, |manager, ctx| {
        result = manager.append_internal(ctx, TOPIC_ID, 0, batches, 500, tag);
    });
    result
}

fn done(cluster: &Cluster, node: i32) -> Vec<(u64, Result<i64, ErrorCode>)> {
    let events = cluster.nodes[&node].events.iter();
    events
        .filter_map(|event| match event {
            ReplicaEvent::AppendDone { tag, result } => Some((*tag, *result)),
            _ => None,
        })
        .collect()
}

#[test]
fn internal_append_is_done_when_it_is_committed() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 2);
    assert_eq!(append(&mut cluster, 1, "a", 7), Ok(0));
    assert_eq!(done(&cluster, 1), []);
    cluster.settle();
    assert_eq!(done(&cluster, 1), [(7, Ok(1))]);
    assert_eq!(append(&mut cluster, 2, "a", 8), Err(ErrorCode::NotLeaderOrFollower));
    cluster.cut(1, 2);
    assert_eq!(append(&mut cluster, 1, "b", 9), Ok(1));
    cluster.advance(600);
    assert_eq!(done(&cluster, 1).last(), Some(&(9, Err(ErrorCode::RequestTimedOut))));
    assert_eq!(append(&mut cluster, 1, "c", 10), Ok(2));
    cluster.elect(2);
    cluster.settle();
    assert_eq!(done(&cluster, 1).last(), Some(&(10, Err(ErrorCode::NotLeaderOrFollower))));
}

#[test]
fn whole_partition_is_read_back_in_chunks() {
    let mut cluster = Cluster::with(&[1], &[], "highwater.tail.cache.bytes=100\n");
    cluster.create_topic(&[1], 1);
    for value in 0..30 {
        append(&mut cluster, 1, &format!("value-{value}"), value).expect("leads");
        cluster.settle();
    }
    assert_eq!(cluster.nodes[&1].manager.led_partitions(TOPIC_ID), [(0, 0)]);
    assert_eq!(cluster.nodes[&1].manager.log_start_offset(TOPIC_ID, 0), Some(0));
    let (mut offset, mut values, mut chunks) = (0, Vec::new(), 0);
    loop {
        cluster.step(1, |manager, ctx| manager.read_internal(ctx, TOPIC_ID, 0, offset, 300, 99));
        cluster.settle();
        let Some(ReplicaEvent::ReadDone { tag: 99, result: Ok(read) }) =
            cluster.node(1).events.pop()
        else {
            panic!("no chunk");
        };
        chunks += 1;
        for batch in split_batches(read.batches.concat().into()).expect("whole batches") {
            values.extend(
                batch
                    .records()
                    .expect("readable")
                    .map(|record| record.expect("good").value.expect("a value")),
            );
        }
        offset = read.next_offset;
        if offset >= read.log_end_offset {
            break;
        }
    }
    assert!(chunks > 3, "{chunks}");
    let expected: Vec<String> = (0..30).map(|value| format!("value-{value}")).collect();
    assert_eq!(values, expected);
}

#[test]
fn internal_read_of_a_follower_is_refused() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.step(2, |manager, ctx| manager.read_internal(ctx, TOPIC_ID, 0, 0, 100, 1));
    let refused = ReplicaEvent::ReadDone { tag: 1, result: Err(ErrorCode::NotLeaderOrFollower) };
    assert_eq!(cluster.nodes[&2].events.last(), Some(&refused));
    assert!(cluster.nodes[&2].manager.partitions.contains_key(&TP));
}

#[test]
fn roles_are_told() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.elect(2);
    cluster.settle();
    let roles = |cluster: &Cluster, node: i32| -> Vec<ReplicaEvent> {
        let events = cluster.nodes[&node].events.iter().cloned();
        events.filter(|event| !matches!(event, ReplicaEvent::Started { .. })).collect()
    };
    assert_eq!(
        roles(&cluster, 1),
        [
            ReplicaEvent::BecameLeader { id: TP, leader_epoch: 0 },
            ReplicaEvent::LostLeadership { id: TP }
        ]
    );
    assert_eq!(roles(&cluster, 2), [ReplicaEvent::BecameLeader { id: TP, leader_epoch: 1 }]);
}
