//! What is acknowledged, and who may be elected.

use super::super::cluster::Cluster;
use super::cluster;
use crate::defect::Defect;

/// Broker 1 dies and 3, which is in the ISR, leads: whether the write was acknowledged before, and what is left.
fn three_leads(mut cluster: Cluster, sent: super::super::cluster::Sent) -> (bool, Vec<String>) {
    let acknowledged = cluster.acked(sent) == Some((0, 0));
    cluster.cut(2, 3);
    cluster.kill(1);
    assert!(cluster.isr().contains(&3));
    cluster.elect(3);
    if cluster.nodes[&3].stalled {
        cluster.resume(3);
    }
    cluster.settle();
    cluster.heal();
    cluster.advance(1_000);
    (acknowledged, cluster.consume(3))
}

#[test]
fn high_watermark_by_majority_forgets_the_slowest_of_the_isr() {
    let run = |defects: &[Defect]| {
        let mut cluster = cluster(defects);
        cluster.cut(1, 3);
        let sent = cluster.produce(1, -1, &["a"]);
        cluster.advance(300);
        three_leads(cluster, sent)
    };
    assert_eq!(run(&[]), (false, vec![]));
    assert_eq!(run(&[Defect::HighWatermarkByMajority]), (true, vec![]));
}

#[test]
fn shrink_isr_unasked_forgets_whom_the_controller_may_elect() {
    let run = |defects: &[Defect]| {
        let mut cluster = cluster(defects);
        cluster.stall(3);
        cluster.deaf.insert(1);
        let sent =
            cluster.produce_records(1, -1, super::super::cluster::batch(&["a"], None), 10_000);
        cluster.advance(3_000);
        three_leads(cluster, sent)
    };
    assert_eq!(run(&[]), (false, vec![]));
    assert_eq!(run(&[Defect::ShrinkIsrUnasked]), (true, vec![]));
}

#[test]
fn join_isr_at_high_watermark_lets_in_who_misses_acknowledged_records() {
    let run = |defects: &[Defect]| {
        let mut cluster = cluster(defects);
        cluster.kill(3);
        let sent = cluster.produce(1, -1, &["a"]);
        cluster.settle();
        assert_eq!(cluster.acked(sent), Some((0, 0)));
        assert_eq!(cluster.offsets(2), (1, 0), "it has not heard that the record is committed");
        cluster.kill(1);
        cluster.cut(2, 3);
        cluster.restart(3);
        // It fetches, and what it gets does not reach its disk.
        cluster.node(3).hold_io = true;
        cluster.heal();
        cluster.advance(300);
        assert_eq!(cluster.offsets(3).0, 0);
        cluster.isr()
    };
    assert_eq!(run(&[]), [2]);
    assert_eq!(run(&[Defect::JoinIsrAtHighWatermark]), [2, 3]);
}

#[test]
fn min_insync_unchecked_acknowledges_what_one_broker_has() {
    let run = |defects: &[Defect]| {
        let mut cluster = cluster(defects);
        cluster.kill(2);
        cluster.kill(3);
        let sent = cluster.produce(1, -1, &["a"]);
        cluster.settle();
        cluster.acked(sent).map(|(error, _)| error)
    };
    assert_eq!(run(&[]), Some(wire::error::ErrorCode::NotEnoughReplicas.code()));
    assert_eq!(run(&[Defect::MinInsyncUnchecked]), Some(0));
}
