//! Records and sends: each kind found, and near misses.

use super::history::*;
use model::finding::{CheckVerdict, Kind};

const ABCD: &str = "1 invoke send [[:send 5 1] [:send 5 2] [:send 5 3] [:send 5 4]]
    1 ok send [[:send 5 [0 1]] [:send 5 [1 2]] [:send 5 [2 3]] [:send 5 [3 4]]]\n";

fn after(lines: &str) -> String {
    format!("{ABCD}{lines}")
}

#[test]
fn a_history_that_is_as_it_should_be() {
    clean(&after(
        "2 invoke assign [5]\n 2 ok assign [5]\n 2 invoke poll [[:poll]]
        2 ok poll [[:poll {5 [[0 1] [1 2]]}]]\n 2 invoke poll [[:poll]]
        2 ok poll [[:poll {5 [[2 3] [3 4]]}]]\n :nemesis info kill {\"n1\" :killed}",
    ));
}

#[test]
fn passed_over_for_good_is_lost() {
    let report = check(&after("2 invoke poll [[:poll]]\n 2 ok poll [[:poll {5 [[3 4]]}]]"));
    assert_eq!(found(&report), [(Kind::LostWrite, 3), (Kind::Unseen, 3)]);
    let finding = &of(&report, Kind::LostWrite).findings[0];
    assert_eq!((finding.first_offset, finding.last_offset, finding.count), (Some(0), Some(2), 3));
    assert_eq!(finding.ids.len(), 3);
    assert_eq!(finding.log.partition, 5);
    assert_eq!(
        finding.because,
        "3 records of key 5 (offsets 0 to 2) were acknowledged. No poll ever had them, and operation 3 (process 2) \
         went on beyond: value 4 at offset 3 was read."
    );
    let indexes: Vec<Option<u64>> = finding.evidence.iter().map(|step| step.index).collect();
    assert_eq!(indexes, [Some(1), Some(1), Some(3)]);
}

#[test]
fn not_read_yet_is_unseen_and_not_lost() {
    let report = check(&after("2 invoke poll [[:poll]]\n 2 ok poll [[:poll {5 [[0 1] [1 2]]}]]"));
    assert_eq!(found(&report), [(Kind::Unseen, 2)]);
    assert_eq!(of(&report, Kind::Unseen).verdict, CheckVerdict::Invalid);
}

#[test]
fn an_indeterminate_write_is_lost_only_if_its_operation_took_effect() {
    let torn =
        "1 invoke txn [[:send 5 1] [:send 8 2]]\n 1 info txn [[:send 5 [0 1]] [:send 8 [0 2]]]
        2 invoke send [[:send 8 3]]\n 2 ok send [[:send 8 [1 3]]]
        3 invoke poll [[:poll]]\n";
    clean(&format!("{torn} 3 ok poll [[:poll {{8 [[1 3]]}}]]"));
    let report = check(&format!("{torn} 3 ok poll [[:poll {{5 [[0 1]], 8 [[1 3]]}}]]"));
    assert_eq!(found(&report), [(Kind::LostWrite, 1)]);
    assert_eq!(of(&report, Kind::LostWrite).findings[0].outcome.as_deref(), Some("info"));
}

#[test]
fn lost_where_it_was_overwritten() {
    // The reference's own case: 1 stood at 0 by its acknowledgement, and so did 2.
    let report = check(
        "0 invoke send [[:send 5 1]]\n 0 ok send [[:send 5 [0 1]]]
        0 invoke send [[:send 5 2] [:send 5 3]]\n 0 ok send [[:send 5 [0 2]] [:send 5 [2 3]]]
        0 invoke poll [[:poll]]\n 0 ok poll [[:poll {5 [[0 2] [2 3]]}]]",
    );
    let kinds: Vec<Kind> = found(&report).iter().map(|found| found.0).collect();
    assert!(kinds.contains(&Kind::LostWrite) && kinds.contains(&Kind::InconsistentOffsets));
    assert_eq!(of(&report, Kind::LostWrite).count, 1);
}

#[test]
fn one_value_at_two_offsets_is_a_duplicate_and_nothing_else() {
    let report = check(&after(
        "2 invoke poll [[:poll]]
        2 ok poll [[:poll {5 [[0 1] [1 2] [2 3] [3 4] [4 2]]}]]",
    ));
    assert_eq!(found(&report), [(Kind::Duplicate, 1)]);
    assert!(because(&report, Kind::Duplicate).contains("offsets 1 and 4"));
    // Between an acknowledgement and a poll as well.
    let report = check(
        "1 invoke send [[:send 5 1]]\n 1 ok send [[:send 5 [1 1]]]
        2 invoke poll [[:poll]]\n 2 ok poll [[:poll {5 [[3 1]]}]]",
    );
    assert_eq!(found(&report), [(Kind::Duplicate, 1)]);
    // A failed send's offset says nothing, a failed poll's does.
    let report = check(
        "0 invoke send [[:send 5 7]]\n 0 ok send [[:send 5 [1 7]]]
        0 invoke send [[:send 5 8]]\n 0 fail send [[:send 5 [2 8]]]
        1 invoke poll [[:poll]]\n 1 fail poll [[:poll {5 [[11 7] [12 8]]}]]",
    );
    assert_eq!(found(&report), [(Kind::Duplicate, 1)]);
}

#[test]
fn read_twice_at_one_offset_is_no_duplicate() {
    clean(&after(
        "2 invoke poll [[:poll]]\n 2 ok poll [[:poll {5 [[0 1] [1 2] [2 3] [3 4]]}]]
        3 invoke poll [[:poll]]\n 3 ok poll [[:poll {5 [[0 1] [1 2] [2 3] [3 4]]}]]",
    ));
}

#[test]
fn two_values_at_one_offset() {
    let real = "0 invoke send [[:send 11 641]]\n 0 ok send [[:send 11 [537 641]]]
        1 invoke send [[:send 11 645]]\n 1 ok send [[:send 11 [537 645]]]";
    let report = check(real);
    assert_eq!(of(&report, Kind::InconsistentOffsets).count, 1);
    assert!(
        because(&report, Kind::InconsistentOffsets).starts_with("Offset 537 of key 11 holds value")
    );
    // An indeterminate send's offset counts once one of its records was read.
    let info = "0 invoke send [[:send 5 1] [:send 8 1]]\n 0 info send [[:send 5 [0 1]] [:send 8 1]]
        1 invoke send [[:send 5 2]]\n 1 ok send [[:send 5 [0 2]]]\n";
    assert_eq!(found(&check(info)), [(Kind::Unseen, 1)]);
    let read = format!("{info} 2 invoke poll [[:poll]]\n 2 ok poll [[:poll {{8 [[5 1]]}}]]");
    assert_eq!(of(&check(&read), Kind::InconsistentOffsets).count, 1);
}

#[test]
fn what_failed_and_was_read_is_g1a() {
    let failed = "0 invoke send [[:send 5 2] [:send 8 3]]\n 0 fail send [[:send 5 2] [:send 8 3]]
        1 invoke poll [[:poll]]\n";
    let report = check(&format!("{failed} 1 ok poll [[:poll {{5 [[0 2]]}}]]"));
    assert_eq!(found(&report), [(Kind::G1a, 1)]);
    clean(&format!("{failed} 1 fail poll [[:poll {{5 [[0 2]]}}]]"));
    clean(&format!("{failed} 1 ok poll [[:poll {{}}]]"));
    clean(&format!("{} 1 ok poll [[:poll {{5 [[0 2]]}}]]", failed.replace("fail", "info")));
}

#[test]
fn what_an_operation_sent_itself_it_must_not_read() {
    let own = "0 invoke txn [[:send 5 1] [:poll]]\n 0 ok txn [[:send 5 [0 1]] [:poll {5 [[0 1]]}]]";
    assert_eq!(found(&check(own)), [(Kind::PrecommittedRead, 1)]);
    assert_eq!(found(&check(&own.replace(" ok ", " info "))), [(Kind::PrecommittedRead, 1)]);
    // What an earlier operation of its process sent, it may.
    clean(
        "0 invoke txn [[:send 5 1]]\n 0 ok txn [[:send 5 [0 1]]]
        0 invoke txn [[:poll]]\n 0 ok txn [[:poll {5 [[0 1]]}]]",
    );
}

#[test]
fn nobody_sent_it() {
    let phantom =
        "2 invoke poll [[:poll]]\n 2 ok poll [[:poll {5 [[0 1] [1 2] [2 3] [3 4] [4 99]]}]]";
    let report = check(&after(phantom));
    assert_eq!(found(&report), [(Kind::Phantom, 1)]);
    assert!(because(&report, Kind::Phantom).contains("nobody sent it"));
    let elsewhere = "3 invoke send [[:send 8 99]]\n 3 info send [[:send 8 99]]";
    let report = check(&after(&format!("{phantom}\n{elsewhere}")));
    assert!(because(&report, Kind::Phantom).contains("it was sent to key 8, not there"));
    // Sent by an operation that was never completed: somebody did.
    clean(&after(&format!("3 invoke send [[:send 5 99]]\n{phantom}")));
}

#[test]
fn a_process_whose_sends_go_back() {
    let back = "0 invoke send [[:send 5 1]]\n 0 ok send [[:send 5 [3 1]]]
        0 invoke send [[:send 5 2]]\n 0 ok send [[:send 5 [1 2]]]
        1 invoke poll [[:poll]]\n 1 ok poll [[:poll {5 [[1 2] [3 1]]}]]";
    let kinds = |lines: &str| found(&check(lines)).iter().map(|found| found.0).collect::<Vec<_>>();
    assert!(kinds(back).contains(&Kind::NonmonotonicSend));
    // Of another process it is none, and a failed operation neither is held against the one before nor stands for it.
    assert_eq!(
        kinds(&back.replacen("0 invoke", "7 invoke", 1).replacen("0 ok", "7 ok", 1)),
        [Kind::G0Realtime]
    );
    assert!(!kinds(&back.replacen("0 ok", "0 fail", 1)).contains(&Kind::NonmonotonicSend));
}

#[test]
fn one_operation_whose_sends_go_back_or_leave_room() {
    let back =
        "0 invoke send [[:send 5 3] [:send 5 1]]\n 0 ok send [[:send 5 [3 3]] [:send 5 [1 1]]]
        1 invoke poll [[:poll]]\n 1 ok poll [[:poll {5 [[1 1] [3 3]]}]]";
    assert_eq!(found(&check(back)), [(Kind::IntNonmonotonicSend, 1)]);
    let skip = "0 invoke send [[:send 5 1] [:send 5 3]]\n 0 ok send [[:send 5 [1 1]] [:send 5 3]]
        1 invoke send [[:send 5 2]]\n 1 info send [[:send 5 2]]
        2 invoke poll [[:poll]]\n 2 ok poll [[:poll {5 [[1 1] [2 2] [3 3]]}]]";
    let report = check_with(skip, without_writes());
    assert_eq!(found(&report), [(Kind::IntSendSkip, 1)]);
    assert_eq!(of(&report, Kind::IntSendSkip).verdict, CheckVerdict::Valid);
    assert!(
        of(&report, Kind::IntSendSkip).because.as_deref().is_some_and(|b| b.starts_with("allowed"))
    );
}
