//! One whole run from outside: the verdict, what it is made from, what can be made from it again, and that nothing of
//! it is left but its directory.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Place, read, read_json, read_json_lines};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const REPORT_BYTES_MAX: u64 = 2_000_000;

#[test]
fn a_run_from_start_to_end() {
    let place = Place::for_cluster();
    let answer = place.run(["run", "smoke", "--seed", "7", "--json"]).code(0);
    let printed = answer.json();
    let run = place.latest("smoke");
    let stored = read_json(&run.join("verdict.json"));
    assert_eq!(printed, stored, "--json is verdict.json");
    assert!(
        answer.err.contains("killed") || answer.err.contains("kill "),
        "progress in lines: {answer:?}"
    );

    verdict_has_its_fields(&stored);
    every_acknowledged_record_was_read(&stored);
    faults_took_effect_and_ended(&stored, &run);
    the_page_needs_nothing_else(&run);
    nothing_heavy_is_kept(&place, &run);
    it_can_be_judged_again(&place, &run, &stored);
    it_can_be_rendered_again(&place, &run);
    place.assert_nothing_left();
}

fn verdict_has_its_fields(verdict: &Value) {
    assert_eq!(verdict["schema"], "highwater/verdict/1");
    assert_eq!(verdict["plan"], "smoke");
    assert_eq!(verdict["target"], "bundled ×3");
    assert_eq!(verdict["seed"], 7);
    assert_eq!(verdict["defects"], json!([]));
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    for words in ["promise", "because"] {
        assert!(verdict[words].as_str().is_some_and(|text| !text.is_empty()), "{words}");
    }
    let promises = verdict["promises"].as_array().expect("promises");
    // The three replicas of each log were compared in the nodes' own files.
    for name in ["durability", "replicas"] {
        let promise = promises.iter().find(|promise| promise["name"] == name).expect(name);
        assert_eq!(promise["verdict"], "held", "{promise}");
    }
    for promise in promises {
        let word = promise["verdict"].as_str().expect("a word");
        assert!(["held", "not promised"].contains(&word), "{promise}");
    }
    let checks = verdict["checks"].as_array().expect("checks");
    let asked = [
        "lost-write",
        "unseen",
        "duplicate",
        "reordered",
        "inconsistent-offsets",
        "corrupted",
        "phantom",
        "resurrected",
        "nonmonotonic-poll",
        "poll-skip",
    ];
    for name in asked {
        let check = checks.iter().find(|check| check["name"] == name);
        let check = check.unwrap_or_else(|| panic!("there is no check {name}"));
        assert_eq!((&check["verdict"], &check["count"]), (&json!("valid"), &json!(0)), "{check}");
    }
    for name in ["ok", "fail", "info", "read"] {
        assert!(verdict["counts"][name].is_u64(), "counts.{name}");
    }
    for name in ["request", "windowed"] {
        let share = verdict["availability"][name].as_f64().expect("a share");
        assert!((0.0..=1.0).contains(&share), "availability.{name} is {share}");
    }
    assert!(verdict["availability"]["longest_outage_ms"].is_u64());
}

fn every_acknowledged_record_was_read(verdict: &Value) {
    let counts = &verdict["counts"];
    assert!(counts["ok"].as_u64() > Some(1000), "{counts}");
    assert_eq!(counts["ok"], counts["ok_read"], "{counts}");
    assert!(counts["read"].as_u64() >= counts["ok"].as_u64(), "{counts}");
}

