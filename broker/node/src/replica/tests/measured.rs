//! What a leader and its followers count of themselves.

use super::cluster::{Cluster, TP};
use crate::metrics::ReplicaMetrics;
use crate::replica::partition::Role;

fn metrics(cluster: &Cluster, node: i32) -> ReplicaMetrics {
    cluster.nodes[&node].manager.metrics()
}

#[test]
fn a_leader_tells_of_a_follower_that_lags() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 3);
    cluster.advance(100);
    let whole = ReplicaMetrics { partitions: 1, leaders: 1, ..ReplicaMetrics::default() };
    assert_eq!(metrics(&cluster, 1), whole);
    assert_eq!(metrics(&cluster, 2), ReplicaMetrics { leaders: 0, ..whole });

    cluster.cut(1, 3);
    cluster.produce(1, -1, &["a"]);
    cluster.advance(2_500);
    assert_eq!(cluster.isr(), [1, 2]);
    let shrunk = ReplicaMetrics { under_replicated: 1, under_min_isr: 1, isr_shrinks: 1, ..whole };
    assert_eq!(metrics(&cluster, 1), shrunk);
    assert_eq!(metrics(&cluster, 2).under_replicated, 0, "its leader tells, and nobody else");

    cluster.cuts.clear();
    cluster.advance(500);
    assert_eq!(cluster.isr(), [1, 2, 3]);
    assert_eq!(metrics(&cluster, 1), ReplicaMetrics { isr_shrinks: 1, isr_expands: 1, ..whole });
}

#[test]
fn an_isr_that_the_controller_shrinks_is_no_shrink_of_the_leaders() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.advance(100);
    cluster.fence(3);
    cluster.advance(100);
    let told = metrics(&cluster, 1);
    assert_eq!((told.under_replicated, told.under_min_isr, told.isr_shrinks), (1, 0, 0));
}

#[test]
fn lag_is_what_a_follower_lacks_of_the_committed() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.produce(1, -1, &["a", "b"]);
    cluster.advance(1_000);
    assert_eq!(metrics(&cluster, 2).lag_max, 0);
    let partition = cluster.node(2).manager.partitions.get_mut(&TP).expect("it is hosted");
    let Role::Follower(following) = &mut partition.role else { panic!("2 follows") };
    following.leader_high_watermark = 7;
    assert_eq!(metrics(&cluster, 2).lag_max, 5);
    assert_eq!(metrics(&cluster, 1).lag_max, 0, "a leader follows nobody");
}
