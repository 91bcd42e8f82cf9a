//! Disks that fail, fill up, tear writes and grow old, under real brokers: our own, and Apache Kafka where
//! `HIGHWATER_KAFKA_HOME` names one.
//!
//! Runs where this user may make file systems; elsewhere it says "skipped: why" and passes.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Place, kafka, read, read_json_lines};
use serde_json::{Value, json};

/// Four ways for a disk to be wrong, one after the other.
const FAILING: &str = r#"
schema = 1
name = "failing"
about = "Does it keep its word on disks that fail?"
[target]
nodes = 3
controllers = 1
[topic]
partitions = 2
[workload]
rate = "200/s"
record_bytes = "256B"
[time]
setup = "120s"
baseline = "1s"
run = "13s"
heal = "120s"
settle = "120s"
deadline = "20s"
[[fault]]
name = "io-error"
on = "leader"
from = "500ms"
for = "1500ms"
[[fault]]
name = "slow"
delay = "20ms"
on = "follower"
from = "4s"
for = "1500ms"
[[fault]]
name = "fsync-error"
on = "leader"
from = "7s"
for = "1500ms"
[[fault]]
name = "torn-write"
on = "leader"
from = "10s"
for = "1s"
"#;

/// Four ways for files to be wrong that need no file system of ours, but for the space.
const DAMAGED: &str = r#"
schema = 1
name = "damaged"
about = "Does it keep its word on files that somebody has laid hands on?"
[target]
nodes = 3
controllers = 1
[topic]
partitions = 2
[workload]
rate = "200/s"
record_bytes = "256B"
[time]
setup = "120s"
baseline = "1s"
run = "16s"
heal = "120s"
settle = "120s"
deadline = "20s"
[[fault]]
name = "truncate-tail"
on = "leader"
from = "500ms"
for = "1s"
[[fault]]
name = "old-snapshot"
on = "follower"
from = "4s"
for = "1500ms"
[[fault]]
name = "full"
on = "leader"
from = "8s"
for = "1500ms"
[[fault]]
name = "bit-flip"
bits = 5
on = "follower"
from = "11s"
for = "1s"
"#;

const JBOD: &str = r#"
schema = 1
name = "one-log-directory"
about = "Does a broker with several log directories keep its word when one of them fails?"
[target]
nodes = 3
controllers = 1
profile = "fast"
log_dirs = 2
[topic]
partitions = 4
[workload]
rate = "200/s"
record_bytes = "256B"
[time]
setup = "120s"
baseline = "1s"
run = "6s"
heal = "120s"
settle = "120s"
deadline = "20s"
[[fault]]
name = "log-dir-offline"
on = "leader"
from = "500ms"
for = "4s"
[[fault]]
name = "truncate-tail"
on = "follower"
from = "5s"
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
    let verdict = answer.code(0).json();
    place.assert_nothing_left();
    Some(verdict)
}

/// Everything was done, seen and undone, and nothing that was acknowledged is missing.
#[track_caller]
fn held(verdict: &Value) {
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    assert_eq!(verdict["counts"]["ok"], verdict["counts"]["ok_read"]);
    for fault in verdict["faults"].as_array().expect("faults") {
        assert_eq!(fault["state"], "cleared", "{fault}");
    }
}

/// The evidence of a verdict's fault, all of it.
#[track_caller]
fn evidence(verdict: &Value, name: &str) -> String {
    let faults = verdict["faults"].as_array().expect("faults");
    let fault = faults.iter().find(|fault| fault["name"] == name);
    fault.unwrap_or_else(|| panic!("{name} was not done"))["evidence"].to_string()
}

#[track_caller]
fn failed_and_proved(verdict: &Value) {
    held(verdict);
    let told = evidence(verdict, "io-error");
    for words in
        ["a write of ours: Input/output error", "a write of ours took ", "it had ended; pid "]
    {
        assert!(told.contains(words), "{told}");
    }
    assert!(!told.contains("took 0.000000 s; 0 operations"), "the node has met it: {told}");
    let told = evidence(verdict, "slow");
    assert!(told.contains("operations of the node's were slowed"), "{told}");
    assert!(evidence(verdict, "fsync-error").contains("a sync of ours: Input/output error"));
    assert!(evidence(verdict, "torn-write").contains(" sectors written at "));
}

