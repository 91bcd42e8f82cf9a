//! Everything known about each record sent or seen: 32 bytes each while it is used and a few once packed, and a side
//! table for those seen in more places than one.

mod page;

use crate::pages::{Page, Pages, SharedBacking};
use model::history::{RecordId, Session};
use page::RecordPage;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Where a record stands in [`Records`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u32);

/// Records of one session that stand together, and are a page.
const CHUNK: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// No outcome was written down: indeterminate.
    Open,
    Ok,
    Fail,
    Info,
    Unacknowledged,
}

mod flag {
    pub(super) const FATE: u16 = 0x07;
    pub(super) const SENT: u16 = 0x08;
    pub(super) const READ: u16 = 0x10;
    /// `offset` is where it was acknowledged.
    pub(super) const ACKNOWLEDGED_AT: u16 = 0x20;
    /// The side table knows more places.
    pub(super) const ELSEWHERE: u16 = 0x40;
    pub(super) const CORRUPTED: u16 = 0x80;
    /// Of a transaction's record: a reader of committed records was handed it.
    pub(super) const READ_COMMITTED: u16 = 0x100;
    /// It was sent to a topic that was deleted, and stands in the one that was made anew.
    pub(super) const CARRIED_OVER: u16 = 0x200;
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where it was first read; until then, where it was acknowledged; -1 for neither.
    pub(crate) offset: i64,
    pub(crate) log: u32,
    pub(crate) sent_ms: u32,
    pub(crate) done_ms: u32,
    pub(crate) read_ms: u32,
    /// The final passes that read it in its log, a bit each.
    pub(crate) finals: u16,
    /// Ordinal of the pass that read it first.
    pub(crate) reader: u16,
    flags: u16,
}

pub(super) const NOTHING: Record = Record {
    offset: -1,
    log: 0,
    sent_ms: 0,
    done_ms: 0,
    read_ms: 0,
    finals: 0,
    reader: 0,
    flags: 0,
};

impl Record {
    pub(crate) fn is_sent(&self) -> bool {
        self.flags & flag::SENT != 0
    }

    pub(crate) fn set_sent(&mut self) {
        self.flags |= flag::SENT;
    }

    pub(crate) fn is_read(&self) -> bool {
        self.flags & flag::READ != 0
    }

    pub(crate) fn is_corrupted(&self) -> bool {
        self.flags & flag::CORRUPTED != 0
    }

    pub(crate) fn set_corrupted(&mut self) {
        self.flags |= flag::CORRUPTED;
    }

    pub(crate) fn is_read_committed(&self) -> bool {
        self.flags & flag::READ_COMMITTED != 0
    }

    pub(crate) fn set_read_committed(&mut self) {
        self.flags |= flag::READ_COMMITTED;
    }

    pub(crate) fn is_carried_over(&self) -> bool {
        self.flags & flag::CARRIED_OVER != 0
    }

    pub(crate) fn is_elsewhere(&self) -> bool {
        self.flags & flag::ELSEWHERE != 0
    }

    pub(crate) fn fate(&self) -> Fate {
        match self.flags & flag::FATE {
            1 => Fate::Ok,
            2 => Fate::Fail,
            3 => Fate::Info,
            4 => Fate::Unacknowledged,
            _ => Fate::Open,
        }
    }

    pub(crate) fn set_fate(&mut self, fate: Fate) {
        let bits = match fate {
            Fate::Open => 0,
            Fate::Ok => 1,
            Fate::Fail => 2,
            Fate::Info => 3,
            Fate::Unacknowledged => 4,
        };
        self.flags = (self.flags & !flag::FATE) | bits;
    }

    /// What was taken for a read of it was none.
    pub(crate) fn forget_read(&mut self) {
        self.flags &= !(flag::READ | flag::ELSEWHERE);
        self.finals = 0;
        self.offset = -1;
    }
}

/// One place where a record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: i64,
    /// The final passes that read it there.
    pub(crate) finals: u16,
    pub(crate) at_ms: u32,
}

/// Of a record that was acknowledged or read at more offsets than one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elsewhere {
    /// Where it was acknowledged, if that is none of the places.
    pub(crate) acknowledged_at: Option<i64>,
    pub(crate) places: Vec<Place>,
}

/// The chunks of a session by number; those that follow each other from 0 without a hole stand in a vector.
#[derive(Default)]
struct SessionChunks {
    dense: Vec<u32>,
    sparse: BTreeMap<u64, u32>,
}

