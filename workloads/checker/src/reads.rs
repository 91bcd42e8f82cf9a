//! What readers were handed, and how they moved.

use super::*;
use std::collections::BTreeSet;

impl Checker {
    pub(super) fn pass_began(&mut self, reader: Session, number: u32, kind: PassKind) {
        let index = self.passes.index(reader, number);
        self.passes.list[index].kind = kind;
        self.passes.list[index].began_ms.get_or_insert(self.now_ms);
        if kind == PassKind::Final && self.passes.list[index].bit.is_none() {
            let bit = match self.passes.free_bit() {
                Some(bit) => Some(bit),
                None => self.reuse_bit(),
            };
            self.passes.list[index].bit = bit;
        }
    }

    /// More final passes than bits: those of passes that ended without being complete are taken back.
    fn reuse_bit(&mut self) -> Option<u8> {
        let taken_back = self.passes.take_back_bits();
        if taken_back != 0 {
            self.records.clear_finals(taken_back);
            for log in &mut self.logs {
                log.table.clear_finals(taken_back);
            }
        }
        self.passes.free_bit()
    }

    pub(super) fn reader_event(&mut self, reader: Session, number: u32, what: &ReaderEvent) {
        let pass = self.passes.index(reader, number);
        let now_ms = self.now_ms;
        match what {
            ReaderEvent::Assigned { logs } => {
                let logs: Vec<(u32, Option<i64>)> =
                    logs.iter().map(|(log, from)| (self.log(*log), *from)).collect();
                self.passes.list[pass].assigned(&logs, now_ms);
            }
            ReaderEvent::Revoked { logs } => {
                for log in logs {
                    let index = self.log(*log);
                    self.passes.list[pass].forget_position(index);
                }
            }
            ReaderEvent::Seek { log, offset } => {
                let index = self.log(*log);
                self.passes.list[pass].moved_to(index, Some(*offset), now_ms);
            }
            ReaderEvent::OutOfRange { log, reset_to, .. } => {
                let index = self.log(*log);
                self.passes.list[pass].moved_to(index, *reset_to, now_ms);
            }
            ReaderEvent::EndOfLog { log, offset } => {
                let index = self.log(*log);
                self.passes.list[pass].reached_end(index, *offset);
            }
            ReaderEvent::Error { .. } => {}
        }
    }

    pub(super) fn polled(
        &mut self,
        reader: Session,
        number: u32,
        log: LogRef,
        polled: &[(i64, Seen)],
    ) {
        let log_index = self.log(log);
        let pass_index = self.passes.index(reader, number);
        if let (false, Some((first, _))) = (self.groups.is_empty(), polled.first()) {
            self.groups.handed(reader, log_index, *first);
        }
        let mut late = BTreeSet::new();
        for (offset, what) in polled {
            if let Seen::Misplaced { id, sent_to } = what
                && self.comes_late(*id, *sent_to, log_index, *offset)
            {
                late.insert(*id);
            }
        }
        let Checker { passes, logs, records, offsets, counts, transactions, .. } = self;
        let committed = !transactions.is_empty() && transactions.is_committed_reader(reader);
        let pass = &mut passes.list[pass_index];
        let finals = pass.finals();
        let state = &mut logs[log_index as usize];
        let now_ms = self.now_ms;
        for (offset, what) in polled {
            let offset = *offset;
            if offset < 0 || offset == i64::MAX {
                self.negative_offsets += 1;
                continue;
            }
            counts.polled += 1;
            step(pass, pass_index, log_index, state, offset, now_ms);
            let sighting = |id, sent_to| Sighting { id, at_ms: now_ms, reader, sent_to };
            let is_here = |id: &RecordId, records: &mut Records| {
                let slot = records.slot(*id);
                let record = records.get(slot);
                record.is_carried_over() && record.log == log_index
            };
            let occupant = match what {
                Seen::Misplaced { id, .. } if is_here(id, records) => {
                    let slot = records.slot(*id);
                    counts.read += u64::from(!records.get(slot).is_read());
                    records.read_at(slot, log_index, offset, finals, pass.ordinal, now_ms);
                    slot.0
                }
                Seen::Misplaced { id, .. } if late.contains(id) => FOREIGN,
                Seen::Record(id) => {
                    let slot = records.slot(*id);
                    let record = records.get_mut(slot);
                    let first = !record.is_read();
                    if record.is_sent() && record.log != log_index {
                        state.phantoms.entry(offset).or_insert(sighting(*id, None));
                        FOREIGN
                    } else {
                        records.read_at(slot, log_index, offset, finals, pass.ordinal, now_ms);
                        counts.read += u64::from(first);
                        if committed && let Some(index) = transactions.of(id.session, id.sequence) {
                            let first = !records.get(slot).is_read_committed();
                            records.get_mut(slot).set_read_committed();
                            transactions.seen(index, slot.0, offset, reader, now_ms, first);
                        }
                        slot.0
                    }
                }
                Seen::Corrupted(id) => {
                    let slot = records.slot(*id);
                    records.get_mut(slot).set_corrupted();
                    state.corrupted.entry(offset).or_insert(sighting(*id, None));
                    continue;
                }
                Seen::Misplaced { id, sent_to } => {
                    state.phantoms.entry(offset).or_insert(sighting(*id, Some(*sent_to)));
                    FOREIGN
                }
                Seen::Foreign => {
                    state.foreign += u64::from(state.table.get(offsets, offset).is_none());
                    FOREIGN
                }
            };
            let seen = Conflict { occupant, finals, at_ms: now_ms, pass: pass.ordinal };
            let before = |slot: u32| {
                let record = records.get(Slot(slot));
                let places = records.elsewhere(Slot(slot)).map(|known| &known.places);
                let here = places.into_iter().flatten().find(|place| place.offset == offset);
                match here {
                    Some(place) => (place.finals, place.at_ms, record.reader),
                    None => (record.finals, record.read_ms, record.reader),
                }
            };
            state.table.put(offsets, offset, seen, before);
        }
    }
}

