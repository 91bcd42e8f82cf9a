//! Every replica's log as its node wrote it: one line for each batch, kept by listening to the node's storage operations.
//!
//! Promises: an entry stands here when the append that wrote it completed, and goes when a truncation or deletion did;
//! of a batch only its header is looked at. When a process dies, what was under way may or may not have happened; the
//! log's files are read once it is open again. Not here: which of it is committed.

mod copy;

pub use copy::Copy;

use super::Files;
use super::state::{LogId, METADATA};
use bytes::Bytes;
use log::io::{FileId, IoOp, IoResult, Token};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use wire::batch::{BatchHeader, BatchView, HEADER_BYTES};

/// The directory of the metadata log.
const METADATA_DIR: &str = "__cluster_metadata-0";

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub base_offset: i64,
    pub next_offset: i64,
    pub leader_epoch: i32,
    pub crc: u32,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    /// Control batches have no sequence to be repeated.
    pub is_control: bool,
    /// Base offset of the segment, and where in its file.
    pub segment: i64,
    pub position: u64,
    pub bytes: u32,
    /// The whole batch; of the metadata log only.
    pub content: Option<Bytes>,
}

impl Entry {
    fn of(header: &BatchHeader, segment: i64, position: u64) -> Entry {
        Entry {
            base_offset: header.base_offset,
            next_offset: header.next_offset(),
            leader_epoch: header.partition_leader_epoch,
            crc: header.crc,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            is_control: header.is_control(),
            segment,
            position,
            bytes: u32::try_from(header.size_bytes()).unwrap_or(u32::MAX),
            content: None,
        }
    }

    /// The same records in the same place of the log. Neither base offset nor epoch is covered by the CRC.
    pub fn is_same(&self, other: &Entry) -> bool {
        (self.base_offset, self.next_offset, self.leader_epoch, self.crc)
            == (other.base_offset, other.next_offset, other.leader_epoch, other.crc)
    }
}

enum Pending {
    Create {
        dir: usize,
        segment: i64,
    },
    Append(usize, Vec<Entry>),
    Truncate {
        dir: usize,
        segment: i64,
        len: u64,
    },
    DropSegment {
        dir: usize,
        segment: i64,
    },
    DropAll {
        dir: usize,
    },
    /// A metadata snapshot that ends there.
    Snapshot {
        end_offset: i64,
    },
    /// So many batches had been cut off by then.
    SyncFile {
        dir: usize,
        segment: i64,
        truncated_count: u64,
    },
    /// So many batches had been dropped by then.
    SyncNames {
        dir: usize,
        dropped_count: usize,
    },
}

/// Something was cut off, to be told to who keeps count of copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub id: LogId,
    pub end_offset: i64,
}

/// See the module's documentation.
#[derive(Default)]
pub struct Ledger {
    /// Directory names, each once; the index stands for the name.
    dirs: Vec<String>,
    dir_numbers: FxHashMap<String, usize>,
    ids: Vec<Option<LogId>>,
    files: FxHashMap<(u16, FileId), (usize, i64)>,
    pending: FxHashMap<(u16, Token), Pending>,
    copies: BTreeMap<(u16, usize), Copy>,
    /// By node: where its last metadata snapshot ends. What is below is in it, and need not be in the log.
    snapshots: FxHashMap<u16, i64>,
    numbers: FxHashMap<LogId, usize>,
}

impl Ledger {
    fn dir_number(&mut self, dir: &str) -> usize {
        if let Some(number) = self.dir_numbers.get(dir) {
            return *number;
        }
        let number = self.dirs.len();
        self.dirs.push(dir.to_owned());
        self.ids.push(None);
        self.dir_numbers.insert(dir.to_owned(), number);
        if dir == METADATA_DIR {
            self.name(METADATA, dir);
        }
        number
    }

    /// Whose log is in this directory.
    pub fn name(&mut self, id: LogId, dir: &str) {
        if self.numbers.contains_key(&id) {
            return;
        }
        let number = self.dir_number(dir);
        if let Some(slot) = self.ids.get_mut(number) {
            *slot = Some(id);
        }
        self.numbers.insert(id, number);
    }

    pub fn dir(&self, id: LogId) -> &str {
        let number = self.numbers.get(&id).copied().unwrap_or(usize::MAX);
        self.dirs.get(number).map_or("?", String::as_str)
    }

    /// Whose log is in the directory of this name.
    pub fn id_of(&self, dir: &str) -> Option<LogId> {
        self.ids.get(*self.dir_numbers.get(dir)?).copied().flatten()
    }

