//! The same questions asked by brute force: every pair of everything, and plainly.

use super::generator::{Generator, Shape};
use super::history::{check_operations, found};
use crate::operations::{Options, Via};
use model::finding::Kind;
use model::operation::*;
use std::collections::{BTreeMap, BTreeSet};

type Record = (Atom, Atom);

struct Op {
    process: Atom,
    stage: Stage,
    function: Function,
    began: Option<usize>,
    ended: usize,
    sends: Vec<(Atom, Atom, Option<i64>)>,
    reads: Vec<(Atom, Atom, Option<i64>)>,
    keys: Vec<Atom>,
    seeks: bool,
    rebalanced: Vec<Atom>,
}

fn is_of_records(function: Function) -> bool {
    matches!(function, Function::Send | Function::Poll | Function::Txn)
}

fn op(operation: &Operation, began: Option<usize>, ended: usize) -> Op {
    let mut op = Op {
        process: operation.process.expect("a process"),
        stage: operation.stage.expect("a type"),
        function: operation.function.expect("a function"),
        began,
        ended,
        sends: Vec::new(),
        reads: Vec::new(),
        keys: operation.keys.clone(),
        seeks: operation.seek_to_beginning == Some(true),
        rebalanced: Vec::new(),
    };
    for entry in operation.rebalance_log.iter().flatten() {
        op.rebalanced.extend(&entry.keys);
    }
    for micro_operation in &operation.micro_operations {
        match *micro_operation {
            MicroOperation::Send { key, value, place } => {
                let offset = if let Place::At(offset) = place { Some(offset) } else { None };
                op.sends.push((key, value, offset));
            }
            MicroOperation::Poll { first, count } => {
                for batch in operation.batches_of(first, count) {
                    let records = operation.polled_of(batch).iter();
                    op.reads.extend(records.map(|record| (batch.key, record.value, record.offset)));
                }
            }
            _ => {}
        }
    }
    op
}

fn ops(history: &[Operation]) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    let mut open: BTreeMap<Atom, usize> = BTreeMap::new();
    for (now, line) in history.iter().enumerate() {
        let process = line.process.expect("a process");
        let of_records = is_of_records(line.function.expect("a function"));
        if (line.stage == Some(Stage::Invoke) || !of_records)
            && let Some(began) = open.remove(&process)
        {
            let mut lost = op(&history[began], Some(began), usize::MAX);
            lost.stage = Stage::Info;
            ops.push(lost);
        }
        if line.stage == Some(Stage::Invoke) {
            if of_records {
                open.insert(process, now);
            }
        } else {
            let began = open.remove(&process);
            ops.push(op(line, began, now));
        }
    }
    for (_, began) in open {
        let mut lost = op(&history[began], Some(began), usize::MAX);
        lost.stage = Stage::Info;
        ops.push(lost);
    }
    ops
}

struct Reference {
    ops: Vec<Op>,
    writer: BTreeMap<Record, usize>,
    polled: BTreeSet<Record>,
    polled_ok: BTreeSet<Record>,
    /// Offsets and values, as far as they count.
    places: BTreeSet<(Atom, i64, Atom)>,
    /// Where a value was first known to stand.
    first_known: BTreeMap<Record, i64>,
    /// Dense: how many offsets of the key are known below each.
    positions: BTreeMap<(Atom, i64), i64>,
}

