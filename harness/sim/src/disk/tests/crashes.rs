//! Kills and power losses.

use super::*;
use std::collections::BTreeSet;

/// What `look` sees after a crash, over many seeds.
fn outcomes<T: Ord>(before: impl Fn(&mut Rig), look: impl Fn(&mut Rig) -> T) -> BTreeSet<T> {
    let outcome = |seed| {
        let mut rig = rig(seed);
        before(&mut rig);
        look(&mut rig)
    };
    (0..300).map(outcome).collect()
}

fn texts(rig: &Rig) -> Vec<(String, String)> {
    rig.disk.paths().into_iter().map(|path| (path.clone(), rig.text(&path).unwrap())).collect()
}

#[test]
fn a_kill_keeps_the_cache_and_closes_what_was_open() {
    let mut rig = rig(1);
    rig.done(open(1, "a"));
    rig.done(append(1, 0, "unsynced"));
    assert_eq!(rig.disk.unsynced_bytes(), 8);
    rig.disk.kill();
    assert_eq!(rig.text("a").as_deref(), Some("unsynced"));
    assert_eq!(rig.fails(append(1, 8, "more")), IoErrorKind::Poisoned);
    assert!(matches!(rig.run(open(1, "a")), IoResult::Opened { len: 8 }));
}

#[test]
fn a_killed_process_leaves_a_prefix_of_its_writes_to_a_file() {
    let before = |rig: &mut Rig| {
        rig.done(open(1, "a"));
        rig.submit(append(1, 0, "abcd"));
        rig.submit(append(1, 4, "efgh"));
        rig.disk.kill();
        assert_eq!(rig.disk.in_process_ops(), 0);
        assert!(rig.finish().is_empty(), "nobody is there to be answered");
    };
    let after = outcomes(before, |rig| rig.text("a").unwrap());
    assert!(after.iter().all(|text| "abcdefgh".starts_with(text.as_str())));
    for len in [0, 2, 4, 6, 8] {
        assert!(after.contains(&"abcdefgh"[..len]), "never {len} bytes");
    }
}

#[test]
fn a_replacement_under_way_leaves_the_old_or_the_new_and_perhaps_a_stray() {
    let before = |rig: &mut Rig| {
        rig.done(replace("state", "old"));
        rig.submit(replace("state", "new"));
    };
    for lose_power in [false, true] {
        let after = outcomes(before, |rig| {
            if lose_power {
                rig.disk.power_loss();
            } else {
                rig.disk.kill();
            }
            (rig.text("state").unwrap(), rig.disk.content("state.tmp").is_some())
        });
        assert!(after.iter().all(|(text, _)| text == "old" || text == "new"), "{after:?}");
        assert!(after.contains(&("old".to_owned(), false)));
        assert!(after.contains(&("old".to_owned(), true)));
        assert!(after.contains(&("new".to_owned(), false)));
    }
}

#[test]
fn a_replacement_that_was_answered_is_durable() {
    let after = outcomes(
        |rig| {
            rig.done(replace("state", "old"));
            rig.done(replace("state", "new"));
            rig.disk.power_loss();
        },
        |rig| texts(rig),
    );
    assert_eq!(after, BTreeSet::from([vec![("state".to_owned(), "new".to_owned())]]));
}

#[test]
fn synced_bytes_are_of_no_use_without_a_name() {
    let before = |rig: &mut Rig| {
        rig.done(IoOp::CreateDir { path: "d".to_owned() });
        rig.done(open(1, "d/a"));
        rig.done(append(1, 0, "synced"));
        rig.done(sync(1));
    };
    let lose = |rig: &mut Rig| {
        rig.disk.power_loss();
        rig.text("d/a")
    };
    let there = Some("synced".to_owned());
    assert_eq!(outcomes(before, lose), BTreeSet::from([None, there.clone()]));
    let named = |rig: &mut Rig| {
        before(rig);
        rig.done(IoOp::SyncDir { path: "d".to_owned() });
    };
    assert_eq!(outcomes(named, lose), BTreeSet::from([there]));
}

