//! Brokers whose clocks are wrong: our own, and Apache Kafka where `HIGHWATER_KAFKA_HOME` names one.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Place, kafka, wait_for};
use serde_json::{Value, json};

/// Three ways for a clock to be wrong, at one time on one broker; and a controller's own.
const APART: &str = r#"
schema = 1
name = "apart"
about = "Does it keep its word where brokers disagree about the time?"
[target]
nodes = 3
controllers = 1
[topic]
partitions = 2
[workload]
rate = "200/s"
record_bytes = "256B"
[limits]
damaged = 1
recovery_wait = "1s"
[time]
setup = "120s"
baseline = "1s"
run = "16s"
heal = "60s"
settle = "120s"
deadline = "20s"
[[fault]]
name = "clock-jump"
by = "1h"
on = "n1"
from = "500ms"
for = "8s"
[[fault]]
name = "clock-drift"
rate = "-50%"
on = "n1"
from = "1s"
for = "4s"
[[fault]]
name = "clock-strobe"
by = "-10m"
period = "400ms"
on = "n1"
from = "1500ms"
for = "10s"
[[fault]]
name = "clock-drift"
rate = "+10%"
on = "controller"
from = "1s"
for = "3s"
"#;

#[track_caller]
fn held_and_proved(verdict: &Value) {
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    assert_eq!(verdict["counts"]["ok"], verdict["counts"]["ok_read"]);
    let faults = verdict["faults"].as_array().expect("faults");
    let [jump, drift, controller, strobe] = faults.as_slice() else { panic!("{faults:?}") };
    for fault in faults {
        assert_eq!(fault["state"], "cleared", "{fault}");
    }
    let evidence = |fault: &Value| fault["evidence"].to_string();
    // To the second: how long a round trip takes is the machine's to say.
    let jumped = evidence(jump);
    assert!(
        jumped.contains("its clock is 3600.") || jumped.contains("its clock is 3599."),
        "{jumped}"
    );
    assert!(jumped.contains(" s ahead of ours (round trip "), "{jumped}");
    assert!(evidence(drift).contains("after it began"));
    assert!(evidence(strobe).contains(", and in turn: "));
    for stacked in [drift, strobe] {
        assert!(evidence(stacked).contains(" counted in"), "{stacked}");
    }
    assert!(evidence(controller).contains("c1: its clock is "), "{controller}");
}

/// What a run of the plan said.
fn run(place: &Place, plan: &str, more: &[&str]) -> Value {
    place.write("plan.toml", plan);
    let arguments = ["run", "plan.toml", "--seed", "5", "--json"];
    let answer = place.run(arguments.iter().chain(more));
    assert_eq!(answer.code, 0, "{} {}", answer.out, answer.err);
    place.assert_nothing_left();
    answer.json()
}

#[test]
fn clocks_that_are_wrong_in_three_ways_cost_nothing_that_was_acknowledged() {
    let place = Place::for_cluster();
    held_and_proved(&run(&place, APART, &[]));
    let record = place::read_json(&place.latest("apart").join("run.json"));
    assert_eq!(record["warnings"], json!([]));
}

#[test]
fn apache_kafka_keeps_its_word_on_clocks_that_are_wrong_in_three_ways() {
    let Some(target) = kafka() else { return };
    let place = Place::for_cluster();
    held_and_proved(&run(&place, APART, target));
}

#[test]
fn a_broker_that_follows_a_file_which_is_no_clock_says_so() {
    let place = Place::new();
    place.write(
        "server.properties",
        "node.id=1\nprocess.roles=broker,controller\nlog.dirs=data\n\
         listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0\n\
         controller.listener.names=CONTROLLER\ncontroller.quorum.voters=1@127.0.0.1:9093\n",
    );
    place.write("other", "no clock");
    let broker = ["broker", "--config", "server.properties", "--clock"];
    for missing in ["missing", "other"] {
        let answer = place.run(broker.iter().chain([&missing]));
        assert_ne!(answer.code, 0);
        assert!(
            answer.err.contains(&format!("cannot follow the clock {missing}")),
            "{}",
            answer.err
        );
    }
}

#[test]
fn a_harness_that_is_killed_leaves_no_broker_with_a_clock_that_is_wrong() {
    let place = Place::for_cluster();
    place.write("plan.toml", &APART.replace("for = \"8s\"", "for = \"60s\""));
    let mut running = place.start(["run", "plan.toml", "--seed", "5", "--progress", "lines"]);
    wait_for("a clock is wrong", || {
        running.assert_runs();
        let lines = place::read_json_lines(&place.path("store/apart/latest/faults.jsonl"));
        let confirmed = lines.iter().any(|line| line["state"] == "confirmed");
        confirmed.then_some(()).ok_or_else(|| "none is".to_string())
    });
    running.signal(rustix::process::Signal::KILL);
    running.wait();
    place.run(["doctor", "--clean"]).code(0);
    place.assert_nothing_left();
}
