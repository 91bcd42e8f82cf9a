//! Named ways for a log to be wrong, so that the checks' seeing them is measured. None by default.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// With `flush.messages` at 1, records count as soon as they are written, not when they are synced.
    EndBeforeSync,
    /// The directory is not synced after a roll: a power cut may take the new segment's name.
    UnsyncedNames,
    /// Retention does not stop at the high watermark.
    RetentionAboveHighWatermark,
    /// The epochs of what is cut off stay known.
    StaleEpochs,
    /// Recovery does not compare CRCs.
    SkipCrc,
    /// What recovery walked over is not synced before it counts as durable.
    RecoveredUnsynced,
    /// The recovery point covers what is not synced yet.
    RecoveryPointBeforeSync,
    /// A gap or a step back in a producer's sequence numbers is no reason to refuse.
    SequenceGaps,
}

/// Which of them a log has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects(u32);

impl Defects {
    #[must_use]
    pub const fn with(self, defect: Defect) -> Defects {
        Defects(self.0 | 1 << defect as u32)
    }

    pub const fn has(self, defect: Defect) -> bool {
        self.0 & 1 << defect as u32 != 0
    }
}
