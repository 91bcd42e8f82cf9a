//! What was acknowledged stays, whoever leads; what was not is cut where the logs part.

use log::EpochEntry;
use log::memory_disk::MemoryDisk;
use wire::batch::Producer;
use wire::error::ErrorCode;

use super::cluster::{Cluster, TP, batch};
use crate::context::IoOwner;

/// The epochs that have records.
fn epochs(cluster: &Cluster, node: i32) -> Vec<(i32, i64)> {
    let log = cluster.nodes[&node].manager.partitions[&TP].log.as_ref().expect("open");
    let entries = log.epochs().entries().iter();
    entries
        .map(|EpochEntry { epoch, start_offset }| (*epoch, *start_offset))
        .filter(|(_, start_offset)| *start_offset < log.log_end_offset())
        .collect()
}

#[test]
fn diverging_tails_are_cut_by_epoch() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.produce(1, -1, &["a"]);
    cluster.advance(600);
    // 1 appends what nobody else gets, and hears nothing of its successor.
    cluster.cut(1, 2);
    cluster.cut(1, 3);
    cluster.deaf.insert(1);
    let doubtful = cluster.produce(1, -1, &["lost-1", "lost-2", "lost-3"]);
    cluster.settle();
    cluster.fence(1);
    cluster.settle();
    assert_eq!(cluster.partition().leader, 2);
    let kept = cluster.produce(2, -1, &["b", "c"]);
    cluster.advance(600);
    assert_eq!(cluster.acked(kept), Some((0, 1)));
    assert_eq!((cluster.offsets(1), cluster.offsets(2)), ((4, 1), (3, 3)));
    cluster.heal();
    cluster.unfence(1);
    cluster.advance(1_000);
    assert_eq!(cluster.acked(doubtful), Some((ErrorCode::NotLeaderOrFollower.code(), -1)));
    assert_eq!(cluster.isr(), [1, 2, 3]);
    assert_eq!(cluster.offsets(1), (3, 3));
    assert_eq!(epochs(&cluster, 1), epochs(&cluster, 2));
    cluster.elect(1);
    cluster.advance(600);
    assert_eq!(cluster.consume(1), ["a", "b", "c"]);
    let more = cluster.produce(1, -1, &["d"]);
    cluster.advance(600);
    assert_eq!(cluster.acked(more), Some((0, 3)));
}

#[test]
fn a_log_that_begins_beyond_its_leaders_end_starts_over() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    for value in ["a", "b", "c", "d"] {
        cluster.produce(1, -1, &[value]);
        cluster.advance(600);
    }
    // The first records are deleted, and that is on the disk.
    cluster.step(1, |manager, ctx| {
        let partition = manager.partitions.get_mut(&TP).expect("there");
        assert!(partition.online().expect("open").set_log_start_offset(3, ctx.io));
        ctx.claim_io(IoOwner::Partition(TP));
        manager.write_all_checkpoints(ctx);
    });
    cluster.settle();
    cluster.advance(600);
    // 2 loses everything, and leads nevertheless.
    cluster.kill(2);
    cluster.node(2).disk = MemoryDisk::new();
    cluster.partition_mut().isr = vec![2];
    cluster.elect(2);
    cluster.restart(2);
    cluster.advance(1_000);
    assert_eq!(cluster.isr(), [1, 2]);
    let sent = cluster.produce(2, -1, &["e"]);
    cluster.advance(600);
    assert_eq!(cluster.acked(sent), Some((0, 0)));
    // Its next start does not believe what was deleted of the old log.
    cluster.crash(1);
    cluster.fence(1);
    cluster.restart(1);
    cluster.advance(1_000);
    assert_eq!(cluster.offsets(1), (1, 1));
    cluster.elect(1);
    cluster.advance(600);
    assert_eq!(cluster.consume(1), ["e"]);
}

#[test]
fn epoch_without_records_does_not_keep_a_follower_from_fetching() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.produce(1, -1, &["a"]);
    cluster.advance(600);
    // Leadership goes to and fro without a record, and each leader has an epoch that the other never saw.
    for leader in [2, 1, 2, 1, 2] {
        cluster.elect(leader);
        cluster.advance(100);
    }
    let sent = cluster.produce(2, -1, &["b"]);
    cluster.advance(600);
    assert_eq!(cluster.acked(sent), Some((0, 1)));
    assert_eq!(cluster.offsets(1).0, 2);
    assert_eq!(cluster.consume(2), ["a", "b"]);
}

