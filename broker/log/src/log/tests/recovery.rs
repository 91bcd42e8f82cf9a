use super::*;

/// A log of a few segments, killed; and its batches.
fn killed(config: &LogConfig, batches: usize) -> (MemoryDisk, Vec<Batch>) {
    let mut world = World::new(config.clone());
    for index in 0..batches {
        let from = producer(5, 0, index as i32 * 2);
        let sent = batch_from(2, 40 + index % 7, NOW_MS + index as i64, from);
        world.append(sent, (index / 3) as i32);
    }
    let all = world.all();
    (world.kill(), all)
}

/// Everything that a recovered log must satisfy, whatever happened.
fn check_sound(world: &mut World, batches: &[Batch]) {
    assert_same(&world.all(), batches);
    let end = batches.last().map_or(0, |batch| batch.last_offset() + 1);
    assert_eq!((world.log.log_end_offset(), world.log.next_offset()), (end, end));
    assert_eq!(world.log.synced_offset(), end, "what was recovered was synced");
    let epochs: Vec<i32> = world.log.epochs().entries().iter().map(|entry| entry.epoch).collect();
    let mut expected: Vec<i32> =
        batches.iter().map(|batch| batch.header().partition_leader_epoch).collect();
    expected.dedup();
    assert_eq!(epochs, expected);
    let last = world.log.producer_state().get(5).map(|entry| entry.last_sequence());
    let expected = batches.last().and_then(|batch| batch.header().last_sequence());
    assert_eq!(last, expected);
    world.check_indexes();
}

