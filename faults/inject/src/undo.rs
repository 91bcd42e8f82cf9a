//! What has to be undone, written down before it is done.
//!
//! One file for each harness process, `<pid>-<start>.jsonl` in a directory of the store; one JSON object a line,
//! synced before the deed. A harness that ends well removes its file; what a killed one leaves behind is undone by
//! [`clean`].
//!
//! Promises: nothing is signalled or removed that its record does not cover: a process must have the pid *and* the
//! start time of the record, or carry the record's marker in its command line; a path must not have existed when it
//! was recorded. The file of a harness that still runs is left alone.

mod clean;

use crate::process::{Process, boot};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use clean::{Leftover, clean, survey};

/// The version of the record format.
const SCHEMA: &str = "highwater/undo/1";
/// A marker must not match by accident.
const MARKER_LENGTH_MIN: usize = 8;

/// The first line of a file: whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    schema: String,
    owner: Process,
    /// Pids and start times count within one boot only.
    boot: String,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case")]
enum Record {
    /// A process is about to be started; its command line will hold `marker`.
    Starting { id: u64, node: String, marker: String },
    /// It was.
    Started { id: u64, process: Process },
    /// A process is about to be stopped.
    Stopping { id: u64, process: Process },
    /// A file or directory is about to be created.
    Creating { id: u64, path: PathBuf },
    /// This is undone, or ended by itself.
    Undone { id: u64 },
}

/// The undo records of this process; clones write to the same file.
#[derive(Clone, Debug)]
pub struct UndoLog {
    shared: Arc<Mutex<Shared>>,
    path: PathBuf,
}

#[derive(Debug)]
struct Shared {
    file: File,
    next_id: u64,
    /// Processes that a synced record covers.
    started: BTreeMap<u64, Process>,
}

impl UndoLog {
    /// Begins a file for this process in `directory`, which is created where it is missing.
    pub fn create(directory: &Path) -> io::Result<UndoLog> {
        std::fs::create_dir_all(directory)?;
        let owner = Process::own()?;
        // Start times may hold blanks and colons outside Linux; a file's name should not.
        let start: String = owner.start.chars().filter(char::is_ascii_alphanumeric).collect();
        // A process may open more than one log in its life, one after the other or side by side.
        let mut turn = 0;
        let (path, mut file) = loop {
            let suffix = if turn == 0 { String::new() } else { format!("-{turn}") };
            let path = directory.join(format!("{}-{start}{suffix}.jsonl", owner.pid));
            match OpenOptions::new().create_new(true).append(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && turn < 1000 => {
                    turn += 1;
                }
                Err(error) => return Err(error),
            }
        };
        let header = Header { schema: SCHEMA.to_string(), owner, boot: boot() };
        write_line(&mut file, &header)?;
        file.sync_all()?;
        File::open(directory)?.sync_all()?;
        let shared = Shared { file, next_id: 1, started: BTreeMap::new() };
        Ok(UndoLog { shared: Arc::new(Mutex::new(shared)), path })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Before a process is started: `marker` is a text of its command line that no other process has, such as
    /// `broker --config <absolute path>`; the path alone might be in somebody's editor too. Answers the record's id.
    pub fn starting(&self, node: &str, marker: &str) -> io::Result<u64> {
        if marker.len() < MARKER_LENGTH_MIN {
            let message = format!("`{marker}` is too short to tell a process by");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let (node, marker) = (node.to_string(), marker.to_string());
        self.record(true, |id| Record::Starting { id, node, marker })
    }

    /// After it was started.
    pub fn started(&self, id: u64, pid: u32) -> io::Result<()> {
        // A process that has ended already leaves nothing to undo.
        let Some(process) = Process::of(pid) else { return self.undone(id) };
        let mut shared = self.lock();
        write_line(&mut shared.file, &Record::Started { id, process: process.clone() })?;
        shared.file.sync_data()?;
        shared.started.insert(id, process);
        Ok(())
    }

    /// Before a process is stopped. Answers the record's id.
    pub fn stopping(&self, process: &Process) -> io::Result<u64> {
        // A process of ours has a synced record that says to continue and end it: another sync would only delay the
        // fault, on a disk that is busy.
        let covered = self.lock().started.values().any(|started| started == process);
        let process = process.clone();
        self.record(!covered, |id| Record::Stopping { id, process })
    }

    /// Before a file or directory outside the store is created. Answers the record's id.
    pub fn creating(&self, path: &Path) -> io::Result<u64> {
        let path = std::path::absolute(path)?;
        if path.symlink_metadata().is_ok() {
            let message = format!("{} exists: it is not ours to remove", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        self.record(true, |id| Record::Creating { id, path })
    }

    /// After something was undone, or ended by itself. Not synced: to undo twice does no harm.
    pub fn undone(&self, id: u64) -> io::Result<()> {
        let mut shared = self.lock();
        shared.started.remove(&id);
        write_line(&mut shared.file, &Record::Undone { id })
    }

    /// Everything is undone, or left behind on purpose: removes the file.
    pub fn finish(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    fn record(&self, sync: bool, record: impl FnOnce(u64) -> Record) -> io::Result<u64> {
        let mut shared = self.lock();
        let id = shared.next_id;
        shared.next_id += 1;
        write_line(&mut shared.file, &record(id))?;
        if sync {
            shared.file.sync_data()?;
        }
        Ok(id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        // A panic while a line was written leaves at worst a torn line, which readers allow for.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A whole line in one write, so that a killed process leaves lines or nothing.
fn write_line(file: &mut File, line: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    file.write_all(&bytes)
}

#[cfg(test)]
pub(crate) mod tests;
