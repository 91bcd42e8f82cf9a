//! A log on a disk in memory, with completions when the test wants them.

mod appending;
mod chaos;
mod defects;
mod reading;
mod recovery;
mod truncation;

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use wire::batch::{Batch, BatchBuilder, Compression, Decompressor, Producer, split_batches};

use super::Log;
use crate::config::LogConfig;
use crate::io::{FileId, IoOp, IoQueue, Token};
use crate::memory_disk::MemoryDisk;
use crate::types::{
    AppendError, Appended, Event, FetchData, FoundTimestamp, Lookup, Opened, Origin, Read,
    ReadError, Recovery,
};

const DIR: &str = "topic-0";
const NOW_MS: i64 = 1_700_000_000_000;

struct World {
    disk: MemoryDisk,
    io: IoQueue,
    /// Submitted and not carried out.
    held: VecDeque<(Token, IoOp)>,
    log: Log,
    events: Vec<Event>,
}

/// A batch of `count` records of `bytes` each, as a producer would send it.
fn batch(count: usize, bytes: usize, timestamp_ms: i64) -> Batch {
    batch_from(count, bytes, timestamp_ms, None)
}

fn batch_from(count: usize, bytes: usize, timestamp_ms: i64, producer: Option<Producer>) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None);
    if let Some(producer) = producer {
        builder = builder.producer(producer);
    }
    for index in 0..count {
        let value = vec![index as u8; bytes];
        builder.append(timestamp_ms + index as i64, Some(b"key"), Some(&value), &[]);
    }
    Batch::new(builder.build(0, -1)).expect("built just now")
}

fn producer(id: i64, epoch: i16, base_sequence: i32) -> Option<Producer> {
    Some(Producer { id, epoch, base_sequence })
}

/// Small segments and a small interval, so that little data has many of both.
fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 2_000,
        index_interval_bytes: 300,
        tail_cache_bytes: 0,
        ..LogConfig::default()
    }
}

impl World {
    /// A new log, open.
    fn new(config: LogConfig) -> World {
        World::on(MemoryDisk::new(), config, Recovery { clean: true, ..Recovery::default() })
    }

    /// Opens the log that is on the disk.
    fn on(disk: MemoryDisk, config: LogConfig, recovery: Recovery) -> World {
        let mut world = World::opening(disk, config, recovery);
        world.run();
        assert!(world.log.is_ready(), "{:?}", world.log.failure());
        world
    }

    fn opening(disk: MemoryDisk, config: LogConfig, recovery: Recovery) -> World {
        let mut io = IoQueue::default();
        let log = Log::open(DIR, config, recovery, NOW_MS, &mut io);
        World { disk, io, held: VecDeque::new(), log, events: Vec::new() }
    }

    /// Completes everything.
    fn run(&mut self) {
        while self.step(0) {}
    }

    /// Carries out one operation: the `choice`th of those that may come next.
    fn step(&mut self, choice: usize) -> bool {
        self.held.extend(self.io.drain());
        let mut files: BTreeSet<FileId> = BTreeSet::new();
        let ready: Vec<usize> = self
            .held
            .iter()
            .enumerate()
            .filter(|(_, (_, op))| op.file().is_none_or(|file| files.insert(file)))
            .map(|(index, _)| index)
            .collect();
        if ready.is_empty() {
            return false;
        }
        let index = ready[choice % ready.len()];
        let (token, op) = self.held.remove(index).expect("chosen from the list");
        let result = self.disk.execute(&op);
        self.log.on_io(NOW_MS, token, result, &mut self.io, &mut self.events);
        true
    }

    fn try_append(&mut self, batch: Batch, epoch: i32) -> Result<Appended, AppendError> {
        let mut unpack = Decompressor::default();
        let client = Origin::Client;
        self.log.append_as_leader(NOW_MS, vec![batch], epoch, client, &mut unpack, &mut self.io)
    }

    fn append(&mut self, batch: Batch, epoch: i32) -> Appended {
        let appended = self.try_append(batch, epoch).expect("accepted");
        self.run();
        appended
    }

