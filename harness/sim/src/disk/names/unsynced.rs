//! Changes of names that no sync has covered, and which of them a power cut may leave.
//!
//! Promises: each change survives or not as a whole (a rename never leaves both names, or neither), and only if those that
//! it builds on do: earlier changes of the same names; for a directory that went, what emptied it; for directories that
//! moved between directories, earlier such moves, or the tree would have loops. Beyond that any subset may survive, in
//! whatever order they were made: the contract gives names no order among themselves. Syncing a directory makes durable
//! all changes that touch it, with what they build on, and no others.

use super::{Directory, Entry, Names, Spot};
use std::collections::BTreeSet;
use std::sync::Arc;

/// More than this, and the older half becomes durable: a journal is written in the end.
const UNSYNCED_MAX: usize = 256;

#[derive(Clone, Debug)]
pub enum Change {
    Link { at: Spot, entry: Entry },
    Unlink { at: Spot, entry: Entry },
    Move { from: Spot, to: Spot, entry: Entry, replaced: Option<Entry> },
}

impl Change {
    fn spots(&self) -> impl Iterator<Item = &Spot> {
        let (first, second) = match self {
            Change::Link { at, .. } | Change::Unlink { at, .. } => (at, None),
            Change::Move { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(first).chain(second)
    }

    /// The directory that lost its name by this, and so has to be empty.
    fn emptied(&self) -> Option<u64> {
        match self {
            Change::Unlink { entry: Entry::Directory(inode), .. }
            | Change::Move { replaced: Some(Entry::Directory(inode)), .. } => Some(*inode),
            _ => None,
        }
    }

    fn moves_between_directories(&self) -> bool {
        match self {
            Change::Move { from, to, entry, .. } => {
                entry.is_directory() && from.directory != to.directory
            }
            _ => false,
        }
    }

    pub fn leads_to(&self) -> impl Iterator<Item = Entry> {
        let (entry, replaced) = match self {
            Change::Link { entry, .. } | Change::Unlink { entry, .. } => (*entry, None),
            Change::Move { entry, replaced, .. } => (*entry, *replaced),
        };
        let directories = self.spots().map(|spot| Entry::Directory(spot.directory));
        directories.chain(std::iter::once(entry)).chain(replaced)
    }
}

/// What some changes are about, to find those that build on them, or that they build on.
#[derive(Default)]
struct About {
    spots: BTreeSet<Spot>,
    directories: BTreeSet<u64>,
    emptied: BTreeSet<u64>,
    moves_between_directories: bool,
}

impl About {
    fn add(&mut self, change: &Change) {
        for spot in change.spots() {
            self.directories.insert(spot.directory);
            self.spots.insert(spot.clone());
        }
        self.emptied.extend(change.emptied());
        self.moves_between_directories |= change.moves_between_directories();
    }

    fn shares(&self, change: &Change) -> bool {
        change.spots().any(|spot| self.spots.contains(spot))
            || (self.moves_between_directories && change.moves_between_directories())
    }

    /// Whether a later change builds on one of these.
    fn hold_up(&self, later: &Change) -> bool {
        self.shares(later) || later.emptied().is_some_and(|inode| self.directories.contains(&inode))
    }

    /// Whether one of these builds on an earlier change.
    fn build_on(&self, earlier: &Change) -> bool {
        self.shares(earlier) || earlier.spots().any(|spot| self.emptied.contains(&spot.directory))
    }
}

impl Names {
    pub(super) fn changed(&mut self, change: Change) {
        if self.unsynced.len() == UNSYNCED_MAX {
            for change in self.unsynced.drain(..UNSYNCED_MAX / 2).collect::<Vec<_>>() {
                self.make_durable(change);
            }
        }
        self.unsynced.push(change);
    }

    /// All changes that touch a directory become durable.
    pub fn sync(&mut self, directory: u64) {
        self.sync_where(|change| change.spots().any(|spot| spot.directory == directory));
    }

    /// All changes of one name become durable.
    pub fn sync_name(&mut self, wanted: &Spot) {
        self.sync_where(|change| change.spots().any(|spot| spot == wanted));
    }

    fn sync_where(&mut self, wanted: impl Fn(&Change) -> bool) {
        // From the last to the first: what a change builds on lies before it.
        let mut about = About::default();
        let mut covered = Vec::new();
        for (index, change) in self.unsynced.iter().enumerate().rev() {
            if wanted(change) || about.build_on(change) {
                about.add(change);
                covered.push(index);
            }
        }
        if covered.is_empty() {
            return;
        }
        for (index, change) in std::mem::take(&mut self.unsynced).into_iter().enumerate() {
            if covered.last() == Some(&index) {
                covered.pop();
                self.make_durable(change);
            } else {
                self.unsynced.push(change);
            }
        }
    }

    /// Lets each change survive or not, and answers how many did and did not.
    pub(super) fn settle_changes(&mut self, survives: &mut impl FnMut() -> bool) -> (u64, u64) {
        let mut lost = About::default();
        let mut toll = (0, 0);
        for change in std::mem::take(&mut self.unsynced) {
            if !lost.hold_up(&change) && survives() {
                self.make_durable(change);
                toll.0 += 1;
            } else {
                lost.add(&change);
                toll.1 += 1;
            }
        }
        toll
    }

    fn make_durable(&mut self, change: Change) {
        match change {
            Change::Link { at, entry } => {
                self.durable_mut(at.directory).insert(at.name, entry);
            }
            Change::Unlink { at, .. } => {
                self.durable_mut(at.directory).remove(&at.name);
            }
            Change::Move { from, to, entry, .. } => {
                self.durable_mut(from.directory).remove(&from.name);
                self.durable_mut(to.directory).insert(to.name, entry);
            }
        }
    }

    fn durable_mut(&mut self, directory: u64) -> &mut std::collections::BTreeMap<Arc<str>, Entry> {
        let found: &mut Arc<Directory> =
            self.directories.get_mut(&directory).expect("a directory that a change is about");
        &mut Arc::make_mut(found).durable
    }
}
