//! The tree of names: directories, what they hold now, and what of it a power cut would leave.
//!
//! Promises: Linux's rules and errors for making, renaming and removing names. Not here: what files hold (`file`).

mod unsynced;

use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::sync::Arc;
use unsynced::Change;

/// The directory that all paths start from. It is always there.
pub const ROOT: u64 = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    File(u64),
    Directory(u64),
}

impl Entry {
    pub fn inode(self) -> u64 {
        match self {
            Entry::File(inode) | Entry::Directory(inode) => inode,
        }
    }

    fn is_directory(self) -> bool {
        matches!(self, Entry::Directory(_))
    }
}

/// A name in a directory, whether or not something bears it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    pub directory: u64,
    pub name: Arc<str>,
}

/// Why an operation can't be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    NotFound,
    NoSpace,
    Other(&'static str),
}

const NOT_A_DIRECTORY: Trouble = Trouble::Other("not a directory");
const IS_A_DIRECTORY: Trouble = Trouble::Other("is a directory");

#[derive(Clone, Debug, Default)]
struct Directory {
    live: BTreeMap<Arc<str>, Entry>,
    durable: BTreeMap<Arc<str>, Entry>,
}

#[derive(Clone, Debug)]
pub struct Names {
    directories: BTreeMap<u64, Arc<Directory>>,
    /// Changes that no directory's sync has covered, oldest first.
    unsynced: Vec<Change>,
    next_inode: u64,
    /// Names taken away since the last sweep.
    pub taken_away: u32,
}

impl Names {
    pub fn new() -> Names {
        Names {
            directories: BTreeMap::from([(ROOT, Arc::default())]),
            unsynced: Vec::new(),
            next_inode: ROOT + 1,
            taken_away: 0,
        }
    }

    pub fn entry(&self, path: &str) -> Result<Entry, Trouble> {
        let mut at = Entry::Directory(ROOT);
        for name in parts(path) {
            let Entry::Directory(directory) = at else { return Err(NOT_A_DIRECTORY) };
            at = self.at(directory, name).ok_or(Trouble::NotFound)?;
        }
        Ok(at)
    }

    pub fn file(&self, path: &str) -> Result<u64, Trouble> {
        match self.entry(path)? {
            Entry::File(inode) => Ok(inode),
            Entry::Directory(_) => Err(IS_A_DIRECTORY),
        }
    }

    pub fn directory(&self, path: &str) -> Result<u64, Trouble> {
        match self.entry(path)? {
            Entry::Directory(inode) => Ok(inode),
            Entry::File(_) => Err(NOT_A_DIRECTORY),
        }
    }

    /// The last name of a path, in a directory that must be there.
    pub fn spot(&self, path: &str) -> Result<Spot, Trouble> {
        let path = path.trim_end_matches('/');
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() || name == "." {
            return Err(Trouble::Other("that is the data directory itself"));
        }
        Ok(Spot { directory: self.directory(parent)?, name: name.into() })
    }

    pub fn at_spot(&self, spot: &Spot) -> Option<Entry> {
        self.at(spot.directory, &spot.name)
    }

    fn at(&self, directory: u64, name: &str) -> Option<Entry> {
        self.live(directory).get(name).copied()
    }

    pub fn live(&self, directory: u64) -> &BTreeMap<Arc<str>, Entry> {
        &self.directories[&directory].live
    }

    fn live_mut(&mut self, directory: u64) -> &mut BTreeMap<Arc<str>, Entry> {
        let found = self.directories.get_mut(&directory).expect("a directory that has a name");
        &mut Arc::make_mut(found).live
    }

    pub fn make_file(&mut self, spot: Spot) -> u64 {
        let inode = self.new_inode();
        self.link(spot, Entry::File(inode));
        inode
    }

    /// Makes the last directory of a path and those above it that are missing. Their names are not durable yet.
    pub fn make_directories(&mut self, path: &str) -> Result<(), Trouble> {
        let mut at = ROOT;
        for name in parts(path) {
            at = match self.at(at, name) {
                Some(Entry::Directory(inode)) => inode,
                Some(Entry::File(_)) => return Err(NOT_A_DIRECTORY),
                None => {
                    let inode = self.new_inode();
                    self.directories.insert(inode, Arc::default());
                    let spot = Spot { directory: at, name: name.into() };
                    self.link(spot, Entry::Directory(inode));
                    inode
                }
            };
        }
        Ok(())
    }

