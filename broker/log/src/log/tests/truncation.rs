use super::*;
use crate::types::ReadId;

fn filled(batches: i64) -> World {
    let mut world = World::new(small());
    for index in 0..batches {
        let from = producer(5, 0, index as i32 * 2);
        world.append(batch_from(2, 40, NOW_MS + index, from), (index / 4) as i32);
    }
    world
}

fn truncated(world: &World) -> Option<i64> {
    world.events.iter().rev().find_map(|event| match event {
        Event::Truncated { log_end_offset } => Some(*log_end_offset),
        _ => None,
    })
}

fn check(world: &mut World, kept: &[Batch]) {
    let end = kept.last().map_or(0, |batch| batch.last_offset() + 1);
    assert_eq!(truncated(world), Some(end));
    assert_eq!(world.all(), kept);
    assert_eq!(world.log.next_offset(), end);
    assert_eq!(world.log.synced_offset(), end, "a cut is durable");
    let last = world.log.producer_state().get(5).map(|entry| entry.last_sequence());
    assert_eq!(last, kept.last().and_then(|batch| batch.header().last_sequence()));
    let epochs = world.log.epochs().entries();
    assert_eq!(
        epochs.last().map(|entry| entry.epoch),
        kept.last().map(|batch| batch.header().partition_leader_epoch)
    );
    world.check_indexes();
    let end_of_lookup = world.lookup(None).map(|found| found.offset);
    assert_eq!(end_of_lookup, (end > 0).then_some(end - 1));
}

#[test]
fn every_cut_leaves_exactly_what_is_below() {
    for forget in [false, true] {
        for offset in 0..40 {
            let mut world = filled(20);
            let all = world.all();
            if forget {
                // As if the high watermark were at the end: the long way.
                world.log.set_high_watermark(i64::MAX);
            }
            assert!(world.log.truncate_to(offset, &mut world.io));
            assert!(!world.log.is_ready());
            let refused = world.try_append(batch(1, 10, NOW_MS), 9);
            assert_eq!(refused, Err(AppendError::NotReady));
            world.run();
            let kept: Vec<Batch> =
                all.into_iter().filter(|batch| batch.last_offset() < offset).collect();
            check(&mut world, &kept);
            let end = world.log.next_offset();
            world.append(batch_from(2, 60, NOW_MS, producer(5, 0, end as i32)), 50);
            world.check_indexes();
            // What was cut does not come back, even without a sync of what came after.
            world.disk.power_cut();
            let recovery = Recovery { recovery_point: Some(end), ..Recovery::default() };
            let mut world = World::on(world.disk, small(), recovery);
            assert_eq!(world.all(), kept);
        }
    }
}

#[test]
fn there_is_nothing_to_cut_at_the_end() {
    let mut world = filled(3);
    assert!(!world.log.truncate_to(6, &mut world.io));
    assert!(!world.log.truncate_to(60, &mut world.io));
    assert!(world.log.is_ready());
}

#[test]
fn appends_under_way_are_cut_too() {
    for offset in [6, 7, 8, 9, 10, 12, 13, 14] {
        let mut world = filled(3);
        for index in 3..6 {
            let from = producer(5, 0, index * 2);
            world.try_append(batch_from(2, 40, NOW_MS + i64::from(index), from), 3).expect("taken");
        }
        assert!(world.log.truncate_to(offset, &mut world.io) == (offset < 12));
        world.run();
        let end = offset.min(12) / 2 * 2;
        assert_eq!(world.log.log_end_offset(), end);
        assert_eq!(world.all().len() as i64, end / 2);
        let highest = world.events.iter().filter_map(|event| match event {
            Event::Appended { log_end_offset } => Some(*log_end_offset),
            _ => None,
        });
        assert!(highest.max() <= Some(end.max(6)), "what was cut never counted");
        world.check_indexes();
    }
}