impl SessionChunks {
    fn get(&self, number: u64) -> Option<u32> {
        let dense = usize::try_from(number).ok().and_then(|number| self.dense.get(number));
        dense.or_else(|| self.sparse.get(&number)).copied()
    }

    fn in_order(&self) -> impl Iterator<Item = u32> {
        // Every sparse chunk's number is above the dense ones': a dense one is only added behind the others.
        self.dense.iter().copied().chain(self.sparse.values().copied())
    }
}

/// Where a page's records belong.
struct Chunk {
    session: u32,
    first_sequence: u64,
}

pub(crate) struct Records {
    chunks: Vec<Chunk>,
    /// One for each chunk. What only looks at records opens pages too.
    pages: RefCell<Pages<RecordPage>>,
    sessions: Vec<(u32, SessionChunks)>,
    session_index: FxHashMap<u32, u32>,
    elsewhere: FxHashMap<Slot, Elsewhere>,
    twice: u64,
}

impl Records {
    pub(crate) fn new(backing: SharedBacking, open_bytes_max: u64) -> Records {
        Records {
            chunks: Vec::new(),
            pages: RefCell::new(Pages::new(backing, open_bytes_max)),
            sessions: Vec::new(),
            twice: 0,
            session_index: FxHashMap::default(),
            elsewhere: FxHashMap::default(),
        }
    }

    /// Why records are not what they were, if they are not.
    pub(crate) fn failed(&self) -> Option<String> {
        self.pages.borrow().failed().map(str::to_owned)
    }

    pub(crate) fn has_failed(&mut self) -> bool {
        self.pages.get_mut().failed().is_some()
    }

    /// The slot of a record, made if it has none yet.
    pub(crate) fn slot(&mut self, id: RecordId) -> Slot {
        let session = id.session.0;
        let index = match self.session_index.get(&session) {
            Some(index) => *index,
            None => {
                let index = self.sessions.len() as u32;
                self.session_index.insert(session, index);
                self.sessions.push((session, SessionChunks::default()));
                index
            }
        };
        let number = id.sequence / CHUNK as u64;
        let chunk = match self.sessions[index as usize].1.get(number) {
            Some(chunk) => chunk,
            None => self.add_chunk(index as usize, number),
        };
        Slot(chunk * CHUNK as u32 + (id.sequence % CHUNK as u64) as u32)
    }

    /// Whether a record's send was written down.
    pub(crate) fn is_sent(&self, id: RecordId) -> bool {
        let Some(index) = self.session_index.get(&id.session.0) else { return false };
        let chunk = self.sessions[*index as usize].1.get(id.sequence / CHUNK as u64);
        let at = (id.sequence % CHUNK as u64) as usize;
        chunk.is_some_and(|chunk| self.pages.borrow_mut().get(chunk).0[at].is_sent())
    }

    fn add_chunk(&mut self, index: usize, number: u64) -> u32 {
        let pages = self.pages.get_mut();
        // The last two slots mean "nothing" and "foreign" in a log's table.
        if pages.count() as u32 >= u32::MAX / CHUNK as u32 {
            pages.fail("it holds more records than a check can number".into());
            return 0;
        }
        let chunk = pages.add();
        let (session, of_session) = &mut self.sessions[index];
        if number == of_session.dense.len() as u64 {
            of_session.dense.push(chunk);
        } else {
            of_session.sparse.insert(number, chunk);
        }
        let first_sequence = number * CHUNK as u64;
        self.chunks.push(Chunk { session: *session, first_sequence });
        chunk
    }

    pub(crate) fn id(&self, slot: Slot) -> RecordId {
        let chunk = &self.chunks[slot.0 as usize / CHUNK];
        let sequence = chunk.first_sequence + u64::from(slot.0) % CHUNK as u64;
        RecordId { session: Session(chunk.session), sequence }
    }

