//! A real mount, in a mount namespace of each test's own, and what programs see on it.

use super::*;
use plan::files::Operation;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A file system of a test's own.
struct Place {
    fuse: Fuse,
    directory: PathBuf,
    // Last: what is mounted goes first.
    _dir: tempfile::TempDir,
}

/// In a mount namespace of this thread's own; none where that needs more rights.
fn place() -> Option<Place> {
    let dir = tempfile::tempdir().expect("a directory");
    if let Err(why) = can_make(dir.path()) {
        eprintln!("skipped: {why}");
        return None;
    }
    separate_mounts().expect("root may");
    let directory = dir.path().join("data");
    let fuse = Fuse::make(&dir.path().join("backing"), &directory).expect("mounted");
    Some(Place { fuse, directory, _dir: dir })
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn backing(&self, name: &str) -> PathBuf {
        self.fuse.backing().join(name)
    }

    fn hold(&self, fault: u32, rule: Rule) {
        self.fuse.rules().hold(fault, rule, u64::from(fault));
    }

    fn probe(&self, operation: Operation) -> Probed {
        let mut probe = Probe::start(&self.fuse.probe_path(), operation).expect("dd");
        loop {
            if let Some(probed) = probe.poll().expect("a child of ours") {
                return probed;
            }
            std::thread::yield_now();
        }
    }
}

fn errors(operation: Operation, percent: u8, path: &str) -> Rule {
    Rule::Error { operation, percent, path: Pattern::new(path).expect("short") }
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

const EIO: Option<i32> = Some(5);

#[test]
fn everything_goes_through_as_it_is() {
    let Some(place) = place() else { return };
    let directory = place.path("topic-0");
    fs::create_dir(&directory).expect("made");
    let log = directory.join("0.log");
    let mut file =
        File::options().create_new(true).read(true).write(true).open(&log).expect("made");
    assert_eq!(errno(File::options().create_new(true).write(true).open(&log)), Some(17));
    file.write_all(&[7; 300_000]).expect("written");
    file.write_all(b"tail").expect("written");
    file.sync_data().expect("synced");
    assert_eq!(fs::read(place.backing("topic-0/0.log")).expect("there").len(), 300_004);
    let mut four = [0; 4];
    file.read_exact_at(&mut four, 300_000).expect("read");
    assert_eq!(&four, b"tail");
    // Cut, extended, allocated.
    file.set_len(10).expect("cut");
    assert_eq!(file.metadata().expect("known").len(), 10);
    file.set_len(20).expect("extended");
    assert_eq!(fs::read(&log).expect("read")[8..], [7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 8192).expect("allocated");
    assert_eq!(fs::metadata(&log).expect("known").len(), 8192);
    // Appending goes to the end, whoever wrote last.
    let mut appending = File::options().append(true).open(&log).expect("open");
    file.set_len(3).expect("cut");
    appending.write_all(b"xyz").expect("appended");
    assert_eq!(fs::read(&log).expect("read"), b"\x07\x07\x07xyz");
    // A file that is renamed and deleted while it is open stays what it is.
    let gone = directory.join("0.log.deleted");
    fs::rename(&log, &gone).expect("renamed");
    fs::rename(&directory, place.path("topic-0-delete")).expect("renamed");
    assert_eq!(errno(File::open(&log)), Some(2));
    fs::remove_file(place.path("topic-0-delete/0.log.deleted")).expect("deleted");
    file.seek(SeekFrom::Start(0)).expect("sought");
    let mut left = Vec::new();
    file.read_to_end(&mut left).expect("read");
    assert_eq!(left, b"\x07\x07\x07xyz");
    assert_eq!(file.metadata().expect("known").nlink(), 0);
    assert_eq!(errno(fs::remove_file(&gone)), Some(2));
    // Directories.
    assert_eq!(errno(fs::create_dir(place.path("topic-0-delete"))), Some(17));
    for name in ["b", "a", "c"] {
        fs::write(place.path(name), name).expect("written");
    }
    let mut names: Vec<_> = fs::read_dir(&place.directory)
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("ASCII"))
        .collect();
    names.sort();
    assert_eq!(names, ["a", "b", "c", "topic-0-delete"]);
    fs::write(place.path("topic-0-delete/x"), "").expect("written");
    assert_eq!(errno(fs::remove_dir(place.path("topic-0-delete"))), Some(39));
    fs::remove_dir_all(place.path("topic-0-delete")).expect("deleted");
    fs::rename(place.path("a"), place.path("b")).expect("replaced");
    assert_eq!(fs::read(place.path("b")).expect("read"), b"a");
    File::open(&place.directory).and_then(|directory| directory.sync_all()).expect("synced");
    // What is changed below while nobody has it open is seen by who opens it.
    fs::write(place.backing("b"), "below").expect("written");
    assert_eq!(fs::read(place.path("b")).expect("read"), b"below");
    let space = rustix::fs::statvfs(&place.directory).expect("told");
    assert_eq!(space.f_blocks, rustix::fs::statvfs(place.fuse.backing()).expect("told").f_blocks);
}

#[test]
fn files_can_be_locked_and_mapped() {
    let Some(place) = place() else { return };
    let file = File::create(place.path(".lock")).expect("made");
    file.try_lock().expect("locked");
    let other = File::open(place.path(".lock")).expect("open");
    assert!(other.try_lock().is_err(), "locked twice");
    let Some(mapped) = map_and_write(&place.path("0.index")) else { return };
    assert!(mapped.status.success(), "{}", String::from_utf8_lossy(&mapped.stderr));
    let bytes = fs::read(place.backing("0.index")).expect("there");
    assert_eq!((bytes.len(), &bytes[5000..5005]), (1 << 20, &b"index"[..]));
}

/// As Kafka treats its indexes: a shared map of a file that is closed, written to, renamed, deleted, and read.
fn map_and_write(path: &Path) -> Option<std::process::Output> {
    let program = "import mmap, os, sys\np = sys.argv[1]\nf = open(p, 'w+b')\nf.truncate(1 << 20)\n\
        m = mmap.mmap(f.fileno(), 1 << 20)\nf.close()\nm[5000:5005] = b'index'\nm.flush()\n\
        assert open(p, 'rb').read()[5000:5005] == b'index'\n\
        g = open(p + '.x', 'w+b')\ng.truncate(8192)\nn = mmap.mmap(g.fileno(), 8192)\ng.close()\n\
        os.rename(p + '.x', p + '.deleted')\nn[0:2] = b'ab'\nos.remove(p + '.deleted')\n\
        n[2:4] = b'cd'\nassert n[0:4] == b'abcd'\nn.flush()\n";
    let output =
        Command::new("python3").args(["-c", program]).arg(path).stdin(Stdio::null()).output();
    match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: python3 is missing, which maps files here");
            None
        }
        output => Some(output.expect("it starts")),
    }
}

