//! What is known of each key: which values stand at which offsets, who sent them and who had them.
//!
//! A *row* is one value at one place of a key. A value has a main row, which knows its writer, and another one for each
//! further offset at which it was seen. A row also remembers which row a poll first found behind it: readers that go
//! the same way, as they should, are then stored as a start and a length, whatever their number.

use model::operation::Atom;
use rustc_hash::FxHashMap;

pub(super) const NONE: u32 = u32::MAX;
pub(super) const NO_OFFSET: i64 = i64::MIN;

/// What became of a send, as far as its own operation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Unsent,
    Fail,
    Info,
    Ok,
}

const FATE: u32 = 0b11;
/// Some poll had it, whatever became of its operation.
const POLLED: u32 = 1 << 2;
/// A poll of an ok operation had it.
const POLLED_OK: u32 = 1 << 3;
/// A further place of a value whose main row is `writer`.
const FURTHER: u32 = 1 << 4;
/// Counted already as read though its send failed, and as read by its own writer.
pub(super) const COUNTED_G1A: u32 = 1 << 5;
pub(super) const COUNTED_PRECOMMITTED: u32 = 1 << 6;

#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) value: i64,
    pub(super) offset: i64,
    /// The operation that sent it; of a further place its main row.
    writer: u32,
    /// What a poll first found behind it.
    pub(super) next: u32,
    /// Another place of the same value.
    also: u32,
    flags: u32,
}

/// One key.
pub(super) struct Log {
    pub(super) key: Atom,
    pub(super) rows: Vec<Row>,
    /// Row of a small value, plus one.
    dense: Vec<u32>,
    sparse: FxHashMap<i64, u32>,
    /// Further places, by main row and offset.
    further: FxHashMap<(u32, i64), u32>,
}

impl Log {
    pub(super) fn new(key: Atom) -> Log {
        let (sparse, further) = (FxHashMap::default(), FxHashMap::default());
        Log { key, rows: Vec::new(), dense: Vec::new(), sparse, further }
    }

    fn find(&self, value: i64) -> Option<u32> {
        let dense = usize::try_from(value).ok().and_then(|at| self.dense.get(at));
        match dense {
            Some(row) if *row > 0 => Some(row - 1),
            _ if self.sparse.is_empty() => None,
            _ => self.sparse.get(&value).copied(),
        }
    }

    pub(super) fn was_sent(&self, value: Atom) -> bool {
        self.find(value.raw()).is_some_and(|main| self.fate(main) != Fate::Unsent)
    }

    fn push(&mut self, value: i64, offset: i64) -> u32 {
        let row = self.rows.len() as u32;
        assert!(row < NONE, "as many values of one key as there are row numbers");
        self.rows.push(Row { value, offset, writer: NONE, next: NONE, also: NONE, flags: 0 });
        row
    }

    /// The main row of a value.
    pub(super) fn main_of(&mut self, value: Atom) -> u32 {
        let value = value.raw();
        if let Some(row) = self.find(value) {
            return row;
        }
        let row = self.push(value, NO_OFFSET);
        match usize::try_from(value) {
            Ok(at) if at <= 2 * self.rows.len() + 64 => {
                if at >= self.dense.len() {
                    self.dense.resize(at + 1, 0);
                }
                self.dense[at] = row + 1;
            }
            _ => {
                self.sparse.insert(value, row);
            }
        }
        row
    }

    /// Whether this row is what [`Log::row_at`] would answer.
    #[inline]
    pub(super) fn is_at(&self, row: u32, value: Atom, offset: i64) -> bool {
        let row = self.row(row);
        row.value == value.raw() && row.offset == offset
    }

    /// The row of a value at an offset; without one, the main row.
    pub(super) fn row_at(&mut self, value: Atom, offset: i64) -> u32 {
        let main = self.main_of(value);
        let row = &mut self.rows[main as usize];
        if offset == NO_OFFSET || row.offset == offset {
            return main;
        }
        if row.offset == NO_OFFSET {
            row.offset = offset;
            return main;
        }
        if let Some(row) = self.further.get(&(main, offset)) {
            return *row;
        }
        let further = self.push(value.raw(), offset);
        self.further.insert((main, offset), further);
        let also = std::mem::replace(&mut self.rows[main as usize].also, further);
        let row = &mut self.rows[further as usize];
        (row.writer, row.also, row.flags) = (main, also, FURTHER);
        further
    }

    pub(super) fn row(&self, row: u32) -> &Row {
        &self.rows[row as usize]
    }

    pub(super) fn is_main(&self, row: u32) -> bool {
        self.row(row).flags & FURTHER == 0
    }

    pub(super) fn main(&self, row: u32) -> u32 {
        if self.is_main(row) { row } else { self.row(row).writer }
    }

    /// Every row of the value of a main row.
    pub(super) fn places(&self, main: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(Some(main), |row| {
            let also = self.row(*row).also;
            (also != NONE).then_some(also)
        })
    }

    /// Of a main row.
    pub(super) fn fate(&self, main: u32) -> Fate {
        match self.row(main).flags & FATE {
            0 => Fate::Unsent,
            1 => Fate::Fail,
            2 => Fate::Info,
            _ => Fate::Ok,
        }
    }

    /// The operation that sent the value of a main row.
    pub(super) fn writer(&self, main: u32) -> Option<u32> {
        (self.fate(main) != Fate::Unsent).then_some(self.row(main).writer)
    }

    /// `false`: the value was sent before. The better outcome stands.
    pub(super) fn sent(&mut self, main: u32, operation: u32, fate: Fate) -> bool {
        let before = self.fate(main);
        let row = &mut self.rows[main as usize];
        if before < fate {
            row.flags = row.flags & !FATE | fate as u32;
            row.writer = operation;
        }
        before == Fate::Unsent
    }

    pub(super) fn polled(&mut self, row: u32, ok: bool) {
        let main = self.main(row);
        self.rows[main as usize].flags |= if ok { POLLED | POLLED_OK } else { POLLED };
    }

    pub(super) fn is_polled(&self, main: u32) -> bool {
        self.row(main).flags & POLLED != 0
    }

    pub(super) fn is_polled_ok(&self, main: u32) -> bool {
        self.row(main).flags & POLLED_OK != 0
    }

    /// Sets a mark on a main row; `false`: it was set.
    pub(super) fn mark(&mut self, main: u32, mark: u32) -> bool {
        let flags = &mut self.rows[main as usize].flags;
        let new = *flags & mark == 0;
        *flags |= mark;
        new
    }

    /// Main rows, in the order in which they were first heard of.
    pub(super) fn mains(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.rows.len() as u32).filter(|row| self.is_main(*row))
    }
}

/// All keys, numbered in the order in which they were first heard of.
#[derive(Default)]
pub(super) struct Logs {
    pub(super) list: Vec<Log>,
    index: FxHashMap<Atom, u32>,
}

impl Logs {
    pub(super) fn number(&mut self, key: Atom) -> u32 {
        *self.index.entry(key).or_insert_with(|| {
            self.list.push(Log::new(key));
            self.list.len() as u32 - 1
        })
    }

    pub(super) fn get(&self, key: u32) -> &Log {
        &self.list[key as usize]
    }

    pub(super) fn get_mut(&mut self, key: u32) -> &mut Log {
        &mut self.list[key as usize]
    }
}

impl Log {
    /// The value of a row, as the history has it.
    pub(super) fn atom(&self, row: u32) -> Atom {
        Atom::from_raw(self.row(row).value)
    }
}
