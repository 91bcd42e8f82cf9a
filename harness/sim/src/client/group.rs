//! Membership in a consumer group, by the classic protocol: subscribe, be given partitions, commit, come back.
//!
//! Promises: what it was given is read and committed under the generation that gave it, and handed back (with a commit, where
//! there is time) before the next is joined. Committed offsets are where reading goes on. What a coordinator acknowledged as
//! committed is entered in a [`CommitLedger`] that all members share; one that is told less afterwards says so,
//! and so does one whose commit is acknowledged although a later generation had begun before it asked. Absent on
//! purpose: static members, cooperative rebalancing, the protocol of KIP-848.
//!
//! - [`asking`]: requests. [`answers`]: what coordinators answered. [`assigning`]: what a leader gives to whom.

mod answers;
mod asking;
mod assigning;

use super::connection::{Happened, Lane, Peer};
use super::metadata::Cluster;
use super::reading::{self, Reading};
use super::{ClientEffect, MS, Setup, Target, jittered_ns, sooner};
use generator::random::Random;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

const HEARTBEAT_NS: u64 = 500 * MS;
/// `auto.commit.interval.ms`.
const COMMIT_NS: u64 = 200 * MS;
const BACKOFF_MS: u64 = 100;
const LOST_COMMITS_MAX: usize = 20;

/// What was acknowledged as committed, by group and partition. All members of all groups of a run share one.
#[derive(Clone, Debug, Default)]
pub struct CommitLedger(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    entries: BTreeMap<(String, u32), Entry>,
    /// The generation that a member was told last to have begun, by group.
    generations: BTreeMap<String, i32>,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    At(i64),
    /// A reader was moved back: commits may go back, too, and nothing can be said any more.
    Void,
}

impl CommitLedger {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("nobody panics while holding it")
    }

    /// A member was told that the generation has begun.
    fn began(&self, group: &str, generation: i32) {
        self.known().generations.insert(group.to_owned(), generation);
    }

    /// Whether a later generation is known to have begun.
    fn is_over(&self, group: &str, generation: i32) -> bool {
        self.known().generations.get(group).is_some_and(|newest| *newest > generation)
    }

    fn committed(&self, group: &str, partition: u32, offset: i64) {
        let mut known = self.known();
        let entry = known.entries.entry((group.to_owned(), partition)).or_insert(Entry::At(offset));
        if let Entry::At(at) = entry {
            *at = offset.max(*at);
        }
    }

    fn void(&self, group: &str, partitions: impl Iterator<Item = u32>) {
        let mut known = self.known();
        for partition in partitions {
            known.entries.insert((group.to_owned(), partition), Entry::Void);
        }
    }

    fn at_least(&self, group: &str, partition: u32) -> Option<i64> {
        match self.known().entries.get(&(group.to_owned(), partition)) {
            Some(Entry::At(offset)) => Some(*offset),
            _ => None,
        }
    }

    fn is_void(&self, group: &str, partition: u32) -> bool {
        matches!(self.known().entries.get(&(group.to_owned(), partition)), Some(Entry::Void))
    }
}

/// What a request of a group member was for.
#[derive(Debug)]
pub(super) enum Ask {
    Coordinator,
    Join,
    Sync,
    /// For the partitions that were given, with what the ledger knew to be committed when it was asked.
    Offsets(BTreeMap<u32, Option<i64>>),
    Heartbeat,
    /// Offsets by partition, and the epoch of the record before. `late`: in the name of a generation that was known to be
    /// over by then.
    Commit {
        offsets: Vec<(u32, i64, i32)>,
        late: bool,
    },
    Leave,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Join,
    /// Joined; a leader brings what everybody is to get, encoded.
    Sync(Vec<(String, Vec<u8>)>),
    /// Given these partitions; where were they left?
    Offsets(Vec<u32>),
    Stable,
    /// Another generation is wanted; first a last commit.
    Return,
    Leave,
    Left,
}

pub(super) struct Group {
    name: String,
    target: Target,
    ledger: CommitLedger,
    random: Random,
    request_timeout_ns: u64,
    /// Of the member, and how long a rebalance may wait for it.
    session_timeout_ms: u64,
    state: State,
    coordinator: Option<i32>,
    member_id: String,
    generation: i32,
    /// A request other than heartbeats and commits is on its way.
    asked: bool,
    heartbeat_asked: bool,
    commit_asked: bool,
    retry_at_ns: u64,
    heartbeat_at_ns: u64,
    commit_at_ns: u64,
    /// Before another generation is joined, one more.
    commit_before_return: bool,
    /// Acknowledged, of this assignment.
    committed: BTreeMap<u32, i64>,
    seeks_seen: u64,
    /// Commits that were acknowledged and are not there any more, in words.
    pub lost_commits: Vec<String>,
    /// Commits that were acknowledged in the name of a generation that was over, in words.
    pub late_commits: Vec<String>,
    /// Assignments so far.
    pub assignments: u64,
    pub wake_ns: Option<u64>,
}