#[test]
fn a_name_without_synced_bytes_is_of_no_use_either() {
    let before = |rig: &mut Rig| {
        rig.done(open(1, "a"));
        rig.done(append(1, 0, "unsynced"));
        rig.done(IoOp::SyncDir { path: String::new() });
    };
    let after = outcomes(before, |rig| {
        rig.disk.power_loss();
        rig.text("a").unwrap()
    });
    let zeros = "\0".repeat(8);
    assert_eq!(after, [String::new(), "unsynced".to_owned(), zeros].into_iter().collect());
}

#[test]
fn a_made_directory_stays_and_its_parents_may_not() {
    let before = |rig: &mut Rig| {
        rig.done(IoOp::CreateDir { path: "d".to_owned() });
        rig.done(IoOp::CreateDir { path: "e/f".to_owned() });
        rig.disk.power_loss();
    };
    let after = outcomes(before, |rig| {
        let mut listed = |dir: &str| match rig.run(IoOp::List { dir: dir.to_owned() }) {
            IoResult::Listed(entries) => entries.into_iter().map(|entry| entry.name).collect(),
            _ => Vec::new(),
        };
        (listed(""), listed("e"))
    });
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let expected = [(names(&["d"]), names(&[])), (names(&["d", "e"]), names(&["f"]))];
    assert_eq!(after, expected.into_iter().collect());
}

#[test]
fn a_directory_whose_deletion_was_under_way_may_be_half_there() {
    let before = |rig: &mut Rig| {
        rig.done(IoOp::CreateDir { path: "d".to_owned() });
        for (file, path) in [(1, "d/a"), (2, "d/b")] {
            rig.done(open(file, path));
        }
        rig.submit(IoOp::DeleteDir { path: "d".to_owned() });
        rig.disk.kill();
    };
    let after = outcomes(before, |rig| rig.disk.paths());
    assert_eq!(after.len(), 4, "{after:?}");
}

/// Random work: whatever a completed sync covered is there after the power comes back.
#[test]
fn what_was_synced_and_named_survives() {
    for seed in 0..400 {
        let mut random = Random::new(seed, "work");
        let mut rig = rig(seed);
        let mut logs: Vec<(String, String)> = Vec::new();
        let mut safe: Vec<usize> = Vec::new();
        for _ in 0..random.below(40) + 5 {
            match random.below(6) {
                0 if logs.len() < 4 => {
                    rig.done(open(logs.len() as u64, &format!("{}.log", logs.len())));
                    rig.done(IoOp::SyncDir { path: String::new() });
                    logs.push((format!("{}.log", logs.len()), String::new()));
                    safe.push(0);
                }
                1..=4 if !logs.is_empty() => {
                    let index = random.below(logs.len() as u64) as usize;
                    let text = ["a", "b", "c"][random.below(3) as usize]
                        .repeat(random.below(900) as usize);
                    rig.done(append(index as u64, logs[index].1.len() as u64, &text));
                    logs[index].1.push_str(&text);
                }
                5 if !logs.is_empty() => {
                    let index = random.below(logs.len() as u64) as usize;
                    rig.done(sync(index as u64));
                    safe[index] = logs[index].1.len();
                }
                _ => {}
            }
        }
        for (index, (_, text)) in logs.iter().enumerate() {
            rig.submit(append(index as u64, text.len() as u64, &"z".repeat(700)));
            rig.submit(sync(index as u64));
        }
        rig.disk.power_loss();
        assert_eq!(rig.disk.unsynced_bytes(), 0);
        for ((path, text), safe) in logs.iter().zip(safe) {
            let after = rig.text(path).expect("its name was synced");
            assert_eq!(after[..safe], text[..safe], "seed {seed}");
            assert!(after.len() <= text.len() + 700);
        }
    }
}

#[test]
fn the_toll_is_counted() {
    let mut torn = 0;
    for seed in 0..50 {
        let mut rig = rig(seed);
        rig.done(open(1, "a"));
        rig.done(IoOp::SyncDir { path: String::new() });
        rig.done(append(1, 0, &"x".repeat(5_120)));
        rig.done(open(2, "b"));
        rig.disk.power_loss();
        let stats = rig.disk.stats();
        assert_eq!(stats.sectors_kept + stats.sectors_lost, 10);
        assert_eq!(stats.names_kept + stats.names_lost, 1);
        torn += stats.torn_writes;
    }
    assert!(torn > 5, "{torn}");
}
