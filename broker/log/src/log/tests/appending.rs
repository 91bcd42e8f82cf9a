use super::*;
use crate::io::{IoError, IoErrorKind};
use crate::producer::ProducerError;
use wire::batch::TimestampType;
use wire::control::{ControlRecord, end_transaction_batch};
use wire::error::ErrorCode;

#[test]
fn offsets_epochs_and_bytes_are_as_appended() {
    let mut world = World::new(small());
    let sent = batch(3, 100, NOW_MS);
    let appended = world.append(sent.clone(), 7);
    assert_eq!((appended.base_offset, appended.last_offset), (0, 2));
    let appended = world.append(batch(2, 100, NOW_MS), 8);
    assert_eq!((appended.base_offset, appended.last_offset), (3, 4));
    let all = world.all();
    assert_eq!(all[1].base_offset(), 3);
    assert_eq!(all[0].header().partition_leader_epoch, 7);
    assert_eq!(all[0].to_contiguous()[16..], sent.to_contiguous()[16..], "the rest is untouched");
    assert_eq!(world.log.end_offset_for_epoch(7), (7, 3));
    assert_eq!(world.log.end_offset_for_epoch(8), (8, 5));
    assert_eq!(
        world.disk.content("topic-0/leader-epoch-checkpoint"),
        Some(&b"0\n2\n7 0\n8 3\n"[..])
    );
}

#[test]
fn only_completed_appends_count() {
    let mut world = World::new(small());
    world.try_append(batch(3, 100, NOW_MS), 0).expect("accepted");
    assert_eq!((world.log.next_offset(), world.log.log_end_offset()), (3, 0));
    assert_eq!(world.fetch_ready(0), FetchData::default());
    world.run();
    assert_eq!(world.log.log_end_offset(), 3);
    assert!(matches!(world.events.last(), Some(Event::Appended { log_end_offset: 3 })));
}

