//! What stands at each offset of a log, by what readers saw: four bytes an offset while it is used and two or less once
//! packed; stretches that nobody read cost nothing.

mod page;

use crate::pages::{Pages, SharedBacking};
use page::{OFFSETS, OffsetPage};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Nobody read this offset.
const NOTHING: u32 = u32::MAX;
/// Not one of ours.
pub(crate) const FOREIGN: u32 = u32::MAX - 1;

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

/// The pages of all logs' tables.
pub(crate) struct OffsetPages(RefCell<Pages<OffsetPage>>);

impl OffsetPages {
    pub(crate) fn new(backing: SharedBacking, open_bytes_max: u64) -> OffsetPages {
        OffsetPages(RefCell::new(Pages::new(backing, open_bytes_max)))
    }

    /// Why tables are not what they were, if they are not.
    pub(crate) fn failed(&self) -> Option<String> {
        self.0.borrow().failed().map(str::to_owned)
    }

    pub(crate) fn has_failed(&mut self) -> bool {
        self.0.get_mut().failed().is_some()
    }
}

#[derive(Default)]
pub(crate) struct LogTable {
    /// Pages by their number in the log, where anything was seen.
    pages: BTreeMap<i64, u32>,
    /// The page that was looked at last: most often it is the next one too.
    last: Option<(i64, u32)>,
    /// Offsets at which more than one thing was seen, the first one first.
    pub(crate) conflicts: BTreeMap<i64, Vec<Conflict>>,
}

impl LogTable {
    fn page(&self, offset: i64) -> Option<u32> {
        let number = offset.div_euclid(OFFSETS);
        match self.last {
            Some((last, page)) if last == number => Some(page),
            _ => self.pages.get(&number).copied(),
        }
    }

    /// What was seen first at an offset.
    pub(crate) fn get(&self, pages: &OffsetPages, offset: i64) -> Option<u32> {
        let page = self.page(offset)?;
        let occupant = pages.0.borrow_mut().get(page).0[offset.rem_euclid(OFFSETS) as usize];
        (occupant != NOTHING).then_some(occupant)
    }

    /// Notes what was seen at an offset. `before` tells what is known of the record seen there first: the final
    /// passes that saw it, when it was first seen, and in which pass.
    pub(crate) fn put(
        &mut self,
        pages: &mut OffsetPages,
        offset: i64,
        seen: Conflict,
        before: impl Fn(u32) -> (u16, u32, u16),
    ) {
        let pages = pages.0.get_mut();
        let page = self.page(offset).unwrap_or_else(|| {
            *self.pages.entry(offset.div_euclid(OFFSETS)).or_insert_with(|| pages.add())
        });
        self.last = Some((offset.div_euclid(OFFSETS), page));
        let at = offset.rem_euclid(OFFSETS) as usize;
        let first = pages.get(page).0[at];
        if first == NOTHING {
            pages.get_mut(page).0[at] = seen.occupant;
            return;
        }
        if first == seen.occupant
            && (self.conflicts.is_empty() || !self.conflicts.contains_key(&offset))
        {
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
    pub(crate) fn range(
        &self,
        pages: &OffsetPages,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (i64, u32)> {
        let numbers = from.div_euclid(OFFSETS)..=to.saturating_sub(1).div_euclid(OFFSETS);
        let of_log = if from < to { Some(self.pages.range(numbers)) } else { None };
        of_log
            .into_iter()
            .flatten()
            .flat_map(|(number, page)| {
                let page = pages.0.borrow_mut().get(*page).clone();
                let offset = move |at: i64| number * OFFSETS + at;
                (0..OFFSETS).map(move |at| (offset(at), page.0[at as usize]))
            })
            .filter(move |(offset, cell)| *cell != NOTHING && (from..to).contains(offset))
    }

    pub(crate) fn clear_finals(&mut self, bits: u16) {
        for conflict in self.conflicts.values_mut().flatten() {
            conflict.finals &= !bits;
        }
    }
}
