//! Committing, fetching, deleting, expiring.

use wire::api::key;
use wire::error::ErrorCode;
use wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use wire::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};

use super::world::{Client, GROUP, World, commit_body, commit_error, stable_pair};
use crate::api::text;
use crate::image::Changes;

fn fetch(world: &mut World, version: i16, all: bool) -> Vec<(i32, i64, ErrorCode)> {
    let code = |code: i16| ErrorCode::from_code(code).expect("a code");
    let name = TopicName(text("t"));
    if version >= 8 {
        let topic =
            OffsetFetchRequestTopics::default().with_name(name).with_partition_indexes(vec![0, 1]);
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(None)
            .with_topics((!all).then(|| vec![topic]));
        let body = OffsetFetchRequest::default().with_groups(vec![group]);
        let answer: OffsetFetchResponse = world.ask(key::OFFSET_FETCH, version, &body);
        let group = &answer.groups[0];
        if group.error_code != 0 {
            return vec![(-1, -1, code(group.error_code))];
        }
        let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
        return partitions
            .map(|one| (one.partition_index, one.committed_offset, code(one.error_code)))
            .collect();
    }
    let topic =
        OffsetFetchRequestTopic::default().with_name(name).with_partition_indexes(vec![0, 1]);
    let body = OffsetFetchRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_topics((!all).then(|| vec![topic]));
    let answer: OffsetFetchResponse = world.ask(key::OFFSET_FETCH, version, &body);
    if answer.error_code != 0 {
        return vec![(-1, -1, code(answer.error_code))];
    }
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|one| (one.partition_index, one.committed_offset, code(one.error_code)))
        .collect()
}

fn delete(world: &mut World) -> u64 {
    let body = DeleteGroupsRequest::default()
        .with_groups_names(vec![GroupId(text(GROUP)), GroupId(text("ghost"))]);
    world.send(key::DELETE_GROUPS, 2, &body)
}

fn deleted(world: &World, slot: u64) -> Vec<ErrorCode> {
    let answer: DeleteGroupsResponse = world.answer(slot);
    answer.results.iter().map(|one| ErrorCode::from_code(one.error_code).expect("a code")).collect()
}

#[test]
fn an_offset_is_told_once_it_is_committed() {
    let mut world = World::new();
    let (leader, _) = stable_pair(&mut world);
    let slot = leader.commit(&mut world, 1, 0, 42);
    assert!(!world.is_answered(slot));
    for version in 1..=9 {
        let none = [(0, -1, ErrorCode::None), (1, -1, ErrorCode::None)];
        assert_eq!(fetch(&mut world, version, false), none);
    }
    world.commit();
    assert_eq!(commit_error(&world, slot), ErrorCode::None);
    for version in 1..=9 {
        let some = [(0, 42, ErrorCode::None), (1, -1, ErrorCode::None)];
        assert_eq!(fetch(&mut world, version, false), some);
    }
    for version in 2..=9 {
        assert_eq!(fetch(&mut world, version, true), [(0, 42, ErrorCode::None)]);
    }
}

#[test]
fn only_members_of_the_generation_commit() {
    let mut world = World::new();
    let (leader, _) = stable_pair(&mut world);
    let slot = leader.commit(&mut world, 0, 0, 1);
    assert_eq!(commit_error(&world, slot), ErrorCode::IllegalGeneration);
    let stranger = Client { member_id: "x".into(), ..Client::new() };
    let slot = stranger.commit(&mut world, 1, 0, 1);
    assert_eq!(commit_error(&world, slot), ErrorCode::UnknownMemberId);
    let slot = world.send(key::OFFSET_COMMIT, 8, &commit_body("", -1, "t", 0, 1));
    assert_eq!(commit_error(&world, slot), ErrorCode::UnknownMemberId);
    let slot = leader.commit(&mut world, 1, 99, 1);
    assert_eq!(commit_error(&world, slot), ErrorCode::UnknownTopicOrPartition);
    let mut body = commit_body(&leader.member_id, 1, "t", 0, 1);
    body.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(5000)));
    let slot = world.send(key::OFFSET_COMMIT, 8, &body);
    assert_eq!(commit_error(&world, slot), ErrorCode::OffsetMetadataTooLarge);
    // Where the group knows of no members, anybody commits.
    let mut world = World::new();
    let slot = world.send(key::OFFSET_COMMIT, 2, &{
        let mut body = commit_body("", -1, "t", 1, 5);
        body.topics[0].partitions[0].committed_leader_epoch = -1;
        body
    });
    world.commit();
    assert_eq!(commit_error(&world, slot), ErrorCode::None);
    assert_eq!(fetch(&mut world, 9, true), [(1, 5, ErrorCode::None)]);
}