fn faults_took_effect_and_ended(verdict: &Value, run: &Path) {
    let faults = verdict["faults"].as_array().expect("faults");
    for name in ["kill", "stall"] {
        let fault = faults.iter().find(|fault| fault["name"] == name);
        let fault = fault.unwrap_or_else(|| panic!("there was no {name}: {faults:?}"));
        assert_eq!(fault["role"], "leader");
        assert_eq!(fault["nodes"].as_array().map(Vec::len), Some(1), "{fault}");
        let at = |field: &str| fault[field].as_u64().unwrap_or_else(|| panic!("{field}: {fault}"));
        assert!(at("asked_ms") <= at("confirmed_ms") && at("confirmed_ms") <= at("cleared_ms"));
        // Each change of it is on record, in its order.
        let changes = read_json_lines(&run.join("faults.jsonl"));
        let states: Vec<&str> = changes
            .iter()
            .filter(|change| change["id"] == fault["id"])
            .filter_map(|change| change["state"].as_str())
            .collect();
        let place_of = |state: &str| states.iter().position(|known| *known == state);
        assert!(place_of("asked") < place_of("confirmed"), "{states:?}");
        assert!(place_of("confirmed") < place_of("cleared"), "{states:?}");
    }
    let reached = verdict["reached"].as_array().expect("states that the run came through");
    let changed = |state: &&Value| state["state"] == "a partition's leader changed";
    assert!(reached.iter().find(changed).is_some_and(|state| state["count"].as_u64() > Some(0)));
}

fn the_page_needs_nothing_else(run: &Path) {
    let path = run.join("report.html");
    let page = read(&path);
    assert!(fs::metadata(&path).expect("a page").len() < REPORT_BYTES_MAX);
    assert!(page.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"));
    for word in ["http://", "https://", "<script", "<link", "<iframe", "@import", " src=", "url("] {
        assert!(!page.contains(word), "the page holds {word}");
    }
    for word in ["held", "smoke", "seed 7", "What happened when", "kill", "stall", "<svg"] {
        assert!(page.contains(word), "the page does not hold {word}");
    }
    // Each file that it links to is there.
    for link in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(run.join(link).is_file(), "{link} is not in the run directory");
    }
}

fn nothing_heavy_is_kept(place: &Place, run: &Path) {
    for node in ["n1", "n2", "n3"] {
        assert!(run.join("nodes").join(node).join("broker.log").is_file());
        assert!(!run.join("nodes").join(node).join("data").exists(), "data without a finding");
    }
    let runs = place.run(["list", "runs"]).code(0).out;
    assert!(runs.contains("store/smoke/") && runs.contains("held"), "{runs}");
}

/// `check` comes to the same answer from what is stored, wherever the directory is.
fn it_can_be_judged_again(place: &Place, run: &Path, verdict: &Value) {
    let again = place.run(["check", "store/smoke/latest", "--json"]).code(0).json();
    for field in ["verdict", "because", "checks", "promises", "counts", "faults", "availability"] {
        assert_eq!(again[field], verdict[field], "{field}");
    }
    assert_eq!(&again, verdict);
    let moved = place.path("moved");
    fs::rename(run, &moved).expect("a run directory can be moved");
    assert_eq!(&place.run(["check", "moved", "--json"]).code(0).json(), verdict);
    assert!(place.run(["check", "moved"]).code(0).out.contains("HELD"));
    // The history alone is enough for the checks, but for how long a reader may wait, which is the plan's to say, and for
    // what was in the nodes' files.
    let bare = place.run(["check", "moved/history.hwh", "--json"]).code(0).json();
    let mut checks = verdict["checks"].as_array().expect("checks").clone();
    let all = checks.len();
    checks.retain(|check| check["name"] != "stuck" && check["name"] != "replica-divergence");
    assert_eq!(checks.len() + 2, all, "stuck readers and replicas were looked for");
    assert_eq!((&bare["verdict"], &bare["checks"]), (&json!("valid"), &json!(checks)));
    fs::rename(&moved, run).expect("and back");
}

fn it_can_be_rendered_again(place: &Place, run: &Path) {
    let names = ["report.html", "junit.xml", "summary.md", "verdict.json"];
    let files = || names.map(|name| read(&run.join(name)));
    let first = files();
    for _ in 0..2 {
        place.run(["report", "store/smoke/latest"]).code(0);
        for (name, (before, after)) in names.iter().zip(first.iter().zip(files())) {
            assert!(*before == after, "{name} differs when it is made again");
        }
    }
    for (format, name) in
        [("html", "report.html"), ("junit", "junit.xml"), ("json", "verdict.json")]
    {
        let answer = place.run(["report", "store/smoke/latest", "--format", format]).code(0);
        assert!(answer.out == read(&run.join(name)), "--format {format} is {name}");
    }
}

