//! `highwater sim` from outside: what it prints, keeps and answers.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::Place;
use serde_json::Value;
use std::fs;

const HELD: i32 = 0;
const BROKEN: i32 = 1;
const USAGE: i32 = 64;

#[test]
fn the_same_seeds_give_the_same_traces_in_any_order() {
    let place = Place::new();
    let run = |jobs: &str| {
        let args = ["sim", "--seeds", "10..30", "--jobs", jobs, "--json"];
        place.run(args).code(HELD).json()
    };
    let (alone, together) = (run("1"), run("2"));
    for field in ["schedules", "simulated_s", "failed", "states", "trace_hash", "acknowledged"] {
        assert_eq!(alone[field], together[field], "{field}");
    }
    assert_eq!(alone["schedules"], 20);
    assert_eq!(alone["failed"], Value::Array(vec![]));
    assert!(alone["simulated_s"].as_f64() > Some(40.0) && alone["wall_s"].as_f64() > Some(0.0));
    assert!(alone["states"]["producer: acknowledged"].as_u64() > Some(1_000));
}

#[test]
fn a_defect_is_found_shrunk_and_replayed_byte_for_byte() {
    let place = Place::new();
    let args = ["sim", "--defect", "ack-before-isr", "--seeds", "0..200", "--jobs", "1", "--json"];
    let found = place.run(args).code(BROKEN).json();
    let failed = &found["failed"][0];
    assert_eq!(failed["check"], "acknowledged-in-sync", "{failed}");
    assert!(failed["seed"].is_u64() && failed["at_s"].is_f64(), "{failed}");
    let kept = &found["kept"][0];
    let replay = kept["replay"].as_str().expect("a command");
    let words: Vec<&str> = replay.split(' ').skip(1).collect();
    let (first, second) = (place.run(&words).code(BROKEN).out, place.run(&words).code(BROKEN).out);
    assert!(first == second, "a replay differs from the one before");
    assert!(first.contains("FAILED acknowledged-in-sync"), "{first}");
    let story = fs::read_to_string(place.path(kept["story"].as_str().expect("a path")));
    assert!(first.starts_with(story.expect("a story").as_str()), "the story is what is replayed");
    // Shrunk: what it does not need is not in it.
    let schedule =
        fs::read_to_string(place.path(words.last().expect("a file"))).expect("a schedule");
    assert!(schedule.matches("[[fault]]").count() <= 2, "{schedule}");
    // Without the defect the same schedule holds.
    let healthy = schedule.replace("defects = [\"ack-before-isr\"]\n", "");
    assert_ne!(healthy, schedule);
    place.write("healthy.toml", &healthy);
    assert!(place.run(["sim", "--replay", "healthy.toml"]).code(HELD).out.contains("HELD"));
}

#[test]
fn a_plan_means_the_same_in_simulated_time() {
    let place = Place::new();
    let seeds = ["--seeds", "1..3", "--no-shrink", "--json"];
    for (defect, check) in
        [("ack-before-isr", "acknowledged-in-sync"), ("forget-producer-state", "no-duplicates")]
    {
        let plan = format!("defect-{defect}");
        let healthy = place.run(["sim", plan.as_str()].into_iter().chain(seeds)).code(HELD).json();
        assert_eq!(healthy["schedules"], 2);
        let args = ["sim", plan.as_str(), "--defect", defect].into_iter().chain(seeds);
        let found = place.run(args).code(BROKEN).json();
        assert_eq!(found["failed"][0]["check"], check, "{}", found["failed"]);
    }
    let smoke = || place.run(["sim", "smoke", "--seed", "3", "--json"]).code(HELD).json();
    let (first, second) = (smoke(), smoke());
    assert_eq!(first["trace_hash"], second["trace_hash"]);
    assert!(first["acknowledged"].as_u64() > Some(5_000), "{first}");
}

#[test]
fn what_cannot_be_run_is_told() {
    let place = Place::new();
    place.write("no.toml", "schema = \"highwater/schedule/1\"\nbrokers = 3\n");
    for (args, words) in [
        (vec!["sim", "--seeds", "5..5"], vec!["0..1000"]),
        (vec!["sim", "--seeds", "many"], vec!["0..1000"]),
        (vec!["sim", "--for", "long"], vec!["long"]),
        (vec!["sim", "--defect", "none"], vec!["there is no defect none"]),
        (vec!["sim", "--replay", "gone.toml"], vec!["cannot read gone.toml"]),
        (vec!["sim", "--replay", "no.toml"], vec!["no.toml is no schedule", "brokers"]),
        (vec!["sim", "gone"], vec!["cannot read the plan gone"]),
        (vec!["sim", "acks-and-min-insync"], vec!["highwater compare"]),
    ] {
        let answer = place.run(&args).code(USAGE);
        for word in words {
            assert!(answer.err.contains(word), "{args:?}: {}", answer.err);
        }
        assert!(!answer.err.contains("panicked"), "{}", answer.err);
    }
}