impl Group {
    pub fn new(
        setup: &Setup,
        name: &str,
        target: &Target,
        ledger: CommitLedger,
        (request_timeout_ms, session_timeout_ms): (u64, u64),
    ) -> Group {
        let mut random = setup.random.clone();
        Group {
            name: name.to_owned(),
            target: target.clone(),
            ledger,
            random: Random::new(random.next(), "group"),
            request_timeout_ns: request_timeout_ms * MS,
            session_timeout_ms,
            state: State::Join,
            coordinator: None,
            member_id: String::new(),
            generation: -1,
            asked: false,
            heartbeat_asked: false,
            commit_asked: false,
            retry_at_ns: 0,
            heartbeat_at_ns: 0,
            commit_at_ns: 0,
            commit_before_return: false,
            committed: BTreeMap::new(),
            seeks_seen: 0,
            lost_commits: Vec::new(),
            late_commits: Vec::new(),
            assignments: 0,
            wake_ns: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn has_left(&self) -> bool {
        self.state == State::Left
    }

    /// Whether something that happened is the group's affair and not the reader's.
    pub fn concerns(&self, happened: &Happened<reading::Ask>) -> bool {
        match happened {
            Happened::Answered { ask, .. } | Happened::Lost { ask, .. } => {
                matches!(ask, reading::Ask::Group(_))
            }
            Happened::Down { .. } => false,
        }
    }

    fn wake_at(&mut self, at_ns: u64) {
        self.wake_ns = sooner(self.wake_ns, Some(at_ns));
    }

    fn back_off(&mut self, now_ns: u64) {
        self.retry_at_ns = now_ns + jittered_ns(&mut self.random, BACKOFF_MS);
    }

    pub fn drive(
        &mut self,
        now_ns: u64,
        stopping: bool,
        cluster: &mut Cluster<reading::Ask>,
        reading: &mut Reading,
        effects: &mut Vec<ClientEffect>,
    ) {
        self.wake_ns = None;
        if reading.seeks != self.seeks_seen {
            self.seeks_seen = reading.seeks;
            self.ledger.void(&self.name, 0..self.target.partitions);
        }
        if stopping && !matches!(self.state, State::Leave | State::Left) {
            // A last commit of what was read goes before; nobody waits for it.
            self.commit(now_ns, cluster, reading, effects);
            self.asked = false;
            let is_member = self.coordinator.is_some() && !self.member_id.is_empty();
            self.state = if is_member { State::Leave } else { State::Left };
        }
        if self.state == State::Left {
            return;
        }
        let Some(coordinator) = self.coordinator else {
            if self.state == State::Leave {
                self.state = State::Left;
                return;
            }
            self.find_coordinator(now_ns, cluster, effects);
            return;
        };
        let peer = Peer { broker: coordinator, lane: Lane::Group };
        if !cluster.connections.open(now_ns, peer, effects) {
            if self.state == State::Leave {
                self.state = State::Left;
            }
            return;
        }
        if self.state == State::Stable {
            self.keep(now_ns, peer, cluster, reading, effects);
        }
        if self.state == State::Return && !self.commit_asked {
            if std::mem::take(&mut self.commit_before_return) {
                self.commit(now_ns, cluster, reading, effects);
            }
            if !self.commit_asked {
                reading.revoke(effects);
                self.state = State::Join;
            }
        }
        if self.asked || matches!(self.state, State::Stable | State::Return) {
            return;
        }
        if now_ns < self.retry_at_ns && self.state != State::Leave {
            self.wake_at(self.retry_at_ns);
            return;
        }
        self.ask(now_ns, peer, cluster, effects);
    }

    /// Heartbeats and commits.
    fn keep(
        &mut self,
        now_ns: u64,
        peer: Peer,
        cluster: &mut Cluster<reading::Ask>,
        reading: &mut Reading,
        effects: &mut Vec<ClientEffect>,
    ) {
        if now_ns >= self.heartbeat_at_ns && !self.heartbeat_asked {
            self.heartbeat(now_ns, peer, cluster, effects);
        }
        if now_ns >= self.commit_at_ns && !self.commit_asked {
            self.commit(now_ns, cluster, reading, effects);
            self.commit_at_ns = now_ns + COMMIT_NS;
        }
        if !self.heartbeat_asked {
            self.wake_at(self.heartbeat_at_ns);
        }
        if !self.commit_asked {
            self.wake_at(self.commit_at_ns);
        }
    }

    /// Its place in the group is gone, or another generation began without it: what it had is not its own any more.
    fn lost_membership(
        &mut self,
        forget_id: bool,
        reading: &mut Reading,
        effects: &mut Vec<ClientEffect>,
    ) {
        reading.revoke(effects);
        if forget_id {
            self.member_id.clear();
        }
        self.generation = -1;
        self.state = State::Join;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_over_when_a_member_of_a_later_one_was_told() {
        let ledger = CommitLedger::default();
        assert!(!ledger.is_over("g", 1));
        let shared = ledger.clone();
        shared.began("g", 2);
        assert!(ledger.is_over("g", 1) && !ledger.is_over("g", 2) && !ledger.is_over("h", 1));
        // A group that was lost with its coordinator's log counts from the start again.
        shared.began("g", 1);
        assert!(!ledger.is_over("g", 1));
    }
}
