//! What readers passed over, or went back to, without a reason that their own events give.

use super::fold::Row;
use super::*;
use crate::prose::{at, count_of, number, offset, them, were};

/// A stretch of a log that a reader went past.
struct Stretch {
    gap: Gap,
    /// The pass ended there, and claims to have read to the end.
    at_end: bool,
}

impl Closing<'_> {
    /// `poll-skip`: records that existed, each counted for each reader that passed it over.
    /// `reappeared`: those among them that nobody had read yet, each counted once.
    pub(super) fn skips(&self, kind: Kind) -> Answer {
        let mut answer = Answer::default();
        for index in 0..self.checker.logs.len() {
            let mut reappeared = BTreeSet::new();
            for stretch in self.stretches(index) {
                let mut rows = self.passed(index, &stretch.gap);
                if kind == Kind::Reappeared {
                    let gap_ms = stretch.gap.at_ms;
                    rows.retain(|row| {
                        let record = self.checker.records.get(row.slot);
                        record.read_ms > gap_ms && reappeared.insert(row.slot)
                    });
                }
                if rows.is_empty() {
                    continue;
                }
                answer.count += rows.len() as u64;
                if answer.findings.len() < self.checker.options.findings_max {
                    let because = match kind {
                        Kind::Reappeared => self.reappeared_because(index, &stretch, &rows),
                        _ => self.skip_because(index, &stretch, &rows),
                    };
                    answer.findings.push(self.finding(kind, &rows, because));
                }
            }
        }
        answer
    }

    fn stretches(&self, index: usize) -> Vec<Stretch> {
        let state = &self.checker.logs[index];
        let mut stretches: Vec<Stretch> = state
            .gaps
            .iter()
            .map(|gap| {
                // What retention took away before the reader came is nothing that it skipped.
                let from = if gap.from_start { gap.from.max(state.start_max) } else { gap.from };
                Stretch { gap: Gap { from, ..*gap }, at_end: false }
            })
            .collect();
        let Some(bounds) = state.settled else { return stretches };
        for (pass_index, pass) in self.checker.passes.list.iter().enumerate() {
            let Some(position) = pass.positions().get(index) else { continue };
            let coverage = position.coverage;
            // One that was told of an earlier end says so: it is not complete, and skipped nothing.
            let told = coverage.end.is_some_and(|end| end.max(coverage.reached) < bounds.end);
            let claims = pass.kind == PassKind::Final && pass.complete && coverage.given && !told;
            if claims && coverage.reached < bounds.end {
                let gap = Gap {
                    from: coverage.reached.max(bounds.start),
                    to: bounds.end,
                    at_ms: self.checker.now_ms,
                    pass: pass_index as u32,
                    from_start: false,
                };
                stretches.push(Stretch { gap, at_end: true });
            }
        }
        stretches
    }

    /// The records in a stretch that existed when the reader went past it.
    fn passed(&self, index: usize, gap: &Gap) -> Vec<Row> {
        let checker = self.checker;
        let existing = |(offset, occupant): (i64, u32)| {
            if occupant == FOREIGN {
                return None;
            }
            let slot = Slot(occupant);
            let record = checker.records.get(slot);
            let exists = record.is_sent()
                && record.log as usize == index
                && record.sent_ms <= gap.at_ms
                // Lost is told as such: it follows that later readers do not get it.
                && self.finally_seen(&record) != Some(false)
                && !self.is_uncommitted(slot)
                && !(gap.from_start && self.may_have_been_taken(&record, gap.at_ms));
            let row = Row { log: index as u32, group: 0, offset: Some(offset), slot };
            exists.then_some(row)
        };
        let table = &checker.logs[index].table;
        table.range(&checker.offsets, gap.from, gap.to).filter_map(existing).collect()
    }

    /// Retention may have taken it from the log in which a reader then began. Each replica deletes for itself, and with a new
    /// leader a log may begin earlier again.
    fn may_have_been_taken(&self, record: &records::Record, at_ms: u32) -> bool {
        let log = self.checker.logs[record.log as usize].log;
        let age_ms = i64::from(at_ms.saturating_sub(record.sent_ms));
        self.checker.settings_since(log, record.sent_ms).any(|known| {
            let by_age = known.retention_ms >= 0 && age_ms >= known.retention_ms;
            known.cleanup_policy.contains("delete") && (by_age || known.retention_bytes >= 0)
        })
    }

    fn skip_because(&self, index: usize, stretch: &Stretch, rows: &[Row]) -> String {
        let checker = self.checker;
        let gap = stretch.gap;
        let pass = &checker.passes.list[gap.pass as usize];
        let went = match (stretch.at_end, gap.from_start) {
            (true, _) => format!(
                "ended its final pass at {} as complete though the log goes on to {}",
                offset(gap.from),
                offset(gap.to)
            ),
            (_, true) => {
                format!("began at the start of the log and got offset {} first", offset(gap.to))
            }
            _ => format!(
                "went from offset {} to {}",
                offset(gap.from.saturating_sub(1)),
                offset(gap.to)
            ),
        };
        let record = checker.records.get(rows[0].slot);
        let other = checker.passes.reader_of(record.reader);
        format!(
            "Reader session {} of {} {went} {}, passing over {} that exist{}: offset {} was read by reader session {} {}. None of its events explains that.",
            pass.reader.0,
            self.name_of(index as u32),
            at(gap.at_ms),
            count_of(rows.len() as u64, "record"),
            if rows.len() == 1 { "s" } else { "" },
            offset(rows[0].offset.unwrap_or(-1)),
            other.0,
            at(record.read_ms),
        )
    }

    fn reappeared_because(&self, index: usize, stretch: &Stretch, rows: &[Row]) -> String {
        let checker = self.checker;
        let count = rows.len() as u64;
        let record = checker.records.get(rows[0].slot);
        format!(
            "{} of {} {} absent when reader session {} went past {} {}, and there later: offset {} was first read {}.",
            count_of(count, "record"),
            self.name_of(index as u32),
            were(count),
            checker.passes.list[stretch.gap.pass as usize].reader.0,
            them(count),
            at(stretch.gap.at_ms),
            offset(rows[0].offset.unwrap_or(-1)),
            at(record.read_ms),
        )
    }

    /// Readers that were handed an offset at or below the one before.
    pub(super) fn backward_polls(&self) -> Answer {
        let mut answer = Answer::default();
        for state in &self.checker.logs {
            for step in &state.backward {
                answer.count += 1;
                if answer.findings.len() >= self.checker.options.findings_max {
                    continue;
                }
                let because = format!(
                    "Reader session {} of {} (pass {}) was handed offset {} after offset {} {}, though it had not been moved back.",
                    step.reader.0,
                    self.checker.log_name(state.log),
                    number(u64::from(step.pass)),
                    offset(step.to),
                    offset(step.from),
                    at(step.at_ms),
                );
                let evidence = model::finding::Evidence {
                    index: None,
                    at_ms: u64::from(step.at_ms),
                    what: "polled".into(),
                    session: step.reader.0,
                    id: None,
                    offset: Some(step.to),
                };
                answer.findings.push(Finding {
                    cycle: Vec::new(),
                    kind: Kind::NonmonotonicPoll,
                    log: state.log,
                    topic: self.checker.topic_name(state.log),
                    count: 1,
                    first_offset: Some(step.to),
                    last_offset: Some(step.from),
                    ids: Vec::new(),
                    outcome: None,
                    first_ack_ms: None,
                    last_ack_ms: None,
                    because,
                    evidence: vec![evidence],
                });
            }
        }
        answer
    }
}
