//! The faults that a file system of ours is under now, and what becomes of each operation.
//!
//! Promises: rules stack and are lifted in any order; delays add up, and one error is enough; each rule counts what it did
//! to the node's operations and to probes apart, and goes on being told of after it was lifted.

use plan::files::{Operation, Pattern};
use plan::random::Stream;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A file as the disk below knows it: device and inode.
pub type Key = (u64, u64);

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// EIO for so many of a hundred operations.
    Error { operation: Operation, percent: u8, path: Pattern },
    /// EIO for the next sync of each file, which loses what it was to sync; the one after it succeeds.
    FsyncError { path: Pattern },
    /// Each operation takes so much longer.
    Slow { operation: Operation, delay: Duration },
}

/// An operation, as far as faults tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Write,
    Read,
    /// Of a file.
    Fsync,
    /// Of a directory.
    FsyncDirectory,
    /// Makes, renames or deletes a file or a directory.
    Name,
}

impl Kind {
    fn is_met_by(self, operation: Operation) -> bool {
        match operation {
            Operation::Write => self == Kind::Write,
            Operation::Read => self == Kind::Read,
            Operation::Fsync => matches!(self, Kind::Fsync | Kind::FsyncDirectory),
            Operation::All => true,
        }
    }
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    Error,
    /// A sync that fails and loses what it was to sync.
    Lost,
}

/// Operations that a rule has met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub of_node: u64,
    pub of_probes: u64,
}

#[derive(Debug)]
struct Held {
    rule: Rule,
    lifted: bool,
    random: Stream,
    tally: Tally,
    /// Files whose sync has failed.
    failed: BTreeSet<Key>,
}

impl Held {
    /// Whether it meets this operation, which it then counts.
    fn meets(&mut self, kind: Kind, key: Key, name: &str, is_probe: bool) -> bool {
        let named = |path: &Pattern| is_probe || path.matches(name);
        let meets = match &self.rule {
            Rule::Error { operation, percent, path } => {
                kind.is_met_by(*operation)
                    && named(path)
                    && self.random.below(100) < u64::from(*percent)
            }
            Rule::FsyncError { path } => {
                kind == Kind::Fsync && named(path) && self.failed.insert(key)
            }
            Rule::Slow { operation, .. } => kind.is_met_by(*operation),
        };
        if meets {
            let count = if is_probe { &mut self.tally.of_probes } else { &mut self.tally.of_node };
            *count += 1;
        }
        meets
    }
}

/// All rules of one file system, by their faults.
#[derive(Debug, Default)]
pub struct Rules {
    held: Mutex<BTreeMap<u32, Held>>,
    /// Nothing is to be looked at for most of a run.
    any: AtomicBool,
}

impl Rules {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `seed`: of its draws.
    pub fn hold(&self, fault: u32, rule: Rule, seed: u64) {
        let random = Stream::new(seed, "operations that fail");
        let (tally, failed) = (Tally::default(), BTreeSet::new());
        self.lock().insert(fault, Held { rule, lifted: false, random, tally, failed });
        self.any.store(true, Ordering::SeqCst);
    }

    pub fn lift(&self, fault: u32) {
        let mut held = self.lock();
        if let Some(held) = held.get_mut(&fault) {
            held.lifted = true;
        }
        let any = held.values().any(|held| !held.lifted);
        self.any.store(any, Ordering::SeqCst);
    }

    /// What it met, and whether it still holds.
    pub fn tally(&self, fault: u32) -> Option<(Tally, bool)> {
        self.lock().get(&fault).map(|held| (held.tally, !held.lifted))
    }

    /// Other faults that hold.
    pub fn others(&self, fault: u32) -> Vec<u32> {
        let held = self.lock();
        let others = held.iter().filter(|(other, held)| **other != fault && !held.lifted);
        others.map(|(other, _)| *other).collect()
    }

    /// What becomes of an operation. `name` is asked only where it matters.
    pub fn decide(
        &self,
        kind: Kind,
        key: Key,
        is_probe: bool,
        name: impl FnOnce() -> String,
    ) -> (Duration, Fate) {
        let (mut delay, mut fate) = (Duration::ZERO, Fate::Done);
        if !self.any.load(Ordering::SeqCst) {
            return (delay, fate);
        }
        let name = name();
        for held in self.lock().values_mut().filter(|held| !held.lifted) {
            if !held.meets(kind, key, &name, is_probe) {
                continue;
            }
            match held.rule {
                Rule::Slow { delay: more, .. } => delay += more,
                Rule::FsyncError { .. } => fate = Fate::Lost,
                Rule::Error { .. } if fate == Fate::Done => fate = Fate::Error,
                Rule::Error { .. } => {}
            }
        }
        (delay, fate)
    }
}
