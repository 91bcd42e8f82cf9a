//! What the kernel knows of the files below: inodes by number, open files by handle.
//!
//! Promises: an inode stands for a file and not for its name, so that renamed and deleted files that are open stay what they
//! are; it is forgotten when the kernel says so, and not before.

use super::rules::Key;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of the root, by FUSE's rules.
const ROOT: u64 = 1;

/// A file or directory that the kernel has heard of.
#[derive(Debug)]
pub struct Inode {
    pub number: u64,
    pub key: Key,
    /// Opened as a path only: it can be asked and opened anew, not read.
    pub file: File,
    /// It is the file that only probes use.
    pub is_probe: bool,
}

impl Inode {
    /// A path that leads to it whatever it is called now.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }

    /// What it is called now, below the root.
    pub fn name(&self, root: &Inode) -> String {
        let real =
            |inode: &Inode| std::fs::read_link(inode.path()).unwrap_or_else(|_| PathBuf::new());
        let path = real(self);
        path.strip_prefix(real(root)).unwrap_or(&path).display().to_string()
    }
}

/// An open file.
#[derive(Debug)]
pub struct Handle {
    pub file: File,
    pub inode: Arc<Inode>,
}

/// An entry of an open directory, as it was when it was opened.
#[derive(Debug)]
pub struct Entry {
    pub number: u64,
    pub kind: fuser::FileType,
    pub name: std::ffi::OsString,
}

#[derive(Debug)]
enum Open {
    File(Arc<Handle>),
    Directory(Arc<Vec<Entry>>),
}

#[derive(Debug, Default)]
struct Inner {
    next_number: u64,
    next_handle: u64,
    /// With how often the kernel looked it up.
    inodes: BTreeMap<u64, (Arc<Inode>, u64)>,
    numbers: BTreeMap<Key, u64>,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
pub struct Tables(Mutex<Inner>);

impl Tables {
    /// With the root, a directory opened as a path.
    pub fn new(root: File) -> io::Result<Tables> {
        let key = key_of(&root.metadata()?);
        let root = Arc::new(Inode { number: ROOT, key, file: root, is_probe: false });
        let mut inner = Inner { next_number: ROOT + 1, next_handle: 1, ..Inner::default() };
        inner.inodes.insert(ROOT, (root, 1));
        inner.numbers.insert(key, ROOT);
        Ok(Tables(Mutex::new(inner)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No panic leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kernel was told of this file once more.
    pub fn looked_up(&self, file: File, metadata: &Metadata, is_probe: bool) -> Arc<Inode> {
        let key = key_of(metadata);
        let mut inner = self.lock();
        if let Some(number) = inner.numbers.get(&key).copied() {
            let (inode, lookups) = inner.inodes.get_mut(&number).expect("both or none");
            *lookups += 1;
            return inode.clone();
        }
        let number = inner.next_number;
        inner.next_number += 1;
        let inode = Arc::new(Inode { number, key, file, is_probe });
        inner.inodes.insert(number, (inode.clone(), 1));
        inner.numbers.insert(key, number);
        inode
    }

    pub fn forget(&self, number: u64, lookups: u64) {
        let mut inner = self.lock();
        let Some((inode, known)) = inner.inodes.get_mut(&number) else { return };
        *known = known.saturating_sub(lookups);
        if *known == 0 && number != ROOT {
            let key = inode.key;
            inner.inodes.remove(&number);
            inner.numbers.remove(&key);
        }
    }

    pub fn inode(&self, number: u64) -> Option<Arc<Inode>> {
        self.lock().inodes.get(&number).map(|(inode, _)| inode.clone())
    }

    pub fn root(&self) -> Arc<Inode> {
        self.inode(ROOT).expect("the root stays")
    }

    pub fn open_file(&self, file: File, inode: Arc<Inode>) -> u64 {
        self.insert(Open::File(Arc::new(Handle { file, inode })))
    }

    pub fn open_directory(&self, entries: Vec<Entry>) -> u64 {
        self.insert(Open::Directory(Arc::new(entries)))
    }

    fn insert(&self, open: Open) -> u64 {
        let mut inner = self.lock();
        let number = inner.next_handle;
        inner.next_handle += 1;
        inner.open.insert(number, open);
        number
    }

    pub fn file(&self, handle: u64) -> Option<Arc<Handle>> {
        match self.lock().open.get(&handle) {
            Some(Open::File(handle)) => Some(handle.clone()),
            _ => None,
        }
    }

    pub fn directory(&self, handle: u64) -> Option<Arc<Vec<Entry>>> {
        match self.lock().open.get(&handle) {
            Some(Open::Directory(entries)) => Some(entries.clone()),
            _ => None,
        }
    }

    pub fn release(&self, handle: u64) {
        // Closed outside of the lock: that may take its time.
        let closed = self.lock().open.remove(&handle);
        drop(closed);
    }
}

pub fn key_of(metadata: &Metadata) -> Key {
    (metadata.dev(), metadata.ino())
}
