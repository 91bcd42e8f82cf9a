//! What a schedule is held to, and what not.

use super::*;
use crate::scenario::{Fault, What, Whom};

fn one_broker(exceeds_promise: bool, what: What) -> Scenario {
    let drawn = crate::swarm::draw(1, &[]);
    let mut scenario = Scenario {
        exceeds_promise,
        faults: vec![Fault { at_ms: 300, for_ms: 100, what }],
        ..drawn
    };
    scenario.cluster.brokers = 1;
    scenario.cluster.dedicated_controllers = 0;
    scenario.cluster.combined_controllers = 1;
    scenario.cluster.clock_drift_ppm.clear();
    scenario.phases.disasters_ms = 1_000;
    scenario.phases.liveness_ms = 3_000;
    scenario.phases.left_out.clear();
    scenario.network.delay_us_mean = 200;
    for topic in &mut scenario.topics {
        topic.replication_factor = 1;
        topic.properties.insert("min.insync.replicas".to_owned(), "1".to_owned());
    }
    scenario
}

fn strikes(outcome: &Outcome) -> usize {
    outcome.lines.iter().filter(|line| line.text.starts_with("fault ")).count()
}

#[test]
fn a_fault_strikes_once_and_not_before_the_cluster_is_up() {
    let outcome = run(&one_broker(false, What::ElectPreferred), true);
    assert_eq!(outcome.failure, None);
    assert_eq!(strikes(&outcome), 1);
    let up = outcome.lines.iter().position(|line| line.text == "phase: Faults");
    let first = outcome.lines.iter().position(|line| line.text.starts_with("fault "));
    assert!(up.is_some() && up < first);
}

#[test]
fn a_cluster_whose_metadata_was_destroyed_is_held_to_nothing() {
    let outcome = run(&one_broker(true, What::Wipe { whom: Whom::Node(1) }), true);
    assert_eq!(strikes(&outcome), 1);
    assert_eq!(
        outcome.failure, None,
        "its topics are gone for good, and nobody promised otherwise"
    );
    assert!(outcome.judgement.is_none());
}

#[test]
fn a_quorum_whose_leader_dies_has_none() {
    let outcome = run(&one_broker(false, What::Kill { whom: Whom::Controller }), false);
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.states.get("quorum: no leader"), Some(&1));
}

#[test]
fn a_cluster_that_lost_nothing_has_to_get_on() {
    let mut scenario = one_broker(false, What::ElectPreferred);
    // As if nothing came back in time.
    scenario.phases.liveness_ms = 0;
    let outcome = run(&scenario, false);
    assert_eq!(outcome.failure.map(|failure| failure.check), Some("liveness".to_owned()));
}