impl World {
    fn fetch_ready(&mut self, from: i64) -> FetchData {
        match self.log.read(from, 1_000, i64::MAX, true, &mut self.io) {
            Read::Ready(data) => data,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn with_flush_messages_1_the_end_waits_for_one_sync_of_all() {
    let mut world = World::new(LogConfig { flush_messages: 1, ..LogConfig::default() });
    world.append(batch(1, 10, NOW_MS), 0);
    let syncs_before = world.disk.syncs;
    for _ in 0..10 {
        world.try_append(batch(1, 10, NOW_MS), 0).expect("accepted");
    }
    // The append that the first sync covers, and that sync.
    world.step(0);
    assert_eq!(world.log.log_end_offset(), 1, "written, not synced");
    world.step(0);
    assert_eq!(world.log.log_end_offset(), 2);
    world.run();
    assert_eq!(world.log.log_end_offset(), 11);
    assert_eq!(world.log.synced_offset(), 11);
    assert_eq!(world.disk.syncs - syncs_before, 2, "the nine that came meanwhile share one");
    world.disk.power_cut();
    let recovered = World::on(world.disk, LogConfig::default(), unclean());
    assert_eq!(recovered.log.log_end_offset(), 11);
}

#[test]
fn flush_messages_and_flush_ms_ask_for_syncs() {
    let config = LogConfig { flush_messages: 3, flush_ms: 500, ..LogConfig::default() };
    let mut world = World::new(config);
    world.append(batch(2, 10, NOW_MS), 0);
    assert_eq!((world.log.log_end_offset(), world.log.synced_offset()), (2, 0));
    world.append(batch(2, 10, NOW_MS), 0);
    assert_eq!(world.log.synced_offset(), 4);
    world.append(batch(1, 10, NOW_MS), 0);
    world.log.maintain(NOW_MS + 499, &mut world.io);
    world.run();
    assert_eq!(world.log.synced_offset(), 4);
    world.log.maintain(NOW_MS + 500, &mut world.io);
    world.run();
    assert_eq!(world.log.synced_offset(), 5);
}

#[test]
fn segments_roll_by_size_and_their_files_are_complete() {
    let mut world = World::new(small());
    for index in 0..20 {
        world.append(batch(3, 100, NOW_MS + index), 0);
        world.check_indexes();
    }
    let segments: Vec<_> = world.log.segments().collect();
    assert!(segments.len() > 3 && segments.iter().all(|&(_, size)| size <= 2_000), "{segments:?}");
    for &(base, _) in &segments[1..] {
        assert!(world.disk.content(&path(base, "snapshot")).is_some(), "snapshot at {base}");
    }
    assert_eq!(world.log.synced_offset(), segments.last().expect("some").0, "rolled means synced");
    assert_eq!(world.all().len(), 20);
}

#[test]
fn one_append_may_span_segments() {
    let mut leader = World::new(small());
    for index in 0..20 {
        leader.append(batch(3, 100, NOW_MS + index), 1);
    }
    let mut follower = World::new(LogConfig { segment_bytes: 1_200, ..small() });
    let batches = leader.all();
    follower.log.append_as_follower(batches.clone(), &mut follower.io).expect("accepted");
    follower.run();
    assert_eq!(follower.all(), batches);
    assert_eq!(follower.log.latest_epoch(), Some(1));
    follower.check_indexes();
}

#[test]
fn a_follower_takes_only_what_continues_its_log() {
    let mut leader = World::new(small());
    leader.append(batch(3, 10, NOW_MS), 1);
    leader.append(batch(3, 10, NOW_MS), 1);
    let batches = leader.all();
    let mut follower = World::new(small());
    let refused = follower.log.append_as_follower(vec![batches[1].clone()], &mut follower.io);
    assert_eq!(refused, Err(AppendError::OffsetMismatch { expected: 0, found: 3 }));
    let twice = vec![batches[0].clone(), batches[0].clone()];
    let refused = follower.log.append_as_follower(twice, &mut follower.io);
    assert_eq!(refused, Err(AppendError::OffsetMismatch { expected: 3, found: 0 }));
    assert_eq!(follower.log.next_offset(), 0);
}

#[test]
fn what_a_client_must_not_send_is_refused() {
    let mut world = World::new(LogConfig { max_message_bytes: 500, ..small() });
    let code = |result: Result<Appended, AppendError>| result.map_err(|e| e.error_code());
    let too_large = world.try_append(batch(1, 600, NOW_MS), 0);
    assert_eq!(code(too_large), Err(ErrorCode::MessageTooLarge));
    let mut damaged = batch(1, 10, NOW_MS).to_contiguous().to_vec();
    damaged[70] ^= 1;
    let damaged = world.try_append(Batch::new(damaged.into()).expect("sized"), 0);
    assert_eq!(code(damaged), Err(ErrorCode::CorruptMessage));
    let two = vec![batch(1, 10, NOW_MS), batch(1, 10, NOW_MS)];
    let (client, unpack) = (Origin::Client, &mut Decompressor::default());
    let two = world.log.append_as_leader(NOW_MS, two, 0, client, unpack, &mut world.io);
    assert_eq!(code(two), Err(ErrorCode::InvalidRecord));
    let none = world.log.append_as_leader(NOW_MS, vec![], 0, client, unpack, &mut world.io);
    assert_eq!(none, Err(AppendError::Empty));
    let late = world.try_append(batch(1, 10, NOW_MS + 3_600_001), 0);
    assert_eq!(code(late), Err(ErrorCode::InvalidTimestamp));
    assert_eq!(world.log.next_offset(), 0);
}

#[test]
fn log_append_time_is_the_brokers() {
    let config = LogConfig { timestamp_type: TimestampType::LogAppendTime, ..small() };
    let mut world = World::new(config);
    let appended = world.append(batch(2, 10, 5), 0);
    assert_eq!(appended.log_append_time, NOW_MS);
    let all = world.all();
    assert_eq!(all[0].header().max_timestamp, NOW_MS);
    assert_eq!(all[0].view().check(), Ok(()));
    assert_eq!(world.lookup(Some(NOW_MS)).map(|found| found.offset), Some(0));
}

#[test]
fn a_retry_gets_the_first_offsets_and_a_gap_is_refused() {
    let mut world = World::new(small());
    world.append(batch(3, 10, NOW_MS), 0);
    let first = world.append(batch_from(2, 10, NOW_MS, producer(9, 0, 0)), 0);
    let again = world.append(batch_from(2, 10, NOW_MS, producer(9, 0, 0)), 0);
    assert_eq!(again, Appended { duplicate: true, ..first });
    assert_eq!(world.log.next_offset(), 5);
    let gap = world.try_append(batch_from(1, 10, NOW_MS, producer(9, 0, 3)), 0);
    assert!(matches!(
        gap,
        Err(AppendError::Producer(ProducerError::OutOfOrderSequence {
            last_sequence: 1,
            sequence: 3,
            ..
        }))
    ));
    world.log.forget_producer_state();
    assert!(world.try_append(batch_from(1, 10, NOW_MS, producer(9, 0, 3)), 0).is_ok());
}

#[test]
fn producers_survive_a_clean_stop_a_kill_and_failover() {
    let config = small();
    let mut world = World::new(config.clone());
    for sequence in 0..12 {
        world.append(batch_from(1, 300, NOW_MS, producer(9, 0, sequence)), 0);
    }
    let batches = world.all();
    let retried = |mut world: World| {
        let again = world.append(batch_from(1, 300, NOW_MS, producer(9, 0, 11)), 1);
        assert!(again.duplicate);
        assert_eq!(again.base_offset, 11);
        let gap = world.try_append(batch_from(1, 300, NOW_MS, producer(9, 0, 13)), 1);
        assert!(matches!(gap, Err(AppendError::Producer(_))), "{gap:?}");
        world
    };
    let mut follower = World::new(config.clone());
    follower.log.append_as_follower(batches, &mut follower.io).expect("accepted");
    follower.run();
    retried(follower);
    let world = retried(world);
    let world = retried(World::on(world.close(), config.clone(), clean()));
    assert!(!world.opened().recovered, "the files of a clean stop are trusted");
    let world = retried(World::on(world.kill(), config, unclean()));
    assert!(world.opened().recovered);
}

#[test]
fn a_failed_operation_fails_the_log_for_good() {
    for (pattern, kind) in [
        ("Append topic-0/00000000000000000000.log", IoErrorKind::NoSpace),
        ("Sync topic-0/00000000000000000000.log", IoErrorKind::Other),
        ("Replace topic-0/leader-epoch-checkpoint", IoErrorKind::NoSpace),
    ] {
        let mut world = World::new(LogConfig { flush_messages: 1, ..small() });
        world.append(batch(1, 10, NOW_MS), 0);
        world.disk.fail(pattern, kind, 0);
        world.try_append(batch(1, 10, NOW_MS), 1).expect("accepted");
        world.try_append(batch(1, 10, NOW_MS), 1).expect("accepted");
        let pending = world.log.read(0, 1_000, i64::MAX, true, &mut world.io);
        world.run();
        let failures: Vec<&IoError> = world
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Failed(error) => Some(error),
                _ => None,
            })
            .collect();
        assert_eq!(failures.len(), 1, "{pattern}");
        assert_eq!(failures[0].kind, kind);
        if pattern.contains(".log") {
            assert_eq!(world.log.log_end_offset(), 1, "{pattern}");
        }
        let refused = world.try_append(batch(1, 10, NOW_MS), 0);
        assert!(matches!(refused, Err(AppendError::Failed(_))));
        assert!(matches!(pending, Read::Pending(_)));
        assert!(matches!(world.fetch(0, 100, i64::MAX), Err(ReadError::Io(_))));
        world.close();
    }
}

#[test]
fn a_closed_log_can_be_deleted_and_so_can_an_open_one() {
    let mut world = World::new(small());
    world.append(batch(1, 10, NOW_MS), 0);
    world.log.delete("topic-0.abc-delete", &mut world.io);
    assert_eq!(world.try_append(batch(1, 10, NOW_MS), 0), Err(AppendError::NotReady));
    world.run();
    assert!(matches!(world.events.last(), Some(Event::Deleted)));
    assert_eq!(world.disk.paths().count(), 0);
    assert_eq!(world.disk.open_files(), 0);

    let mut world = World::new(small());
    world.append(batch(1, 10, NOW_MS), 0);
    world.log.close(&mut world.io);
    world.log.delete("topic-0.abc-delete", &mut world.io);
    world.run();
    assert!(world.events.iter().any(|event| matches!(event, Event::Closed)));
    assert!(matches!(world.events.last(), Some(Event::Deleted)));
    assert_eq!(world.disk.paths().count(), 0);
}

#[test]
fn closing_while_opening_waits_for_the_opening() {
    let mut world = World::opening(MemoryDisk::new(), small(), clean());
    world.log.close(&mut world.io);
    world.run();
    assert!(matches!(world.events[..], [Event::Opened(_), Event::Closed]), "{:?}", world.events);
}

#[test]
fn retention_by_size_and_time_keeps_what_is_above_the_high_watermark() {
    let mut world = World::new(LogConfig { retention_bytes: 3_000, ..small() });
    for index in 0..20 {
        world.append(batch(3, 100, NOW_MS + index), index as i32);
    }
    world.log.maintain(NOW_MS, &mut world.io);
    world.run();
    assert_eq!(world.log.log_start_offset(), 0, "the high watermark is 0");
    world.log.set_high_watermark(i64::MAX);
    world.log.maintain(NOW_MS, &mut world.io);
    world.run();
    let start = world.log.log_start_offset();
    assert!(start > 0 && world.log.size_bytes() >= 3_000 && world.log.size_bytes() < 5_000);
    assert_eq!(world.log.epochs().earliest().map(|entry| entry.start_offset), Some(start));
    assert!(world.disk.paths().any(|path| path.ends_with(".log.deleted")));
    assert!(world.fetch(start - 1, 10, i64::MAX) == Err(ReadError::OutOfRange));
    world.log.maintain(NOW_MS + 60_000, &mut world.io);
    world.run();
    assert!(!world.disk.paths().any(|path| path.ends_with(".deleted")));

    let config = LogConfig { retention_ms: 1_000, ..world.log.config().clone() };
    world.log.update_config(config);
    for _ in 0..2 {
        world.log.maintain(NOW_MS + 2_000, &mut world.io);
        world.run();
    }
    assert_eq!(world.log.log_start_offset(), 60, "the active segment was rolled, and went");
    assert_eq!(world.log.size_bytes(), 0);
    world.append(batch(1, 10, NOW_MS), 21);
    let world = World::on(world.kill(), small(), unclean());
    assert_eq!((world.log.log_start_offset(), world.log.log_end_offset()), (60, 61));
}

#[test]
fn retention_leaves_the_name_that_says_where_the_log_ends() {
    // Whatever the process got done of what it wanted, in whatever order, before it was killed.
    for (choice, steps) in (0..9).flat_map(|choice| (0..40).map(move |steps| (choice, steps))) {
        let mut world = World::new(LogConfig { retention_ms: 1_000, ..small() });
        world.append(batch(3, 100, NOW_MS), 0);
        world.log.set_high_watermark(i64::MAX);
        for _ in 0..steps {
            world.log.maintain(NOW_MS + 2_000, &mut world.io);
            world.step(choice);
        }
        let world = World::on(world.kill(), small(), unclean());
        assert_eq!(world.log.log_end_offset(), 3, "{steps} steps, each the {choice}th");
    }
}

#[test]
fn retention_never_leaves_a_hole() {
    // Whatever was done, in whatever order, when the power went; and whichever segment's names had come to the disk.
    for (choice, steps) in (0..7).flat_map(|choice| (0..40).map(move |steps| (choice, steps))) {
        let mut world = World::new(LogConfig { retention_bytes: 0, ..small() });
        for index in 0..24 {
            world.append(batch(3, 100, NOW_MS + index), 0);
        }
        let bases: Vec<i64> = world.log.segments().map(|(base, _)| base).collect();
        assert!(bases.len() >= 4, "{bases:?}");
        world.log.request_sync(&mut world.io);
        world.run();
        world.log.set_high_watermark(i64::MAX);
        world.log.maintain(NOW_MS, &mut world.io);
        for _ in 0..steps {
            world.step(choice);
        }
        for base in bases {
            let mut disk = world.disk.clone();
            disk.power_cut_but(|name| name.contains(&format!("{base:020}")));
            let world = World::on(disk, small(), unclean());
            let end = world.log.log_end_offset();
            assert_eq!(end, 72, "{steps} steps, each the {choice}th, {base} renamed for good");
        }
    }
}

#[test]
fn retention_vouches_for_nothing_that_may_come_back() {
    for (choice, steps) in (0..7).flat_map(|choice| (0..150).map(move |steps| (choice, steps))) {
        let mut world = World::new(LogConfig { retention_bytes: 0, ..small() });
        for step in 0..steps {
            if step % 5 == 0 {
                world.try_append(batch(3, 100, NOW_MS), 0).expect("accepted");
                world.log.set_high_watermark(i64::MAX);
                world.log.maintain(NOW_MS, &mut world.io);
            }
            world.step(choice);
        }
        let vouched = world.log.synced_offset();
        let mut disk = world.disk.clone();
        disk.power_cut();
        let recovery = Recovery { recovery_point: Some(vouched), ..unclean() };
        let mut world = World::on(disk, small(), recovery);
        let end = world.log.log_end_offset();
        let read = world.all().last().map_or(0, |batch| batch.last_offset() + 1);
        assert!(end >= vouched, "{end} of {vouched}: {steps} steps, each the {choice}th");
        assert!(read == end || world.log.log_start_offset() == end, "{read} of {end}");
    }
}

#[test]
fn time_rolls_a_segment() {
    let mut world = World::new(LogConfig { segment_ms: 1_000, ..LogConfig::default() });
    world.append(batch(1, 10, NOW_MS), 0);
    world.append(batch(1, 10, NOW_MS + 1_000), 0);
    assert_eq!(world.log.segments().count(), 1);
    world.append(batch(1, 10, NOW_MS + 1_001), 0);
    assert_eq!(world.log.segments().count(), 2);
    world.log.maintain(NOW_MS + 5_000, &mut world.io);
    world.run();
    assert_eq!(world.log.segments().count(), 3);
    assert_eq!(world.all().len(), 3);
}

#[test]
fn an_open_transaction_holds_the_last_stable_offset_back() {
    let mut world = World::new(small());
    world.append(batch(2, 10, NOW_MS), 0);
    let mut builder = BatchBuilder::new(Compression::None).transactional();
    builder = builder.producer(Producer { id: 9, epoch: 3, base_sequence: 0 });
    builder.append(NOW_MS, None, Some(b"uncommitted"), &[]);
    world.append(Batch::new(builder.build(0, -1)).expect("built just now"), 0);
    world.append(batch(2, 10, NOW_MS), 0);
    world.log.set_high_watermark(5);
    assert_eq!(world.log.last_stable_offset(), 2);
    // A restart remembers it.
    let mut world = World::on(world.close(), small(), clean());
    world.log.set_high_watermark(5);
    assert_eq!(world.log.last_stable_offset(), 2);
    let marker = |epoch| {
        let commit = ControlRecord::Commit { coordinator_epoch: 7 };
        let batch = end_transaction_batch(&commit, 9, epoch, NOW_MS);
        vec![Batch::new(batch).expect("built just now")]
    };
    let (coordinator, unpack) = (Origin::Coordinator, &mut Decompressor::default());
    let refused =
        world.log.append_as_leader(NOW_MS, marker(2), 0, coordinator, unpack, &mut world.io);
    assert_eq!(refused.map_err(|error| error.error_code()), Err(ErrorCode::InvalidProducerEpoch));
    world
        .log
        .append_as_leader(NOW_MS, marker(3), 0, coordinator, unpack, &mut world.io)
        .expect("accepted");
    world.run();
    assert_eq!(world.log.last_stable_offset(), 2, "the marker is above the high watermark");
    world.log.set_high_watermark(6);
    assert_eq!(world.log.last_stable_offset(), 6);
    let world = World::on(world.kill(), small(), unclean());
    let known = world.log.producer_state().get(9).expect("known");
    assert_eq!((known.coordinator_epoch, known.current_txn_first_offset), (7, None));
}
