//! Every completed operation, in the order of completion, as little of it as can be judged by at the end.

use super::logs::{Log, Logs, NONE};
use model::operation::{Function, Stage};

/// It was completed without an invocation: nobody knows what it came after.
pub(super) const NO_BEGIN: u32 = u32::MAX;

#[derive(Clone, Copy)]
pub(super) struct Done {
    /// `:index`, or its place in the history.
    pub(super) index: u64,
    pub(super) at_ms: u32,
    /// The checker's own number of the process.
    pub(super) process: u32,
    /// Epochs of real time: one operation precedes another if it ended in an earlier epoch than the other began in.
    pub(super) begin: u32,
    pub(super) end: u32,
    /// Where its sends and reads end in the tables; they begin where those of the operation before it end.
    sends_end: u32,
    reads_end: u32,
    /// Its place in `assignments`.
    pub(super) assignment: u32,
    pub(super) stage: Stage,
    pub(super) kind: DoneKind,
    /// It had a poll among its micro-operations.
    pub(super) polls: bool,
    /// One of its records was read: it took effect, whatever its client knows.
    pub(super) committed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DoneKind {
    /// send, poll, txn
    Records,
    Assign,
    Subscribe,
    /// A crash, or another end of the client.
    Crash,
}

impl DoneKind {
    pub(super) fn of(function: Function) -> Option<DoneKind> {
        match function {
            Function::Send | Function::Poll | Function::Txn => Some(DoneKind::Records),
            Function::Assign => Some(DoneKind::Assign),
            Function::Subscribe => Some(DoneKind::Subscribe),
            Function::Crash => Some(DoneKind::Crash),
            Function::DebugTopicPartitions | Function::Other(_) => None,
        }
    }
}

/// What moved a reader: keys that it was given, and keys that a rebalance touched.
#[derive(Clone, Default)]
pub(super) struct Assignment {
    pub(super) keys: Vec<u32>,
    pub(super) seek_to_beginning: bool,
    pub(super) rebalanced: Vec<u32>,
}

/// `length` rows from `row` on, each the `next` of the one before.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) key: u32,
    pub(super) row: u32,
    length: u32,
}

#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) key: u32,
    pub(super) row: u32,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) list: Vec<Done>,
    sends: Vec<Sent>,
    runs: Vec<Run>,
    assignments: Vec<Assignment>,
    /// The last row of the last run, while its batch goes on.
    last: u32,
}

impl Table {
    pub(super) fn sent(&mut self, key: u32, row: u32) {
        self.sends.push(Sent { key, row });
    }

    /// The next rows read are of another batch.
    pub(super) fn begin_batch(&mut self) {
        self.last = NONE;
    }

    /// The row that others read next in this batch.
    #[inline]
    pub(super) fn expected(&self, log: &Log) -> Option<u32> {
        let last = log.rows.get(self.last as usize)?;
        (last.next != NONE).then_some(last.next)
    }

    #[inline]
    pub(super) fn read(&mut self, log: &mut Log, key: u32, row: u32) {
        if self.last != NONE {
            let next = &mut log.rows[self.last as usize].next;
            if *next == NONE {
                *next = row;
            }
            let run = self.runs.last_mut().expect("a batch under way has a run");
            if *next == row && run.length < u32::MAX {
                run.length += 1;
                self.last = row;
                return;
            }
        }
        self.runs.push(Run { key, row, length: 1 });
        self.last = row;
    }

    /// The operation whose sends and reads were just put in; its number.
    pub(super) fn push(&mut self, mut done: Done) -> u32 {
        let number = self.list.len() as u32;
        assert!(number < u32::MAX / 4, "as many operations as there are numbers for them");
        done.sends_end = self.sends.len() as u32;
        done.reads_end = self.runs.len() as u32;
        self.list.push(done);
        number
    }

    pub(super) fn assign(&mut self, assignment: Assignment) -> u32 {
        self.assignments.push(assignment);
        self.assignments.len() as u32 - 1
    }

    pub(super) fn done(&self, number: u32) -> &Done {
        &self.list[number as usize]
    }

    pub(super) fn assignment(&self, done: &Done) -> Option<&Assignment> {
        self.assignments.get(done.assignment as usize)
    }

    pub(super) fn sends(&self, number: u32) -> &[Sent] {
        let (from, to) = self.range(number, |done| done.sends_end);
        &self.sends[from..to]
    }

    pub(super) fn runs(&self, number: u32) -> &[Run] {
        let (from, to) = self.range(number, |done| done.reads_end);
        &self.runs[from..to]
    }

    fn range(&self, number: u32, end: impl Fn(&Done) -> u32) -> (usize, usize) {
        let before = number.checked_sub(1).map_or(0, |before| end(self.done(before)));
        (before as usize, end(self.done(number)) as usize)
    }

    /// Every row that an operation read, in order.
    pub(super) fn reads<'a>(
        &'a self,
        logs: &'a Logs,
        number: u32,
    ) -> impl Iterator<Item = (u32, u32)> + 'a {
        self.runs(number).iter().flat_map(|run| run.rows(logs).map(|row| (run.key, row)))
    }
}

impl Run {
    pub(super) fn rows(self, logs: &Logs) -> impl Iterator<Item = u32> + '_ {
        let rows = &logs.get(self.key).rows;
        let mut row = self.row;
        (0..self.length).map(move |step| {
            if step > 0 {
                row = rows[row as usize].next;
            }
            row
        })
    }

    pub(super) fn length(self) -> u32 {
        self.length
    }
}

impl Done {
    pub(super) fn new(index: u64, at_ms: u32, process: u32, stage: Stage, kind: DoneKind) -> Done {
        Done {
            index,
            at_ms,
            process,
            begin: NO_BEGIN,
            end: 0,
            sends_end: 0,
            reads_end: 0,
            assignment: NONE,
            stage,
            kind,
            polls: false,
            committed: false,
        }
    }
}
