//! A disk in memory that carries out [`IoOp`]s and forgets, on a power cut, what was not synced.
//!
//! Promises: the semantics that [`crate::io`] states, at their weakest: on a power cut, bytes survive only below a
//! completed `Sync`, names only by `SyncDir`, both by `Replace`. Deterministic. For tests and simulations of those who
//! keep logs. Not promised: speed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::io::{DirEntry, FileId, IoError, IoErrorKind, IoOp, IoResult};

#[derive(Clone, Debug, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Debug)]
struct OpenFile {
    inode: u64,
    poisoned: bool,
}

/// An operation that shall fail.
#[derive(Clone, Debug)]
struct Fault {
    /// Matches when the operation's name, a space and the path contain this.
    pattern: String,
    kind: IoErrorKind,
    /// How many matching operations still succeed.
    skip: usize,
}

#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    dirs: BTreeSet<String>,
    open: BTreeMap<FileId, OpenFile>,
    open_paths: BTreeMap<FileId, String>,
    next_inode: u64,
    faults: Vec<Fault>,
    /// Completed `Sync`s, for tests that count them.
    pub syncs: usize,
}

impl MemoryDisk {
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// Carries out one operation.
    pub fn execute(&mut self, op: &IoOp) -> IoResult {
        match self.try_execute(op) {
            Ok(result) => result,
            Err(error) => IoResult::Failed(error),
        }
    }

    /// All processes die; the page cache stays.
    pub fn kill(&mut self) {
        self.open.clear();
        self.open_paths.clear();
    }

    /// What was not synced is gone.
    pub fn power_cut(&mut self) {
        self.power_cut_but(|_| false);
    }

    /// The same, but what became of the names for which `survives` holds was durable by chance.
    pub fn power_cut_but(&mut self, survives: impl Fn(&str) -> bool) {
        self.kill();
        self.names.retain(|path, _| survives(path));
        let durable = self.durable_names.iter().filter(|(path, _)| !survives(path));
        self.names.extend(durable.map(|(path, inode)| (path.clone(), *inode)));
        self.durable_names = self.names.clone();
        for inode in self.inodes.values_mut() {
            inode.content = inode.durable.clone();
        }
    }

    /// Makes an operation fail, once, after `skip` successes. `pattern` is looked for in the operation's name, a
    /// space and its path, as in `Append topic-0/00000000000000000000.log`.
    pub fn fail(&mut self, pattern: &str, kind: IoErrorKind, skip: usize) {
        self.faults.push(Fault { pattern: pattern.to_owned(), kind, skip });
    }

    /// The content of a file, as a reader would see it now.
    pub fn content(&self, path: &str) -> Option<&[u8]> {
        self.names.get(path).map(|inode| self.inodes[inode].content.as_slice())
    }

    /// Writes a file behind everybody's back, durably.
    pub fn put(&mut self, path: &str, content: &[u8]) {
        let inode = self.inode(path);
        self.inodes.insert(inode, Inode { content: content.to_vec(), durable: content.to_vec() });
        self.durable_names.insert(path.to_owned(), inode);
        if let Some((dir, _)) = path.rsplit_once('/') {
            self.dirs.insert(dir.to_owned());
        }
    }

    /// Removes a file behind everybody's back, durably.
    pub fn remove(&mut self, path: &str) {
        self.names.remove(path);
        self.durable_names.remove(path);
    }

    /// All file paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// How many files are open.
    pub fn open_files(&self) -> usize {
        self.open.len()
    }

