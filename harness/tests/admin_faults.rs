//! Faults on the topic: what an administrator asks of a cluster. None of it needs any privilege.
//!
//! Reassignments and deletions of records on Apache Kafka, where `HIGHWATER_KAFKA_HOME` names a directory with its jars: the
//! bundled broker has neither.
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

/// Half of one partition, and most of both.
const DELETIONS: &str = r#"
[[fault]]
name = "delete-records"
from = "2s"
for = "1s"
[[fault]]
name = "delete-records"
on = "topic"
keep = 20
from = "4s"
for = "1s"
"#;

const PARTITIONS: &str = r#"
[[fault]]
name = "add-partitions"
partitions = 2
from = "500ms"
for = "1s"
"#;

/// One partition's, and then all of them while a follower stands still.
const LEADERS: &str = r#"
[[fault]]
name = "transfer-leadership"
from = "500ms"
for = "500ms"
[[fault]]
name = "stall"
on = "follower"
from = "2s"
for = "4s"
[[fault]]
name = "transfer-leadership"
on = "topic"
from = "2500ms"
for = "1s"
"#;

const ANEW: &str = r#"
[[fault]]
name = "delete-and-recreate-topic"
from = "1s"
for = "500ms"
[[fault]]
name = "delete-and-recreate-topic"
from = "2s"
for = "500ms"
"#;

/// After an election, which a new topic has not had, and while a broker stands still and hears nothing.
const ANEW_IN_TROUBLE: &str = r#"
[[fault]]
name = "kill"
on = "leader"
from = "500ms"
for = "1s"
[[fault]]
name = "stall"
on = "leader"
from = "5s"
for = "2s"
[[fault]]
name = "delete-and-recreate-topic"
from = "5100ms"
for = "500ms"
[[fault]]
name = "kill"
on = "leader"
from = "17s"
for = "1s"
"#;

/// A broker is away while its topic is made anew, and comes back with the log of the old one.
const BACK_WITH_THE_OLD_LOG: &str = r#"
[[recipe]]
name = "back-with-the-old-log"
from = "2s"
[[recipe.step]]
id = "dead"
do = "kill"
on = "leader"
[[recipe.step]]
id = "anew"
do = "delete-and-recreate-topic"
[[recipe.step]]
wait = "acked"
count = 50
since = "anew"
timeout = "60s"
[[recipe.step]]
heal = "dead"
[[recipe.step]]
wait = "isr-full"
timeout = "90s"
"#;

/// The leader is alone in sync, acknowledges alone, and dies; those that lack its records may not lead, until somebody asks
/// for it.
const UNCLEAN: &str = r#"
[[recipe]]
name = "anybody-may-lead"
damage = "any"
from = "500ms"
[[recipe.step]]
id = "starve"
do = "stall"
on = "followers"
[[recipe.step]]
wait = "isr"
is = ["previous-leader"]
timeout = "60s"
[[recipe.step]]
wait = "acked"
count = 20
since = "starve"
timeout = "30s"
[[recipe.step]]
id = "dead"
do = "kill"
on = "previous-leader"
[[recipe.step]]
heal = "starve"
[[recipe.step]]
wait = "cleared"
step = "starve"
timeout = "60s"
[[recipe.step]]
do = "elect-unclean"
on = "partition"
[[recipe.step]]
wait = "leader"
timeout = "30s"
[[recipe.step]]
heal = "dead"
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
    place.assert_nothing_left();
    (place, verdict)
}

fn count(verdict: &Value, of: &str) -> u64 {
    verdict["counts"][of].as_u64().expect("a count")
}

fn assert_nothing_lost(verdict: &Value) {
    assert_eq!(count(verdict, "ok"), count(verdict, "ok_read") + count(verdict, "ok_removed"));
}

fn evidence(fault: &Value) -> Vec<&str> {
    fault["evidence"].as_array().expect("evidence").iter().filter_map(Value::as_str).collect()
}

fn history(place: &Place) -> Vec<Value> {
    let history = place.latest("admin").join("history.hwh");
    let history = history.to_str().expect("a path of text");
    place.run(["history", "convert", history, "history.jsonl"]).code(0);
    read_json_lines(&place.path("history.jsonl"))
}

