//! Where each reader stands, pass by pass, and what its passes cover.

use model::history::{PassKind, Session};
use rustc_hash::FxHashMap;

/// A reader's next offset in a log.
#[derive(Clone, Copy, Default)]
pub(crate) struct Position {
    /// `None`: not known, nothing can be said about the next record.
    pub(crate) next: Option<i64>,
    /// It is at the start of the log, wherever that is, and got nothing yet.
    pub(crate) from_start: bool,
    /// What this pass has of the log from its start on.
    pub(crate) coverage: Coverage,
    /// When it was last handed a record of the log, or came to stand elsewhere in it.
    pub(crate) moved_ms: u32,
    /// When it was last handed a record of the log.
    pub(crate) handed_ms: u32,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Coverage {
    /// The pass was given this log.
    pub(crate) given: bool,
    /// The offset at which it began; `None` is the start of the log.
    pub(crate) began_at: Option<i64>,
    /// One more than the highest offset that it was handed, or began at.
    pub(crate) reached: i64,
    /// The highest offset to which it jumped forward without reading.
    pub(crate) jumped_to: i64,
    /// The end of the log, as the reader was told it last.
    pub(crate) end: Option<i64>,
}

impl Coverage {
    /// It goes on at an offset, for a reason of its own.
    fn goes_on_at(&mut self, offset: i64) {
        if !self.given {
            self.given = true;
            self.began_at = Some(offset);
        } else if offset > self.reached {
            self.jumped_to = self.jumped_to.max(offset);
        }
        self.reached = self.reached.max(offset);
    }
}

impl Position {
    /// It was handed the record at an offset. Gives what it was to be handed, if that is known and another.
    pub(crate) fn advance(&mut self, offset: i64) -> Option<i64> {
        let expected = self.next.filter(|next| *next != offset);
        if self.next.is_none() {
            self.coverage.goes_on_at(offset);
        }
        self.coverage.reached = self.coverage.reached.max(offset + 1);
        self.next = Some(offset + 1);
        expected
    }
}

pub(crate) struct Pass {
    pub(crate) reader: Session,
    pub(crate) number: u32,
    pub(crate) kind: PassKind,
    /// Its index among all passes, as far as 16 bits go.
    pub(crate) ordinal: u16,
    /// Its bit in the masks of final passes.
    pub(crate) bit: Option<u8>,
    /// `None`: nobody said.
    pub(crate) began_ms: Option<u32>,
    pub(crate) ended: bool,
    pub(crate) ended_ms: Option<u32>,
    pub(crate) complete: bool,
    positions: Vec<Position>,
}

impl Pass {
    pub(crate) fn finals(&self) -> u16 {
        self.bit.map_or(0, |bit| 1 << bit)
    }

    pub(crate) fn position(&mut self, log: u32) -> &mut Position {
        let index = log as usize;
        if index >= self.positions.len() {
            self.positions.resize(index + 1, Position::default());
        }
        &mut self.positions[index]
    }

    pub(crate) fn positions(&self) -> &[Position] {
        &self.positions
    }

    pub(crate) fn assigned(&mut self, logs: &[(u32, Option<i64>)], at_ms: u32) {
        let before: Vec<Option<i64>> =
            self.positions.iter_mut().map(|position| position.next.take()).collect();
        for (log, from) in logs {
            let position = self.position(*log);
            // One that is told again where it stands was not moved.
            if before.get(*log as usize).copied().flatten() != Some(from.unwrap_or(0)) {
                position.moved_ms = at_ms;
            }
            match from {
                Some(from) => position.coverage.goes_on_at(*from),
                // From the start again: whatever it had jumped over, it reads now.
                None => position.coverage = Coverage { given: true, ..Coverage::default() },
            }
            position.next = Some(from.unwrap_or(0));
            position.from_start = from.is_none();
        }
    }

    pub(crate) fn forget_position(&mut self, log: u32) {
        self.position(log).next = None;
    }

    /// The reader was moved, and says so.
    pub(crate) fn moved_to(&mut self, log: u32, offset: Option<i64>, at_ms: u32) {
        let position = self.position(log);
        // Sent back to where it stands, again and again, it gets nowhere.
        if position.next != offset {
            position.moved_ms = at_ms;
        }
        if let Some(offset) = offset {
            position.coverage.goes_on_at(offset);
        }
        position.next = offset;
        position.from_start = false;
    }

    pub(crate) fn reached_end(&mut self, log: u32, offset: i64) {
        let position = self.position(log);
        if !position.coverage.given {
            position.coverage.goes_on_at(offset);
        }
        position.coverage.end = Some(offset);
    }
}

#[derive(Default)]
pub(crate) struct Passes {
    pub(crate) list: Vec<Pass>,
    by_name: FxHashMap<(u32, u32), usize>,
    bits_used: u16,
}

impl Passes {
    /// The pass of a reader by its number; one that was never announced is a live one.
    pub(crate) fn index(&mut self, reader: Session, number: u32) -> usize {
        if let Some(index) = self.by_name.get(&(reader.0, number)) {
            return *index;
        }
        let index = self.list.len();
        self.by_name.insert((reader.0, number), index);
        self.list.push(Pass {
            reader,
            number,
            kind: PassKind::Live,
            ordinal: u16::try_from(index).unwrap_or(u16::MAX),
            bit: None,
            began_ms: None,
            ended: false,
            ended_ms: None,
            complete: false,
            positions: Vec::new(),
        });
        index
    }

    /// The reader of the pass with this ordinal.
    pub(crate) fn reader_of(&self, ordinal: u16) -> Session {
        self.list.get(usize::from(ordinal)).map_or(Session(u32::MAX), |pass| pass.reader)
    }

    pub(crate) fn free_bit(&mut self) -> Option<u8> {
        let bit = self.bits_used.trailing_ones() as u8;
        if bit >= 16 {
            return None;
        }
        self.bits_used |= 1 << bit;
        Some(bit)
    }

    /// Takes the bits of passes that ended incomplete; what they saw stays read, in no final pass that counts.
    pub(crate) fn take_back_bits(&mut self) -> u16 {
        let mut taken = 0;
        for pass in self.list.iter_mut().filter(|pass| pass.ended && !pass.complete) {
            taken |= pass.finals();
            pass.bit = None;
        }
        self.bits_used &= !taken;
        taken
    }
}
