//! The replicas of each log, read from the nodes' own files once all nodes have stopped, and compared.
//!
//! Promises: every batch below the log's settled end is read whole, its CRC computed, and compared with that of the other
//! replicas: offsets, leader epoch and CRC are the same in all of them, for followers append the leader's bytes. The first of them also
//! tells where each producer's epochs begin. Nothing is written. The bytes are taken apart by the code of the bundled broker, which knows nothing of replicas here. Not promised: anything of compacted logs, whose replicas may differ; of replicas that were not in sync; of what
//! retention had taken from any of them.

use anyhow::{Context, Result};
use model::finding::{Check, CheckVerdict, Finding, Kind};
use model::history::LogRef;
use model::replicas::{LogReplicas, ProducerEpoch, ReplicaDifference, ReplicaReport};
use plan::files::log_dir;
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use wire::batch::{BatchHeader, BatchView, LOG_OVERHEAD_BYTES};

/// A log as the final reads left it.
#[derive(Clone, Debug)]
pub struct Ended {
    pub log: LogRef,
    pub topic: String,
    pub end: i64,
    /// The nodes that have a replica in sync, the leader first; or why that is not known.
    pub nodes: Result<Vec<String>, String>,
}

/// Compares all replicas of all logs. `data_dir`: where a node keeps its logs.
pub fn compare(ended: &[Ended], data_dir: impl Fn(&str) -> PathBuf) -> ReplicaReport {
    let logs = ended.iter().map(|ended| {
        let mut compared = LogReplicas {
            log: ended.log,
            topic: ended.topic.clone(),
            nodes: Vec::new(),
            from: 0,
            to: ended.end,
            differences: Vec::new(),
            producer_epochs: Vec::new(),
            not_compared: None,
        };
        let result = ended.nodes.clone().map_err(anyhow::Error::msg).and_then(|nodes| {
            compared.nodes = nodes;
            compare_one(&mut compared, &data_dir)
        });
        compared.not_compared = result.err().map(|error| format!("{error:#}"));
        compared
    });
    ReplicaReport { logs: logs.collect() }
}

fn compare_one(compared: &mut LogReplicas, data_dir: impl Fn(&str) -> PathBuf) -> Result<()> {
    let name = compared.name();
    let open = |node: &String| Batches::open(&directory_of(&data_dir(node), &name)?);
    for node in &compared.nodes {
        let begins = open(node)?.next()?.map_or(compared.to, |batch| batch.base_offset);
        compared.from = compared.from.max(begins);
    }
    let Some((first, others)) = compared.nodes.split_first() else { return Ok(()) };
    compared.producer_epochs = producer_epochs(open(first)?, compared.to)?;
    let range = compared.from..compared.to;
    for other in others {
        let (one, two) = (open(first)?, open(other)?);
        let mut pair = Pair { nodes: [first, other], found: None };
        pair.walk(one, two, &range)?;
        compared.differences.extend(pair.found);
    }
    Ok(())
}

/// Where a log of that name is: in the data directory, or in the one of several log directories below it that has it.
fn directory_of(data: &Path, name: &str) -> Result<PathBuf> {
    let below = (1..).map(|number| data.join(log_dir(number)));
    let mut found = below.take_while(|dir| dir.exists()).map(|dir| dir.join(name));
    let mut found = found.by_ref().filter(|log| log.exists());
    match (found.next(), found.next()) {
        (None, _) => Ok(data.join(name)),
        (Some(log), None) => Ok(log),
        (Some(one), Some(two)) => {
            anyhow::bail!("it is in {} and in {}", one.display(), two.display())
        }
    }
}

/// Where each producer's epochs begin in a replica, below `end`.
fn producer_epochs(mut batches: Batches, end: i64) -> Result<Vec<ProducerEpoch>> {
    let (mut known, mut epochs) = (BTreeSet::new(), Vec::new());
    while let Some(batch) = batches.next()?.filter(|batch| batch.base_offset < end) {
        let Some((producer_id, producer_epoch)) = batch.producer else { continue };
        if known.insert((producer_id, producer_epoch)) {
            let first_offset = batch.base_offset;
            epochs.push(ProducerEpoch { producer_id, producer_epoch, first_offset });
        }
    }
    Ok(epochs)
}

/// Two replicas, side by side.
struct Pair<'a> {
    nodes: [&'a str; 2],
    found: Option<ReplicaDifference>,
}

impl Pair<'_> {
    fn walk(
        &mut self,
        mut one: Batches,
        mut two: Batches,
        range: &std::ops::Range<i64>,
    ) -> Result<()> {
        let within = |batches: &mut Batches| -> Result<Option<Stored>> {
            loop {
                match batches.next()? {
                    Some(batch) if batch.next_offset <= range.start => {}
                    batch => return Ok(batch.filter(|batch| batch.base_offset < range.end)),
                }
            }
        };
        let (mut left, mut right) = (within(&mut one)?, within(&mut two)?);
        while left.is_some() || right.is_some() {
            if left == right && left.as_ref().is_some_and(|batch| batch.is_intact) {
                (left, right) = (within(&mut one)?, within(&mut two)?);
                continue;
            }
            let ends = |batch: &Option<Stored>| batch.as_ref().map_or(i64::MAX, |b| b.next_offset);
            let (left_ends, right_ends) = (ends(&left), ends(&right));
            self.differs(&left, &right, left_ends.min(right_ends));
            if left_ends <= right_ends {
                left = within(&mut one)?;
            }
            if right_ends <= left_ends {
                right = within(&mut two)?;
            }
        }
        Ok(())
    }

    /// These differ, below `next_offset`.
    fn differs(&mut self, left: &Option<Stored>, right: &Option<Stored>, next_offset: i64) {
        let begins = [left, right].into_iter().flatten().map(|batch| batch.base_offset).min();
        let Some(begins) = begins else { return };
        let known = self.found.get_or_insert_with(|| ReplicaDifference {
            nodes: self.nodes.map(str::to_string),
            first_offset: begins,
            last_offset: begins - 1,
            offsets: 0,
            what: format!(
                "{} has {}, {} has {}",
                self.nodes[0],
                in_words(left),
                self.nodes[1],
                in_words(right)
            ),
        });
        let from = begins.max(known.last_offset + 1);
        known.offsets += u64::try_from(next_offset - from).unwrap_or(0);
        known.last_offset = known.last_offset.max(next_offset - 1);
    }
}

