//! What each form is read as, and where errors are.

use crate::history::edn::{EdnError, Ending, read, to_line};
use crate::operation::*;

fn one(text: &str) -> (Operation, Names) {
    let (mut operations, names, ending) = read(text.as_bytes()).expect(text);
    assert_eq!(ending, Ending::Whole, "{text}");
    assert_eq!(operations.len(), 1, "{text}");
    (operations.pop().expect("one operation"), names)
}

fn error(text: &str) -> EdnError {
    read(text.as_bytes()).expect_err(text)
}

/// Every form of the reference, written as it writes them.
const REFERENCE: &str = r#"{:index 0, :time 10, :process 0, :type :invoke, :f :assign, :value [5 8]}
{:index 1, :time 20, :process 0, :type :ok, :f :subscribe, :value [5 8]}
{:index 2, :time 30, :process 1, :type :invoke, :f :send, :value [[:send 5 1]]}
{:index 3, :time 40, :process 1, :type :ok, :f :send, :value [[:send 5 [0 1]]]}
{:index 4, :time 50, :process 0, :type :invoke, :f :poll, :value [[:poll]]}
{:index 5, :time 60, :process 0, :type :ok, :f :poll, :value [[:poll {5 [[0 1] [3 2]], 8 [[0 1]]}]]}
{:index 6, :time 70, :process 2, :type :invoke, :f :txn, :value [[:send 5 3] [:poll] [:send 8 2]]}
{:index 7, :time 80, :process 2, :type :ok, :f :txn, :value [[:send 5 [4 3]] [:poll {8 [[0 1]]}] [:send 8 [nil 2]]], :rebalance-log [{:type :assigned, :keys [8]}]}
{:index 9, :time 99, :process 1, :type :info, :f :send, :value [[:send 5 4]], :error :kafka-timeout}
{:index 11, :time 110, :process 3, :type :fail, :f :send, :value [[:send 5 6]], :error [:not-controller "x \" y"]}
{:index 12, :time 120, :process 0, :type :invoke, :f :crash, :value nil}
{:index 15, :time 150, :process 10, :type :ok, :f :debug-topic-partitions, :value {:node "n1", :node-id 1, :partitions {5 {}, 8 #{}}}}
{:index 16, :time 160, :process 10, :type :invoke, :f :assign, :value [5 8], :seek-to-beginning? true}
{:index 18, :time 180, :process 10, :type :invoke, :f :poll, :value [[:poll]], :poll-ms 1000}
{:index 19, :time 190, :process :nemesis, :type :info, :f :kill, :value {"n1" :killed}, :unseen {5 1}}
{:process 1, :type :ok, :f :poll, :value [[:poll {}]]}"#;

#[test]
fn what_the_reference_writes_is_written_again_to_the_letter() {
    let (operations, names, ending) = read(REFERENCE.as_bytes()).expect("a history");
    assert_eq!(ending, Ending::Whole);
    let lines: Vec<String> = operations.iter().map(|op| to_line(op, &names)).collect();
    assert_eq!(lines.join("\n"), REFERENCE);
}

#[test]
fn an_operation_in_words() {
    let (op, names) = one(
        "#jepsen.history.Op{:f :txn, :time -3, :type :ok :process 7 :index 4\n :value ((:send :x [4 \"a b\"]) \
         [:poll {:x ([1 [2 3]] [nil nil]), 8 []}] [:send 1 [[0] 2]] [:r 5 nil])}",
    );
    assert_eq!((op.index, op.time_ns), (Some(4), Some(-3)));
    assert_eq!(op.function, Some(Function::Txn));
    let shown: Vec<String> = op.polled.iter().map(|p| names.show(p.value)).collect();
    assert_eq!(shown, ["[2 3]", "nil"]);
    assert_eq!(op.batches.len(), 2);
    let MicroOperation::Send { key, value, place } = op.micro_operations[0] else {
        panic!("{op:?}")
    };
    assert_eq!((names.show(key), names.show(value)), (":x".into(), "\"a b\"".into()));
    assert_eq!((place, key), (Place::At(4), op.batches[0].key));
    let MicroOperation::Send { value, place, .. } = op.micro_operations[2] else {
        panic!("{op:?}")
    };
    assert_eq!((names.show(value), place), ("[[0] 2]".into(), Place::Unsaid));
    assert_eq!(op.verbatim, ["[:r 5 nil]"]);
}

#[test]
fn keys_may_come_in_any_order() {
    let sorted = one("{:type :ok, :f :send, :value [[:send 5 [0 1]]]}");
    let mixed = one("{:value [[:send 5 [0 1]]] :type :ok :f :send}");
    assert_eq!(sorted.0, mixed.0);
    for (function, shape) in [(":assign", Shape::Keys), (":txn", Shape::MicroOperations)] {
        assert_eq!(one(&format!("{{:value [] :f {function}}}")).0.shape, shape);
    }
    let nemesis = one("{:value [[:send 5 1]] :f :kill}").0;
    assert_eq!(nemesis.shape, Shape::Verbatim("[[:send 5 1]]".into()));
    // A key that stands there twice; found by fuzzing.
    let twice = one("{:f :kill :value [5] :f :assign}");
    assert_eq!(twice.0.shape, Shape::Keys);
    assert_eq!(to_line(&twice.0, &twice.1), "{:f :assign, :value [5]}");
    let nothing = one("{:value [[:send 5 1]]}").0;
    assert_eq!(nothing.shape, Shape::Verbatim("[[:send 5 1]]".into()));
}

#[test]
fn vectors_comments_tags_and_discarded_forms() {
    let text = "; a history\n[#a/b {:index 1} #_{:index 2} #_ #_ 1 [2 #_ 3] , {:index 3 #_ :x #_ y}{:index 4};end\n]\n;";
    let (operations, _, ending) = read(text.as_bytes()).expect("a history");
    assert_eq!(ending, Ending::Whole);
    let indexes: Vec<Option<u64>> = operations.iter().map(|op| op.index).collect();
    assert_eq!(indexes, [Some(1), Some(3), Some(4)]);
}

#[test]
fn numbers_of_all_kinds() {
    let numbers = "7N +5 -0 1/2 1.5 2M 1e9 ##Inf 9223372036854775807 -9223372036854775808 9223372036854775808 \\( \\newline \\u0041";
    let (op, names) = one(&format!("{{:f :assign :value [{numbers}]}}"));
    let shown: Vec<String> = op.keys.iter().map(|key| names.show(*key)).collect();
    let expected = numbers.replace("7N", "7").replace("+5", "5").replace("-0", "0");
    assert_eq!(shown.join(" "), expected);
    assert_eq!(op.keys[8].as_number(), Some(i64::MAX));
    assert_eq!(op.keys[9].as_number(), None);
}

#[test]
fn keys_that_nobody_knows_are_kept() {
    let (op, names) = one(
        "{:jepsen/x #inst \"2026-01-01\", :time nil, \"s\" #{1 2}, :poll-ms 1/2, :rebalance-log nil, 5 \\}}",
    );
    assert_eq!(op.rest.len(), 6);
    assert_eq!(one(&to_line(&op, &names)).0, op);
}

#[test]
fn a_file_cut_within_an_operation_gives_what_stands_before_it() {
    let cut = |text: &str| match read(text.as_bytes()).expect(text) {
        (operations, _, Ending::Cut { byte, line, because }) => {
            (operations.len(), byte, line, because)
        }
        whole => panic!("{whole:?}"),
    };
    let (operations, byte, line, because) = cut("{:index 0}\n{:index 1, :value [[:send");
    assert_eq!((operations, byte, line), (1, 11, 2));
    assert!(because.contains("not whole"), "{because}");
    assert_eq!(cut("[{:index 0}\n").3, "the `]` that ends it is missing");
    assert_eq!(cut("{:index 0} #jepsen.Op").0, 1);
    assert_eq!(cut("{:index 0} {:a \"").0, 1);
    assert_eq!(cut("{:index 0} #_ (").0, 1);
}

#[test]
fn errors_say_where_and_what() {
    let wrong = error("{:index 0}\n  5\n");
    assert_eq!((wrong.line, wrong.column, wrong.byte), (2, 3, 13));
    assert_eq!(
        wrong.to_string(),
        "line 2, column 3 (byte 13): expected an operation: a map like {:type :invoke, …}, found `5`"
    );
    assert_eq!(error("{:index 0}\n{:type :okay}").expected, ":invoke, :ok, :fail or :info");
    assert_eq!(error("{:value {5 [}}").expected, "`]`");
    assert_eq!(error("{:value }").expected, "a value");
    assert_eq!(error("]").line, 1);
    assert_eq!(error("[{:index 0})").column, 12);
}

#[test]
fn depth_is_bounded() {
    let deep = |depth: usize| format!("{{:value {}{}}}", "[".repeat(depth), "]".repeat(depth));
    one(&deep(100));
    assert_eq!(error(&deep(200)).expected, "fewer collections within collections");
    assert_eq!(error(&"[".repeat(200)).expected, "fewer collections around operations");
    let discards = format!("{}1 {{:index 0}}", "#_ ".repeat(100_000));
    assert!(matches!(read(discards.as_bytes()), Ok((_, _, Ending::Cut { .. }))));
}

#[test]
fn text_that_is_no_utf_8_is_refused() {
    let error = read(b"{:index 0}\n{:error \"a\xff\"}").expect_err("no text");
    assert_eq!((error.expected.as_str(), error.line), ("text in UTF-8", 2));
    let error = read(b"{:ab\xff {:c 1}}").expect_err("no text");
    assert_eq!((error.column, error.byte), (5, 4));
}
