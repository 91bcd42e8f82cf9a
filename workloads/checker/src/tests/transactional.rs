//! Random transactional histories of a log that does everything right, and the same with one thing gone wrong.

use super::history::*;
use super::transactions;
use crate::Report;
use crate::operations::tests::carried::is_the_same_in_every_form;
use model::finding::{CheckVerdict, Kind};
use model::history::operations::ToOperations;
use model::history::*;
use model::operation::Names;
use proptest::prelude::*;
use std::collections::BTreeMap;

const PRODUCERS: u32 = 2;
/// Reads what is committed, live.
const COMMITTED: u32 = LIVE;
/// Reads whatever stands there.
const DIRTY: u32 = transactions::DIRTY;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

/// What stands at an offset: a record of a transaction, or a marker.
#[derive(Clone, Copy)]
struct Entry {
    id: Option<RecordId>,
    transaction: usize,
}

/// Two logs, two producers, and what their clients are told.
struct Cluster {
    logs: [Vec<Entry>; 2],
    fates: Vec<Fate>,
    /// By producer: its open transaction, and how many it has begun.
    open: BTreeMap<u32, usize>,
    begun: BTreeMap<u32, u64>,
    sequences: BTreeMap<u32, u64>,
    positions: BTreeMap<(u32, usize), usize>,
    history: History,
}

impl Cluster {
    fn new() -> Cluster {
        let mut history = transactions::history();
        for producer in 2..=PRODUCERS {
            history = history.event(transactions::opened(producer, "u"));
        }
        let other = Session(DIRTY);
        history = history.event(Event::PassBegan { reader: other, pass: 0, kind: PassKind::Live });
        let logs = vec![(log(0), None), (log(1), None)];
        history = history.reader(DIRTY, ReaderEvent::Assigned { logs });
        Cluster {
            logs: [Vec::new(), Vec::new()],
            fates: Vec::new(),
            open: BTreeMap::new(),
            begun: BTreeMap::new(),
            sequences: BTreeMap::new(),
            positions: BTreeMap::new(),
            history,
        }
    }

    fn note(&mut self, event: Event) {
        self.history.events.push(event);
    }

    fn step(&mut self, what: u8, producer: u32, log_index: usize, told: bool) {
        let session = Session(producer);
        match (what, self.open.get(&producer).copied()) {
            (0, None) => {
                let number = self.begun.entry(producer).or_insert(0);
                let transaction = *number;
                *number += 1;
                self.open.insert(producer, self.fates.len());
                self.fates.push(Fate::Open);
                self.note(Event::TransactionBegan { session, transaction, reader: None });
            }
            (0 | 1, Some(transaction)) => {
                let sequence = self.sequences.entry(producer).or_insert(0);
                let id = RecordId { session, sequence: *sequence };
                *sequence += 1;
                let offset = self.logs[log_index].len() as i64;
                self.logs[log_index].push(Entry { id: Some(id), transaction });
                self.note(Event::Send { id, log: log(log_index as u32), intended_mono_ns: 0 });
                let outcome =
                    if told { Outcome::Ok { offset: Some(offset) } } else { Outcome::Info };
                self.note(Event::Sent { id, outcome, error: None });
            }
            (2 | 3, Some(index)) => self.end(producer, index, what == 2, told),
            (4, _) => self.poll(COMMITTED, log_index),
            (5, _) => self.poll(DIRTY, log_index),
            _ => {}
        }
    }

    fn end(&mut self, producer: u32, index: usize, commit: bool, told: bool) {
        let (session, transaction) = (Session(producer), self.begun[&producer] - 1);
        self.note(Event::TransactionEnding { session, transaction, commit });
        self.settle(producer, index, commit);
        let ending = match (told, commit) {
            (false, _) => Ending::Info,
            (true, true) => Ending::Committed,
            (true, false) => Ending::Aborted,
        };
        self.note(Event::TransactionEnded { session, transaction, ending, error: None });
    }

    /// The coordinator writes its markers.
    fn settle(&mut self, producer: u32, index: usize, commit: bool) {
        self.open.remove(&producer);
        self.fates[index] = if commit { Fate::Committed } else { Fate::Aborted };
        for entries in &mut self.logs {
            if entries.iter().any(|entry| entry.transaction == index) {
                entries.push(Entry { id: None, transaction: index });
            }
        }
    }

    fn last_stable(&self, log_index: usize) -> usize {
        let entries = &self.logs[log_index];
        let open = |entry: &Entry| self.fates[entry.transaction] == Fate::Open;
        entries.iter().position(open).unwrap_or(entries.len())
    }

    fn visible(&self, log_index: usize, from: usize, to: usize, dirty: bool) -> Vec<(i64, Seen)> {
        let all = self.logs[log_index].iter().enumerate().take(to).skip(from);
        all.filter(|(_, entry)| dirty || self.fates[entry.transaction] == Fate::Committed)
            .filter_map(|(at, entry)| Some((at as i64, Seen::Record(entry.id?))))
            .collect()
    }

