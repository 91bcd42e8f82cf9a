//! Sends and their outcomes, on their own and in transactions.

use super::*;

impl Checker {
    pub(super) fn send(&mut self, id: RecordId, log: LogRef) {
        let index = self.log(log);
        let slot = self.records.slot(id);
        let record = self.records.get_mut(slot);
        if record.is_sent() {
            self.repeated_events += 1;
            return;
        }
        if record.is_read() && record.log != index {
            // It was read before its intent was written down, and in another log.
            let offset = record.offset;
            let (found, at_ms, reader) = (record.log, record.read_ms, record.reader);
            record.forget_read();
            let reader = self.passes.reader_of(reader);
            let sighting = Sighting { id, at_ms, reader, sent_to: Some(log) };
            self.logs[found as usize].phantoms.insert(offset, sighting);
        }
        let record = self.records.get_mut(slot);
        record.log = index;
        record.sent_ms = self.now_ms;
        record.set_sent();
        if self.transactions.has_sessions() {
            self.transactions.sent(id.session, id.sequence);
        }
    }

    /// Its records take its outcome.
    pub(super) fn transaction_ended(&mut self, session: Session, number: u64, ending: Ending) {
        let ended = self.transactions.ended(session, number, ending, self.now_ms);
        let Some((ended, sequences)) = ended else {
            self.repeated_events += 1;
            return;
        };
        let (began_ns, now_ns) = (ended.began_ns, self.now_ns);
        self.groups.transaction_ended(session, number, ending, began_ns, now_ns);
        let fate = match ending {
            Ending::Committed => Fate::Ok,
            Ending::Aborted => Fate::Fail,
            Ending::Info => Fate::Info,
        };
        for sequence in sequences {
            let id = RecordId { session, sequence };
            let slot = self.records.slot(id);
            if self.records.get(slot).fate() == Fate::Open {
                self.settle(id, slot, fate);
            }
        }
    }

    pub(super) fn sent(&mut self, id: RecordId, outcome: Outcome) {
        let slot = self.records.slot(id);
        let record = self.records.get_mut(slot);
        if !record.is_sent() {
            self.sent_without_send += 1;
            return;
        }
        if !self.transactions.is_empty() && self.transactions.of(id.session, id.sequence).is_some()
        {
            self.delivered(slot, outcome);
            return;
        }
        let fate = match outcome {
            Outcome::Ok { .. } => Fate::Ok,
            Outcome::Fail => Fate::Fail,
            Outcome::Info => Fate::Info,
            Outcome::Unacknowledged => Fate::Unacknowledged,
        };
        let before = record.fate();
        if before != Fate::Open {
            self.repeated_events += 1;
            // An acknowledgement is never taken back by another word about the same send.
            if before == Fate::Ok || fate != Fate::Ok {
                return;
            }
            self.count(id, before, -1);
        }
        self.settle(id, slot, fate);
        self.delivered(slot, outcome);
    }

    /// What became of a record is known.
    fn settle(&mut self, id: RecordId, slot: Slot, fate: Fate) {
        let now_ms = self.now_ms;
        let record = self.records.get_mut(slot);
        record.set_fate(fate);
        record.done_ms = now_ms;
        let log = record.log;
        self.count(id, fate, 1);
        let state = &mut self.logs[log as usize];
        state.unacknowledged += u64::from(fate == Fate::Unacknowledged);
        if fate == Fate::Ok {
            state.ok += 1;
            state.first_ok_ms.get_or_insert(now_ms);
            state.last_ok_ms = Some(now_ms);
        }
    }

    /// Where it was written, if its client was told.
    fn delivered(&mut self, slot: Slot, outcome: Outcome) {
        match outcome {
            Outcome::Ok { .. } if self.may_be_of_another_topic(slot) => {}
            Outcome::Ok { offset: Some(offset) } if offset >= 0 => {
                self.records.acknowledged_at(slot, offset);
            }
            Outcome::Ok { offset: Some(_) } => self.negative_offsets += 1,
            _ => {}
        }
    }

    /// Nobody tells whether an acknowledgement that comes after the deletion of a topic is of that one, or of the one that was made
    /// anew: its offset says nothing.
    fn may_be_of_another_topic(&self, slot: Slot) -> bool {
        let record = self.records.get(slot);
        record.is_carried_over() || self.is_deleted(self.logs[record.log as usize].log)
    }

    fn count(&mut self, id: RecordId, fate: Fate, by: i64) {
        let add = |count: &mut u64| *count = count.saturating_add_signed(by);
        let producer = self.producers.get_mut(&id.session.0);
        let (total, own) = match fate {
            Fate::Ok => (&mut self.counts.ok, producer.map(|known| &mut known.ok)),
            Fate::Fail => (&mut self.counts.fail, producer.map(|known| &mut known.fail)),
            Fate::Info => (&mut self.counts.info, producer.map(|known| &mut known.info)),
            Fate::Unacknowledged => {
                (&mut self.counts.unacknowledged, producer.map(|known| &mut known.unacknowledged))
            }
            Fate::Open => return,
        };
        add(total);
        if let Some(own) = own {
            add(own);
        }
    }
}
