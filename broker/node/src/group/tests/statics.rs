//! Static members: a restart is no rebalance, and the old life is fenced.

use wire::api::key;
use wire::error::ErrorCode;
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::{GroupId, LeaveGroupRequest, LeaveGroupResponse};

use super::world::{Client, GROUP, World, join_error, joined, stable, synced};
use crate::api::text;

#[test]
fn a_restarted_member_takes_its_place_again_without_a_rebalance() {
    for version in [5, 9] {
        let mut world = World::new();
        let (leader, follower) = stable(&mut world, Client::fixed("one"), Client::fixed("two"));
        for (old, other, is_leader) in [(&leader, &follower, true), (&follower, &leader, false)] {
            let mut new = Client { member_id: String::new(), ..old.clone() };
            let slot = new.join(&mut world, version);
            assert!(!world.is_answered(slot), "not before its new id is committed");
            world.commit();
            let answer = joined(&world, slot);
            assert_eq!(answer.generation_id, 1);
            assert_eq!(answer.skip_assignment, version >= 9 && is_leader);
            if version < 9 {
                // It must not believe that it has to assign.
                assert_ne!(answer.leader, answer.member_id);
            }
            new.member_id = answer.member_id.to_string();
            assert_eq!(old.heartbeat(&mut world, 1), ErrorCode::FencedInstanceId);
            let fenced = old.sync(&mut world, 1, &[]);
            assert_eq!(synced(&world, fenced), Err(ErrorCode::FencedInstanceId));
            let sync = new.sync(&mut world, 1, &[]);
            assert_eq!(synced(&world, sync).unwrap(), if is_leader { "a" } else { "b" });
            if version < 9 && is_leader {
                break; // the other one's leader id in this loop is the old life's
            }
            assert_eq!(new.heartbeat(&mut world, 1), ErrorCode::None);
            let _ = other;
        }
    }
}

#[test]
fn a_replacement_that_cannot_be_written_is_taken_back() {
    let mut world = World::new();
    let (leader, _) = stable(&mut world, Client::fixed("one"), Client::fixed("two"));
    let new = Client { member_id: String::new(), ..leader.clone() };
    let slot = new.join(&mut world, 9);
    world.fail(ErrorCode::RequestTimedOut);
    assert_eq!(join_error(&world, slot), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::None);
}

#[test]
fn other_wishes_are_a_rebalance_in_which_absent_static_members_keep_their_place() {
    let mut world = World::new();
    let (leader, follower) = stable(&mut world, Client::fixed("one"), Client::fixed("two"));
    let new =
        Client { member_id: String::new(), protocols: vec![("sticky", b"s")], ..follower.clone() };
    let slot = new.join(&mut world, 9);
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::RebalanceInProgress);
    for _ in 0..12 {
        leader.heartbeat(&mut world, 1);
        world.pass_ms(5_000);
    }
    // The wait is over; the one that did not come back still belongs to the group.
    let answer = joined(&world, slot);
    assert_eq!((answer.generation_id, answer.members.len()), (2, 2));
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance() {
    let mut world = World::new();
    let (leader, follower) = stable(&mut world, Client::fixed("one"), Client::fixed("two"));
    let instance = follower.instance.map(text);
    let one = MemberIdentity::default().with_group_instance_id(instance);
    let ghost = MemberIdentity::default().with_group_instance_id(Some(text("ghost")));
    let body = LeaveGroupRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_members(vec![one, ghost]);
    let answer: LeaveGroupResponse = world.ask(key::LEAVE_GROUP, 5, &body);
    let errors: Vec<i16> = answer.members.iter().map(|member| member.error_code).collect();
    assert_eq!(errors, [0, ErrorCode::UnknownMemberId.code()]);
    assert_eq!(leader.heartbeat(&mut world, 1), ErrorCode::RebalanceInProgress);
}
