//! What the nodes tell of themselves while they are broken, as a run stores and shows it.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Place, kafka, read, read_json, read_json_lines};
use serde_json::Value;
use std::path::Path;

const UNDER_REPLICATED: &str = "kafka_server_replicamanager_underreplicatedpartitions";
const ACTIVE: &str = "kafka_controller_kafkacontroller_activecontrollercount";
const NAMES: [&str; 14] = [
    "kafka_controller_kafkacontroller_activecontrollercount",
    "kafka_controller_kafkacontroller_offlinepartitionscount",
    "kafka_server_raft_metrics_current_epoch",
    "kafka_server_raft_metrics_current_leader",
    "kafka_server_raft_metrics_current_state",
    "kafka_server_raft_metrics_high_watermark",
    "kafka_server_raft_metrics_log_end_offset",
    "kafka_server_replicafetchermanager_maxlag{clientId=\"Replica\"}",
    "kafka_server_replicamanager_isrexpands_total",
    "kafka_server_replicamanager_isrshrinks_total",
    "kafka_server_replicamanager_leadercount",
    "kafka_server_replicamanager_partitioncount",
    "kafka_server_replicamanager_underminisrpartitioncount",
    "kafka_server_replicamanager_underreplicatedpartitions",
];

fn plan(target: &str, time: &str, fault: &str) -> String {
    format!(
        "schema = 1\nname = \"told\"\nabout = \"Do the nodes tell that a replica is missing?\"\n\
         [target]\n{target}\nprofile = \"fast\"\nnodes = 3\n[topic]\npartitions = 3\n\
         [workload]\nrate = \"100/s\"\nrecord_bytes = \"128B\"\n\
         [time]\nbaseline = \"2s\"\n{time}\ndeadline = \"20s\"\n[[fault]]\non = \"follower\"\n{fault}\n"
    )
}

/// The series of a line without their states, which differ from node to node.
fn names(scrape: &Value) -> Vec<&str> {
    let values = scrape["values"].as_object().expect("values");
    let name = |name: &'_ String| -> usize { name.find("{state=").unwrap_or(name.len()) };
    values.keys().map(|key| &key[..name(key)]).collect()
}

/// Of the lines that have it, each with what it is.
fn numbers<'a>(scrapes: &'a [Value], name: &'a str) -> impl Iterator<Item = (u64, &'a str, f64)> {
    scrapes.iter().filter_map(move |scrape| {
        let value = scrape["values"][name].as_f64()?;
        Some((scrape["at_ms"].as_u64()?, scrape["node"].as_str()?, value))
    })
}

/// The follower's absence is seen in the leaders' numbers, and its return; itself it is told as silent, not as zero.
fn a_missing_replica_is_told(run: &Path) {
    let scrapes = read_json_lines(&run.join("metrics.jsonl"));
    let verdict = read_json(&run.join("verdict.json"));
    let fault = &verdict["faults"][0];
    let (asked, cleared) = (fault["asked_ms"].as_u64(), fault["cleared_ms"].as_u64());
    let (asked, cleared) = (asked.expect("asked"), cleared.expect("cleared"));
    let victim = fault["nodes"][0].as_str().expect("a node");
    let whole = scrapes.iter().find(|scrape| scrape["values"][UNDER_REPLICATED].is_number());
    assert_eq!(names(whole.expect("a node told its numbers")), NAMES);

    // On a busy machine there may have been some before.
    let before = |node: &str| {
        let told = numbers(&scrapes, UNDER_REPLICATED);
        let told = told.filter(|(at, of, _)| *at < asked && *of == node);
        told.last().map_or(0.0, |(_, _, count)| count)
    };
    let missed = numbers(&scrapes, UNDER_REPLICATED)
        .find(|(at, node, count)| *at > asked && *node != victim && *count > before(node));
    let (missed_ms, _, _) = missed.expect("a leader missed the follower");
    for node in ["n1", "n2", "n3"] {
        let last = numbers(&scrapes, UNDER_REPLICATED).filter(|(_, of, _)| *of == node).last();
        let (at, _, count) = last.expect("each node told something");
        assert!(at > missed_ms && count == 0.0, "{node} at {at}: {count}");
    }
    let within = |at: u64| asked <= at + 1_000 && at <= cleared + 1_000;
    let silent = scrapes.iter().any(|scrape| {
        scrape["node"] == victim
            && scrape["error"].is_string()
            && scrape["values"].is_null()
            && scrape["at_ms"].as_u64().is_some_and(within)
    });
    assert!(silent, "{victim} did not answer between {asked} and {cleared} ms");
    let active = numbers(&scrapes, ACTIVE).any(|(_, _, count)| count == 1.0);
    assert!(active, "somebody was the active controller");
}

