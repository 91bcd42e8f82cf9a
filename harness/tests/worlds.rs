//! Faults that need a world of the run's own, with real brokers: cuts between namespaces, and power that goes.
//!
//! Runs where this user may make namespaces and disks; elsewhere it says "skipped: why" and passes.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::Place;
use serde_json::{Value, json};

const CUTS: &str = r#"
schema = 1
name = "cuts"
about = "Does a leader without followers acknowledge what it may not?"
[target]
nodes = 3
controllers = 1
[topic]
partitions = 2
[workload]
rate = "300/s"
record_bytes = "256B"
[time]
baseline = "1s"
run = "7s"
deadline = "10s"
[[fault]]
name = "cut"
on = "leader"
peers = "followers"
from = "500ms"
for = "2s"
[[fault]]
name = "isolate"
on = "follower"
how = "reject"
from = "4s"
for = "1s"
"#;

const POWER: &str = r#"
schema = 1
name = "power"
about = "What is left when the power goes everywhere?"
[topic]
partitions = 2
[workload]
# Durability is for the final reads to tell.
consumers = 0
rate = "300/s"
record_bytes = "256B"
[time]
baseline = "2s"
run = "5s"
settle = "20s"
deadline = "10s"
[limits]
damaged = 3
[[fault]]
name = "power-loss"
on = "all"
from = "2s"
count = 1
for = "500ms"
"#;

/// What a run of the plan said; `None`: this machine can't do it.
fn run(place: &Place, plan: &str, more: &[&str]) -> Option<Value> {
    place.write("plan.toml", plan);
    let arguments = ["run", "plan.toml", "--seed", "5", "--json"];
    let answer = place.run(arguments.iter().chain(more));
    if answer.code == 3 {
        eprintln!("skipped: {}", answer.err.trim());
        return None;
    }
    assert_eq!(answer.code, 0, "{} {}", answer.json()["because"], answer.err);
    place.assert_nothing_left();
    Some(answer.json())
}

fn check<'a>(verdict: &'a Value, name: &str) -> &'a Value {
    let checks = verdict["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).expect("it was looked for")
}

fn all_cleared(verdict: &Value) {
    for fault in verdict["faults"].as_array().expect("faults") {
        assert_eq!(fault["state"], "cleared", "{fault}");
    }
}

#[test]
fn nodes_are_cut_off_from_each_other_and_from_clients() {
    let place = Place::for_cluster();
    let Some(verdict) = run(&place, CUTS, &[]) else { return };
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    all_cleared(&verdict);
    let faults = verdict["faults"].as_array().expect("faults");
    let cut = &faults[0];
    // One partition's leader has two followers, and each hears nothing of it.
    assert_eq!(cut["name"], "cut");
    let from = cut["parameters"]["cut_from"].as_str().expect("whom it was cut from");
    assert_eq!(from.split(' ').count(), 2, "{from}");
    let evidence = cut["evidence"].to_string();
    assert!(evidence.contains("ways closed") && evidence.contains("ways open again"), "{evidence}");
    assert!(
        faults[1]["parameters"]["cut_from"].as_str().is_some_and(|from| from.contains("clients"))
    );
    // acks=all waits for followers that are not heard, until the ISR goes without them.
    assert!(verdict["availability"]["longest_outage_ms"].as_u64() > Some(500), "{verdict}");
}

#[test]
fn power_takes_what_nobody_had_been_told_to_keep() {
    let place = Place::for_cluster();
    let Some(verdict) = run(&place, POWER, &[]) else { return };
    assert_eq!(verdict["verdict"], "not promised", "{}", verdict["because"]);
    all_cleared(&verdict);
    // Everything from before the cut, which is more than half.
    let (lost, ok) = (&check(&verdict, "lost-write")["count"], &verdict["counts"]["ok"]);
    assert!(lost.as_u64() > Some(500) && lost.as_u64() < ok.as_u64(), "{lost} of {ok}");
    let evidence = verdict["faults"][0]["evidence"].to_string();
    for node in ["n1", "n2", "n3"] {
        assert!(evidence.contains(&format!("{node}: ")), "{evidence}");
    }
    assert!(evidence.contains("its power went at") && evidence.contains("were there again"));
}

#[test]
fn power_takes_nothing_of_what_was_synced() {
    let place = Place::for_cluster();
    let Some(verdict) = run(&place, POWER, &["--set", "flush=every-batch"]) else { return };
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    all_cleared(&verdict);
    assert_eq!(check(&verdict, "lost-write")["count"], json!(0));
    assert!(verdict["counts"]["ok"].as_u64() > Some(1000), "{}", verdict["counts"]);
}
