//! Finds anomalies in histories of operations: sends, polls and transactions of processes, as Jepsen's Kafka workload
//! records them.
//!
//! Promises: what Jepsen's checker reports, under the same names; exact, with no clock in any answer; no history makes
//! it panic. Memory: about 50 bytes for each record, 50 for each operation and 12 for each run of records that a poll
//! found, however many readers there are; high offsets and holes cost nothing.
//! Absent on purpose: any judgement of what was promised. Kinds that Kafka allows keep their findings and say so.
//!
//! Where it departs from the reference: a value that nobody sent is a `phantom`, no crash; a record seen by a failed or
//! crashed poll was read, and proves that its transaction took effect; order is judged by the offsets that a poll or an
//! acknowledgement named, so that a duplicate is no jump as well; assigning a consumer does not excuse its producer;
//! a reader is excused by its own seeks and rebalances, and by nothing else; `stuck` is found; a search that takes too
//! long shows a longer cycle, never another verdict.
//!
//! Feed operations in the order of the history, then `finish`.

mod answer;
mod argument;
mod cycles;
mod feed;
mod graph;
mod logs;
mod order;
mod prose;
mod reading;
mod records;
mod stuck;
mod table;
mod tarjan;
#[cfg(test)]
pub(crate) mod tests;
mod walk;

use logs::Logs;
use model::finding::{Check, Counts};
use model::operation::{Atom, Names};
pub use prose::number_of;
use rustc_hash::FxHashMap;
use serde::Serialize;
use table::Table;

/// How the processes got the keys that they read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    #[default]
    Assign,
    /// Consumer groups: a rebalance may move a reader between its polls.
    Subscribe,
}

/// How the topics remove records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    Delete,
    Compact,
}

/// What a check needs to be told.
#[derive(Clone, Debug)]
pub struct Options {
    pub via: Via,
    /// Whether the order of records in a log orders their writers (`--no-ww-deps`: it does not).
    pub ww_deps: bool,
    /// Cycles of writes and reads are looked for without the edges of writes, so that none of them is legal, and cycles of
    /// writes beside them. A legal cycle hides nothing then.
    pub reads_apart: bool,
    pub cleanup: Option<Cleanup>,
    /// Findings kept for each kind; counts are exact all the same.
    pub findings_max: usize,
    /// Records named in a finding.
    pub ids_max: usize,
    /// Empty polls in a row, all begun after the records that they should have found, that make a reader `stuck`.
    pub stuck_polls_min: usize,
    /// Steps of the search for a short cycle, for each component; beyond it any cycle is shown.
    pub cycle_steps_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            via: Via::Assign,
            ww_deps: true,
            reads_apart: false,
            cleanup: None,
            findings_max: 4096,
            ids_max: 8,
            stuck_polls_min: 10,
            cycle_steps_max: 200_000,
        }
    }
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct OperationReport {
    /// One for each kind that can be found in operations, in the order of [`model::finding::Kind`].
    pub checks: Vec<Check>,
    pub counts: Counts,
    /// Completed operations of clients.
    pub operations: u64,
    /// What was odd about the history itself.
    pub warnings: Vec<String>,
}

/// Takes a history operation by operation.
pub struct OperationChecker {
    options: Options,
    logs: Logs,
    table: Table,
    processes: Vec<Process>,
    process_index: FxHashMap<Atom, u32>,
    /// Offsets that clients of indeterminate operations were told: they count if the operation took effect.
    claims: Vec<Claim>,
    /// Real time: it goes on when an operation begins after another one ended.
    epoch: u32,
    ended_in_epoch: bool,
    /// Lines fed.
    lines: u64,
    polled: u64,
    cut: Option<String>,
    odd: Odd,
    /// Memory of invocations that were completed.
    spare: Vec<Vec<(Atom, Atom)>>,
}

#[derive(Clone, Copy)]
struct Claim {
    key: u32,
    value: Atom,
    offset: i64,
    operation: u32,
}

struct Process {
    number: Atom,
    open: Option<Open>,
    /// Its last completion, if nothing was invoked since.
    last: Option<u32>,
}

/// An invocation without a completion so far.
struct Open {
    index: u64,
    at_ms: u32,
    begin: u32,
    sends: Vec<(Atom, Atom)>,
}

/// What a history should not hold.
#[derive(Default)]
struct Odd {
    repeated: u64,
    without_invocation: u64,
    never_completed: u64,
    without_type: u64,
    negative_offsets: u64,
    sent_twice: u64,
    not_understood: u64,
}

impl OperationChecker {
    pub fn new(options: Options) -> OperationChecker {
        OperationChecker {
            options,
            logs: Logs::default(),
            table: Table::default(),
            processes: Vec::new(),
            process_index: FxHashMap::default(),
            claims: Vec::new(),
            epoch: 0,
            ended_in_epoch: false,
            lines: 0,
            polled: 0,
            cut: None,
            odd: Odd::default(),
            spare: Vec::new(),
        }
    }

    /// Says that the history ends before its run did: what was not read may have been read later.
    pub fn history_was_cut(&mut self, because: &str) {
        self.cut = Some(because.to_owned());
    }

    /// The answer. `names` are those of the reader that the operations came from.
    pub fn finish(mut self, names: &Names) -> OperationReport {
        self.close();
        answer::report(self, names)
    }
}
