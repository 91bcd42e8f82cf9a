//! What is told of operations: what they read, how they stepped through a log, and where they stand.

use super::Cleanup;
use super::answer::Answer;
use super::prose::{Telling, capital, offsets, plural, stage};
use super::records::removable;
use super::stuck::Stuck;
use super::walk::{BadReads, Step, Steps, Tally};
use crate::prose::count_of;
use model::finding::{Finding, Kind};

impl Telling<'_> {
    /// Records that were read and must not be, or not by that operation.
    pub(super) fn bad_reads(&self, kind: Kind, reads: &BadReads) -> Answer {
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

    pub(super) fn steps(&self, kind: Kind, steps: Steps) -> Answer {
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
        let key = step.key;
        let mut text = self.step_text(kind, step, tally);
        if tally.count > 1 {
            text += &format!(" {} did so.", count_of(tally.count, "operation"));
        }
        let mut finding = self.finding(kind, key, tally.count, capital(text));
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

    fn step_text(&self, kind: Kind, step: &Step, tally: &Tally) -> String {
        let key = self.key(step.key);
        let (from, to) = (self.place(step.key, step.from), self.place(step.key, step.to));
        let (before, after) = (self.operation(tally.before), self.operation(tally.operation));
        let read = format!(
            "{before} ended its reads of {key} with {from}, and {after} of the same process"
        );
        let text = match kind {
            Kind::PollSkip => format!("{read} went on with {to}."),
            Kind::NonmonotonicPoll => format!("{read} went back to {to}."),
            Kind::IntPollSkip => format!("{after} read {from} of {key} and then {to}."),
            Kind::IntNonmonotonicPoll => {
                format!("{after} read {from} of {key} and then {to}, which is not behind it.")
            }
            Kind::NonmonotonicSend => format!(
                "{before} last sent {from} to {key}, and {after} of the same process then sent {to}, which stands no \
                 later in the log."
            ),
            Kind::IntNonmonotonicSend => format!(
                "{after} sent {from} to {key} and then {to}, which stands no later in the log."
            ),
            _ => format!("{after} sent {from} to {key} and then {to}."),
        };
        format!("{text}{}", self.between(step))
    }

    /// What was passed over.
    fn between(&self, step: &Step) -> String {
        let order = &self.orders[step.key as usize];
        let ends = order.position(step.from).zip(order.position(step.to));
        let Some((from, to)) = ends.filter(|(from, to)| from + 1 < *to) else {
            return String::new();
        };
        let (first, last) = (order.pick(from + 1), order.pick(to - 1));
        let count = u64::from(to - from - 1);
        let place = offsets(self.offset(step.key, first), self.offset(step.key, last));
        let (stand, value) = (plural(count, "stands", "stand"), self.value(step.key, first));
        format!(
            " Between them {stand} {} ({place}), the first of them value {value}.",
            count_of(count, "record")
        )
    }

    pub(super) fn stuck(&self, stuck: &Stuck) -> Finding {
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
}
