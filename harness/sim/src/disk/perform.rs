//! How each operation is done, and how it fails.
//!
//! Promises: what the real storage (`server::storage`) answers, by kind of result and of error; messages are worded alike
//! but name the path inside the log directory. Not here: when (`queue`), and what a crash makes of it (`partly`, `file`).

use super::file::File;
use super::names::{Entry, Trouble};
use super::{Disk, OpenFile};
use crate::scenario::FailingOp;
use bytes::Bytes;
use log::io::{DirEntry, FileId, IoError, IoErrorKind, IoOp, IoResult};
use std::sync::Arc;

/// The most that a file offset can be.
const OFFSET_MAX: u64 = i64::MAX as u64;
/// The longest file of ext4 with its usual blocks; longer ones are answered as if there were no space, as the real are.
const FILE_BYTES_MAX: u64 = (1 << 44) - 4096;
const INPUT_OUTPUT: Trouble = Trouble::Other("input/output error");
const INVALID: Trouble = Trouble::Other("invalid argument");

impl Disk {
    pub(super) fn perform(&mut self, op: IoOp) -> IoResult {
        match op {
            IoOp::Open { file, path, create } => self.open(file, path, create),
            IoOp::Close { file } => {
                self.open.remove(&file);
                IoResult::Done
            }
            op => match op.file() {
                Some(file) => self.on_file(file, op),
                None => self.on_path(&op),
            },
        }
    }

    fn open(&mut self, id: FileId, path: String, create: bool) -> IoResult {
        match self.open_inode(&path, create) {
            Ok(inode) => {
                let len = self.state.files[&inode].len();
                self.open.insert(id, OpenFile { inode, path, failed: false });
                IoResult::Opened { len }
            }
            Err(trouble) => failed("open", &path, trouble),
        }
    }

    fn open_inode(&mut self, path: &str, create: bool) -> Result<u64, Trouble> {
        inside(path)?;
        match self.state.names.file(path) {
            Err(Trouble::NotFound) if create => self.make_file(path),
            found => found,
        }
    }

    fn make_file(&mut self, path: &str) -> Result<u64, Trouble> {
        let spot = self.state.names.spot(path)?;
        self.room()?;
        let inode = self.state.names.make_file(spot);
        self.state.files.insert(inode, Arc::default());
        Ok(inode)
    }

    fn room(&mut self) -> Result<(), Trouble> {
        if self.full {
            self.stats.no_space += 1;
            return Err(Trouble::NoSpace);
        }
        Ok(())
    }

    fn on_file(&mut self, id: FileId, op: IoOp) -> IoResult {
        let what = match &op {
            IoOp::Append { .. } => "append to",
            IoOp::WriteAt { .. } => "write to",
            IoOp::Read { .. } => "read",
            IoOp::Sync { .. } => "sync",
            _ => "truncate",
        };
        let inode = match self.open.get(&id) {
            None => {
                let message = format!("cannot {what} file {}: it was not opened", id.0);
                return IoResult::Failed(IoError { kind: IoErrorKind::Poisoned, message });
            }
            Some(open) if open.failed => {
                let message = format!("cannot {what} {}: an operation before it failed", open.path);
                return IoResult::Failed(IoError { kind: IoErrorKind::Poisoned, message });
            }
            Some(open) => open.inode,
        };
        self.on_inode(inode, op).unwrap_or_else(|trouble| {
            let open = self.open.get_mut(&id).expect("looked at above");
            open.failed = true;
            failed(what, &open.path, trouble)
        })
    }

