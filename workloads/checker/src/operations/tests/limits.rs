//! Where the reference throws, is blind or says too much.

use super::history::*;
use crate::operations::{Cleanup, OperationChecker, Options, number_of};
use model::finding::{CheckVerdict, Kind};
use model::operation::Names;

#[test]
fn what_nobody_sent_stops_nothing_else() {
    let report = check(
        "0 invoke send [[:send 5 1]]\n 0 ok send [[:send 5 [0 1]]]
        1 invoke poll [[:poll]]\n 1 ok poll [[:poll {5 [[0 1] [1 77]], 8 [[0 1]]}]]",
    );
    assert_eq!(found(&report), [(Kind::Phantom, 2)]);
}

#[test]
fn unseen_never_names_what_was_polled() {
    clean(
        "0 invoke send [[:send 5 1]]\n 0 info send [[:send 5 1]]
        1 invoke poll [[:poll]]\n 1 ok poll [[:poll {5 [[0 1]]}]]",
    );
}

#[test]
fn a_history_without_dependencies_is_no_error() {
    clean("0 invoke send [[:send 5 1]]\n 0 info send [[:send 5 1]]");
    let empty = check("0 invoke assign [5]\n 0 ok assign [5]");
    assert_eq!((found(&empty), verdict(&empty)), (vec![], CheckVerdict::Unknown));
}

#[test]
fn seen_by_a_failed_or_crashed_poll_only_is_read() {
    for stage in ["fail", "info"] {
        clean(&format!(
            "0 invoke send [[:send 5 1] [:send 5 2]]\n 0 ok send [[:send 5 [0 1]] [:send 5 [1 2]]]
            1 invoke poll [[:poll]]\n 1 {stage} poll [[:poll {{5 [[0 1]]}}]]
            2 invoke poll [[:poll]]\n 2 ok poll [[:poll {{5 [[1 2]]}}]]"
        ));
    }
}

const REMOVED: &str = "0 invoke send [[:send 5 1] [:send 5 2] [:send 5 3]]
    0 ok send [[:send 5 [0 1]] [:send 5 [1 2]] [:send 5 [2 3]]]
    1 invoke assign [5]\n 1 ok assign [5] :seek-to-beginning? true
    1 invoke poll [[:poll]]\n";

#[test]
fn removal_may_explain_a_loss_below_every_beginning() {
    let options = |cleanup| Options { cleanup: Some(cleanup), ..Options::default() };
    let tail = format!("{REMOVED} 1 ok poll [[:poll {{5 [[2 3]]}}]]");
    assert_eq!(of(&check(&tail), Kind::LostWrite).verdict, CheckVerdict::Invalid);
    for cleanup in [Cleanup::Delete, Cleanup::Compact] {
        let report = check_with(&tail, options(cleanup));
        assert_eq!(of(&report, Kind::LostWrite).verdict, CheckVerdict::Unknown);
        assert_eq!(of(&report, Kind::LostWrite).count, 2);
        assert_eq!(verdict(&report), CheckVerdict::Unknown);
    }
    // Retention takes the beginning of a log, not its middle.
    let middle = format!("{REMOVED} 1 ok poll [[:poll {{5 [[0 1] [2 3]]}}]]");
    let report = check_with(&middle, options(Cleanup::Delete));
    assert_eq!(of(&report, Kind::LostWrite).verdict, CheckVerdict::Invalid);
    let report = check_with(&middle, options(Cleanup::Compact));
    assert_eq!(verdict(&report), CheckVerdict::Unknown);
}