#[test]
fn a_commit_whose_time_was_over_counts_when_it_is_committed_after_all() {
    let mut world = World::new();
    let (leader, _) = stable_pair(&mut world);
    let late = leader.commit(&mut world, 1, 0, 42);
    world.fail(ErrorCode::RequestTimedOut);
    assert_eq!(commit_error(&world, late), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(fetch(&mut world, 9, true), []);
    // Another partition's commit, after it in the log, says that both are committed.
    let next = leader.commit(&mut world, 1, 1, 7);
    world.commit();
    assert_eq!(commit_error(&world, next), ErrorCode::None);
    let both = [(0, 42, ErrorCode::None), (1, 7, ErrorCode::None)];
    assert_eq!(fetch(&mut world, 9, true), both);
    let after = leader.commit(&mut world, 1, 1, 8);
    world.fail(ErrorCode::NotEnoughReplicasAfterAppend);
    assert_eq!(commit_error(&world, after), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(fetch(&mut world, 9, true)[1], (1, 8, ErrorCode::None));
}

#[test]
fn a_deleted_group_is_gone_with_its_offsets() {
    let mut world = World::new();
    let (leader, follower) = stable_pair(&mut world);
    leader.commit(&mut world, 1, 0, 42);
    world.commit();
    let slot = delete(&mut world);
    assert_eq!(deleted(&world, slot), [ErrorCode::NonEmptyGroup, ErrorCode::GroupIdNotFound]);
    world.pass_ms(20_000); // both sessions end
    world.commit();
    let _ = follower;
    let slot = delete(&mut world);
    assert!(!world.is_answered(slot));
    world.commit();
    assert_eq!(deleted(&world, slot), [ErrorCode::None, ErrorCode::GroupIdNotFound]);
    assert_eq!(fetch(&mut world, 9, true), []);
    let body = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(GROUP))]);
    let answer: DescribeGroupsResponse = world.ask(key::DESCRIBE_GROUPS, 5, &body);
    assert_eq!(answer.groups[0].group_state.as_str(), "Dead");
    let answer: DescribeGroupsResponse = world.ask(key::DESCRIBE_GROUPS, 6, &body);
    assert_eq!(answer.groups[0].error_code, ErrorCode::GroupIdNotFound.code());
    // And the log says so too.
    world.lose_all();
    world.lead_all();
    assert_eq!(fetch(&mut world, 9, true), []);
}

#[test]
fn a_delete_that_fails_leaves_the_group() {
    let mut world = World::new();
    world.send(key::OFFSET_COMMIT, 8, &commit_body("", -1, "t", 0, 5));
    world.commit();
    let slot = delete(&mut world);
    world.fail(ErrorCode::RequestTimedOut);
    assert_eq!(
        deleted(&world, slot),
        [ErrorCode::CoordinatorNotAvailable, ErrorCode::GroupIdNotFound]
    );
    assert_eq!(fetch(&mut world, 9, true), [(0, 5, ErrorCode::None)]);
}

#[test]
fn offsets_expire_and_then_the_group() {
    let mut world = World::new();
    world.send(key::OFFSET_COMMIT, 8, &commit_body("", -1, "t", 0, 5));
    world.commit();
    let week_ms = 7 * 24 * 3_600_000;
    for _ in 0..10 {
        world.pass_ms(week_ms / 10 - 600_000);
        world.commit();
    }
    assert_eq!(fetch(&mut world, 9, true), [(0, 5, ErrorCode::None)]);
    world.pass_ms(3 * 3_600_000);
    world.commit();
    assert_eq!(fetch(&mut world, 9, true), []);
    assert!(world.groups.shards.values().all(|shard| shard.groups.is_empty()));
}

#[test]
fn a_deleted_topics_offsets_go_with_it() {
    let mut world = World::new();
    world.send(key::OFFSET_COMMIT, 8, &commit_body("", -1, "t", 0, 5));
    world.commit();
    let mut changes = Changes::default();
    let mut image = world.image.clone();
    let topic = image.topic("t").expect("a topic").clone();
    let removed = wire::metadata::MetadataRecord::RemoveTopic { topic_id: topic.id };
    image.apply(&removed, &mut changes).expect("it was there");
    world.step(|groups, ctx, log| groups.on_image(ctx, log, &image, &changes));
    world.commit();
    assert_eq!(fetch(&mut world, 9, true), []);
}
