//! Folds records with one fate into runs, and runs into findings.

use super::*;
use model::finding::Evidence;

/// One record with a fate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) log: u32,
    /// Rows of different groups never share a finding.
    pub(super) group: u8,
    /// `None`: the client was not told where. Those come first, session by session.
    pub(super) offset: Option<i64>,
    pub(super) slot: Slot,
}

/// Sorts rows into runs of neighbouring offsets of one log and group; rows without an offset run by session.
pub(super) fn fold(closing: &Closing, mut rows: Vec<Row>) -> Vec<Vec<Row>> {
    rows.sort_unstable();
    let mut runs: Vec<Vec<Row>> = Vec::new();
    for row in rows {
        let session = |row: &Row| closing.checker.records.id(row.slot).session;
        let goes_on = runs.last().and_then(|run| run.last()).is_some_and(|last| {
            last.log == row.log
                && last.group == row.group
                && match (last.offset, row.offset) {
                    (Some(before), Some(now)) => now - before <= 1,
                    (None, None) => session(last) == session(&row),
                    _ => false,
                }
        });
        match runs.last_mut() {
            Some(run) if goes_on => run.push(row),
            _ => runs.push(vec![row]),
        }
    }
    runs
}

impl Closing<'_> {
    /// A finding over a run of rows; `because` is told later.
    pub(super) fn finding(&self, kind: Kind, run: &[Row], because: String) -> Finding {
        let checker = self.checker;
        let first = run[0];
        let state = &checker.logs[first.log as usize];
        let acks = || {
            let done = |row: &Row| {
                let record = checker.records.get(row.slot);
                (record.fate() == Fate::Ok).then_some(u64::from(record.done_ms))
            };
            run.iter().filter_map(done)
        };
        let mut evidence = self.evidence(first.slot);
        if let Some(last) = run.last().filter(|last| last.slot != first.slot) {
            evidence.extend(self.evidence(last.slot));
        }
        let ids_max = checker.options.ids_max;
        Finding {
            cycle: Vec::new(),
            kind,
            log: state.log,
            topic: checker.topic_name(state.log),
            count: run.len() as u64,
            first_offset: run.iter().filter_map(|row| row.offset).min(),
            last_offset: run.iter().filter_map(|row| row.offset).max(),
            ids: run.iter().take(ids_max).map(|row| checker.records.id(row.slot)).collect(),
            outcome: Some(fate_word(checker.records.get(first.slot).fate()).into()),
            first_ack_ms: acks().min(),
            last_ack_ms: acks().max(),
            because,
            evidence,
        }
    }

    /// What is known of one record, in the order of time.
    pub(super) fn evidence(&self, slot: Slot) -> Vec<Evidence> {
        let records = &self.checker.records;
        let record = records.get(slot);
        let id = records.id(slot);
        let mut evidence = Vec::new();
        let mut say = |at_ms: u32, what: &str, session: Session, offset: Option<i64>| {
            let what = what.to_owned();
            let (at_ms, session) = (u64::from(at_ms), session.0);
            evidence.push(Evidence { index: None, at_ms, what, session, id: Some(id), offset });
        };
        if record.is_sent() {
            say(record.sent_ms, "send", id.session, None);
        }
        if record.fate() != Fate::Open {
            let offset = records.acknowledged_offset(slot);
            say(record.done_ms, fate_word(record.fate()), id.session, offset);
        }
        if record.is_read() {
            let reader = self.checker.passes.reader_of(record.reader);
            say(record.read_ms, "polled", reader, Some(record.offset));
            let places = records.elsewhere(slot).map_or(&[][..], |elsewhere| &elsewhere.places);
            for place in places.iter().filter(|place| place.offset != record.offset).take(4) {
                say(place.at_ms, "polled", reader, Some(place.offset));
            }
        }
        evidence.sort_by_key(|step| step.at_ms);
        evidence
    }

    /// Folds rows and makes a finding of each run.
    pub(super) fn answer(
        &self,
        kind: Kind,
        rows: Vec<Row>,
        because: impl Fn(&[Row]) -> String,
    ) -> Answer {
        let count = rows.len() as u64;
        let findings = fold(self, rows)
            .iter()
            .take(self.checker.options.findings_max)
            .map(|run| self.finding(kind, run, because(run)))
            .collect();
        Answer { count, findings, unknown: None }
    }
}

/// An outcome as the field spells it.
pub(super) fn fate_word(fate: Fate) -> &'static str {
    match fate {
        Fate::Open | Fate::Info => "info",
        Fate::Ok => "ok",
        Fate::Fail => "fail",
        Fate::Unacknowledged => "unacknowledged",
    }
}