    pub fn copy(&self, node: u16, id: LogId) -> Option<&Copy> {
        self.copies.get(&(node, *self.numbers.get(&id)?))
    }

    #[cfg(test)]
    pub fn put(&mut self, node: u16, id: LogId, copy: Copy) {
        if id == METADATA {
            self.name(id, METADATA_DIR);
        }
        let number = self.numbers.get(&id).copied().expect("the log has a directory");
        self.copies.insert((node, number), copy);
    }

    /// The node asks for an operation.
    pub fn submitted(&mut self, node: u16, token: Token, op: &IoOp) {
        let pending = match op {
            IoOp::Append { file, at, parts } => {
                let Some(&(dir, segment)) = self.files.get(&(node, *file)) else { return };
                let keep = self.ids.get(dir) == Some(&Some(METADATA));
                Pending::Append(dir, entries_of(parts, segment, *at, keep))
            }
            IoOp::Open { file, path, create } => {
                let Some((dir, segment)) = segment_of(path) else { return };
                let dir = self.dir_number(dir);
                self.files.insert((node, *file), (dir, segment));
                if !create {
                    return;
                }
                Pending::Create { dir, segment }
            }
            IoOp::Close { file } => {
                // What is under way on it knows its segment already.
                self.files.remove(&(node, *file));
                return;
            }
            IoOp::Truncate { file, len } => {
                let Some(&(dir, segment)) = self.files.get(&(node, *file)) else { return };
                Pending::Truncate { dir, segment, len: *len }
            }
            IoOp::Sync { file } => {
                let Some(&(dir, segment)) = self.files.get(&(node, *file)) else { return };
                let copy = self.copies.get(&(node, dir)).filter(|copy| !copy.truncated.is_empty());
                let Some(copy) = copy else { return };
                Pending::SyncFile { dir, segment, truncated_count: copy.truncated_count }
            }
            IoOp::Replace { path, .. } => {
                let Some(end_offset) = snapshot_of(path) else { return };
                Pending::Snapshot { end_offset }
            }
            IoOp::Rename { from, .. } | IoOp::Delete { path: from } => match segment_of(from) {
                Some((dir, segment)) => Pending::DropSegment { dir: self.dir_number(dir), segment },
                None => match self.dir_numbers.get(from.as_str()) {
                    Some(dir) => Pending::DropAll { dir: *dir },
                    None => return,
                },
            },
            IoOp::SyncDir { path } => match self.dir_numbers.get(path.as_str()) {
                Some(dir) => {
                    let copy = self.copies.get(&(node, *dir));
                    let dropped_count = copy.map_or(0, Copy::dropped_count);
                    Pending::SyncNames { dir: *dir, dropped_count }
                }
                None => return,
            },
            IoOp::DeleteDir { path } => match self.dir_numbers.get(path.as_str()) {
                Some(dir) => Pending::DropAll { dir: *dir },
                None => return,
            },
            _ => return,
        };
        self.pending.insert((node, token), pending);
    }

    /// An operation is complete. Answers what was cut off at the end of a log.
    pub fn completed(&mut self, node: u16, token: Token, result: &IoResult) -> Option<Cut> {
        let pending = self.pending.remove(&(node, token))?;
        let failed = matches!(result, IoResult::Failed(_));
        let dir = match &pending {
            Pending::Create { .. } => return None,
            Pending::Snapshot { end_offset } => {
                if !failed {
                    self.snapshots.insert(node, *end_offset);
                }
                return None;
            }
            Pending::Append(dir, _)
            | Pending::Truncate { dir, .. }
            | Pending::DropSegment { dir, .. }
            | Pending::DropAll { dir }
            | Pending::SyncFile { dir, .. }
            | Pending::SyncNames { dir, .. } => *dir,
        };
        let copy = self.copies.entry((node, dir)).or_default();
        let before = copy.end_offset();
        let may_be_retention = matches!(pending, Pending::DropSegment { .. });
        // What came before the segment is not cut off with its bytes, though its own segments have gone already.
        let begin = match &pending {
            Pending::Truncate { segment, .. } => *segment,
            _ => 0,
        };
        match pending {
            Pending::Create { .. } | Pending::Snapshot { .. } => {}
            // How much of it is in the file is not known; the process ends now.
            Pending::Append(_, entries) if failed => copy.maybe.extend(entries),
            _ if failed => {}
            Pending::Append(_, entries) => entries.into_iter().for_each(|e| copy.insert(e)),
            Pending::Truncate { segment, len, .. } => copy.truncate(segment, len),
            Pending::SyncFile { segment, truncated_count, .. } => {
                copy.file_synced(segment, truncated_count);
            }
            Pending::DropSegment { segment, .. } => copy.drop_segment(segment),
            Pending::DropAll { .. } => copy.entries.clear(),
            Pending::SyncNames { dropped_count, .. } => copy.names_synced(dropped_count),
        }
        let end_offset = copy.end_offset().max(begin);
        let id = self.ids.get(dir).copied().flatten()?;
        // The last segment of all goes by retention too, and then nothing was cut off.
        let is_cut = end_offset < before && !(may_be_retention && copy.entries.is_empty());
        is_cut.then_some(Cut { id, end_offset })
    }