    fn on_inode(&mut self, inode: u64, op: IoOp) -> Result<IoResult, Trouble> {
        match op {
            // An append seeks first, even if it has nothing to write.
            IoOp::Append { at, .. } if at > OFFSET_MAX => return Err(INVALID),
            IoOp::Append { at, parts, .. } => self.write(inode, at, &parts)?,
            IoOp::WriteAt { at, data, .. } => self.write(inode, at, &[data])?,
            IoOp::Read { at, len, .. } => {
                if at > OFFSET_MAX && len > 0 {
                    return Err(INVALID);
                }
                self.fails(FailingOp::Read)?;
                return Ok(IoResult::Data(self.file(inode).cached().read(at, u64::from(len))));
            }
            IoOp::Sync { .. } => {
                if let Err(trouble) = self.fails(FailingOp::Sync) {
                    self.file_mut(inode).drop_dirty();
                    return Err(trouble);
                }
                self.stats.syncs += 1;
                self.file_mut(inode).sync();
            }
            IoOp::Truncate { len, .. } => {
                if len > OFFSET_MAX {
                    return Err(INVALID);
                }
                if len > FILE_BYTES_MAX {
                    return Err(Trouble::NoSpace);
                }
                self.fails(FailingOp::Write)?;
                if len > self.file(inode).len() {
                    self.room()?;
                }
                self.file_mut(inode).set_len(len);
            }
            other => unreachable!("not an operation on an open file: {other:?}"),
        }
        Ok(IoResult::Done)
    }

    fn write(&mut self, inode: u64, at: u64, parts: &[Bytes]) -> Result<(), Trouble> {
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if len == 0 {
            return Ok(());
        }
        if at > OFFSET_MAX {
            return Err(INVALID);
        }
        if at + len > FILE_BYTES_MAX {
            return Err(Trouble::NoSpace);
        }
        let mut trouble = self.fails(FailingOp::Write);
        if trouble.is_ok() && at + len > self.file(inode).len() {
            trouble = self.room();
        }
        // A write that fails may have come part of the way.
        let count = if trouble.is_ok() { len } else { self.fate.prefix(len) };
        self.write_prefix(inode, at, parts, count);
        trouble
    }

    /// Writes the first `count` bytes of the parts.
    pub(super) fn write_prefix(&mut self, inode: u64, at: u64, parts: &[Bytes], count: u64) {
        let mut left = count as usize;
        let prefixes = parts.iter().map(|part| {
            let prefix = &part[..part.len().min(left)];
            left -= prefix.len();
            prefix
        });
        self.file_mut(inode).write(at, prefixes);
        self.stats.bytes_written += count;
    }

    fn file(&self, inode: u64) -> &File {
        &self.state.files[&inode]
    }

    pub(super) fn file_mut(&mut self, inode: u64) -> &mut File {
        Arc::make_mut(self.state.files.get_mut(&inode).expect("a file is kept while in use"))
    }

    /// Whether the next operation of the kind is to fail; if so, once.
    fn fails(&mut self, kind: FailingOp) -> Result<(), Trouble> {
        let armed = &mut self.failing[kind as usize];
        if *armed == 0 {
            return Ok(());
        }
        *armed -= 1;
        match kind {
            FailingOp::Write => self.stats.writes_failed += 1,
            FailingOp::Read => self.stats.reads_failed += 1,
            FailingOp::Sync => self.stats.syncs_failed += 1,
        }
        Err(INPUT_OUTPUT)
    }

    fn on_path(&mut self, op: &IoOp) -> IoResult {
        let (what, path) = match op {
            IoOp::List { dir } => ("list", dir),
            IoOp::CreateDir { path } => ("make the directory", path),
            IoOp::DeleteDir { path } => ("delete the directory", path),
            IoOp::SyncDir { path } => ("sync the directory", path),
            IoOp::Rename { from, .. } => ("rename", from),
            IoOp::Delete { path } => ("delete", path),
            IoOp::ReadFile { path } => ("read", path),
            IoOp::Replace { path, .. } => ("replace", path),
            other => unreachable!("not an operation on a path: {other:?}"),
        };
        let result = inside(path).and_then(|()| match op {
            IoOp::List { dir } => self.list(dir),
            IoOp::CreateDir { path } => self.create_dir(path),
            IoOp::DeleteDir { path } => {
                absent_is_fine(self.state.names.delete_directory(path, &mut || true))
            }
            IoOp::SyncDir { path } => self.sync_dir(path),
            IoOp::Rename { from, to } => {
                inside(to)?;
                self.state.names.rename(from, to).map(|()| IoResult::Done)
            }
            IoOp::Delete { path } => absent_is_fine(self.state.names.delete_file(path)),
            IoOp::ReadFile { path } => {
                let inode = self.state.names.file(path)?;
                self.fails(FailingOp::Read)?;
                Ok(IoResult::Data(self.file(inode).cached().read(0, u64::MAX)))
            }
            IoOp::Replace { path, data } => self.replace(path, data),
            other => unreachable!("not an operation on a path: {other:?}"),
        });
        self.sweep_sometimes();
        result.unwrap_or_else(|trouble| failed(what, path, trouble))
    }

