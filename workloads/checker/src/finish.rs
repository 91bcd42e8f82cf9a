//! The end: what the final reads cover, and every kind's answer.

mod fold;
mod groups;
mod loss;
mod order;
mod places;
mod progress;
mod reading;
mod sweep;
mod transactions;

use super::*;
use crate::prose::{self, count_of, readers_word};
use model::finding::{CheckVerdict, Finding, Kind, Scope};
use std::collections::{BTreeMap, BTreeSet};

/// What one kind came to.
#[derive(Default)]
struct Answer {
    count: u64,
    findings: Vec<Finding>,
    /// Why this cannot be told, if nothing was found.
    unknown: Option<String>,
}

/// The checker with what its final reads cover.
struct Closing<'a> {
    checker: &'a Checker,
    /// For each log: the complete final passes over it, or why there are too few.
    covered: Vec<Result<u16, String>>,
    /// Some log with acknowledged (or acks=0) records was not finally read: why.
    incomplete: Option<String>,
}

impl Checker {
    /// No event follows. Gives the answers.
    pub fn finish(mut self) -> Report {
        let cycles = self.cycles.take();
        let covered: Vec<_> = (0..self.logs.len()).map(|index| self.coverage(index)).collect();
        let incomplete = self.incomplete(&covered);
        let closing = Closing { checker: &self, covered, incomplete };
        let mut sweep = closing.sweep();
        let counts = std::mem::take(&mut sweep.counts);
        let open_sends = std::mem::take(&mut sweep.open_sends);
        let of_either = sweep.losses.of_either;
        let mut losses = closing.losses(std::mem::take(&mut sweep.losses));
        let nothing_read = (counts.polled == 0
            && counts.ok + counts.info + counts.unacknowledged > 0)
            .then(|| "no reader was handed any record".to_string());
        let mut checks: Vec<Check> = Kind::all()
            .filter_map(|kind| {
                let answer = match kind {
                    Kind::LostWrite => std::mem::take(&mut losses.lost),
                    Kind::Unseen => std::mem::take(&mut losses.unseen),
                    Kind::ReadThenLost => std::mem::take(&mut losses.read_then_lost),
                    _ => closing.answer_to(kind, &mut sweep)?,
                };
                Some(closing.check(kind, answer, nothing_read.as_deref()))
            })
            .collect();
        if let Some(cycles) = cycles.filter(|_| !self.transactions.is_empty()) {
            checks.extend(cycles.finish(|log| self.topic_name(log)));
            checks.sort_by_key(|check| Kind::of(&check.name));
        }
        let facts = closing.facts(&counts, &open_sends);
        let mut warnings = self.warnings();
        if of_either > 0 {
            warnings.push(format!(
                "{} {} acknowledged while the topic was deleted and made anew, and {} not in the new one: nobody can tell whether {} in the old one",
                count_of(of_either, "record"),
                prose::were(of_either),
                prose::are(of_either),
                if of_either == 1 { "it stood" } else { "they stood" },
            ));
        }
        let report = Report { checks, counts, facts, warnings };
        match self.failed() {
            Some(because) => unanswered(report, &because),
            None => report,
        }
    }

    /// What readers saw first at an offset of a log.
    fn seen_at(&self, state: &LogState, offset: i64) -> Option<u32> {
        state.table.get(&self.offsets, offset)
    }

    /// Why nothing can be answered, if nothing can.
    fn failed(&self) -> Option<String> {
        self.records.failed().or_else(|| self.offsets.failed())
    }

    /// Why too few final passes cover a log, or those that do.
    fn coverage(&self, index: usize) -> Result<u16, String> {
        let state = &self.logs[index];
        if self.is_deleted(state.log) {
            return Err("its topic was deleted".into());
        }
        let Some(bounds) = state.settled else {
            return Err("nobody saw where it ends once everything was healed".into());
        };
        let mut mask = 0;
        let mut readers = BTreeSet::new();
        let mut short = None;
        for pass in &self.passes.list {
            let Some(position) = pass.positions().get(index) else { continue };
            let coverage = position.coverage;
            let from_start = coverage.began_at.is_none_or(|offset| offset <= bounds.start)
                && coverage.jumped_to <= bounds.start;
            if pass.kind != PassKind::Final || !pass.complete || !coverage.given || !from_start {
                continue;
            }
            // Without word of an end, the pass's own claim to be complete stands.
            let reached = coverage.end.map_or(bounds.end, |end| end.max(coverage.reached));
            if reached < bounds.end {
                short = Some(reached);
                continue;
            }
            mask |= pass.finals();
            readers.insert(pass.reader);
        }
        if readers.len() >= self.options.final_readers && mask != 0 {
            return Ok(mask);
        }
        let mut because = format!(
            "{} of {} read it from its start to its end",
            readers.len(),
            readers_word(self.options.final_readers)
        );
        if let Some(reached) = short {
            because += &format!(", one stopped at {reached} while it ends at {}", bounds.end);
        }
        Err(because)
    }

    fn incomplete(&self, covered: &[Result<u16, String>]) -> Option<String> {
        let mut first = None;
        let mut others = 0u64;
        for (state, covered) in self.logs.iter().zip(covered) {
            let Err(because) = covered else { continue };
            if state.ok + state.unacknowledged == 0 || self.is_deleted(state.log) {
                continue;
            }
            match first {
                None => first = Some(format!("{}: {because}", self.log_name(state.log))),
                Some(_) => others += 1,
            }
        }
        let first = first?;
        Some(match others {
            0 => first,
            others => format!("{first}; and {} more", count_of(others, "log")),
        })
    }

