//! Cycles of each kind, and orders that are none.

use super::history::*;
use crate::operations::Options;
use model::finding::{CheckVerdict, Edge, Kind};

const WRITES: &str =
    "0 invoke send [[:send 5 1] [:send 8 1]]\n 1 invoke send [[:send 5 2] [:send 8 2]]
    0 ok send [[:send 5 [0 1]] [:send 8 [1 1]]]\n 1 ok send [[:send 5 [1 2]] [:send 8 [0 2]]]
    2 invoke poll [[:poll]]\n 2 ok poll [[:poll {5 [[0 1] [1 2]], 8 [[0 2] [1 1]]}]]";

#[test]
fn two_writers_in_two_orders_are_g0() {
    let report = check(WRITES);
    assert_eq!(found(&report), [(Kind::G0, 1)]);
    assert_eq!(verdict(&report), CheckVerdict::Valid, "Kafka allows it");
    let finding = &of(&report, Kind::G0).findings[0];
    let edges: Vec<Edge> = finding.cycle.iter().map(|step| step.edge).collect();
    assert_eq!(edges, [Edge::WriteWrite, Edge::WriteWrite]);
    let text = &finding.because;
    assert!(text.contains("1. Operation 2 (process 0) sent value 1 at offset 0 to key 5, and operation 3 (process 1) \
         the next one there, value 2 at offset 1."), "{text}");
    assert!(text.ends_with("value 1 at offset 1: a contradiction."), "{text}");
    assert_eq!(
        finding.evidence.iter().map(|step| step.index).collect::<Vec<_>>(),
        [Some(2), Some(3)]
    );
    assert_eq!(found(&check_with(WRITES, without_writes())), []);
}

#[test]
fn one_process_against_the_log_is_g0_process() {
    // 1 before 2 by the log of 5, 2 before 3 by the log of 8, 3 before 1 by process 0.
    let report = check(
        "1 invoke txn [[:send 5 2] [:send 8 2]]\n 0 invoke send [[:send 8 3]]
        0 ok send [[:send 8 [1 3]]]\n 0 invoke send [[:send 5 1]]\n 0 ok send [[:send 5 [0 1]]]
        1 ok txn [[:send 5 [1 2]] [:send 8 [0 2]]]
        2 invoke poll [[:poll]]\n 2 ok poll [[:poll {5 [[0 1] [1 2]], 8 [[0 2] [1 3]]}]]",
    );
    assert_eq!(found(&report), [(Kind::G0Process, 1)]);
}

/// 1 was acknowledged before 2 was sent, and stands behind it.
const LATE: &str = "0 invoke send [[:send 5 1]]\n 0 ok send [[:send 5 [1 1]]]
    1 invoke send [[:send 5 2]]\n 1 ok send [[:send 5 [0 2]]]
    2 invoke poll [[:poll]]\n 2 ok poll [[:poll {5 [[0 2] [1 1]]}]]";

#[test]
fn real_time_against_the_log_is_g0_realtime() {
    let report = check(LATE);
    assert_eq!(found(&report), [(Kind::G0Realtime, 1)]);
    let edges: Vec<Edge> =
        of(&report, Kind::G0Realtime).findings[0].cycle.iter().map(|step| step.edge).collect();
    assert_eq!(edges, [Edge::Realtime, Edge::WriteWrite]);
    // Begun before the other ended, it may stand anywhere; so it may if nobody knows that it ended.
    let overlapping = "1 invoke send [[:send 5 2]]\n".to_owned()
        + &LATE.replacen("1 invoke send [[:send 5 2]]", "", 1);
    clean(&overlapping);
    clean(&LATE.replacen("0 ok", "0 info", 1));
}

#[test]
fn real_time_reaches_over_others() {
    let between = "3 invoke poll [[:poll]]\n 3 ok poll [[:poll {}]]\n 4 invoke poll [[:poll]]\n 4 ok poll [[:poll {}]]
        1 invoke send [[:send 5 2]]";
    let report = check(&LATE.replacen("1 invoke send [[:send 5 2]]", between, 1));
    assert_eq!(found(&report), [(Kind::G0Realtime, 1)]);
    assert_eq!(
        of(&report, Kind::G0Realtime).findings[0].cycle.len(),
        2,
        "barriers are no operations"
    );
}

