//! Faults on the topic: what an administrator asks of a cluster. None of it needs any privilege.
//!
//! Reassignments on Apache Kafka, where `HIGHWATER_KAFKA_HOME` names a directory with its jars: the bundled broker has none.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Place, kafka, read_json_lines, targets};
use serde_json::Value;

const HEAD: &str = r#"
schema = 1
name = "admin"
[target]
# Of both targets: a node that is down for three seconds is replaced.
profile = "fast"
[target.properties]
# Leadership moves when a fault moves it, and not by itself.
"auto.leader.rebalance.enable" = false
[topic]
name = "queue"
partitions = 2
[workload]
rate = "200/s"
record_bytes = "256B"
[time]
setup = "120s"
baseline = "1s"
run = "8s"
settle = "120s"
heal = "120s"
deadline = "20s"
"#;

const SETTINGS: &str = r#"
[[fault]]
name = "change-config"
key = "min.insync.replicas"
value = 1
from = "500ms"
for = "1s"
[[fault]]
name = "change-config"
key = "retention.ms"
value = 86400000
from = "600ms"
for = "2s"
"#;

/// The killed leader is replaced, comes back as a follower, and is elected again.
const ELECTION: &str = r#"
[[recipe]]
name = "back-to-the-first"
partition = "preferred-leader"
from = "500ms"
[[recipe.step]]
id = "gone"
do = "kill"
on = "leader"
[[recipe.step]]
wait = "leader"
timeout = "30s"
[[recipe.step]]
heal = "gone"
[[recipe.step]]
wait = "cleared"
step = "gone"
timeout = "90s"
[[recipe.step]]
wait = "isr-full"
timeout = "60s"
[[recipe.step]]
do = "elect-preferred"
"#;

/// Three replicas, one, and three again.
const REPLICAS: &str = r#"
[[fault]]
name = "reassign"
on = "topic"
replicas = 1
from = "500ms"
for = "2s"
[[fault]]
name = "reassign"
to = ["n3", "n1"]
from = "4s"
for = "1s"
"#;

fn run(plan: &str, more: &[&str]) -> (Place, Value) {
    let place = Place::for_cluster();
    place.write("plan.toml", &format!("{HEAD}{plan}"));
    let arguments = ["run", "plan.toml", "--seed", "3", "--json"];
    let verdict = place.run(arguments.iter().chain(more)).code(0).json();
    // Copies that a reassignment gives up are not promised for: what that leaves is the judge's own tests' to say.
    let word = verdict["verdict"].as_str().expect("a word");
    assert!(["held", "not promised"].contains(&word), "{}", verdict["because"]);
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

/// Every value of a setting of the topic that the history was told, in order.
fn told(place: &Place, setting: &str) -> Vec<Value> {
    let history = place.latest("admin").join("history.hwh");
    let history = history.to_str().expect("a path of text");
    place.run(["history", "convert", history, "history.jsonl"]).code(0);
    let lines = read_json_lines(&place.path("history.jsonl"));
    let settings = lines.iter().filter_map(|line| find(line, "settings"));
    settings.filter_map(|settings| settings.get(setting)).cloned().collect()
}

/// What stands behind a key, however deep.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object.get(key).or_else(|| object.values().find_map(|inner| find(inner, key)))
}

#[test]
fn a_setting_is_changed_and_put_back_and_the_history_hears_of_both() {
    for target in targets() {
        let (place, verdict) = run(SETTINGS, target);
        let faults = &verdict["faults"];
        assert_eq!(
            evidence(&faults[0]),
            [
                "queue: min.insync.replicas is 1 (was 2)",
                "queue: min.insync.replicas is 2 again, its own"
            ]
        );
        // It was not the topic's own, and is not any more.
        let last = evidence(&faults[1]).last().copied().unwrap_or_default();
        assert!(last.contains("again, no longer its own"), "{last}");
        let minimum = told(&place, "min_insync_replicas");
        assert_eq!(minimum.first(), minimum.last(), "{minimum:?}");
        assert!(minimum.contains(&Value::from(1)), "{minimum:?}");
    }
}

#[test]
fn the_preferred_leader_is_elected_again() {
    for target in targets() {
        let (_, verdict) = run(ELECTION, target);
        let faults = &verdict["faults"];
        assert_eq!(faults[1]["role"], "topic");
        assert_eq!(faults[1]["nodes"], serde_json::json!([faults[0]["partition"]]));
        let told = evidence(&faults[1]).join("; ");
        assert!(told.contains(", the first of its replicas"), "{told}");
    }
}

#[test]
fn replicas_are_taken_away_and_come_back() {
    let Some(target) = kafka() else { return };
    let (_, verdict) = run(REPLICAS, target);
    let faults = &verdict["faults"];
    assert_eq!(faults[0]["nodes"], serde_json::json!(["queue-0", "queue-1"]));
    for told in evidence(&faults[0]) {
        let (one, three) = (told.contains(" (were "), told.ends_with(" again"));
        assert!(one != three, "{told}");
    }
    let told = evidence(&faults[1]);
    assert!(told[0].contains("its replicas are 3 1 (were "), "{told:?}");
}

#[test]
fn a_reassignment_on_the_bundled_broker_is_refused_before_anything_is_made() {
    let place = Place::new();
    place.write("plan.toml", &format!("{HEAD}{REPLICAS}"));
    let answer = place.run(["run", "plan.toml"]);
    assert_ne!(answer.code, 0);
    assert!(answer.err.contains("the bundled broker does not reassign"), "{}", answer.err);
    assert!(!place.path("store").exists(), "nothing was made");
}
