//! Faults of clients: producers that die with requests in flight, and more connections than a broker is used to. None of it
//! needs any privilege.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Place, read_json_lines};
use serde_json::Value;
use std::collections::BTreeSet;

const HEAD: &str = r#"
schema = 1
name = "clients"
[target]
profile = "fast"
[topic]
name = "queue"
partitions = 2
[workload]
rate = "400/s"
record_bytes = "256B"
[time]
setup = "120s"
baseline = "1s"
run = "6s"
settle = "120s"
heal = "120s"
deadline = "20s"
"#;

/// One, then all.
const KILLED: &str = r#"
[[fault]]
name = "kill-producer"
from = "500ms"
for = "1s"
[[fault]]
name = "kill-producer"
on = "producers"
from = "4s"
for = "1s"
"#;

/// Three members on two partitions each: whoever is thrown out leaves work to the two others.
const STALLED: &str = r#"
[[fault]]
name = "stall-consumer"
from = "500ms"
for = "1s"
"#;
const OF_GROUPS: [&str; 4] = ["--set", "workload.consumers=3", "--set", "topic.partitions=6"];

const FENCED: &str = r#"
[[fault]]
name = "fence"
from = "500ms"
for = "500ms"
every = "2s"
count = 2
"#;

const STORM: &str = r#"
[[fault]]
name = "connection-storm"
on = "leader"
sockets = 150
from = "500ms"
for = "2s"
"#;

fn run(plan: &str, more: &[&str]) -> (Place, Value) {
    let place = Place::for_cluster();
    place.write("plan.toml", &format!("{HEAD}{plan}"));
    let arguments = ["run", "plan.toml", "--seed", "3", "--json"];
    let verdict = place.run(arguments.iter().chain(more)).code(0).json();
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    for fault in verdict["faults"].as_array().expect("faults") {
        assert_eq!(fault["state"], "cleared", "{fault}");
    }
    assert_eq!(verdict["counts"]["ok"], verdict["counts"]["ok_read"]);
    place.assert_nothing_left();
    (place, verdict)
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let mut all = list.as_array().expect("a list").iter();
    all.find(|one| one["name"] == name).unwrap_or_else(|| panic!("there is no {name}"))
}

fn count(verdict: &Value, check: &str) -> u64 {
    named(&verdict["checks"], check)["count"].as_u64().expect("a count")
}

/// The lines of the history of the newest run.
fn history(place: &Place) -> Vec<Value> {
    let history = place.latest("clients").join("history.hwh");
    let history = history.to_str().expect("a path of text");
    place.run(["history", "convert", history, "history.jsonl"]).code(0);
    read_json_lines(&place.path("history.jsonl"))
}

fn evidence(fault: &Value) -> Vec<&str> {
    fault["evidence"].as_array().expect("evidence").iter().filter_map(Value::as_str).collect()
}

#[test]
fn the_open_sends_of_a_producer_that_dies_are_indeterminate_and_another_session_follows() {
    for target in place::targets() {
        let (place, verdict) = run(KILLED, target);
        let faults = &verdict["faults"];
        assert_eq!(faults[0]["role"], "producer");
        assert_eq!(faults[1]["nodes"], serde_json::json!(["p1", "p2"]));
        let told = evidence(&faults[0]);
        assert!(told[0].contains(" sends open"), "{told:?}");
        assert!(!told[0].contains("ended with 0 sends"), "{told:?}");
        assert!(told[1].contains(" in the place of session "), "{told:?}");
        // Two sessions at the start, one in the first one's place, and two more at the end.
        let lines = history(&place);
        let opened = lines.iter().filter(|line| line["event"] == "producer_opened");
        assert_eq!(opened.count(), 5);
        // What they had open is nobody's knowledge: three deaths with at least one send each.
        let info = verdict["counts"]["info"].as_u64().expect("a count");
        assert!(info >= 3, "{}", verdict["counts"]);
        let of_sessions = |event: &str| -> BTreeSet<String> {
            let of = lines.iter().filter(|line| line["event"] == event);
            of.map(|line| line["session"].to_string()).collect()
        };
        let left: Vec<String> = of_sessions("producer_opened")
            .difference(&of_sessions("session_closed"))
            .cloned()
            .collect();
        assert_eq!(left, Vec::<String>::new(), "sessions without an end");
    }
}

