//! Each seeded defect of the coordinator shows, where a healthy one does well.

use wire::error::ErrorCode;

use super::failover::fetch_one;
use super::world::{Client, World, commit_error, stable_pair};

#[test]
fn offset_commit_before_isr_is_gone_with_its_coordinator() {
    let run = |defects: &str| {
        let mut world = World::with(defects);
        let (leader, _) = stable_pair(&mut world);
        leader.commit(&mut world, 1, 0, 41);
        world.commit();
        let kept = world.log.batches.clone();
        let slot = leader.commit(&mut world, 1, 0, 42);
        let answered = world.is_answered(slot);
        // The next coordinator never had it.
        world.lose_all();
        world.log.batches = kept;
        world.lead_all();
        (answered, fetch_one(&mut world))
    };
    assert_eq!(run(""), (false, 41));
    assert_eq!(run("offset-commit-before-isr"), (true, 41));
}

#[test]
fn load_to_high_watermark_leaves_the_last_ones_out() {
    let run = |defects: &str| {
        let mut world = World::with(defects);
        let (leader, _) = stable_pair(&mut world);
        leader.commit(&mut world, 1, 0, 41);
        world.commit();
        for id in World::partitions() {
            let end = world.log.end(id);
            world.log.high_watermark.insert(id, end);
        }
        leader.commit(&mut world, 1, 0, 42);
        world.commit();
        world.lose_all();
        world.lead_all();
        // The high watermark comes a little later.
        world.log.high_watermark.clear();
        world.pass_ms(100);
        fetch_one(&mut world)
    };
    assert_eq!(run(""), 42);
    assert_eq!(run("load-to-high-watermark"), 41);
}

#[test]
fn zombie_commits_count() {
    let run = |defects: &str| {
        let mut world = World::with(defects);
        let (leader, _) = stable_pair(&mut world);
        leader.commit(&mut world, 1, 0, 42);
        world.commit();
        let zombie = Client { member_id: "gone".into(), ..Client::new() };
        let slot = zombie.commit(&mut world, 0, 0, 7);
        world.commit();
        (commit_error(&world, slot), fetch_one(&mut world))
    };
    assert_eq!(run(""), (ErrorCode::UnknownMemberId, 42));
    assert_eq!(run("zombie-commits"), (ErrorCode::None, 7));
}
