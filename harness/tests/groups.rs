//! A consumer group over the whole way: members on librdkafka that come and go, and what each way to commit promises.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Place, as_stored};
use serde_json::{Value, json};

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let mut all = list.as_array().expect("a list").iter();
    all.find(|one| one["name"] == name).unwrap_or_else(|| panic!("there is no {name}"))
}

/// Runs the shipped plan with another way to commit.
fn verdict(place: &Place, commits: &str) -> Value {
    let set = format!("workload.commits={commits}");
    let verdict =
        place.run(["run", "groups", "--seed", "11", "--set", &set, "--json"]).code(0).json();
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    assert_eq!(named(&verdict["promises"], "commits")["verdict"], "held");
    for name in ["lost-commit", "commit-regression", "poll-skip", "nonmonotonic-poll"] {
        let check = named(&verdict["checks"], name);
        assert_eq!((&check["verdict"], &check["count"]), (&json!("valid"), &json!(0)), "{check}");
    }
    verdict
}

fn count(verdict: &Value, check: &str) -> u64 {
    named(&verdict["checks"], check)["count"].as_u64().expect("a count")
}

#[test]
fn each_way_to_commit_keeps_its_own_promise() {
    let place = Place::for_cluster();
    // Every second member dies between the two steps of its work, so that what is not promised really happens.
    let after = verdict(&place, "after");
    assert_eq!(count(&after, "skipped"), 0);
    assert!(count(&after, "repeated") > 0, "{}", named(&after["promises"], "processing"));
    assert_eq!(named(&after["promises"], "processing")["verdict"], "not promised");
    let again = place.run(["check", "store/groups/latest", "--json"]).code(0).json();
    assert_eq!(as_stored(again), after, "the stored history gives the same answer");

    let automatic = verdict(&place, "automatic");
    assert_eq!(count(&automatic, "skipped"), 0);

    let before = verdict(&place, "before");
    assert_eq!(count(&before, "repeated"), 0);
    assert!(count(&before, "skipped") > 0, "{}", named(&before["promises"], "processing"));
    place.assert_nothing_left();
}
