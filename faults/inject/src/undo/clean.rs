//! Undoes what a killed harness left behind.

use super::{Header, Record, SCHEMA};
use crate::group;
use crate::process::{Process, State, boot, with_command_line};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a killed process may take to end.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Something that a harness left behind, or might still need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// A process of a harness that is gone.
    Process { node: String, process: Process, stopped: bool },
    /// A file or directory of a harness that is gone.
    Path(PathBuf),
    /// The harness with this pid still runs: its records are its own business.
    InUse { owner: Process },
    /// A file of records that can't be read, and why.
    Unreadable { file: PathBuf, error: String },
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Leftover::Process { node, process, stopped } => {
                let stopped = if *stopped { "stopped " } else { "" };
                write!(f, "{stopped}process {} ({node})", process.pid)
            }
            Leftover::Path(path) => write!(f, "{}", path.display()),
            Leftover::InUse { owner } => write!(f, "a run in progress (pid {})", owner.pid),
            Leftover::Unreadable { file, error } => {
                write!(f, "{} can't be read: {error}", file.display())
            }
        }
    }
}

/// What there is to clean, without doing it.
pub fn survey(directory: &Path) -> io::Result<Vec<Leftover>> {
    let mut leftovers = Vec::new();
    for file in files(directory)? {
        leftovers.extend(of_file(&file));
    }
    Ok(leftovers)
}

/// Undoes what dead harnesses left: continues and kills their processes, removes their files, and then the records.
/// Answers what was done, in words.
pub fn clean(directory: &Path) -> io::Result<Vec<String>> {
    let mut done = Vec::new();
    for file in files(directory)? {
        let mut leftovers = of_file(&file);
        // Directories may be what the processes are in: a control group goes when it is empty.
        leftovers.sort_by_key(|leftover| matches!(leftover, Leftover::Path(_)));
        let mut undone = true;
        for leftover in leftovers {
            let (ok, words) = undo(&leftover);
            undone &= ok;
            done.push(words);
        }
        if undone {
            fs::remove_file(&file)?;
        }
    }
    Ok(done)
}

fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Answers whether it is undone, and what to tell.
fn undo(leftover: &Leftover) -> (bool, String) {
    match leftover {
        Leftover::Process { node, process, .. } => {
            // Continued first: a stopped process dies of SIGKILL all the same, but not everywhere at once.
            let ended = process.resume().and_then(|()| process.kill());
            match ended {
                Ok(()) if process.wait_gone(END_WITHIN) => {
                    (true, format!("ended process {} ({node})", process.pid))
                }
                Ok(()) => (false, format!("process {} ({node}) does not end", process.pid)),
                Err(error) => (false, format!("process {} ({node}): {error}", process.pid)),
            }
        }
        Leftover::Path(path) => match remove(path) {
            Ok(()) => (true, format!("removed {}", path.display())),
            Err(error) => (false, format!("{}: {error}", path.display())),
        },
        Leftover::InUse { owner } => {
            (false, format!("left alone: a run in progress (pid {})", owner.pid))
        }
        Leftover::Unreadable { file, error } => {
            (false, format!("left alone: {} can't be read: {error}", file.display()))
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if path.join("cgroup.procs").exists() {
        // The files in it are the kernel's, and go with it.
        return group::remove(path);
    }
    // Links are removed, never followed.
    if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// What the records of one file still cover.
fn of_file(file: &Path) -> Vec<Leftover> {
    let unreadable = |error: String| vec![Leftover::Unreadable { file: file.to_path_buf(), error }];
    let text = match fs::read(file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return unreadable(error.to_string()),
    };
    if !text.contains('\n') {
        // Its owner died before the first line was whole: nothing can have been done yet.
        return Vec::new();
    }
    let mut lines = text.lines();
    let header: Header = match serde_json::from_str(lines.next().unwrap_or_default()) {
        Ok(header) => header,
        Err(error) => return unreadable(error.to_string()),
    };
    if header.schema != SCHEMA {
        return unreadable(format!("schema {}", header.schema));
    }
    let same_boot = header.boot == boot();
    if same_boot && header.owner.is_alive() {
        return vec![Leftover::InUse { owner: header.owner }];
    }
    // The last line may be torn; it belongs to a deed that was not done.
    let records: Vec<Record> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut open = BTreeMap::new();
    for record in &records {
        match record {
            Record::Starting { id, .. }
            | Record::Stopping { id, .. }
            | Record::Creating { id, .. } => {
                open.insert(*id, (record, None));
            }
            Record::Started { id, process } => {
                if let Some(entry) = open.get_mut(id) {
                    entry.1 = Some(process);
                }
            }
            Record::Undone { id } => {
                open.remove(id);
            }
        }
    }
    let mut leftovers: Vec<Leftover> = Vec::new();
    for (record, started) in open.into_values() {
        let found = match record {
            // After another boot the same pid and start time are somebody else's.
            Record::Starting { .. } | Record::Stopping { .. } if !same_boot => Vec::new(),
            Record::Starting { node, marker, .. } => processes(node, marker, started),
            Record::Stopping { process, .. } => alive("stopped by a fault", process),
            Record::Creating { path, .. } if path.symlink_metadata().is_ok() => {
                vec![Leftover::Path(path.clone())]
            }
            _ => Vec::new(),
        };
        for leftover in found {
            let known = |other: &Leftover| match (other, &leftover) {
                (Leftover::Process { process: a, .. }, Leftover::Process { process: b, .. }) => {
                    a == b
                }
                (a, b) => a == b,
            };
            if !leftovers.iter().any(known) {
                leftovers.push(leftover);
            }
        }
    }
    leftovers
}

fn processes(node: &str, marker: &str, started: Option<&Process>) -> Vec<Leftover> {
    match started {
        // The start time says that it is the same life; the command line, that it still is our program.
        Some(process) if process.command_line().contains(marker) => alive(node, process),
        Some(_) => Vec::new(),
        // Killed between the start and the record of it: the marker is all there is.
        None => {
            let found = with_command_line(marker);
            found.iter().flat_map(|process| alive(node, process)).collect()
        }
    }
}

fn alive(node: &str, process: &Process) -> Vec<Leftover> {
    let stopped = match process.state() {
        State::Alive(_) => false,
        State::Stopped { .. } => true,
        State::Zombie | State::Gone => return Vec::new(),
    };
    vec![Leftover::Process { node: node.to_string(), process: process.clone(), stopped }]
}
