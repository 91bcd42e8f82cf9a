use super::*;
use generator::random::Random;
use std::collections::{BTreeMap, BTreeSet};

fn with(paths: &[&str]) -> Names {
    let mut names = Names::new();
    for path in paths {
        if let Some((directory, _)) = path.rsplit_once('/') {
            names.make_directories(directory).expect("a directory");
        }
        let spot = names.spot(path).expect("a place");
        names.make_file(spot);
    }
    names
}

fn sync_all(names: &mut Names) {
    for inode in names.directories.keys().copied().collect::<Vec<_>>() {
        names.sync(inode);
    }
    assert!(names.unsynced.is_empty());
}

fn paths(names: &Names) -> Vec<String> {
    let mut paths = Vec::new();
    names.each_file(&mut |path, _| paths.push(path.to_owned()));
    paths
}

/// What names there are after a power cut, over many seeds.
fn outcomes(names: &Names) -> BTreeSet<Vec<String>> {
    let outcome = |seed| {
        let mut random = Random::new(seed, "power");
        let mut names = names.clone();
        names.power_loss(&mut || random.below(2) == 0);
        paths(&names)
    };
    (0..300).map(outcome).collect()
}

fn sets(sets: &[&[&str]]) -> BTreeSet<Vec<String>> {
    sets.iter().map(|set| set.iter().map(|path| (*path).to_owned()).collect()).collect()
}

#[test]
fn a_rename_leaves_the_old_name_or_the_new() {
    let mut names = with(&["d/a", "d/b"]);
    sync_all(&mut names);
    names.rename("d/a", "d/c").expect("renamed");
    assert_eq!(outcomes(&names), sets(&[&["d/a", "d/b"], &["d/b", "d/c"]]));
    let over = |to| {
        let mut names = names.clone();
        let inode = names.file("d/c").expect("there");
        names.rename("d/c", to).expect("renamed");
        (names, inode)
    };
    let (names, inode) = over("d/b");
    assert_eq!(names.file("d/b"), Ok(inode));
    assert_eq!(
        outcomes(&names),
        sets(&[&["d/a", "d/b"], &["d/b", "d/c"], &["d/b"]]),
        "the second rename builds on the first"
    );
}

#[test]
fn what_was_made_may_be_missing_and_what_was_deleted_may_come_back() {
    let mut names = with(&["d/a"]);
    sync_all(&mut names);
    names.delete_file("d/a").expect("deleted");
    let spot = names.spot("d/b").expect("a place");
    names.make_file(spot);
    assert_eq!(outcomes(&names), sets(&[&["d/a"], &[], &["d/b"], &["d/a", "d/b"]]));
    names.sync(names.directory("d").expect("there"));
    assert_eq!(outcomes(&names), sets(&[&["d/b"]]));
}

#[test]
fn a_sync_covers_its_own_directory_and_no_other() {
    let mut names = with(&["d/a", "e/a"]);
    names.sync(ROOT);
    names.sync(names.directory("d").expect("there"));
    assert_eq!(outcomes(&names), sets(&[&["d/a", "e/a"], &["d/a"]]));
}

#[test]
fn one_name_can_be_made_durable_alone() {
    let mut names = with(&["a", "b.tmp"]);
    names.rename("b.tmp", "b").expect("renamed");
    let spot = names.spot("b").expect("a place");
    names.sync_name(&spot);
    assert_eq!(outcomes(&names), sets(&[&["a", "b"], &["b"]]));
}

#[test]
fn a_deleted_directory_may_come_back_with_some_of_its_files() {
    let mut names = with(&["d/a", "d/b"]);
    sync_all(&mut names);
    names.rename("d", "gone").expect("renamed");
    names.delete_directory("gone", &mut || true).expect("deleted");
    assert!(paths(&names).is_empty());
    let after = outcomes(&names);
    for some in [&["d/a", "d/b"][..], &["gone/a"], &["d/b"], &[]] {
        assert!(after.contains(&some.iter().map(|&path| path.to_owned()).collect::<Vec<_>>()));
    }
    names.sync(ROOT);
    assert_eq!(outcomes(&names), sets(&[&[]]), "its removal stands on that of what was in it");
}