#[test]
fn acknowledged_records_survive_a_chain_of_kills() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    let mut acknowledged = Vec::new();
    for round in 0..12 {
        let value = format!("r{round}");
        let leader = cluster.partition().leader;
        let sent = cluster.produce(leader, -1, &[&value]);
        cluster.advance(50);
        if cluster.acked(sent).is_some_and(|(error, _)| error == 0) {
            acknowledged.push(value);
        }
        // In flight while the leader dies: may be there later, must not be twice or elsewhere.
        cluster.produce(leader, -1, &[&format!("doubt{round}")]);
        cluster.kill(leader);
        cluster.advance(100);
        cluster.restart(leader);
        cluster.advance(700);
        assert_eq!(cluster.isr(), [1, 2, 3], "round {round}");
    }
    let leader = cluster.partition().leader;
    let values = cluster.consume(leader);
    let kept: Vec<&String> = values.iter().filter(|value| value.starts_with('r')).collect();
    assert_eq!(kept, acknowledged.iter().collect::<Vec<_>>());
    assert_eq!(acknowledged.len(), 12);
    cluster.advance(600);
    for node in [1, 2, 3] {
        assert_eq!(cluster.offsets(node), (values.len() as i64, values.len() as i64));
        assert_eq!(epochs(&cluster, node), epochs(&cluster, leader));
    }
}

#[test]
fn stalled_leader_wakes_up_deposed() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.produce(1, -1, &["a"]);
    cluster.advance(600);
    cluster.stall(1);
    cluster.fence(1);
    let kept = cluster.produce(2, -1, &["b"]);
    cluster.advance(600);
    assert_eq!(cluster.acked(kept), Some((0, 1)));
    // Requests came in while it was stopped; it takes them before it hears of its successor.
    let late = cluster.produce(1, -1, &["late"]);
    cluster.resume(1);
    cluster.advance(600);
    assert_eq!(
        cluster.acked(late).map(|(error, _)| error),
        Some(ErrorCode::NotLeaderOrFollower.code())
    );
    cluster.unfence(1);
    cluster.advance(1_000);
    assert_eq!(cluster.offsets(1), (2, 2));
    cluster.elect(1);
    cluster.advance(500);
    assert_eq!(cluster.consume(1), ["a", "b"]);
}

fn idempotent(sequence: i32) -> Producer {
    Producer { id: 4000, epoch: 0, base_sequence: sequence }
}

#[test]
fn idempotent_duplicate_is_recognised_by_the_next_leader() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    let first = cluster.produce_records(1, -1, batch(&["a", "b"], Some(idempotent(0))), 1000);
    cluster.advance(600);
    assert_eq!(cluster.acked(first), Some((0, 0)));
    cluster.kill(1);
    let again = cluster.produce_records(2, -1, batch(&["a", "b"], Some(idempotent(0))), 1000);
    let next = cluster.produce_records(2, -1, batch(&["c"], Some(idempotent(2))), 1000);
    let gap = cluster.produce_records(2, -1, batch(&["e"], Some(idempotent(9))), 1000);
    cluster.advance(600);
    assert_eq!(cluster.acked(again), Some((0, 0)), "the first append's offsets");
    assert_eq!(cluster.acked(next), Some((0, 2)));
    assert_eq!(cluster.acked(gap), Some((ErrorCode::OutOfOrderSequenceNumber.code(), -1)));
    assert_eq!(cluster.consume(2), ["a", "b", "c"]);
}

#[test]
fn duplicate_of_an_append_in_doubt_waits_as_the_append_does() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 2);
    cluster.cut(1, 2);
    let first = cluster.produce_records(1, -1, batch(&["a"], Some(idempotent(0))), 100);
    let second = cluster.produce_records(1, -1, batch(&["b"], Some(idempotent(1))), 10_000);
    cluster.advance(200);
    assert_eq!(cluster.acked(first), Some((ErrorCode::RequestTimedOut.code(), -1)));
    let again = cluster.produce_records(1, -1, batch(&["a"], Some(idempotent(0))), 10_000);
    cluster.settle();
    assert_eq!(cluster.acked(again), None, "the duplicate is no better than the first");
    cluster.heal();
    cluster.advance(600);
    assert_eq!((cluster.acked(again), cluster.acked(second)), (Some((0, 0)), Some((0, 1))));
}

/// Found by the simulation: the log took the second batch for the producer's first one, and the first one never again.
#[test]
fn what_was_sent_behind_a_producers_first_batch_waits_for_it() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.kill(2);
    cluster.kill(3);
    let passed_over = cluster.produce_records(1, -1, batch(&["a"], Some(idempotent(0))), 1000);
    cluster.settle();
    let not_enough = Some((ErrorCode::NotEnoughReplicas.code(), -1));
    assert_eq!(cluster.acked(passed_over), not_enough);
    cluster.restart(2);
    cluster.unfence(2);
    cluster.advance(1_000);
    assert_eq!(cluster.isr(), [1, 2]);
    let behind = cluster.produce_records(1, -1, batch(&["b"], Some(idempotent(1))), 1000);
    let again = cluster.produce_records(1, -1, batch(&["a"], Some(idempotent(0))), 1000);
    let then = cluster.produce_records(1, -1, batch(&["b"], Some(idempotent(1))), 1000);
    cluster.advance(600);
    assert_eq!(cluster.acked(behind), not_enough);
    assert_eq!((cluster.acked(again), cluster.acked(then)), (Some((0, 0)), Some((0, 1))));
    assert_eq!(cluster.consume(1), ["a", "b"]);
}