#[test]
fn errors_come_on_open_files_by_operation_and_path_and_go_again() {
    let Some(place) = place() else { return };
    let mut log = File::create(place.path("0.log")).expect("made");
    let mut other = File::create(place.path("0.index")).expect("made");
    log.write_all(b"before").expect("written");
    assert_eq!(place.probe(Operation::Fsync).error, None);
    place.hold(1, errors(Operation::Write, 100, ".log"));
    assert_eq!(errno(log.write_all(b"x")), EIO);
    assert_eq!(errno(log.set_len(0)), EIO);
    other.write_all(b"x").expect("another file");
    log.sync_all().expect("another operation");
    assert_eq!(place.probe(Operation::Write).error.as_deref(), Some("Input/output error"));
    assert_eq!(place.probe(Operation::Read).error, None);
    let (tally, held) = place.fuse.rules().tally(1).expect("held");
    assert_eq!((tally.of_node, held), (2, true));
    assert!(tally.of_probes > 0);
    // Another one on top; they end in the order in which they began.
    place.hold(2, errors(Operation::Fsync, 100, ""));
    assert_eq!(errno(other.sync_all()), EIO);
    assert_eq!(place.fuse.rules().others(1), [2]);
    place.fuse.rules().lift(1);
    log.write_all(b"x").expect("the first is over");
    assert_eq!(errno(log.sync_all()), EIO);
    place.fuse.rules().lift(2);
    log.sync_all().expect("the second is over");
    // And the other way round.
    place.hold(3, errors(Operation::Write, 100, ""));
    place.hold(4, errors(Operation::All, 100, ""));
    assert_eq!(errno(File::create(place.path("new"))), EIO);
    assert_eq!(errno(fs::read(place.path("0.log"))), EIO);
    place.fuse.rules().lift(4);
    File::create(place.path("new")).expect("made");
    assert_eq!(errno(log.write_all(b"x")), EIO);
    place.fuse.rules().lift(3);
    log.write_all(b"x").expect("all is over");
    assert_eq!(fs::read(place.path("0.log")).expect("read"), b"beforexx");
    assert!(!place.fuse.rules().tally(3).expect("told of").1);
}

#[test]
fn some_of_a_hundred_fail() {
    let Some(place) = place() else { return };
    let mut log = File::create(place.path("0.log")).expect("made");
    place.hold(1, errors(Operation::Write, 25, ""));
    let failed = (0..400).filter(|_| log.write_all(b"x").is_err()).count();
    assert!((50..150).contains(&failed), "{failed} of 400");
    let met = place.fuse.rules().tally(1).expect("held").0.of_node;
    assert_eq!(met, failed as u64);
    assert_eq!(fs::metadata(place.path("0.log")).expect("known").len(), 400 - met);
}