    fn new_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.next_inode
    }

    fn link(&mut self, at: Spot, entry: Entry) {
        let before = self.live_mut(at.directory).insert(at.name.clone(), entry);
        assert!(before.is_none(), "{at:?} is taken");
        self.changed(Change::Link { at, entry });
    }

    fn unlink(&mut self, at: Spot) {
        let entry = self.live_mut(at.directory).remove(&at.name).expect("a name to take away");
        self.taken_away += 1;
        self.changed(Change::Unlink { at, entry });
    }

    pub fn delete_file(&mut self, path: &str) -> Result<(), Trouble> {
        self.file(path)?;
        let spot = self.spot(path)?;
        self.unlink(spot);
        Ok(())
    }

    /// Takes away a directory and all that is in it, as far as `may` lets: each file is asked for, and a directory goes
    /// when it is empty.
    pub fn delete_directory(
        &mut self,
        path: &str,
        may: &mut impl FnMut() -> bool,
    ) -> Result<(), Trouble> {
        let inode = self.directory(path)?;
        let is_empty = self.delete_inside(inode, may);
        // The data directory itself stays, emptied.
        if is_empty && inode != ROOT {
            let spot = self.spot(path)?;
            self.unlink(spot);
        }
        Ok(())
    }

    fn delete_inside(&mut self, directory: u64, may: &mut impl FnMut() -> bool) -> bool {
        let mut is_empty = true;
        for (name, entry) in self.live(directory).clone() {
            let goes = match entry {
                Entry::File(_) => may(),
                Entry::Directory(inode) => self.delete_inside(inode, may) && may(),
            };
            if goes {
                self.unlink(Spot { directory, name });
            }
            is_empty &= goes;
        }
        is_empty
    }

    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Trouble> {
        let (from, to) = (self.spot(from)?, self.spot(to)?);
        let entry = self.at_spot(&from).ok_or(Trouble::NotFound)?;
        let replaced = self.at_spot(&to);
        if replaced == Some(entry) {
            return Ok(());
        }
        if let Entry::Directory(inode) = entry
            && self.is_inside(to.directory, inode)
        {
            return Err(Trouble::Other("a directory can't be moved into itself"));
        }
        match replaced {
            Some(Entry::File(_)) if entry.is_directory() => return Err(NOT_A_DIRECTORY),
            Some(Entry::Directory(_)) if !entry.is_directory() => return Err(IS_A_DIRECTORY),
            Some(Entry::Directory(inode)) if !self.live(inode).is_empty() => {
                return Err(Trouble::Other("directory not empty"));
            }
            _ => {}
        }
        self.live_mut(from.directory).remove(&from.name);
        self.live_mut(to.directory).insert(to.name.clone(), entry);
        self.taken_away += u32::from(replaced.is_some());
        self.changed(Change::Move { from, to, entry, replaced });
        Ok(())
    }

    /// Whether `directory` is `above` or lies somewhere under it.
    fn is_inside(&self, directory: u64, above: u64) -> bool {
        let entered = |entry: &Entry| match entry {
            Entry::Directory(inode) => self.is_inside(directory, *inode),
            Entry::File(_) => false,
        };
        directory == above || self.live(above).values().any(entered)
    }

    /// Every file that has a name, by path, in the order of their names.
    pub fn each_file(&self, visit: &mut impl FnMut(&str, u64)) {
        self.each_file_in(ROOT, &mut String::new(), visit);
    }

    fn each_file_in(&self, directory: u64, path: &mut String, visit: &mut impl FnMut(&str, u64)) {
        let above = path.len();
        for (name, entry) in self.live(directory) {
            if above > 0 {
                path.push('/');
            }
            path.push_str(name);
            match entry {
                Entry::File(inode) => visit(path, *inode),
                Entry::Directory(inode) => self.each_file_in(*inode, path, visit),
            }
            path.truncate(above);
        }
    }

    /// Forgets the directories that nothing leads to, now or after a power cut, and answers every file that is led to.
    pub fn sweep(&mut self) -> FxHashSet<u64> {
        let mut kept = FxHashSet::default();
        let mut found = vec![Entry::Directory(ROOT)];
        found.extend(self.unsynced.iter().flat_map(Change::leads_to));
        while let Some(entry) = found.pop() {
            if !kept.insert(entry.inode()) {
                continue;
            }
            if let Entry::Directory(inode) = entry
                && let Some(directory) = self.directories.get(&inode)
            {
                found.extend(directory.live.values().chain(directory.durable.values()));
            }
        }
        self.directories.retain(|inode, _| kept.contains(inode));
        self.taken_away = 0;
        kept
    }

    /// How many unsynced changes of names survived, and how many did not.
    pub fn power_loss(&mut self, survives: &mut impl FnMut() -> bool) -> (u64, u64) {
        let toll = self.settle_changes(survives);
        for directory in self.directories.values_mut() {
            let directory = Arc::make_mut(directory);
            directory.live = directory.durable.clone();
        }
        toll
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

#[cfg(test)]
mod tests;
