//! Replicas that were compared with each other.

use super::run::Run;
use super::*;
use model::history::{LogRef, TopicRef};
use model::replicas::{LogReplicas, ReplicaDifference, ReplicaReport};

/// A run whose three replicas were compared, with n2 and n3 against n1.
fn compared(differs: Option<&str>, not_compared: Option<&str>) -> Run {
    let difference = |other: &str| ReplicaDifference {
        nodes: ["n1".into(), other.into()],
        first_offset: 7,
        last_offset: 9,
        offsets: 3,
        what: format!("n1 has a batch, {other} has nothing more"),
    };
    let log = LogReplicas {
        log: LogRef { topic: TopicRef(0), partition: 0 },
        topic: "queue".into(),
        nodes: vec!["n1".into(), "n2".into(), "n3".into()],
        from: 0,
        to: 1000,
        producer_epochs: Vec::new(),
        differences: differs.map(difference).into_iter().collect(),
        not_compared: not_compared.map(str::to_string),
    };
    Run { replicas: Some(ReplicaReport { logs: vec![log] }), ..all(2) }
}

#[test]
fn replicas_in_sync_hold_the_same() {
    part_is(compared(None, None), "replicas", Word::Held, "no replica");
    part_is(compared(Some("n2"), None), "replicas", Word::Broken, "3 offsets: n1 has a batch");
    part_is(compared(None, Some("no file")), "replicas", Word::Unknown, "queue-0: no file");
    // Proof of a difference is proof.
    part_is(compared(Some("n2"), Some("no file")), "replicas", Word::Broken, "3 offsets");
    // Nobody looked.
    assert!(all(2).judge().promises.iter().all(|promise| promise.name != "replicas"));
}

#[test]
fn nobody_brings_a_flipped_bit_back() {
    let flipped =
        |node: &str| compared(Some("n2"), None).fault("bit-flip", &[node], 30_000, Destroys::Disk);
    part_is(flipped("n2"), "replicas", Word::NotPromised, "flipped");
    part_is(flipped("n1"), "replicas", Word::NotPromised, "flipped");
    part_is(flipped("n3"), "replicas", Word::Broken, "3 offsets");
    // A copy that was destroyed is made anew from its leader's.
    let wiped = compared(Some("n2"), None).wiped("n2", 30_000);
    part_is(wiped, "replicas", Word::Broken, "3 offsets");
}