const READS: &str = "0 invoke txn [[:send 5 1] [:poll]]\n 1 invoke txn [[:send 8 2] [:poll]]
    0 ok txn [[:send 5 [0 1]] [:poll {8 [[0 2]]}]]\n 1 ok txn [[:send 8 [0 2]] [:poll {5 [[0 1]]}]]";

#[test]
fn two_that_read_each_other_are_g1c() {
    let report = check_with(READS, without_writes());
    assert_eq!(found(&report), [(Kind::G1c, 1)]);
    assert_eq!(verdict(&report), CheckVerdict::Invalid);
    assert_eq!(verdict(&check(READS)), CheckVerdict::Valid, "allowed among write-write edges");
    assert_eq!(found(&check(READS)), [(Kind::G1c, 1)]);
    assert_eq!(found(&check(&READS.replacen("8 [[0 2]]", "", 1))), [(Kind::Unseen, 1)]);
}

#[test]
fn a_write_and_a_read_are_g1c_only_with_writes() {
    let lines = "0 invoke txn [[:send 5 1] [:send 8 3]]\n 1 invoke txn [[:poll] [:send 8 2]]
        0 ok txn [[:send 5 [0 1]] [:send 8 [2 3]]]\n 1 ok txn [[:poll {5 [[0 1]]}] [:send 8 [1 2]]]
        2 invoke poll [[:poll]]\n 2 ok poll [[:poll {8 [[1 2] [2 3]]}]]";
    assert_eq!(found(&check(lines)), [(Kind::G1c, 1)]);
    assert_eq!(found(&check_with(lines, without_writes())), []);
}

#[test]
fn read_before_it_was_sent() {
    // By its own process: session order. By real time alone: another process had read it.
    let own = "0 invoke poll [[:poll]]\n 0 ok poll [[:poll {5 [[0 1]]}]]
        0 invoke send [[:send 5 1]]\n 0 ok send [[:send 5 [0 1]]]";
    assert_eq!(found(&check_with(own, without_writes())), [(Kind::G1cProcess, 1)]);
    let other = own.replacen("0 invoke", "3 invoke", 1).replacen("0 ok", "3 ok", 1);
    assert_eq!(found(&check_with(&other, without_writes())), [(Kind::G1cRealtime, 1)]);
    assert_eq!(found(&check(&other)), [(Kind::G1cRealtime, 1)]);
}

#[test]
fn each_component_is_told_by_its_weakest_orders() {
    // A cycle of plain edges within a component of real-time edges hides nothing of another component.
    let both =
        format!("{WRITES}\n{}", LATE.replace("[:send 5", "[:send 11").replace("{5 ", "{11 "));
    assert_eq!(found(&check(&both)), [(Kind::G0, 1), (Kind::G0Realtime, 1)]);
}

#[test]
fn out_of_steps_it_is_still_a_cycle_of_that_kind() {
    for lines in [WRITES, LATE, READS] {
        let full = check(lines);
        let short = check_with(lines, Options { cycle_steps_max: 0, ..Options::default() });
        assert_eq!(found(&full), found(&short));
        let kind = found(&short)[0].0;
        let finding = &of(&short, kind).findings[0];
        assert!(finding.because.contains("may be a shorter one"));
        assert_eq!(finding.cycle.len(), of(&full, kind).findings[0].cycle.len());
    }
}

#[test]
fn writes_are_ordered_across_what_nobody_sent() {
    // 9 stands between them and is a phantom: the order of the others is known all the same.
    let report = check(&LATE.replace("[0 2] [1 1]", "[0 2] [1 9] [2 1]").replace("[1 1]", "[2 1]"));
    assert_eq!(found(&report), [(Kind::Phantom, 1), (Kind::G0Realtime, 1)]);
}