impl Reference {
    fn new(history: &[Operation]) -> Reference {
        let ops = ops(history);
        let mut this = Reference {
            ops: Vec::new(),
            writer: BTreeMap::new(),
            polled: BTreeSet::new(),
            polled_ok: BTreeSet::new(),
            places: BTreeSet::new(),
            first_known: BTreeMap::new(),
            positions: BTreeMap::new(),
        };
        for (number, op) in ops.iter().enumerate() {
            for (key, value, _) in &op.sends {
                this.writer.insert((*key, *value), number);
            }
            for (key, value, _) in &op.reads {
                this.polled.insert((*key, *value));
                if op.stage == Stage::Ok {
                    this.polled_ok.insert((*key, *value));
                }
            }
        }
        this.ops = ops;
        for claims in [false, true] {
            for number in 0..this.ops.len() {
                let op = &this.ops[number];
                let mut told: Vec<(Atom, Atom, Option<i64>)> = Vec::new();
                if !claims && op.stage == Stage::Ok
                    || claims && op.stage == Stage::Info && this.committed(number)
                {
                    told.extend(&op.sends);
                }
                if !claims {
                    told.extend(&op.reads);
                }
                for (key, value, offset) in told {
                    let Some(offset) = offset else { continue };
                    this.places.insert((key, offset, value));
                    this.first_known.entry((key, value)).or_insert(offset);
                }
            }
        }
        let offsets: BTreeSet<(Atom, i64)> =
            this.places.iter().map(|place| (place.0, place.1)).collect();
        for place in &offsets {
            let below = offsets.iter().filter(|other| other.0 == place.0 && other.1 < place.1);
            this.positions.insert(*place, below.count() as i64);
        }
        this
    }

    fn committed(&self, number: usize) -> bool {
        let op = &self.ops[number];
        let read = op.sends.iter().any(|(key, value, _)| self.polled.contains(&(*key, *value)));
        op.stage == Stage::Ok || op.stage == Stage::Info && read
    }

    fn position(&self, key: Atom, offset: i64) -> i64 {
        self.positions[&(key, offset)]
    }

    fn positions(&self, record: Record) -> Vec<i64> {
        let own = self.places.iter().filter(|place| (place.0, place.2) == record);
        own.map(|place| self.position(record.0, place.1)).collect()
    }

    fn position_of(
        &self,
        (key, value, offset): (Atom, Atom, Option<i64>),
        counts: bool,
    ) -> Option<i64> {
        let offset =
            offset.filter(|_| counts).or_else(|| self.first_known.get(&(key, value)).copied())?;
        Some(self.position(key, offset))
    }

    fn records(&self, counts: &mut BTreeMap<Kind, u64>) {
        let mut add = |kind, count: usize| *counts.entry(kind).or_default() += count as u64;
        for (record, number) in &self.writer {
            let own = self.positions(*record);
            let same_key = self.polled_ok.iter().filter(|read| read.0 == record.0);
            let bound = same_key.filter_map(|read| self.positions(*read).into_iter().min()).max();
            let unread = !self.polled.contains(record);
            let passed =
                own.iter().max().is_some_and(|last| bound.is_some_and(|bound| *last <= bound));
            add(Kind::LostWrite, usize::from(unread && passed && self.committed(*number)));
            add(Kind::Unseen, usize::from(unread && self.ops[*number].stage == Stage::Ok));
            let failed = self.ops[*number].stage == Stage::Fail && self.polled_ok.contains(record);
            add(Kind::G1a, usize::from(failed));
            let by_itself = self.ops[*number].reads.iter().any(|read| (read.0, read.1) == *record);
            add(Kind::PrecommittedRead, usize::from(by_itself));
        }
        let values: BTreeSet<Record> = self.places.iter().map(|place| (place.0, place.2)).collect();
        let twice = |record: &&Record| self.positions(**record).len() > 1;
        add(Kind::Duplicate, values.iter().filter(twice).count());
        let offsets: BTreeSet<(Atom, i64)> =
            self.places.iter().map(|place| (place.0, place.1)).collect();
        let at = |place: &(Atom, i64)| self.places.iter().filter(|p| (p.0, p.1) == *place).count();
        add(Kind::InconsistentOffsets, offsets.iter().filter(|place| at(place) > 1).count());
        add(
            Kind::Phantom,
            self.polled.iter().filter(|read| !self.writer.contains_key(read)).count(),
        );
    }

