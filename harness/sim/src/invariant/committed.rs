//! What was committed, who must still have it, and who has it: for each log, over the whole history.
//!
//! Promises: a batch is committed when some replica's high watermark has passed it, and stays so. Every replica's log is
//! compared with what is committed as far as its own high watermark goes, each batch once in a life of the process.
//! `owed` are the replicas whose copy counts: they had it, and no fault has destroyed it since. When the last eligible
//! one's copy is destroyed, the records are excused for ever. Not here: whether a difference is a violation.

use super::ledger::{Copy, Entry, Ledger};
use super::state::{LogId, Members, PartitionState};
use rustc_hash::FxHashMap;

/// Committed records from the end of the range before up to `end_offset`, all of one fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub end_offset: i64,
    /// Had it, and were not destroyed since: what these did with it is their own doing.
    pub owed: Members,
    /// Have it.
    pub has: Members,
    /// Had it, or not, when a fault destroyed their copies; and were not seen to have it since.
    pub damaged: Members,
    /// No eligible copy that counts is left: it may be gone.
    pub excused: bool,
    /// The leader epoch of whoever was seen first to hold it for committed.
    pub leader_epoch: i32,
}

/// A replica's high watermark moved on.
#[derive(Clone, Copy, Debug)]
pub struct Advance {
    pub now_ns: u64,
    pub node: u16,
    /// It leads: what it has is what is committed.
    pub leads: bool,
    /// Its copy is one of those that count; an observer of the quorum only looks on.
    pub counts: bool,
    pub log_start_offset: i64,
    pub high_watermark: i64,
    pub leader_epoch: i32,
    /// Who had it by then.
    pub holders: Members,
}

/// A replica has something else, or nothing, where something was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub offset: i64,
    pub excused: bool,
    pub committed: Entry,
    /// `None`: its log ends before, or has a hole.
    pub found: Option<Entry>,
}

/// What faults did to a log that nobody could mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excuse {
    /// Committed records from here on may be gone.
    pub from_offset: i64,
    /// Those that were committed until then.
    pub until_ns: u64,
}

#[derive(Default)]
pub struct CommittedLog {
    entries: Vec<Entry>,
    ranges: Vec<Range>,
    /// Where the first range begins.
    start_offset: i64,
    end_offset: i64,
    excuse: Option<Excuse>,
    /// How far each node was compared.
    verified: FxHashMap<u16, i64>,
    /// Whose copy a fault destroyed. A leader goes by what such a node had told it before, until it hears of it again.
    lost: FxHashMap<u16, Lost>,
    /// Some replica began anew here, behind what retention took, and knows none of those who wrote what is below.
    writers_forgotten_below: i64,
    /// Since an excused loss, other records stand in the place of what was committed.
    rewritten: Option<Rewritten>,
}

/// What a fault took of a copy.
#[derive(Clone, Copy, Debug)]
struct Lost {
    from: i64,
    /// Another process has begun on what is left.
    restarted: bool,
}

/// From this offset on, in this leader epoch.
#[derive(Clone, Copy, Debug)]
struct Rewritten {
    offset: i64,
    leader_epoch: i32,
}

/// What came of a high watermark that moved on.
#[derive(Debug, Default)]
pub struct Advanced {
    /// Batches that were not committed before: indexes into the entries.
    pub fresh: std::ops::Range<usize>,
    pub difference: Option<Difference>,
}

impl CommittedLog {
    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// The end of the last records that were committed before this leader epoch and are not excused.
    pub fn due_end_offset(&self, leader_epoch: i32) -> i64 {
        let is_due = |range: &&Range| !range.excused && range.leader_epoch < leader_epoch;
        self.ranges.iter().rev().find(is_due).map_or(0, |range| range.end_offset)
    }

    /// Somebody who was away comes back with what was committed before it was lost, and with the high watermark that
    /// vouched for it. He will cut it off, as he is told to by who leads now.
    fn is_survivor(&self, difference: &Difference) -> bool {
        self.rewritten.zip(difference.found.as_ref()).is_some_and(|(rewritten, found)| {
            rewritten.offset <= difference.offset && found.leader_epoch < rewritten.leader_epoch
        })
    }

