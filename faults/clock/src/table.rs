//! How far a node's wall clock is from the machine's: the table in a shared file, and its arithmetic.
//!
//! The file is [`WORDS`] words of 64 bits, of this machine's byte order: a magic word, a generation, and two slots. The low bit of
//! the generation says which slot counts. A writer fills the other one and then counts the generation up, so that a writer
//! that is killed half-way leaves what was there before.
//!
//! Promises: a reader takes no lock, waits for nobody and reads no half of a table; it allocates nothing, and may be called from a
//! signal handler. The arithmetic is a pure function of the table and the machine's time. One writer at a time.
//!
//! This file is compiled into the preload shim too: `core` alone, and nothing that could panic.

use core::sync::atomic::{AtomicU64, Ordering, fence};

/// What can stand at one time on one node.
pub const SHIFTS_MAX: usize = 15;
const SHIFT_WORDS: usize = 4;
/// The number of shifts, and their words.
const SLOT_WORDS: usize = 1 + SHIFTS_MAX * SHIFT_WORDS;
const HEAD_WORDS: usize = 2;
/// Of the whole file.
pub const WORDS: usize = HEAD_WORDS + 2 * SLOT_WORDS;
/// `hwclock1`.
pub const MAGIC: u64 = u64::from_be_bytes(*b"hwclock1");
const GENERATION: usize = 1;

/// One reason for a clock to be wrong. A jump has an offset alone, a drift a rate and a base, a strobe an offset, a base and a
/// period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    pub offset_ns: i64,
    /// Nanoseconds gained in each second since the base.
    pub gain_ns: i64,
    /// When it began, by the machine's wall clock, in nanoseconds since the epoch.
    pub base_ns: i64,
    /// It counts in every other period since the base, in the first one to begin with; 0: always.
    pub period_ns: i64,
}

impl Shift {
    /// Whether it comes or goes between two moments.
    pub fn switches(&self, from_ns: i64, to_ns: i64) -> bool {
        let beat = |at_ns: i64| at_ns.saturating_sub(self.base_ns).div_euclid(self.period_ns);
        self.period_ns > 0 && beat(from_ns) != beat(to_ns)
    }

    /// How far the clock is ahead for this reason alone, at a moment of the machine's wall clock.
    pub fn at(&self, true_ns: i64) -> i64 {
        let since_ns = true_ns.saturating_sub(self.base_ns);
        if self.period_ns > 0 && since_ns.div_euclid(self.period_ns) & 1 == 1 {
            return 0;
        }
        let gained = i128::from(since_ns) * i128::from(self.gain_ns) / 1_000_000_000;
        // A run lasts no centuries.
        self.offset_ns.saturating_add(gained as i64)
    }
}

/// Everything that makes one node's clock wrong now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    shifts: [Shift; SHIFTS_MAX],
    count: usize,
}

impl Table {
    pub const TRUE: Table = Table {
        shifts: [Shift { offset_ns: 0, gain_ns: 0, base_ns: 0, period_ns: 0 }; SHIFTS_MAX],
        count: 0,
    };

    /// Answers whether there was room for it.
    pub fn push(&mut self, shift: Shift) -> bool {
        match self.shifts.get_mut(self.count) {
            Some(free) => {
                *free = shift;
                self.count += 1;
                true
            }
            None => false,
        }
    }

    pub fn shifts(&self) -> &[Shift] {
        self.shifts.get(..self.count).unwrap_or(&[])
    }

    /// How far the clock is ahead at a moment of the machine's wall clock: all of it, in any order.
    pub fn at(&self, true_ns: i64) -> i64 {
        self.shifts().iter().fold(0, |sum: i64, shift| sum.saturating_add(shift.at(true_ns)))
    }
}

/// What the file begins as: true time.
pub fn make(words: &[AtomicU64; WORDS]) {
    for word in words {
        word.store(0, Ordering::Relaxed);
    }
    // Last: without it nobody reads the rest.
    words[0].store(MAGIC, Ordering::Release);
}

/// The table that counts.
pub fn read(words: &[AtomicU64; WORDS]) -> Table {
    if words[0].load(Ordering::Acquire) != MAGIC {
        return Table::TRUE;
    }
    loop {
        let generation = words[GENERATION].load(Ordering::Acquire);
        let table = read_slot(slot(words, generation));
        // The slot is written anew only after the generation has moved on.
        fence(Ordering::Acquire);
        if words[GENERATION].load(Ordering::Relaxed) == generation {
            return table;
        }
    }
}

/// Puts another table in its place.
pub fn write(words: &[AtomicU64; WORDS], table: &Table) {
    let generation = words[GENERATION].load(Ordering::Relaxed).wrapping_add(1);
    fence(Ordering::Release);
    let [count, rest @ ..] = slot(words, generation) else { return };
    count.store(table.count as u64, Ordering::Relaxed);
    for (words, shift) in rest.chunks_exact(SHIFT_WORDS).zip(table.shifts()) {
        let values = [shift.offset_ns, shift.gain_ns, shift.base_ns, shift.period_ns];
        for (word, value) in words.iter().zip(values) {
            word.store(value as u64, Ordering::Relaxed);
        }
    }
    words[GENERATION].store(generation, Ordering::Release);
}

fn slot(words: &[AtomicU64; WORDS], generation: u64) -> &[AtomicU64] {
    let (_, slots) = words.split_at(HEAD_WORDS);
    let (even, odd) = slots.split_at(SLOT_WORDS);
    if generation & 1 == 0 { even } else { odd }
}

fn read_slot(words: &[AtomicU64]) -> Table {
    let mut table = Table::TRUE;
    let [count, rest @ ..] = words else { return table };
    let count = count.load(Ordering::Relaxed) as usize;
    for words in rest.chunks_exact(SHIFT_WORDS).take(count) {
        let mut values = [0; SHIFT_WORDS];
        for (value, word) in values.iter_mut().zip(words) {
            *value = word.load(Ordering::Relaxed) as i64;
        }
        let [offset_ns, gain_ns, base_ns, period_ns] = values;
        table.push(Shift { offset_ns, gain_ns, base_ns, period_ns });
    }
    table
}
