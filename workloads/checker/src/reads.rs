//! What readers were handed, and how they moved.

use super::*;

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
            let occupant = match what {
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
