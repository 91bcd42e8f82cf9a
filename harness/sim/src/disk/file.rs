//! One file: what the page cache holds, what the platter holds, and what a power cut makes of the two.
//!
//! Promises: what a completed sync covered survives a power cut. Of the rest, sector by sector, either version may: an
//! unsynced sector of a page that was written may be there without the ones before it. The length may be that of any
//! moment since the sync, or lie at a page's end within one growth, and may have grown over bytes that never arrived:
//! they read as zeros. A sector that was filled by several writes may hold only the first of them, then zeros.
//!
//! A truncation is a change of its own, as in a journaling file system: where it did not survive, the old length and
//! the old bytes come back, though the page in which the cut lies may already hold what was written to it since; where
//! it did, the bytes behind it do not come back. Not done, though the contract would allow it: bytes of other files
//! where something was never written, sectors torn inside, and old and new bytes mixed *behind* a truncation.

use super::content::{Content, PAGE_BYTES, page_of, pages_for};
use generator::random::Random;
use std::collections::BTreeSet;

/// Of how many moments since the last sync the lengths are remembered.
const ENDS_MAX: usize = 4096;

#[derive(Clone, Debug, Default)]
pub struct File {
    cached: Content,
    durable: Content,
    /// Pages of `cached` that a sync has to write. All others are equal in both, below `shortest`.
    dirty: BTreeSet<u32>,
    /// The shortest that the file has been since the last sync.
    shortest: u64,
    /// Lengths after each growth since the last sync or cut, rising.
    ends: Vec<u64>,
    /// Of `ends`, those from here on saw no byte change but by growth: a sector may hold what there was at one of them.
    steady_from: usize,
    /// Bytes written since the last sync.
    unsynced: u64,
}

/// How unsynced sectors fare: each by itself, or as a writeback that came only so far leaves them.
enum Fate {
    Each,
    All(bool),
    /// Dirty sectors still to come that survive.
    First(u64),
}

/// What chance a power cut gives to what was not synced.
#[derive(Clone, Copy, Debug)]
pub struct Mercy {
    pub survives_percent: u8,
    pub sector_bytes: u32,
}

impl Mercy {
    pub fn survives(self, random: &mut Random) -> bool {
        random.below(100) < u64::from(self.survives_percent)
    }

    fn fate(self, random: &mut Random, dirty_sectors: u64) -> Fate {
        match random.below(3) {
            0 => Fate::Each,
            1 => Fate::All(self.survives(random)),
            // The extremes stay what they say: nothing survives, or everything.
            _ if self.survives_percent == 0 => Fate::All(false),
            _ if self.survives_percent >= 100 => Fate::All(true),
            _ => Fate::First(random.below(dirty_sectors + 1)),
        }
    }
}

/// What became of unsynced sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toll {
    pub sectors_kept: u64,
    pub sectors_lost: u64,
    pub bytes_cut: u64,
}

impl File {
    pub fn len(&self) -> u64 {
        self.cached.len()
    }

    pub fn cached(&self) -> &Content {
        &self.cached
    }

    pub fn durable(&self) -> &Content {
        &self.durable
    }

    pub fn unsynced_bytes(&self) -> u64 {
        self.unsynced
    }

    /// Whether a power cut could change it.
    pub fn is_unsynced(&self) -> bool {
        let durable_len = self.durable.len();
        !self.dirty.is_empty() || self.shortest < durable_len || self.len() != durable_len
    }

