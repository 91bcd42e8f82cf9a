//! The storage seam: what the core asks of a disk, and what comes back.
//!
//! Promises: the core never touches a file; it submits an [`IoOp`] under a [`Token`] and goes on, and the owner of
//! the core later answers that token exactly once with an [`IoResult`]. Ops on one [`FileId`] complete in the order
//! in which they were submitted, and after one of them failed, the ones that follow fail too. Ops on different
//! files, and ops on paths, have no order among themselves: whoever needs one waits for the completion.
//!
//! Not promised: durability. `Append`, `WriteAt` and `Truncate` reach the page cache; only `Sync` (for a file's
//! bytes), `SyncDir` (for names) and `Replace` (for both) survive a power cut.
//!
//! All paths are relative to the node's log directory, with `/` between the parts.

use bytes::Bytes;
use smallvec::SmallVec;

/// Names one submitted operation. Unique in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Names one open file. Chosen by the core, unique in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// The pieces of one contiguous write: a patched batch header and the untouched rest need not be copied together.
pub type Parts = SmallVec<[Bytes; 4]>;

#[derive(Clone, Debug)]
pub enum IoOp {
    /// The entries of a directory; answers [`IoResult::Listed`], sorted by name.
    List {
        dir: String,
    },
    /// Creates the directory and its parents; not an error where it exists. Its name is durable on completion.
    CreateDir {
        path: String,
    },
    /// Deletes the directory with all that is in it; not an error where it does not exist.
    DeleteDir {
        path: String,
    },
    /// Opens for reading and writing; answers [`IoResult::Opened`]. With `create`, a missing file is made.
    Open {
        file: FileId,
        path: String,
        create: bool,
    },
    /// Ends the use of a file; ops on it that came before are finished first.
    Close {
        file: FileId,
    },
    /// Writes the parts one after the other at `at`, which is the file's length as the core knows it.
    Append {
        file: FileId,
        at: u64,
        parts: Parts,
    },
    /// Overwrites bytes inside the file, or extends it.
    WriteAt {
        file: FileId,
        at: u64,
        data: Bytes,
    },
    /// Reads up to `len` bytes; answers [`IoResult::Data`], shorter only at the end of the file.
    Read {
        file: FileId,
        at: u64,
        len: u32,
    },
    /// Makes the file's bytes and length durable.
    Sync {
        file: FileId,
    },
    /// Cuts (or extends with zeros) the file to `len` bytes.
    Truncate {
        file: FileId,
        len: u64,
    },
    /// Makes a directory's names durable.
    SyncDir {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    /// Deletes one file; not an error where it does not exist.
    Delete {
        path: String,
    },
    /// The whole of a small file; answers [`IoResult::Data`], or `NotFound`.
    ReadFile {
        path: String,
    },
    /// Atomically replaces (or makes) a small file: a temporary file, its sync, the rename, the directory's sync.
    /// A crash at any point leaves the old content or the new one, perhaps with a stray `.tmp` beside it.
    Replace {
        path: String,
        data: Bytes,
    },
}

impl IoOp {
    /// The file that it is on: it comes after the operations on the same one that were submitted before.
    pub fn file(&self) -> Option<FileId> {
        match self {
            IoOp::Open { file, .. }
            | IoOp::Close { file }
            | IoOp::Append { file, .. }
            | IoOp::WriteAt { file, .. }
            | IoOp::Read { file, .. }
            | IoOp::Sync { file }
            | IoOp::Truncate { file, .. } => Some(*file),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub enum IoResult {
    Done,
    Opened { len: u64 },
    Listed(Vec<DirEntry>),
    Data(Bytes),
    Failed(IoError),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
    pub len: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IoError {
    pub kind: IoErrorKind,
    /// What failed and on which path, for a person.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoErrorKind {
    NotFound,
    NoSpace,
    /// The op before it on this file failed.
    Poisoned,
    Other,
}

/// Where logs and the node submit their operations; the node drains it at the end of a step.
#[derive(Debug, Default)]
pub struct IoQueue {
    next_token: u64,
    next_file: u64,
    submitted: Vec<(Token, IoOp)>,
}

impl IoQueue {
    pub fn submit(&mut self, op: IoOp) -> Token {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.submitted.push((token, op));
        token
    }

    /// The token of the last operation submitted in this queue's life; `Token(0)` before the first.
    pub fn last_token(&self) -> Token {
        Token(self.next_token)
    }

    pub fn new_file(&mut self) -> FileId {
        self.next_file += 1;
        FileId(self.next_file)
    }

    /// What was submitted since the last drain, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, (Token, IoOp)> {
        self.submitted.drain(..)
    }

    pub fn is_empty(&self) -> bool {
        self.submitted.is_empty()
    }
}
