//! What readers pass over or go back to, and what excuses them.

use super::history::*;
use model::finding::{CheckVerdict, Kind};

/// Values 0 to 7 of key 5 stand at offsets 0 to 7, and process 9 has read them all.
fn eight(lines: &str) -> String {
    let each = |text: &dyn Fn(u32) -> String| (0..8).map(text).collect::<Vec<_>>().join(" ");
    let bare = each(&|value| format!("[:send 5 {value}]"));
    let sent = each(&|value| format!("[:send 5 [{value} {value}]]"));
    let read = each(&|value| format!("[{value} {value}]"));
    format!(
        "1 invoke send [{bare}]\n 1 ok send [{sent}]
        9 invoke poll [[:poll]]\n 9 ok poll [[:poll {{5 [{read}]}}]]\n{lines}"
    )
}

/// A poll that had these values.
fn poll(stage: &str, values: &[u32]) -> String {
    let read: Vec<String> = values.iter().map(|value| format!("[{value} {value}]")).collect();
    format!("2 invoke poll [[:poll]]\n 2 {stage} poll [[:poll {{5 [{}]}}]]\n", read.join(" "))
}

#[test]
fn within_one_operation() {
    let report = check(&eight(&poll("ok", &[1, 4, 5])));
    assert_eq!(found(&report), [(Kind::IntPollSkip, 1)]);
    assert_eq!(
        because(&report, Kind::IntPollSkip),
        "Operation 5 (process 2) read value 1 at offset 1 of key 5 and then value 4 at offset 4. Between them stand \
         2 records (offsets 2 to 3), the first of them value 2."
    );
    assert_eq!(found(&check(&eight(&poll("fail", &[3, 1, 2])))), [(Kind::IntNonmonotonicPoll, 1)]);
    assert_eq!(found(&check(&eight(&poll("info", &[3, 3])))), [(Kind::IntNonmonotonicPoll, 1)]);
    let two_polls =
        "2 invoke txn [[:poll] [:poll]]\n 2 ok txn [[:poll {5 [[1 1]]}] [:poll {5 [[4 4]]}]]";
    assert_eq!(found(&check(&eight(two_polls))), [(Kind::IntPollSkip, 1)]);
    let rebalanced = two_polls.to_owned() + " :rebalance-log [{:type :assigned, :keys [5]}]";
    clean(&eight(&rebalanced));
    let other_key = two_polls.to_owned() + " :rebalance-log [{:type :assigned, :keys [8]}]";
    assert_eq!(found(&check(&eight(&other_key))), [(Kind::IntPollSkip, 1)]);
}

#[test]
fn across_operations() {
    let skip = poll("ok", &[0, 1]) + &poll("ok", &[4]);
    let report = check(&eight(&skip));
    assert_eq!(found(&report), [(Kind::PollSkip, 1)]);
    assert_eq!(of(&report, Kind::PollSkip).verdict, CheckVerdict::Invalid);
    let back = poll("ok", &[0, 1, 2]) + &poll("ok", &[2, 3]);
    assert_eq!(found(&check(&eight(&back))), [(Kind::NonmonotonicPoll, 1)]);
    clean(&eight(&(poll("ok", &[0, 1]) + &poll("ok", &[2, 3]))));
    // Another process has a position of its own.
    clean(&eight(&(poll("ok", &[0, 1]) + &poll("ok", &[4]).replace('2', "3"))));
}

#[test]
fn a_failed_poll_does_not_move_its_reader() {
    let rewound =
        poll("ok", &[0]) + &poll("fail", &[1, 2]) + &poll("info", &[1, 2]) + &poll("ok", &[1]);
    clean(&eight(&rewound));
    let gone_on =
        poll("ok", &[0]) + &poll("fail", &[1, 2]) + &poll("fail", &[3, 4]) + &poll("ok", &[5]);
    let report = check(&eight(&gone_on));
    assert_eq!(found(&report), [(Kind::PollSkip, 2)]);
    assert_eq!(of(&report, Kind::PollSkip).findings.len(), 2);
}

#[test]
fn what_readers_do_alike_is_told_once() {
    let skip = poll("ok", &[1]) + &poll("ok", &[4]);
    let report = check(&eight(
        &(skip.clone() + &skip.replace("2 invoke", "3 invoke").replace("2 ok", "3 ok")),
    ));
    assert_eq!(found(&report), [(Kind::PollSkip, 2)]);
    assert_eq!(of(&report, Kind::PollSkip).findings.len(), 1);
    assert!(because(&report, Kind::PollSkip).ends_with("2 operations did so."));
}

#[test]
fn assignments_excuse_what_they_leave_out() {
    let between =
        |assign: &str| eight(&format!("{}{assign}\n{}", poll("ok", &[1]), poll("ok", &[4])));
    for function in ["assign", "subscribe"] {
        clean(&between(&format!("2 invoke {function} [8]\n 2 ok {function} [8]")));
        clean(&between(&format!("2 invoke {function} [8]\n 2 info {function} [8]")));
        for not in [
            format!("2 invoke {function} [8]\n 2 fail {function} [8]"),
            format!("2 invoke {function} [5 8]\n 2 ok {function} [5 8]"),
            format!("3 invoke {function} [8]\n 3 ok {function} [8]"),
        ] {
            assert_eq!(found(&check(&between(&not))), [(Kind::PollSkip, 1)], "{not}");
        }
    }
    // A seek moves the reader on purpose.
    clean(&between("2 invoke assign [5]\n 2 ok assign [5] :seek-to-beginning? true"));
}

#[test]
fn subscribed_readers_are_checked_and_allowed() {
    let skip = eight(&(poll("ok", &[0, 1]) + &poll("ok", &[4])));
    let report = check_with(&skip, subscribed());
    assert_eq!(found(&report), [(Kind::PollSkip, 1)]);
    assert_eq!(verdict(&report), CheckVerdict::Valid);
    let rebalanced = skip.trim_end().to_owned() + " :rebalance-log [{:type :assigned, :keys [5]}]";
    assert_eq!(found(&check_with(&rebalanced, subscribed())), []);
    // Within an operation nothing is allowed.
    assert_eq!(
        verdict(&check_with(&eight(&poll("ok", &[1, 4])), subscribed())),
        CheckVerdict::Invalid
    );
}

#[test]
fn holes_and_records_without_a_place_are_no_skips() {
    clean(
        "1 invoke send [[:send 5 1] [:send 5 2]]\n 1 ok send [[:send 5 [3 1]] [:send 5 [90 2]]]
        2 invoke poll [[:poll]]\n 2 ok poll [[:poll {5 [[3 1] [90 2]]}]]
        3 invoke poll [[:poll]]\n 3 ok poll [[:poll {5 [[nil 1] [nil 2]]}]]",
    );
}