    /// Reads from disk or memory, to the end.
    fn fetch(&mut self, from: i64, max_bytes: u32, below: i64) -> Result<FetchData, ReadError> {
        match self.log.read(from, max_bytes, below, true, &mut self.io) {
            Read::Ready(data) => Ok(data),
            Read::OutOfRange => Err(ReadError::OutOfRange),
            Read::Failed(error) => Err(error),
            Read::Pending(wanted) => {
                self.run();
                let found = self.events.iter().find_map(|event| match event {
                    Event::Read { id, result } if *id == wanted => Some(result.clone()),
                    _ => None,
                });
                found.expect("a pending read is answered")
            }
        }
    }

    /// Every batch of the log, in order.
    fn all(&mut self) -> Vec<Batch> {
        let mut from = self.log.log_start_offset();
        let mut batches = Vec::new();
        while from < self.log.log_end_offset() {
            let data = self.fetch(from, 700, i64::MAX).expect("readable");
            assert!(data.next_offset > from, "no progress at {from}");
            from = data.next_offset;
            batches.extend(split_batches(whole(&data)).expect("whole batches"));
        }
        batches
    }

    fn lookup(&mut self, timestamp: Option<i64>) -> Option<FoundTimestamp> {
        let lookup = match timestamp {
            Some(ms) => self.log.offset_for_timestamp(ms, i64::MAX, &mut self.io),
            None => self.log.offset_for_max_timestamp(i64::MAX, &mut self.io),
        };
        match lookup {
            Lookup::Ready(found) => found,
            Lookup::Failed(error) => panic!("{error}"),
            Lookup::Pending(wanted) => {
                self.run();
                let found = self.events.iter().find_map(|event| match event {
                    Event::Lookup { id, result } if *id == wanted => Some(result.clone()),
                    _ => None,
                });
                found.expect("a pending lookup is answered").expect("readable")
            }
        }
    }

    fn opened(&self) -> Opened {
        let opened = self.events.iter().find_map(|event| match event {
            Event::Opened(opened) => Some(*opened),
            _ => None,
        });
        opened.expect("opened")
    }

    fn close(mut self) -> MemoryDisk {
        self.log.close(&mut self.io);
        self.run();
        assert!(matches!(self.events.last(), Some(Event::Closed)), "{:?}", self.events.last());
        assert_eq!(self.disk.open_files(), 0);
        self.disk
    }

    fn kill(mut self) -> MemoryDisk {
        self.disk.kill();
        self.disk
    }

    /// What is known in memory of the active segment's indexes is what the files have.
    fn check_indexes(&mut self) {
        let base = self.log.active_base();
        let segment = &self.log.segments[&base];
        let indexes = segment.indexes.clone().expect("an active segment's are loaded");
        let file = |suffix| self.disk.content(&path(base, suffix)).map(Bytes::copy_from_slice);
        assert_eq!(file("index"), Some(indexes.offset.encode()));
        assert_eq!(file("timeindex"), Some(indexes.time.encode()));
        assert_eq!(file("log").map_or(0, |log| log.len() as u64), segment.size);
    }
}

fn path(base: i64, suffix: &str) -> String {
    format!("{DIR}/{}", crate::segment::file_name(base, suffix))
}

fn whole(data: &FetchData) -> Bytes {
    let bytes: Vec<u8> = data.batches.iter().flat_map(|part| part.iter().copied()).collect();
    assert_eq!(bytes.len(), data.bytes);
    Bytes::from(bytes)
}

fn unclean() -> Recovery {
    Recovery::default()
}

fn clean() -> Recovery {
    Recovery { clean: true, ..Recovery::default() }
}

fn assert_same(found: &[Batch], expected: &[Batch]) {
    let offsets = |batches: &[Batch]| batches.iter().map(Batch::base_offset).collect::<Vec<_>>();
    assert_eq!(offsets(found), offsets(expected));
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.to_contiguous(), expected.to_contiguous());
    }
}
