//! Faults on the topic, among others.

use super::*;

#[test]
fn a_change_of_the_topic_damages_no_node_and_stacks_with_what_does() {
    let text = "[target]\nkind = \"kafka\"\n[topic]\nname = \"queue\"\npartitions = 2\n\
        [[fault]]\nname = \"change-config\"\nkey = \"min.insync.replicas\"\nvalue = 1\nfrom = \"1s\"\nfor = \"8s\"\n\
        [[fault]]\nname = \"reassign\"\nreplicas = 1\non = \"topic\"\nfrom = \"1s\"\nfor = \"8s\"\n\
        [[fault]]\nname = \"kill\"\non = \"leader\"\nfrom = \"1500ms\"\nfor = \"1s\"\n\
        [[fault]]\nname = \"change-config\"\nkey = \"min.insync.replicas\"\nvalue = 3\nfrom = \"2s\"\nfor = \"1s\"\n\
        [time]\nrun = \"25s\"\n";
    let world = ran(&plan(text), 3);
    let records = world.nemesis.records();
    let of = |name: &str| records.iter().filter(|r| r.name == name).collect::<Vec<_>>();
    assert!(records.iter().all(|record| record.state == FaultState::Cleared), "{records:#?}");
    let (changes, reassigned, killed) = (of("change-config"), of("reassign")[0], of("kill")[0]);
    assert_eq!(changes[0].nodes, ["queue"]);
    assert_eq!((changes[0].role.clone(), changes[0].partition.clone()), (Role::Topic, None));
    assert_eq!(reassigned.nodes, ["queue-0", "queue-1"]);
    assert_eq!(world.damaged_max, 1);
    // The limit is one node of three, and the kill was done in the middle of both.
    assert!(
        killed.confirmed_ms < reassigned.healed_ms && killed.confirmed_ms > reassigned.confirmed_ms
    );
    // The other value of the same setting had to wait until the first was put back.
    assert!(changes[1].asked_ms >= changes[0].cleared_ms, "{changes:#?}");
}

#[test]
fn a_topic_is_made_anew_when_nothing_else_is_asked_of_it_and_nothing_meanwhile() {
    let text = "[target]\nkind = \"kafka\"\n[topic]\nname = \"queue\"\npartitions = 2\n\
        [[fault]]\nname = \"reassign\"\nreplicas = 1\nfrom = \"1s\"\nfor = \"2s\"\n\
        [[fault]]\nname = \"delete-and-recreate-topic\"\nfrom = \"2s\"\nfor = \"2s\"\n\
        [[fault]]\nname = \"delete-records\"\nfrom = \"4s\"\nfor = \"0s\"\n\
        [time]\nrun = \"15s\"\n";
    let world = ran(&plan(text), 3);
    let records = world.nemesis.records();
    assert!(records.iter().all(|record| record.state == FaultState::Cleared), "{records:#?}");
    assert_eq!(records[1].nodes, ["queue"]);
    for pair in records.windows(2) {
        assert!(pair[1].asked_ms >= pair[0].cleared_ms, "{records:#?}");
    }
}

#[test]
fn leadership_is_transferred_where_another_replica_is_in_sync_and_not_while_replicas_are_reassigned()
 {
    let text = "[target]\nkind = \"kafka\"\n[topic]\nname = \"queue\"\npartitions = 1\n\
        [[fault]]\nname = \"reassign\"\nreplicas = 2\nfrom = \"1s\"\nfor = \"2s\"\n\
        [[fault]]\nname = \"transfer-leadership\"\nfrom = \"2s\"\nfor = \"1s\"\n\
        [time]\nrun = \"15s\"\n";
    let world = ran(&plan(text), 3);
    let records = world.nemesis.records();
    assert!(records.iter().all(|record| record.state == FaultState::Cleared), "{records:#?}");
    assert_eq!(records[1].nodes, ["queue-0"]);
    assert!(records[1].asked_ms >= records[0].cleared_ms, "{records:#?}");
}

#[test]
fn an_election_waits_for_a_partition_that_needs_one() {
    let elect =
        "[[fault]]\nname = \"elect-preferred\"\non = \"partition\"\nfrom = \"4s\"\nfor = \"0s\"\n";
    let calm = ran(&plan(&format!("{elect}[time]\nrun = \"15s\"\n")), 1);
    let record = &calm.nemesis.records()[0];
    assert_eq!(record.state, FaultState::NotInjected);
    assert!(record.evidence[0].contains("no partition was led by another"), "{record:?}");
    // A leader that was killed comes back as a follower.
    let kill = "[[fault]]\nname = \"kill\"\non = \"leader\"\nfrom = \"500ms\"\nfor = \"2s\"\n";
    let world = ran(&plan(&format!("{kill}{elect}[time]\nrun = \"15s\"\n")), 1);
    let record = &world.nemesis.records()[1];
    assert_eq!(record.state, FaultState::Cleared, "{record:?}");
    assert_eq!(Some(&record.nodes[0]), record.partition.as_ref(), "the one that needed it");
}

#[test]
fn an_unclean_election_waits_for_a_partition_that_has_no_leader() {
    let elect =
        "[[fault]]\nname = \"elect-unclean\"\non = \"partition\"\nfrom = \"2s\"\nfor = \"0s\"\n";
    let calm = ran(&plan(&format!("{elect}[time]\nrun = \"15s\"\n")), 1);
    let record = &calm.nemesis.records()[0];
    assert_eq!(record.state, FaultState::NotInjected);
    assert!(record.evidence[0].contains("no partition was without a leader"), "{record:?}");
}

#[test]
fn records_are_deleted_of_one_partition_or_all_and_partitions_are_added_one_fault_at_a_time() {
    let text = "[target]\nkind = \"kafka\"\n[topic]\nname = \"queue\"\npartitions = 2\n\
        [[fault]]\nname = \"delete-records\"\nfrom = \"1s\"\nfor = \"0s\"\n\
        [[fault]]\nname = \"delete-records\"\non = \"topic\"\nkeep = 5\nfrom = \"2s\"\nfor = \"0s\"\n\
        [[fault]]\nname = \"add-partitions\"\nfrom = \"3s\"\nfor = \"3s\"\n\
        [[fault]]\nname = \"add-partitions\"\npartitions = 2\nfrom = \"4s\"\nfor = \"1s\"\n\
        [time]\nrun = \"15s\"\n";
    let world = ran(&plan(text), 3);
    let records = world.nemesis.records();
    assert!(records.iter().all(|record| record.state == FaultState::Cleared), "{records:#?}");
    assert_eq!(records[0].nodes, records[0].partition.clone().into_iter().collect::<Vec<_>>());
    assert_eq!(records[1].nodes, ["queue-0", "queue-1"]);
    assert_eq!(records[2].nodes, ["queue"]);
    assert!(records[3].asked_ms >= records[2].cleared_ms, "{records:#?}");
}
