//! What must be true inside a cluster whatever goes wrong: each invariant in a file of its own, with its source.
//!
//! Promises: an invariant is told what changed in a step, right after it, and sees every node as it was after its last
//! step; a node that did nothing new costs a comparison. A loss that faults have earned is no violation: what they
//! destroyed is told by [`Invariants::lost`], and [`committed`] keeps count of the copies that still matter. Nothing of
//! this touches the nodes. Not promised: that a violation is what clients would see; that is the checker's affair.
//!
//! How the world drives it: [`Invariants::started`] before a process' first step (and
//! [`node::node::Node::observe_acknowledgements`] on it); [`Invariants::completed`] before a node is stepped with a
//! completion; [`Invariants::stepped`] after every step, with its effects; [`Invariants::shown`] when a reader was told something; [`Invariants::ended`] when a process is gone
//! for whatever reason, and then [`Invariants::lost`] if its disk suffered.

pub mod committed;
pub mod ledger;
pub mod replay;
#[cfg(test)]
mod stage;
pub mod state;
mod watcher;

mod acknowledged_in_sync;
mod acknowledged_survive;
mod broker_epochs;
mod clean_election;
mod commits_own_epoch;
mod elr_disjoint;
mod epochs_monotonic;
mod fenced_out;
mod high_watermark_held;
mod high_watermark_monotonic;
mod images_equal;
mod isr_in_replicas;
mod joins_complete;
mod last_stable_bound;
mod leader_complete;
mod leader_in_isr;
mod lives;
mod log_start_bound;
mod logs_equal;
mod metadata_kept;
mod no_duplicates;
mod one_leader;
mod one_vote;
mod quorum_majority;
mod quorum_one_leader;
mod recovered_prefix;
mod shown_committed;

pub use state::Loss;
pub use watcher::Invariants;

use committed::{Committed, Difference, Range};
use ledger::{Entry, Ledger};
use node::inspect::Acknowledged;
use replay::{MetadataBatch, Replay};
use state::{LogId, Losses, Nodes, PartitionState, QuorumState};
use std::borrow::Cow;

/// The disk of one node, as its page cache shows it.
pub trait Files {
    fn content(&self, path: &str) -> Option<Cow<'_, [u8]>>;
}

/// Something that must not happen, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub message: String,
}

/// What changed. `before` is `None` the first time.
#[derive(Debug)]
pub enum Event<'a> {
    Partition {
        node: u16,
        before: Option<&'a PartitionState>,
        now: &'a PartitionState,
    },
    Quorum {
        node: u16,
        before: Option<&'a QuorumState>,
        now: &'a QuorumState,
    },
    /// A broker's registration got this epoch, by its own word.
    Broker {
        node: u16,
        epoch: i64,
    },
    /// A replica took up leadership; `lacks`: something committed that must still be there is not in its log.
    Leads {
        node: u16,
        now: &'a PartitionState,
        lacks: Option<&'a Difference>,
    },
    /// A node's metadata after some records; `expected`: what replaying the committed ones gives.
    Image {
        node: u16,
        offset: i64,
        digest: u64,
        expected: Option<u64>,
    },
    /// A producer was told that its batch is written; `end_offset`: where that ends in the leader's log.
    Acknowledged {
        node: u16,
        acknowledged: Acknowledged,
        end_offset: Option<i64>,
    },
    /// A batch is below some replica's high watermark for the first time.
    Committed {
        id: LogId,
        entry: &'a Entry,
    },
    /// A batch of metadata is committed.
    Metadata {
        batch: &'a MetadataBatch,
    },
    /// A replica's log is not what was committed, below its own high watermark.
    Differs {
        node: u16,
        id: LogId,
        difference: &'a Difference,
    },
    /// Committed records that must still be on some disk are on none.
    Gone {
        node: u16,
        id: LogId,
        range: Range,
    },
    /// A log is open again after a restart.
    Reopened {
        node: u16,
        id: LogId,
        log_end_offset: i64,
        /// So far it must reach; `None`: nothing is known, or its disk was destroyed.
        floor: Option<i64>,
        /// What is in it and was never written, in words.
        strange: Option<&'a str>,
    },
    /// A reader was given the records of a log below this offset, or told that the log ends there.
    Shown {
        id: LogId,
        end_offset: i64,
    },
}

