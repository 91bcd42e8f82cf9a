//! Random histories against a model: appends, cuts, rolls, restarts of all kinds, with completions in any order that
//! the storage seam allows.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    Append { count: usize, bytes: usize, new_epoch: bool },
    Truncate { back: i64 },
    Restart { forward: i64 },
    Read { back: i64 },
    Sync,
    Maintain,
    HighWatermark { back: i64 },
    Steps { choices: Vec<usize> },
    Close,
    Kill,
    PowerCut,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        10 => (1..4usize, 0..120usize, prop::bool::weighted(0.2))
            .prop_map(|(count, bytes, new_epoch)| Action::Append { count, bytes, new_epoch }),
        2 => (0..30i64).prop_map(|back| Action::Truncate { back }),
        1 => (0..20i64).prop_map(|forward| Action::Restart { forward }),
        3 => (0..40i64).prop_map(|back| Action::Read { back }),
        1 => Just(Action::Sync),
        1 => Just(Action::Maintain),
        2 => (0..10i64).prop_map(|back| Action::HighWatermark { back }),
        6 => prop::collection::vec(0..50usize, 0..30).prop_map(|choices| Action::Steps { choices }),
        1 => Just(Action::Close),
        1 => Just(Action::Kill),
        1 => Just(Action::PowerCut),
    ];
    prop::collection::vec(action, 1..60)
}

/// What the log should hold.
struct Model {
    batches: Vec<Batch>,
    /// What it held before a cut that is not known to be complete.
    uncut: Option<Vec<Batch>>,
    epoch: i32,
    sequence: i32,
}

impl Model {
    fn end(&self, start: i64) -> i64 {
        self.batches.last().map_or(start, |batch| batch.last_offset() + 1)
    }
}

fn play(config: &LogConfig, actions: &[Action]) {
    let mut world = World::new(config.clone());
    let mut model = Model { batches: Vec::new(), uncut: None, epoch: 0, sequence: 0 };
    for action in actions {
        match action {
            Action::Append { count, bytes, new_epoch } => {
                model.epoch += i32::from(*new_epoch);
                let from = producer(5, 0, model.sequence);
                let sent = batch_from(*count, *bytes, NOW_MS, from);
                if let Ok(appended) = world.try_append(sent.clone(), model.epoch) {
                    let mut sent = sent;
                    sent.assign(appended.base_offset, model.epoch);
                    model.batches.push(sent);
                    model.sequence += *count as i32;
                }
            }
            Action::Truncate { back } => {
                let offset = (world.log.next_offset() - back).max(0);
                if world.log.is_ready() {
                    world.log.set_high_watermark(offset.min(world.log.high_watermark()));
                    let before = model.batches.clone();
                    if world.log.truncate_to(offset, &mut world.io) {
                        model.uncut = Some(before);
                        cut(&mut model, offset);
                    }
                }
            }
            Action::Restart { forward } => {
                let offset = world.log.next_offset() + forward;
                if world.log.is_ready() {
                    assert!(world.log.truncate_fully_and_start_at(offset, &mut world.io));
                    model.batches.clear();
                    world.run();
                }
            }
            Action::Read { back } => {
                let from = world.log.next_offset() - back;
                let _ = world.log.read(from, 500, i64::MAX, true, &mut world.io);
                let _ = world.log.offset_for_timestamp(NOW_MS, i64::MAX, &mut world.io);
            }
            Action::Sync => world.log.sync(&mut world.io),
            Action::Maintain => world.log.maintain(NOW_MS, &mut world.io),
            Action::HighWatermark { back } => {
                let offset = world.log.log_end_offset() - back;
                world.log.set_high_watermark(offset.max(world.log.high_watermark()));
            }
            Action::Steps { choices } => {
                for &choice in choices {
                    world.step(choice);
                    check_reads(&mut world, &model);
                }
            }
            Action::Close | Action::Kill | Action::PowerCut => {
                world = reopen(world, config, action, &mut model);
            }
        }
        if world.log.is_ready() {
            model.uncut = None;
        }
        assert!(world.log.failure().is_none(), "{:?}", world.log.failure());
        assert!(world.log.synced_offset() <= world.log.log_end_offset());
    }
    world.run();
    check_all(&mut world, &model);
}

