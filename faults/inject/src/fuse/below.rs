//! The directory below a file system of ours, and what is done in it.
//!
//! Promises: what is answered is what the file system below answered, errors included; nothing is cached here, so that the
//! directory below may be changed while nobody has its files open.

use super::rules::{Fate, Key, Kind, Rules};
use super::tables::{Entry, Handle, Inode, Tables, key_of};
use super::unsynced::Ledger;
use fuser::{Errno, FileAttr, FileHandle, FileType, INodeNo, OpenFlags, RenameFlags, TimeOrNow};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags as Rename, Timespec, Timestamps, Uid};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// The name of the file that only probes use. No listing shows it, and it is not in the directory below.
pub const PROBE: &str = ".highwater-probe";

type Answer<T> = Result<T, Errno>;

/// What the mount and its owner share.
#[derive(Debug)]
pub struct Shared {
    pub tables: Tables,
    pub rules: Rules,
    pub ledger: Ledger,
    /// Where the probes' file really is.
    probe: PathBuf,
}

impl Shared {
    pub fn new(backing: &Path, probe: PathBuf) -> io::Result<Shared> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = File::from(rustix::fs::open(backing, flags, Mode::empty())?);
        let (rules, ledger) = (Rules::default(), Ledger::default());
        Ok(Shared { tables: Tables::new(root)?, rules, ledger, probe })
    }

    pub fn inode(&self, number: INodeNo) -> Answer<Arc<Inode>> {
        self.tables.inode(number.0).ok_or(Errno::ESTALE)
    }

    pub fn file(&self, handle: FileHandle) -> Answer<Arc<Handle>> {
        self.tables.file(handle.0).ok_or(Errno::EBADF)
    }

    pub fn decide(&self, kind: Kind, inode: &Inode) -> (Duration, Fate) {
        self.decide_named(kind, inode.key, inode.is_probe, || inode.name(&self.tables.root()))
    }

    pub fn decide_named(
        &self,
        kind: Kind,
        key: Key,
        is_probe: bool,
        name: impl FnOnce() -> String,
    ) -> (Duration, Fate) {
        self.rules.decide(kind, key, is_probe, name)
    }

    /// What becomes of making, renaming or deleting a name.
    pub fn decide_name(&self, parent: &Inode, name: &OsStr) -> (Duration, Fate) {
        let whole = || {
            let parent = parent.name(&self.tables.root());
            Path::new(&parent).join(name).display().to_string()
        };
        self.decide_named(Kind::Name, parent.key, false, whole)
    }

    pub fn lookup(&self, parent: INodeNo, name: &OsStr) -> Answer<(Arc<Inode>, FileAttr)> {
        let parent = self.inode(parent)?;
        let is_probe = parent.number == INodeNo::ROOT.0 && name == PROBE;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match is_probe {
            true => rustix::fs::open(&self.probe, flags, Mode::empty()),
            false => rustix::fs::openat(&parent.file, name, flags, Mode::empty()),
        };
        let file = File::from(opened.map_err(errno)?);
        let metadata = file.metadata()?;
        let inode = self.tables.looked_up(file, &metadata, is_probe);
        let attr = attributes(inode.number, &metadata);
        Ok((inode, attr))
    }

    pub fn set_attributes(&self, number: INodeNo, set: &SetAttributes) -> Answer<FileAttr> {
        let inode = self.inode(number)?;
        let path = inode.path();
        if let Some(mode) = set.mode {
            rustix::fs::chmod(&path, Mode::from_raw_mode(mode)).map_err(errno)?;
        }
        if set.owner.is_some() || set.group.is_some() {
            let (owner, group) = (set.owner.map(Uid::from_raw), set.group.map(Gid::from_raw));
            rustix::fs::chownat(rustix::fs::CWD, &path, owner, group, AtFlags::empty())
                .map_err(errno)?;
        }
        if let Some(len) = set.len {
            let handle = set.handle.and_then(|handle| self.tables.file(handle.0));
            match handle {
                Some(handle) => handle.file.set_len(len)?,
                None => File::options().write(true).open(&path)?.set_len(len)?,
            }
            self.ledger.cut(&inode, len);
        }
        if set.accessed.is_some() || set.modified.is_some() {
            let times = Timestamps {
                last_access: timespec(set.accessed),
                last_modification: timespec(set.modified),
            };
            rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty())
                .map_err(errno)?;
        }
        Ok(attributes(inode.number, &inode.file.metadata()?))
    }

    pub fn open(&self, number: INodeNo, flags: OpenFlags) -> Answer<u64> {
        let inode = self.inode(number)?;
        // The kernel has seen to the name and to where an append goes.
        let kept = OFlags::RWMODE | OFlags::DSYNC | OFlags::SYNC;
        let flags = (OFlags::from_bits_retain(flags.0 as u32) & kept) | OFlags::CLOEXEC;
        let file = rustix::fs::open(inode.path(), flags, Mode::empty()).map_err(errno)?;
        Ok(self.tables.open_file(File::from(file), inode))
    }

    pub fn create(
        &self,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        flags: i32,
    ) -> Answer<(FileAttr, u64)> {
        let directory = self.inode(parent)?;
        let kept = OFlags::RWMODE | OFlags::EXCL | OFlags::TRUNC | OFlags::DSYNC | OFlags::SYNC;
        let flags = (OFlags::from_bits_retain(flags as u32) & kept)
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode);
        let file = rustix::fs::openat(&directory.file, name, flags, mode).map_err(errno)?;
        let (inode, attr) = self.lookup(parent, name)?;
        self.ledger.made(&inode);
        Ok((attr, self.tables.open_file(File::from(file), inode)))
    }

    pub fn read(&self, handle: FileHandle, at: u64, len: u32) -> Answer<Vec<u8>> {
        let handle = self.file(handle)?;
        let mut data = vec![0; len as usize];
        let mut done = 0;
        while done < data.len() {
            match handle.file.read_at(&mut data[done..], at + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        data.truncate(done);
        Ok(data)
    }

    pub fn write(&self, handle: FileHandle, at: u64, data: &[u8]) -> Answer<u32> {
        let handle = self.file(handle)?;
        self.ledger.writes(&handle.inode, at, data.len() as u64)?;
        handle.file.write_all_at(data, at)?;
        Ok(data.len() as u32)
    }

    pub fn fsync(&self, handle: FileHandle, data_only: bool, fate: Fate) -> Answer<()> {
        let handle = self.file(handle)?;
        if fate == Fate::Lost {
            self.ledger.lose(&handle.inode, &handle.file)?;
            return Err(Errno::EIO);
        }
        // Before the sync: what comes during it may not be in it.
        let len = handle.file.metadata()?.len();
        if data_only {
            handle.file.sync_data()?
        } else {
            handle.file.sync_all()?
        }
        self.ledger.synced(&handle.inode, len);
        Ok(())
    }

    pub fn make_directory(&self, parent: INodeNo, name: &OsStr, mode: u32) -> Answer<FileAttr> {
        let directory = self.inode(parent)?;
        rustix::fs::mkdirat(&directory.file, name, Mode::from_raw_mode(mode)).map_err(errno)?;
        self.lookup(parent, name).map(|(_, attr)| attr)
    }

    pub fn remove(&self, parent: INodeNo, name: &OsStr, flags: AtFlags) -> Answer<()> {
        let parent = self.inode(parent)?;
        let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let doomed = rustix::fs::openat(&parent.file, name, look, Mode::empty()).map_err(errno)?;
        rustix::fs::unlinkat(&parent.file, name, flags).map_err(errno)?;
        let metadata = File::from(doomed).metadata()?;
        if metadata.nlink() == 0 {
            self.ledger.deleted(key_of(&metadata));
        }
        Ok(())
    }

    pub fn rename(
        &self,
        (parent, name): (INodeNo, &OsStr),
        (to_parent, to_name): (INodeNo, &OsStr),
        flags: RenameFlags,
    ) -> Answer<()> {
        let (from, to) = (self.inode(parent)?, self.inode(to_parent)?);
        let flags = Rename::from_bits_retain(flags.bits());
        rustix::fs::renameat_with(&from.file, name, &to.file, to_name, flags).map_err(errno)
    }

    pub fn list(&self, number: INodeNo) -> Answer<u64> {
        let inode = self.inode(number)?;
        let entry = |name: &str| Entry {
            number: inode.number,
            kind: FileType::Directory,
            name: name.into(),
        };
        let mut entries = vec![entry("."), entry("..")];
        for below in std::fs::read_dir(inode.path())? {
            let below = below?;
            let kind = below.file_type().ok().and_then(FileType::from_std);
            let Some(kind) = kind else { continue };
            entries.push(Entry { number: below.ino(), kind, name: below.file_name() });
        }
        Ok(self.tables.open_directory(entries))
    }
}

/// Attributes of a file that somebody wants to be otherwise.
pub struct SetAttributes {
    pub mode: Option<u32>,
    pub owner: Option<u32>,
    pub group: Option<u32>,
    pub len: Option<u64>,
    pub accessed: Option<TimeOrNow>,
    pub modified: Option<TimeOrNow>,
    pub handle: Option<FileHandle>,
}

pub fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_i32(error.raw_os_error())
}

