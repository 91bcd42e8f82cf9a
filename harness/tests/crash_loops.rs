//! A broker that is killed again each time that it runs: as a supervisor restarts one that can't start. Ours and Apache Kafka keep
//! what they acknowledged, and the node comes back when it is left alone.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::Place;

const PLAN: &str = r#"
schema = 1
name = "loops"
[target]
controllers = 1
[topic]
partitions = 3
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
[[fault]]
name = "crash-loop"
on = "leader"
running = "800ms"
from = "500ms"
for = "4s"
"#;

#[test]
fn a_broker_in_a_crash_loop_is_killed_many_times_and_comes_back_when_it_is_left_alone() {
    for target in place::targets() {
        let place = Place::for_cluster();
        place.write("plan.toml", PLAN);
        let arguments = ["run", "plan.toml", "--seed", "3", "--json"];
        let verdict = place.run(arguments.iter().chain(target)).code(0).json();
        assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
        let fault = &verdict["faults"][0];
        assert_eq!(fault["state"], "cleared", "{fault}");
        let told = fault["evidence"][1].as_str().expect("the end of it");
        let words: Vec<&str> = told.split(", ").collect();
        let lives = words.iter().find_map(|word| word.strip_suffix(" lives were ended before"));
        let lives: u32 = lives.and_then(|word| word.parse().ok()).expect("a number of lives");
        assert!(lives >= 3, "{told}");
        assert!(!told.contains("by itself"), "{told}");
        place.assert_nothing_left();
    }
}