    fn poll(&mut self, reader: u32, log_index: usize) {
        let dirty = reader == DIRTY;
        let to = if dirty { self.logs[log_index].len() } else { self.last_stable(log_index) };
        let from = self.positions.insert((reader, log_index), to).unwrap_or(0);
        let records = self.visible(log_index, from, to, dirty);
        if !records.is_empty() {
            let (reader, log) = (Session(reader), log(log_index as u32));
            self.note(Event::Polled { reader, pass: 0, log, records });
        }
    }

    /// Hanging transactions are ended, and everything is read to its end, without `lacking`.
    fn finish(mut self, lacking: Option<RecordId>) -> Report {
        for (producer, index) in self.open.clone() {
            self.settle(producer, index, false);
        }
        let mut history = std::mem::take(&mut self.history);
        for at in 0..2 {
            history = history.bounds(at as u32, 0, self.logs[at].len() as i64);
        }
        for reader in FINAL {
            history = history.begin_final(reader);
            for at in 0..2 {
                let mut records = self.visible(at, 0, self.logs[at].len(), false);
                records.retain(|(_, seen)| Some(*seen) != lacking.map(Seen::Record));
                history = history.polled_as(reader, at as u32, &records);
            }
            history = history.end_final(reader, true);
        }
        history.check()
    }
}

fn invalid(report: &Report) -> Vec<(Kind, u64)> {
    let of = |check: &model::finding::Check| {
        let kind = Kind::of(&check.name).expect("a kind");
        (check.verdict == CheckVerdict::Invalid).then_some((kind, check.count))
    };
    report.checks.iter().filter_map(of).collect()
}

fn steps() -> impl Strategy<Value = Vec<(u8, u32, usize, bool)>> {
    let told = prop::bool::weighted(0.85);
    prop::collection::vec((0u8..6, 1..=PRODUCERS, 0usize..2, told), 1..80)
}

/// The same steps, with every end told.
fn all_told(steps: &[(u8, u32, usize, bool)]) -> Cluster {
    let told = |(what, producer, log_index, told): &(u8, u32, usize, bool)| {
        (*what, *producer, *log_index, *told || matches!(what, 2 | 3))
    };
    played(&steps.iter().map(told).collect::<Vec<_>>())
}

fn played(steps: &[(u8, u32, usize, bool)]) -> Cluster {
    let mut cluster = Cluster::new();
    for (what, producer, log_index, told) in steps {
        cluster.step(*what, *producer, *log_index, *told);
    }
    cluster
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_done_right_is_valid(steps in steps()) {
        prop_assert_eq!(invalid(&played(&steps).finish(None)), []);
    }

    #[test]
    fn an_aborted_record_that_is_handed_out_is_g1a_and_nothing_else(steps in steps()) {
        let mut cluster = all_told(&steps);
        // Known to be aborted, and beyond what the reader was handed.
        let ended: Vec<usize> = (0..cluster.fates.len())
            .filter(|index| cluster.fates[*index] == Fate::Aborted)
            .collect();
        let from = cluster.positions.get(&(COMMITTED, 0)).copied().unwrap_or(0);
        let found = cluster.logs[0].iter().enumerate().skip(from).find_map(|(at, entry)| {
            ended.contains(&entry.transaction).then_some((at as i64, entry.id?))
        });
        let Some((offset, id)) = found else { return Ok(()) };
        let records = vec![(offset, Seen::Record(id))];
        let reader = Session(COMMITTED);
        let moved = ReaderEvent::Seek { log: log(0), offset };
        cluster.note(Event::Reader { reader, pass: 0, what: moved });
        cluster.note(Event::Polled { reader, pass: 0, log: log(0), records });
        prop_assert_eq!(invalid(&cluster.finish(None)), [(Kind::G1a, 1)]);
    }

    #[test]
    fn a_committed_record_that_is_missing_is_lost_and_may_tear(steps in steps()) {
        let cluster = all_told(&steps);
        let committed = |entry: &&Entry| cluster.fates[entry.transaction] == Fate::Committed;
        let lacking = cluster.logs[0].iter().filter(committed).find_map(|entry| entry.id);
        let Some(id) = lacking else { return Ok(()) };
        let found = invalid(&cluster.finish(Some(id)));
        let follows = [Kind::LostWrite, Kind::ReadThenLost, Kind::TornTransaction];
        prop_assert!(found.contains(&(Kind::LostWrite, 1)), "{:?}", found);
        prop_assert!(found.iter().all(|(kind, count)| follows.contains(kind) && *count == 1), "{:?}", found);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn as_operations_it_is_the_same_in_every_form(steps in steps()) {
        let (mut converter, mut operations) = (ToOperations::new(), Vec::new());
        for (at, event) in played(&steps).history.events.iter().enumerate() {
            let time = Time { mono_ns: at as u64 * 10_000_000, wall_ms: 0 };
            converter.feed(&time, event, |operation| operations.push(operation.clone()));
        }
        converter.finish(|operation| operations.push(operation.clone()));
        is_the_same_in_every_form(&operations, &Names::default());
    }
}
