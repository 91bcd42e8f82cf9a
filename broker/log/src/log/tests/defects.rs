//! Each seeded defect breaks its promise, and without it the promise holds.

use super::*;
use crate::{Defect, Defects};

/// What `told` says of a log without the defect, and of one with it.
fn compare<T>(defect: Defect, told: impl Fn(Defects) -> T) -> (T, T) {
    (told(Defects::default()), told(Defects::default().with(defect)))
}

fn with(defects: Defects) -> LogConfig {
    LogConfig { defects, ..small() }
}

fn powerless(mut world: World) -> MemoryDisk {
    world.disk.power_cut();
    world.disk
}

/// How many of ten records, each acknowledged before the next was sent, are there after a power cut.
fn kept(config: LogConfig, power_cut_after: impl Fn(&World) -> bool) -> i64 {
    let mut world = World::new(config.clone());
    for _ in 0..10 {
        world.try_append(batch(1, 400, NOW_MS), 0).expect("accepted");
        let end = world.log.next_offset();
        while world.log.log_end_offset() < end && world.step(0) {}
        if power_cut_after(&world) {
            break;
        }
    }
    assert_eq!(world.log.log_end_offset(), world.log.next_offset(), "all of it counts");
    World::on(powerless(world), small(), unclean()).log.log_end_offset()
}

#[test]
fn end_before_sync_counts_what_a_power_cut_takes() {
    let kept = compare(Defect::EndBeforeSync, |defects| {
        let config = LogConfig { flush_messages: 1, ..with(defects) };
        kept(config, |world| world.log.log_end_offset() == 2)
    });
    assert_eq!(kept, (2, 1));
}

#[test]
fn unsynced_names_lose_the_new_segment() {
    let kept = compare(Defect::UnsyncedNames, |defects| {
        // The segment's first record, before the next file that is replaced syncs the directory by the way.
        let config = LogConfig { flush_messages: 1, ..with(defects) };
        kept(config, |world| world.log.segments().count() == 2)
    });
    assert_eq!(kept, (5, 4));
}

#[test]
fn retention_above_high_watermark_deletes_what_followers_lack() {
    let start = compare(Defect::RetentionAboveHighWatermark, |defects| {
        let mut world = World::new(LogConfig { retention_bytes: 3_000, ..with(defects) });
        for index in 0..20 {
            world.append(batch(3, 100, NOW_MS + index), 0);
        }
        world.log.maintain(NOW_MS, &mut world.io);
        world.run();
        world.log.log_start_offset() > 0
    });
    assert_eq!(start, (false, true));
}

#[test]
fn stale_epochs_outlive_their_records() {
    let latest = compare(Defect::StaleEpochs, |defects| {
        let mut world = World::new(with(defects));
        world.append(batch(1, 10, NOW_MS), 1);
        world.append(batch(1, 10, NOW_MS), 2);
        assert!(world.log.truncate_to(1, &mut world.io));
        world.run();
        world.log.latest_epoch()
    });
    assert_eq!(latest, (Some(1), Some(2)));
}

#[test]
fn skip_crc_takes_a_damaged_batch_for_a_whole_one() {
    let end = compare(Defect::SkipCrc, |defects| {
        let mut world = World::new(small());
        world.append(batch(1, 100, NOW_MS), 0);
        world.append(batch(1, 100, NOW_MS), 0);
        let mut content = world.disk.content(&path(0, "log")).expect("there").to_vec();
        *content.last_mut().expect("not empty") ^= 1;
        let mut disk = world.kill();
        disk.put(&path(0, "log"), &content);
        World::on(disk, with(defects), unclean()).log.log_end_offset()
    });
    assert_eq!(end, (1, 2));
}

#[test]
fn recovered_unsynced_is_lost_to_the_next_power_cut() {
    let end = compare(Defect::RecoveredUnsynced, |defects| {
        let mut world = World::new(small());
        world.append(batch(1, 100, NOW_MS), 0);
        let world = World::on(world.kill(), with(defects), unclean());
        assert_eq!(world.log.synced_offset(), 1);
        World::on(powerless(world), small(), unclean()).log.log_end_offset()
    });
    assert_eq!(end, (1, 0));
}

#[test]
fn recovery_point_before_sync_covers_what_a_power_cut_takes() {
    let covered = compare(Defect::RecoveryPointBeforeSync, |defects| {
        let mut world = World::new(with(defects));
        world.append(batch(1, 100, NOW_MS), 0);
        let recovery_point = world.log.synced_offset();
        let kept = World::on(powerless(world), small(), unclean()).log.log_end_offset();
        recovery_point <= kept
    });
    assert_eq!(covered, (true, false));
}
