//! One look at every record, session by session in the order of sending: what it adds to the counts, and which answers
//! it belongs to. Records may lie packed or spilled, so they are gone through once and not once for each question.

use super::fold::Row;
use super::loss::Rows;
use super::order::Order;
use super::transactions::Parts;
use super::*;

/// Records by the question that they are an answer to.
pub(super) struct Sweep {
    pub(super) counts: Counts,
    pub(super) losses: Rows,
    pub(super) order: Order,
    /// Read at more than one offset.
    pub(super) duplicates: Vec<Row>,
    /// Acknowledged at one offset, and only ever read at another.
    pub(super) acknowledged_elsewhere: Vec<Row>,
    /// Certainly failed, and read.
    pub(super) resurrected: Vec<Row>,
    /// By log: read, and never sent.
    pub(super) unsent: Vec<BTreeMap<i64, Sighting>>,
    pub(super) transactions: Parts,
    /// By producer session: sends that never had an outcome.
    pub(super) open_sends: BTreeMap<Session, u64>,
}

impl Closing<'_> {
    pub(super) fn sweep(&self) -> Sweep {
        let logs = self.checker.logs.len();
        let mut sweep = Sweep {
            counts: self.checker.counts.clone(),
            losses: Rows::default(),
            order: Order::over(logs),
            duplicates: Vec::new(),
            acknowledged_elsewhere: Vec::new(),
            resurrected: Vec::new(),
            unsent: vec![BTreeMap::new(); logs],
            transactions: Parts::default(),
            open_sends: BTreeMap::new(),
        };
        sweep.counts.foreign = self.checker.logs.iter().map(|state| state.foreign).sum();
        sweep.counts.read = 0;
        self.checker.records.each_in_order(|session, slot, record| {
            if record.is_sent() {
                let seen = self.finally_seen(record);
                sweep.count(record, seen);
                self.weigh(slot, record, seen, &mut sweep.losses);
                self.order(session, slot, record, &mut sweep.order);
                self.places(slot, record, seen, &mut sweep);
                self.part_of_transaction(slot, record, seen, &mut sweep.transactions);
            } else if record.is_read() {
                self.unsent(slot, record, &mut sweep.unsent);
            }
        });
        sweep.counts.ok_removed = sweep.losses.removed;
        sweep
    }

    /// Whether final reads that count saw it; `None` if its log was not finally read.
    pub(super) fn finally_seen(&self, record: &records::Record) -> Option<bool> {
        let mask = self.covered.get(record.log as usize)?.as_ref().ok()?;
        Some(record.finals & mask != 0)
    }

    fn places(&self, slot: Slot, record: &records::Record, seen: Option<bool>, sweep: &mut Sweep) {
        let row = || Row { log: record.log, group: 0, offset: Some(record.offset), slot };
        match record.fate() {
            Fate::Open => {
                let session = self.checker.records.id(slot).session;
                *sweep.open_sends.entry(session).or_default() += 1;
            }
            // Records of aborted transactions stand in the log, and only some readers may have them: those are G1a.
            Fate::Fail if record.is_read() && self.transaction_of(slot).is_none() => {
                sweep.resurrected.push(row());
            }
            _ => {}
        }
        let Some(elsewhere) = self.checker.records.elsewhere_of(slot, record) else { return };
        if elsewhere.places.len() > 1 && !record.is_carried_over() {
            sweep.duplicates.push(row());
        }
        let Some(acknowledged_at) = elsewhere.acknowledged_at else { return };
        // Gone for good is told as the loss that it is.
        let disagrees = record.fate() == Fate::Ok
            && seen != Some(false)
            && elsewhere.places.iter().all(|place| place.offset != acknowledged_at);
        if disagrees {
            sweep.acknowledged_elsewhere.push(row());
        }
    }

    fn unsent(&self, slot: Slot, record: &records::Record, of_log: &mut [BTreeMap<i64, Sighting>]) {
        let checker = self.checker;
        let reader = checker.passes.reader_of(record.reader);
        let id = checker.records.id(slot);
        let sighting = Sighting { id, at_ms: record.read_ms, reader, sent_to: None };
        let of_log = &mut of_log[record.log as usize];
        of_log.insert(record.offset, sighting);
        let places = checker.records.elsewhere_of(slot, record).map(|known| &known.places);
        of_log.extend(places.into_iter().flatten().map(|place| (place.offset, sighting)));
    }
}

impl Sweep {
    /// Counts a record that was sent.
    fn count(&mut self, record: &records::Record, seen: Option<bool>) {
        let counts = &mut self.counts;
        counts.read += u64::from(record.is_read());
        let missing = seen == Some(false);
        let seen = u64::from(seen.unwrap_or(record.finals != 0));
        match record.fate() {
            Fate::Ok => counts.ok_read += seen,
            Fate::Open => {
                counts.info += 1;
                counts.info_read += seen;
            }
            Fate::Info => counts.info_read += seen,
            Fate::Unacknowledged => {
                counts.unacknowledged_read += seen;
                counts.unacknowledged_missing += u64::from(missing);
            }
            Fate::Fail => {}
        }
    }
}