#[test]
fn a_stalled_follower_is_missed_and_comes_back() {
    let place = Place::for_cluster();
    let fault = "name = \"stall\"\nfrom = \"500ms\"\nfor = \"4s\"";
    place.write("plan.toml", &plan("kind = \"bundled\"", "run = \"12s\"", fault));
    let verdict = place.run(["run", "plan.toml", "--seed", "3", "--json"]).code(0).json();
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    let run = place.latest("told");
    a_missing_replica_is_told(&run);

    let metrics = read_json(&run.join("facts.json"))["metrics"].clone();
    let most = |name: &str| {
        let numbers = metrics[name].as_array().expect("numbers");
        numbers.iter().filter_map(Value::as_u64).max()
    };
    assert!(most("under_replicated") > Some(0), "{metrics}");
    let silences = metrics["silences"].as_array().expect("silences");
    assert!(
        silences.iter().any(|one| one["node"] == verdict["faults"][0]["nodes"][0]),
        "{metrics}"
    );
    let rule = |part: &str| {
        let alerts = metrics["alerts"].as_array().expect("alerts");
        alerts.iter().find(|one| one["rule"].as_str().is_some_and(|rule| rule.contains(part)))
    };
    let five_minutes = rule("5 min").expect("the rule");
    assert!(five_minutes["could_not"].as_str().is_some_and(|why| why.contains("too short")));
    let page = read(&run.join("report.html"));
    assert!(page.contains("<b>Metrics</b>") && page.contains("would have fired"));
    // Everything is made from what is stored.
    place.run(["check", run.to_str().expect("a path"), "--json"]).code(0);
    place.assert_nothing_left();
}

#[test]
fn nodes_in_namespaces_are_asked_where_they_are() {
    let place = Place::for_cluster();
    let fault = "name = \"isolate\"\nfrom = \"500ms\"\nfor = \"4s\"";
    place.write("plan.toml", &plan("kind = \"bundled\"", "run = \"12s\"", fault));
    let answer = place.run(["run", "plan.toml", "--seed", "3", "--json"]);
    if answer.code == 3 && answer.err.contains("namespace") {
        eprintln!("skipped: no network namespaces here: {}", answer.err);
        return;
    }
    let verdict = answer.code(0).json();
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    a_missing_replica_is_told(&place.latest("told"));
    place.assert_nothing_left();
}

#[test]
fn apache_kafka_tells_the_same_by_the_same_names() {
    let Some(home) = std::env::var_os("HIGHWATER_KAFKA_HOME").filter(|_| kafka().is_some()) else {
        return;
    };
    let place = Place::for_cluster();
    let doctor = place.run(["doctor"]).code(0).out;
    let told = doctor.lines().find(|line| line.contains("metrics of Apache Kafka"));
    let told = told.expect("doctor says whether there are metrics");
    let fault = "name = \"kill\"\nfrom = \"500ms\"\nfor = \"4s\"";
    let time = "setup = \"120s\"\nrun = \"25s\"\nsettle = \"120s\"\nheal = \"120s\"";
    place.write("plan.toml", &plan("kind = \"kafka\"", time, fault));
    let verdict = place.run(["run", "plan.toml", "--seed", "3", "--json"]).code(0).json();
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    let run = place.latest("told");
    if Path::new(&home).join("agents").is_dir() {
        assert!(told.starts_with("yes"), "{told}");
        a_missing_replica_is_told(&run);
    } else {
        assert!(told.starts_with("no") && told.contains("get-metrics-agent.sh"), "{told}");
        assert!(read(&run.join("report.html")).contains("<b>No metrics:</b>"));
    }
    place.assert_nothing_left();
}