    fn inode(&mut self, path: &str) -> u64 {
        if let Some(&inode) = self.names.get(path) {
            return inode;
        }
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, Inode::default());
        self.names.insert(path.to_owned(), self.next_inode);
        self.next_inode
    }

    fn fault(&mut self, what: &str, path: &str) -> Result<(), IoError> {
        let text = format!("{what} {path}");
        for index in 0..self.faults.len() {
            let fault = &mut self.faults[index];
            if !text.contains(&fault.pattern) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            let kind = self.faults.remove(index).kind;
            return Err(IoError { kind, message: format!("{text}: injected") });
        }
        Ok(())
    }

    fn file(&mut self, what: &str, file: FileId) -> Result<&mut Inode, IoError> {
        let path = self.open_paths.get(&file).cloned().unwrap_or_default();
        let injected = self.fault(what, &path);
        let Some(open) = self.open.get_mut(&file) else {
            return Err(error(IoErrorKind::Poisoned, format!("{what} {file:?}: not open")));
        };
        if open.poisoned {
            return Err(error(IoErrorKind::Poisoned, format!("{what} {path}: poisoned")));
        }
        if let Err(error) = injected {
            open.poisoned = true;
            return Err(error);
        }
        Ok(self.inodes.get_mut(&open.inode).expect("an open file has an inode"))
    }

    fn try_execute(&mut self, op: &IoOp) -> Result<IoResult, IoError> {
        match op {
            IoOp::Append { file, at, parts } => {
                let inode = self.file("Append", *file)?;
                assert_eq!(inode.content.len() as u64, *at, "an append goes to the end");
                parts.iter().for_each(|part| inode.content.extend_from_slice(part));
            }
            IoOp::WriteAt { file, at, data } => {
                let inode = self.file("WriteAt", *file)?;
                let (start, end) = (*at as usize, *at as usize + data.len());
                inode.content.resize(inode.content.len().max(end), 0);
                inode.content[start..end].copy_from_slice(data);
            }
            IoOp::Read { file, at, len } => {
                let content = &self.file("Read", *file)?.content;
                let start = (*at as usize).min(content.len());
                let end = (start + *len as usize).min(content.len());
                return Ok(IoResult::Data(Bytes::copy_from_slice(&content[start..end])));
            }
            IoOp::Sync { file } => {
                let inode = self.file("Sync", *file)?;
                inode.durable = inode.content.clone();
                self.syncs += 1;
            }
            IoOp::Truncate { file, len } => {
                self.file("Truncate", *file)?.content.resize(*len as usize, 0);
            }
            IoOp::Open { file, path, create } => return self.open_file(*file, path, *create),
            IoOp::Close { file } => {
                self.open.remove(file);
                self.open_paths.remove(file);
            }
            other => return self.execute_path(other),
        }
        Ok(IoResult::Done)
    }

    fn open_file(&mut self, file: FileId, path: &str, create: bool) -> Result<IoResult, IoError> {
        self.fault("Open", path)?;
        if !create && !self.names.contains_key(path) {
            return Err(not_found(path));
        }
        let inode = self.inode(path);
        let fresh = self.open.insert(file, OpenFile { inode, poisoned: false }).is_none();
        assert!(fresh, "{file:?} is open already");
        self.open_paths.insert(file, path.to_owned());
        Ok(IoResult::Opened { len: self.inodes[&inode].content.len() as u64 })
    }

    fn execute_path(&mut self, op: &IoOp) -> Result<IoResult, IoError> {
        match op {
            IoOp::List { dir } => {
                self.fault("List", dir)?;
                return self.list(dir).map(IoResult::Listed);
            }
            IoOp::CreateDir { path } => {
                self.fault("CreateDir", path)?;
                self.dirs.insert(path.clone());
            }
            IoOp::DeleteDir { path } => {
                self.fault("DeleteDir", path)?;
                let prefix = format!("{path}/");
                self.dirs.retain(|dir| dir != path && !dir.starts_with(&prefix));
                self.names.retain(|name, _| !name.starts_with(&prefix));
                self.durable_names.retain(|name, _| !name.starts_with(&prefix));
            }
            IoOp::SyncDir { path } => {
                self.fault("SyncDir", path)?;
                self.sync_dir(path);
            }
            IoOp::Rename { from, to } => {
                self.fault("Rename", from)?;
                self.rename(from, to)?;
            }
            IoOp::Delete { path } => {
                self.fault("Delete", path)?;
                self.names.remove(path);
            }
            IoOp::ReadFile { path } => {
                self.fault("ReadFile", path)?;
                let content = self.content(path).ok_or_else(|| not_found(path))?;
                return Ok(IoResult::Data(Bytes::copy_from_slice(content)));
            }
            IoOp::Replace { path, data } => {
                self.fault("Replace", path)?;
                // A new inode, as a rename over the old one gives.
                self.names.remove(path);
                let inode = self.inode(path);
                self.inodes.insert(inode, Inode { content: data.to_vec(), durable: data.to_vec() });
                self.sync_dir(path.rsplit_once('/').map_or("", |(dir, _)| dir));
            }
            _ => unreachable!("the other operations were taken before"),
        }
        Ok(IoResult::Done)
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, IoError> {
        // The empty path is the log directory itself, which is always there.
        if !dir.is_empty() && !self.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let inside = |path: &str| {
            path.strip_prefix(&prefix).filter(|name| !name.contains('/')).map(str::to_owned)
        };
        let files = self.names.iter().filter_map(|(path, inode)| {
            let len = self.inodes[inode].content.len() as u64;
            Some(DirEntry { name: inside(path)?, is_dir: false, len })
        });
        let dirs = self
            .dirs
            .iter()
            .filter_map(|path| Some(DirEntry { name: inside(path)?, is_dir: true, len: 0 }));
        let mut entries: Vec<DirEntry> = files.chain(dirs).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), IoError> {
        if self.dirs.remove(from) {
            let (from, to) = (format!("{from}/"), format!("{to}/"));
            for names in [&mut self.names, &mut self.durable_names] {
                let moved: Vec<String> =
                    names.keys().filter(|name| name.starts_with(&from)).cloned().collect();
                for name in moved {
                    let inode = names.remove(&name).expect("listed above");
                    names.insert(format!("{to}{}", &name[from.len()..]), inode);
                }
            }
            self.dirs.insert(to.trim_end_matches('/').to_owned());
            return Ok(());
        }
        let inode = self.names.remove(from).ok_or_else(|| not_found(from))?;
        self.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn sync_dir(&mut self, dir: &str) {
        let inside = |path: &str| path.rsplit_once('/').map_or("", |(parent, _)| parent) == dir;
        self.durable_names.retain(|path, _| !inside(path));
        let live = self.names.iter().filter(|(path, _)| inside(path));
        self.durable_names.extend(live.map(|(path, &inode)| (path.clone(), inode)));
    }
}

fn error(kind: IoErrorKind, message: String) -> IoError {
    IoError { kind, message }
}

fn not_found(path: &str) -> IoError {
    error(IoErrorKind::NotFound, format!("{path}: not found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_takes_what_was_not_synced() {
        let mut disk = MemoryDisk::new();
        disk.execute(&IoOp::CreateDir { path: "d".into() });
        for (id, path) in [(1, "d/a"), (2, "d/b")] {
            disk.execute(&IoOp::Open { file: FileId(id), path: path.into(), create: true });
        }
        let append = |file, at, text: &'static [u8]| IoOp::Append {
            file: FileId(file),
            at,
            parts: std::iter::once(Bytes::from_static(text)).collect(),
        };
        disk.execute(&append(1, 0, b"kept"));
        disk.execute(&IoOp::Sync { file: FileId(1) });
        disk.execute(&IoOp::SyncDir { path: "d".into() });
        disk.execute(&append(1, 4, b"lost"));
        disk.execute(&append(2, 0, b"lost"));
        let replace = IoOp::Replace { path: "d/c".into(), data: Bytes::from_static(b"whole") };
        disk.execute(&replace);
        disk.execute(&IoOp::Open { file: FileId(3), path: "d/nameless".into(), create: true });
        disk.power_cut();
        assert_eq!(disk.content("d/a"), Some(&b"kept"[..]));
        assert_eq!(disk.content("d/b"), Some(&b""[..]));
        assert_eq!(disk.content("d/c"), Some(&b"whole"[..]));
        assert_eq!(disk.content("d/nameless"), None);
    }

    #[test]
    fn a_failure_poisons_the_file() {
        let mut disk = MemoryDisk::new();
        disk.execute(&IoOp::Open { file: FileId(1), path: "a".into(), create: true });
        disk.fail("Sync a", IoErrorKind::Other, 0);
        assert!(matches!(disk.execute(&IoOp::Sync { file: FileId(1) }), IoResult::Failed(_)));
        let again = disk.execute(&IoOp::Sync { file: FileId(1) });
        assert!(
            matches!(again, IoResult::Failed(IoError { kind: IoErrorKind::Poisoned, .. })),
            "{again:?}"
        );
    }
}
