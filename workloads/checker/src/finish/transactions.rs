//! What readers of committed records saw of transactions and should not have, and what they should have seen whole.
//!
//! Visible is what a reader of committed records was handed. A transaction is torn only where the final reads of the logs
//! concerned are complete: before that, what is missing may be late. Cycles are not here (`operations`).

use super::fold::Row;
use super::loss::Removal;
use super::*;
use crate::prose::{at, count_of, number, offset, were};
use crate::transactions::{Early, State, Transaction};
use rustc_hash::FxHashMap;

/// What the sweep finds of transactions.
#[derive(Default)]
pub(super) struct Parts {
    /// Of aborted ones, and handed to readers of committed records.
    aborted: Vec<Row>,
    /// Of fenced ones, and handed to such readers.
    stale: Vec<Row>,
    /// By transaction: records that readers of committed records have for good.
    visible: FxHashMap<u32, u64>,
    /// What the final reads lack, each with its transaction.
    missing: Vec<(u32, Row)>,
}

impl Closing<'_> {
    /// Notes what a record says of its transaction.
    pub(super) fn part_of_transaction(
        &self,
        slot: Slot,
        record: &records::Record,
        seen: Option<bool>,
        parts: &mut Parts,
    ) {
        let Some((index, transaction)) = self.transaction_of(slot) else { return };
        let offset = self.checker.records.acknowledged_offset(slot);
        let offset = offset.or_else(|| record.is_read().then_some(record.offset));
        let row = Row { log: record.log, group: 0, offset, slot };
        if record.is_read_committed() {
            if transaction.is_aborted() {
                parts.aborted.push(row);
            }
            if transaction.was_fenced {
                parts.stale.push(row);
            }
        }
        let is_gone = seen == Some(false);
        if record.is_read_committed() && !is_gone {
            *parts.visible.entry(index).or_insert(0) += 1;
        } else if is_gone
            && !self.checker.is_deleted(self.checker.logs[record.log as usize].log)
            && matches!(self.removal(record, offset), Removal::Unexplained)
        {
            parts.missing.push((index, row));
        }
    }

    pub(super) fn transaction_of(&self, slot: Slot) -> Option<(u32, &Transaction)> {
        let transactions = &self.checker.transactions;
        if transactions.is_empty() {
            return None;
        }
        let id = self.checker.records.id(slot);
        let index = transactions.of(id.session, id.sequence)?;
        Some((index, &transactions.list[index as usize]))
    }

    /// A record that readers of committed records need not see: of a transaction that did not commit, as far as clients can
    /// know.
    pub(super) fn is_uncommitted(&self, slot: Slot) -> bool {
        self.transaction_of(slot).is_some_and(|(_, transaction)| !transaction.is_committed())
    }

    /// Of an indeterminate transaction that was seen by readers of committed records: it has committed.
    pub(super) fn must_have_committed(&self, slot: Slot, record: &records::Record) -> bool {
        matches!(record.fate(), Fate::Info | Fate::Open)
            && self.transaction_of(slot).is_some_and(|(_, transaction)| transaction.is_committed())
    }

    /// One kind's answer; `None` for kinds that are not looked for here.
    pub(super) fn of_transactions(&self, kind: Kind, parts: &mut Parts) -> Option<Answer> {
        Some(match kind {
            Kind::G1a => self.aborted_reads(std::mem::take(&mut parts.aborted)),
            Kind::G1b => self.early_reads(false),
            Kind::PrecommittedRead => self.early_reads(true),
            Kind::TornTransaction => self.torn(parts),
            Kind::StaleEpochWrite => self.stale_writes(std::mem::take(&mut parts.stale)),
            _ => return None,
        })
    }

    fn aborted_reads(&self, rows: Vec<Row>) -> Answer {
        self.answer(Kind::G1a, rows, |run| {
            let (record, transaction) = self.first_of(run);
            format!(
                "{} of {} {} handed to a reader of committed records, and {} transaction {} of session {}, which ended as aborted {}: offset {} was read {}.",
                count_of(run.len() as u64, "record"),
                self.log_of(run),
                were(run.len() as u64),
                if run.len() == 1 { "belongs to" } else { "belong to an aborted transaction, the first one to" },
                number(transaction.number),
                transaction.session.0,
                at(transaction.ended_ms),
                offset(record.offset),
                at(record.read_ms),
            )
        })
    }

    fn early_reads(&self, own: bool) -> Answer {
        let early = &self.checker.transactions.early;
        let wanted = |early: &&Early| {
            let transaction = &self.checker.transactions.list[early.transaction as usize];
            early.own == own && (own || !transaction.is_aborted())
        };
        let row = |early: &Early| {
            let slot = Slot(early.slot);
            let log = self.checker.records.get(slot).log;
            Row { log, group: 0, offset: Some(early.offset), slot }
        };
        let mut rows: Vec<Row> = early.iter().filter(wanted).map(row).collect();
        rows.sort_unstable();
        rows.dedup();
        let kind = if own { Kind::PrecommittedRead } else { Kind::G1b };
        self.answer(kind, rows, |run| {
            let first = early.iter().filter(wanted).find(|one| one.slot == run[0].slot.0);
            let (_, transaction) = self.first_of(run);
            let count = run.len() as u64;
            let what = match own {
                true => "which had not ended: it read what it had written itself",
                false => "whose client had not asked for the commit yet",
            };
            format!(
                "{} of {} {} handed to session {}, which reads committed records only, as part of transaction {} of session {}, {what}. The first one was offset {}, {}.",
                count_of(count, "record"),
                self.log_of(run),
                were(count),
                first.map_or(0, |one| one.reader.0),
                number(transaction.number),
                transaction.session.0,
                offset(run[0].offset.unwrap_or(-1)),
                at(first.map_or(0, |one| one.at_ms)),
            )
        })
    }

    fn torn(&self, parts: &Parts) -> Answer {
        let visible = |index: &u32| parts.visible.get(index).copied().unwrap_or(0);
        let is_torn = |(index, _): &&(u32, Row)| visible(index) > 0;
        let rows = parts.missing.iter().filter(is_torn).map(|(_, row)| *row).collect();
        self.answer(Kind::TornTransaction, rows, |run| {
            let (index, transaction) =
                self.transaction_of(run[0].slot).expect("rows of transactions");
            let session = transaction.session.0;
            let missing = parts.missing.iter().filter(|(of, _)| *of == index).count() as u64;
            format!(
                "Transaction {} of session {session} {}, and {} of its records stand in the logs for readers of committed records, but {} {} not there, of {} among others.",
                number(transaction.number),
                ending_in_words(transaction),
                number(visible(&index)),
                number(missing),
                if missing == 1 { "is" } else { "are" },
                self.log_of(run),
            )
        })
    }

    fn stale_writes(&self, rows: Vec<Row>) -> Answer {
        self.answer(Kind::StaleEpochWrite, rows, |run| {
            let (record, transaction) = self.first_of(run);
            let count = run.len() as u64;
            format!(
                "{} of {} {} written by session {}, whose transactional id another session had taken before it asked for the commit of transaction {}; and a reader of committed records was handed offset {} {}.",
                count_of(count, "record"),
                self.log_of(run),
                were(count),
                transaction.session.0,
                number(transaction.number),
                offset(record.offset),
                at(record.read_ms),
            )
        })
    }

    fn first_of(&self, run: &[Row]) -> (records::Record, &Transaction) {
        let slot = run[0].slot;
        let (_, transaction) = self.transaction_of(slot).expect("rows of transactions");
        (self.checker.records.get(slot), transaction)
    }
}

fn ending_in_words(transaction: &Transaction) -> &'static str {
    match transaction.state {
        State::Ended(Ending::Committed) => "was committed",
        State::Ended(Ending::Aborted) => "was aborted",
        State::Ended(Ending::Info) => "ended nobody knows how",
        State::Open | State::Ending { .. } => "was never ended",
    }
}
