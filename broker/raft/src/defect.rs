//! Named ways for a member to be wrong, so that the checks' seeing them is measured. None by default.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A vote is answered, or a candidacy sent, before `quorum-state` is on disk.
    UnsyncedVote,
    /// A restart forgets for whom this epoch's vote was given.
    ForgottenVote,
    /// A vote is given without a look at how far the candidate's log goes.
    VoteForShorterLog,
    /// A leader counts records of earlier epochs as committed before one of its own epoch is (Raft, figure 8).
    CommitEarlierEpoch,
    /// One voter fewer than a majority commits.
    MinorityCommit,
    /// A leader does not compare the epoch of a follower's last record: what differs stays.
    KeepDivergedTail,
}

/// Which of them a member has.
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
