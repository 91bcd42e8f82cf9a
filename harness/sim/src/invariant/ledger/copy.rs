//! One replica's log, batch by batch, and what may still be in its files beside that.

use super::Entry;

/// One replica's log.
#[derive(Clone, Debug, Default)]
pub struct Copy {
    /// In the order of their offsets.
    pub entries: Vec<Entry>,
    /// What may be in its files and is not known to be: what was being written when the process died, and what a power
    /// cut may have given back.
    pub maybe: Vec<Entry>,
    /// Of segments that were dropped, by retention or a truncation, and whose directory was not synced since: a power cut
    /// may give them back, and nothing else.
    pub dropped: Vec<Entry>,
    /// So many dropped batches are not among them any more.
    pub forgotten: usize,
    /// Cut off within a segment whose file was not synced since, each with its number: a power cut may give them back.
    pub truncated: Vec<(u64, Entry)>,
    /// So many were ever cut off.
    pub truncated_count: u64,
    /// Not all of its files could be read: it says nothing about what is not in it.
    pub is_damaged: bool,
}

impl Copy {
    pub(super) fn insert(&mut self, entry: Entry) {
        match self.entries.last() {
            Some(last) if last.base_offset >= entry.base_offset => {
                let at = self.entries.partition_point(|e| e.base_offset < entry.base_offset);
                self.entries.insert(at, entry);
            }
            _ => self.entries.push(entry),
        }
    }

    pub(super) fn drop_segment(&mut self, segment: i64) {
        self.begin_drop(segment);
        self.entries.retain(|entry| entry.segment != segment);
    }

    /// The segment's name goes now, or has gone already.
    pub(super) fn begin_drop(&mut self, segment: i64) {
        let gone = self.entries.iter().filter(|entry| entry.segment == segment);
        self.dropped.extend(gone.cloned());
    }

    /// The segment's file now ends at `len`.
    pub(super) fn truncate(&mut self, segment: i64, len: u64) {
        let is_gone = |entry: &Entry| {
            entry.segment == segment && entry.position + u64::from(entry.bytes) > len
        };
        for entry in self.entries.extract_if(.., |entry| is_gone(entry)) {
            self.truncated.push((self.truncated_count, entry));
            self.truncated_count += 1;
        }
    }

    /// The segment's file was synced after so many batches had been cut off.
    pub(super) fn file_synced(&mut self, segment: i64, truncated_count: u64) {
        self.truncated
            .retain(|(number, entry)| entry.segment != segment || *number >= truncated_count);
    }

    /// How many batches of old segments were dropped so far.
    pub(super) fn dropped_count(&self) -> usize {
        self.forgotten + self.dropped.len()
    }

    /// The directory was synced after so many batches had been dropped.
    pub(super) fn names_synced(&mut self, dropped_count: usize) {
        let gone = dropped_count.saturating_sub(self.forgotten).min(self.dropped.len());
        self.dropped.drain(..gone);
        self.forgotten += gone;
    }

    /// The power was cut: what is in the directory is what its last sync left, or something later.
    pub(super) fn names_lost(&mut self) {
        self.forgotten += self.dropped.len();
        self.maybe.append(&mut self.dropped);
        self.maybe.extend(self.truncated.drain(..).map(|(_, entry)| entry));
    }

    /// The index of the entry that holds `offset`, or of the first one after it.
    pub fn index_of(&self, offset: i64) -> usize {
        self.entries.partition_point(|entry| entry.next_offset <= offset)
    }

    /// The entry that begins at `offset`.
    pub fn at(&self, offset: i64) -> Option<&Entry> {
        let entry = self.entries.get(self.index_of(offset))?;
        (entry.base_offset == offset).then_some(entry)
    }

    /// The entry that holds `offset`.
    pub fn holding(&self, offset: i64) -> Option<&Entry> {
        self.entries.get(self.index_of(offset)).filter(|entry| entry.base_offset <= offset)
    }

    pub fn end_offset(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.next_offset)
    }

    /// The last end of a whole batch that is not above `offset`.
    pub fn boundary(&self, offset: i64) -> i64 {
        let at = self.entries.partition_point(|entry| entry.next_offset <= offset);
        at.checked_sub(1).and_then(|at| self.entries.get(at)).map_or(0, |entry| entry.next_offset)
    }

    /// Whether such a batch was written here, whatever became of it.
    pub(super) fn knows(&self, entry: &Entry) -> bool {
        self.at(entry.base_offset).is_some_and(|known| known.is_same(entry))
            || self.maybe.iter().any(|known| known.is_same(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::Copy;
    use crate::invariant::stage::entry;

    #[test]
    fn a_segment_comes_back_by_a_power_cut_alone() {
        let mut entries = vec![entry(0, 2, 1), entry(2, 5, 1), entry(5, 6, 1)];
        (entries[1].segment, entries[2].segment) = (2, 5);
        let mut copy = Copy { entries: entries.clone(), ..Copy::default() };
        copy.drop_segment(0);
        copy.drop_segment(5);
        assert_eq!(copy.end_offset(), 5);
        assert!(!copy.knows(&entries[0]) && copy.knows(&entries[1]) && !copy.knows(&entries[2]));
        copy.names_lost();
        assert!(entries.iter().all(|entry| copy.knows(entry)));
    }

    #[test]
    fn what_was_cut_off_comes_back_by_a_power_cut_until_its_file_was_synced() {
        let entries = vec![entry(0, 2, 1), entry(2, 5, 1)];
        let cut = || {
            let mut copy = Copy { entries: entries.clone(), ..Copy::default() };
            copy.entries[1].position = u64::from(entries[0].bytes);
            copy.truncate(0, u64::from(entries[0].bytes));
            assert_eq!(copy.end_offset(), 2);
            assert!(!copy.knows(&entries[1]));
            copy
        };
        let mut unsynced = cut();
        unsynced.file_synced(0, 0);
        unsynced.names_lost();
        assert!(unsynced.knows(&entries[1]));
        let mut synced = cut();
        synced.file_synced(0, synced.truncated_count);
        synced.names_lost();
        assert!(!synced.knows(&entries[1]));
    }

    #[test]
    fn what_was_dropped_before_its_directory_was_synced_is_gone() {
        let mut entries = vec![entry(0, 2, 1), entry(2, 5, 1), entry(5, 6, 1)];
        (entries[1].segment, entries[2].segment) = (2, 5);
        let mut copy = Copy { entries: entries.clone(), ..Copy::default() };
        copy.drop_segment(0);
        let asked = copy.dropped_count();
        copy.drop_segment(2);
        copy.names_synced(asked);
        copy.names_synced(asked);
        copy.names_lost();
        assert!(!copy.knows(&entries[0]) && copy.knows(&entries[1]));
    }
}
