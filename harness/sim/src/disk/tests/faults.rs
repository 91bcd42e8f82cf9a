//! Errors, full and slow disks, rot.

use super::*;

const DATA: Bytes = Bytes::from_static(b"data");

#[test]
fn a_write_that_fails_may_come_part_of_the_way_and_poisons_the_file() {
    let mut lens = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let mut rig = rig(seed);
        rig.done(open(1, "a"));
        assert!(!rig.disk.is_failing());
        rig.disk.fail_next(FailingOp::Write);
        assert!(rig.disk.is_failing());
        assert_eq!(rig.fails(append(1, 0, "text")), IoErrorKind::Other);
        assert!(!rig.disk.is_failing());
        lens.insert(rig.text("a").unwrap().len());
        assert!("text".starts_with(&rig.text("a").unwrap()));
        assert_eq!(rig.fails(append(1, 0, "text")), IoErrorKind::Poisoned);
        assert_eq!(rig.fails(sync(1)), IoErrorKind::Poisoned);
        rig.done(IoOp::Close { file: FileId(1) });
        rig.done(open(2, "a"));
        rig.done(sync(2));
        assert_eq!(rig.disk.stats().writes_failed, 1);
    }
    assert!(lens.contains(&0) && lens.contains(&3), "{lens:?}");
}

#[test]
fn each_kind_of_failure_hits_the_next_operation_of_its_kind_once() {
    let mut rig = rig(1);
    rig.done(open(1, "a"));
    let read = || IoOp::Read { file: FileId(1), at: 0, len: 4 };
    rig.disk.fail_next(FailingOp::Read);
    rig.done(append(1, 0, "text"));
    rig.done(sync(1));
    assert_eq!(rig.fails(read()), IoErrorKind::Other);
    rig.done(IoOp::Close { file: FileId(1) });
    rig.done(open(1, "a"));
    assert!(matches!(rig.run(read()), IoResult::Data(_)));
    rig.disk.fail_next(FailingOp::Write);
    assert_eq!(rig.fails(replace("state", "new")), IoErrorKind::Other);
    assert_eq!(rig.text("state"), None);
    assert!(rig.text("state.tmp").is_some(), "a stray is left");
    rig.done(replace("state", "new"));
    assert_eq!(rig.disk.paths(), ["a", "state"]);
    rig.disk.fail_next(FailingOp::Write);
    rig.disk.heal(rig.now_ns);
    rig.done(append(1, 4, "more"));
}

#[test]
fn a_failed_sync_loses_the_dirty_pages_and_the_next_succeeds() {
    let mut rig = rig(1);
    rig.done(open(1, "a"));
    rig.done(append(1, 0, "safe"));
    rig.done(sync(1));
    rig.done(append(1, 4, "lost"));
    rig.disk.fail_next(FailingOp::Sync);
    assert_eq!(rig.fails(sync(1)), IoErrorKind::Other);
    assert_eq!(rig.text("a").as_deref(), Some("safe\0\0\0\0"));
    rig.disk.kill();
    rig.done(open(2, "a"));
    rig.done(sync(2));
    assert_eq!(rig.disk.stats().syncs_failed, 1);
    assert_eq!(rig.disk.durable_content("a").unwrap(), "safe\0\0\0\0");
}

#[test]
fn a_full_disk_takes_nothing_new_but_lets_old_bytes_be_changed() {
    let mut rig = rig(1);
    for (file, path) in [(1, "a"), (2, "b"), (3, "c")] {
        rig.done(open(file, path));
        rig.done(append(file, 0, "text"));
    }
    rig.disk.set_full(true);
    rig.done(IoOp::WriteAt { file: FileId(1), at: 0, data: DATA });
    rig.done(IoOp::Truncate { file: FileId(1), len: 2 });
    rig.done(open(4, "a"));
    assert_eq!(rig.text("a").as_deref(), Some("da"));
    assert_eq!(rig.fails(append(1, 2, "text")), IoErrorKind::NoSpace);
    let write = IoOp::WriteAt { file: FileId(2), at: 2, data: DATA };
    assert_eq!(rig.fails(write), IoErrorKind::NoSpace);
    assert_eq!(rig.fails(IoOp::Truncate { file: FileId(3), len: 9 }), IoErrorKind::NoSpace);
    assert_eq!(rig.fails(open(5, "new")), IoErrorKind::NoSpace);
    assert_eq!(rig.fails(replace("new", "text")), IoErrorKind::NoSpace);
    assert_eq!(rig.fails(IoOp::CreateDir { path: "d".to_owned() }), IoErrorKind::NoSpace);
    rig.done(IoOp::Delete { path: "b".to_owned() });
    assert_eq!(rig.disk.stats().no_space, 6);
    rig.disk.set_full(false);
    rig.done(open(5, "new"));
}