fn in_words(batch: &Option<Stored>) -> String {
    let Some(batch) = batch else { return "nothing more".to_string() };
    let damaged = if batch.is_intact { "" } else { ", whose bytes do not give its CRC" };
    format!(
        "a batch of offsets {} to {} from leader epoch {} with CRC {:08x}{damaged}",
        batch.base_offset,
        batch.next_offset - 1,
        batch.leader_epoch,
        batch.crc
    )
}

/// What is compared of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored {
    base_offset: i64,
    next_offset: i64,
    leader_epoch: i32,
    crc: u32,
    is_intact: bool,
    /// The id and epoch of who wrote it; `None`: a producer without idempotence.
    producer: Option<(i64, i16)>,
}

/// The batches of one replica, in the order of its files.
struct Batches {
    segments: VecDeque<PathBuf>,
    reader: Option<BufReader<File>>,
    bytes: Vec<u8>,
}

impl Batches {
    fn open(directory: &Path) -> Result<Batches> {
        let entries = fs::read_dir(directory)
            .with_context(|| format!("cannot read {}", directory.display()))?;
        let mut segments = Vec::new();
        for entry in entries {
            let path = entry?.path();
            // Kafka's names: the base offset in twenty digits, which sort as text.
            if path.extension().is_some_and(|extension| extension == "log") {
                segments.push(path);
            }
        }
        segments.sort();
        Ok(Batches { segments: segments.into(), reader: None, bytes: Vec::new() })
    }

    fn next(&mut self) -> Result<Option<Stored>> {
        loop {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => {
                    let Some(path) = self.segments.pop_front() else { return Ok(None) };
                    let file = File::open(&path)
                        .with_context(|| format!("cannot open {}", path.display()))?;
                    self.reader.insert(BufReader::with_capacity(1 << 20, file))
                }
            };
            self.bytes.resize(LOG_OVERHEAD_BYTES, 0);
            if !filled(reader, &mut self.bytes)? {
                self.reader = None;
                continue;
            }
            let length = i32::from_be_bytes([8, 9, 10, 11].map(|at| self.bytes[at]));
            let rest = usize::try_from(length).unwrap_or(0);
            if rest == 0 {
                // What was reserved and not written.
                self.reader = None;
                continue;
            }
            self.bytes.resize(LOG_OVERHEAD_BYTES + rest, 0);
            if !filled(reader, &mut self.bytes[LOG_OVERHEAD_BYTES..])? {
                self.reader = None;
                continue;
            }
            let header = BatchHeader::parse(&self.bytes)?;
            let is_intact = BatchView::new(&self.bytes).is_ok_and(|view| view.check().is_ok());
            return Ok(Some(Stored {
                base_offset: header.base_offset,
                next_offset: header.last_offset() + 1,
                leader_epoch: header.partition_leader_epoch,
                crc: header.crc,
                is_intact,
                producer: (header.producer_id >= 0)
                    .then_some((header.producer_id, header.producer_epoch)),
            }));
        }
    }
}

/// Reads exactly so much; not so much is there: `false`.
fn filled(reader: &mut impl Read, bytes: &mut [u8]) -> Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The comparison as a check among the others.
pub fn check(report: &ReplicaReport) -> Check {
    let findings: Vec<Finding> = report.logs.iter().flat_map(findings).collect();
    let not_compared = report.logs.iter().find_map(|log| {
        let why = log.not_compared.as_ref()?;
        Some(format!("the replicas of {} were not compared: {why}", log.name()))
    });
    let (verdict, because) = match (findings.is_empty(), not_compared) {
        (false, _) => (CheckVerdict::Invalid, None),
        (true, None) => (CheckVerdict::Valid, None),
        (true, why) => (CheckVerdict::Unknown, why),
    };
    let name = Kind::ReplicaDivergence.as_str().to_string();
    let count = findings.iter().map(|finding| finding.count).sum();
    Check { name, verdict, count, because, findings }
}

fn findings(log: &LogReplicas) -> impl Iterator<Item = Finding> + '_ {
    log.differences.iter().map(|difference| Finding {
        cycle: Vec::new(),
        kind: Kind::ReplicaDivergence,
        log: log.log,
        topic: log.topic.clone(),
        count: difference.offsets,
        first_offset: Some(difference.first_offset),
        last_offset: Some(difference.last_offset),
        ids: Vec::new(),
        outcome: None,
        first_ack_ms: None,
        last_ack_ms: None,
        because: format!(
            "The replicas of {} on {} and {} were both in sync at the end (offset {}), and differ below it: {}.",
            log.name(), difference.nodes[0], difference.nodes[1], log.to, difference.what
        ),
        evidence: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