/// Every value of a setting of the topic that the history was told, in order.
fn told(place: &Place, setting: &str) -> Vec<Value> {
    let lines = history(place);
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
        assert_nothing_lost(&verdict);
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
        assert_nothing_lost(&verdict);
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
    assert_nothing_lost(&verdict);
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
fn records_that_are_deleted_on_request_are_counted_and_not_lost() {
    let Some(target) = kafka() else { return };
    let (place, verdict) = run(DELETIONS, target);
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    assert_nothing_lost(&verdict);
    assert!(count(&verdict, "ok_removed") > 0, "{}", verdict["counts"]);
    let faults = &verdict["faults"];
    assert_eq!(faults[1]["nodes"], serde_json::json!(["queue-0", "queue-1"]));
    for fault in [&faults[0], &faults[1]] {
        let told = evidence(fault);
        assert!(told[0].contains("its log starts at "), "{told:?}");
        assert!(told.last().is_some_and(|last| last.contains("every live replica starts at")));
    }
    let deleted = |line: &&Value| line["event"] == "records_deleted";
    assert_eq!(history(&place).iter().filter(deleted).count(), 3);
    // The same history without the reason why: the log starts moved, and what stood below them is lost.
    let lines = place::read(&place.path("history.jsonl"));
    let kept = |line: &&str| !line.contains("\"records_deleted\"");
    let without: Vec<&str> = lines.lines().filter(kept).collect();
    place.write("without.jsonl", &format!("{}\n", without.join("\n")));
    let answer = place.run(["check", "without.jsonl", "--json"]).code(1).json();
    let checks = answer["checks"].as_array().expect("checks");
    let lost = checks.iter().find(|check| check["name"] == "lost-write").expect("looked for");
    assert_eq!(lost["verdict"], "invalid", "{lost}");
}

#[test]
fn partitions_that_are_added_are_written_to_and_read() {
    for target in targets() {
        let (place, verdict) = run(PARTITIONS, target);
        assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
        assert_nothing_lost(&verdict);
        let faults = &verdict["faults"];
        assert_eq!(
            evidence(&faults[0]),
            ["queue: it has 4 partitions (had 2), the new ones led and in sync"; 2]
        );
        assert_eq!(told(&place, "partitions").last(), Some(&Value::from(4)));
        let lines = place::read(&place.path("history.jsonl"));
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let polled = |line: &Value| line["event"] == "polled" && line["log"]["partition"] == 3;
        let readers = lines.filter(polled).map(|line| line["reader"].to_string());
        let readers: std::collections::BTreeSet<String> = readers.collect();
        assert_eq!(readers.len(), 4, "two that read along and two at the end: {readers:?}");
    }
}

#[test]
fn leadership_is_transferred_and_the_order_of_replicas_comes_back() {
    let Some(target) = kafka() else { return };
    let (_, verdict) = run(LEADERS, target);
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    assert_nothing_lost(&verdict);
    let faults = &verdict["faults"];
    assert_eq!(faults[2]["nodes"], serde_json::json!(["queue-0", "queue-1"]));
    for fault in [&faults[0], &faults[2]] {
        let told = evidence(fault);
        let (before, after) = told.split_at(told.len() / 2);
        for told in before {
            let words: Vec<&str> = told.split([' ', ',', '(', ')']).collect();
            let brokers: Vec<&&str> =
                words.iter().filter(|word| word.parse::<i32>().is_ok()).collect();
            // The new leader, the old one, and the new one again, first of the replicas.
            assert!(brokers[0] != brokers[1] && brokers[0] == brokers[2], "{told}");
        }
        assert!(after.iter().all(|told| told.ends_with(" again")), "{after:?}");
    }
}

#[test]
fn a_topic_that_is_deleted_and_made_again_is_gone_on_with() {
    for target in targets() {
        let (place, verdict) = run(ANEW, target);
        assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
        assert_nothing_lost(&verdict);
        assert!(count(&verdict, "ok_removed") > 0, "{}", verdict["counts"]);
        for fault in verdict["faults"].as_array().expect("faults") {
            assert_eq!(fault["nodes"], serde_json::json!(["queue"]));
            let told = evidence(fault);
            assert!(told[0].starts_with("queue: every broker knows it as "), "{told:?}");
            assert_eq!(told[0], told[1]);
        }
        let lines = history(&place);
        let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
        assert_eq!((of("topic"), of("topic_deleted")), (3, 2));
        // The load goes on in each of them, and the last one is read along and to its end.
        for topic in 0..3 {
            let in_it = |event: &str| -> Vec<&Value> {
                let in_it = |line: &&Value| line["event"] == event && line["log"]["topic"] == topic;
                lines.iter().filter(in_it).collect()
            };
            assert!(in_it("send").len() > 20, "{topic}");
            let readers: std::collections::BTreeSet<String> =
                in_it("polled").iter().map(|line| line["reader"].to_string()).collect();
            let finals = if topic == 2 { 2 } else { 0 };
            assert_eq!(readers.len(), 2 + finals, "topic {topic}: {readers:?}");
        }
    }
}

#[test]
fn a_topic_is_made_anew_in_the_middle_of_other_faults_and_nothing_of_the_new_one_is_lost() {
    for target in targets() {
        let more = ["--set", "time.run=20s", "--set", "topic.partitions=1"];
        let more: Vec<&str> = target.iter().chain(&more).copied().collect();
        let (place, verdict) = run(ANEW_IN_TROUBLE, &more);
        assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
        assert_nothing_lost(&verdict);
        // The load found it, with a session that knew the old one or with another.
        let lines = history(&place);
        let of_anew = |line: &&Value| line["event"] == "send" && line["log"]["topic"] == 1;
        let first = lines.iter().filter(of_anew).count();
        let polled = |line: &&Value| line["event"] == "polled" && line["log"]["topic"] == 1;
        let seen = lines.iter().filter(polled).count();
        assert!(first > 0 && seen > 0, "{first} sends, {seen} polls");
    }
}

#[test]
fn a_broker_that_comes_back_with_the_log_of_a_deleted_topic_does_not_serve_it_as_the_new_one() {
    for target in targets() {
        let more = ["--set", "topic.partitions=1"];
        let more: Vec<&str> = target.iter().chain(&more).copied().collect();
        let (_, verdict) = run(BACK_WITH_THE_OLD_LOG, &more);
        assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
        assert_nothing_lost(&verdict);
        let faults = verdict["faults"].as_array().expect("faults");
        let asked = faults.iter().find(|fault| fault["role"] == "topic").expect("asked");
        let told = evidence(asked);
        assert!(told[0].contains(", dead, knows it as "), "{told:?}");
    }
}

#[test]
fn an_unclean_election_that_is_asked_for_loses_what_was_not_promised_then() {
    const ALONE: [&str; 6] = [
        "--set",
        "target.controllers=1",
        "--set",
        "topic.min_insync_replicas=1",
        "--set",
        "topic.partitions=1",
    ];
    for target in targets() {
        let more: Vec<&str> = target.iter().chain(&ALONE).copied().collect();
        let (_, verdict) = run(UNCLEAN, &more);
        assert_eq!(verdict["verdict"], "not promised", "{}", verdict["because"]);
        assert!(count(&verdict, "ok_read") < count(&verdict, "ok"), "{}", verdict["counts"]);
        let faults = verdict["faults"].as_array().expect("faults");
        let asked = faults.iter().find(|fault| fault["name"] == "elect-unclean").expect("asked");
        assert!(evidence(asked)[0].contains("(by nobody before; in sync was "), "{asked}");
    }
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

#[test]
fn what_the_bundled_broker_can_not_be_asked_is_refused_before_anything_is_made() {
    let place = Place::new();
    place.write("plan.toml", &format!("{HEAD}{DELETIONS}"));
    let answer = place.run(["run", "plan.toml"]);
    assert_ne!(answer.code, 0);
    assert!(answer.err.contains("deletes no records on request"), "{}", answer.err);
    assert!(!place.path("store").exists(), "nothing was made");
}
