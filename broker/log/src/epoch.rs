//! Which leader epoch began at which offset: Kafka's `LeaderEpochFileCache`, without the file.
//!
//! Promises: entries are strictly increasing in both epoch and start offset, whatever it is told. Not promised:
//! durability; the log writes `leader-epoch-checkpoint` and rebuilds what the file lacks from the batches.

/// The answer where an epoch is not known: Kafka's `UNDEFINED_EPOCH` and `UNDEFINED_EPOCH_OFFSET`.
pub const UNDEFINED: (i32, i64) = (-1, -1);

/// One leader epoch and the first offset that it may have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    pub epoch: i32,
    pub start_offset: i64,
}

/// The epochs of one log, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// From a checkpoint's lines. Entries that contradict later ones are dropped, as if assigned in order.
    pub fn from_entries(entries: impl IntoIterator<Item = EpochEntry>) -> EpochCache {
        let mut cache = EpochCache::default();
        for entry in entries {
            cache.assign(entry.epoch, entry.start_offset);
        }
        cache
    }

    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// Epoch `epoch` begins at `start_offset`: entries that this contradicts go. `true` when anything changed.
    pub fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        if epoch < 0 || start_offset < 0 {
            return false;
        }
        if self.entries.contains(&EpochEntry { epoch, start_offset })
            && self.latest().is_some_and(|l| l.epoch == epoch)
        {
            return false;
        }
        while let Some(last) = self.entries.last() {
            if last.epoch >= epoch || last.start_offset >= start_offset {
                self.entries.pop();
            } else {
                break;
            }
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// What a batch says of its leader: a new epoch begins at its base offset. `true` when it was news.
    pub fn on_batch(&mut self, epoch: i32, base_offset: i64) -> bool {
        epoch >= 0
            && self.latest().is_none_or(|latest| epoch > latest.epoch)
            && self.assign(epoch, base_offset)
    }

    /// Forgets epochs that begin at or after `end_offset`. `true` when any did.
    pub fn truncate_from_end(&mut self, end_offset: i64) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start_offset < end_offset);
        self.entries.len() != before
    }

    /// The log now starts at `start_offset`: the epoch in force there starts there too, older ones go.
    pub fn truncate_from_start(&mut self, start_offset: i64) -> bool {
        let older =
            self.entries.iter().take_while(|entry| entry.start_offset <= start_offset).count();
        if older == 0 || (older == 1 && self.entries[0].start_offset == start_offset) {
            return false;
        }
        self.entries.drain(..older - 1);
        self.entries[0].start_offset = start_offset;
        true
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The largest epoch not above `epoch` that this log has, and the offset at which it ended, as
    /// OffsetForLeaderEpoch answers; [`UNDEFINED`] when `epoch` is newer than all that is known.
    pub fn end_offset_for(&self, epoch: i32, log_end_offset: i64) -> (i32, i64) {
        let Some(latest) = self.latest() else { return UNDEFINED };
        if epoch < 0 {
            return UNDEFINED;
        }
        if epoch == latest.epoch {
            return (epoch, log_end_offset);
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        match self.entries.get(above) {
            None => UNDEFINED,
            // Older than all that is left: it ended, at the latest, where the first known one begins.
            Some(next) if above == 0 => (epoch, next.start_offset),
            Some(next) => (self.entries[above - 1].epoch, next.start_offset),
        }
    }

    /// The epoch whose leader wrote `offset`, if it is known.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        let above = self.entries.partition_point(|entry| entry.start_offset <= offset);
        above.checked_sub(1).map(|index| self.entries[index].epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        EpochCache::from_entries(
            entries.iter().map(|&(epoch, start_offset)| EpochEntry { epoch, start_offset }),
        )
    }

    #[test]
    fn end_offsets_are_kafkas() {
        let cache = cache(&[(2, 5), (4, 10), (7, 20)]);
        assert_eq!(cache.end_offset_for(7, 33), (7, 33));
        assert_eq!(cache.end_offset_for(8, 33), UNDEFINED);
        assert_eq!(cache.end_offset_for(-1, 33), UNDEFINED);
        assert_eq!(cache.end_offset_for(4, 33), (4, 20));
        assert_eq!(cache.end_offset_for(5, 33), (4, 20));
        assert_eq!(cache.end_offset_for(2, 33), (2, 10));
        assert_eq!(cache.end_offset_for(1, 33), (1, 5));
        assert_eq!(EpochCache::default().end_offset_for(0, 33), UNDEFINED);
    }

    #[test]
    fn a_contradicting_assignment_drops_what_it_contradicts() {
        let mut cache = cache(&[(1, 0), (2, 10), (3, 20)]);
        assert!(cache.assign(4, 10));
        assert_eq!(cache, self::cache(&[(1, 0), (4, 10)]));
        assert!(!cache.assign(4, 10));
        assert!(cache.assign(0, 30));
        assert_eq!(cache.entries(), &[EpochEntry { epoch: 0, start_offset: 30 }]);
    }

    #[test]
    fn truncation_keeps_the_epoch_in_force() {
        let mut cache = cache(&[(1, 0), (2, 10), (3, 20)]);
        assert!(cache.truncate_from_start(15));
        assert_eq!(cache, self::cache(&[(2, 15), (3, 20)]));
        assert!(!cache.truncate_from_start(15));
        assert!(!cache.truncate_from_start(3));
        assert!(cache.truncate_from_end(20));
        assert_eq!(cache, self::cache(&[(2, 15)]));
        assert_eq!(cache.epoch_for_offset(16), Some(2));
        assert_eq!(cache.epoch_for_offset(14), None);
    }
}