#[test]
fn a_directory_does_not_take_along_what_was_moved_out_of_it() {
    let mut names = with(&["d/a", "e/b"]);
    sync_all(&mut names);
    names.rename("d/a", "e/a").expect("renamed");
    names.delete_directory("d", &mut || true).expect("deleted");
    assert_eq!(outcomes(&names), sets(&[&["d/a", "e/b"], &["e/a", "e/b"]]));
}

#[test]
fn a_tree_never_gets_a_loop() {
    let mut names = with(&["a/x", "b/y"]);
    sync_all(&mut names);
    for (from, to) in [("a", "b/a"), ("b/a", "a"), ("b", "a/b")] {
        names.rename(from, to).expect("renamed");
    }
    for after in outcomes(&names) {
        assert_eq!(after.len(), 2, "{after:?}");
    }
}

#[test]
fn linux_says_no() {
    let mut names = with(&["d/a", "d/e/b", "f"]);
    names.make_directories("empty").expect("made");
    let other = |result: Result<(), Trouble>| assert!(matches!(result, Err(Trouble::Other(_))));
    assert_eq!(names.rename("none", "x"), Err(Trouble::NotFound));
    assert_eq!(names.rename("f", "none/x"), Err(Trouble::NotFound));
    other(names.rename("f", "d"));
    other(names.rename("d", "f"));
    other(names.rename("empty", "d"));
    other(names.rename("d", "d/e/inside"));
    other(names.rename("f/x", "y"));
    other(names.delete_file("d"));
    other(names.delete_directory("f", &mut || true));
    other(names.make_directories("f/x"));
    assert_eq!(names.rename("d", "empty"), Ok(()));
    assert_eq!(paths(&names), ["empty/a", "empty/e/b", "f"]);
}

#[test]
fn what_nothing_leads_to_is_forgotten() {
    let mut names = with(&["d/a", "d/b"]);
    sync_all(&mut names);
    let inode = names.file("d/a").expect("there");
    names.delete_directory("d", &mut || true).expect("deleted");
    assert!(names.sweep().contains(&inode), "it may come back");
    names.sync(ROOT);
    assert!(!names.sweep().contains(&inode));
    assert_eq!(names.directories.len(), 1);
}

/// Random changes and syncs: a name that was not touched since its directory was synced is there, and each one that is
/// there was borne by just that file at some moment since.
#[test]
fn names_that_are_there_once_were() {
    const POOL: [&str; 6] = ["d/a", "d/b", "e/a", "e/b", "d/c", "e/c"];
    for seed in 0..2_000 {
        let mut random = Random::new(seed, "names");
        let mut names = with(&["d/a", "e/b"]);
        sync_all(&mut names);
        let mut borne: BTreeMap<&str, BTreeSet<Option<u64>>> = BTreeMap::new();
        let note = |names: &Names, borne: &mut BTreeMap<&str, BTreeSet<Option<u64>>>| {
            for path in POOL {
                borne.entry(path).or_default().insert(names.file(path).ok());
            }
        };
        note(&names, &mut borne);
        for _ in 0..random.below(12) {
            let path = POOL[random.below(6) as usize];
            let other = POOL[random.below(6) as usize];
            match random.below(6) {
                0 | 1 if names.file(path).is_err() => {
                    let spot = names.spot(path).expect("a place");
                    names.make_file(spot);
                }
                2 => drop(names.delete_file(path)),
                3 | 4 => drop(names.rename(path, other)),
                5 => {
                    let directory = &path[..1];
                    names.sync(names.directory(directory).expect("there"));
                    borne.retain(|path, _| !path.starts_with(directory));
                }
                _ => {}
            }
            note(&names, &mut borne);
        }
        names.power_loss(&mut || random.below(2) == 0);
        let mut found = BTreeSet::new();
        for path in POOL {
            let file = names.file(path).ok();
            assert!(borne[path].contains(&file), "seed {seed}: {path} is {file:?}: {borne:?}");
            assert!(file.is_none_or(|file| found.insert(file)), "seed {seed}: two names for one");
        }
    }
}
