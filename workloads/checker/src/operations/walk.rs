//! What each operation did, against the order of the logs: one walk over all of them.

use super::logs::{COUNTED_G1A, COUNTED_PRECOMMITTED, Fate, Logs, NONE};
use super::order::Order;
use super::table::{Done, DoneKind, Table};
use model::finding::Kind;
use model::operation::Stage;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// A pair of rows that follow each other where they should not, however many operations went that way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    pub(super) key: u32,
    pub(super) from: u32,
    pub(super) to: u32,
}

/// The first operations that made a step, and how many did.
#[derive(Clone, Copy)]
pub(super) struct Tally {
    pub(super) before: u32,
    pub(super) operation: u32,
    pub(super) count: u64,
}

/// All wrong steps of one kind.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) count: u64,
    /// The first distinct ones, up to a bound.
    pub(super) kept: BTreeMap<Step, Tally>,
}

/// A record that an operation should not have read.
#[derive(Clone, Copy)]
pub(super) struct BadRead {
    pub(super) key: u32,
    pub(super) main: u32,
    pub(super) reader: u32,
}

#[derive(Default)]
pub(super) struct BadReads {
    pub(super) count: u64,
    pub(super) kept: Vec<BadRead>,
}

#[derive(Default)]
pub(super) struct Walked {
    steps: BTreeMap<Kind, Steps>,
    pub(super) aborted: BadReads,
    pub(super) precommitted: BadReads,
    /// By process: the row after which its reader stands, by key, at the end of the history.
    pub(super) positions: Vec<FxHashMap<u32, (u32, u32)>>,
}

impl Walked {
    pub(super) fn steps(&mut self, kind: Kind) -> Steps {
        self.steps.remove(&kind).unwrap_or_default()
    }
}

struct Walk<'a> {
    logs: &'a mut Logs,
    table: &'a Table,
    orders: &'a [Order],
    kept_max: usize,
    walked: Walked,
    /// By process and key: the last row sent, and by which operation.
    sends: Vec<FxHashMap<u32, (u32, u32)>>,
    /// By key: the operation that was last at it in this walk, and its first and last row there.
    here: Vec<(u32, u32, u32)>,
    touched: Vec<u32>,
}

pub(super) fn walk(
    logs: &mut Logs,
    table: &Table,
    orders: &[Order],
    processes: usize,
    kept_max: usize,
) -> Walked {
    let here = vec![(NONE, NONE, NONE); logs.list.len()];
    let walked = Walked { positions: vec![FxHashMap::default(); processes], ..Walked::default() };
    let sends = vec![FxHashMap::default(); processes];
    let mut walk = Walk { logs, table, orders, kept_max, walked, sends, here, touched: Vec::new() };
    for number in 0..table.list.len() as u32 {
        let done = table.done(number);
        match done.kind {
            DoneKind::Records => {
                walk.reads(number, done);
                walk.sends(number, done);
            }
            _ => walk.moved(done),
        }
    }
    walk.walked
}

