//! Apache Kafka as the target: its nodes are killed, stopped and robbed of a disk by the same plan as ours, and it keeps
//! what it acknowledged.
//!
//! Runs where `HIGHWATER_KAFKA_HOME` names a directory with Kafka's jars; elsewhere it says "skipped" and passes.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Place, kafka, read_json};
use serde_json::json;
use std::fs;

/// A deadline that a cold virtual machine on a busy machine can meet: this is about durability.
const PLAN: &str = r#"
schema = 1
name = "three-faults"
about = "Does Apache Kafka keep what it acknowledged?"
[target]
kind = "kafka"
nodes = 3
controllers = 1
[topic]
partitions = 3
[workload]
rate = "200/s"
record_bytes = "256B"
[time]
setup = "120s"
baseline = "2s"
run = "8s"
settle = "120s"
heal = "120s"
deadline = "20s"
[[fault]]
name = "kill"
on = "leader"
from = "500ms"
for = "1s"
[[fault]]
name = "stall"
on = "leader"
from = "3s"
for = "1s"
[[fault]]
name = "wipe"
on = "follower"
from = "5s"
for = "1s"
"#;

#[test]
fn it_is_broken_like_ours_and_keeps_its_word() {
    if kafka().is_none() {
        return;
    }
    let place = Place::for_cluster();
    place.write("plan.toml", PLAN);
    let answer = place.run(["run", "plan.toml", "--seed", "3", "--json"]).code(0);
    let verdict = answer.json();
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    let target = verdict["target"].as_str().expect("a target");
    assert!(
        target.starts_with("Apache Kafka ") && target.ends_with("×3 + 1 controllers"),
        "{target}"
    );
    let faults = verdict["faults"].as_array().expect("faults");
    let told: Vec<_> = faults.iter().map(|fault| (&fault["name"], &fault["state"])).collect();
    let cleared = json!("cleared");
    assert_eq!(
        told,
        [(&json!("kill"), &cleared), (&json!("stall"), &cleared), (&json!("wipe"), &cleared)]
    );
    assert_eq!(verdict["counts"]["ok"], verdict["counts"]["ok_read"]);

    let run = place.latest("three-faults");
    let record = read_json(&run.join("run.json"));
    for what in ["kafka", "java"] {
        assert!(record["versions"][what].is_string(), "{}", record["versions"]);
    }
    let log = fs::read_to_string(run.join("nodes/n1/broker.log")).expect("a log");
    // As our excerpts want it: the time in UTC first.
    let first = log.lines().find(|line| line.contains(" INFO ")).expect("a line of Kafka's");
    assert!(
        first.as_bytes()[..4].iter().all(u8::is_ascii_digit) && first[..25].contains("Z "),
        "{first}"
    );
    place.assert_nothing_left();
}

/// Members of the group leave and die over their work all the time, and leaders with them.
const COPIES: &str = r#"
schema = 1
name = "copies"
about = "Is each record copied exactly once?"
[target]
kind = "kafka"
nodes = 3
[topic]
partitions = 3
[workload]
name = "exactly-once"
consumers = 2
rate = "100/s"
record_bytes = "256B"
aborts = 0.3
transaction_records = 20
churn = "4s"
[time]
setup = "120s"
baseline = "2s"
run = "24s"
settle = "120s"
heal = "120s"
deadline = "60s"
[[fault]]
name = "kill"
on = "leader"
from = "16s"
for = "1s"
"#;

#[test]
fn each_record_is_copied_once() {
    if kafka().is_none() {
        return;
    }
    let place = Place::for_cluster();
    place.write("plan.toml", COPIES);
    let verdict = place.run(["run", "plan.toml", "--seed", "5", "--json"]).code(0).json();
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    let check = |name: &str| {
        let checks = verdict["checks"].as_array().expect("checks");
        checks.iter().find(|check| check["name"] == name).expect("the check")["verdict"].clone()
    };
    for name in ["skipped", "repeated", "lost-commit", "torn-transaction", "G1a"] {
        assert_eq!(check(name), "valid", "{name}");
    }
    // Something was copied, something was given up, and the group's offsets went with it.
    let run = place.latest("copies");
    place.run(["history", "convert", path(&run.join("history.hwh")), "history.jsonl"]).code(0);
    let text = fs::read_to_string(place.path("history.jsonl")).expect("a history");
    let count = |part: &str| text.lines().filter(|line| line.contains(part)).count();
    assert!(count(r#""event":"copied""#) > 0);
    assert!(count(r#""event":"offsets_in_transaction""#) > 0);
    let ended = |ending: &str| {
        text.lines()
            .filter(|line| line.contains(r#""event":"transaction_ended""#))
            .filter(|line| line.contains(&format!(r#""ending":"{ending}""#)))
            .count()
    };
    assert!(ended("committed") > 0, "{}", verdict["counts"]);
    assert!(ended("aborted") > 0, "{}", verdict["counts"]);
    place.assert_nothing_left();
}

fn path(path: &std::path::Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn a_directory_without_jars_is_refused_before_anything_is_made() {
    let place = Place::new();
    let answer = place.run(["run", "smoke", "--kafka-home", "."]).code(3);
    assert!(answer.err.contains("libs/kafka-clients-*.jar"), "{answer:?}");
    let answer = place.run(["run", "smoke", "--kafka-home", "nowhere"]).code(3);
    assert!(answer.err.contains("nowhere"), "{answer:?}");
    let answer =
        place.run(["run", "smoke", "--target", "kafka", "--defect", "ack-before-isr"]).code(64);
    assert!(answer.err.contains("--defect"), "{answer:?}");
    assert!(!place.path("store").exists(), "nothing was made");
}
