//! Each seeded defect shows, in the very scenario that a healthy cluster survives.

mod isr;
mod producers;
mod readers;

use wire::batch::Producer;

use super::cluster::{Cluster, batch};
use crate::defect::Defect;

fn cluster(defects: &[Defect]) -> Cluster {
    let mut cluster = Cluster::with(&[1, 2, 3], defects, "");
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.advance(300);
    cluster
}

/// The leader is cut off from its followers, is written to, and dies.
fn acknowledged_then_gone(defects: &[Defect]) -> (bool, Vec<String>) {
    let mut cluster = cluster(defects);
    cluster.cut(1, 2);
    cluster.cut(1, 3);
    let sent = cluster.produce(1, -1, &["a"]);
    cluster.settle();
    let acknowledged = cluster.acked(sent) == Some((0, 0));
    cluster.kill(1);
    cluster.cuts.clear();
    cluster.advance(500);
    (acknowledged, cluster.consume(2))
}

#[test]
fn ack_before_isr_loses_what_was_acknowledged() {
    assert_eq!(acknowledged_then_gone(&[]), (false, vec![]));
    assert_eq!(acknowledged_then_gone(&[Defect::AckBeforeIsr]), (true, vec![]));
}

/// KIP-101, scenario 1: a follower restarts before it heard of the high watermark, and its leader dies.
fn restart_then_lead(defects: &[Defect]) -> Vec<String> {
    let mut cluster = cluster(defects);
    let sent = cluster.produce(1, -1, &["a"]);
    cluster.settle();
    assert_eq!(cluster.acked(sent), Some((0, 0)));
    // The followers have it, and have not heard that it is committed.
    assert_eq!((cluster.offsets(2), cluster.offsets(3)), ((1, 0), (1, 0)));
    cluster.kill(1);
    cluster.advance(1);
    let leader = cluster.partition().leader;
    cluster.restart(1);
    cluster.advance(1_000);
    cluster.consume(leader)
}

#[test]
fn truncate_to_high_watermark_loses_what_was_acknowledged() {
    assert_eq!(restart_then_lead(&[]), ["a"]);
    // The other follower cuts its log at 0 as it begins to follow the new leader; that alone is mended by
    // fetching again, so the new leader must die before it is.
    let lost = |defects: &[Defect]| {
        let mut cluster = cluster(defects);
        let sent = cluster.produce(1, -1, &["a"]);
        cluster.settle();
        assert_eq!(cluster.acked(sent), Some((0, 0)));
        cluster.cut(2, 3);
        cluster.kill(1);
        // 2 leads, 3 follows it and can't fetch; then 2 dies too, and 3 of the ISR leads.
        cluster.kill(2);
        cluster.restart(1);
        cluster.cuts.clear();
        cluster.advance(2_000);
        assert_eq!(cluster.partition().leader, 3);
        cluster.consume(3)
    };
    assert_eq!(lost(&[]), ["a"]);
    assert_eq!(lost(&[Defect::TruncateToHighWatermark]), Vec::<String>::new());
}

/// A deposed leader's own records stay in its log, and it is elected again.
fn diverged_then_elected(defects: &[Defect], shared: &[&str]) -> Vec<String> {
    let mut cluster = cluster(defects);
    for value in shared {
        cluster.produce(1, -1, &[value]);
        cluster.advance(600);
    }
    cluster.cut(1, 2);
    cluster.cut(1, 3);
    cluster.deaf.insert(1);
    cluster.produce(1, -1, &["stray"]);
    cluster.settle();
    cluster.fence(1);
    cluster.settle();
    for value in ["a", "b"] {
        let sent = cluster.produce(2, -1, &[value]);
        cluster.advance(600);
        assert_eq!(cluster.acked(sent).map(|(error, _)| error), Some(0));
    }
    cluster.heal();
    cluster.unfence(1);
    cluster.advance(1_000);
    assert_eq!(cluster.isr(), [1, 2, 3]);
    cluster.elect(1);
    cluster.advance(600);
    cluster.consume(1)
}

#[test]
fn no_epoch_fencing_keeps_a_deposed_leaders_records() {
    assert_eq!(diverged_then_elected(&[], &[]), ["a", "b"]);
    assert_eq!(diverged_then_elected(&[Defect::NoEpochFencing], &[]), ["stray", "b"]);
}

#[test]
fn stale_epoch_stamp_hides_where_the_logs_part() {
    assert_eq!(diverged_then_elected(&[], &["x"]), ["x", "a", "b"]);
    let hidden = diverged_then_elected(&[Defect::StaleEpochStamp], &["x"]);
    assert_eq!(hidden, ["x", "stray", "b"]);
}

/// KIP-279: two quick changes of leader, and the follower's last epoch is one that the leader never had.
fn led_twice_between_two_fetches(defects: &[Defect]) -> Vec<String> {
    let mut cluster = cluster(defects);
    cluster.produce(1, -1, &["x"]);
    cluster.advance(600);
    for (one, other) in [(1, 2), (1, 3), (2, 3)] {
        cluster.cut(one, other);
    }
    for (leader, values) in [(2, vec!["b", "b2", "b3"]), (3, vec!["c"]), (2, vec!["d"])] {
        cluster.elect(leader);
        cluster.settle();
        values.iter().for_each(|value| {
            cluster.produce(leader, 1, &[value]);
        });
        cluster.settle();
    }
    cluster.heal();
    cluster.advance(1_000);
    cluster.elect(3);
    cluster.advance(1_000);
    cluster.consume(3)
}

#[test]
fn truncate_once_keeps_a_record_that_the_leader_never_had() {
    assert_eq!(led_twice_between_two_fetches(&[]), ["x", "b", "b2", "b3", "d"]);
    let kept = led_twice_between_two_fetches(&[Defect::TruncateOnce]);
    assert_eq!(kept, ["x", "c", "b2", "b3", "d"]);
}

fn retried_after_failover(defects: &[Defect]) -> Vec<String> {
    let mut cluster = cluster(defects);
    let records = batch(&["a"], Some(Producer { id: 7, epoch: 0, base_sequence: 0 }));
    let sent = cluster.produce_records(1, -1, records.clone(), 1000);
    cluster.advance(600);
    assert_eq!(cluster.acked(sent), Some((0, 0)));
    cluster.kill(1);
    let again = cluster.produce_records(2, -1, records, 1000);
    cluster.advance(600);
    assert_eq!(cluster.acked(again).map(|(error, _)| error), Some(0));
    cluster.consume(2)
}

#[test]
fn forget_producer_state_appends_a_retry_twice() {
    assert_eq!(retried_after_failover(&[]), ["a"]);
    assert_eq!(retried_after_failover(&[Defect::ForgetProducerState]), ["a", "a"]);
}
