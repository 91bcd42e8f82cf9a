//! A comparison from outside: its cells, its page, and what its links lead to.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Place, read, read_json};

/// Two settings under one kill each, as short as it can be.
const PLAN: &str = r#"
schema = 1
name   = "two-cells"

[target]
kind  = "bundled"
nodes = 3

[topic]
partitions         = 2
replication_factor = 3

[workload]
producers    = 1
consumers    = 1
rate         = "200/s"
record_bytes = "256B"

[[fault]]
name = "kill"
on   = "leader"
from = "200ms"
for  = "500ms"

[time]
baseline = "1s"
run      = "2s"
heal     = "30s"
settle   = "30s"
check    = "30s"

[matrix]
acks                = ["all"]
min_insync_replicas = [1, 2]
"#;

#[test]
fn the_cells_of_the_shipped_comparison() {
    let place = Place::new();
    let cells = place.run(["compare", "--dry-run"]).code(0).out;
    assert_eq!(cells.lines().count(), 3 * 2 * 2, "{cells}");
    for acks in ["acks=0", "acks=1", "acks=all"] {
        for recipe in ["starve-followers-kill-leader", "shrink-isr-wipe-leader"] {
            let is_it = |line: &&str| line.contains(acks) && line.contains(recipe);
            assert_eq!(cells.lines().filter(is_it).count(), 2, "{acks} {recipe}:\n{cells}");
        }
    }
    assert!(!place.path("store").exists(), "a dry run does nothing");
}

#[test]
fn two_cells_side_by_side() {
    let place = Place::for_cluster();
    place.write("two-cells.toml", PLAN);
    let answer = place.run(["compare", "two-cells.toml", "--seed", "5", "--json"]).code(0);
    let directory = place.latest("two-cells");
    let comparison = answer.json();
    assert_eq!(comparison, read_json(&directory.join("comparison.json")));
    let cells = comparison["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 2);
    for cell in cells {
        assert_eq!(cell["verdict"]["verdict"], "held", "{}", cell["verdict"]["because"]);
        assert_eq!((cell["lost"].as_u64(), cell["duplicates"].as_u64()), (Some(0), Some(0)));
        assert!(cell["throughput_per_s"].as_f64() > Some(0.0));
        let report = cell["report"].as_str().expect("a report");
        assert!(directory.join(report).is_file(), "{report} is not there");
    }
    let cheapest = comparison["cheapest"].as_str().expect("both held, one is cheaper");
    assert!(cheapest.contains("acks=all min_insync_replicas="), "{cheapest}");

    let page = read(&directory.join("report.html"));
    assert!(page.contains("Content-Security-Policy"));
    let links: Vec<&str> =
        page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(links.len(), 2, "each cell links to its run: {links:?}");
    for link in links {
        let link = link.replace("&#38;", "&").replace("&amp;", "&");
        assert!(directory.join(&link).is_file(), "{link} is not there");
    }
    place.assert_nothing_left();
}