#[test]
fn a_disk_that_is_fast_again_is_soon_done_with_its_backlog() {
    let mut rig = rig(1);
    rig.done(open(1, "a"));
    rig.disk.slow(rig.now_ns, Some(1_000));
    let tokens: Vec<Token> = (0..50).map(|n| rig.submit(append(1, 4 * n, "text"))).collect();
    let mut done = Vec::new();
    let first_ns = rig.disk.next_ns().expect("a backlog");
    rig.disk.advance(first_ns, &mut done);
    rig.disk.slow(first_ns, None);
    while let Some(next_ns) = rig.disk.next_ns() {
        assert!(next_ns < first_ns + 100_000_000, "{next_ns}");
        rig.disk.advance(next_ns, &mut done);
    }
    assert!(done.iter().map(|(token, _)| token).eq(&tokens));
}

#[test]
fn rot_spares_the_leader_epochs_which_no_checksum_covers() {
    // Two batches: a base offset, a length, and that much.
    let batch =
        |length: u32| [&[7; 8][..], &length.to_be_bytes(), &vec![7; length as usize]].concat();
    let log = [batch(60), batch(9)].concat();
    let spared: Vec<usize> =
        (0..log.len()).filter(|&at| is_in_leader_epoch(&log[..at], at as u64)).collect();
    assert_eq!(spared, [12, 13, 14, 15, 84, 85, 86, 87]);
}

#[test]
fn a_slow_disk_takes_longer_and_a_stalled_one_longer_still() {
    let took_ns = |settings, factor| {
        let mut rig = rig_with(settings, 1);
        rig.disk.slow(rig.now_ns, factor);
        (0..200).for_each(|n| rig.done(replace("a", &n.to_string())));
        rig.disk.heal(rig.now_ns);
        let before_ns = rig.now_ns;
        (0..200).for_each(|n| rig.done(replace("a", &n.to_string())));
        (before_ns, rig.now_ns - before_ns, rig.disk.stats().stalls)
    };
    let (usual_ns, _, stalls) = took_ns(SETTINGS, None);
    assert!((60_000_000..150_000_000).contains(&usual_ns), "{usual_ns}");
    assert_eq!(stalls, 0);
    assert_eq!(took_ns(SETTINGS, Some(7)).0, usual_ns * 7);
    let stalling = scenario::Disk { stall_per_million: 500_000, stall_ms_max: 100, ..SETTINGS };
    let (stalled_ns, healed_ns, stalls) = took_ns(stalling, None);
    assert!((50..150).contains(&stalls) && stalled_ns > stalls * 30_000_000, "{stalled_ns}");
    assert!(healed_ns < 150_000_000, "{healed_ns}");
}

#[test]
fn rot_flips_one_bit_of_a_log_that_is_synced() {
    let mut random = Random::new(1, "rot");
    let mut rig = rig(1);
    assert_eq!(rig.disk.rot(&mut random), None);
    for (file, path) in [(1, "a.index"), (2, "dirty.log"), (3, "clean.log")] {
        rig.done(open(file, path));
        rig.done(append(file, 0, &"x".repeat(9_000)));
    }
    rig.done(sync(1));
    assert_eq!(rig.disk.rot(&mut random), None, "indexes are rebuilt; dirty pages are in memory");
    rig.done(sync(3));
    let (path, at) = rig.disk.rot(&mut random).expect("there is a log to rot");
    assert_eq!(path, "clean.log");
    let after = rig.disk.content(&path).unwrap();
    let hit: Vec<usize> = (0..9_000).filter(|&index| after[index] != b'x').collect();
    assert_eq!(hit, [at as usize]);
    assert_eq!((after[hit[0]] ^ b'x').count_ones(), 1);
    rig.disk.power_loss();
    assert_eq!(rig.disk.content(&path).unwrap(), after);
}

#[test]
fn paths_that_lead_out_are_refused() {
    let mut rig = rig(1);
    for path in ["../a", "/a", "d/../../a"] {
        assert_eq!(rig.fails(open(1, path)), IoErrorKind::Other);
        assert_eq!(rig.fails(replace(path, "text")), IoErrorKind::Other);
        rig.submit(replace(path, "text"));
        rig.disk.kill();
    }
    assert!(rig.disk.paths().is_empty());
}