#[test]
fn a_sync_fails_once_for_each_file_and_its_bytes_are_gone() {
    let Some(place) = place() else { return };
    let made = |name: &str| {
        let mut file = File::options()
            .create(true)
            .read(true)
            .append(true)
            .open(place.path(name))
            .expect("made");
        file.write_all(b"synced").expect("written");
        file.sync_data().expect("synced");
        file.write_all(b"dirty").expect("written");
        file
    };
    let (mut first, second, index) = (made("1.log"), made("2.log"), made("1.index"));
    place.hold(1, Rule::FsyncError { path: Pattern::new(".log").expect("short") });
    index.sync_data().expect("another path");
    assert_eq!(errno(first.sync_data()), EIO);
    first.sync_data().expect("once, then success");
    assert_eq!(errno(second.sync_all()), EIO);
    assert_eq!(fs::read(place.backing("1.log")).expect("there"), b"synced\0\0\0\0\0");
    assert_eq!(fs::read(place.backing("1.index")).expect("there"), b"synceddirty");
    // Who goes on writes behind the hole.
    first.write_all(b"more").expect("written");
    first.sync_data().expect("synced");
    assert_eq!(fs::read(place.backing("1.log")).expect("there"), b"synced\0\0\0\0\0more");
    assert_eq!(place.probe(Operation::Fsync).error.as_deref(), Some("Input/output error"));
    assert_eq!(place.probe(Operation::Fsync).error, None, "once");
    place.fuse.rules().lift(1);
    assert_eq!(place.fuse.rules().tally(1).expect("held").0.of_node, 2);
}

#[test]
fn slow_is_slow_by_as_much_as_was_asked_for_and_holds_up_nobody_else() {
    let Some(place) = place() else { return };
    let plain = place.probe(Operation::Fsync).took;
    let slow = |fault, operation, delay_ms| {
        place.hold(fault, Rule::Slow { operation, delay: Duration::from_millis(delay_ms) });
    };
    slow(1, Operation::Fsync, 300);
    slow(2, Operation::Fsync, 200);
    let both = place.probe(Operation::Fsync).took;
    assert!(both >= Duration::from_millis(500), "{both:?} after {plain:?}");
    place.fuse.rules().lift(1);
    let one = place.probe(Operation::Fsync).took;
    assert!(one >= Duration::from_millis(200), "{one:?}");
    // More operations than threads serve are under way, and another one goes through in between.
    slow(3, Operation::Fsync, 3_000);
    let files: Vec<File> =
        (0..2 * THREADS).map(|n| File::create(place.path(&n.to_string())).expect("made")).collect();
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        let syncs: Vec<_> = files.iter().map(|file| scope.spawn(|| file.sync_all())).collect();
        while place.fuse.rules().tally(3).expect("held").0.of_node < files.len() as u64 {
            std::thread::yield_now();
        }
        fs::write(place.path("quick"), "x").expect("written");
        assert!(syncs.iter().all(|sync| !sync.is_finished()), "after {:?}", began.elapsed());
        for sync in syncs {
            sync.join().expect("no panic").expect("synced");
        }
    });
    place.fuse.rules().lift(2);
    place.fuse.rules().lift(3);
    let plain = place.probe(Operation::Fsync).took;
    assert!(plain < one, "{plain:?}, and {one:?} when it was slow");
}

#[test]
fn a_torn_write_keeps_some_sectors_and_loses_others() {
    let Some(place) = place() else { return };
    let mut log = File::create(place.path("0.log")).expect("made");
    log.write_all(&[1; 1000]).expect("written");
    log.sync_all().expect("synced");
    log.write_all(&[2; 4000]).expect("written");
    let mut synced = File::create(place.path("1.log")).expect("made");
    synced.write_all(&[3; 4000]).expect("written");
    synced.sync_all().expect("synced");
    drop((log, synced));
    let torn = place.fuse.tear(&Pattern::new(".log").expect("short"), 4).expect("torn");
    assert_eq!(torn.len(), 1, "{torn:?}");
    assert!(torn[0].starts_with("0.log: ") && torn[0].ends_with("written at 1000"), "{torn:?}");
    let bytes = fs::read(place.path("0.log")).expect("read");
    assert_eq!((bytes.len(), &bytes[..1000]), (5000, &[1; 1000][..]));
    let kept = bytes[1000..].iter().filter(|byte| **byte == 2).count();
    assert!(kept > 0 && kept < 4000, "{kept}");
    assert!(bytes[1000..].iter().all(|byte| matches!(byte, 0 | 2)));
    assert_eq!(fs::read(place.path("1.log")).expect("read"), [3; 4000]);
    assert!(place.fuse.tear(&Pattern::ANY, 4).expect("nothing left").is_empty());
}

#[test]
fn what_is_kept_is_a_plain_directory() {
    let Some(place) = place() else { return };
    fs::write(place.path("a"), "kept").expect("written");
    assert!(!place.backing(below::PROBE).exists());
    let (directory, backing) = (place.directory.clone(), place.fuse.backing().to_path_buf());
    place.fuse.keep().expect("kept");
    assert_eq!(fs::read(directory.join("a")).expect("a plain file"), b"kept");
    assert!(!backing.exists() && !backing.with_extension("probe").exists());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("known");
    assert!(!mounts.contains(directory.to_str().expect("ASCII")), "{mounts}");
}
