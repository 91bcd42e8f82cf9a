//! Deeds on disks and files, stacked and one by one, on children that sleep and never touch their data.

use super::tests::{Sleepers, probed_of};
use super::*;
use crate::net::separate_mounts;
use plan::files::{Operation, Pattern};
use plan::units::{Bytes, Millis};
use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

fn inject(fault: u32, deed: Deed) -> Action {
    Action::Inject { fault, node: "n1".to_string(), deed, peers: Vec::new() }
}

fn heal(fault: u32) -> Action {
    Action::Heal { fault, node: "n1".to_string() }
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("short")
}

#[track_caller]
fn done(injector: &mut Injector, nodes: &mut Sleepers, action: Action) {
    let answer = injector.act(&action, nodes);
    assert!(matches!(answer, Event::Done { .. }), "{answer:?}");
}

/// Heals until it was carried out: a process has to be gone first.
fn healed(injector: &mut Injector, nodes: &mut Sleepers, fault: u32) {
    while !matches!(injector.act(&heal(fault), nodes), Event::Done { .. }) {
        std::thread::yield_now();
    }
}

/// Files of a node, but for its `meta.properties`.
fn files(data: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for directory in fs::read_dir(data).expect("a directory").map(|entry| entry.expect("one")) {
        if directory.path().is_dir() {
            for file in fs::read_dir(directory.path()).expect("a directory").flatten() {
                let name =
                    format!("{}/{}", directory.file_name().display(), file.file_name().display());
                files.push((name, fs::read(file.path()).expect("a file")));
            }
        }
    }
    files.sort();
    files
}

fn with_logs() -> Sleepers {
    let nodes = Sleepers::new(&["n1"]);
    let data = nodes.data_dir("n1");
    for (directory, file, bytes) in [
        ("topic-0", "00000000000000000000.log", 500),
        ("topic-0", "00000000000000000100.log", 300),
        ("topic-0", "00000000000000000100.index", 80),
        ("topic-1", "00000000000000000000.log", 40),
        ("__cluster_metadata-0", "00000000000000000000.log", 700),
    ] {
        fs::create_dir_all(data.join(directory)).expect("made");
        fs::write(data.join(directory).join(file), vec![0x55; bytes]).expect("written");
    }
    nodes
}

#[test]
fn bits_flip_in_the_files_of_the_pattern_and_nowhere_else() {
    let flip = |bits| {
        let mut nodes = with_logs();
        let mut injector = Injector::new(nodes.undo(), 1);
        let before = files(&nodes.data_dir("n1"));
        let deed = Deed::BitFlip { path: pattern("topic-*.log"), bits };
        done(&mut injector, &mut nodes, inject(1, deed));
        let evidence = probed_of(1, &mut injector, &mut nodes, Expect::InEffect);
        // Looked at again it is not done again.
        assert_eq!(probed_of(1, &mut injector, &mut nodes, Expect::InEffect), evidence);
        let after = files(&nodes.data_dir("n1"));
        healed(&mut injector, &mut nodes, 1);
        let over = probed_of(1, &mut injector, &mut nodes, Expect::Over);
        assert!(over.starts_with("pid ") && over.contains(" runs"), "{over}");
        let mut flipped = 0;
        for ((name, before), (_, after)) in before.iter().zip(&after) {
            let here: u32 = before.iter().zip(after).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!(before.len(), after.len());
            assert!(here == 0 || (name.starts_with("topic-") && name.ends_with(".log")), "{name}");
            flipped += here;
        }
        (evidence, flipped, after)
    };
    let (evidence, flipped, _) = flip(1);
    assert_eq!(flipped, 1, "{evidence}");
    assert!(evidence.contains(": byte ") && evidence.contains(" was 0x55, is 0x"), "{evidence}");
    let (_, flipped, after) = flip(9);
    // Twice the same one is as it was.
    assert!(flipped <= 9 && flipped % 2 == 1, "{flipped}");
    assert_eq!(flip(9).2, after, "the same fault on the same files does the same");
}

#[test]
fn what_a_dead_node_was_still_sending_arrives_as_it_was() {
    let cut = Deed::TruncateTail { path: pattern("topic-0/*.log"), bytes: Bytes(100) };
    let flip = Deed::BitFlip { path: pattern("topic-0/*100.log"), bits: 1 };
    for deed in [cut, flip] {
        let mut nodes = with_logs();
        let mut injector = Injector::new(nodes.undo(), 1);
        let log = nodes.data_dir("n1").join("topic-0").join("00000000000000000100.log");
        // What sendfile(2) has taken are the file's own pages.
        let here = TcpListener::bind("127.0.0.1:0").expect("bound");
        let mut there =
            TcpStream::connect(here.local_addr().expect("its address")).expect("connected");
        let (from, _) = here.accept().expect("accepted");
        let file = fs::File::open(&log).expect("opened");
        assert_eq!(rustix::fs::sendfile(&from, &file, None, 300).expect("sent"), 300);
        drop((file, from));
        done(&mut injector, &mut nodes, inject(1, deed));
        let evidence = probed_of(1, &mut injector, &mut nodes, Expect::InEffect);
        let mut received = Vec::new();
        there.read_to_end(&mut received).expect("received");
        assert_eq!(received, [0x55; 300], "{evidence}");
        assert_ne!(fs::read(&log).expect("read"), [0x55; 300], "{evidence}");
    }
}