    /// Which records that were committed may be gone, or were.
    pub fn excuse(&self) -> Option<Excuse> {
        self.excuse
    }

    /// A replica fell so far behind that its log begins at this offset now, with nothing from before.
    pub fn began_anew(&mut self, log_start_offset: i64) {
        self.writers_forgotten_below = self.writers_forgotten_below.max(log_start_offset);
    }

    /// A batch that stood below this offset may be taken for a new one when it is sent again: nothing that is replicated
    /// says who wrote what retention took (Kafka's `truncateFullyAndStartAt` empties the producers' state as well).
    pub fn writers_forgotten_below(&self) -> i64 {
        self.writers_forgotten_below
    }

    /// Of these ranges nobody need have anything any more, as of now.
    fn excuse_where(&mut self, now_ns: u64, is_gone: impl Fn(&Range) -> bool) {
        let (mut begin, mut first) = (self.start_offset, None);
        for range in &mut self.ranges {
            if !range.excused && is_gone(range) {
                range.excused = true;
                first.get_or_insert(begin);
            }
            begin = range.end_offset;
        }
        // Where all that is left is gone, so is every trace of what retention took before.
        if let Some(first) = first {
            self.note_excuse(now_ns, if first == self.start_offset { 0 } else { first });
        }
    }

    fn note_excuse(&mut self, until_ns: u64, from_offset: i64) {
        let known = self.excuse.map_or(i64::MAX, |known| known.from_offset);
        self.excuse = Some(Excuse { from_offset: from_offset.min(known), until_ns });
    }

    fn is_excused(&self, offset: i64) -> bool {
        let at = self.ranges.partition_point(|range| range.end_offset <= offset);
        self.ranges.get(at).is_none_or(|range| range.excused)
    }

    fn index_of(&self, offset: i64) -> usize {
        self.entries.partition_point(|entry| entry.next_offset <= offset)
    }

    /// Compares the node's log as far as it was not yet, and takes over what is newly committed.
    pub fn advance(&mut self, copy: &Copy, advance: &Advance) -> Advanced {
        let Advance { node, log_start_offset, high_watermark, .. } = *advance;
        let from = self.verified.get(&node).copied().unwrap_or(0).max(log_start_offset);
        let mut advanced = Advanced::default();
        if high_watermark <= from || copy.is_damaged {
            return advanced;
        }
        let difference = self.difference(copy, from, high_watermark.min(self.end_offset));
        if let Some(difference) = difference {
            // What came in the place of the lost may be excused in its turn, and is still what counts.
            let is_survivor = self.is_survivor(&difference);
            if !difference.excused || (is_survivor && !advance.leads) {
                advanced.difference = Some(difference).filter(|_| !is_survivor);
                return advanced;
            }
            let found = difference.found.as_ref();
            let leader_epoch = found.map_or(advance.leader_epoch, |found| found.leader_epoch);
            let offset =
                self.rewritten.map_or(i64::MAX, |before| before.offset).min(difference.offset);
            self.rewritten = Some(Rewritten { offset, leader_epoch });
            self.forget_from(difference.offset);
        }
        let begin = self.entries.len();
        if high_watermark > self.end_offset {
            let first = copy.index_of(self.end_offset);
            let fresh = copy.entries.iter().skip(first);
            let fresh = fresh.take_while(|entry| entry.next_offset <= high_watermark);
            self.entries.extend(fresh.cloned());
            self.end_offset = high_watermark;
            self.push_range(advance);
        }
        advanced.fresh = begin..self.entries.len();
        self.verified.insert(node, high_watermark);
        if advance.counts {
            self.holds(node, high_watermark);
        }
        advanced
    }

    /// Where `copy` is not what was committed in `[from, to)`.
    pub fn difference(&self, copy: &Copy, from: i64, to: i64) -> Option<Difference> {
        let ours = self.entries.get(self.index_of(from)..).unwrap_or_default();
        let mut theirs = copy.entries.get(copy.index_of(from)..).unwrap_or_default().iter();
        for committed in ours.iter().take_while(|committed| committed.base_offset < to) {
            let found = theirs.next();
            if !found.is_some_and(|found| found.is_same(committed)) {
                let offset = committed.base_offset;
                let overlaps = |found: &&Entry| found.base_offset < committed.next_offset;
                return Some(Difference {
                    offset,
                    excused: self.is_excused(offset),
                    committed: committed.clone(),
                    found: found.filter(overlaps).cloned(),
                });
            }
        }
        None
    }