    fn list(&self, path: &str) -> Result<IoResult, Trouble> {
        let names = &self.state.names;
        let entries = names.live(names.directory(path)?).iter().map(|(name, entry)| {
            let (is_dir, len) = match entry {
                Entry::File(inode) => (false, self.file(*inode).len()),
                Entry::Directory(_) => (true, 0),
            };
            DirEntry { name: name.to_string(), is_dir, len }
        });
        Ok(IoResult::Listed(entries.collect()))
    }

    /// Of the names that are made, the last alone is durable: only its parent is synced.
    fn create_dir(&mut self, path: &str) -> Result<IoResult, Trouble> {
        match self.state.names.directory(path) {
            Err(Trouble::NotFound) => {
                self.room()?;
                self.state.names.make_directories(path)?;
            }
            found => drop(found?),
        }
        if let Ok(spot) = self.state.names.spot(path) {
            self.state.names.sync_name(&spot);
        }
        Ok(IoResult::Done)
    }

    fn sync_dir(&mut self, path: &str) -> Result<IoResult, Trouble> {
        match self.state.names.entry(path)? {
            Entry::Directory(inode) => self.state.names.sync(inode),
            // Anything that opens can be synced.
            Entry::File(inode) => self.file_mut(inode).sync(),
        }
        Ok(IoResult::Done)
    }

    fn replace(&mut self, path: &str, data: &Bytes) -> Result<IoResult, Trouble> {
        let spot = self.state.names.spot(path)?;
        let temporary = format!("{path}.tmp");
        let inode = self.make_temporary(&temporary)?;
        self.write(inode, 0, std::slice::from_ref(data))?;
        self.file_mut(inode).sync();
        self.state.names.rename(&temporary, path)?;
        self.state.names.sync_name(&spot);
        Ok(IoResult::Done)
    }

    /// An empty file to be renamed later; one that was left behind is taken again.
    pub(super) fn make_temporary(&mut self, path: &str) -> Result<u64, Trouble> {
        match self.state.names.file(path) {
            Ok(inode) => {
                self.file_mut(inode).set_len(0);
                Ok(inode)
            }
            Err(Trouble::NotFound) => self.make_file(path),
            Err(trouble) => Err(trouble),
        }
    }
}

/// Refuses a path that leads out of the log directory.
pub(super) fn inside(path: &str) -> Result<(), Trouble> {
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(Trouble::Other("the path leads out of the data directory"));
    }
    Ok(())
}

fn absent_is_fine(result: Result<(), Trouble>) -> Result<IoResult, Trouble> {
    match result {
        Ok(()) | Err(Trouble::NotFound) => Ok(IoResult::Done),
        Err(trouble) => Err(trouble),
    }
}

fn failed(what: &str, path: &str, trouble: Trouble) -> IoResult {
    let (kind, why) = match trouble {
        Trouble::NotFound => (IoErrorKind::NotFound, "no such file or directory"),
        Trouble::NoSpace => (IoErrorKind::NoSpace, "no space left on device"),
        Trouble::Other(why) => (IoErrorKind::Other, why),
    };
    IoResult::Failed(IoError { kind, message: format!("cannot {what} {path}: {why}") })
}
