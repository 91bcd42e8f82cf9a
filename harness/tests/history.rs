//! Histories in files, from outside: checked in every form, converted between them, and refused where they are none.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use model::history::*;
use model::settings::{Acks, ProducerSettings, TopicSettings};
use place::Place;
use serde_json::{Value, json};
use std::fs;

const CLEAN: &str = r#"
{:index 0, :time 10, :process 0, :type :invoke, :f :send, :value [[:send 5 1]]}
{:index 1, :time 20, :process 0, :type :ok, :f :send, :value [[:send 5 [0 1]]]}
{:index 2, :time 30, :process 0, :type :invoke, :f :send, :value [[:send 5 2]]}
{:index 3, :time 40, :process 0, :type :ok, :f :send, :value [[:send 5 [3 2]]]}
{:index 4, :time 50, :process 1, :type :invoke, :f :poll, :value [[:poll]]}
{:index 5, :time 60, :process 1, :type :ok, :f :poll, :value [[:poll {5 [[0 1] [3 2]]}]]}
"#;

/// Value 1 was acknowledged at offset 0, and a poll began beyond it.
fn lost() -> String {
    CLEAN.replace("{5 [[0 1] [3 2]]}", "{5 [[3 2]]}")
}

/// Two transactions that read from each other: legal where writes order their writers as well.
const CYCLE: &str = r#"
{:index 0, :time 10, :process 0, :type :invoke, :f :txn, :value [[:send 5 1] [:poll]]}
{:index 1, :time 20, :process 1, :type :invoke, :f :txn, :value [[:send 6 1] [:poll]]}
{:index 2, :time 30, :process 0, :type :ok, :f :txn, :value [[:send 5 [0 1]] [:poll {6 [[0 1]]}]]}
{:index 3, :time 40, :process 1, :type :ok, :f :txn, :value [[:send 6 [0 1]] [:poll {5 [[0 1]]}]]}
"#;

fn named<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let mut all = answer["checks"].as_array().expect("checks").iter();
    all.find(|check| check["name"] == name).unwrap_or_else(|| panic!("there is no check {name}"))
}

#[test]
fn jepsens_histories_are_checked_by_jepsens_names() {
    let place = Place::new();
    place.write("clean.edn", CLEAN);
    place.write("lost", &lost());
    let clean = place.run(["check", "clean.edn", "--json"]).code(0).json();
    assert_eq!((&clean["file"], &clean["verdict"]), (&json!("clean.edn"), &json!("valid")));

    // Told by its first byte.
    let lost = place.run(["check", "lost", "--json"]).code(1).json();
    assert_eq!(lost["verdict"], "invalid");
    let check = named(&lost, "lost-write");
    assert_eq!((&check["verdict"], &check["count"]), (&json!("invalid"), &json!(1)));
    let finding = &check["findings"][0];
    assert_eq!(
        (&finding["key"], &finding["offset"], &finding["values"]),
        (&json!(5), &json!(0), &json!([1]))
    );
    assert!(finding["ops"].as_array().is_some_and(|ops| !ops.is_empty()), "{finding}");
    assert!(
        finding["because"].as_str().is_some_and(|because| because.contains("offset 0")),
        "{finding}"
    );

    let text = place.run(["check", "lost"]).code(1).out;
    assert!(text.starts_with("INVALID  lost\n") && text.contains("lost-write"), "{text}");
}

#[test]
fn many_files_are_answered_in_their_order() {
    let (place, lost) = (Place::new(), lost());
    for at in 0..9 {
        place.write(&format!("{at}.edn"), if at % 3 == 0 { &lost } else { CLEAN });
    }
    let names: Vec<String> = (0..9).map(|at| format!("{at}.edn")).collect();
    let args =
        ["check", "--json", "--jobs", "4"].into_iter().chain(names.iter().map(String::as_str));
    let answers = place.run(args).code(1).json();
    let answers = answers.as_array().expect("an answer for each file");
    for (at, answer) in answers.iter().enumerate() {
        let verdict = if at % 3 == 0 { "invalid" } else { "valid" };
        assert_eq!((&answer["file"], &answer["verdict"]), (&json!(names[at]), &json!(verdict)));
    }
}