    fn push_range(&mut self, advance: &Advance) {
        let Advance { high_watermark: end_offset, leader_epoch, node, .. } = *advance;
        let lost = self.lost.iter().filter(|(id, lost)| **id != node && lost.from < end_offset);
        let lost = lost.fold(Members(0), |members, (id, _)| members.with(*id));
        let damaged = advance.holders.and(lost);
        let holders = advance.holders.minus(lost);
        // Where no copy counts (its disk rots), there is none to be lost.
        let excused = holders.is_empty();
        if excused {
            let begin = self.ranges.last().map_or(self.start_offset, |last| last.end_offset);
            self.note_excuse(advance.now_ns, begin);
        }
        let (owed, has) = (holders, holders);
        let range = Range { end_offset, owed, has, damaged, excused, leader_epoch };
        match self.ranges.last_mut() {
            Some(last) if (Range { end_offset, ..*last }) == range => *last = range,
            _ => self.ranges.push(range),
        }
    }

    /// What was committed there is lost, and was excused.
    fn forget_from(&mut self, offset: i64) {
        self.entries.truncate(self.index_of(offset));
        self.split_at(offset);
        self.ranges.retain(|range| range.end_offset <= offset);
        self.end_offset = self.end_offset.min(offset);
        self.start_offset = self.start_offset.min(offset);
        for verified in self.verified.values_mut() {
            *verified = (*verified).min(offset);
        }
    }

    fn split_at(&mut self, offset: i64) {
        let at = self.ranges.partition_point(|range| range.end_offset <= offset);
        let before = at.checked_sub(1).and_then(|at| self.ranges.get(at));
        let begin = before.map_or(self.start_offset, |before| before.end_offset);
        if let Some(range) = self.ranges.get(at).copied().filter(|_| begin < offset) {
            self.ranges.insert(at, Range { end_offset: offset, ..range });
        }
    }

    /// The node was seen to have everything below.
    fn holds(&mut self, node: u16, end_offset: i64) {
        if self.lost.get(&node).is_some_and(|lost| lost.restarted) {
            self.lost.remove(&node);
        }
        for range in &mut self.ranges {
            if range.end_offset > end_offset {
                break;
            }
            range.owed = range.owed.with(node);
            range.has = range.has.with(node);
            range.damaged = range.damaged.without(node);
        }
        // Equal neighbours are one.
        self.ranges.dedup_by(|next, kept| {
            let is_same = Range { end_offset: kept.end_offset, ..*next } == *kept;
            if is_same {
                kept.end_offset = next.end_offset;
            }
            is_same
        });
    }

    /// The node's process is another one: its log is looked at anew.
    pub fn restarted(&mut self, node: u16) {
        self.verified.remove(&node);
        if let Some(lost) = self.lost.get_mut(&node) {
            lost.restarted = true;
        }
    }

    /// The node cut its log itself. Answers the first committed record that nobody has now, and should.
    pub fn cut(&mut self, node: u16, end_offset: i64) -> Option<Range> {
        if let Some(verified) = self.verified.get_mut(&node) {
            *verified = (*verified).min(end_offset);
        }
        if end_offset >= self.end_offset {
            return None;
        }
        self.split_at(end_offset);
        let cut = self.ranges.iter_mut().filter(|range| range.end_offset > end_offset);
        cut.for_each(|range| range.has = range.has.without(node));
        self.missing()
    }