    fn log_name(&self, log: LogRef) -> String {
        format!("{}-{}", self.topic_name(log), log.partition)
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut say = |count: u64, what: &str| {
            if count > 0 {
                warnings.push(format!("the history holds {} {what}", prose::number(count)));
            }
        };
        say(self.sent_without_send, "outcomes of sends that were never begun");
        say(self.repeated_events, "sends or outcomes that were written down before");
        say(self.negative_offsets, "offsets that no log can have");
        say(self.operations, "operations of another tool among its events, which nobody looked at");
        warnings
    }
}

/// A report of records that could not be followed to the end: whatever was found may be what is missing.
fn unanswered(mut report: Report, because: &str) -> Report {
    for check in &mut report.checks {
        check.verdict = CheckVerdict::Unknown;
        check.because = Some(because.to_owned());
        check.count = 0;
        check.findings.clear();
    }
    report.facts.final_reads_complete = false;
    report.facts.final_reads = format!("not known: {because}");
    for log in &mut report.facts.logs {
        log.finally_read = false;
        log.because = Some(because.to_owned());
    }
    report.warnings.push(format!("counts are as far as the checker came: {because}"));
    report
}

impl Closing<'_> {
    /// `None`: the history has nothing in which this kind could be.
    fn answer_to(&self, kind: Kind, sweep: &mut sweep::Sweep) -> Option<Answer> {
        let checker = self.checker;
        match kind.scope() {
            Scope::Records => Some(match kind {
                Kind::Reappeared | Kind::PollSkip => self.skips(kind),
                Kind::Duplicate => self.duplicates(std::mem::take(&mut sweep.duplicates)),
                Kind::InconsistentOffsets => {
                    let rows = std::mem::take(&mut sweep.acknowledged_elsewhere);
                    self.inconsistent_offsets(rows)
                }
                Kind::Reordered => self.reordered(&sweep.order),
                Kind::Corrupted => self.corrupted(),
                Kind::Phantom => self.phantoms(std::mem::take(&mut sweep.unsent)),
                Kind::Resurrected => self.resurrected(std::mem::take(&mut sweep.resurrected)),
                Kind::NonmonotonicPoll => self.backward_polls(),
                other => {
                    unreachable!("{other:?} is answered with the losses, or is not of records")
                }
            }),
            Scope::Transactions if !checker.transactions.is_empty() => {
                self.of_transactions(kind, &mut sweep.transactions)
            }
            Scope::Groups if !checker.groups.is_empty() => self.of_groups(kind),
            Scope::Progress if kind == Kind::Stuck => self.stuck(),
            Scope::Replicas
            | Scope::Operations
            | Scope::Progress
            | Scope::Transactions
            | Scope::Groups => None,
        }
    }

    /// The name of the log that a run of rows is of.
    fn log_of(&self, run: &[fold::Row]) -> String {
        self.name_of(run[0].log)
    }

    fn name_of(&self, log: u32) -> String {
        self.checker.log_name(self.checker.logs[log as usize].log)
    }

    fn check(&self, kind: Kind, answer: Answer, nothing_read: Option<&str>) -> Check {
        let (reads_matter, final_reads_matter) = match kind {
            Kind::LostCommit | Kind::CommitRegression | Kind::DoubleOwner => (false, false),
            Kind::PollSkip | Kind::NonmonotonicPoll | Kind::Reappeared => (true, false),
            Kind::G1a | Kind::G1b | Kind::PrecommittedRead | Kind::StaleEpochWrite => (true, false),
            _ => (true, true),
        };
        let nothing_read = nothing_read.filter(|_| reads_matter);
        let unknown = answer.unknown.or_else(|| nothing_read.map(str::to_owned)).or_else(|| {
            let because = self.incomplete.as_ref().filter(|_| final_reads_matter)?;
            Some(format!("the final reads are not complete: {because}"))
        });
        // What was not read may be late as long as its own log was not finally read, whatever is true of the others.
        let unknown = unknown.or_else(|| {
            let late = kind == Kind::Unseen && answer.count > 0;
            late.then(|| "the logs of these records were not finally read".to_owned())
        });
        let verdict = match (kind, answer.count, &unknown) {
            (Kind::Unseen, 0, _) => CheckVerdict::Valid,
            (Kind::Unseen, 1.., _) => CheckVerdict::Unknown,
            (_, 1.., _) => CheckVerdict::Invalid,
            (_, 0, Some(_)) => CheckVerdict::Unknown,
            (_, 0, None) => CheckVerdict::Valid,
        };
        let because = if verdict == CheckVerdict::Unknown { unknown } else { None };
        let mut findings = answer.findings;
        findings.truncate(self.checker.options.findings_max);
        Check { name: kind.as_str().into(), verdict, count: answer.count, because, findings }
    }

    fn facts(&self, counts: &Counts, open_sends: &BTreeMap<Session, u64>) -> HistoryFacts {
        let checker = self.checker;
        let mut facts = checker.facts.clone();
        facts.topics = checker.topics.values().cloned().collect();
        facts.producers = checker.producers.values().cloned().collect();
        for producer in &mut facts.producers {
            producer.info += open_sends.get(&producer.session).copied().unwrap_or(0);
        }
        facts.logs = checker
            .logs
            .iter()
            .zip(&self.covered)
            .map(|(state, covered)| checker.log_facts(state, covered.clone().map(|_| ())))
            .collect();
        let written = counts.ok + counts.unacknowledged;
        facts.final_reads_complete = self.incomplete.is_none() && written > 0;
        facts.final_reads = match &self.incomplete {
            Some(because) => format!("not complete: {because}"),
            None if written == 0 => "nothing was written".into(),
            None => format!(
                "{} read every log from its start to its end",
                readers_word(checker.options.final_readers)
            ),
        };
        facts
    }
}
