use super::*;

fn filled(config: LogConfig, batches: i64) -> World {
    let mut world = World::new(config);
    for index in 0..batches {
        world.append(batch(3, 100, NOW_MS + index * 10), (index / 4) as i32);
    }
    world
}

#[test]
fn memory_and_disk_give_the_same_bytes() {
    let mut disk = filled(small(), 30);
    let mut memory = filled(LogConfig { tail_cache_bytes: 1 << 20, ..small() }, 30);
    for from in 0..90 {
        for max_bytes in [0, 500, 1_500] {
            let from_memory = memory.fetch(from, max_bytes, 88).expect("readable");
            let from_disk = disk.fetch(from, max_bytes, 88).expect("readable");
            if from_disk.next_offset == from_memory.next_offset {
                assert_eq!(whole(&from_memory), whole(&from_disk), "{from} {max_bytes}");
            } else {
                // The disk gives no more than one segment at a time.
                let segments: Vec<_> = disk.log.segments().map(|(base, _)| base).collect();
                assert!(segments.contains(&from_disk.next_offset), "{from} {max_bytes}");
            }
        }
    }
    assert!(memory.held.is_empty());
}

#[test]
fn bounds_are_kept() {
    let mut world = filled(small(), 10);
    let read = |world: &mut World, from, max, below, at_least_one| match world.log.read(
        from,
        max,
        below,
        at_least_one,
        &mut world.io,
    ) {
        Read::Ready(data) => data,
        Read::Pending(_) => {
            world.run();
            match world.events.pop() {
                Some(Event::Read { result: Ok(data), .. }) => data,
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(read(&mut world, 0, 100, i64::MAX, false).bytes, 0, "no batch fits");
    assert_eq!(read(&mut world, 0, 100, i64::MAX, true).next_offset, 3);
    assert_eq!(read(&mut world, 4, 10_000, 9, true).next_offset, 9, "begins within a batch");
    assert_eq!(read(&mut world, 4, 10_000, 8, true).next_offset, 6, "no batch is cut");
    assert_eq!(read(&mut world, 4, 10_000, 4, true).next_offset, 4);
    assert_eq!(read(&mut world, 30, 10_000, i64::MAX, true).next_offset, 30);
    assert_eq!(world.fetch(31, 100, i64::MAX), Err(ReadError::OutOfRange));
    assert_eq!(world.fetch(-1, 100, i64::MAX), Err(ReadError::OutOfRange));
}

#[test]
fn a_batch_larger_than_the_chunk_is_read_whole() {
    let mut world = World::new(LogConfig { tail_cache_bytes: 0, ..LogConfig::default() });
    world.append(batch(1, 900_000, NOW_MS), 0);
    world.append(batch(1, 10, NOW_MS), 0);
    let data = world.fetch(0, 1, i64::MAX).expect("readable");
    assert_eq!(data.next_offset, 1);
    assert!(data.bytes > 900_000);
}

#[test]
fn times_lead_to_the_first_record_that_is_not_older() {
    let mut world = filled(small(), 30);
    let check = |world: &mut World| {
        for (time, offset) in [(-1, 0), (0, 0), (1, 1), (2, 2), (3, 3), (105, 33), (292, 89)] {
            let found = world.lookup(Some(NOW_MS + time));
            assert_eq!(found.map(|found| found.offset), Some(offset), "{time}");
            assert!(found.is_some_and(|found| found.timestamp >= NOW_MS + time));
        }
        assert_eq!(world.lookup(Some(NOW_MS + 293)), None);
        let newest = world.lookup(None).expect("not empty");
        assert_eq!((newest.offset, newest.timestamp), (89, NOW_MS + 292));
        assert_eq!(newest.leader_epoch, 7);
    };
    check(&mut world);
    // Old segments forget their indexes, and get them again.
    for _ in 0..2 {
        world.log.maintain(NOW_MS, &mut world.io);
        world.run();
    }
    assert!(world.disk.open_files() <= 3, "idle files are closed");
    check(&mut world);
    let mut world = World::on(world.close(), small(), clean());
    check(&mut world);
}

#[test]
fn lookups_respect_the_log_start_and_the_bound() {
    let mut world = filled(small(), 10);
    world.log.set_high_watermark(30);
    assert!(world.log.set_log_start_offset(4, &mut world.io));
    assert_eq!(world.lookup(Some(0)).map(|found| found.offset), Some(4));
    let bounded = world.log.offset_for_timestamp(NOW_MS + 90, 27, &mut world.io);
    assert!(matches!(bounded, Lookup::Pending(_)));
    world.run();
    assert!(matches!(world.events.last(), Some(Event::Lookup { result: Ok(None), .. })));
    assert!(!world.log.set_log_start_offset(31, &mut world.io));
    let mut empty = World::new(small());
    assert_eq!(empty.lookup(Some(0)), None);
    assert_eq!(empty.lookup(None), None);
}

#[test]
fn bad_indexes_of_old_segments_are_rebuilt_when_needed() {
    let world = filled(small(), 30);
    let bases: Vec<i64> = world.log.segments().map(|(base, _)| base).collect();
    let mut disk = world.close();
    let before = disk.content(&path(bases[1], "index")).expect("there").to_vec();
    let time_before = disk.content(&path(bases[1], "timeindex")).expect("there").to_vec();
    assert!(!before.is_empty() && !time_before.is_empty());
    disk.put(&path(bases[1], "index"), &[0xff; 16]);
    disk.put(&path(bases[2], "timeindex"), b"short");
    let mut world = World::on(disk, small(), clean());
    assert!(!world.opened().recovered);
    assert_eq!(world.all().len(), 30);
    assert_eq!(world.lookup(Some(NOW_MS + 105)).map(|found| found.offset), Some(33));
    assert_eq!(world.disk.content(&path(bases[1], "index")), Some(&before[..]));
    assert_eq!(world.disk.content(&path(bases[1], "timeindex")), Some(&time_before[..]));
}

#[test]
fn an_index_that_misleads_is_rebuilt() {
    let world = filled(small(), 30);
    let bases: Vec<i64> = world.log.segments().map(|(base, _)| base).collect();
    let disk = world.close();
    let sound = disk.content(&path(bases[1], "index")).expect("there").to_vec();
    for position in [7u8, 0xff] {
        // Into the middle of a batch, or to a batch further on.
        let mut bent = sound.clone();
        if position == 7 {
            bent[7] ^= 1;
        } else {
            bent.copy_within(12..16, 4);
            bent.truncate(8);
        }
        let mut disk = disk.clone();
        disk.put(&path(bases[1], "index"), &bent);
        let mut world = World::on(disk, small(), clean());
        for from in bases[1]..bases[2] {
            let data = world.fetch(from, 100, i64::MAX).expect("readable");
            let batch = &split_batches(whole(&data)).expect("whole")[0];
            assert!((batch.base_offset()..=batch.last_offset()).contains(&from));
        }
        assert_eq!(world.disk.content(&path(bases[1], "index")), Some(&sound[..]));
    }
}

#[test]
fn damage_in_a_segment_is_told_not_served() {
    let world = filled(small(), 4);
    let mut disk = world.close();
    let mut bytes = disk.content(&path(0, "log")).expect("there").to_vec();
    bytes[16] = 9;
    disk.put(&path(0, "log"), &bytes);
    disk.put(&path(0, "index"), &[]);
    let mut world = filled(small(), 4);
    world.disk.put(&path(0, "log"), &bytes);
    let result = world.fetch(0, 100, i64::MAX);
    assert!(matches!(result, Err(ReadError::Corrupt { position: 0, .. })), "{result:?}");
    // The file is shorter than the log knows.
    world.disk.put(&path(0, "log"), &bytes[..100]);
    let result = world.fetch(9, 100, i64::MAX);
    assert!(matches!(result, Err(ReadError::Corrupt { .. })), "{result:?}");
}