    /// One write of several parts, which lie one after the other.
    pub fn write<'a>(&mut self, at: u64, parts: impl IntoIterator<Item = &'a [u8]>) {
        let len_before = self.len();
        let mut end = at;
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            self.cached.write(end, part);
            end += part.len() as u64;
        }
        if end == at {
            return;
        }
        for page in page_of(at)..=page_of(end - 1) {
            // Appends dirty the last page over and over.
            if self.dirty.last() != Some(&page) {
                self.dirty.insert(page);
            }
        }
        self.unsynced += end - at;
        if at < len_before {
            self.steady_from = self.ends.len();
        }
        if self.len() > len_before {
            self.grown();
        }
    }

    pub fn set_len(&mut self, len: u64) {
        if len > self.len() {
            self.cached.set_len(len);
            self.grown();
        } else if len < self.len() {
            self.cached.set_len(len);
            let _gone = self.dirty.split_off(&pages_for(len));
            if !len.is_multiple_of(PAGE_BYTES as u64) && self.cached.page(page_of(len)).is_some() {
                self.dirty.insert(page_of(len));
            }
            self.shortest = self.shortest.min(len);
            self.forget_ends();
            self.unsynced = self.unsynced.min(len);
        }
    }

    fn grown(&mut self) {
        if self.ends.len() == ENDS_MAX {
            self.ends.drain(..ENDS_MAX / 2);
            self.steady_from = self.steady_from.saturating_sub(ENDS_MAX / 2);
        }
        self.ends.push(self.len());
    }

    fn forget_ends(&mut self) {
        self.ends.clear();
        self.steady_from = 0;
    }

    /// The platter holds what the cache holds.
    pub fn sync(&mut self) {
        if self.shortest < self.durable.len() {
            self.durable.set_len(self.shortest);
        }
        self.durable.set_len(self.len());
        for &page in &self.dirty {
            self.durable.set_page(page, self.cached.page(page));
        }
        self.settled();
    }

    fn settled(&mut self) {
        self.dirty.clear();
        self.shortest = self.len();
        self.forget_ends();
        self.unsynced = 0;
    }

    /// The writes of a sync failed: the dirty pages are dropped from the cache, which then holds what the platter does,
    /// or zeros. The length stays, as it does in a kernel's inode; a later sync succeeds and makes it durable.
    pub fn drop_dirty(&mut self) {
        let mut base = self.durable.clone();
        if self.shortest < base.len() {
            base.set_len(self.shortest);
        }
        for &page in &self.dirty {
            self.cached.set_page(page, base.page(page));
        }
        self.dirty.clear();
        self.unsynced = 0;
    }

    /// Flips a bit below both versions, in a page that is clean.
    pub fn rot(&mut self, at: u64, bit: u8) {
        self.cached.flip_bit(at, bit);
        self.durable.set_page(page_of(at), self.cached.page(page_of(at)));
    }

    /// The pages that were synced, hold something, and were not written since.
    pub fn clean_pages(&self) -> impl Iterator<Item = u32> + '_ {
        // Behind a cut that is not durable the platter still has what was there before.
        let is_cut = self.shortest < self.durable.len();
        let is_behind = move |page: u32| is_cut && page >= page_of(self.shortest);
        let clean = move |page: &u32| !self.dirty.contains(page) && !is_behind(*page);
        self.cached.written_pages().filter(clean)
    }

    pub fn power_loss(&mut self, mercy: Mercy, random: &mut Random) -> Toll {
        let mut toll = Toll::default();
        let is_cut = self.shortest < self.durable.len();
        let mut after = self.durable.clone();
        let cut_survives = !is_cut || mercy.survives(random);
        if cut_survives {
            if is_cut {
                after.set_len(self.shortest);
            }
            after.set_len(self.len_after(after.len(), mercy, random));
        }
        // Pages behind a cut that did not survive have new places, which nothing points to.
        let reachable = if cut_survives { u64::MAX } else { self.shortest };
        self.settle_sectors(&mut after, reachable, mercy, random, &mut toll);
        toll.bytes_cut = self.len().saturating_sub(after.len());
        self.cached = after.clone();
        self.durable = after;
        self.settled();
        toll
    }

    /// A length that the platter may have, given the one before all growth.
    fn len_after(&self, base: u64, mercy: Mercy, random: &mut Random) -> u64 {
        if self.ends.is_empty() || mercy.survives(random) {
            return self.len();
        }
        if mercy.survives_percent == 0 || random.below(2) == 0 {
            return base;
        }
        let index = random.below(self.ends.len() as u64) as usize;
        let end = self.ends[index];
        let start = if index == 0 { base } else { self.ends[index - 1] };
        // One write goes to the cache page by page, and the length with it.
        let page_ends = (end - 1) / PAGE_BYTES as u64 - start / PAGE_BYTES as u64;
        if page_ends > 0 && random.below(2) == 0 {
            return (start / PAGE_BYTES as u64 + 1 + random.below(page_ends)) * PAGE_BYTES as u64;
        }
        end
    }

    fn settle_sectors(
        &self,
        after: &mut Content,
        reachable: u64,
        mercy: Mercy,
        random: &mut Random,
        toll: &mut Toll,
    ) {
        let sector_bytes = u64::from(mercy.sector_bytes);
        let sectors = PAGE_BYTES as u64 / sector_bytes;
        let mut fate = mercy.fate(random, self.dirty.len() as u64 * sectors);
        for &page in &self.dirty {
            let page_start = u64::from(page) * PAGE_BYTES as u64;
            for start in (0..sectors).map(|sector| page_start + sector * sector_bytes) {
                let survives = match &mut fate {
                    Fate::Each => mercy.survives(random),
                    Fate::All(survive) => *survive,
                    Fate::First(count) => {
                        let survives = *count > 0;
                        *count = count.saturating_sub(1);
                        survives
                    }
                };
                if start >= self.len() {
                    continue;
                }
                if !survives || start >= after.len() || page_start >= reachable {
                    toll.sectors_lost += 1;
                    continue;
                }
                toll.sectors_kept += 1;
                let mut data = self.cached.read(start, sector_bytes).to_vec();
                self.take_back(start, &mut data, mercy, random);
                // After the cache's end a page is zeros, and so it is written.
                data.resize(sector_bytes as usize, 0);
                after.write_inside(start, &data);
            }
        }
    }

    /// Sometimes a sector was written back before the last appends to it.
    fn take_back(&self, start: u64, sector: &mut [u8], mercy: Mercy, random: &mut Random) {
        if mercy.survives_percent >= 100 || random.below(8) != 0 {
            return;
        }
        let ends = &self.ends[self.steady_from..];
        let from = ends.partition_point(|&end| end <= start);
        let to = ends.partition_point(|&end| end < start + sector.len() as u64);
        if from < to {
            let end = ends[from + random.below((to - from) as u64) as usize];
            sector[(end - start) as usize..].fill(0);
        }
    }
}

#[cfg(test)]
mod tests;