    /// Where the node's last metadata snapshot ends.
    pub fn snapshot_end(&self, node: u16) -> i64 {
        self.snapshots.get(&node).copied().unwrap_or(0)
    }

    /// Its disk is another one, or an older state of it: no snapshot is known there.
    pub fn forget_snapshots(&mut self, node: u16) {
        self.snapshots.remove(&node);
    }

    /// The process died: what was under way is not known to have happened.
    pub fn died(&mut self, node: u16) {
        self.files.retain(|(owner, _), _| *owner != node);
        let mut gone: Vec<Token> =
            self.pending.keys().filter(|(owner, _)| *owner == node).map(|key| key.1).collect();
        gone.sort_unstable();
        for token in gone {
            match self.pending.remove(&(node, token)) {
                Some(Pending::Append(dir, entries)) => {
                    self.copies.entry((node, dir)).or_default().maybe.extend(entries);
                }
                Some(Pending::DropSegment { dir, segment }) => {
                    self.copies.entry((node, dir)).or_default().begin_drop(segment);
                }
                _ => {}
            }
        }
    }

    /// The node's power was cut: names are as they were when their directory was last synced, or later.
    pub fn names_lost(&mut self, node: u16) {
        let copies = self.copies.iter_mut().filter(|((owner, _), _)| *owner == node);
        copies.for_each(|(_, copy)| copy.names_lost());
    }

    fn is_creating(&self, node: u16, number: usize, base: i64) -> bool {
        let is_its = |pending: &Pending| matches!(pending, Pending::Create { dir, segment } if (*dir, *segment) == (number, base));
        self.pending.iter().any(|((owner, _), pending)| *owner == node && is_its(pending))
    }

    /// Reads a log that is open again from its files, whose base offsets and sizes are given. Answers what is in it
    /// that was never written there, in words.
    pub fn reopen(
        &mut self,
        node: u16,
        id: LogId,
        segments: impl Iterator<Item = (i64, u64)>,
        files: &dyn Files,
    ) -> Option<String> {
        let number = *self.numbers.get(&id)?;
        let dir = self.dirs.get(number)?.clone();
        let mut entries = Vec::new();
        let (mut strange, mut is_damaged) = (None, false);
        for (segment, size) in segments {
            let path = format!("{dir}/{segment:020}.log");
            let Some(content) = files.content(&path) else {
                if self.is_creating(node, number, segment) {
                    // A late process opens a log and rolls it before anybody looks: what is in it is still to be written.
                    continue;
                }
                strange.get_or_insert(format!("{path} is not there"));
                is_damaged |= size > 0;
                continue;
            };
            let whole = &content[..content.len().min(size as usize)];
            if let Err(reason) = read_segment(whole, segment, id == METADATA, &mut entries) {
                strange.get_or_insert(format!("{path}: {reason}"));
                is_damaged = true;
            }
        }
        let copy = self.copies.entry((node, number)).or_default();
        if let Some(stranger) = entries.iter().find(|entry| !copy.knows(entry)) {
            strange.get_or_insert(format!(
                "the batch at offset {} of epoch {} (CRC {:08x}) was never written here",
                stranger.base_offset, stranger.leader_epoch, stranger.crc
            ));
        }
        *copy = Copy { entries, maybe: Vec::new(), is_damaged, ..std::mem::take(copy) };
        strange
    }
}

/// The directory and base offset of a segment's `.log` file.
fn segment_of(path: &str) -> Option<(&str, i64)> {
    let (dir, name) = path.rsplit_once('/')?;
    let digits = name.strip_suffix(".log")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((dir, digits.parse().ok()?))
}

