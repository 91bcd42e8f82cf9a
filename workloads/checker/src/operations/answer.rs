//! The checks: what was found of each kind, and what that means.

use super::cycles::{Cycle, cycles};
use super::graph::Graph;
use super::order::orders;
use super::prose::{Telling, count_of, offsets, plural, stage};
use super::records::removable;
use super::stuck::{Stuck, stuck};
use super::walk::{BadReads, Step, Steps, Tally, walk};
use super::{Cleanup, OperationChecker, OperationReport, Options, Via};
use crate::operations::logs::{Fate, Logs};
use model::finding::{Check, CheckVerdict, Counts, CycleStep, Edge, Finding, Kind};
use model::operation::Names;

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
        Kind::G1c | Kind::G1cProcess | Kind::G1cRealtime if options.ww_deps => Some(
            "allowed: writes are not isolated from each other, so that cycles with write-write edges are normal",
        ),
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
    let mut found_cycles = cycles(&graph, &checker.options);
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

impl Telling<'_> {
    /// Records that were read and must not be, or not by that operation.
    fn bad_reads(&self, kind: Kind, reads: &BadReads) -> Answer {
        let findings = reads.kept.iter().map(|bad| {
            let reader = self.operation(bad.reader);
            let place = format!("{} of {}", self.place(bad.key, bad.main), self.key(bad.key));
            let log = self.logs.get(bad.key);
            let writer = log.writer(bad.main).map(|writer| self.operation(writer));
            let writer = writer.unwrap_or_default();
            let because = match kind {
                Kind::G1a => format!("{writer} certainly failed, and {reader} read its {place}."),
                _ => format!(
                    "{reader} read {place}, which it had sent itself and not committed: nobody should have been \
                     able to see that yet."
                ),
            };
            let mut finding = self.finding(kind, bad.key, 1, capital(because));
            finding.first_offset = self.offset(bad.key, bad.main);
            finding.last_offset = finding.first_offset;
            finding.ids.extend(self.id(bad.key, bad.main));
            finding.evidence.extend(self.send_evidence(bad.key, bad.main));
            let what = format!("polled ({})", stage(self.table.done(bad.reader).stage));
            finding.evidence.push(self.evidence(&what, bad.reader, Some((bad.key, bad.main))));
            finding
        });
        Answer { count: reads.count, findings: findings.collect(), ..Answer::default() }
    }

    fn steps(&self, kind: Kind, steps: Steps) -> Answer {
        let findings = steps.kept.iter().map(|(step, tally)| self.step(kind, step, tally));
        let mut answer = Answer { findings: findings.collect(), ..Answer::default() };
        answer.count = steps.count;
        let skip = matches!(kind, Kind::PollSkip | Kind::IntPollSkip) && steps.count > 0;
        match self.options.cleanup.filter(|_| skip) {
            Some(Cleanup::Compact) => {
                answer.unknown = Some("compaction may have removed what was passed over".into());
            }
            Some(Cleanup::Delete) if self.overtaken(&steps) => {
                answer.unknown = Some(
                    "retention may have removed what was passed over: no later read began there"
                        .into(),
                );
            }
            _ => {}
        }
        answer
    }

    /// Whether retention may explain every one of these skips.
    fn overtaken(&self, steps: &Steps) -> bool {
        let beginnings = self.beginnings();
        let all_kept = steps.kept.len() < self.options.findings_max;
        all_kept
            && steps.kept.iter().all(|(step, tally)| {
                let order = &self.orders[step.key as usize];
                let last = order.position(step.to).and_then(|to| to.checked_sub(1));
                let last = last.and_then(|last| self.offset(step.key, order.pick(last)));
                last.is_some_and(|last| removable(&beginnings, step.key, tally.operation, last))
            })
    }

    fn step(&self, kind: Kind, step: &Step, tally: &Tally) -> Finding {
        let (key, order) = (step.key, &self.orders[step.key as usize]);
        let (from, to) = (self.place(key, step.from), self.place(key, step.to));
        let (before, after) = (self.operation(tally.before), self.operation(tally.operation));
        let key_name = self.key(key);
        let between = order.position(step.from).zip(order.position(step.to));
        let between = between.filter(|(from, to)| to > from).map(|(from, to)| {
            let (first, last) = (order.pick(from + 1), order.pick(to - 1));
            let count = u64::from(to - from - 1);
            let place = offsets(self.offset(key, first), self.offset(key, last));
            let (is, values) = (plural(count, "stands", "stand"), self.value(key, first));
            format!(
                "Between them {is} {} ({place}), the first of them value {values}.",
                count_of(count, "record")
            )
        });
        let between = between.unwrap_or_default();
        let text = match kind {
            Kind::PollSkip => format!(
                "{before} ended its reads of {key_name} with {from}, and {after} of the same \
                process went on with {to}. {between}"
            ),
            Kind::NonmonotonicPoll => format!(
                "{before} ended its reads of {key_name} with {from}, and {after} of \
                the same process went back to {to}."
            ),
            Kind::IntPollSkip => {
                format!("{after} read {from} of {key_name} and then {to}. {between}")
            }
            Kind::IntNonmonotonicPoll => {
                format!("{after} read {from} of {key_name} and then {to}, which is not behind it.")
            }
            Kind::NonmonotonicSend => format!(
                "{before} last sent {from} to {key_name}, and {after} of the same \
                process then sent {to}, which stands no later in the log."
            ),
            Kind::IntNonmonotonicSend => {
                format!(
                    "{after} sent {from} to {key_name} and then {to}, which stands no later in the log."
                )
            }
            _ => format!("{after} sent {from} to {key_name} and then {to}. {between}"),
        };
        let more = match tally.count {
            0 | 1 => String::new(),
            count => format!(" {} did so.", count_of(count, "operation")),
        };
        let mut finding =
            self.finding(kind, key, tally.count, capital(text.trim_end().to_owned() + &more));
        let ends = (self.offset(key, step.from), self.offset(key, step.to));
        (finding.first_offset, finding.last_offset) = (ends.0.min(ends.1), ends.0.max(ends.1));
        finding.ids.extend(self.id(key, step.from));
        finding.ids.extend(self.id(key, step.to));
        let sends =
            matches!(kind, Kind::NonmonotonicSend | Kind::IntNonmonotonicSend | Kind::IntSendSkip);
        for (number, row) in [(tally.before, step.from), (tally.operation, step.to)] {
            let outcome = stage(self.table.done(number).stage);
            let what =
                if sends { format!("send {outcome}") } else { format!("polled ({outcome})") };
            finding.evidence.push(self.evidence(&what, number, Some((key, row))));
        }
        finding
    }

    fn stuck(&self, stuck: &Stuck) -> Finding {
        let key = stuck.key;
        let (first, last) = (self.offset(key, stuck.first), self.offset(key, stuck.last));
        let from = match stuck.after {
            Some(row) => format!("after {}", self.place(key, row)),
            None => "at the beginning".into(),
        };
        let because = format!(
            "{} stands {from} of {} and polled {} with nothing to show, to the end of the history. All that time {} \
             ({}) {} there for it: acknowledged before those polls began.",
            self.process(stuck.process),
            self.key(key),
            count_of(stuck.polls, "time"),
            count_of(stuck.count, "record"),
            offsets(first, last),
            plural(stuck.count, "was", "were"),
        );
        let mut finding = self.finding(Kind::Stuck, key, stuck.count, capital(because));
        (finding.first_offset, finding.last_offset) = (first, last);
        finding.ids.extend(self.id(key, stuck.first));
        finding.evidence.extend(self.send_evidence(key, stuck.first));
        finding.evidence.push(self.evidence("polled nothing (ok)", stuck.poll, None));
        finding
    }

    /// The argument: each operation before the next, and the last before the first.
    fn cycle(&self, kind: Kind, cycle: &Cycle) -> Finding {
        let length = cycle.steps.len();
        let mut key = 0;
        let mut steps = Vec::new();
        let mut text = format!(
            "No order of these {length} operations can be right: each must come before the next, and the last before \
             the first."
        );
        let mut evidence = Vec::new();
        for (at, (from, edge)) in cycle.steps.iter().enumerate() {
            let next = (at + 1) % length;
            let to = cycle.steps[next].0;
            let (place, why) = self.edge(*from, to, *edge);
            key = place.unwrap_or(key);
            let end = if next == 0 { ": a contradiction" } else { "" };
            text += &format!("\n{}. {why}{end}.", at + 1);
            let log = place.map(|key| self.finding(kind, key, 0, String::new()).log);
            steps.push(CycleStep { from: at, to: next, edge: *edge, log, because: why });
            let what = stage(self.table.done(*from).stage);
            evidence.push(self.evidence(what, *from, None));
        }
        if cycle.component > length as u64 {
            let all = count_of(cycle.component, "operation");
            text += &format!("\nThe cycle is one of several among {all} that cannot be ordered.");
        }
        if cycle.unfinished {
            text += " There may be a shorter one: the search for it was given up.";
        }
        let mut finding = self.finding(kind, key, length as u64, text);
        (finding.evidence, finding.cycle) = (evidence, steps);
        finding
    }

    /// Why `from` comes before `to`, and for which key.
    fn edge(&self, from: u32, to: u32, edge: Edge) -> (Option<u32>, String) {
        let (before, after) = (self.operation(from), self.operation(to));
        match edge {
            Edge::Process => (
                None,
                format!(
                    "{} did {before} before {after}",
                    capital(self.process(self.table.done(to).process))
                ),
            ),
            Edge::Realtime => (None, format!("{} had ended before {after} began", capital(before))),
            Edge::WriteRead => {
                let read = self.table.reads(self.logs, to).find(|(key, row)| {
                    let log = self.logs.get(*key);
                    log.writer(log.main(*row)) == Some(from)
                });
                let place = read.map_or_else(String::new, |(key, row)| {
                    format!("{} to {}", self.place(key, row), self.key(key))
                });
                let why = format!("{} sent {place}, and {after} read it", capital(before));
                (read.map(|read| read.0), why)
            }
            Edge::WriteWrite => {
                let sent =
                    self.table.sends(to).iter().find_map(|sent| {
                        let log = self.logs.get(sent.key);
                        let order = &self.orders[sent.key as usize];
                        let main = log.main(sent.row);
                        let position = order.write_before(log, main)?;
                        (log.writer(main) == Some(to) && order.writer_at(position) == from)
                            .then_some((sent.key, order.pick(position), main))
                    });
                let why = sent.map_or_else(String::new, |(key, first, second)| {
                    format!(
                        "{} sent {} to {}, and {after} the next one there, {}",
                        capital(before.clone()),
                        self.place(key, first),
                        self.key(key),
                        self.place(key, second)
                    )
                });
                (sent.map(|sent| sent.0), why)
            }
        }
    }
}

fn capital(text: String) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().collect::<String>() + chars.as_str(),
        None => text,
    }
}