#[test]
fn a_tail_torn_at_every_byte_is_cut_at_the_last_whole_batch() {
    let config = LogConfig { index_interval_bytes: 200, ..small() };
    let (disk, batches) = killed(&config, 14);
    let base = disk
        .paths()
        .filter_map(|path| path.strip_prefix("topic-0/")?.strip_suffix(".log")?.parse::<i64>().ok())
        .max()
        .expect("a segment");
    assert!(base > 0, "more than one segment");
    let content = disk.content(&path(base, "log")).expect("there").to_vec();
    let ends: Vec<(usize, i64)> = batches
        .iter()
        .filter(|batch| batch.base_offset() >= base)
        .scan(0, |at, batch| {
            *at += batch.len();
            Some((*at, batch.last_offset()))
        })
        .collect();
    for len in 0..=content.len() {
        for garbage in [0, 100] {
            let mut disk = disk.clone();
            let torn = [&content[..len], &vec![0; garbage]].concat();
            disk.put(&path(base, "log"), &torn);
            let mut world = World::on(disk, config.clone(), unclean());
            // The zeros may be just what was torn off.
            let same = torn.iter().zip(&content).take_while(|(torn, was)| torn == was).count();
            let last = ends.iter().rev().find(|(end, _)| *end <= same);
            let end = last.map_or(base, |(_, last_offset)| last_offset + 1);
            let kept: Vec<Batch> =
                batches.iter().filter(|batch| batch.last_offset() < end).cloned().collect();
            check_sound(&mut world, &kept);
            let valid = last.map_or(0, |(end, _)| *end);
            assert_eq!(world.opened().truncated_bytes, (torn.len() - valid) as u64);
            assert!(world.opened().recovered);
            // And it goes on.
            let next = batch_from(2, 40, NOW_MS, None);
            assert_eq!(world.append(next, 99).base_offset, end);
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_tail_cuts_from_its_batch_on() {
    let config = LogConfig::default();
    let (disk, batches) = killed(&config, 4);
    let content = disk.content(&path(0, "log")).expect("there").to_vec();
    let keep = 2;
    let start: usize = batches[..keep].iter().map(Batch::len).sum();
    for position in start..start + batches[keep].len() {
        // The leader epoch is outside the CRC, and any value of it is possible.
        if (12..16).contains(&(position - start)) {
            continue;
        }
        let mut damaged = content.clone();
        damaged[position] ^= 0x10;
        let mut disk = disk.clone();
        disk.put(&path(0, "log"), &damaged);
        let mut world = World::on(disk, config.clone(), unclean());
        check_sound(&mut world, &batches[..keep]);
    }
}

#[test]
fn damage_in_an_old_segment_takes_all_that_follows() {
    let (mut disk, batches) = killed(&small(), 30);
    let mut content = disk.content(&path(0, "log")).expect("there").to_vec();
    let start = batches[0].len();
    content[start + 70] ^= 1;
    disk.put(&path(0, "log"), &content);
    let mut world = World::on(disk, small(), unclean());
    check_sound(&mut world, &batches[..1]);
    assert_eq!(world.log.segments().count(), 1);
}

#[test]
fn below_the_recovery_point_nothing_is_read() {
    let (mut disk, batches) = killed(&small(), 30);
    let mut content = disk.content(&path(0, "log")).expect("there").to_vec();
    content[100] ^= 1;
    disk.put(&path(0, "log"), &content);
    let recovery = Recovery { recovery_point: Some(50), ..Recovery::default() };
    let world = World::on(disk, small(), recovery);
    assert_eq!(world.log.log_end_offset(), 60);
    assert_eq!(world.opened().truncated_bytes, 0);
    assert_eq!(world.log.epochs().entries().len(), 10);
    assert_eq!(batches.len(), 30);
}

#[test]
fn a_hole_between_segments_is_damage() {
    let (mut disk, batches) = killed(&small(), 30);
    let last = batches.iter().take_while(|batch| batch.last_offset() < 60).count();
    let content = disk.content(&path(0, "log")).expect("there").to_vec();
    let first_segment = batches
        .iter()
        .scan(0, |at, batch| {
            *at += batch.len();
            Some(*at)
        })
        .take_while(|&end| end <= content.len())
        .count();
    let short = content.len() - batches[first_segment - 1].len();
    disk.put(&path(0, "log"), &content[..short]);
    let mut world = World::on(disk, small(), unclean());
    check_sound(&mut world, &batches[..first_segment - 1]);
    assert_eq!(last, 30);
}

#[test]
fn missing_and_damaged_small_files_are_made_again() {
    let (disk, batches) = killed(&small(), 30);
    let bases: Vec<i64> = disk
        .paths()
        .filter_map(|path| path.strip_prefix("topic-0/")?.strip_suffix(".log")?.parse().ok())
        .collect();
    for clean in [true, false] {
        for &base in &bases {
            for suffix in ["index", "timeindex", "snapshot"] {
                for damaged in [None, Some(&b"\xff\xff\xff"[..])] {
                    let mut disk = disk.clone();
                    match damaged {
                        None => disk.remove(&path(base, suffix)),
                        Some(content) => disk.put(&path(base, suffix), content),
                    }
                    let recovery = Recovery { clean, ..Recovery::default() };
                    let mut world = World::on(disk, small(), recovery);
                    check_sound(&mut world, &batches);
                }
            }
        }
    }
}

#[test]
fn a_stale_or_damaged_epoch_checkpoint_does_no_harm() {
    let (disk, batches) = killed(&small(), 30);
    for content in [&b"0\n1\n0 0\n"[..], b"0\n2\n0 0\n77 60\n", b"rubbish", b"0\n2\n0 0\n12 59\n"] {
        let mut disk = disk.clone();
        disk.put("topic-0/leader-epoch-checkpoint", content);
        let mut world = World::on(disk, small(), unclean());
        check_sound(&mut world, &batches);
    }
    // Above the recovery point only, where the file is said to be good below.
    let mut disk = disk.clone();
    disk.put("topic-0/leader-epoch-checkpoint", b"0\n3\n0 0\n1 6\n40 50\n");
    let recovery = Recovery { recovery_point: Some(12), ..Recovery::default() };
    let world = World::on(disk, small(), recovery);
    assert_eq!(world.log.latest_epoch(), Some(9));
    assert_eq!(world.log.end_offset_for_epoch(1), (1, 12));
}

#[test]
fn leftovers_go_and_strangers_stay() {
    let (mut disk, batches) = killed(&small(), 10);
    for name in [
        "00000000000000000000.log.deleted",
        "00000000000000000000.log.cleaned",
        "00000000000000000000.log.swap",
        "leader-epoch-checkpoint.tmp",
        "00000000000000000777.index",
    ] {
        disk.put(&format!("{DIR}/{name}"), b"left over");
    }
    for name in ["partition.metadata", "00000000000000000042-0000000003.checkpoint", "quorum-state"]
    {
        disk.put(&format!("{DIR}/{name}"), b"kept");
    }
    let mut world = World::on(disk, small(), unclean());
    check_sound(&mut world, &batches);
    assert!(!world.disk.paths().any(|path| {
        [".deleted", ".cleaned", ".swap", ".tmp", "777.index"].iter().any(|end| path.ends_with(end))
    }));
    assert!(world.disk.content("topic-0/quorum-state").is_some());
    assert!(world.disk.content("topic-0/partition.metadata").is_some());
}

#[test]
fn a_finished_swap_of_kafkas_compaction_is_completed() {
    let (mut disk, batches) = killed(&small(), 30);
    let content = disk.content(&path(0, "log")).expect("there").to_vec();
    disk.put("topic-0/00000000000000000000.log.swap", &content);
    disk.put("topic-0/00000000000000000000.index.swap", b"anything");
    disk.put(&path(0, "log"), b"old");
    let mut world = World::on(disk, small(), clean());
    check_sound(&mut world, &batches);
}

#[test]
fn a_log_start_beyond_the_first_base_hides_what_is_below() {
    let (disk, _) = killed(&small(), 30);
    let recovery = Recovery { log_start_offset: Some(25), ..Recovery::default() };
    let mut world = World::on(disk.clone(), small(), recovery);
    assert_eq!(world.log.log_start_offset(), 25);
    assert_eq!(world.fetch(24, 100, i64::MAX), Err(ReadError::OutOfRange));
    assert_eq!(world.fetch(25, 100, i64::MAX).map(|data| data.next_offset), Ok(26));
    assert_eq!(world.log.epochs().earliest().map(|entry| entry.start_offset), Some(25));
    let recovery = Recovery { log_start_offset: Some(1_000), ..Recovery::default() };
    let mut world = World::on(disk, small(), recovery);
    assert_eq!((world.log.log_start_offset(), world.log.log_end_offset()), (1_000, 1_000));
    assert_eq!(world.log.epochs().latest(), None);
    assert_eq!(world.append(batch(1, 10, NOW_MS), 3).base_offset, 1_000);
    let world = World::on(world.kill(), small(), unclean());
    assert_eq!((world.log.log_start_offset(), world.log.log_end_offset()), (1_000, 1_001));
}

#[test]
fn a_clean_stop_is_trusted_only_if_the_files_fit() {
    let (disk, batches) = killed(&small(), 30);
    let closed = World::on(disk, small(), unclean()).close();
    let mut world = World::on(closed.clone(), small(), clean());
    assert!(!world.opened().recovered);
    check_sound(&mut world, &batches);
    let base = world.log.active_base();
    let content = closed.content(&path(base, "log")).expect("there").to_vec();
    let mut torn = closed.clone();
    torn.put(&path(base, "log"), &content[..content.len() - 1]);
    let mut world = World::on(torn, small(), clean());
    assert!(world.opened().recovered);
    check_sound(&mut world, &batches[..29]);
}

#[test]
fn an_interrupted_recovery_is_done_again() {
    let (mut disk, batches) = killed(&small(), 30);
    let base = 24;
    let base =
        World::on(disk.clone(), small(), unclean()).log.segment_base_for(base).expect("a segment");
    let content = disk.content(&path(base, "log")).expect("there").to_vec();
    disk.put(&path(base, "log"), &content[..content.len() - 5]);
    let recovered = World::on(disk.clone(), small(), unclean()).log.log_end_offset();
    for steps in 0.. {
        for power_cut in [false, true] {
            let mut world = World::opening(disk.clone(), small(), unclean());
            let done = !(0..steps).all(|_| world.step(0));
            let mut disk = world.disk;
            if power_cut {
                disk.power_cut()
            } else {
                disk.kill()
            }
            let mut world = World::on(disk, small(), unclean());
            assert_eq!(world.log.log_end_offset(), recovered, "after {steps} steps");
            let kept = batches.iter().filter(|batch| batch.last_offset() < recovered).count();
            check_sound(&mut world, &batches[..kept]);
            if done {
                return;
            }
        }
    }
}

#[test]
fn opening_takes_bounded_steps() {
    let mut world = World::new(LogConfig::default());
    for index in 0..40 {
        world.append(batch(10, 20_000, NOW_MS + index), 0);
    }
    let mut world = World::opening(world.kill(), LogConfig::default(), unclean());
    let mut reads = 0;
    loop {
        world.held.extend(world.io.drain());
        for (_, op) in &world.held {
            if let IoOp::Read { len, .. } = op {
                assert!(*len <= 1 << 20);
                reads += 1;
            }
        }
        if !world.step(0) {
            break;
        }
    }
    assert!(reads >= 8, "8 MB in {reads} reads");
    assert_eq!(world.log.log_end_offset(), 400);
}