/// The batches of one write, whose pieces are cut anywhere.
fn entries_of(parts: &[Bytes], segment: i64, at: u64, keep: bool) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(parts.len() / 2);
    let (mut index, mut within, mut position) = (0, 0, at);
    let mut head = [0; HEADER_BYTES];
    while index < parts.len() {
        let (mut filled, mut part, mut from) = (0, index, within);
        while filled < HEADER_BYTES
            && let Some(bytes) = parts.get(part)
        {
            let taken = (bytes.len() - from).min(HEADER_BYTES - filled);
            head[filled..filled + taken].copy_from_slice(&bytes[from..from + taken]);
            filled += taken;
            (part, from) = (part + 1, 0);
        }
        let Ok(header) = BatchHeader::parse(&head[..filled]) else { break };
        let mut entry = Entry::of(&header, segment, position);
        let mut left = header.size_bytes();
        position += left as u64;
        let mut content = Vec::new();
        while left > 0
            && let Some(bytes) = parts.get(index)
        {
            let taken = (bytes.len() - within).min(left);
            if keep {
                content.extend_from_slice(&bytes[within..within + taken]);
            }
            left -= taken;
            within += taken;
            if within == bytes.len() {
                (index, within) = (index + 1, 0);
            }
        }
        entry.content = keep.then(|| Bytes::from(content));
        entries.push(entry);
    }
    entries
}

/// `__cluster_metadata-0/00000000000000000043-0000000002.checkpoint` ends at 43.
fn snapshot_of(path: &str) -> Option<i64> {
    let name = path.strip_prefix(METADATA_DIR)?.strip_prefix('/')?.strip_suffix(".checkpoint")?;
    name.split_once('-')?.0.parse().ok()
}

fn read_segment(
    content: &[u8],
    segment: i64,
    keep: bool,
    entries: &mut Vec<Entry>,
) -> Result<(), String> {
    let mut position = 0;
    while position < content.len() {
        let rest = &content[position..];
        let bad = |error| format!("at byte {position}: {error}");
        let view = BatchView::new(rest).map_err(bad)?;
        view.check().map_err(bad)?;
        let mut entry = Entry::of(view.header(), segment, position as u64);
        if let Some(last) = entries.last()
            && last.next_offset > entry.base_offset
        {
            return Err(format!(
                "offset {} comes after offset {}",
                entry.base_offset,
                last.next_offset - 1
            ));
        }
        let whole = &rest[..view.size_bytes()];
        entry.content = keep.then(|| Bytes::copy_from_slice(whole));
        position += whole.len();
        entries.push(entry);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::entry;

    /// What is left once the last segment, which begins at 43, was cut to nothing.
    fn cut_of(entries: Vec<Entry>) -> Option<Cut> {
        let mut ledger = Ledger::default();
        ledger.put(1, METADATA, Copy { entries, ..Copy::default() });
        let path = format!("{METADATA_DIR}/00000000000000000043.log");
        let file = FileId(1);
        ledger.submitted(1, Token(1), &IoOp::Open { file, path, create: false });
        ledger.submitted(1, Token(2), &IoOp::Truncate { file, len: 0 });
        ledger.completed(1, Token(2), &IoResult::Done)
    }

    #[test]
    fn a_segment_that_is_cut_takes_nothing_that_came_before_it() {
        let last = Entry { segment: 43, ..entry(43, 44, 2) };
        let all = vec![entry(0, 41, 1), entry(41, 43, 2), last.clone()];
        let cut = Some(Cut { id: METADATA, end_offset: 43 });
        assert_eq!(cut_of(all), cut);
        assert_eq!(cut_of(vec![last]), cut, "a snapshot has taken the place of the others");
    }

    #[test]
    fn a_snapshot_is_known_by_its_name_once_it_is_there() {
        let mut ledger = Ledger::default();
        let path = format!("{METADATA_DIR}/00000000000000000043-0000000002.checkpoint");
        let data = Bytes::new();
        for (token, failed) in [(Token(1), true), (Token(2), false)] {
            let op = IoOp::Replace { path: path.clone(), data: data.clone() };
            ledger.submitted(1, token, &op);
            assert_eq!(ledger.snapshot_end(1), 0);
            if failed {
                let kind = log::io::IoErrorKind::Other;
                let error = log::io::IoError { kind, message: String::new() };
                ledger.completed(1, token, &IoResult::Failed(error));
            } else {
                ledger.completed(1, token, &IoResult::Done);
            }
        }
        assert_eq!(ledger.snapshot_end(1), 43);
        ledger.forget_snapshots(1);
        assert_eq!(ledger.snapshot_end(1), 0);
    }
}