impl Checker {
    /// Takes a record that was found in another log than it was sent to, where that one's topic was deleted and the other one
    /// made anew under its name: brokers know a send's topic by its name, and one that was under way meanwhile may have gone to
    /// either. Answers whether it is a request that came late, after another one for the same record had been acknowledged: it
    /// says nothing about the new topic. What was acknowledged before the deletion and stands at the very offset in the new
    /// topic is neither: the deleted log is back.
    fn comes_late(&mut self, id: RecordId, sent_to: LogRef, found: u32, offset: i64) -> bool {
        let is_anew = self.is_anew(sent_to, self.logs[found as usize].log);
        let deleted_ms = self.topics.get(&sent_to.topic.0).and_then(|topic| topic.deleted_ms);
        let Some(deleted_ms) = deleted_ms.filter(|_| is_anew) else { return false };
        let slot = self.records.slot(id);
        let record = self.records.get(slot);
        if !record.is_sent() || record.log == found {
            return false;
        }
        let acknowledged = record.fate() == Fate::Ok && u64::from(record.done_ms) < deleted_ms;
        if acknowledged || record.is_elsewhere() {
            let back = self.records.acknowledged_offset(slot) == Some(offset);
            return !(acknowledged && back);
        }
        if record.fate() == Fate::Ok {
            let of = [record.log, found].map(|log| log as usize);
            let old = &mut self.logs[of[0]];
            old.ok = old.ok.saturating_sub(1);
            let anew = &mut self.logs[of[1]];
            anew.ok += 1;
            anew.first_ok_ms =
                Some(anew.first_ok_ms.map_or(record.done_ms, |ms| ms.min(record.done_ms)));
            anew.last_ok_ms = anew.last_ok_ms.max(Some(record.done_ms));
        }
        self.counts.read = self.counts.read.saturating_sub(u64::from(record.is_read()));
        self.records.carry_over(slot, found);
        false
    }

    /// Whether a log is the same partition of a topic that was made later under the same name.
    fn is_anew(&self, of: LogRef, log: LogRef) -> bool {
        let name = |log: LogRef| self.topics.get(&log.topic.0).map(|topic| &topic.name);
        let is_later = of.topic < log.topic && of.partition == log.partition;
        is_later && name(of).is_some() && name(of) == name(log)
    }
}

/// Moves a reader over the record that it was handed, and notes where it jumped or went back.
fn step(
    pass: &mut Pass,
    pass_index: usize,
    log_index: u32,
    state: &mut LogState,
    offset: i64,
    at_ms: u32,
) {
    let position = pass.position(log_index);
    (position.moved_ms, position.handed_ms) = (at_ms, at_ms);
    let from_start = std::mem::take(&mut position.from_start);
    let Some(next) = position.advance(offset) else { return };
    if offset > next {
        let pass = pass_index as u32;
        state.gaps.push(Gap { from: next, to: offset, at_ms, pass, from_start });
    } else {
        let (reader, pass) = (pass.reader, pass.number);
        state.backward.push(Backward { reader, pass, from: next - 1, to: offset, at_ms });
    }
}
