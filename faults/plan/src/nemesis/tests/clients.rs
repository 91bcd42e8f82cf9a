//! Faults of clients, among others.

use super::*;
use std::collections::BTreeSet;

#[test]
fn a_member_is_drawn_by_its_place_and_given_the_time_that_its_group_takes() {
    let text = "[workload]\nname = \"groups\"\nconsumers = 3\n\
        [[fault]]\nname = \"stall-consumer\"\nfrom = \"1s\"\nfor = \"2s\"\nevery = \"4s\"\n\
        [time]\nrun = \"60s\"\n";
    let world = ran(&plan(text), 3);
    let records = world.nemesis.records();
    assert!(records.iter().all(|record| record.state == FaultState::Cleared), "{records:#?}");
    let hit: BTreeSet<&str> = records.iter().flat_map(|r| &r.nodes).map(String::as_str).collect();
    assert_eq!(hit, BTreeSet::from(["m1", "m2", "m3"]));
    assert_eq!(world.damaged_max, 0);
}

#[test]
fn a_producer_that_is_killed_damages_no_node_and_is_not_killed_twice() {
    let text = "[workload]\nproducers = 3\n\
        [[fault]]\nname = \"kill-producer\"\non = \"producers\"\nfrom = \"1s\"\nfor = \"5s\"\n\
        [[fault]]\nname = \"kill-producer\"\nfrom = \"2s\"\nfor = \"1s\"\n\
        [[fault]]\nname = \"kill\"\non = \"leader\"\nfrom = \"1500ms\"\nfor = \"1s\"\n\
        [time]\nrun = \"25s\"\n";
    let world = ran(&plan(text), 3);
    let records = world.nemesis.records();
    assert!(records.iter().all(|record| record.state == FaultState::Cleared), "{records:#?}");
    let of = |name: &str| records.iter().filter(|r| r.name == name).collect::<Vec<_>>();
    let (producers, killed) = (of("kill-producer"), of("kill")[0]);
    assert_eq!(producers[0].nodes, ["p1", "p2", "p3"]);
    assert_eq!(producers[1].nodes.len(), 1);
    assert!(producers[1].asked_ms >= producers[0].cleared_ms, "{producers:#?}");
    assert!(killed.confirmed_ms < producers[0].healed_ms, "no limit keeps them apart");
    assert_eq!(world.damaged_max, 1);
}
