//! Readers that did not get on although all was healed.
//!
//! A live reader is stuck where records stand in a log before it, it is there to be handed them, and it was handed nothing of
//! that log for `stuck_ms` of healed time, up to the final reads. Who was closed before, or has no position, is not judged; nor are
//! writers, who have stopped by then.

use super::fold::Row;
use super::*;
use crate::prose::{count_of, number, offset, offsets};
use model::history::Phase;

impl Closing<'_> {
    /// `None`: nobody said how long is too long, or the history has no healed time.
    pub(super) fn stuck(&self) -> Option<Answer> {
        let limit_ms = self.checker.options.stuck_ms?;
        let (from_ms, to_ms) = self.healed()?;
        let mut answer = Answer::default();
        for pass in &self.checker.passes.list {
            let reads_on =
                pass.kind == PassKind::Live && pass.ended_ms.is_none_or(|at| at >= to_ms);
            for (log, position) in pass.positions().iter().enumerate().filter(|_| reads_on) {
                let Some(next) = position.next else { continue };
                let waited_ms = to_ms.saturating_sub(position.moved_ms.max(from_ms));
                if waited_ms < limit_ms {
                    continue;
                }
                let rows = self.waiting(log as u32, next);
                if rows.is_empty() {
                    continue;
                }
                answer.count += rows.len() as u64;
                if answer.findings.len() < self.checker.options.findings_max {
                    let because = self.stuck_because(pass, &rows, waited_ms);
                    answer.findings.push(self.finding(Kind::Stuck, &rows, because));
                }
            }
        }
        Some(answer)
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
