//! Batches that are sent again.

use bytes::Bytes;
use wire::batch::Producer;

use super::super::cluster::{Cluster, batch};
use super::cluster;
use crate::defect::Defect;

fn numbered(value: &str, base_sequence: i32) -> Bytes {
    batch(&[value], Some(Producer { id: 7, epoch: 0, base_sequence }))
}

/// What a batch was answered, if it was: the error and the offset.
fn send(cluster: &mut Cluster, records: &Bytes) -> Option<(i16, i64)> {
    let sent = cluster.produce_records(1, -1, records.clone(), 10_000);
    cluster.advance(600);
    cluster.acked(sent)
}

#[test]
fn sequence_noted_before_checks_acknowledges_what_it_refused() {
    let run = |defects: &[Defect]| {
        let mut cluster = cluster(defects);
        cluster.kill(2);
        cluster.kill(3);
        let refused = send(&mut cluster, &numbered("a", 0)).expect("answered");
        assert_eq!(refused.0, wire::error::ErrorCode::NotEnoughReplicas.code());
        cluster.restart(2);
        cluster.restart(3);
        cluster.advance(600);
        let again = cluster.produce_records(1, -1, numbered("a", 0), 10_000);
        send(&mut cluster, &batch(&["b"], None)).expect("answered");
        (cluster.acked(again), cluster.consume(1))
    };
    assert_eq!(run(&[]), (Some((0, 0)), vec!["a".to_owned(), "b".to_owned()]));
    let defect = [Defect::SequenceNotedBeforeChecks];
    assert_eq!(run(&defect), (Some((0, 0)), vec!["b".to_owned()]));
}

#[test]
fn ack_duplicate_at_once_does_not_wait_for_the_isr() {
    let run = |defects: &[Defect]| {
        let mut cluster = cluster(defects);
        cluster.cut(1, 2);
        cluster.cut(1, 3);
        assert_eq!(send(&mut cluster, &numbered("a", 0)), None);
        let again = send(&mut cluster, &numbered("a", 0));
        cluster.kill(1);
        cluster.heal();
        cluster.advance(600);
        (again, cluster.consume(2))
    };
    assert_eq!(run(&[]), (None, vec![]));
    assert_eq!(run(&[Defect::AckDuplicateAtOnce]), (Some((0, 0)), vec![]));
}

#[test]
fn sequence_gaps_lets_batches_overtake() {
    let run = |defects: &[Defect]| {
        let mut cluster = cluster(defects);
        for (value, sequence) in [("a", 0), ("c", 2), ("b", 1)] {
            send(&mut cluster, &numbered(value, sequence)).expect("answered");
        }
        cluster.consume(1)
    };
    assert_eq!(run(&[]), ["a", "b"]);
    assert_eq!(run(&[Defect::SequenceGaps]), ["a", "c", "b"]);
}

#[test]
fn duplicate_at_log_end_names_another_offset() {
    let run = |defects: &[Defect]| {
        let mut cluster = cluster(defects);
        send(&mut cluster, &numbered("a", 0));
        send(&mut cluster, &batch(&["b"], None));
        send(&mut cluster, &numbered("a", 0))
    };
    assert_eq!(run(&[]), Some((0, 0)));
    assert_eq!(run(&[Defect::DuplicateAtLogEnd]), Some((0, 2)));
}