/// The kinds of [`Event`], for telling only who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Partition,
    Quorum,
    Broker,
    Leads,
    Image,
    Acknowledged,
    Committed,
    Metadata,
    Differs,
    Gone,
    Reopened,
    Shown,
}

const KINDS: usize = Kind::Shown as usize + 1;

impl Event<'_> {
    fn kind(&self) -> Kind {
        match self {
            Event::Partition { .. } => Kind::Partition,
            Event::Quorum { .. } => Kind::Quorum,
            Event::Broker { .. } => Kind::Broker,
            Event::Leads { .. } => Kind::Leads,
            Event::Image { .. } => Kind::Image,
            Event::Acknowledged { .. } => Kind::Acknowledged,
            Event::Committed { .. } => Kind::Committed,
            Event::Metadata { .. } => Kind::Metadata,
            Event::Differs { .. } => Kind::Differs,
            Event::Gone { .. } => Kind::Gone,
            Event::Reopened { .. } => Kind::Reopened,
            Event::Shown { .. } => Kind::Shown,
        }
    }
}

/// All that is known of the cluster, beside the event.
#[derive(Default)]
pub struct Glimpse {
    pub now_ns: u64,
    pub nodes: Nodes,
    pub ledger: Ledger,
    pub committed: Committed,
    pub replay: Replay,
    pub losses: Losses,
}

impl Glimpse {
    /// The end of what a replica has, or had before faults took it; up or down.
    pub fn has_had(&self, node: u16, id: LogId) -> i64 {
        let state = self.nodes.get(&node).and_then(|state| state.partition(id));
        state.map_or(0, |state| state.log_end_offset).max(self.losses.had(node, id))
    }

    /// `topic-partition`, as far as that is known.
    pub fn name(&self, id: LogId) -> &str {
        self.ledger.dir(id)
    }
}

pub trait Invariant {
    /// In verdicts and on the command line.
    fn name(&self) -> &'static str;
    /// Where it is written that it must be so.
    fn source(&self) -> &'static str;
    fn sees(&self) -> &'static [Kind];
    /// `Err`: it does not hold, and how.
    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String>;
}

/// One of each.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(one_leader::OneLeader::default()),
        Box::new(quorum_one_leader::QuorumOneLeader::default()),
        Box::new(one_vote::OneVote::default()),
        Box::new(epochs_monotonic::EpochsMonotonic::default()),
        Box::new(high_watermark_monotonic::HighWatermarkMonotonic),
        Box::new(high_watermark_held::HighWatermarkHeld),
        Box::new(shown_committed::ShownCommitted::default()),
        Box::new(joins_complete::JoinsComplete::default()),
        Box::new(quorum_majority::QuorumMajority),
        Box::new(commits_own_epoch::CommitsOwnEpoch),
        Box::new(logs_equal::LogsEqual),
        Box::new(metadata_kept::MetadataKept),
        Box::new(leader_complete::LeaderComplete),
        Box::new(acknowledged_in_sync::AcknowledgedInSync),
        Box::new(acknowledged_survive::AcknowledgedSurvive),
        Box::new(isr_in_replicas::IsrInReplicas),
        Box::new(elr_disjoint::ElrDisjoint),
        Box::new(leader_in_isr::LeaderInIsr),
        Box::new(clean_election::CleanElection),
        Box::new(fenced_out::FencedOut),
        Box::new(no_duplicates::NoDuplicates::default()),
        Box::new(images_equal::ImagesEqual),
        Box::new(recovered_prefix::RecoveredPrefix),
        Box::new(log_start_bound::LogStartBound),
        Box::new(last_stable_bound::LastStableBound),
        Box::new(broker_epochs::BrokerEpochs::default()),
    ]
}

#[cfg(test)]
mod tests;