#[test]
fn what_counts_as_bad_is_chosen_as_in_jepsen() {
    let place = Place::new();
    place.write("cycle.edn", CYCLE);
    let allowed = place.run(["check", "cycle.edn", "--json"]).code(0).json();
    let check = named(&allowed, "G1c");
    assert_eq!((&check["verdict"], &check["count"]), (&json!("valid"), &json!(1)), "{check}");
    assert!(
        check["because"].as_str().is_some_and(|because| because.contains("allowed")),
        "{check}"
    );
    let bad = place.run(["check", "cycle.edn", "--no-ww-deps", "--json"]).code(1).json();
    let finding = &named(&bad, "G1c")["findings"][0];
    assert_eq!(finding["cycle"].as_array().map(Vec::len), Some(2), "{finding}");

    // A subscribed reader may be moved between its polls.
    let moved = lost().replace("[[3 2]]}]]}", "[[3 2]]}]]}\n{:index 6, :time 70, :process 1, :type :invoke, :f :poll, :value [[:poll]]}\n{:index 7, :time 80, :process 1, :type :ok, :f :poll, :value [[:poll {5 [[0 1]]}]]}");
    place.write("moved.edn", &moved);
    place.run(["check", "moved.edn"]).code(1);
    place.run(["check", "moved.edn", "--via", "subscribe"]).code(0);
}

#[test]
fn a_history_that_is_none_is_refused_with_its_place() {
    let place = Place::new();
    place.write("bad.edn", &CLEAN.replace(":value [[:send 5 2]]", ":value [[:send 5 2}]"));
    place.run(["check", "bad.edn"]).code(3).says(&["bad.edn", "line 4", "expected"]);
    place.write("bad.jsonl", "{\"event\":\"phase\"}\n{\"mono_ns\":1,\"wall_ms\":1,\"event\":\"phase\",\"phase\":\"dawn\"}\n");
    place.run(["check", "bad.jsonl"]).code(3).says(&["bad.jsonl:1"]);
    place.write("cut.edn", &CLEAN[..CLEAN.len() - 30]);
    let cut = place.run(["check", "cut.edn", "--json"]).code(2).json();
    assert_eq!(cut["verdict"], "unknown");
    assert!(
        cut["cut"].as_str().is_some_and(|because| because.contains("cut off at line")),
        "{cut}"
    );
    place.run(["history", "convert", "bad.edn", "bad.txt"]).code(64).says(&["bad.txt", ".jsonl"]);
}

/// Three records sent and read, in JSON Lines.
fn small() -> String {
    let (topic, log) = (TopicRef(0), LogRef { topic: TopicRef(0), partition: 0 });
    let id = |sequence| RecordId { session: Session(1), sequence };
    let settings = TopicSettings {
        partitions: 1,
        replication_factor: 3,
        min_insync_replicas: 2,
        unclean_leader_election: false,
        cleanup_policy: "delete".into(),
        retention_ms: -1,
        retention_bytes: -1,
        message_timestamp_type: "CreateTime".into(),
        flush_messages: i64::MAX,
        flush_ms: i64::MAX,
        properties: Default::default(),
    };
    let producer = ProducerSettings {
        acks: Acks::All,
        idempotence: true,
        retries: 10,
        in_flight_requests_max: 5,
        transactional_id: None,
        properties: Default::default(),
        library: "test".into(),
    };
    let mut events = vec![
        Event::Run { run: 1, seed: 1, plan: "small".into() },
        Event::Topic { topic, name: "queue".into(), topic_id: [1; 16], settings },
        Event::ProducerOpened { session: Session(1), name: "p".into(), settings: producer },
    ];
    for sequence in 0..3 {
        events.push(Event::Send { id: id(sequence), log, intended_mono_ns: 5 });
        let outcome = Outcome::Ok { offset: Some(sequence as i64) };
        events.push(Event::Sent { id: id(sequence), outcome, error: None });
    }
    events.push(Event::LogBounds { log, leader_epoch: 0, start: 0, end: 3, settled: true });
    for reader in [Session(7), Session(8)] {
        let pass = 0;
        let assigned = ReaderEvent::Assigned { logs: vec![(log, None)] };
        let records = (0..3).map(|at| (at as i64, Seen::Record(id(at)))).collect();
        events.push(Event::PassBegan { reader, pass, kind: PassKind::Final });
        events.push(Event::Reader { reader, pass, what: assigned });
        events.push(Event::Polled { reader, pass, log, records });
        events.push(Event::PassEnded { reader, pass, complete: true });
    }
    let line = |(at, event): (usize, &Event)| {
        let time = Time { mono_ns: at as u64 * 1_000_000, wall_ms: at as i64 };
        model::history::json::to_line(&time, event) + "\n"
    };
    events.iter().enumerate().map(line).collect()
}

