//! Faults of links and of the protocol on them, on real brokers behind proxies. None of it needs any privilege.
//!
//! The same on Apache Kafka where `HIGHWATER_KAFKA_HOME` names a directory with its jars.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Place, read, targets};
use serde_json::Value;

/// A deadline that a busy machine can meet: this is about durability.
const LOST: &str = r#"
schema = 1
name = "lost"
[topic]
# Each broker leads one: who is not produced to loses no response.
partitions = 3
[workload]
rate = "200/s"
record_bytes = "256B"
[limits]
damaged = 3
[time]
setup = "120s"
baseline = "1s"
run = "7s"
settle = "120s"
heal = "120s"
deadline = "20s"
[[fault]]
name = "lose-response"
on = "all"
percent = 30
from = "500ms"
for = "5s"
"#;

const SLOWED: &str = r#"
schema = 1
name = "slowed"
[topic]
partitions = 2
[workload]
rate = "200/s"
record_bytes = "256B"
[limits]
damaged = 3
[time]
setup = "120s"
baseline = "1s"
run = "8s"
settle = "120s"
heal = "120s"
deadline = "20s"
[[fault]]
name = "delay"
on = "followers"
peers = "brokers"
delay = "100ms"
spread = "20ms"
from = "500ms"
for = "2s"
[[fault]]
name = "half-open"
on = "leader"
peers = "clients"
from = "4s"
for = "1s"
[[fault]]
name = "reset"
on = "leader"
peers = "all"
from = "6s"
for = "500ms"
"#;

/// What is left: each in its turn on the leader of a partition.
const THE_REST: &str = r#"
schema = 1
name = "rest"
[topic]
partitions = 3
[workload]
rate = "300/s"
record_bytes = "512B"
[limits]
damaged = 3
[time]
setup = "120s"
baseline = "1s"
run = "13s"
settle = "120s"
heal = "120s"
deadline = "20s"
[[fault]]
name = "stale-metadata"
on = "one"
from = "500ms"
for = "500ms"
[[fault]]
name = "fail-api"
on = "all"
error = "NOT_ENOUGH_REPLICAS"
percent = 30
from = "2s"
for = "1s"
[[fault]]
name = "delay-api"
on = "all"
delay = "200ms"
from = "4s"
for = "1s"
[[fault]]
name = "rate"
on = "leader"
peers = "all"
bytes_per_second = "100KiB"
from = "6s"
for = "1s"
[[fault]]
name = "slice"
on = "leader"
peers = "clients"
bytes = "200B"
pause = "1ms"
from = "8s"
for = "1s"
[[fault]]
name = "limit-bytes"
on = "leader"
peers = "clients"
bytes = "50KiB"
from = "10s"
for = "1s"
[[fault]]
name = "loss"
on = "follower"
peers = "leader"
percent = 10
stop = "50ms"
from = "12s"
for = "1s"
"#;

fn run(plan: &str, more: &[&str]) -> (Place, Value) {
    let place = Place::for_cluster();
    place.write("plan.toml", plan);
    let arguments = ["run", "plan.toml", "--seed", "3", "--json"];
    let answer = place.run(arguments.iter().chain(more)).code(0);
    let verdict = answer.json();
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    for fault in verdict["faults"].as_array().expect("faults") {
        assert_eq!(fault["state"], "cleared", "{fault}");
    }
    assert_eq!(verdict["counts"]["ok"], verdict["counts"]["ok_read"]);
    place.assert_nothing_left();
    (place, verdict)
}

fn found(verdict: &Value, check: &str) -> u64 {
    let checks = verdict["checks"].as_array().expect("checks");
    let check = checks.iter().find(|one| one["name"] == check).expect("it was looked for");
    check["count"].as_u64().expect("a number")
}

/// The numbers in front of some words of the evidence, added up.
fn counted(fault: &Value, words: &str) -> u64 {
    let evidence = fault["evidence"].as_array().expect("evidence").iter();
    let texts = evidence.filter_map(Value::as_str).filter_map(|text| text.split_once(words));
    texts.filter_map(|(before, _)| before.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn lost_responses_make_duplicates_without_idempotence_and_none_with_it() {
    for target in targets() {
        let (_, verdict) = run(LOST, target);
        assert!(counted(&verdict["faults"][0], " responses of produce were lost") >= 10);
        assert_eq!(found(&verdict, "duplicate"), 0, "idempotence is on with acks=all");
        let without = [target, &["--set", "idempotence=false"]].concat();
        let (_, verdict) = run(LOST, &without);
        assert!(counted(&verdict["faults"][0], " responses of produce were lost") >= 10);
        assert!(found(&verdict, "duplicate") > 0, "{}", verdict["faults"][0]["evidence"]);
    }
}

#[test]
fn links_are_slowed_held_and_reset_and_nothing_acknowledged_is_lost() {
    for target in targets() {
        let (place, verdict) = run(SLOWED, target);
        let faults = &verdict["faults"];
        assert_eq!(faults[0]["nodes"].as_array().map(Vec::len), Some(2), "{}", faults[0]);
        // Followers fetch all the time: much more than our own probe was delayed.
        assert!(counted(&faults[0], " pieces delayed by") >= 20, "{}", faults[0]["evidence"]);
        assert!(faults[1]["evidence"].to_string().contains("nothing closed"), "{}", faults[1]);
        // Producers and readers, brokers and our own.
        assert!(counted(&faults[2], " connections were reset") >= 4, "{}", faults[2]["evidence"]);
        // Clients and brokers are told of the proxies, and of nothing else.
        let config = read(&place.latest("slowed").join("nodes/n1/server.properties"));
        let value = |name: &str| {
            let line = config.lines().find(|line| line.starts_with(name)).expect("it is set");
            line.split_once("PLAINTEXT://").map(|(_, at)| at.split(',').next().map(str::to_string))
        };
        assert_ne!(value("advertised.listeners="), value("listeners="), "{config}");
    }
}

#[test]
fn every_other_fault_of_links_is_met_by_real_traffic_and_ends() {
    let (_, verdict) = run(THE_REST, &[]);
    let faults = &verdict["faults"];
    assert!(faults[0]["evidence"].to_string().contains("-0 led by "), "{}", faults[0]);
    assert!(counted(&faults[1], " requests of produce were answered with NOT_ENOUGH_REPL") > 3);
    assert!(counted(&faults[2], " requests of produce delayed by") > 3, "{}", faults[2]);
    assert!(counted(&faults[4], " slices") > 3, "{}", faults[4]);
    assert!(counted(&faults[5], " connections were closed at the limit") > 0, "{}", faults[5]);
    assert_eq!(found(&verdict, "duplicate"), 0);
}

#[test]
fn proxies_and_cuts_in_one_plan_are_refused_before_anything_is_made() {
    let place = Place::new();
    let cut = "[[fault]]\nname = \"cut\"\non = \"leader\"\npeers = \"clients\"\n";
    place.write("plan.toml", &format!("{LOST}{cut}"));
    let answer = place.run(["run", "plan.toml"]);
    assert_ne!(answer.code, 0);
    assert!(answer.err.contains("lose-response in one plan with cut"), "{}", answer.err);
    assert!(!place.path("store").exists(), "nothing was made");
}
