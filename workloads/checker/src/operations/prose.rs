//! What every finding says in the same words: keys, values, operations, and evidence as data.

use super::logs::{Fate, Logs, NO_OFFSET};
use super::order::Order;
use super::table::Table;
use super::{OperationChecker, Options, Process};
use model::finding::{Evidence, Finding, Kind};
use model::history::{LogRef, RecordId, Session, TopicRef};
use model::operation::{Names, Stage};
use rustc_hash::FxHashMap;

/// Everything that a finding is told from.
pub(super) struct Telling<'a> {
    pub(super) options: &'a Options,
    pub(super) logs: &'a Logs,
    pub(super) table: &'a Table,
    pub(super) orders: &'a [Order],
    pub(super) names: &'a Names,
    processes: &'a [Process],
    /// The first operation that read a row, for the rows that were asked about.
    pub(super) readers: FxHashMap<(u32, u32), u32>,
}

impl<'a> Telling<'a> {
    pub(super) fn new(
        checker: &'a OperationChecker,
        orders: &'a [Order],
        names: &'a Names,
    ) -> Telling<'a> {
        Telling {
            options: &checker.options,
            logs: &checker.logs,
            table: &checker.table,
            orders,
            names,
            processes: &checker.processes,
            readers: FxHashMap::default(),
        }
    }

    pub(super) fn key(&self, key: u32) -> String {
        format!("key {}", self.names.show(self.logs.get(key).key))
    }

    pub(super) fn process(&self, process: u32) -> String {
        format!("process {}", self.names.show(self.processes[process as usize].number))
    }

    pub(super) fn value(&self, key: u32, row: u32) -> String {
        self.names.show(self.logs.get(key).atom(row))
    }

    /// `value 7 at offset 12`
    pub(super) fn place(&self, key: u32, row: u32) -> String {
        let value = self.value(key, row);
        match self.offset(key, row) {
            Some(offset) => format!("value {value} at offset {offset}"),
            None => format!("value {value}"),
        }
    }

    /// `operation 12 (process 3)`
    pub(super) fn operation(&self, number: u32) -> String {
        let done = self.table.done(number);
        format!("operation {} ({})", done.index, self.process(done.process))
    }

    pub(super) fn offset(&self, key: u32, row: u32) -> Option<i64> {
        let offset = self.logs.get(key).row(row).offset;
        (offset != NO_OFFSET).then_some(offset)
    }

    pub(super) fn session(&self, process: u32) -> u32 {
        let number = self.processes[process as usize].number.as_number();
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(u32::MAX)
    }

    pub(super) fn id(&self, key: u32, row: u32) -> Option<RecordId> {
        let log = self.logs.get(key);
        let writer = log.writer(log.main(row))?;
        let session = Session(self.session(self.table.done(writer).process));
        Some(RecordId { session, sequence: log.row(row).value as u64 })
    }

    pub(super) fn evidence(&self, what: &str, number: u32, record: Option<(u32, u32)>) -> Evidence {
        let done = self.table.done(number);
        Evidence {
            at_ms: u64::from(done.at_ms),
            what: what.to_owned(),
            session: self.session(done.process),
            id: record.and_then(|(key, row)| self.id(key, row)),
            offset: record.and_then(|(key, row)| self.offset(key, row)),
            index: Some(done.index),
        }
    }

    /// The send of a value, told by its outcome.
    pub(super) fn send_evidence(&self, key: u32, main: u32) -> Option<Evidence> {
        let log = self.logs.get(key);
        let what = match log.fate(main) {
            Fate::Unsent => return None,
            Fate::Ok => "send ok",
            Fate::Info => "send info",
            Fate::Fail => "send fail",
        };
        Some(self.evidence(what, log.writer(main)?, Some((key, main))))
    }

    /// The first poll that had a row, if somebody asked for it before.
    pub(super) fn read_evidence(&self, key: u32, row: u32) -> Option<Evidence> {
        let reader = *self.readers.get(&(key, row))?;
        let what = format!("polled ({})", stage(self.table.done(reader).stage));
        Some(self.evidence(&what, reader, Some((key, row))))
    }

    /// Looks for the first reader of each of these rows.
    pub(super) fn ask_readers(&mut self, rows: &[(u32, u32)]) {
        if rows.is_empty() {
            return;
        }
        let mut wanted: FxHashMap<(u32, u32), Option<u32>> =
            rows.iter().map(|row| (*row, None)).collect();
        for number in 0..self.table.list.len() as u32 {
            for (key, row) in self.table.reads(self.logs, number) {
                if let Some(reader @ None) = wanted.get_mut(&(key, row)) {
                    *reader = Some(number);
                }
            }
        }
        let found = wanted.into_iter().filter_map(|(row, reader)| Some((row, reader?)));
        self.readers.extend(found);
    }

    pub(super) fn finding(&self, kind: Kind, key: u32, count: u64, because: String) -> Finding {
        let number = self.logs.get(key).key.as_number();
        Finding {
            kind,
            log: number.and_then(log_of_number).unwrap_or_else(|| unnumbered(key)),
            topic: number
                .map_or_else(|| self.names.show(self.logs.get(key).key), |_| String::new()),
            count,
            first_offset: None,
            last_offset: None,
            ids: Vec::new(),
            outcome: None,
            first_ack_ms: None,
            last_ack_ms: None,
            because,
            evidence: Vec::new(),
            cycle: Vec::new(),
        }
    }
}

/// A key that is a number, in the two words that a finding has for it.
fn log_of_number(number: i64) -> Option<LogRef> {
    let number = u64::try_from(number).ok()?;
    Some(LogRef { topic: TopicRef((number >> 32) as u32), partition: number as u32 })
}

/// Keys that are no numbers stand in their findings as topics, by their text.
fn unnumbered(key: u32) -> LogRef {
    LogRef { topic: TopicRef(u32::MAX), partition: key }
}

/// The key that a finding is about, where it is a number.
pub fn number_of(log: LogRef) -> Option<i64> {
    i64::try_from(u64::from(log.topic.0) << 32 | u64::from(log.partition)).ok()
}

pub(super) fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Invoke => "invoke",
        Stage::Ok => "ok",
        Stage::Fail => "fail",
        Stage::Info => "info",
    }
}

/// `offset 7` or `offsets 7 to 9`
pub(super) fn offsets(first: Option<i64>, last: Option<i64>) -> String {
    match (first, last) {
        (Some(first), Some(last)) if first == last => format!("offset {first}"),
        (Some(first), Some(last)) => format!("offsets {first} to {last}"),
        _ => "an unknown offset".into(),
    }
}

/// `is` or `are`, `was` or `were`
pub(super) fn plural<'a>(count: u64, one: &'a str, more: &'a str) -> &'a str {
    if count == 1 { one } else { more }
}

/// With a capital letter.
pub(super) fn capital(text: String) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().collect::<String>() + chars.as_str(),
        None => text,
    }
}
