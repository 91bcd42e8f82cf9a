//! What consumer groups did with the records of their logs as a whole, and what became of their commits.
//!
//! A record was processed where a member said so, or, of a group that copies in transactions, where an output made from it
//! is visible. Only records that the final reads have count: what is lost is told as lost.

use super::fold::Row;
use super::*;
use crate::groups::{Backward, Double, Group, GroupLog};
use crate::prose::{at, count_of, number, offset, were};
use model::finding::Evidence;
use model::settings::Commits;

impl Closing<'_> {
    /// One kind's answer; `None` for kinds that are not looked for here.
    pub(super) fn of_groups(&self, kind: Kind) -> Option<Answer> {
        let each = |find: &dyn Fn(&Group) -> Answer| {
            let mut all = Answer::default();
            for group in &self.checker.groups.list {
                let answer = find(group);
                all.count += answer.count;
                // What is promised depends on when it commits.
                let outcome = || Some(group.commits.as_str().to_owned());
                let told = answer.findings.into_iter();
                all.findings.extend(told.map(|one| Finding { outcome: outcome(), ..one }));
            }
            all
        };
        let groups = &self.checker.groups;
        let unknown =
            |because: &str| Answer { unknown: Some(because.to_owned()), ..Answer::default() };
        Some(match kind {
            Kind::LostCommit if !groups.was_asked => {
                unknown("no coordinator was asked for a committed offset")
            }
            Kind::Skipped => each(&|group| self.skipped(group)),
            Kind::Repeated => each(&|group| self.repeated(group)),
            Kind::LostCommit => each(&|group| self.backward(kind, group, |log| &log.lost)),
            Kind::CommitRegression => {
                each(&|group| self.backward(kind, group, |log| &log.regressed))
            }
            // Where clients do not tell their generation, there is nothing to look at.
            Kind::DoubleOwner if !groups.tells_generations => return None,
            Kind::DoubleOwner => each(&|group| self.double_owners(group)),
            _ => return None,
        })
    }

    /// The records that stand in a stretch of a log, to be read.
    pub(super) fn standing(&self, log: u32, from: i64, to: i64) -> impl Iterator<Item = Row> {
        self.checker.logs[log as usize].table.range(&self.checker.offsets, from, to).filter_map(
            move |(offset, at)| {
                let slot = Slot(at);
                let stands = at != FOREIGN
                    && self.finally_seen(&self.checker.records.get(slot)) != Some(false)
                    && !self.is_uncommitted(slot);
                stands.then_some(Row { log, group: 0, offset: Some(offset), slot })
            },
        )
    }

    /// How often each input was copied into an output that is visible, by its offset.
    fn copies(&self, log: &GroupLog) -> BTreeMap<i64, u64> {
        let mut copies = BTreeMap::new();
        for copied in &log.copies {
            let slot = Slot(copied.output);
            let record = self.checker.records.get(slot);
            let is_visible = self.finally_seen(&record).unwrap_or(record.is_read_committed())
                && !self.is_uncommitted(slot);
            if is_visible {
                *copies.entry(copied.offset).or_insert(0) += 1;
            }
        }
        copies
    }

    fn skipped(&self, group: &Group) -> Answer {
        let mut rows = Vec::new();
        for (log, state) in &group.logs {
            let (Some(from), Some(to)) = (state.handed_from, state.committed) else { continue };
            let copies = self.copies(state);
            let is_done = |row: &Row| {
                let offset = row.offset.unwrap_or(-1);
                match group.commits {
                    Commits::InTransaction => copies.contains_key(&offset),
                    _ => state.is_processed(offset),
                }
            };
            rows.extend(self.standing(*log, from, to).filter(|row| !is_done(row)));
        }
        self.answer(Kind::Skipped, rows, |run| {
            let count = run.len() as u64;
            let to = group.logs[&run[0].log].committed.unwrap_or(-1);
            format!(
                "{} of {} {} processed by no member of group {}, which has committed offset {}: it will never come back to {}.",
                count_of(count, "record"),
                self.log_of(run),
                were(count),
                group.name,
                offset(to),
                prose::offsets(run[0].offset.unwrap_or(-1), run[run.len() - 1].offset.unwrap_or(-1)),
            )
        })
    }

    fn repeated(&self, group: &Group) -> Answer {
        let mut rows = Vec::new();
        for (log, state) in &group.logs {
            if group.commits == Commits::InTransaction {
                let copies = self.copies(state);
                let twice =
                    |row: &Row| copies.get(&row.offset.unwrap_or(-1)).is_some_and(|n| *n > 1);
                let ends = copies.keys().next().zip(copies.keys().next_back());
                if let Some((first, last)) = ends {
                    let standing = self.standing(*log, *first, last.saturating_add(1));
                    rows.extend(standing.filter(twice));
                }
            } else {
                for again in &state.again {
                    rows.extend(self.standing(*log, again.from, again.to));
                }
            }
        }
        // One that was processed three times is one record that was repeated.
        rows.sort_unstable();
        rows.dedup();
        self.answer(Kind::Repeated, rows, |run| {
            let count = run.len() as u64;
            let state = &group.logs[&run[0].log];
            let again = state.again.iter().find(|again| {
                run[0].offset.is_some_and(|offset| (again.from..again.to).contains(&offset))
            });
            let by = again.map_or_else(String::new, |again| {
                format!(", the second time by session {} {}", again.reader.0, at(again.at_ms))
            });
            format!(
                "{} of {} {} processed more than once by group {}{by}: {}.",
                count_of(count, "record"),
                self.log_of(run),
                were(count),
                group.name,
                prose::offsets(
                    run[0].offset.unwrap_or(-1),
                    run[run.len() - 1].offset.unwrap_or(-1)
                ),
            )
        })
    }

    fn backward(
        &self,
        kind: Kind,
        group: &Group,
        of: impl Fn(&GroupLog) -> &Vec<Backward>,
    ) -> Answer {
        let mut answer = Answer::default();
        for (log, state) in &group.logs {
            for backward in of(state) {
                answer.count += 1;
                if answer.findings.len() < self.checker.options.findings_max {
                    answer.findings.push(self.backward_finding(kind, group, *log, backward));
                }
            }
        }
        answer
    }

    fn backward_finding(&self, kind: Kind, group: &Group, log: u32, found: &Backward) -> Finding {
        let Backward { before, found: now, by, at_ns } = *found;
        let name = self.name_of(log);
        let ms = |ns: u64| u32::try_from(ns / 1_000_000).unwrap_or(u32::MAX);
        let acknowledged = before.ended_ns.unwrap_or(before.began_ns);
        let now_in_words = now.map_or("none at all".to_owned(), offset);
        let because = match by {
            Some(by) => format!(
                "Group {} was acknowledged offset {} of {name} {} (session {}), and a commit that began only then put it back to {now_in_words}: session {}, {}. Nobody had reset the group.",
                group.name,
                offset(before.offset),
                at(ms(acknowledged)),
                before.reader.0,
                by.reader.0,
                at(ms(at_ns)),
            ),
            None => format!(
                "Group {} was acknowledged offset {} of {name} {} (session {}). Asked after that, its coordinator answered {now_in_words}, and no commit that could have come later says so.",
                group.name,
                offset(before.offset),
                at(ms(acknowledged)),
                before.reader.0,
            ),
        };
        let step = |ns: u64, what: &str, session: Session, offset: Option<i64>| Evidence {
            at_ms: ns / 1_000_000,
            what: what.to_owned(),
            session: session.0,
            id: None,
            offset,
            index: None,
        };
        let mut evidence = vec![
            step(before.began_ns, "commit", before.reader, Some(before.offset)),
            step(acknowledged, "ok", before.reader, Some(before.offset)),
        ];
        evidence.push(match by {
            Some(by) => step(by.began_ns, "commit", by.reader, now),
            None => step(at_ns, "committed offset", before.reader, now),
        });
        self.bare_finding(kind, log, Some(before.offset), now, because, evidence)
    }

    fn double_owners(&self, group: &Group) -> Answer {
        let mut answer = Answer { count: group.doubles.len() as u64, ..Answer::default() };
        for double in group.doubles.iter().take(self.checker.options.findings_max) {
            let Double { log, generation, owners, at_ms } = *double;
            let because = format!(
                "Sessions {} and {} of group {} both owned {} in generation {}: the second one was given it {}.",
                owners[0].0,
                owners[1].0,
                group.name,
                self.name_of(log),
                number(u64::from(generation.unsigned_abs())),
                at(at_ms),
            );
            let step = |session: Session| Evidence {
                at_ms: u64::from(at_ms),
                what: "joined".to_owned(),
                session: session.0,
                id: None,
                offset: None,
                index: None,
            };
            let evidence = owners.map(step).to_vec();
            let finding = self.bare_finding(Kind::DoubleOwner, log, None, None, because, evidence);
            answer.findings.push(finding);
        }
        answer
    }

    /// A finding that is not about records.
    fn bare_finding(
        &self,
        kind: Kind,
        log: u32,
        first_offset: Option<i64>,
        last_offset: Option<i64>,
        because: String,
        evidence: Vec<Evidence>,
    ) -> Finding {
        let log = self.checker.logs[log as usize].log;
        Finding {
            kind,
            log,
            topic: self.checker.topic_name(log),
            count: 1,
            first_offset,
            last_offset,
            ids: Vec::new(),
            outcome: None,
            first_ack_ms: None,
            last_ack_ms: None,
            because,
            evidence,
            cycle: Vec::new(),
        }
    }
}
