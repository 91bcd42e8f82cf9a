//! Plans with faults of clients.

use super::*;
use crate::client_deed::ClientDeed;
use model::fault::Role;

#[test]
fn faults_of_clients_are_printed_as_they_are_written_and_read_again() {
    let text = "schema = 1\nname = \"x\"\n\
        [[fault]]\nname = \"kill-producer\"\n\
        [[fault]]\nname = \"kill-producer\"\non = \"producers\"\n\
        [[fault]]\nname = \"connection-storm\"\non = \"leader\"\n\
        [[fault]]\nname = \"connection-storm\"\non = \"n2\"\nsockets = 50\n";
    let plan = load("p.toml", text, &[]).unwrap_or_else(|e| panic!("{e}")).plan;
    let resolved = plan.to_toml();
    assert_eq!(load("resolved", &resolved, &[]).unwrap().plan, plan, "{resolved}");
    let on: Vec<&Role> = plan.faults.iter().map(|fault| &fault.on).collect();
    assert_eq!(
        on,
        [&Role::Producer, &Role::Producers, &Role::Leader, &Role::Node("n2".to_string())]
    );
    let storms: Vec<Deed> = plan.faults[2..].iter().map(|fault| fault.deed).collect();
    let storm = |sockets| Deed::Client(ClientDeed::ConnectionStorm { sockets });
    assert_eq!(storms, [storm(200), storm(50)]);
    assert_eq!(plan.needs().into_iter().collect::<Vec<_>>(), [Needs::Nothing]);
}

#[test]
fn a_stalled_member_says_how_long_all_members_may_go_without_polling() {
    let of = |more: &str| {
        let text = format!(
            "schema = 1\nname = \"x\"\n{more}\n[workload]\nname = \"groups\"\nconsumers = 3\n\
             [[fault]]\nname = \"stall-consumer\"\n\
             [[fault]]\nname = \"stall-consumer\"\non = \"member\"\ngrace = \"60s\"\n"
        );
        let plan = load("p.toml", &text, &[]).unwrap_or_else(|e| panic!("{e}")).plan;
        let resolved = plan.to_toml();
        assert_eq!(load("resolved", &resolved, &[]).unwrap().plan, plan, "{resolved}");
        assert!(plan.faults.iter().all(|fault| fault.on == Role::Member));
        let graces: Vec<u64> = plan.faults.iter().map(|fault| fault.deed.takes_ms()).collect();
        assert_eq!(graces[1], 70_000, "its grace, and a while for its group");
        (plan.poll_grace().map(|grace| grace.0), graces[0])
    };
    assert_eq!(of(""), (Some(2_500), 12_500), "the shortest of them");
    assert_eq!(of("[target]\nprofile = \"kafka-defaults\""), (Some(50_000), 60_000));
}

#[test]
fn a_fence_is_on_whoever_has_the_transactional_ids() {
    for (workload, on) in [("transactions", Role::Producer), ("exactly-once", Role::Member)] {
        let text = format!(
            "schema = 1\nname = \"x\"\n[target]\nkind = \"kafka\"\n[workload]\nname = \"{workload}\"\n\
             [[fault]]\nname = \"fence\"\n"
        );
        let plan = load("p.toml", &text, &[]).unwrap_or_else(|e| panic!("{e}")).plan;
        let resolved = plan.to_toml();
        assert_eq!(load("resolved", &resolved, &[]).unwrap().plan, plan, "{resolved}");
        assert_eq!(
            (plan.faults[0].deed, &plan.faults[0].on),
            (Deed::Client(ClientDeed::Fence), &on)
        );
    }
}

#[test]
fn a_fault_of_clients_that_makes_no_sense_is_refused_with_help() {
    let of = |name: &str, more: &str| {
        format!("schema = 1\nname = \"x\"\n[[fault]]\nname = \"{name}\"\n{more}\n")
    };
    let cases = [
        (of("kill-producer", "on = \"leader\""), "is done to clients, not to a node"),
        (of("kill-producer", "sockets = 3"), "`sockets` means nothing to `kill-producer`"),
        (
            of("kill-producer", "[target]\nkind = \"kafka\"\n[workload]\nname = \"transactions\""),
            "producers with transactions are not killed",
        ),
        (of("connection-storm", ""), "whom does it hit?"),
        (of("connection-storm", "on = \"producer\""), "neither a role nor a node"),
        (of("connection-storm", "on = \"leader\"\nsockets = 0"), "0 connections"),
        (
            of("connection-storm", "on = \"controller\"\n[target]\ncontrollers = 1"),
            "`controller` has no listener for clients",
        ),
        (of("kill", "on = \"producer\""), "neither a role nor a node"),
        (of("fence", ""), "nobody has a transactional id in this workload"),
        (
            of(
                "fence",
                "on = \"producer\"\n[target]\nkind = \"kafka\"\n[workload]\nname = \"exactly-once\"",
            ),
            "on = \"member\", or leave `on` out",
        ),
        (of("stall-consumer", ""), "nobody is a member of a group in this workload"),
        (of("stall-consumer", "grace = \"1s\""), "a grace of 1s, and sessions of 2s"),
        (of("stall-consumer", "on = \"producer\""), "is done to clients, not to a node"),
        (
            of("stall-consumer", "[workload]\nname = \"groups\"\nconsumers = 1"),
            "nobody else could be given the partitions",
        ),
        (
            of("stall-consumer", "[workload]\nname = \"groups\"\nconsumers = 11"),
            "some of 11 members have none of 10 partitions",
        ),
    ];
    for (text, expected) in cases {
        let shown = problem(&text);
        assert!(shown.contains(expected), "{text}\n{shown}");
    }
}
