//! Records of one session that stand in a log in another order than they were sent.

use super::fold::{Row, fate_word};
use super::*;
use crate::prose::{count_of, number, offset};

/// The furthest place that a session's records have come to in a log so far.
#[derive(Clone, Copy)]
struct Furthest {
    session: usize,
    offset: i64,
    slot: Slot,
}

/// What the order of records came to so far, log by log.
pub(super) struct Order {
    furthest: Vec<Option<Furthest>>,
    /// By log: the run under way, if there is one.
    open: Vec<Option<usize>>,
    /// Each with the record that they stand before. A run goes on while the session's next records in this log stand
    /// before the same one.
    runs: Vec<(Slot, Vec<Row>)>,
    count: u64,
}

impl Order {
    pub(super) fn over(logs: usize) -> Order {
        Order { furthest: vec![None; logs], open: vec![None; logs], runs: Vec::new(), count: 0 }
    }
}

impl Closing<'_> {
    /// Takes the next record of a session.
    pub(super) fn order(
        &self,
        session: usize,
        slot: Slot,
        record: &records::Record,
        order: &mut Order,
    ) {
        let Some(offset) = self.first_appearance(slot, record) else { return };
        let log = record.log as usize;
        let ahead = order.furthest[log].filter(|ahead| ahead.session == session);
        let Some(ahead) = ahead.filter(|ahead| ahead.offset > offset) else {
            order.furthest[log] = Some(Furthest { session, offset, slot });
            order.open[log] = None;
            return;
        };
        order.count += 1;
        let row = Row { log: record.log, group: 0, offset: Some(offset), slot };
        match order.open[log] {
            Some(index) => order.runs[index].1.push(row),
            None => {
                order.open[log] = Some(order.runs.len());
                order.runs.push((ahead.slot, vec![row]));
            }
        }
    }

    pub(super) fn reordered(&self, order: &Order) -> Answer {
        let findings = order
            .runs
            .iter()
            .take(self.checker.options.findings_max)
            .map(|(ahead, run)| {
                let mut finding =
                    self.finding(Kind::Reordered, run, self.order_because(*ahead, run));
                finding.evidence.splice(0..0, self.evidence(*ahead));
                // What became of the one that came late, as its writer was told.
                finding.outcome = Some(fate_word(self.checker.records.get(*ahead).fate()).into());
                finding
            })
            .collect();
        Answer { count: order.count, findings, unknown: None }
    }

    /// Where a record stands first in its log: by the final reads, or by any where there are none.
    fn first_appearance(&self, slot: Slot, record: &records::Record) -> Option<i64> {
        // The log that it was sent to is gone, and with it the memory of its producer: it was sent again, when that was over.
        if record.is_carried_over() {
            return None;
        }
        if !record.is_sent() || !record.is_read() || self.finally_seen(record) == Some(false) {
            return None;
        }
        let Some(elsewhere) = self.checker.records.elsewhere_of(slot, record) else {
            return Some(record.offset);
        };
        let mask = *self.covered[record.log as usize].as_ref().unwrap_or(&0);
        let counts = |place: &&records::Place| mask == 0 || place.finals & mask != 0;
        elsewhere.places.iter().filter(counts).map(|place| place.offset).min()
    }

    fn order_because(&self, ahead: Slot, run: &[Row]) -> String {
        let records = &self.checker.records;
        let first = records.id(run[0].slot);
        let before = records.id(ahead);
        let count = run.len() as u64;
        let where_ahead = self.first_appearance(ahead, &records.get(ahead)).unwrap_or(-1);
        format!(
            "Session {} sent sequence {} before sequence {} to {}, but the log holds them the other way round: {} at offset {}, {} at offset {}. {} stand{} before a record that was sent earlier.",
            first.session.0,
            number(before.sequence),
            number(first.sequence),
            self.log_of(run),
            number(first.sequence),
            offset(run[0].offset.unwrap_or(-1)),
            number(before.sequence),
            offset(where_ahead),
            count_of(count, "record"),
            if count == 1 { "s" } else { "" },
        )
    }
}
