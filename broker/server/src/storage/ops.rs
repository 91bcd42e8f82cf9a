//! One IO thread's files and how each operation is done. Promises: no operation panics, and an error names the operation, the
//! path and what to do about it.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use log::io::{DirEntry, FileId, IoError, IoErrorKind, IoOp, IoResult};
use node::step::Endpoint;
use rustc_hash::FxHashMap;

/// Most slices in one gathering write; every system takes this many.
const SLICES_MAX: usize = 1024;

struct OpenFile {
    file: File,
    path: String,
    /// Where the descriptor's own position stands, to save a seek before each append.
    position: u64,
    failed: bool,
}

/// The open files of one thread below a data directory. Dropped, it closes them.
pub struct Worker {
    root: PathBuf,
    files: FxHashMap<FileId, OpenFile>,
}

impl Worker {
    pub fn new(root: PathBuf) -> Worker {
        Worker { root, files: FxHashMap::default() }
    }

    /// Does one operation, now.
    pub fn perform(&mut self, op: IoOp) -> IoResult {
        match op {
            IoOp::Open { file, path, create } => self.open(file, path, create),
            IoOp::Close { file } => {
                self.files.remove(&file);
                IoResult::Done
            }
            IoOp::Append { file, at, parts } => self.on_file(file, "append to", |open| {
                open.gather(at, &parts)?;
                Ok(IoResult::Done)
            }),
            IoOp::WriteAt { file, at, data } => self.on_file(file, "write to", |open| {
                open.file.write_all_at(&data, at)?;
                Ok(IoResult::Done)
            }),
            IoOp::Read { file, at, len } => self.on_file(file, "read", |open| {
                Ok(IoResult::Data(read_at(&open.file, at, len as usize)?))
            }),
            IoOp::Sync { file } => self.on_file(file, "sync", |open| {
                open.file.sync_data()?;
                Ok(IoResult::Done)
            }),
            IoOp::Truncate { file, len } => self.on_file(file, "truncate", |open| {
                open.file.set_len(len)?;
                Ok(IoResult::Done)
            }),
            op => self.on_path(op),
        }
    }

    fn open(&mut self, id: FileId, path: String, create: bool) -> IoResult {
        let full = match self.full(&path) {
            Ok(full) => full,
            Err(error) => return IoResult::Failed(error),
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create);
        match options.open(&full).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((len, file)) => {
                self.files.insert(id, OpenFile { file, path, position: 0, failed: false });
                IoResult::Opened { len }
            }
            Err(error) => IoResult::Failed(told("open", &full, &error)),
        }
    }

    fn on_file(
        &mut self,
        id: FileId,
        what: &str,
        act: impl FnOnce(&mut OpenFile) -> io::Result<IoResult>,
    ) -> IoResult {
        let Some(open) = self.files.get_mut(&id) else {
            let message = format!("cannot {what} file {}: it was not opened", id.0);
            return IoResult::Failed(IoError { kind: IoErrorKind::Poisoned, message });
        };
        if open.failed {
            let message = format!("cannot {what} {}: an operation before it failed", open.path);
            return IoResult::Failed(IoError { kind: IoErrorKind::Poisoned, message });
        }
        match act(open) {
            Ok(result) => result,
            Err(error) => {
                open.failed = true;
                IoResult::Failed(told(what, &self.root.join(&open.path), &error))
            }
        }
    }

    fn on_path(&self, op: IoOp) -> IoResult {
        let (what, path) = match &op {
            IoOp::List { dir } => ("list", dir),
            IoOp::CreateDir { path } => ("make the directory", path),
            IoOp::DeleteDir { path } => ("delete the directory", path),
            IoOp::SyncDir { path } => ("sync the directory", path),
            IoOp::Rename { from, .. } => ("rename", from),
            IoOp::Delete { path } => ("delete", path),
            IoOp::ReadFile { path } => ("read", path),
            IoOp::Replace { path, .. } => ("replace", path),
            _ => unreachable!("operations on open files are handled before"),
        };
        let full = match self.full(path) {
            Ok(full) => full,
            Err(error) => return IoResult::Failed(error),
        };
        let done = match &op {
            IoOp::List { .. } => list(&full).map(IoResult::Listed),
            IoOp::CreateDir { .. } => create_dir(&full),
            IoOp::DeleteDir { .. } => absent_is_fine(std::fs::remove_dir_all(&full)),
            IoOp::SyncDir { .. } => sync_dir(&full),
            IoOp::Delete { .. } => absent_is_fine(std::fs::remove_file(&full)),
            IoOp::ReadFile { .. } => std::fs::read(&full).map(|data| IoResult::Data(data.into())),
            IoOp::Replace { data, .. } => replace(&full, data),
            IoOp::Rename { to, .. } => match self.full(to) {
                Ok(to) => std::fs::rename(&full, to).map(|()| IoResult::Done),
                Err(error) => return IoResult::Failed(error),
            },
            _ => unreachable!("operations on open files are handled before"),
        };
        done.unwrap_or_else(|error| IoResult::Failed(told(what, &full, &error)))
    }

    /// The path inside the data directory. One that leads out of it is refused: the core builds paths from topic names.
    fn full(&self, path: &str) -> Result<PathBuf, IoError> {
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            let message = format!("the path {path} leads out of the data directory");
            return Err(IoError { kind: IoErrorKind::Other, message });
        }
        Ok(if path.is_empty() || path == "." { self.root.clone() } else { self.root.join(path) })
    }
}

