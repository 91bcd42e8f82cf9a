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
        let history = place.latest("clients").join("history.hwh");
        let history = history.to_str().expect("a path of text");
        place.run(["history", "convert", history, "history.jsonl"]).code(0);
        let lines = read_json_lines(&place.path("history.jsonl"));
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