#[test]
fn a_reader_that_never_gets_on_is_stuck() {
    let empty = "1 invoke poll [[:poll]]\n 1 ok poll [[:poll {}]]\n";
    let others = "2 invoke poll [[:poll]]\n 2 ok poll [[:poll {5 [[0 1] [1 2] [2 3]]}]]\n";
    let reader = format!("{REMOVED} 1 ok poll [[:poll {{5 [[0 1]]}}]]\n{others}");
    let report = check(&format!("{reader}{}", empty.repeat(10)));
    assert_eq!(found(&report), [(Kind::Stuck, 2)].map(|(kind, _)| (kind, 1)));
    assert_eq!(
        because(&report, Kind::Stuck),
        "Process 1 stands after value 1 at offset 0 of key 5 and polled 10 times with nothing to show, to the end of \
         the history. All that time 2 records (offsets 1 to 2) were there for it: acknowledged before those polls began."
    );
    clean(&format!("{reader}{}", empty.repeat(9)));
    // It got on at last; it ended; it had everything; it was given other keys.
    let after = format!("{reader}{}", empty.repeat(12));
    clean(&format!("{after} 1 invoke poll [[:poll]]\n 1 ok poll [[:poll {{5 [[1 2] [2 3]]}}]]"));
    clean(&format!("{after} 1 invoke crash nil\n 1 info crash nil"));
    clean(&format!(
        "{REMOVED} 1 ok poll [[:poll {{5 [[0 1] [1 2] [2 3]]}}]]\n{}",
        empty.repeat(12)
    ));
    clean(&format!("{after} 1 invoke assign [8]\n 1 ok assign [8]\n{}", empty.repeat(12)));
    // What was acknowledged only after its polls had begun is no proof.
    let late = "3 invoke send [[:send 5 4]]\n 3 ok send [[:send 5 [3 4]]]\n 4 invoke poll [[:poll]]
        4 ok poll [[:poll {5 [[3 4]]}]]\n";
    let all = format!("{REMOVED} 1 ok poll [[:poll {{5 [[0 1] [1 2] [2 3]]}}]]\n");
    clean(&format!("{all}{}{late}{}", empty.repeat(12), empty.repeat(9)));
    assert_eq!(found(&check(&format!("{all}{late}{}", empty.repeat(10)))), [(Kind::Stuck, 1)]);
}

#[test]
fn a_producer_is_not_excused_by_its_consumer() {
    let report = check(
        "0 invoke send [[:send 5 1]]\n 0 ok send [[:send 5 [1 1]]]
        0 invoke assign [8]\n 0 ok assign [8]
        0 invoke send [[:send 5 2]]\n 0 ok send [[:send 5 [0 2]]]
        1 invoke poll [[:poll]]\n 1 ok poll [[:poll {5 [[0 2] [1 1]]}]]",
    );
    assert_eq!(of(&report, Kind::NonmonotonicSend).count, 1);
}

#[test]
fn high_offsets_cost_nothing() {
    let first = 1_000_000_000_000i64;
    let sent: Vec<String> = (0..3).map(|at| format!("[:send 5 [{} {at}]]", first + at)).collect();
    let read: Vec<String> = (0..3).map(|at| format!("[{} {at}]", first + at)).collect();
    clean(&format!(
        "0 invoke send [[:send 5 0] [:send 5 1] [:send 5 2]]\n 0 ok send [{}]
        1 invoke poll [[:poll]]\n 1 ok poll [[:poll {{5 [{}]}}]]",
        sent.join(" "),
        read.join(" ")
    ));
}