    pub(crate) fn get(&self, slot: Slot) -> Record {
        self.pages.borrow_mut().get(slot.0 / CHUNK as u32).0[slot.0 as usize % CHUNK]
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> &mut Record {
        &mut self.pages.get_mut().get_mut(slot.0 / CHUNK as u32).0[slot.0 as usize % CHUNK]
    }

    pub(crate) fn elsewhere(&self, slot: Slot) -> Option<&Elsewhere> {
        self.elsewhere_of(slot, &self.get(slot))
    }

    /// The same for a record that was got already.
    pub(crate) fn elsewhere_of(&self, slot: Slot, record: &Record) -> Option<&Elsewhere> {
        if record.is_elsewhere() { self.elsewhere.get(&slot) } else { None }
    }

    /// Where it was acknowledged, as far as the client was told.
    pub(crate) fn acknowledged_offset(&self, slot: Slot) -> Option<i64> {
        let record = self.get(slot);
        if record.flags & flag::ACKNOWLEDGED_AT != 0 {
            return Some(record.offset);
        }
        self.elsewhere(slot).and_then(|elsewhere| elsewhere.acknowledged_at)
    }

    /// Notes the offset of an acknowledgement.
    pub(crate) fn acknowledged_at(&mut self, slot: Slot, offset: i64) {
        let record = self.get_mut(slot);
        if !record.is_read() || record.offset == offset {
            record.offset = offset;
            record.flags |= flag::ACKNOWLEDGED_AT;
        } else {
            self.open_elsewhere(slot).acknowledged_at = Some(offset);
        }
    }

    /// It is of another log than the one that it was sent to. Where it was read or acknowledged until now may have been in
    /// that one.
    pub(crate) fn carry_over(&mut self, slot: Slot, log: u32) {
        let record = self.get_mut(slot);
        record.forget_read();
        record.flags &= !flag::ACKNOWLEDGED_AT;
        record.flags |= flag::CARRIED_OVER;
        record.log = log;
        self.elsewhere.remove(&slot);
    }

    /// Notes that a pass read the record at an offset of its log.
    pub(crate) fn read_at(
        &mut self,
        slot: Slot,
        log: u32,
        offset: i64,
        finals: u16,
        pass: u16,
        at_ms: u32,
    ) {
        let record = self.get_mut(slot);
        let counts_twice = record.is_sent() && !record.is_carried_over();
        if !record.is_read() {
            record.flags |= flag::READ;
            record.finals = finals;
            record.read_ms = at_ms;
            record.reader = pass;
            if !record.is_sent() {
                record.log = log;
            }
            let acknowledged_at = record.offset;
            record.offset = offset;
            if record.flags & flag::ACKNOWLEDGED_AT != 0 && acknowledged_at != offset {
                record.flags &= !flag::ACKNOWLEDGED_AT;
                self.open_elsewhere(slot).acknowledged_at = Some(acknowledged_at);
            }
            return;
        }
        if record.offset != offset || record.is_elsewhere() {
            let places = &mut self.open_elsewhere(slot).places;
            match places.iter_mut().find(|place| place.offset == offset) {
                Some(place) => place.finals |= finals,
                None => {
                    let is_second = places.len() == 1;
                    places.push(Place { offset, finals, at_ms });
                    // One that nobody sent, or not yet, is no duplicate; nor is one whose first log is gone, and with it the
                    // memory of its producer.
                    self.twice += u64::from(is_second && counts_twice);
                }
            }
        }
        self.get_mut(slot).finals |= finals;
    }

    /// The side entry of a record that was read: its first place is noted in it when it is made.
    fn open_elsewhere(&mut self, slot: Slot) -> &mut Elsewhere {
        let record = self.get_mut(slot);
        record.flags |= flag::ELSEWHERE;
        let place = Place { offset: record.offset, finals: record.finals, at_ms: record.read_ms };
        let made = || Elsewhere { acknowledged_at: None, places: vec![place] };
        self.elsewhere.entry(slot).or_insert_with(made)
    }

    /// Records that were sent and then read at more than one offset.
    pub(crate) fn twice(&self) -> u64 {
        self.twice
    }

    /// Takes bits of final passes back.
    pub(crate) fn clear_finals(&mut self, bits: u16) {
        let pages = self.pages.get_mut();
        for chunk in 0..self.chunks.len() as u32 {
            if pages.get(chunk).0.iter().any(|record| record.finals & bits != 0) {
                pages.get_mut(chunk).0.iter_mut().for_each(|record| record.finals &= !bits);
            }
        }
        #[allow(clippy::iter_over_hash_type, reason = "each entry is changed on its own")]
        for elsewhere in self.elsewhere.values_mut() {
            elsewhere.places.iter_mut().for_each(|place| place.finals &= !bits);
        }
    }

    /// Every record that was sent or seen, in the order of sessions (as first met) and sequences.
    pub(crate) fn each_in_order(&self, mut each: impl FnMut(usize, Slot, &Record)) {
        let mut page = RecordPage::blank();
        for (session, (_, chunks)) in self.sessions.iter().enumerate() {
            for chunk in chunks.in_order() {
                page.0.copy_from_slice(&self.pages.borrow_mut().get(chunk).0);
                for (at, record) in page.0.iter().enumerate() {
                    each(session, Slot(chunk * CHUNK as u32 + at as u32), record);
                }
            }
        }
    }
}
