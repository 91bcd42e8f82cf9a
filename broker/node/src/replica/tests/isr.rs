//! The ISR: who leaves it, who comes back, and what the high watermark does meanwhile.

use wire::api::key;
use wire::error::ErrorCode;
use wire::messages::FetchResponse;
use wire::messages::fetch_request::ReplicaState;

use super::cluster::{Cluster, TP, batch};
use crate::defect::Defect;

#[test]
fn lagging_follower_leaves_and_comes_back() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.advance(100);
    cluster.cut(1, 3);
    let sent = cluster.produce_records(1, -1, batch(&["a"], None), 10_000);
    cluster.advance(1_000);
    assert_eq!(cluster.acked(sent), None);
    cluster.advance(1_500);
    assert_eq!(cluster.isr(), [1, 2]);
    assert_eq!(cluster.acked(sent), Some((0, 0)), "committed without 3");
    cluster.cuts.clear();
    cluster.advance(500);
    assert_eq!(cluster.isr(), [1, 2, 3]);
    assert_eq!(cluster.offsets(3), (1, 1));
}

#[test]
fn idle_followers_stay() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.advance(20_000);
    assert_eq!(cluster.isr(), [1, 2, 3]);
    assert_eq!(cluster.alter_partitions, []);
}

/// Whether the leader proposes an ISR with 3, which was fenced, and then, when asked to, came back cut off from it.
fn proposed(defects: &[Defect], comes_back: bool) -> bool {
    let mut cluster = Cluster::with(&[1, 2, 3], defects, "");
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.advance(100);
    if comes_back {
        cluster.kill(3);
        cluster.cut(1, 3);
        cluster.restart(3);
    } else {
        cluster.fence(3);
    }
    cluster.advance(300);
    cluster.alter_partitions.iter().any(|(leader, isr)| *leader == 1 && isr.contains(&3))
}

#[test]
fn neither_the_fenced_nor_an_earlier_life_is_proposed() {
    assert!(!proposed(&[], false) && !proposed(&[], true));
    assert!(proposed(&[Defect::FencedJoinsIsr], false), "a seeded defect");
    assert!(proposed(&[Defect::StaleBrokerEpoch], true), "a seeded defect");
}

#[test]
fn high_watermark_waits_for_the_controllers_word_on_a_shrink() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.cut(1, 3);
    cluster.deaf.insert(1);
    let sent = cluster.produce(1, -1, &["a"]);
    cluster.advance(5_000);
    assert_eq!(cluster.acked(sent), Some((ErrorCode::RequestTimedOut.code(), -1)));
    assert_eq!(cluster.offsets(1), (1, 0), "3 may still be in the ISR for all it knows");
    assert_eq!(cluster.isr(), [1, 2, 3]);
    cluster.deaf.clear();
    cluster.advance(2_000);
    assert_eq!(cluster.isr(), [1, 2]);
    assert_eq!(cluster.offsets(1), (1, 1));
}

#[test]
fn deposed_leaders_proposal_is_refused_and_forgotten() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 1);
    cluster.cut(1, 2);
    cluster.cut(1, 3);
    // 1 hears nothing of its successor, but can still ask.
    cluster.deaf.insert(1);
    cluster.elect(2);
    // A follower at the end of a log that does not grow never lags, however long it is gone.
    cluster.produce(1, 1, &["a"]);
    cluster.advance(3_000);
    cluster.deaf.clear();
    cluster.advance(200);
    let refused = cluster.node(1).said.iter().any(|line| line.contains("FENCED_LEADER_EPOCH"));
    assert!(refused, "{:#?}", cluster.nodes[&1].said);
    assert_eq!(cluster.isr(), [2, 3], "the successor's own view");
    cluster.heal();
    cluster.advance(1_000);
    assert_eq!(cluster.isr(), [1, 2, 3]);
    assert!(cluster.nodes[&1].manager.partitions[&TP].following().is_some());
}

#[test]
fn fenced_follower_is_not_let_in() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.fence(2);
    cluster.advance(1_000);
    assert_eq!(cluster.isr(), [1]);
    assert_eq!(cluster.alter_partitions, [], "it fetches, but is not proposed");
    cluster.unfence(2);
    cluster.settle();
    assert_eq!(cluster.isr(), [1, 2], "at once, though its fetch is parked");
}

#[test]
fn fetch_of_a_follower_that_is_none_is_refused() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2], 1);
    let epoch = cluster.nodes[&3].broker_epoch;
    let stale = cluster.nodes[&2].broker_epoch - 1;
    let code = |cluster: &mut Cluster, replica: i32, epoch: i64, leader_epoch: i32| {
        let mut body = Cluster::fetch_body(0, 0, 0);
        body.topics[0].partitions[0].current_leader_epoch = leader_epoch;
        body.replica_state =
            ReplicaState::default().with_replica_id(replica.into()).with_replica_epoch(epoch);
        let sent = cluster.send(1, key::FETCH, 17, &body);
        cluster.settle();
        let response: FetchResponse = cluster.answer(sent).expect("answered");
        response.responses[0].partitions[0].error_code
    };
    assert_eq!(code(&mut cluster, 3, epoch, -1), ErrorCode::NotLeaderOrFollower.code());
    assert_eq!(code(&mut cluster, 3, epoch, 0), ErrorCode::UnknownLeaderEpoch.code());
    assert_eq!(code(&mut cluster, 2, stale, 0), ErrorCode::NotLeaderOrFollower.code());
    assert_eq!(code(&mut cluster, 2, stale + 1, 0), 0);
}

#[test]
fn lone_survivor_below_min_insync_commits_nothing_new() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    let sent = cluster.produce(1, -1, &["a"]);
    cluster.advance(400);
    assert_eq!(cluster.acked(sent), Some((0, 0)));
    cluster.kill(2);
    cluster.kill(3);
    cluster.produce(1, 1, &["b"]);
    cluster.advance(500);
    assert_eq!(cluster.offsets(1), (2, 1));
    assert_eq!(cluster.consume(1), ["a"]);
    cluster.restart(2);
    cluster.advance(500);
    assert_eq!(cluster.isr(), [1, 2]);
    assert_eq!(cluster.consume(1), ["a", "b"]);
}
