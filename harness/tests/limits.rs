//! Too little CPU and too little memory, over the whole way, on the bundled cluster and on Apache Kafka.
//!
//! Both need root and control groups. Where they can't be had the tests say "skipped" and why.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Place, targets, wait_for};
use serde_json::Value;
use std::path::Path;

/// Two limits that stack on one node, one on another node, and a cut beside them.
const LIMITED: &str = r#"
schema = 1
name = "limited"
about = "Does it keep its word with too little CPU and too little memory?"
[target]
nodes = 3
controllers = 1
[topic]
partitions = 2
[workload]
rate = "200/s"
record_bytes = "1KiB"
[limits]
damaged = 2
[time]
setup = "120s"
baseline = "2s"
run = "8s"
heal = "120s"
settle = "120s"
deadline = "20s"
[[fault]]
name = "cpu-limit"
percent = 5
on = "n1"
from = "500ms"
for = "4s"
[[fault]]
name = "cpu-limit"
percent = 60
on = "n1"
from = "1s"
for = "1s"
[[fault]]
name = "memory-limit"
bytes = "2GiB"
on = "n2"
from = "1s"
for = "3s"
[[fault]]
name = "cut"
on = "n3"
peers = "n1"
from = "4s"
for = "1s"
"#;

fn groups_left() -> Vec<String> {
    let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory"];
    let entries = mounts.iter().filter_map(|mount| Path::new(mount).read_dir().ok()).flatten();
    let names = entries.flatten().map(|entry| entry.file_name().display().to_string());
    names.filter(|name| name.starts_with("highwater-")).collect()
}

fn new_groups(before: &[String]) -> Vec<String> {
    groups_left().into_iter().filter(|name| !before.contains(name)).collect()
}

/// None that was not there before. Those of somebody else's runs on this machine come, and go with them.
#[track_caller]
fn assert_no_groups(before: &[String]) {
    wait_for("all groups of the run are gone", || {
        let left: Vec<String> =
            new_groups(before).into_iter().filter(|name| !name.contains("-probe-")).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn limits_hold_stack_and_end_on_every_target() {
    for target in targets() {
        let place = Place::for_cluster();
        let before = groups_left();
        place.write("plan.toml", LIMITED);
        let arguments = ["run", "plan.toml", "--seed", "3", "--json"];
        let answer = place.run(arguments.iter().chain(target));
        if answer.code == 3 {
            eprintln!("skipped: {}", answer.err.trim());
            return;
        }
        let verdict = answer.code(0).json();
        assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
        let faults = verdict["faults"].as_array().expect("faults");
        assert!(faults.iter().all(|fault| fault["state"] == "cleared"), "{faults:?}");
        let told = |index: usize| {
            let evidence: Vec<&str> = faults
                .iter()
                .filter(|fault| fault["id"] == index + 1)
                .flat_map(|fault| fault["evidence"].as_array().expect("evidence"))
                .filter_map(Value::as_str)
                .collect();
            evidence.join(" | ")
        };
        let (tight, wide, memory) = (told(0), told(1), told(2));
        assert!(tight.contains("5 % of a CPU; held back in "), "{tight}");
        assert!(tight.contains("no limit on its CPU"), "{tight}");
        // The tighter one held all the time.
        assert!(wide.contains("5 % of a CPU") && wide.contains("still under fault 1"), "{wide}");
        assert!(memory.contains(" of 2147483648 bytes; met the limit "), "{memory}");
        assert!(memory.contains(" of no limit; "), "{memory}");
        place.assert_nothing_left();
        assert_no_groups(&before);
    }
}

#[test]
fn a_harness_that_is_killed_leaves_groups_that_doctor_ends() {
    let place = Place::for_cluster();
    let before = groups_left();
    place.write("plan.toml", &LIMITED.replace("for = \"4s\"", "for = \"60s\""));
    let Some(mut running) = place.start_until_confirmed("limited") else { return };
    running.signal(rustix::process::Signal::KILL);
    running.wait();
    assert!(!new_groups(&before).is_empty(), "there was something to leave");
    place.run(["doctor", "--clean"]).code(0);
    place.assert_nothing_left();
    assert_no_groups(&before);
}

#[test]
fn a_limit_that_means_nothing_is_refused_before_anything_is_made() {
    let place = Place::new();
    for (from, to, words) in [
        ("percent = 60", "percent = 0", "from 1 to 10000"),
        ("bytes = \"2GiB\"", "percent = 5", "how much memory is left to it?"),
        ("percent = 60", "bytes = \"1MiB\"", "`bytes` means nothing to `cpu-limit`"),
    ] {
        place.write("plan.toml", &LIMITED.replace(from, to));
        place.run(["run", "plan.toml"]).code(64).says(&[words]);
    }
    assert!(!place.path("store").exists());
}