impl OpenFile {
    fn gather(&mut self, at: u64, parts: &[Bytes]) -> io::Result<()> {
        if self.position != at {
            // Unknown until the seek has worked.
            self.position = u64::MAX;
            self.file.seek(SeekFrom::Start(at))?;
            self.position = at;
        }
        for chunk in parts.chunks(SLICES_MAX) {
            let mut slices: Vec<IoSlice<'_>> =
                chunk.iter().map(|part| IoSlice::new(part)).collect();
            let mut rest = &mut slices[..];
            IoSlice::advance_slices(&mut rest, 0);
            while !rest.is_empty() {
                match self.file.write_vectored(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        self.position += written as u64;
                        IoSlice::advance_slices(&mut rest, written);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

fn read_at(file: &File, at: u64, len: usize) -> io::Result<Bytes> {
    let mut data = Vec::with_capacity(len);
    while data.len() < len {
        let position = at + data.len() as u64;
        let room = len - data.len();
        // Vec may have given more room than was asked for.
        let spare = rustix::buffer::spare_capacity(&mut data);
        let read = match rustix::io::pread(file, spare, position) {
            Ok(read) => read,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if read == 0 {
            break;
        }
        if read > room {
            data.truncate(len);
        }
    }
    Ok(data.into())
}

fn list(dir: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // A file may vanish between the listing and the look at it.
        let Ok(metadata) = entry.metadata() else { continue };
        let Ok(name) = entry.file_name().into_string() else { continue };
        entries.push(DirEntry { name, is_dir: metadata.is_dir(), len: metadata.len() });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn create_dir(path: &Path) -> io::Result<IoResult> {
    std::fs::create_dir_all(path)?;
    match path.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(IoResult::Done),
    }
}

fn sync_dir(path: &Path) -> io::Result<IoResult> {
    File::open(path)?.sync_all()?;
    Ok(IoResult::Done)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<IoResult> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(IoResult::Done),
    }
}

fn replace(path: &Path, data: &[u8]) -> io::Result<IoResult> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary)?;
    file.write_all(data)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(IoResult::Done),
    }
}

fn told(what: &str, path: &Path, error: &io::Error) -> IoError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => IoErrorKind::NotFound,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            IoErrorKind::NoSpace
        }
        _ => IoErrorKind::Other,
    };
    let next = match (kind, error.kind()) {
        (IoErrorKind::NoSpace, _) => "; free space on that disk, then start this node again",
        (_, io::ErrorKind::PermissionDenied) => "; check the owner and the rights of that path",
        (IoErrorKind::Other, _) if error.raw_os_error() == Some(24) => {
            "; raise the limit of open files (ulimit -n)"
        }
        _ => "",
    };
    IoError { kind, message: format!("cannot {what} {}: {error}{next}", path.display()) }
}

/// The addresses of a host by the system's resolver, which may take its time.
pub(crate) fn resolve(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    (endpoint.host.as_str(), endpoint.port).to_socket_addrs().map(Iterator::collect)
}

#[cfg(test)]
mod tests;
