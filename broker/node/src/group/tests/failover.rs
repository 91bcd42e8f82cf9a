//! Losing a partition and taking it over.

use bytes::Bytes;
use wire::api::key;
use wire::batch::{Batch, BatchBuilder, Compression};
use wire::error::ErrorCode;
use wire::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse};

use super::super::OffsetsLog;
use super::world::{Client, GROUP, World, commit_error, join_error, joined, stable_pair, synced};
use crate::api::text;

fn fetch_error(world: &mut World) -> ErrorCode {
    let body = OffsetFetchRequest::default().with_group_id(GroupId(text(GROUP))).with_topics(None);
    let answer: OffsetFetchResponse = world.ask(key::OFFSET_FETCH, 7, &body);
    ErrorCode::from_code(answer.error_code).expect("a code")
}

pub fn fetch_one(world: &mut World) -> i64 {
    let body = OffsetFetchRequest::default().with_group_id(GroupId(text(GROUP))).with_topics(None);
    let answer: OffsetFetchResponse = world.ask(key::OFFSET_FETCH, 7, &body);
    answer.topics[0].partitions[0].committed_offset
}

#[test]
fn the_next_coordinator_knows_members_generation_and_offsets() {
    let mut world = World::new();
    let (leader, follower) = stable_pair(&mut world);
    leader.commit(&mut world, 1, 0, 42);
    world.commit();
    world.lose_all();
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::NotCoordinator);
    assert_eq!(fetch_error(&mut world), ErrorCode::NotCoordinator);
    world.lead_all();
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::None);
    let slot = follower.sync(&mut world, 1, &[]);
    assert_eq!(synced(&world, slot).unwrap(), "b");
    assert_eq!(fetch_one(&mut world), 42);
    // Their sessions start anew, and end.
    world.pass_ms(9_000);
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::None);
    world.pass_ms(2_000);
    assert_eq!(follower.heartbeat(&mut world, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn whoever_waits_is_told_that_the_coordinator_is_another() {
    let mut world = World::new();
    let (leader, follower) = stable_pair(&mut world);
    let commit = leader.commit(&mut world, 1, 0, 42);
    let join = leader.join(&mut world, 5);
    world.lose_all();
    assert_eq!(join_error(&world, join), ErrorCode::NotCoordinator);
    assert_eq!(commit_error(&world, commit), ErrorCode::NotCoordinator);
    // What the replica manager says of the old append comes too late.
    world.commit();
    let mut world = World::new();
    let (mut one, mut two) = (Client::new(), Client::new());
    let (first, _) = (one.join_twice(&mut world), two.join_twice(&mut world));
    world.pass_ms(250);
    joined(&world, first);
    let (a, b) = (one.sync(&mut world, 1, &[]), two.sync(&mut world, 1, &[]));
    world.lose_all();
    for slot in [a, b] {
        assert_eq!(synced(&world, slot), Err(ErrorCode::NotCoordinator));
    }
    assert_eq!(world.unanswered(), 0);
    let _ = follower;
}

#[test]
fn while_it_reads_everybody_waits_and_heartbeats_are_welcome() {
    let mut world = World::new();
    let (leader, _) = stable_pair(&mut world);
    world.lose_all();
    // What was read is not committed yet.
    for id in World::partitions() {
        world.log.high_watermark.insert(id, 0);
    }
    world.lead_all();
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::None);
    assert_eq!(fetch_error(&mut world), ErrorCode::CoordinatorLoadInProgress);
    let slot = leader.join(&mut world, 5);
    assert_eq!(join_error(&world, slot), ErrorCode::CoordinatorLoadInProgress);
    let slot = leader.sync(&mut world, 1, &[]);
    assert_eq!(synced(&world, slot), Err(ErrorCode::RebalanceInProgress));
    world.pass_ms(100);
    assert_eq!(fetch_error(&mut world), ErrorCode::CoordinatorLoadInProgress);
    world.log.high_watermark.clear();
    world.pass_ms(100);
    assert_eq!(fetch_error(&mut world), ErrorCode::None);
    let slot = leader.sync(&mut world, 1, &[]);
    assert_eq!(synced(&world, slot).unwrap(), "a");
}

#[test]
fn damaged_and_foreign_records_hold_nobody_up() {
    let mut world = World::new();
    stable_pair(&mut world);
    let mut builder = BatchBuilder::new(Compression::Lz4);
    builder.append(1, Some(&[0, 3, 1, 2]), Some(&[1]), &[]); // KIP-848's
    builder.append(1, Some(&[0]), Some(&[1]), &[]);
    builder.append(1, None, None, &[]);
    let bytes: Bytes = builder.build(0, 1);
    for id in World::partitions() {
        let batch = Batch::new(bytes.clone()).expect("a batch");
        world.step(|_, ctx, log| {
            log.append(ctx, id, vec![batch], 1, 999).expect("appended");
        });
    }
    world.log.open.clear();
    world.lose_all();
    world.lead_all();
    assert_eq!(fetch_error(&mut world), ErrorCode::None);
    assert_eq!(world.groups.shards.values().map(|shard| shard.groups.len()).sum::<usize>(), 1);
}

#[test]
fn a_broker_that_leads_nothing_says_so() {
    let mut world = World::unled();
    assert_eq!(fetch_error(&mut world), ErrorCode::NotCoordinator);
    let slot = Client::new().join(&mut world, 5);
    assert_eq!(join_error(&world, slot), ErrorCode::NotCoordinator);
    assert_eq!(world.groups.deadline(), None);
}
