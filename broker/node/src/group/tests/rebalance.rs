//! Joining, syncing, leaving, dying.

use wire::api::key;
use wire::error::ErrorCode;
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId, LeaveGroupRequest, LeaveGroupResponse,
    ListGroupsRequest, ListGroupsResponse,
};

use super::world::{Client, GROUP, World, join_error, joined, stable_pair, synced};
use crate::api::text;

fn leave(world: &mut World, version: i16, member: &str) -> LeaveGroupResponse {
    let body = LeaveGroupRequest::default().with_group_id(GroupId(text(GROUP)));
    let body = if version >= 3 {
        body.with_members(vec![MemberIdentity::default().with_member_id(text(member))])
    } else {
        body.with_member_id(text(member))
    };
    world.ask(key::LEAVE_GROUP, version, &body)
}

fn state(world: &mut World) -> String {
    let body = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(GROUP))]);
    let answer: DescribeGroupsResponse = world.ask(key::DESCRIBE_GROUPS, 5, &body);
    answer.groups[0].group_state.to_string()
}

#[test]
fn two_members_share_and_heartbeat() {
    let mut world = World::new();
    let (leader, follower) = stable_pair(&mut world);
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::None);
    assert_eq!(follower.heartbeat(&mut world, 2), ErrorCode::IllegalGeneration);
    let body = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(GROUP))]);
    let answer: DescribeGroupsResponse = world.ask(key::DESCRIBE_GROUPS, 6, &body);
    let group = &answer.groups[0];
    assert_eq!((&group.group_state[..], &group.protocol_data[..]), ("Stable", "range"));
    assert_eq!(group.members.len(), 2);
    assert_eq!(group.members[0].client_host.as_str(), "/127.0.0.1");
    assert!(group.members.iter().all(|member| member.member_metadata == "r"));
    for version in 0..=5 {
        let answer: ListGroupsResponse =
            world.ask(key::LIST_GROUPS, version, &ListGroupsRequest::default());
        assert_eq!(answer.groups[0].group_id.as_str(), GROUP);
    }
    let filter = ListGroupsRequest::default().with_states_filter(vec![text("Empty")]);
    let answer: ListGroupsResponse = world.ask(key::LIST_GROUPS, 4, &filter);
    assert!(answer.groups.is_empty());
}

#[test]
fn the_first_rebalance_waits_for_more_members_and_no_longer() {
    let mut world = World::new();
    let mut one = Client::new();
    let first = one.join_twice(&mut world);
    world.pass_ms(50);
    let mut two = Client::new();
    let second = two.join_twice(&mut world);
    world.pass_ms(60);
    assert!(!world.is_answered(first), "the second member starts the wait again");
    world.pass_ms(100);
    assert_eq!(joined(&world, first).generation_id, 1);
    assert_eq!(joined(&world, second).generation_id, 1);
}

#[test]
fn a_newcomer_makes_everybody_join_again() {
    let mut world = World::new();
    let (leader, follower) = stable_pair(&mut world);
    let mut third = Client::new();
    let new = third.join_twice(&mut world);
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::RebalanceInProgress);
    let one = leader.join(&mut world, 5);
    assert!(!world.is_answered(one));
    let two = follower.join(&mut world, 5);
    let generations = [new, one, two].map(|slot| joined(&world, slot).generation_id);
    assert_eq!(generations, [2, 2, 2]);
    assert_eq!(joined(&world, one).members.len(), 3);
    assert!(joined(&world, two).members.is_empty());
    // An answer that was lost is asked for again.
    let again = follower.join(&mut world, 5);
    assert_eq!(joined(&world, again).generation_id, 2);
}

#[test]
fn who_does_not_join_again_is_out() {
    let mut world = World::new();
    let (leader, follower) = stable_pair(&mut world);
    let one = leader.join(&mut world, 5);
    for _ in 0..12 {
        // Its heartbeats keep the session, not the place.
        world.pass_ms(5_000);
        follower.heartbeat(&mut world, 1);
    }
    assert_eq!(joined(&world, one).members.len(), 1);
    assert_eq!(follower.heartbeat(&mut world, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn a_silent_member_loses_its_place_after_its_session() {
    let mut world = World::new();
    let (leader, follower) = stable_pair(&mut world);
    world.pass_ms(9_000);
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::None);
    world.pass_ms(2_000);
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::RebalanceInProgress);
    assert_eq!(follower.heartbeat(&mut world, 1), ErrorCode::UnknownMemberId);
    let one = leader.join(&mut world, 5);
    assert_eq!(joined(&world, one).generation_id, 2);
    let done = leader.sync(&mut world, 2, &[(&leader.member_id, "all")]);
    world.commit();
    assert_eq!(synced(&world, done).unwrap(), "all");
    world.pass_ms(30_000);
    world.commit();
    assert_eq!(state(&mut world), "Empty");
}

#[test]
fn leaving_is_a_rebalance_at_once() {
    for version in 0..=5 {
        let mut world = World::new();
        let (leader, follower) = stable_pair(&mut world);
        assert_eq!(leave(&mut world, version, &follower.member_id).error_code, 0);
        assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::RebalanceInProgress);
        let gone = leave(&mut world, version, &follower.member_id);
        let error = gone.members.first().map_or(gone.error_code, |member| member.error_code);
        assert_eq!(error, ErrorCode::UnknownMemberId.code());
        assert_eq!(leave(&mut world, version, &leader.member_id).error_code, 0);
        world.commit();
        assert_eq!(state(&mut world), "Empty");
    }
}

