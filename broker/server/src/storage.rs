//! The threads that do the disk's work.
//!
//! Promises: operations on one file are done by one thread in the order in which they were submitted, and after one failed, those
//! that follow fail as poisoned until the file is closed; the metadata log has a thread of its own, so that a vote never
//! waits behind a partition's sync; each token is answered once. Not promised: any order among different files or paths.
//! Public is only how one operation is done, so that a simulated disk can be held against it.

mod ops;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use mio::Waker;
use node::step::{ConnId, Endpoint, IoOp, IoResult, Token};
use rustc_hash::FxHashMap;

pub use ops::Worker;

/// What comes back to the owner.
pub(crate) enum Completion {
    Io { token: Token, result: IoResult },
    Resolved { conn: ConnId, addresses: std::io::Result<Vec<std::net::SocketAddr>> },
}

/// What one thread is asked to do.
enum Job {
    Io(Token, IoOp),
    Resolve(ConnId, Endpoint),
}

/// Of the threads: the metadata log's, the one for paths, then those for partitions' files.
const METADATA_THREAD: usize = 0;
const PATH_THREAD: usize = 1;
const FIRST_FILE_THREAD: usize = 2;

const METADATA_DIRECTORY: &str = "__cluster_metadata-0";

pub(crate) struct Storage {
    threads: Vec<Sender<Vec<Job>>>,
    /// Collected since the last dispatch: one message a thread and turn.
    waiting: Vec<Vec<Job>>,
    completions: Receiver<Vec<Completion>>,
    woken: Arc<AtomicBool>,
    thread_of_file: FxHashMap<u64, usize>,
}

impl Storage {
    pub fn start(root: &Path, file_threads: usize, waker: Arc<Waker>) -> std::io::Result<Storage> {
        let (completed, completions) = channel();
        let woken = Arc::new(AtomicBool::new(false));
        let count = FIRST_FILE_THREAD + file_threads.max(1);
        let mut threads = Vec::with_capacity(count);
        for index in 0..count {
            let (submit, jobs) = channel();
            let done =
                Done { completed: completed.clone(), waker: waker.clone(), woken: woken.clone() };
            let root = root.to_owned();
            std::thread::Builder::new()
                .name(format!("io-{index}"))
                .stack_size(256 * 1024)
                .spawn(move || serve(root, &jobs, &done))?;
            threads.push(submit);
        }
        let waiting = threads.iter().map(|_| Vec::new()).collect();
        Ok(Storage { threads, waiting, completions, woken, thread_of_file: FxHashMap::default() })
    }

    /// Takes an operation; it starts at the next [`Storage::dispatch`].
    pub fn submit(&mut self, token: Token, op: IoOp) {
        let thread = self.thread_for(&op);
        self.waiting[thread].push(Job::Io(token, op));
    }

    pub fn resolve(&mut self, conn: ConnId, endpoint: Endpoint) {
        self.waiting[PATH_THREAD].push(Job::Resolve(conn, endpoint));
    }

    /// Hands over what was submitted.
    pub fn dispatch(&mut self) {
        for (thread, jobs) in self.threads.iter().zip(&mut self.waiting) {
            if !jobs.is_empty() {
                thread.send(std::mem::take(jobs)).expect("an IO thread ends only after its sender");
            }
        }
    }

    /// What was done since the last call.
    pub fn completed(&mut self, into: &mut Vec<Completion>) {
        // Cleared first: a completion that comes after is announced by a new wake.
        self.woken.store(false, Ordering::SeqCst);
        while let Ok(completions) = self.completions.try_recv() {
            into.extend(completions);
        }
    }

    fn thread_for(&mut self, op: &IoOp) -> usize {
        let of_path = |path: &str| {
            if path.starts_with(METADATA_DIRECTORY) { METADATA_THREAD } else { PATH_THREAD }
        };
        match op {
            IoOp::Open { file, path, .. } => {
                let thread = if path.starts_with(METADATA_DIRECTORY) {
                    METADATA_THREAD
                } else {
                    let files = self.threads.len() - FIRST_FILE_THREAD;
                    // All files of a partition on one thread: its log and its indexes are synced together.
                    let directory = path.rsplit_once('/').map_or(path.as_str(), |(dir, _)| dir);
                    FIRST_FILE_THREAD + spread(directory) % files
                };
                self.thread_of_file.insert(file.0, thread);
                thread
            }
            IoOp::Close { file } => self.thread_of_file.remove(&file.0).unwrap_or(PATH_THREAD),
            IoOp::Append { file, .. }
            | IoOp::WriteAt { file, .. }
            | IoOp::Read { file, .. }
            | IoOp::Sync { file }
            | IoOp::Truncate { file, .. } => {
                self.thread_of_file.get(&file.0).copied().unwrap_or(PATH_THREAD)
            }
            IoOp::List { dir: path }
            | IoOp::CreateDir { path }
            | IoOp::DeleteDir { path }
            | IoOp::SyncDir { path }
            | IoOp::Rename { from: path, .. }
            | IoOp::Delete { path }
            | IoOp::ReadFile { path }
            | IoOp::Replace { path, .. } => of_path(path),
        }
    }
}

fn spread(text: &str) -> usize {
    use std::hash::Hasher;
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(text.as_bytes());
    (hasher.finish() >> 32) as usize
}

/// The way back to the owner.
struct Done {
    completed: Sender<Vec<Completion>>,
    waker: Arc<Waker>,
    woken: Arc<AtomicBool>,
}

impl Done {
    /// Gives completions to the owner and wakes it, unless it was woken and has not looked yet. `false`: it is gone.
    fn send(&self, completions: Vec<Completion>) -> bool {
        if self.completed.send(completions).is_err() {
            return false;
        }
        if !self.woken.swap(true, Ordering::SeqCst) {
            // An owner that can't be woken looks at its next deadline.
            let _ = self.waker.wake();
        }
        true
    }
}

fn serve(root: PathBuf, jobs: &Receiver<Vec<Job>>, done: &Done) {
    let mut worker = Worker::new(root);
    while let Ok(batch) = jobs.recv() {
        let mut completions = Vec::with_capacity(batch.len());
        for job in batch {
            let slow = matches!(job, Job::Io(_, IoOp::Sync { .. }) | Job::Resolve(..));
            if slow && !completions.is_empty() && !done.send(std::mem::take(&mut completions)) {
                return;
            }
            completions.push(match job {
                Job::Io(token, op) => Completion::Io { token, result: worker.perform(op) },
                Job::Resolve(conn, endpoint) => {
                    Completion::Resolved { conn, addresses: ops::resolve(&endpoint) }
                }
            });
        }
        if !done.send(completions) {
            return;
        }
    }
}