pub fn attributes(number: u64, metadata: &Metadata) -> FileAttr {
    let time = |seconds: i64, nanos: i64| {
        UNIX_EPOCH + Duration::new(seconds.max(0) as u64, nanos.clamp(0, 999_999_999) as u32)
    };
    let changed = time(metadata.ctime(), metadata.ctime_nsec());
    FileAttr {
        ino: INodeNo(number),
        size: metadata.len(),
        blocks: metadata.blocks(),
        atime: time(metadata.atime(), metadata.atime_nsec()),
        mtime: time(metadata.mtime(), metadata.mtime_nsec()),
        ctime: changed,
        crtime: changed,
        kind: FileType::from_std(metadata.file_type()).unwrap_or(FileType::RegularFile),
        perm: (metadata.mode() & 0o7777) as u16,
        nlink: metadata.nlink() as u32,
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: metadata.rdev() as u32,
        blksize: metadata.blksize() as u32,
        flags: 0,
    }
}

fn timespec(time: Option<TimeOrNow>) -> Timespec {
    match time {
        None => Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        Some(TimeOrNow::Now) => Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
        Some(TimeOrNow::SpecificTime(time)) => {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            Timespec { tv_sec: since.as_secs() as i64, tv_nsec: since.subsec_nanos().into() }
        }
    }
}