#[test]
fn values_and_keys_of_any_kind() {
    let report = check(
        "0 invoke send [[:send :x \"a\"] [:send :x [1]]]
        0 ok send [[:send :x [0 \"a\"]] [:send :x [1 [1]]]]
        1 invoke poll [[:poll]]\n 1 ok poll [[:poll {:x [[1 [1]]]}]]",
    );
    assert_eq!(found(&report), [(Kind::LostWrite, 1), (Kind::Unseen, 1)]);
    assert!(because(&report, Kind::LostWrite).contains("key :x"), "{report:?}");
    assert!(because(&report, Kind::LostWrite).contains("value [1] at offset 1"));
}

#[test]
fn completions_that_come_twice_or_alone() {
    let twice = "0 invoke send [[:send 5 1]]\n 0 ok send [[:send 5 [0 1]]]\n 0 ok send [[:send 5 [0 1]]]
        1 invoke poll [[:poll]]\n 1 ok poll [[:poll {5 [[0 1]]}]]\n 1 ok poll [[:poll {5 [[0 1]]}]]";
    let report = check(twice);
    assert_eq!(found(&report), []);
    assert_eq!(
        report.warnings,
        ["the history holds 2 completions that said again what had been said"]
    );
    // An acknowledgement that comes late is one.
    let late =
        "0 invoke send [[:send 5 1]]\n 0 info send [[:send 5 1]]\n 0 ok send [[:send 5 [0 1]]]";
    assert_eq!(found(&check(late)), [(Kind::Unseen, 1)]);
    // Without invocations nobody knows what came before what.
    let alone = "0 ok send [[:send 5 [1 1]]]\n 1 ok send [[:send 5 [0 2]]]\n 2 ok poll [[:poll {5 [[0 2] [1 1]]}]]";
    assert_eq!(found(&check(alone)), []);
    assert_eq!(check(alone).warnings, ["the history holds 3 completions without an invocation"]);
}

#[test]
fn an_outcome_that_says_nothing_takes_its_invocation_s_word() {
    clean(
        "0 invoke send [[:send 5 1]]\n 0 info send nil\n 1 invoke poll [[:poll]]\n 1 ok poll [[:poll {5 [[0 1]]}]]",
    );
}

#[test]
fn a_cut_history_cannot_tell_unseen_from_late() {
    let (operations, names) =
        operations("0 invoke send [[:send 5 1]]\n 0 ok send [[:send 5 [0 1]]]");
    let mut checker = OperationChecker::new(Options::default());
    operations.iter().for_each(|operation| checker.feed(operation));
    checker.history_was_cut("at byte 9");
    let report = checker.finish(&names);
    assert_eq!(of(&report, Kind::Unseen).verdict, CheckVerdict::Unknown);
    assert_eq!(verdict(&report), CheckVerdict::Unknown);
    let nothing = OperationChecker::new(Options::default()).finish(&Names::default());
    assert_eq!(verdict(&nothing), CheckVerdict::Unknown);
}

#[test]
fn findings_are_bounded_and_counts_are_exact() {
    let mut lines = String::new();
    for value in 0..50 {
        let offset = 2 * value;
        lines += &format!(
            "0 invoke send [[:send 5 {value}]]\n 0 ok send [[:send 5 [{offset} {value}]]]\n"
        );
        lines += &format!(
            "1 invoke poll [[:poll]]\n 1 ok poll [[:poll {{5 [[{} {value}]]}}]]\n",
            offset + 1
        );
    }
    let report = check_with(&lines, Options { findings_max: 3, ..Options::default() });
    assert_eq!(of(&report, Kind::Duplicate).count, 50);
    assert_eq!(of(&report, Kind::Duplicate).findings.len(), 3);
    assert_eq!(of(&report, Kind::PollSkip).count, 49);
    assert_eq!(of(&report, Kind::PollSkip).findings.len(), 3);
}

#[test]
fn a_reader_that_retention_overtook_is_excused() {
    let lines = format!(
        "2 invoke poll [[:poll]]\n 2 ok poll [[:poll {{5 [[0 1]]}}]]\n{REMOVED} 1 ok poll [[:poll {{5 [[2 3]]}}]]
        2 invoke poll [[:poll]]\n 2 ok poll [[:poll {{5 [[2 3]]}}]]"
    );
    let lines =
        lines.replacen("2 invoke", "0 invoke send [[:send 5 0]]\n 0 info send nil\n 2 invoke", 1);
    assert_eq!(of(&check(&lines), Kind::PollSkip).verdict, CheckVerdict::Invalid);
    let delete = Options { cleanup: Some(Cleanup::Delete), ..Options::default() };
    assert_eq!(
        of(&check_with(&lines, delete.clone()), Kind::PollSkip).verdict,
        CheckVerdict::Unknown
    );
    // The log still begins at 0 for those who look later.
    let later = format!(
        "{lines}\n 3 invoke assign [5]\n 3 ok assign [5] :seek-to-beginning? true
        3 invoke poll [[:poll]]\n 3 ok poll [[:poll {{5 [[0 1] [1 2] [2 3]]}}]]"
    );
    assert_eq!(of(&check_with(&later, delete), Kind::PollSkip).verdict, CheckVerdict::Invalid);
}

/// Logs of our own histories have keys beyond 32 bits once there are enough topics.
#[test]
fn a_finding_says_which_key_it_is_about_however_high_its_number() {
    for key in [5, i64::from(u32::MAX) + 5, i64::MAX] {
        let report = check(&format!(
            "0 invoke send [[:send {key} 1]]\n 0 ok send [[:send {key} [0 1]]]
            0 invoke send [[:send {key} 2]]\n 0 ok send [[:send {key} [1 2]]]
            1 invoke poll [[:poll]]\n 1 ok poll [[:poll {{{key} [[1 2]]}}]]"
        ));
        assert_eq!(number_of(of(&report, Kind::LostWrite).findings[0].log), Some(key));
    }
    let named = check(
        "0 invoke send [[:send :a [0 1]]]\n 0 ok send [[:send :a [0 1]]]\n 0 invoke send [[:send :a [1 2]]]
        0 ok send [[:send :a [1 2]]]\n 1 invoke poll [[:poll]]\n 1 ok poll [[:poll {:a [[1 2]]}]]",
    );
    let finding = &of(&named, Kind::LostWrite).findings[0];
    assert_eq!((number_of(finding.log), finding.topic.as_str()), (None, ":a"));
}