    fn steps(&self, counts: &mut BTreeMap<Kind, u64>) {
        let mut add = |delta: i64, skip: Option<Kind>, back: Kind| {
            let kind = match delta {
                1 => None,
                2.. => skip,
                _ => Some(back),
            };
            if let Some(kind) = kind {
                *counts.entry(kind).or_default() += 1;
            }
        };
        let delta = |a: Option<i64>, b: Option<i64>| a.zip(b).map_or(1, |(a, b)| b - a);
        let keys: BTreeSet<Atom> =
            self.writer.keys().chain(&self.polled).map(|record| record.0).collect();
        for key in keys {
            let mut readers: BTreeMap<Atom, Option<i64>> = BTreeMap::new();
            let mut senders: BTreeMap<Atom, Option<i64>> = BTreeMap::new();
            for op in &self.ops {
                if op.rebalanced.contains(&key) {
                    readers.remove(&op.process);
                }
                if !is_of_records(op.function) {
                    if op.stage != Stage::Fail && (op.seeks || !op.keys.contains(&key)) {
                        readers.remove(&op.process);
                    }
                    continue;
                }
                let own = op.reads.iter().filter(|read| read.0 == key);
                let reads: Vec<_> = own.map(|read| self.position_of(*read, true)).collect();
                if !op.rebalanced.contains(&key) {
                    for pair in reads.windows(2) {
                        add(
                            delta(pair[0], pair[1]),
                            Some(Kind::IntPollSkip),
                            Kind::IntNonmonotonicPoll,
                        );
                    }
                }
                if let (Some(first), Some(before)) = (reads.first(), readers.get(&op.process)) {
                    add(delta(*before, *first), Some(Kind::PollSkip), Kind::NonmonotonicPoll);
                }
                if let (Some(last), Stage::Ok) = (reads.last(), op.stage) {
                    readers.insert(op.process, *last);
                }
                let own = op.sends.iter().filter(|send| send.0 == key);
                let ok = op.stage == Stage::Ok;
                let sends: Vec<_> = own.map(|send| self.position_of(*send, ok)).collect();
                for pair in sends.windows(2) {
                    add(
                        delta(pair[0], pair[1]),
                        Some(Kind::IntSendSkip),
                        Kind::IntNonmonotonicSend,
                    );
                }
                if let (Some(first), Some(last), true) =
                    (sends.first(), sends.last(), op.stage != Stage::Fail)
                    && let Some(before) = senders.insert(op.process, *last)
                {
                    add(delta(before, *first), None, Kind::NonmonotonicSend);
                }
            }
        }
    }

    /// `reach[a]` has the bit of `b`: a comes before b by an edge of these kinds.
    fn edges(&self, writes: bool, reads: bool, process: bool, realtime: bool) -> Vec<u128> {
        let mut edges = vec![0u128; self.ops.len()];
        let mut link = |a: usize, b: usize| {
            if a != b {
                edges[a] |= 1 << b;
            }
        };
        for (b, second) in self.ops.iter().enumerate() {
            for (a, first) in self.ops.iter().enumerate() {
                let records = is_of_records(first.function) && is_of_records(second.function);
                let ok = records && first.stage == Stage::Ok;
                if process
                    && ok
                    && second.stage == Stage::Ok
                    && a < b
                    && first.process == second.process
                {
                    link(a, b);
                }
                if realtime && ok && second.began.is_some_and(|began| first.ended < began) {
                    link(a, b);
                }
            }
            for (key, value, _) in second.reads.iter().filter(|_| reads) {
                if let Some(a) = self.writer.get(&(*key, *value)) {
                    link(*a, b);
                }
            }
        }
        for (first, second) in self.writes().filter(|_| writes) {
            link(first, second);
        }
        edges
    }

    /// Pairs of writers in the order of a log: of each value the first place, of each place one value.
    fn writes(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut written: Vec<(Atom, i64, usize)> = Vec::new();
        let offsets: BTreeSet<(Atom, i64)> =
            self.places.iter().map(|place| (place.0, place.1)).collect();
        for (key, offset) in offsets {
            let here = self.places.iter().filter(|place| (place.0, place.1) == (key, offset));
            let pick = here.map(|place| (!self.polled.contains(&(key, place.2)), place.2)).min();
            let (_, value) = pick.expect("something stands there");
            let first = self.places.iter().filter(|place| (place.0, place.2) == (key, value));
            let is_first = first.map(|place| place.1).min() == Some(offset);
            if let (Some(writer), true) = (self.writer.get(&(key, value)), is_first) {
                written.push((key, offset, *writer));
            }
        }
        let pairs = written.clone().into_iter().flat_map(move |first| {
            let later = written.clone().into_iter();
            later
                .filter(move |second| first.0 == second.0 && first.1 < second.1)
                .map(move |second| (first.2, second.2))
        });
        pairs.collect::<Vec<_>>().into_iter()
    }

