//! What a member is in its epoch, and what it must remember to be it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;

use crate::snapshot::SnapshotId;

/// No deadline: observers never stand for election.
pub(crate) const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) enum Role {
    /// Knows no leader that it may follow.
    Unattached(Unattached),
    /// Asks whether it would be elected, in its present epoch, without troubling anybody (KIP-996).
    Prospective(Election),
    /// Asks to be elected, in an epoch of its own.
    Candidate(Election),
    Leader(Box<Leader>),
    Follower(Follower),
    /// Led this epoch and does no more; never votes in it again.
    Resigned(Resigned),
}

impl Role {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Role::Unattached(_) => "unattached",
            Role::Prospective(_) => "prospective",
            Role::Candidate(_) => "candidate",
            Role::Leader(_) => "leader",
            Role::Follower(_) => "follower",
            Role::Resigned(_) => "resigned",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Unattached {
    /// When a voter stands for election.
    pub election_at: u64,
    /// When some voter is asked who leads.
    pub discover_at: u64,
}

/// What one voter said of our candidacy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vote {
    /// Not asked yet, or asked in vain: (again) from this time on.
    Ask {
        at: u64,
    },
    Asked,
    Granted,
    /// May be asked again from this time on, where that makes sense.
    Rejected {
        ask_again_at: u64,
    },
    /// Nobody listens there.
    Refused {
        ask_again_at: u64,
    },
}

#[derive(Debug)]
pub(crate) struct Election {
    /// The other voters.
    pub votes: BTreeMap<i32, Vote>,
    pub ends_at: u64,
    /// An election that cannot be won any more is waited out to here.
    pub backing_off_until: Option<u64>,
    /// How often a voter was asked anew.
    pub rounds: u32,
}

impl Election {
    /// With our own vote.
    pub(crate) fn granted(&self) -> usize {
        1 + self.votes.values().filter(|vote| **vote == Vote::Granted).count()
    }

    /// Voters of whom an answer may still come that helps.
    pub(crate) fn open(&self) -> usize {
        self.votes.values().filter(|vote| matches!(vote, Vote::Ask { .. } | Vote::Asked)).count()
    }

    pub(crate) fn rejected(&self) -> usize {
        self.votes.values().filter(|vote| matches!(vote, Vote::Rejected { .. })).count()
    }
}

#[derive(Debug)]
pub(crate) struct Follower {
    /// When the leader counts as lost.
    pub fetch_timeout_at: u64,
    /// The leader answered a fetch in this epoch: it lives, and a pre-vote is refused.
    pub has_fetched: bool,
    /// Not before this the next fetch is sent.
    pub fetch_at: u64,
    /// A snapshot on its way.
    pub download: Option<Download>,
}

#[derive(Debug)]
pub(crate) struct Download {
    pub id: SnapshotId,
    pub bytes: BytesMut,
}

#[derive(Debug)]
pub(crate) struct Resigned {
    pub election_at: u64,
    /// Voters that have not acknowledged the end of our epoch, and when they are told again.
    pub unacknowledged: BTreeMap<i32, u64>,
    /// The voters by how much of the log they have, best first.
    pub successors: Vec<i32>,
}

/// How far a replica has come, as its fetches told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// `None` until its first valid fetch in this epoch.
    pub end_offset: Option<i64>,
    pub last_fetch_mono_ms: Option<u64>,
    pub last_fetch_wall_ms: i64,
    pub last_caught_up_wall_ms: i64,
    /// The leader's log end at the fetch before: having reached it means having been caught up then.
    pub leader_end_at_last_fetch: i64,
}

#[derive(Debug)]
pub(crate) struct Leader {
    pub epoch: i32,
    /// Offset of the leader change record; nothing is committed before it is.
    pub epoch_start_offset: i64,
    /// The other voters.
    pub voters: BTreeMap<i32, Progress>,
    pub observers: BTreeMap<crate::quorum_state::ReplicaKey, Progress>,
    /// Voters heard of since the check-quorum timer was last set.
    pub heard: BTreeSet<i32>,
    pub check_quorum_at: u64,
    /// When each voter is next told that our epoch began.
    pub begin_at: BTreeMap<i32, u64>,
    /// The owner was told that we lead.
    pub announced: bool,
}