#[track_caller]
fn damaged_and_proved(verdict: &Value) {
    held(verdict);
    assert!(evidence(verdict, "truncate-tail").contains(" bytes were cut to "));
    assert!(evidence(verdict, "bit-flip").contains(".log: byte "));
    let told = evidence(verdict, "old-snapshot");
    assert!(told.contains(" logs with ") && told.contains("an old copy was put back"), "{told}");
    let told = evidence(verdict, "full");
    for words in ["a write of ours: No space left on device", "a write of ours went through"] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn disks_that_fail_cost_nothing_that_was_acknowledged() {
    let place = Place::for_cluster();
    let Some(verdict) = run(&place, FAILING, &[]) else { return };
    failed_and_proved(&verdict);
    let run = place.latest("failing");
    for node in ["n1", "n2", "n3"] {
        assert!(!run.join("nodes").join(node).join("backing").exists(), "a directory is left");
    }
    // What ends of a fault is no news.
    let record = place::read_json(&run.join("run.json"));
    assert_eq!(record["warnings"], json!([]));
    // The node that ended says why, and what to do.
    let logs =
        ["n1", "n2", "n3"].map(|node| read(&run.join("nodes").join(node).join("broker.log")));
    let errors: Vec<&str> =
        logs.iter().flat_map(|log| log.lines()).filter(|line| line.contains(" ERROR ")).collect();
    assert!(errors.iter().any(|line| line.contains("Input/output error")), "{errors:?}");
}

#[test]
fn damaged_files_and_full_disks_cost_nothing_that_was_acknowledged() {
    let place = Place::for_cluster();
    let Some(verdict) = run(&place, DAMAGED, &[]) else { return };
    damaged_and_proved(&verdict);
}

#[test]
fn a_sync_that_failed_is_not_acknowledged() {
    // Every replica syncs each batch before it counts, and every sync of a log fails once, everywhere.
    let place = Place::for_cluster();
    let faults = FAILING.split("[[fault]]").next().expect("what is before them");
    let plan = format!(
        "{faults}[limits]\ndamaged = 3\n[[fault]]\nname = \"fsync-error\"\npath = \"highwater-*.log\"\non = \"all\"\nfrom = \"2s\"\ncount = 1\nfor = \"2s\"\n"
    );
    // Durability is for the final reads to tell.
    let more = ["--set", "flush=every-batch", "--set", "workload.consumers=0"];
    let Some(verdict) = run(&place, &plan, &more) else { return };
    held(&verdict);
    let told = evidence(&verdict, "fsync-error");
    assert!(told.contains("it had ended; pid "), "{told}");
}

#[test]
fn apache_kafka_keeps_its_word_on_disks_that_fail() {
    let Some(target) = kafka() else { return };
    let place = Place::for_cluster();
    let Some(verdict) = run(&place, FAILING, target) else { return };
    failed_and_proved(&verdict);
}

#[test]
fn apache_kafka_keeps_its_word_on_damaged_files() {
    let Some(target) = kafka() else { return };
    let place = Place::for_cluster();
    let Some(verdict) = run(&place, DAMAGED, target) else { return };
    damaged_and_proved(&verdict);
}

#[test]
fn a_harness_that_is_killed_leaves_no_process_waiting_for_its_file_system() {
    let place = Place::for_cluster();
    place.write("plan.toml", &FAILING.replace("for = \"1500ms\"", "for = \"60s\""));
    let Some(mut running) = place.start_until_confirmed("failing") else { return };
    running.signal(rustix::process::Signal::KILL);
    running.wait();
    place.run(["doctor", "--clean"]).code(0);
    place.assert_nothing_left();
}

#[test]
fn apache_kafka_goes_on_without_one_of_its_log_directories() {
    let Some(target) = kafka() else { return };
    let place = Place::for_cluster();
    let Some(verdict) = run(&place, JBOD, target) else { return };
    held(&verdict);
    let told = evidence(&verdict, "log-dir-offline");
    assert!(told.contains("were answered with EIO"), "{told}");
    assert!(told.contains("it had ended; pid "), "{told}");
    let told = evidence(&verdict, "truncate-tail");
    assert!(told.contains("disk@1/") && told.contains("disk@2/"), "logs of both: {told}");
    // Only what was on the directory went offline, and the broker stayed.
    let seen = read_json_lines(&place.latest("one-log-directory").join("cluster.jsonl"));
    let fault = &verdict["faults"][0];
    let during = |line: &&Value| {
        let at_ms = line["at_ms"].as_u64();
        at_ms >= fault["asked_ms"].as_u64() && at_ms < fault["healed_ms"].as_u64()
    };
    let of = |what: &'static str| {
        seen.iter().filter(during).filter(move |line| line["observed"] == what)
    };
    let offline =
        of("partition").any(|line| line["offline"].as_array().is_some_and(|o| !o.is_empty()));
    assert!(offline, "no replica of its was seen offline");
    assert!(of("brokers").all(|line| line["fenced"] == json!([])), "it was fenced");
    let replicas = place.latest("one-log-directory").join("replicas.json");
    let replicas: Value = serde_json::from_str(&read(&replicas)).expect("JSON");
    for log in replicas["logs"].as_array().expect("logs") {
        assert!(log["not_compared"].is_null() && log["differences"] == json!([]), "{log}");
    }
}