#[test]
fn an_assignment_that_cannot_be_written_is_a_rebalance() {
    let mut world = World::new();
    let mut one = Client::new();
    let join = one.join_twice(&mut world);
    world.pass_ms(200);
    joined(&world, join);
    let sync = one.sync(&mut world, 1, &[(&one.member_id, "a")]);
    world.fail(ErrorCode::RequestTimedOut);
    assert_eq!(synced(&world, sync), Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(one.heartbeat(&mut world, 1), ErrorCode::RebalanceInProgress);
    world.log.refuse = Some(ErrorCode::NotEnoughReplicas);
    let join = one.join(&mut world, 5);
    assert_eq!(joined(&world, join).generation_id, 2);
    let sync = one.sync(&mut world, 2, &[(&one.member_id, "a")]);
    assert_eq!(synced(&world, sync), Err(ErrorCode::CoordinatorNotAvailable));
    world.log.refuse = None;
    let join = one.join(&mut world, 5);
    let generation = joined(&world, join).generation_id;
    let sync = one.sync(&mut world, generation, &[(&one.member_id, "a")]);
    world.commit();
    assert_eq!(synced(&world, sync).unwrap(), "a");
}

#[test]
fn who_never_syncs_is_out() {
    let mut world = World::new();
    let (mut one, mut two) = (Client::new(), Client::new());
    let (first, second) = (one.join_twice(&mut world), two.join_twice(&mut world));
    world.pass_ms(250);
    let leads = joined(&world, first).leader == joined(&world, first).member_id;
    joined(&world, second);
    let (leader, mute) = if leads { (one, two) } else { (two, one) };
    let sync = leader.sync(&mut world, 1, &[(&leader.member_id, "a")]);
    world.commit();
    assert_eq!(synced(&world, sync).unwrap(), "a");
    for _ in 0..13 {
        world.pass_ms(5_000);
        mute.heartbeat(&mut world, 1);
        leader.heartbeat(&mut world, 1);
    }
    assert_eq!(mute.heartbeat(&mut world, 1), ErrorCode::UnknownMemberId);
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn refusals_have_kafkas_codes() {
    let mut world = World::new();
    let stranger = Client { member_id: "nobody".into(), ..Client::new() };
    let slot = stranger.join(&mut world, 5);
    assert_eq!(join_error(&world, slot), ErrorCode::UnknownMemberId);
    let hasty = Client { session_timeout_ms: 1, ..Client::new() };
    let slot = hasty.join(&mut world, 5);
    assert_eq!(join_error(&world, slot), ErrorCode::InvalidSessionTimeout);
    let (leader, _) = stable_pair(&mut world);
    let other = Client { protocols: vec![("other", b"o")], ..Client::new() };
    let slot = other.join(&mut world, 5);
    assert_eq!(join_error(&world, slot), ErrorCode::InconsistentGroupProtocol);
    let slot = leader.sync(&mut world, 9, &[]);
    assert_eq!(synced(&world, slot), Err(ErrorCode::IllegalGeneration));
    let slot = stranger.sync(&mut world, 1, &[]);
    assert_eq!(synced(&world, slot), Err(ErrorCode::UnknownMemberId));
}

/// Every version's join and sync reach an assignment.
#[test]
fn all_versions_of_join_are_served() {
    for version in 0..=9 {
        let mut world = World::new();
        let mut one = Client::new();
        let mut slot = one.join(&mut world, version);
        if version >= 4 {
            assert_eq!(join_error(&world, slot), ErrorCode::MemberIdRequired);
            let answer: wire::messages::JoinGroupResponse = world.answer(slot);
            one.member_id = answer.member_id.to_string();
            slot = one.join(&mut world, version);
        }
        world.pass_ms(200);
        let answer = joined(&world, slot);
        one.member_id = answer.member_id.to_string();
        assert_eq!(answer.members.len(), 1, "version {version}");
        let sync = one.sync(&mut world, 1, &[(&one.member_id, "x")]);
        world.commit();
        assert_eq!(synced(&world, sync).unwrap(), "x");
    }
}

/// A cooperative member tells what it owns by joining again with other metadata.
#[test]
fn a_member_with_other_metadata_starts_a_rebalance() {
    let mut world = World::new();
    let (leader, mut follower) = stable_pair(&mut world);
    let same = follower.join(&mut world, 5);
    assert_eq!(joined(&world, same).generation_id, 1);
    follower.protocols = vec![("range", b"owns more")];
    let slot = follower.join(&mut world, 5);
    assert!(!world.is_answered(slot));
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::RebalanceInProgress);
    let other = leader.join(&mut world, 5);
    assert_eq!(joined(&world, slot).generation_id, 2);
    let told = joined(&world, other);
    assert!(told.members.iter().any(|member| member.metadata == "owns more"));
}