    /// A fault destroyed what the node had at and after `from`. Whoever of `eligible` still counts must have it; where
    /// nobody does, it is excused. Answers as [`CommittedLog::cut`] does.
    pub fn destroyed(
        &mut self,
        now_ns: u64,
        node: u16,
        from: i64,
        eligible: Members,
    ) -> Option<Range> {
        if let Some(verified) = self.verified.get_mut(&node) {
            *verified = (*verified).min(from);
        }
        self.note_lost(node, from);
        self.split_at(from);
        for range in self.ranges.iter_mut().filter(|range| range.end_offset > from) {
            range.owed = range.owed.without(node);
            range.has = range.has.without(node);
            range.damaged = range.damaged.with(node);
        }
        self.excuse_where(now_ns, |range| {
            range.end_offset > from && range.owed.and(eligible).is_empty()
        });
        self.missing()
    }

    /// Only these can be elected from now on. Where faults destroyed the copies of them all, it may be gone: nobody but
    /// who had it needed to know of that when the others, who have it, left. One undamaged member, and it is owed.
    pub fn eligible(&mut self, now_ns: u64, eligible: Members) {
        if !eligible.is_empty() {
            self.excuse_where(now_ns, |range| eligible.minus(range.damaged).is_empty());
        }
    }

    fn note_lost(&mut self, node: u16, from: i64) {
        let before = self.lost.get(&node).map_or(i64::MAX, |lost| lost.from);
        self.lost.insert(node, Lost { from: from.min(before), restarted: false });
    }

    /// What was committed last counts on voters that had lost it by then, so that a majority may lack it.
    pub fn majority_may_lack_last(&self, voters: usize) -> bool {
        let last = self.ranges.last();
        let owed = last.map_or(voters, |range| range.owed.count().min(voters));
        !self.lost.is_empty() && voters - owed > voters / 2
    }

    /// As [`CommittedLog::destroyed`], where a majority of `voters` decides: excused is what a majority may lack.
    pub fn destroyed_at_voter(&mut self, node: u16, from: i64, voters: usize) -> bool {
        self.note_lost(node, from);
        self.split_at(from);
        let mut excused = false;
        for range in self.ranges.iter_mut().filter(|range| range.end_offset > from) {
            range.owed = range.owed.without(node);
            range.has = range.has.without(node);
            range.excused |= voters - range.owed.count().min(voters) > voters / 2;
            excused |= range.excused;
        }
        excused
    }

    /// An unclean election: nothing is promised of what was committed before.
    pub fn excuse_all(&mut self, now_ns: u64) {
        self.excuse_where(now_ns, |_| true);
    }

    /// Retention took what is below.
    pub fn trim(&mut self, log_start_offset: i64) {
        self.split_at(log_start_offset.min(self.end_offset));
        self.ranges.retain(|range| range.end_offset > log_start_offset);
        self.start_offset = self.start_offset.max(log_start_offset.min(self.end_offset));
    }

    fn missing(&self) -> Option<Range> {
        self.missing_above(i64::MIN)
    }

    /// The first that nobody has, should, and that ends above `offset`.
    pub fn missing_above(&self, offset: i64) -> Option<Range> {
        let is_missing =
            |range: &&Range| !range.excused && range.has.is_empty() && range.end_offset > offset;
        self.ranges.iter().find(is_missing).copied()
    }
}

/// Every log's.
#[derive(Default)]
pub struct Committed {
    logs: FxHashMap<LogId, CommittedLog>,
}

impl Committed {
    pub fn log(&self, id: LogId) -> Option<&CommittedLog> {
        self.logs.get(&id)
    }

    pub fn log_mut(&mut self, id: LogId) -> &mut CommittedLog {
        self.logs.entry(id).or_default()
    }

    /// In the order of their ids.
    pub fn ids(&self) -> Vec<LogId> {
        let mut ids: Vec<LogId> = self.logs.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Where the log of a new leader is not what was committed before its epoch.
    pub fn lacks(&self, node: u16, leader: &PartitionState, ledger: &Ledger) -> Option<Difference> {
        let log = self.logs.get(&leader.id)?;
        let to = log.due_end_offset(leader.leader_epoch);
        let empty = Copy::default();
        let copy = ledger.copy(node, leader.id).unwrap_or(&empty);
        if copy.is_damaged {
            return None;
        }
        log.difference(copy, leader.log_start_offset, to).filter(|found| !found.excused)
    }
}

#[cfg(test)]
mod tests;