#[test]
fn a_history_goes_from_form_to_form_and_stays_what_it_is() {
    let place = Place::new();
    let lines = small();
    place.write("one.jsonl", &lines);
    place.run(["history", "convert", "one.jsonl", "two.hwh"]).code(0);
    place.run(["history", "convert", "two.hwh", "three.jsonl"]).code(0);
    assert_eq!(fs::read_to_string(place.path("three.jsonl")).expect("it was made"), lines);
    let checks = |file: &str| place.run(["check", file, "--json"]).code(0).json()["checks"].clone();
    assert_eq!(checks("one.jsonl"), checks("two.hwh"));

    let left_out = ["1 × topic", "2 × pass_began", "1 × log_bounds"];
    place.run(["history", "convert", "two.hwh", "four.edn"]).code(0).says(&left_out);
    let edn = fs::read_to_string(place.path("four.edn")).expect("it was made");
    assert!(edn.contains(":f :send") && edn.contains(":f :poll"), "{edn}");
    assert_eq!(place.run(["check", "four.edn", "--json"]).code(0).json()["verdict"], "valid");
    place.run(["history", "convert", "four.edn", "five.edn"]).code(0);
    assert_eq!(fs::read_to_string(place.path("five.edn")).expect("it was made"), edn);

    place
        .run(["history", "convert", "two.hwh", "one.jsonl"])
        .code(3)
        .says(&["cannot make one.jsonl"]);
    assert_eq!(fs::read_to_string(place.path("one.jsonl")).expect("left alone"), lines);
}

/// What the checks of a file come to, whatever form it has.
fn answers(place: &Place, file: &str) -> Value {
    let mut answer = place.run(["check", file, "--json"]).json();
    answer["file"].take();
    answer
}

#[test]
fn an_edn_history_goes_through_our_own_forms_and_stays_what_it_is() {
    let place = Place::new();
    for (name, text) in [("clean", CLEAN), ("lost", &lost()), ("cycle", CYCLE)] {
        let file = |ending: &str| format!("{name}.{ending}");
        place.write(&file("edn"), text);
        for (from, to) in [("edn", "hwh"), ("hwh", "jsonl"), ("jsonl", "again.edn")] {
            place.run(["history", "convert", &file(from), &file(to)]).code(0);
            assert_eq!(answers(&place, &file("edn")), answers(&place, &file(to)), "{name} {to}");
        }
        let again = fs::read_to_string(place.path(file("again.edn"))).expect("it was made");
        assert_eq!(again.trim(), text.trim());
    }
    // What was cut is told, and what came before is there.
    place.write("cut.edn", &CLEAN[..CLEAN.len() - 30]);
    let cut = place.run(["history", "convert", "cut.edn", "cut.hwh"]).code(0);
    cut.says(&["cut off at line", "cut.hwh"]);
    // Events of ours and operations are two kinds of histories.
    let operation = fs::read_to_string(place.path("clean.jsonl")).expect("it was made");
    place.write("both.jsonl", &(operation + &small()));
    place.run(["check", "both.jsonl"]).code(3).says(&["both.jsonl", "other events among them"]);
}

#[test]
fn a_finding_says_its_key_offset_values_and_operations_in_any_history() {
    let place = Place::new();
    let first = "[0,{\"record\":{\"session\":1,\"sequence\":0}}],";
    assert!(small().contains(first), "{}", small());
    place.write("lost.jsonl", &small().replace(first, ""));
    let answer = place.run(["check", "lost.jsonl", "--json"]).code(1).json();
    let finding = &named(&answer, "lost-write")["findings"][0];
    assert_eq!(
        (&finding["key"], &finding["offset"], &finding["values"]),
        (&json!("queue-0"), &json!(0), &json!(["1:0"]))
    );
    assert_eq!(finding["ops"], finding["evidence"]);
    assert!(finding["ops"].as_array().is_some_and(|ops| !ops.is_empty()), "{finding}");
}