#[test]
fn a_second_cut_waits_for_the_first() {
    let mut world = filled(10);
    assert!(world.log.truncate_to(12, &mut world.io));
    assert!(world.log.truncate_to(4, &mut world.io));
    assert!(world.log.truncate_to(8, &mut world.io));
    world.run();
    let told = world.events.iter().filter(|event| matches!(event, Event::Truncated { .. }));
    assert_eq!(told.count(), 1);
    assert_eq!(world.log.log_end_offset(), 4);
    assert_eq!(world.all().len(), 2);
    assert!(world.log.is_ready());
}

fn read_result(world: &World, wanted: ReadId) -> Result<FetchData, ReadError> {
    let found = world.events.iter().find_map(|event| match event {
        Event::Read { id, result } if *id == wanted => Some(result.clone()),
        _ => None,
    });
    found.expect("answered")
}

#[test]
fn a_read_that_a_cut_overtakes_never_sees_what_was_cut() {
    let mut world = filled(4);
    let Read::Pending(above) = world.log.read(6, 1_000, i64::MAX, true, &mut world.io) else {
        panic!("from disk")
    };
    let Read::Pending(across) = world.log.read(2, 1_000, i64::MAX, true, &mut world.io) else {
        panic!("from disk")
    };
    assert!(world.log.truncate_to(4, &mut world.io));
    let Read::OutOfRange = world.log.read(5, 1_000, i64::MAX, true, &mut world.io) else {
        panic!("at once")
    };
    world.run();
    assert_eq!(read_result(&world, above), Err(ReadError::OutOfRange));
    assert_eq!(read_result(&world, across).map(|data| data.next_offset), Ok(4));

    // The long way closes the files: reads end and can be asked again.
    let mut world = filled(30);
    world.log.set_high_watermark(i64::MAX);
    let Read::Pending(read) = world.log.read(2, 1_000, i64::MAX, true, &mut world.io) else {
        panic!("from disk")
    };
    assert!(world.log.truncate_to(20, &mut world.io));
    world.run();
    assert_eq!(read_result(&world, read), Err(ReadError::NotReady));
    assert_eq!(world.all().len(), 10);
}

#[test]
fn starting_over_drops_everything() {
    for start in [0, 5, 24, 1_000] {
        let mut world = filled(20);
        assert!(world.log.truncate_fully_and_start_at(start, &mut world.io));
        assert_eq!(world.log.next_offset(), start);
        world.run();
        assert_eq!(truncated(&world), Some(start));
        assert_eq!((world.log.log_start_offset(), world.log.high_watermark()), (start, start));
        assert_eq!(world.log.synced_offset(), start);
        assert_eq!(world.log.epochs().latest(), None);
        assert!(world.log.producer_state().is_empty());
        assert_eq!(world.append(batch(2, 10, NOW_MS), 70).base_offset, start);
        world.check_indexes();
        world.log.sync(&mut world.io);
        world.run();
        assert_eq!(world.log.synced_offset(), start + 2);
        world.disk.power_cut();
        let mut world = World::on(world.disk, small(), unclean());
        assert_eq!((world.log.log_start_offset(), world.log.log_end_offset()), (start, start + 2));
        assert_eq!(world.all().len(), 1);
    }
}

#[test]
fn a_cut_below_the_first_segment_starts_over_there() {
    let mut world = filled(20);
    world.log.truncate_fully_and_start_at(100, &mut world.io);
    world.run();
    world.append(batch(2, 10, NOW_MS), 70);
    assert!(world.log.truncate_to(90, &mut world.io));
    world.run();
    assert_eq!((world.log.log_start_offset(), world.log.log_end_offset()), (90, 90));
}

#[test]
fn a_cut_crossing_the_log_start_lowers_it() {
    let mut world = filled(4);
    world.log.set_high_watermark(8);
    assert!(world.log.set_log_start_offset(5, &mut world.io));
    assert!(world.log.truncate_to(2, &mut world.io));
    world.run();
    assert_eq!((world.log.log_start_offset(), world.log.log_end_offset()), (2, 2));
}