#[test]
fn the_newest_segments_lose_their_tails() {
    let mut nodes = with_logs();
    let mut injector = Injector::new(nodes.undo(), 1);
    let deed = Deed::TruncateTail { path: pattern("topic-*.log"), bytes: Bytes(100) };
    done(&mut injector, &mut nodes, inject(1, deed));
    let evidence = probed_of(1, &mut injector, &mut nodes, Expect::InEffect);
    for told in [
        "topic-0/00000000000000000100.log: 300 bytes were cut to 200",
        "topic-1/00000000000000000000.log: 40 bytes were cut to 0",
    ] {
        assert!(evidence.contains(told), "{evidence}");
    }
    let lengths: Vec<usize> = files(&nodes.data_dir("n1")).iter().map(|(_, b)| b.len()).collect();
    assert_eq!(lengths, [700, 500, 80, 200, 0]);
    healed(&mut injector, &mut nodes, 1);
    probed_of(1, &mut injector, &mut nodes, Expect::Over);
    // Nothing to be cut: that is no fault.
    let none = Deed::TruncateTail { path: pattern("nowhere"), bytes: Bytes(1) };
    done(&mut injector, &mut nodes, inject(2, none));
    let probe = Action::Probe { fault: 2, node: "n1".to_string(), expect: Expect::InEffect };
    loop {
        match injector.act(&probe, &mut nodes) {
            Event::NotConfirmed { evidence, .. } if evidence.contains("no file of its") => break,
            Event::NotConfirmed { .. } => std::thread::yield_now(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_old_copy_is_put_back_while_nobody_runs_on_it() {
    let mut nodes = with_logs();
    let mut injector = Injector::new(nodes.undo(), 1);
    let data = nodes.data_dir("n1");
    let (before, pid) = (files(&data), nodes.pid("n1"));
    done(&mut injector, &mut nodes, inject(1, Deed::OldSnapshot));
    let evidence = probed_of(1, &mut injector, &mut nodes, Expect::InEffect);
    assert!(evidence.starts_with("3 logs with 840 bytes copied"), "{evidence}");
    assert_eq!(nodes.pid("n1"), pid, "it goes on");
    fs::write(data.join("topic-0/00000000000000000100.log"), [1; 9_000]).expect("written");
    fs::write(data.join("topic-0/00000000000000000200.log"), [1; 100]).expect("written");
    healed(&mut injector, &mut nodes, 1);
    assert_ne!(nodes.pid("n1"), pid);
    assert_eq!(files(&data), before);
    assert!(data.join("meta.properties").is_file());
    let over = probed_of(1, &mut injector, &mut nodes, Expect::Over);
    for told in [
        "topic-0/00000000000000000100.log: 9000 bytes, now 300 as in the copy",
        "topic-0/00000000000000000200.log: 100 bytes, now 0 as in the copy",
    ] {
        assert!(over.contains(told), "{over}");
    }
    let left: Vec<_> =
        fs::read_dir(data.parent().expect("one")).expect("there").flatten().collect();
    assert!(left.iter().all(|entry| !entry.path().display().to_string().contains("snapshot")));
    // Healed once more, nothing more happens.
    let pid = nodes.pid("n1");
    healed(&mut injector, &mut nodes, 1);
    assert_eq!(nodes.pid("n1"), pid);
}

/// A node whose data is served by a file system that can fail; none where that needs more rights.
fn served() -> Option<Sleepers> {
    let mut nodes = with_logs();
    if let Err(why) = crate::fuse::can_make(&nodes.data_dir("n1")) {
        eprintln!("skipped: {why}");
        return None;
    }
    separate_mounts().expect("root may");
    nodes.serve("n1");
    Some(nodes)
}

fn io_error(operation: Operation) -> Deed {
    Deed::IoError { operation, probability: 100, path: pattern(".log") }
}

#[test]
fn faults_on_one_disk_stack_and_end_in_any_order() {
    let Some(mut nodes) = served() else { return };
    let mut injector = Injector::new(nodes.undo(), 1);
    let log = nodes.served_dir("n1").join("topic-0/00000000000000000100.log");
    let slow = Deed::Slow { operation: Operation::Fsync, delay: Millis(30) };
    let mut fault = 0;
    for first_begun_is_first_over in [true, false] {
        let (error, delay) = (fault + 1, fault + 2);
        fault += 2;
        done(&mut injector, &mut nodes, inject(error, io_error(Operation::Write)));
        done(&mut injector, &mut nodes, inject(delay, slow));
        let mut open = fs::File::options().append(true).open(&log).expect("open");
        let failed = std::io::Write::write_all(&mut open, b"x").expect_err("EIO");
        assert_eq!(failed.raw_os_error(), Some(5));
        let evidence = probed_of(error, &mut injector, &mut nodes, Expect::InEffect);
        let told = "a write of ours: Input/output error; 1 operations of the node's were answered with EIO";
        assert_eq!(evidence, told);
        let evidence = probed_of(delay, &mut injector, &mut nodes, Expect::InEffect);
        assert!(evidence.starts_with("a sync of ours"), "{evidence}");
        let order = if first_begun_is_first_over { [error, delay] } else { [delay, error] };
        for (at, healed_now) in order.into_iter().enumerate() {
            healed(&mut injector, &mut nodes, healed_now);
            let over = probed_of(healed_now, &mut injector, &mut nodes, Expect::Over);
            assert!(over.contains(" still runs, state "), "{over}");
            let still = format!("under fault {}", order[1]);
            assert_eq!(over.contains(&still), at == 0, "{over}");
        }
        std::io::Write::write_all(&mut open, b"x").expect("both are over");
    }
}

#[test]
fn a_node_that_ended_of_its_disk_is_started_again_unless_another_fault_keeps_it_down() {
    let Some(mut nodes) = served() else { return };
    let mut injector = Injector::new(nodes.undo(), 1);
    done(&mut injector, &mut nodes, inject(1, io_error(Operation::All)));
    probed_of(1, &mut injector, &mut nodes, Expect::InEffect);
    let pid = nodes.pid("n1");
    // As a broker ends whose disk fails.
    nodes.ends("n1");
    healed(&mut injector, &mut nodes, 1);
    assert_ne!(nodes.pid("n1"), pid);
    let over = probed_of(1, &mut injector, &mut nodes, Expect::Over);
    assert!(over.contains("; it had ended; pid "), "{over}");
    // Killed by another fault, it is that one's to start.
    done(&mut injector, &mut nodes, inject(2, io_error(Operation::Read)));
    done(&mut injector, &mut nodes, inject(3, Deed::Kill));
    probed_of(3, &mut injector, &mut nodes, Expect::InEffect);
    let dead = nodes.pid("n1");
    healed(&mut injector, &mut nodes, 2);
    assert_eq!(nodes.pid("n1"), dead);
    let over = probed_of(2, &mut injector, &mut nodes, Expect::Over);
    assert!(over.ends_with("another fault keeps it down"), "{over}");
    healed(&mut injector, &mut nodes, 3);
    assert_ne!(nodes.pid("n1"), dead);
}

#[test]
fn a_failed_sync_and_a_torn_write_are_proved() {
    let Some(mut nodes) = served() else { return };
    let mut injector = Injector::new(nodes.undo(), 1);
    let log = nodes.served_dir("n1").join("topic-1/00000000000000000000.log");
    let write = |bytes: &[u8]| {
        let mut open = fs::File::options().append(true).open(&log).expect("open");
        std::io::Write::write_all(&mut open, bytes).expect("written");
        open
    };
    let open = write(b"dirty");
    done(&mut injector, &mut nodes, inject(1, Deed::FsyncError { path: pattern("topic-*.log") }));
    assert_eq!(open.sync_data().expect_err("EIO").raw_os_error(), Some(5));
    let evidence = probed_of(1, &mut injector, &mut nodes, Expect::InEffect);
    assert_eq!(evidence, "a sync of ours: Input/output error; 1 syncs of the node's failed");
    healed(&mut injector, &mut nodes, 1);
    let over = probed_of(1, &mut injector, &mut nodes, Expect::Over);
    assert!(over.starts_with("a sync of ours took "), "{over}");
    drop(write(&[7; 2_000]));
    done(&mut injector, &mut nodes, inject(2, Deed::TornWrite { path: pattern("topic-*.log") }));
    let evidence = probed_of(2, &mut injector, &mut nodes, Expect::InEffect);
    assert!(evidence.contains("sectors written at 45"), "{evidence}");
    let bytes = fs::read(&log).expect("there");
    assert_eq!((bytes.len(), &bytes[40..45]), (2_045, &[0; 5][..]));
    assert!(bytes[45..].contains(&0));
    healed(&mut injector, &mut nodes, 2);
    probed_of(2, &mut injector, &mut nodes, Expect::Over);
}

#[test]
fn without_a_file_system_of_its_own_nothing_of_it_is_made_to_fail() {
    let mut nodes = with_logs();
    let mut injector = Injector::new(nodes.undo(), 1);
    for (deed, why) in
        [(Deed::Full, "a disk for each node"), (io_error(Operation::Write), "that can fail")]
    {
        match injector.act(&inject(1, deed), &mut nodes) {
            Event::Failed { error, .. } => assert!(error.contains(why), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}
