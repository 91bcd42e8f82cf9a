//! Random members doing random things: what must hold whatever happens.

use proptest::prelude::*;
use wire::error::ErrorCode;
use wire::messages::JoinGroupResponse;

use super::super::state::State;
use super::world::{Client, World};

#[derive(Clone, Copy, Debug)]
enum Act {
    Join(usize),
    Sync(usize),
    Heartbeat(usize),
    Commit(usize, i64),
    Pass(u64),
    CommitLog,
    FailLog,
    Refuse(bool),
    Failover,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..4usize).prop_map(Act::Join),
        4 => (0..4usize).prop_map(Act::Sync),
        2 => (0..4usize).prop_map(Act::Heartbeat),
        2 => (0..4usize, 0..100i64).prop_map(|(who, offset)| Act::Commit(who, offset)),
        3 => (1..12_000u64).prop_map(Act::Pass),
        4 => Just(Act::CommitLog),
        1 => Just(Act::FailLog),
        1 => any::<bool>().prop_map(Act::Refuse),
        1 => Just(Act::Failover),
    ]
}

/// What a member knows of itself.
struct Player {
    client: Client,
    version: i16,
    generation: i32,
    join: Option<u64>,
}

fn look(world: &World, player: &mut Player) {
    let Some(slot) = player.join.filter(|slot| world.is_answered(*slot)) else { return };
    player.join = None;
    let answer: JoinGroupResponse = world.answer(slot);
    match ErrorCode::from_code(answer.error_code) {
        Some(ErrorCode::None) => {
            player.client.member_id = answer.member_id.to_string();
            player.generation = answer.generation_id;
        }
        Some(ErrorCode::MemberIdRequired) => {
            player.client.member_id = answer.member_id.to_string();
        }
        Some(ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId) => {
            player.client.member_id.clear();
        }
        _ => {}
    }
}

fn check(world: &World) {
    for shard in world.groups.shards.values() {
        for group in shard.groups.values() {
            let leads = |leader: &String| group.members.contains_key(leader);
            assert!(group.leader.as_ref().is_none_or(leads), "{group:?}");
            assert!(group.members.is_empty() || group.leader.is_some(), "{group:?}");
            assert_eq!(group.state == State::PreparingRebalance, group.join_wait.is_some());
            for (instance, id) in &group.statics {
                let member = group.members.get(id).expect("a member");
                assert_eq!(member.instance.as_deref(), Some(instance.as_str()));
            }
            for member in group.members.values() {
                assert!(member.joining.is_none() || member.syncing.is_none());
                if group.state == State::Stable {
                    assert!(member.syncing.is_none());
                }
            }
            if matches!(group.state, State::Empty | State::Dead) {
                assert!(group.members.is_empty());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn everybody_is_answered_once_and_groups_stay_sound(acts in proptest::collection::vec(act(), 1..60)) {
        let mut world = World::new();
        let mut players: Vec<Player> = [None, None, Some("one"), Some("two")]
            .into_iter()
            .zip([5, 9, 5, 9])
            .map(|(instance, version)| Player {
                client: Client { instance, ..Client::new() },
                version,
                generation: -1,
                join: None,
            })
            .collect();
        for act in acts {
            match act {
                Act::Join(who) => {
                    let player = &mut players[who];
                    // Also while it waits for an answer: a client that gave up on the first one.
                    player.join = Some(player.client.join(&mut world, player.version));
                }
                Act::Sync(who) => {
                    let player = &players[who];
                    let all: Vec<String> =
                        players.iter().map(|one| one.client.member_id.clone()).collect();
                    let assignments: Vec<(&str, &str)> =
                        all.iter().map(|id| (id.as_str(), "x")).collect();
                    player.client.sync(&mut world, player.generation, &assignments);
                }
                Act::Heartbeat(who) => {
                    players[who].client.heartbeat(&mut world, players[who].generation);
                }
                Act::Commit(who, offset) => {
                    let player = &players[who];
                    player.client.commit(&mut world, player.generation, 0, offset);
                }
                Act::Pass(ms) => world.pass_ms(ms),
                Act::CommitLog => world.commit(),
                Act::FailLog => world.fail(ErrorCode::RequestTimedOut),
                Act::Refuse(yes) => {
                    world.log.refuse = yes.then_some(ErrorCode::NotEnoughReplicas);
                }
                Act::Failover => {
                    world.lose_all();
                    world.lead_all();
                }
            }
            players.iter_mut().for_each(|player| look(&world, player));
            check(&world);
        }
        world.log.refuse = None;
        for _ in 0..30 {
            world.pass_ms(60_000);
            world.commit();
            check(&world);
        }
        prop_assert_eq!(world.unanswered(), 0);
        // Nobody showed up for half an hour: what is left is empty.
        let empty = |state: State| state == State::Empty;
        prop_assert!(world.groups.shards.values().all(|s| s.groups.values().all(|g| empty(g.state))));
        prop_assert!(world.groups.tags.is_empty());
    }
}