    fn cycles(&self, ww_deps: bool, counts: &mut BTreeMap<Kind, u64>) {
        use Kind::{G0, G0Process, G0Realtime, G1c, G1cProcess, G1cRealtime};
        // Kind, reads, process, real time, and the kinds that imply it.
        let levels: [(Kind, bool, bool, bool, &[Kind]); 6] = [
            (G0, false, false, false, &[]),
            (G0Process, false, true, false, &[G0]),
            (G0Realtime, false, true, true, &[G0, G0Process]),
            (G1c, true, false, false, &[G0]),
            (G1cProcess, true, true, false, &[G0, G0Process, G1c]),
            (G1cRealtime, true, true, true, &[G0, G0Process, G0Realtime, G1c, G1cProcess]),
        ];
        let mut within: BTreeMap<Kind, u128> = BTreeMap::new();
        for (kind, reads, process, realtime, implied_by) in levels {
            if !ww_deps && !reads {
                continue;
            }
            let mut reach = self.edges(ww_deps, reads, process, realtime);
            for through in 0..reach.len() {
                for from in 0..reach.len() {
                    if reach[from] >> through & 1 == 1 {
                        reach[from] |= reach[through];
                    }
                }
            }
            let mut done = 0u128;
            for a in 0..reach.len() {
                let mutual = |b: &usize| reach[a] >> *b & 1 == 1 && reach[*b] >> a & 1 == 1;
                let component = (0..reach.len()).filter(mutual).fold(0u128, |set, b| set | 1 << b);
                if component == 0 || done >> a & 1 == 1 {
                    continue;
                }
                done |= component;
                *within.entry(kind).or_default() |= component;
                let implied = implied_by
                    .iter()
                    .any(|by| within.get(by).is_some_and(|set| set & component != 0));
                *counts.entry(kind).or_default() += u64::from(!implied);
            }
        }
    }
}

fn compare(seed: u64) -> usize {
    let defects = [0, 5, 20, 60][(seed % 4) as usize];
    let steps = [20, 40, 70][(seed / 4 % 3) as usize];
    let keys = 1 + seed % 3;
    let final_reads = !seed.is_multiple_of(5);
    let interleaved = seed % 7 < 3;
    let defects = if interleaved { defects / 4 } else { defects };
    let shape = Shape { defects, steps, keys, final_reads, interleaved, ..Shape::small() };
    let history = Generator::new(seed, shape).history();
    let reference = Reference::new(&history);
    assert!(reference.ops.len() <= 128);
    let ww_deps = seed.is_multiple_of(2);
    let mut counts = BTreeMap::new();
    reference.records(&mut counts);
    reference.steps(&mut counts);
    reference.cycles(ww_deps, &mut counts);
    let options = Options {
        ww_deps,
        via: if seed.is_multiple_of(3) { Via::Subscribe } else { Via::Assign },
        stuck_polls_min: usize::MAX,
        ..Options::default()
    };
    let report = check_operations((history, Names::default()), options);
    let expected: Vec<(Kind, u64)> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(found(&report), expected, "seed {seed}");
    expected.len()
}

#[test]
fn the_same_as_by_brute_force() {
    let kinds: usize = (0..20_000).map(compare).sum();
    assert!(kinds > 20_000, "few anomalies were among them: {kinds}");
}

#[test]
#[ignore = "takes minutes"]
fn the_same_as_by_brute_force_at_length() {
    (1_000_000..1_500_000).map(compare).for_each(drop);
}
