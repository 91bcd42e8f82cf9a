//! Would it even notice? Each seeded defect is caught by the run that is made to provoke it, by the right check; and
//! without the defect the same plan finds nothing.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::Place;
use serde_json::Value;

const BROKEN: i32 = 1;

/// The checks that a run found invalid.
fn invalid(verdict: &Value) -> Vec<&str> {
    let checks = verdict["checks"].as_array().expect("checks").iter();
    checks
        .filter(|check| check["verdict"] == "invalid")
        .filter_map(|c| c["name"].as_str())
        .collect()
}

/// One run with the defect; answers why it was not caught, if it was not.
fn catch(place: &Place, defect: &str, check: &str, seed: &str) -> Result<(), String> {
    let answer = place.run(["run", "--defect", defect, "--seed", seed, "--json", "--quiet"]);
    let Ok(verdict) = serde_json::from_str::<Value>(&answer.out) else {
        panic!("{defect}, seed {seed}: no verdict: {answer:?}");
    };
    assert_eq!(verdict["defects"], serde_json::json!([defect]));
    place.assert_nothing_left();
    let found = invalid(&verdict);
    let caught = answer.code == BROKEN && verdict["verdict"] == "broken" && found.contains(&check);
    let told = format!(
        "{defect}, seed {seed}: exit {}, invalid {found:?}, {}",
        answer.code, verdict["because"]
    );
    eprintln!("{told}");
    if caught { Ok(()) } else { Err(told) }
}

/// 19 of 20 runs catch it: one may miss it by chance, two in a row do not.
fn is_caught(defect: &str, check: &str) {
    let place = Place::for_cluster();
    let Err(first) = catch(&place, defect, check, "11") else { return };
    let Err(second) = catch(&place, defect, check, "12") else { return };
    panic!("missed twice:\n{first}\n{second}");
}

/// The recipe once, on brokers that are not wrong: nothing that was promised is broken, and what the defect would have
/// done was not done. (Without idempotence a retry may write a record twice, which nobody promised it would not.)
fn is_not_invented(defect: &str, check: &str) {
    let place = Place::for_cluster();
    let plan = format!("defect-{defect}");
    let args =
        ["run", &plan, "--seed", "11", "--set", "recipe.0.count=1", "--time", "4s", "--json"];
    let answer = place.run(args);
    let verdict = answer.json();
    assert!(!invalid(&verdict).contains(&check), "{}", verdict["because"]);
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    assert_eq!(answer.code, 0);
    place.assert_nothing_left();
}

#[test]
fn ack_before_isr_is_caught() {
    is_caught("ack-before-isr", "lost-write");
}

#[test]
fn ack_before_isr_is_not_invented() {
    is_not_invented("ack-before-isr", "lost-write");
}

#[test]
fn truncate_to_high_watermark_is_caught() {
    is_caught("truncate-to-high-watermark", "lost-write");
}

#[test]
fn truncate_to_high_watermark_is_not_invented() {
    is_not_invented("truncate-to-high-watermark", "lost-write");
}

#[test]
fn no_epoch_fencing_is_caught() {
    is_caught("no-epoch-fencing", "lost-write");
}

#[test]
fn no_epoch_fencing_is_not_invented() {
    is_not_invented("no-epoch-fencing", "lost-write");
}

#[test]
fn forget_producer_state_is_caught() {
    is_caught("forget-producer-state", "duplicate");
}

#[test]
fn forget_producer_state_is_not_invented() {
    is_not_invented("forget-producer-state", "duplicate");
}
