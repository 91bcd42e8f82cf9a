//! What stands at each offset of a log, by what readers saw: four bytes an offset; stretches that nobody read cost
//! nothing.

use std::collections::BTreeMap;

/// Nobody read this offset.
const NOTHING: u32 = u32::MAX;
/// Not one of ours.
pub(crate) const FOREIGN: u32 = u32::MAX - 1;
const CHUNK: i64 = 256;

/// One of several things seen at one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// A record's slot, or [`FOREIGN`].
    pub(crate) occupant: u32,
    /// The final passes that saw it there.
    pub(crate) finals: u16,
    /// When and in which pass it was first seen.
    pub(crate) at_ms: u32,
    pub(crate) pass: u16,
}

/// A reader went from one offset to a higher one without a record in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// First offset that it did not get, and the one that it got next.
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) at_ms: u32,
    pub(crate) pass: u32,
    /// It had just started at the start of the log, wherever that was.
    pub(crate) from_start: bool,
}

#[derive(Default)]
pub(crate) struct LogTable {
    chunks: BTreeMap<i64, Box<[u32; CHUNK as usize]>>,
    /// Offsets at which more than one thing was seen, the first one first.
    pub(crate) conflicts: BTreeMap<i64, Vec<Conflict>>,
}

impl LogTable {
    /// What was seen first at an offset.
    pub(crate) fn get(&self, offset: i64) -> Option<u32> {
        let chunk = self.chunks.get(&offset.div_euclid(CHUNK))?;
        let occupant = chunk[offset.rem_euclid(CHUNK) as usize];
        (occupant != NOTHING).then_some(occupant)
    }

    /// Notes what was seen at an offset. `before` tells what is known of the record seen there first: the final
    /// passes that saw it, when it was first seen, and in which pass.
    pub(crate) fn put(
        &mut self,
        offset: i64,
        seen: Conflict,
        before: impl Fn(u32) -> (u16, u32, u16),
    ) {
        let make = || Box::new([NOTHING; CHUNK as usize]);
        let chunk = self.chunks.entry(offset.div_euclid(CHUNK)).or_insert_with(make);
        let cell = &mut chunk[offset.rem_euclid(CHUNK) as usize];
        if *cell == NOTHING {
            *cell = seen.occupant;
            return;
        }
        if *cell == seen.occupant && self.conflicts.is_empty() {
            return;
        }
        let first = *cell;
        if first == seen.occupant && !self.conflicts.contains_key(&offset) {
            return;
        }
        let all = self.conflicts.entry(offset).or_insert_with(|| {
            let (finals, at_ms, pass) =
                if first == FOREIGN { (0, seen.at_ms, seen.pass) } else { before(first) };
            vec![Conflict { occupant: first, finals, at_ms, pass }]
        });
        match all.iter_mut().find(|known| known.occupant == seen.occupant) {
            Some(known) => known.finals |= seen.finals,
            None => all.push(seen),
        }
    }

    /// What was seen first at each offset from `from` to below `to`, where anything was.
    pub(crate) fn range(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, u32)> {
        let numbers = from.div_euclid(CHUNK)..=to.saturating_sub(1).div_euclid(CHUNK);
        let chunks = if from < to { Some(self.chunks.range(numbers)) } else { None };
        chunks
            .into_iter()
            .flatten()
            .flat_map(|(number, chunk)| {
                chunk.iter().enumerate().map(move |(at, cell)| (number * CHUNK + at as i64, *cell))
            })
            .filter(move |(offset, cell)| *cell != NOTHING && (from..to).contains(offset))
    }

    pub(crate) fn clear_finals(&mut self, bits: u16) {
        for conflict in self.conflicts.values_mut().flatten() {
            conflict.finals &= !bits;
        }
    }
}