fn cut(model: &mut Model, offset: i64) {
    while model.batches.last().is_some_and(|batch| batch.last_offset() >= offset) {
        let batch = model.batches.pop().expect("looked at above");
        model.sequence = batch.header().base_sequence;
    }
    if let Some(last) = model.batches.last() {
        model.sequence = last.header().last_sequence().expect("all have a producer") + 1;
    }
}

fn reopen(mut world: World, config: &LogConfig, how: &Action, model: &mut Model) -> World {
    if matches!(how, Action::Close) {
        let disk = world.close();
        let mut world = World::on(disk, config.clone(), clean());
        check_all(&mut world, model);
        return world;
    }
    let cut_end = model.end(world.log.log_start_offset());
    if let Some(uncut) = model.uncut.take() {
        // Whether the cut was made, or how much of it, is open.
        model.batches = uncut;
    }
    let recovery_point = Some(world.log.synced_offset());
    let durable_end = match how {
        _ if config.flush_messages == 1 => world.log.log_end_offset(),
        Action::Kill => world.log.log_end_offset(),
        _ => world.log.synced_offset(),
    };
    let durable_end = durable_end.min(cut_end);
    // Leaders recover their log start offset from its checkpoint.
    let log_start_offset = Some(world.log.log_start_offset());
    if matches!(how, Action::Kill) {
        world.disk.kill()
    } else {
        world.disk.power_cut()
    }
    let recovery = Recovery { clean: false, recovery_point, log_start_offset };
    let mut world = World::on(world.disk, config.clone(), recovery);
    let end = world.log.log_end_offset();
    assert!(end >= durable_end, "{how:?} left {end}, {durable_end} was durable");
    cut(model, end);
    // A cut below the first segment starts over: the first segments may be gone already.
    let start = world.log.log_start_offset();
    model.batches.retain(|batch| batch.last_offset() >= start);
    check_all(&mut world, model);
    world
}

/// What is read is what the log holds at the time it is told, cut or not.
fn check_reads(world: &mut World, model: &Model) {
    for event in std::mem::take(&mut world.events) {
        let Event::Read { result: Ok(data), .. } = event else { continue };
        for found in split_batches(whole(&data)).expect("whole batches") {
            let base_offset = found.base_offset();
            let expected = model.batches.iter().find(|batch| batch.base_offset() == base_offset);
            assert_eq!(Some(found.to_contiguous()), expected.map(Batch::to_contiguous));
        }
    }
    if world.log.is_ready() {
        assert_eq!(world.log.next_offset(), model.end(world.log.next_offset()));
    }
}

fn check_all(world: &mut World, model: &Model) {
    let start = world.log.log_start_offset();
    assert_eq!(world.log.log_end_offset(), model.end(start));
    let expected: Vec<Batch> =
        model.batches.iter().filter(|batch| batch.last_offset() >= start).cloned().collect();
    assert_same(&world.all(), &expected);
    if let Some(last) = expected.last() {
        let known = world.log.producer_state().get(5).map(|entry| entry.last_sequence());
        assert_eq!(known, last.header().last_sequence());
        let epoch = Some(last.header().partition_leader_epoch);
        assert_eq!(world.log.latest_epoch(), epoch);
    }
    for epoch in world.log.epochs().entries() {
        let first = expected
            .iter()
            .find(|batch| batch.header().partition_leader_epoch >= epoch.epoch)
            .map_or(world.log.next_offset(), Batch::base_offset);
        assert_eq!(epoch.start_offset.max(start), first.max(start));
    }
    world.check_indexes();
    world.events.clear();
}

/// A longer search, as `HIGHWATER_CHAOS_CASES=200000 cargo test -p highwater-log chaos`.
fn cases() -> u32 {
    let asked = std::env::var("HIGHWATER_CHAOS_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_holds_what_its_history_says(
        actions in actions(),
        flush_messages in prop_oneof![Just(1u64), Just(3), Just(u64::MAX)],
        segment_bytes in prop_oneof![Just(400u32), Just(1_000), Just(1 << 20)],
        tail_cache_bytes in prop_oneof![Just(0u32), Just(600)],
    ) {
        let config = LogConfig {
            flush_messages,
            segment_bytes,
            tail_cache_bytes,
            index_interval_bytes: 150,
            ..LogConfig::default()
        };
        play(&config, &actions);
    }
}
