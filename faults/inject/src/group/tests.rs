//! Where groups are found on machines of both kinds, and what a real group does to a process of this test's own.

use super::*;
use crate::undo::tests::eventually;
use std::process::{Child, Command, Stdio};

#[test]
fn both_versions_are_found_and_one_that_only_names_groups_is_not() {
    let v1 = "30 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
              31 29 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
              32 29 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
    let (cpu, memory) = ("/sys/fs/cgroup/cpu,cpuacct".into(), "/sys/fs/cgroup/memory".into());
    assert_eq!(Hierarchy::among(v1), Some(Hierarchy::V1 { cpu, memory }));
    let v2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    let root = "/sys/fs/cgroup".into();
    assert_eq!(Hierarchy::among(v2), Some(Hierarchy::V2 { root }));
    let names = "33 29 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n";
    assert_eq!(Hierarchy::among(names), None);
    assert_eq!(Hierarchy::among(""), None);
}

#[test]
fn a_number_is_found_by_its_whole_word() {
    let text = "nr_periods 12\nnr_throttled 3\nthrottled_time 9\n";
    assert_eq!((number(text, "nr_periods"), number(text, "nr_throttled")), (12, 3));
    assert_eq!((number(text, "nr"), number(text, "absent")), (0, 0));
}

/// A group of this test's own; none where that needs more rights.
pub(crate) fn group(name: &str) -> Option<Group> {
    if let Err(why) = can_make() {
        eprintln!("skipped: {why}");
        return None;
    }
    let hierarchy = Hierarchy::find().expect("there is one");
    Some(
        Group::make(hierarchy, &format!("highwater-test-{}-{name}", std::process::id()))
            .expect("a group"),
    )
}

#[test]
fn a_group_that_is_made_in_part_or_forgotten_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (cpu, memory) = (directory.path().join("cpu"), directory.path().join("memory"));
    fs::create_dir(&cpu).expect("made");
    let hierarchy = Hierarchy::V1 { cpu: cpu.clone(), memory: memory.clone() };
    assert!(Group::make(hierarchy.clone(), "g").is_err(), "half of the hierarchy is not there");
    assert!(!cpu.join("g").exists());
    fs::create_dir(&memory).expect("made");
    drop(Group::make(hierarchy.clone(), "g").expect("made"));
    assert!(!cpu.join("g").exists() && !memory.join("g").exists());
    // Somebody else's of the same name stays.
    fs::create_dir(memory.join("g")).expect("made");
    assert!(Group::make(hierarchy, "g").is_err());
    assert!(!cpu.join("g").exists() && memory.join("g").exists());
}

fn child(script: &str) -> Child {
    Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().expect("a shell")
}

#[test]
fn a_process_that_spins_is_held_back_and_then_no_more() {
    let Some(group) = group("spins") else { return };
    let mut spinning = child("while :; do :; done");
    let process = Process::of(spinning.id()).expect("it runs");
    assert!(!group.holds(&process).expect("readable"));
    group.adopt(spinning.id()).expect("adopted");
    assert!(group.holds(&process).expect("readable"));
    assert_eq!(group.cpu_limit().expect("readable"), None);
    group.limit_cpu(Some(20)).expect("limited");
    assert_eq!(group.cpu_limit().expect("readable"), Some(20));
    eventually(|| group.cpu_use().expect("readable").throttled > 3);
    group.limit_cpu(None).expect("lifted");
    assert_eq!(group.cpu_limit().expect("readable"), None);
    // A period that had begun may end held back; no other does.
    let before = group.cpu_use().expect("readable").throttled;
    let ran_ns = process.cpu_ns().expect("Linux tells");
    eventually(|| process.cpu_ns().expect("Linux tells") > ran_ns + 1_000_000_000);
    assert!(group.cpu_use().expect("readable").throttled <= before + 1);
    spinning.kill().and_then(|()| spinning.wait().map(|_| ())).expect("a child of ours");
    group.remove().expect("nobody is in it");
}

#[test]
fn a_process_without_memory_is_killed_and_counted() {
    let Some(group) = group("starves") else { return };
    group.limit_memory(Some(8 << 20)).expect("limited");
    assert_eq!(group.memory_limit().expect("readable"), Some(8 << 20));
    // It waits for a line, so that it takes its memory as one of the group.
    let mut eating = child("read line; head -c 100000000 /dev/zero | tail | wc -c");
    group.adopt(eating.id()).expect("adopted");
    drop(eating.stdin.take());
    eating.wait().expect("a child of ours");
    let met = group.memory_use().expect("readable");
    assert!(met.hits > 0 && met.killed > 0, "{met:?}");
    group.limit_memory(None).expect("lifted");
    assert_eq!(group.memory_limit().expect("readable"), None);
    group.remove().expect("nobody is in it");
}
