//! The checks: what was found of each kind, and what that means.

use super::cycles::{Cycles, cycles};
use super::graph::Graph;
use super::logs::{Fate, Logs};
use super::order::orders;
use super::prose::Telling;
use super::stuck::stuck;
use super::walk::walk;
use super::{OperationChecker, OperationReport, Options, Via};
use crate::prose::count_of;
use model::finding::{Check, CheckVerdict, Counts, Finding, Kind};
use model::operation::Names;
use std::collections::BTreeMap;

/// What there is to say about one kind.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) count: u64,
    pub(super) findings: Vec<Finding>,
    /// Why it cannot be told whether that is wrong.
    pub(super) unknown: Option<String>,
    /// Beside the verdict.
    pub(super) note: Option<String>,
}

/// The kinds that operations can show, in the order in which they are told.
const KINDS: [Kind; 20] = [
    Kind::LostWrite,
    Kind::Unseen,
    Kind::Duplicate,
    Kind::InconsistentOffsets,
    Kind::Phantom,
    Kind::PollSkip,
    Kind::NonmonotonicPoll,
    Kind::IntPollSkip,
    Kind::IntNonmonotonicPoll,
    Kind::NonmonotonicSend,
    Kind::IntNonmonotonicSend,
    Kind::IntSendSkip,
    Kind::G1a,
    Kind::PrecommittedRead,
    Kind::G0,
    Kind::G0Process,
    Kind::G0Realtime,
    Kind::G1c,
    Kind::G1cProcess,
    Kind::G1cRealtime,
];

/// Why Kafka allows a kind, with these options.
fn allowed(kind: Kind, options: &Options) -> Option<&'static str> {
    match kind {
        Kind::IntSendSkip => Some("allowed: Kafka's transactions do not keep others' records out"),
        Kind::G0 | Kind::G0Process | Kind::G0Realtime => {
            Some("allowed: Kafka's transactions do not isolate writes from each other")
        }
        Kind::G1c | Kind::G1cProcess | Kind::G1cRealtime
            if options.ww_deps && !options.reads_apart =>
        {
            Some(
                "allowed: writes are not isolated from each other, so that cycles with write-write edges are normal",
            )
        }
        Kind::PollSkip | Kind::NonmonotonicPoll if options.via == Via::Subscribe => {
            Some("allowed: a rebalance may move a subscribed reader between its polls")
        }
        _ => None,
    }
}

pub(super) fn report(mut checker: OperationChecker, names: &Names) -> OperationReport {
    checker.settle();
    let orders = orders(&checker.logs);
    let processes = checker.processes.len();
    let kept_max = checker.options.findings_max;
    let mut walked = walk(&mut checker.logs, &checker.table, &orders, processes, kept_max);
    let graph = Graph::new(&checker.logs, &checker.table, &orders, processes, checker.epoch);
    let mut found_cycles = all_cycles(&graph, &checker.options);
    let polls_min = checker.options.stuck_polls_min;
    let found_stuck = match checker.cut {
        Some(_) => Vec::new(),
        None => stuck(&checker.logs, &checker.table, &orders, &walked, polls_min),
    };
    let nothing = checker.polled == 0 && checker.logs.list.iter().all(|log| log.rows.is_empty());
    let mut telling = Telling::new(&checker, &orders, names);
    let mut checks = Vec::new();
    for kind in KINDS {
        let answer = match kind {
            Kind::LostWrite => telling.lost(),
            Kind::Unseen => telling.unseen(),
            Kind::Duplicate => telling.duplicates(),
            Kind::InconsistentOffsets => telling.inconsistent_offsets(),
            Kind::Phantom => telling.phantoms(),
            Kind::G1a => telling.bad_reads(kind, &walked.aborted),
            Kind::PrecommittedRead => telling.bad_reads(kind, &walked.precommitted),
            Kind::G0
            | Kind::G0Process
            | Kind::G0Realtime
            | Kind::G1c
            | Kind::G1cProcess
            | Kind::G1cRealtime => {
                let found = found_cycles.remove(&kind).unwrap_or_default();
                let findings = found.kept.iter().map(|cycle| telling.cycle(kind, cycle)).collect();
                Answer { count: found.count, findings, ..Answer::default() }
            }
            _ => telling.steps(kind, walked.steps(kind)),
        };
        checks.push(check(kind, answer, &checker, nothing));
    }
    let findings = found_stuck.iter().take(kept_max).map(|stuck| telling.stuck(stuck)).collect();
    let answer = Answer { count: found_stuck.len() as u64, findings, ..Answer::default() };
    checks.push(check(Kind::Stuck, answer, &checker, nothing));
    OperationReport {
        checks,
        counts: counts(&checker.logs, checker.polled),
        operations: checker.table.list.len() as u64,
        warnings: checker.warnings(),
    }
}

