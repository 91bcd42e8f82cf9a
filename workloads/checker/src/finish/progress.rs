//! Readers that did not get on although all was healed.
//!
//! A live reader is stuck where records stand in a log before it, it is there to be handed them, and it was handed nothing of
//! that log for `stuck_ms` of healed time, up to the final reads. So is a group, whoever of its members had the log meanwhile:
//! none was handed anything of it, one was there all the time, and records wait that no member ever had. Who was closed
//! before is not judged; nor are writers, who have stopped by then.

use super::fold::Row;
use super::*;
use crate::prose::{count_of, number, offset, offsets};
use model::history::Phase;

/// It was to read on until the final reads began.
fn reads_on(pass: &Pass, to_ms: u32) -> bool {
    pass.kind == PassKind::Live && pass.ended_ms.is_none_or(|at| at >= to_ms)
}

impl Closing<'_> {
    /// `None`: nobody said how long is too long, or the history has no healed time.
    pub(super) fn stuck(&self) -> Option<Answer> {
        let limit_ms = self.checker.options.stuck_ms?;
        let (from_ms, to_ms) = self.healed()?;
        let mut answer = Answer::default();
        for pass in self.checker.passes.list.iter().filter(|pass| reads_on(pass, to_ms)) {
            for (log, position) in pass.positions().iter().enumerate() {
                let Some(next) = position.next else { continue };
                let waited_ms = to_ms.saturating_sub(position.moved_ms.max(from_ms));
                if waited_ms >= limit_ms {
                    let rows = self.waiting(log as u32, next);
                    let because = |rows: &[Row]| self.stuck_because(pass, rows, waited_ms);
                    self.add_stuck(&mut answer, &rows, because);
                }
            }
        }
        for group in 0..self.checker.groups.list.len() {
            self.starved(group, (from_ms, to_ms, limit_ms), &mut answer);
        }
        Some(answer)
    }

    fn add_stuck(&self, answer: &mut Answer, rows: &[Row], because: impl Fn(&[Row]) -> String) {
        if rows.is_empty() {
            return;
        }
        answer.count += rows.len() as u64;
        if answer.findings.len() < self.checker.options.findings_max {
            answer.findings.push(self.finding(Kind::Stuck, rows, because(rows)));
        }
    }

    /// Logs of which no member of a group was handed anything for too long, though one was there all the time.
    fn starved(
        &self,
        group: usize,
        (from_ms, to_ms, limit_ms): (u32, u32, u32),
        answer: &mut Answer,
    ) {
        let groups = &self.checker.groups;
        let passes = self.checker.passes.list.iter();
        let members: Vec<&Pass> =
            passes.filter(|pass| groups.index_of(pass.reader) == Some(group)).collect();
        let live = || members.iter().filter(|pass| reads_on(pass, to_ms));
        let Some(there_ms) = live().filter_map(|pass| pass.began_ms).min() else { return };
        for log in 0..self.checker.logs.len() {
            // One that stood there all the time is told by its name.
            let stands = live().filter_map(|pass| pass.positions().get(log)).any(|position| {
                let waited_ms = to_ms.saturating_sub(position.moved_ms.max(from_ms));
                position.next.is_some() && waited_ms >= limit_ms
            });
            let had = || members.iter().filter_map(|pass| pass.positions().get(log));
            let given = had().filter(|position| position.coverage.given);
            // From the highest place that any of them had come to: of more it cannot be said that nobody was handed it.
            let next = given.map(|position| position.coverage.reached).max();
            let Some(next) = next.filter(|_| !stands) else { continue };
            let handed_ms = had().map(|position| position.handed_ms).max().unwrap_or(0);
            let waited_ms = to_ms.saturating_sub(handed_ms.max(from_ms).max(there_ms));
            if waited_ms >= limit_ms {
                let name = &groups.list[group].name;
                let because = |rows: &[Row]| self.starved_because(name, rows, waited_ms);
                self.add_stuck(answer, &self.waiting(log as u32, next), because);
            }
        }
    }

    /// From when everything was healed to when the final reads began.
    fn healed(&self) -> Option<(u32, u32)> {
        let phases = &self.checker.facts.phases;
        let last = |wanted: Phase| phases.iter().rev().find(|(_, phase)| *phase == wanted);
        let (from_ms, _) = last(Phase::Settle)?;
        let (to_ms, _) = last(Phase::FinalReads).filter(|(to_ms, _)| to_ms >= from_ms)?;
        Some((u32::try_from(*from_ms).ok()?, u32::try_from(*to_ms).ok()?))
    }

    /// What stands in a log from an offset on, acknowledged and finally read.
    fn waiting(&self, log: u32, from: i64) -> Vec<Row> {
        let state = &self.checker.logs[log as usize];
        let Some(bounds) = state.settled else { return Vec::new() };
        let waits = |row: &Row| {
            let record = self.checker.records.get(row.slot);
            record.fate() == Fate::Ok && self.finally_seen(&record) == Some(true)
        };
        self.standing(log, from.max(bounds.start), bounds.end).filter(waits).collect()
    }

    fn starved_because(&self, group: &str, rows: &[Row], waited_ms: u32) -> String {
        format!(
            "No member of group {group} was handed anything of {} for {} s after everything was healed, though the group had members and {} stand there that none of them ever had, acknowledged and read by others: {}.",
            self.log_of(rows),
            number(u64::from(waited_ms / 1000)),
            count_of(rows.len() as u64, "record"),
            offsets(rows[0].offset.unwrap_or(-1), rows[rows.len() - 1].offset.unwrap_or(-1)),
        )
    }

    fn stuck_because(&self, pass: &Pass, rows: &[Row], waited_ms: u32) -> String {
        let (first, last) =
            (rows[0].offset.unwrap_or(-1), rows[rows.len() - 1].offset.unwrap_or(-1));
        let at = match pass.positions()[rows[0].log as usize].next {
            Some(next) => format!("at offset {}", offset(next)),
            None => "nowhere".to_owned(),
        };
        format!(
            "Reader session {} stands {at} of {} and was handed nothing of it for {} s after everything was healed, though {} stand there, acknowledged and read by others: {}.",
            pass.reader.0,
            self.log_of(rows),
            number(u64::from(waited_ms / 1000)),
            count_of(rows.len() as u64, "record"),
            offsets(first, last),
        )
    }
}
