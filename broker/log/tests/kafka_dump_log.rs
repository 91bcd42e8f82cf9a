//! Apache Kafka's own dump tool reads what this crate writes.
//!
//! Runs where `HIGHWATER_KAFKA_HOME` names a directory with Kafka's jars and `bin/kafka-dump-log`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;

use highwater_log::io::{IoOp, IoQueue, Token};
use highwater_log::memory_disk::MemoryDisk;
use highwater_log::{Event, Log, LogConfig, Origin, Recovery};
use wire::batch::{Batch, BatchBuilder, Compression, Decompressor, Producer};

const DIR: &str = "topic-0";
const NOW_MS: i64 = 1_700_000_000_000;

struct World {
    disk: MemoryDisk,
    io: IoQueue,
    log: Log,
    events: Vec<Event>,
}

impl World {
    fn open(disk: MemoryDisk, clean: bool) -> World {
        let config =
            LogConfig { segment_bytes: 60_000, file_delete_delay_ms: 0, ..LogConfig::default() };
        let mut io = IoQueue::default();
        let recovery = Recovery { clean, ..Recovery::default() };
        let log = Log::open(DIR, config, recovery, NOW_MS, &mut io);
        let mut world = World { disk, io, log, events: Vec::new() };
        world.run();
        assert!(world.log.is_ready());
        world
    }

    fn run(&mut self) {
        loop {
            let ops: VecDeque<(Token, IoOp)> = self.io.drain().collect();
            if ops.is_empty() {
                return;
            }
            for (token, op) in ops {
                let result = self.disk.execute(&op);
                self.log.on_io(NOW_MS, token, result, &mut self.io, &mut self.events);
            }
        }
    }

    /// Batches of all compressions, with and without producers, over some epochs.
    fn fill(&mut self, rounds: i32) {
        let compressions = [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ];
        for round in 0..rounds {
            for (index, &compression) in compressions.iter().enumerate() {
                let id = 1_000 + index as i64;
                let known = self.log.producer_state().get(id);
                let base_sequence = known.map_or(0, |entry| entry.last_sequence() + 1);
                let mut builder = BatchBuilder::new(compression);
                if index != 4 {
                    builder = builder.producer(Producer { id, epoch: 0, base_sequence });
                }
                for record in 0..10 {
                    let timestamp = NOW_MS + i64::from(round) * 100 - record * 7;
                    let value = format!("value {round} {record} ").repeat(20);
                    builder.append(timestamp, Some(b"key"), Some(value.as_bytes()), &[]);
                }
                let batch = Batch::new(builder.build(0, -1)).expect("built just now");
                self.log
                    .append_as_leader(
                        NOW_MS,
                        vec![batch],
                        round / 10,
                        Origin::Client,
                        &mut Decompressor::default(),
                        &mut self.io,
                    )
                    .expect("accepted");
                self.run();
            }
        }
    }

    fn close(mut self) -> MemoryDisk {
        self.log.close(&mut self.io);
        self.run();
        assert!(matches!(self.events.last(), Some(Event::Closed)));
        self.disk
    }
}

/// Puts the files where Kafka can see them.
fn write_out(disk: &MemoryDisk, to: &Path) {
    std::fs::create_dir_all(to.join(DIR)).expect("a temporary directory can be written");
    for path in disk.paths() {
        let content = disk.content(path).expect("listed");
        std::fs::write(to.join(path), content).expect("a temporary directory can be written");
    }
}

fn dump(home: &Path, root: &Path, suffixes: &[&str], options: &[&str]) -> (usize, String) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join(DIR))
        .expect("written just now")
        .map(|entry| entry.expect("listed").path())
        .filter(|path| suffixes.iter().any(|suffix| path.extension().is_some_and(|e| e == *suffix)))
        .collect();
    files.sort();
    let names: Vec<&str> = files.iter().filter_map(|path| path.to_str()).collect();
    let output = Command::new(home.join("bin/kafka-dump-log"))
        .args(["--files", &names.join(",")])
        .args(options)
        .output()
        .expect("kafka-dump-log starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    for complaint in ["Mismatch", "Exception", "isvalid: false", "Found", "rror"] {
        assert!(!text.contains(complaint), "{complaint}:\n{text}");
    }
    // Of every segment but the first, 4.3 says that its first record should be record 0.
    let holes = text.matches("is followed by").count();
    assert_eq!(holes, text.matches("-1 is followed by").count(), "{text}");
    (files.len(), text)
}

fn check(home: &Path, disk: &MemoryDisk) {
    let root = tempfile::tempdir().expect("a temporary directory");
    write_out(disk, root.path());
    let (segments, text) = dump(home, root.path(), &["log"], &["--deep-iteration"]);
    assert!(segments > 2, "{segments} segments");
    let records = text.matches("offset: ").count();
    assert!(records > 500 && text.matches("isvalid: true").count() > 50, "{records}\n{text}");
    let (indexes, text) =
        dump(home, root.path(), &["index", "timeindex"], &["--index-sanity-check"]);
    assert_eq!(text.matches("passed sanity check").count(), indexes, "{text}");
    dump(home, root.path(), &["index", "timeindex"], &["--verify-index-only"]);
    let (_, text) = dump(home, root.path(), &["index", "timeindex"], &[]);
    assert!(text.contains("position: ") && text.contains("timestamp: "), "{text}");
    let (snapshots, text) = dump(home, root.path(), &["snapshot"], &[]);
    assert!(snapshots > 1 && text.contains("producerId: 1003 producerEpoch: 0"), "{text}");
}

#[test]
fn kafka_reads_what_we_write() {
    let Some(home) = std::env::var_os("HIGHWATER_KAFKA_HOME").map(PathBuf::from) else {
        println!("skipped: set HIGHWATER_KAFKA_HOME");
        return;
    };
    let mut world = World::open(MemoryDisk::new(), true);
    world.fill(40);
    // Appended, rolled, closed.
    let disk = world.close();
    check(&home, &disk);
    // Opened again, written to, cut among the newest and further back, killed, torn, recovered.
    let mut world = World::open(disk, true);
    world.fill(12);
    let cut = world.log.next_offset() - 20;
    assert!(world.log.truncate_to(cut, &mut world.io));
    world.run();
    world.log.set_high_watermark(i64::MAX);
    let cut = world.log.next_offset() - 300;
    assert!(world.log.truncate_to(cut, &mut world.io));
    world.run();
    world.fill(3);
    let mut disk = world.disk;
    disk.kill();
    let newest = disk.paths().filter(|path| path.ends_with(".log")).max().expect("one").to_owned();
    let content = disk.content(&newest).expect("listed").to_vec();
    disk.put(&newest, &content[..content.len() - 9]);
    let world = World::open(disk, false);
    check(&home, &world.close());
}