/// What the others were given is the evidence, and that it has partitions again.
fn assert_thrown_out_and_back(verdict: &Value) {
    let stall = &verdict["faults"][0];
    assert_eq!(stall["role"], "member");
    let told = evidence(stall);
    assert!(told[0].contains(" stands still, m"), "{told:?}");
    assert!(told[0].contains(" was given its partition"), "{told:?}");
    assert!(told[1].contains(" polls, and its group gave it partition"), "{told:?}");
}

#[test]
fn a_member_that_does_not_poll_is_thrown_out_and_what_it_left_half_done_is_done_again() {
    for target in place::targets() {
        for commits in ["after", "before"] {
            let commits_set = format!("workload.commits={commits}");
            let words = ["--set", "workload.name=groups", "--set", &commits_set];
            let more = [target, &words, &OF_GROUPS, &["--set", "workload.churn=0s"]].concat();
            let (place, verdict) = run(STALLED, &more);
            assert_thrown_out_and_back(&verdict);
            // It stood still between its work and its commit, or between its commit and its work.
            assert_eq!(count(&verdict, "skipped"), 0, "{commits}");
            assert_eq!(count(&verdict, "repeated") > 0, commits == "after", "{commits}");
            for check in ["lost-commit", "commit-regression", "poll-skip"] {
                assert_eq!(count(&verdict, check), 0, "{commits}: {check}");
            }
            let graces: BTreeSet<String> = history(&place)
                .iter()
                .filter(|line| line["settings"]["group"] != Value::Null)
                .map(|line| line["settings"]["properties"]["max.poll.interval.ms"].to_string())
                .collect();
            assert_eq!(graces, BTreeSet::from(["\"2500\"".to_string()]));
        }
    }
}

#[test]
fn what_a_member_that_was_thrown_out_copied_is_copied_once_all_the_same() {
    let Some(target) = place::kafka() else { return };
    let more = [target, &["--set", "workload.name=exactly-once"], &OF_GROUPS].concat();
    let (_, verdict) = run(STALLED, &more);
    assert_thrown_out_and_back(&verdict);
}

#[test]
fn a_session_whose_transactional_id_another_takes_is_told_so_and_its_transaction_comes_to_nothing()
{
    let Some(target) = place::kafka() else { return };
    for (workload, client) in [("transactions", "producer"), ("exactly-once", "member")] {
        let name = format!("workload.name={workload}");
        // Nobody but the fault takes an id.
        let more = [target, &["--set", &name, "--set", "workload.churn=0s"]].concat();
        let (place, verdict) = run(FENCED, &more);
        let lines = history(&place);
        for fault in verdict["faults"].as_array().expect("faults") {
            assert_eq!(fault["role"], client);
            let told = evidence(fault);
            assert!(told[0].contains(" took the transactional id of session "), "{told:?}");
            assert!(told[0].ends_with(", which was told Fenced"), "{told:?}");
            assert!(told[1].contains(" committed under the id since, the last by"), "{told:?}");
            // The last transaction of the first session was not committed.
            let words: Vec<&str> =
                told[0].trim_end_matches(", which was told Fenced").split(' ').collect();
            let first: u64 = words.last().and_then(|word| word.parse().ok()).expect("a session");
            let mut of_first = lines
                .iter()
                .filter(|line| line["event"] == "transaction_ended" && line["session"] == first);
            let ending = of_first.next_back().expect("it had one")["ending"].clone();
            assert_ne!(ending, "committed", "{told:?}");
        }
    }
}

#[test]
fn a_broker_is_asked_for_many_connections_and_the_evidence_says_how_many_it_took() {
    for target in place::targets() {
        let (_, verdict) = run(STORM, target);
        let told = evidence(&verdict["faults"][0]);
        // A broker that is busy may not take them all: what it took is told.
        let words: Vec<&str> = told[0].split(' ').collect();
        assert_eq!(words[2..6], ["of", "150", "connections", "stand,"], "{told:?}");
        assert_eq!(words[1], words[6], "each that stands was answered: {told:?}");
        assert!(words[1].parse::<u32>().is_ok_and(|count| count >= 100), "{told:?}");
        assert!(told[1].contains("all are closed, 0 of them by the broker"), "{told:?}");
    }
}
