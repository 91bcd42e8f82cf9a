//! What consumers are shown.

use super::super::cluster::Cluster;
use super::super::fetching::list;
use super::cluster;
use crate::defect::Defect;

/// The leader alone has a record.
fn lone_leader(defects: &[Defect]) -> Cluster {
    let mut cluster = cluster(defects);
    cluster.cut(1, 2);
    cluster.cut(1, 3);
    cluster.produce(1, -1, &["a"]);
    cluster.settle();
    cluster
}

#[test]
fn read_past_high_watermark_shows_what_is_taken_back() {
    let run = |defects: &[Defect]| {
        let mut cluster = lone_leader(defects);
        let before = cluster.consume(1);
        cluster.kill(1);
        cluster.heal();
        cluster.advance(600);
        (before, cluster.consume(2))
    };
    assert_eq!(run(&[]), (vec![], vec![]));
    assert_eq!(run(&[Defect::ReadPastHighWatermark]), (vec!["a".to_owned()], vec![]));
}

#[test]
fn latest_is_log_end_tells_an_end_that_is_not_committed() {
    let latest = |defects: &[Defect]| list(&mut lone_leader(defects), 1, -1, 7).1;
    assert_eq!(latest(&[]), 0);
    assert_eq!(latest(&[Defect::LatestIsLogEnd]), 1);
}

#[test]
fn new_leader_commits_its_tail_and_shows_it() {
    let run = |defects: &[Defect]| {
        let mut cluster = cluster(defects);
        cluster.cut(1, 3);
        cluster.cut(2, 3);
        cluster.produce(1, -1, &["a"]);
        cluster.settle();
        assert_eq!(cluster.offsets(2), (1, 0));
        cluster.kill(1);
        let before = cluster.consume(2);
        cluster.elect(3);
        cluster.settle();
        cluster.heal();
        cluster.advance(600);
        (before, cluster.consume(3))
    };
    assert_eq!(run(&[]), (vec![], vec![]));
    assert_eq!(run(&[Defect::NewLeaderCommitsItsTail]), (vec!["a".to_owned()], vec![]));
}