impl Walk<'_> {
    /// Keys that it was not given are forgotten; after a seek, all are.
    fn moved(&mut self, done: &Done) {
        let Some(assignment) = self.table.assignment(done) else { return };
        let positions = &mut self.walked.positions[done.process as usize];
        for key in &assignment.rebalanced {
            positions.remove(key);
        }
        if done.stage == Stage::Fail || done.kind == DoneKind::Crash {
            return;
        }
        if assignment.seek_to_beginning {
            positions.clear();
        } else {
            positions.retain(|key, _| assignment.keys.contains(key));
        }
    }

    fn reads(&mut self, number: u32, done: &Done) {
        let rebalanced = self.table.assignment(done).map_or(&[][..], |given| &given.rebalanced);
        for key in rebalanced {
            self.walked.positions[done.process as usize].remove(key);
        }
        self.touched.clear();
        let sends = self.table.sends(number);
        for run in self.table.runs(number) {
            self.read(number, done, run.key, run.row, rebalanced);
            let writes_there = sends.iter().any(|sent| sent.key == run.key);
            let (mut row, mut left) = (run.row, run.length() - 1);
            while left > 0 {
                let order = &self.orders[run.key as usize];
                // Each a step of one, and to no record that it should not have read.
                if let Some((steps, last)) = order.ahead(row, left).filter(|_| !writes_there) {
                    (row, left) = (last, left - steps);
                    self.here[run.key as usize].2 = row;
                    continue;
                }
                (row, left) = (self.logs.get(run.key).row(row).next, left - 1);
                self.read(number, done, run.key, row, rebalanced);
            }
        }
        if done.stage != Stage::Ok {
            return;
        }
        for key in &self.touched {
            let last = self.here[*key as usize].2;
            self.walked.positions[done.process as usize].insert(*key, (last, number));
        }
    }

    #[inline]
    fn read(&mut self, number: u32, done: &Done, key: u32, row: u32, rebalanced: &[u32]) {
        self.bad_reads(number, done, key, row);
        let here = &mut self.here[key as usize];
        if here.0 == number {
            let from = std::mem::replace(&mut here.2, row);
            if rebalanced.is_empty() || !rebalanced.contains(&key) {
                let kinds = (Some(Kind::IntPollSkip), Kind::IntNonmonotonicPoll);
                self.step(kinds, Step { key, from, to: row }, number, number);
            }
            return;
        }
        *here = (number, row, row);
        self.touched.push(key);
        let position = self.walked.positions[done.process as usize].get(&key);
        if let Some((from, before)) = position.copied() {
            let kinds = (Some(Kind::PollSkip), Kind::NonmonotonicPoll);
            self.step(kinds, Step { key, from, to: row }, before, number);
        }
    }

    #[inline]
    fn bad_reads(&mut self, number: u32, done: &Done, key: u32, row: u32) {
        let log = self.logs.get_mut(key);
        let main = log.main(row);
        let bad = BadRead { key, main, reader: number };
        if done.stage == Stage::Ok && log.fate(main) == Fate::Fail && log.mark(main, COUNTED_G1A) {
            self.walked.aborted.add(bad, self.kept_max);
        }
        if log.writer(main) == Some(number) && log.mark(main, COUNTED_PRECOMMITTED) {
            self.walked.precommitted.add(bad, self.kept_max);
        }
    }

    fn sends(&mut self, number: u32, done: &Done) {
        let sends = self.table.sends(number);
        if sends.is_empty() {
            return;
        }
        self.touched.clear();
        // Reads of the same operation left their own marks.
        let mark = number | 1 << 31;
        for sent in sends {
            let here = &mut self.here[sent.key as usize];
            if here.0 == mark {
                let from = std::mem::replace(&mut here.2, sent.row);
                let kinds = (Some(Kind::IntSendSkip), Kind::IntNonmonotonicSend);
                let step = Step { key: sent.key, from, to: sent.row };
                self.step(kinds, step, number, number);
            } else {
                *here = (mark, sent.row, sent.row);
                self.touched.push(sent.key);
            }
        }
        if done.stage == Stage::Fail {
            return;
        }
        for at in 0..self.touched.len() {
            let key = self.touched[at];
            let (_, first, last) = self.here[key as usize];
            let before = self.sends[done.process as usize].insert(key, (last, number));
            if let Some((from, before)) = before {
                let step = Step { key, from, to: first };
                self.step((None, Kind::NonmonotonicSend), step, before, number);
            }
        }
    }

    /// Holds a step against the order: too far, or not forward.
    #[inline]
    fn step(&mut self, kinds: (Option<Kind>, Kind), step: Step, before: u32, operation: u32) {
        let delta = self.orders[step.key as usize].step(step.from, step.to).unwrap_or(1);
        let kind = match delta {
            1 => return,
            2.. => kinds.0,
            _ => Some(kinds.1),
        };
        let Some(kind) = kind else { return };
        let steps = self.walked.steps.entry(kind).or_default();
        steps.count += 1;
        if let Some(tally) = steps.kept.get_mut(&step) {
            tally.count += 1;
        } else if steps.kept.len() < self.kept_max {
            steps.kept.insert(step, Tally { before, operation, count: 1 });
        }
    }
}

impl BadReads {
    fn add(&mut self, bad: BadRead, kept_max: usize) {
        self.count += 1;
        if self.kept.len() < kept_max {
            self.kept.push(bad);
        }
    }
}