fn all_cycles(graph: &Graph<'_>, options: &Options) -> BTreeMap<Kind, Cycles> {
    let mut found = cycles(graph, options);
    if options.reads_apart {
        found.retain(|kind, _| !kind.has_reads());
        found.extend(cycles(graph, &Options { ww_deps: false, ..options.clone() }));
    }
    found
}

fn check(kind: Kind, answer: Answer, checker: &OperationChecker, nothing: bool) -> Check {
    let cut = checker.cut.as_ref().filter(|_| kind == Kind::Unseen || kind == Kind::Stuck);
    let cut = cut.map(|because| format!("the history was cut: {because}"));
    let unknown = answer.unknown.or(cut);
    let (verdict, because) = if nothing {
        (CheckVerdict::Unknown, Some("nothing was sent and nothing was polled".to_owned()))
    } else if answer.count == 0 {
        match unknown.filter(|_| kind == Kind::Stuck) {
            Some(because) => (CheckVerdict::Unknown, Some(because)),
            None => (CheckVerdict::Valid, answer.note),
        }
    } else if let Some(because) = allowed(kind, &checker.options) {
        (CheckVerdict::Valid, Some(because.to_owned()))
    } else if unknown.is_some() {
        (CheckVerdict::Unknown, unknown)
    } else {
        (CheckVerdict::Invalid, answer.note)
    };
    let (name, count) = (kind.as_str().to_owned(), answer.count);
    Check { name, verdict, count, because, findings: answer.findings }
}

fn counts(logs: &Logs, polled: u64) -> Counts {
    let mut counts = Counts { polled, ..Counts::default() };
    for log in &logs.list {
        for main in log.mains() {
            let read = u64::from(log.is_polled(main));
            match log.fate(main) {
                Fate::Unsent => continue,
                Fate::Fail => counts.fail += 1,
                Fate::Info => {
                    counts.info += 1;
                    counts.info_read += read;
                }
                Fate::Ok => {
                    counts.ok += 1;
                    counts.ok_read += read;
                }
            }
            counts.read += read;
        }
    }
    counts
}

impl OperationChecker {
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut say = |count: u64, noun: &str, rest: &str| {
            if count > 0 {
                warnings.push(format!("the history holds {} {rest}", count_of(count, noun)));
            }
        };
        let odd = &self.odd;
        say(odd.repeated, "completion", "that said again what had been said");
        say(odd.without_invocation, "completion", "without an invocation");
        say(odd.never_completed, "invocation", "without a completion, taken as :info");
        say(odd.without_type, "operation", "without a :type, left out");
        say(odd.negative_offsets, "offset", "that no log can have, taken as unknown");
        say(odd.sent_twice, "value", "sent to a key that had been sent it before");
        say(odd.not_understood, "micro-operation", "that could not be understood, left out");
        if let Some(because) = &self.cut {
            warnings.push(format!("the history was cut: {because}"));
        }
        warnings
    }
}