#[test]
fn a_rack_fails_as_one_and_a_stall_goes_after_the_leader() {
    let place = Place::for_cluster();
    place.write(
        "racks.toml",
        r#"
schema = 1
name = "racks"
[target]
nodes = 4
controllers = 1
racks = [["n1", "n2", "c1"], ["n3", "n4"]]
[topic]
partitions = 2
replication_factor = 2
min_insync_replicas = 1
[workload]
rate = "200/s"
record_bytes = "256B"
[limits]
damaged = 2
[time]
baseline = "1s"
run = "9s"
[[fault]]
name = "stall"
on = "leader"
follow = true
from = "200ms"
for = "4s"
[[fault]]
name = "kill"
on = "rack"
from = "6s"
for = "500ms"
"#,
    );
    let few = ["run", "racks.toml", "--set", "limits.damaged=1"];
    place.run(few).code(64).says(&["`rack` damages 2 of 4 brokers", "damaged = 2"]);
    let verdict = place.run(["run", "racks.toml", "--seed", "3", "--json"]).code(0).json();
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    let faults = verdict["faults"].as_array().expect("faults");
    assert!(faults.iter().all(|fault| fault["state"] == "cleared"), "{faults:?}");
    let stalled = faults[0]["nodes"].as_array().expect("nodes");
    assert!(stalled.len() > 1, "{}", faults[0]);
    assert!(faults[0]["evidence"].to_string().contains("it followed its role to n"));
    let rack = &faults[1]["nodes"];
    assert!([json!(["c1", "n1", "n2"]), json!(["n3", "n4"])].contains(rack), "{rack}");
    let run = place.latest("racks");
    for (node, rack) in [("n1", "r1"), ("n2", "r1"), ("n3", "r2"), ("n4", "r2")] {
        let properties = read(&run.join("nodes").join(node).join("server.properties"));
        assert!(properties.contains(&format!("broker.rack={rack}\n")), "{node}: {properties}");
    }
    // A copy in each rack: the cluster's own doing.
    for line in read_json_lines(&run.join("cluster.jsonl")) {
        if line["observed"] == "partition" {
            let replicas = line["replicas"].as_array().expect("replicas");
            let first = replicas.iter().filter(|id| id.as_u64() <= Some(2)).count();
            assert_eq!(first, 1, "{line}");
        }
    }
    place.assert_nothing_left();
}

#[test]
fn a_rolling_upgrade_starts_the_other_version_on_the_same_data() {
    let place = Place::for_cluster();
    place.run(["run", "rolling-upgrade"]).code(3).says(&["upgrade to which version?"]);
    let other = |to: &str| format!("target.upgrade_to={}", json!(to));
    let nowhere = other("/nowhere/highwater");
    place.run(["run", "rolling-upgrade", "--set", &nowhere]).code(3).says(&["/nowhere/highwater"]);
    let no_broker = other("/bin/true");
    let refused = place.run(["run", "rolling-upgrade", "--set", &no_broker]).code(3);
    refused.says(&["does not say that it is a highwater"]);
    assert!(!place.path("store/rolling-upgrade").exists(), "nothing was made");
    let to = other(env!("CARGO_BIN_EXE_highwater"));
    let arguments = ["run", "rolling-upgrade", "--seed", "2", "--json", "--set", &to];
    let times = ["--set", "time.run=\"12s\"", "--set", "time.baseline=\"1s\""];
    let verdict = place.run(arguments.iter().chain(&times)).code(0).json();
    assert_eq!(verdict["verdict"], "held", "{}", verdict["because"]);
    let faults = verdict["faults"].as_array().expect("faults");
    assert_eq!(faults.len(), 3);
    for fault in faults {
        assert_eq!(fault["state"], "cleared", "{fault}");
        assert!(fault["evidence"].to_string().contains("upgraded to highwater "), "{fault}");
    }
    place.assert_nothing_left();
}
