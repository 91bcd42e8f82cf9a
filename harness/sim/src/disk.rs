//! A disk under a kernel: it carries out a node's storage operations later, and loses what it is allowed to lose.
//!
//! Promises: the contract of [`log::io`], at its weakest. An operation is done at the moment at which it is answered;
//! those on one file in their order, all others in any. A killed process leaves the page cache and, of what was under
//! way, anything between nothing and all. A power cut leaves what `Sync`, `SyncDir`, `CreateDir` and `Replace` made
//! durable, and of the rest what chance leaves: sectors (`file`) and names (`names`). Every choice is drawn from the
//! stream handed in at construction; how long operations take and what crashes leave come from streams of their own.
//!
//! Stricter than the contract, because no file system that we know of is weaker: a rename survives whole or not at all,
//! and a name that is durable never points to a file that is not there. Not done: writeback before a power cut (what it
//! would save is drawn at the cut), access rights, links, reads that are torn by writes.

mod content;
mod file;
mod names;
mod partly;
mod perform;
mod queue;

use crate::scenario::{self, FailingOp};
use bytes::Bytes;
use file::{File, Mercy};
use generator::random::Random;
use log::io::{FileId, IoOp, IoResult, Token};
use names::{Entry, Names};
use queue::Queue;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many names have to go before files without one are looked for.
const SWEEP_AFTER: u32 = 64;

/// What is on the disk and in its cache. Copies share everything until it changes.
#[derive(Clone, Debug)]
struct State {
    names: Names,
    files: BTreeMap<u64, Arc<File>>,
}

impl State {
    fn empty() -> State {
        State { names: Names::new(), files: BTreeMap::new() }
    }
}

/// A disk as it was at one moment, cache included.
#[derive(Clone, Debug)]
pub struct Snapshot(State);

#[derive(Debug)]
struct OpenFile {
    inode: u64,
    path: String,
    failed: bool,
}

/// Decides what crashes and failures leave.
#[derive(Debug)]
struct Fate {
    random: Random,
}

impl Fate {
    /// How far a write came that did not end well: often nowhere.
    fn prefix(&mut self, len: u64) -> u64 {
        match self.random.below(3) {
            0 => 0,
            _ => self.random.below(len + 1),
        }
    }
}

/// What happened to the disk so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub ops: u64,
    pub bytes_written: u64,
    pub syncs: u64,
    /// Operations that took up to `stall_ms_max` longer.
    pub stalls: u64,
    pub writes_failed: u64,
    pub reads_failed: u64,
    pub syncs_failed: u64,
    pub no_space: u64,
    /// Writes that a kill left in part, and files of which a power loss kept some unsynced sectors and lost others.
    pub torn_writes: u64,
    pub sectors_kept: u64,
    pub sectors_lost: u64,
    /// By which power losses shortened files.
    pub bytes_cut: u64,
    pub names_kept: u64,
    pub names_lost: u64,
    pub bits_rotted: u64,
}

#[derive(Debug)]
pub struct Disk {
    mercy: Mercy,
    queue: Queue,
    fate: Fate,
    state: State,
    open: FxHashMap<FileId, OpenFile>,
    /// How many of the next operations fail, by [`FailingOp`].
    failing: [u32; 3],
    full: bool,
    stats: Stats,
}

impl Disk {
    pub fn new(settings: scenario::Disk, mut random: Random) -> Disk {
        let sector_bytes = settings.sector_bytes;
        let is_sector = sector_bytes.is_power_of_two() && (64..=4096).contains(&sector_bytes);
        assert!(is_sector, "a sector has 512 or 4096 bytes, not {sector_bytes}");
        let fate = Fate { random: Random::new(random.next(), "fate") };
        Disk {
            mercy: Mercy { survives_percent: settings.unsynced_survives_percent, sector_bytes },
            queue: Queue::new(settings, Random::new(random.next(), "delays")),
            fate,
            state: State::empty(),
            open: FxHashMap::default(),
            failing: [0; 3],
            full: false,
            stats: Stats::default(),
        }
    }

    pub fn submit(&mut self, now_ns: u64, token: Token, op: IoOp) {
        self.queue.push(now_ns, token, op);
    }

    /// When the next operation is done.
    pub fn next_ns(&self) -> Option<u64> {
        self.queue.next_ns()
    }

    /// Carries out what is done by `now_ns`, and answers it in the order in which it was done.
    pub fn advance(&mut self, now_ns: u64, out: &mut Vec<(Token, IoResult)>) {
        while let Some((token, op)) = self.queue.pop(now_ns) {
            self.stats.ops += 1;
            out.push((token, self.perform(op)));
        }
    }

    /// How many operations were submitted and are not answered.
    pub fn in_process_ops(&self) -> usize {
        self.queue.len()
    }

    /// The process is gone. The kernel closes its files and keeps their pages.
    pub fn kill(&mut self) {
        self.leave_unfinished();
        self.sweep();
    }

    /// The machine loses its power, and whatever ran on it.
    pub fn power_loss(&mut self) {
        self.kill();
        let Disk { mercy, fate, state, stats, .. } = self;
        let (kept, lost) = state.names.power_loss(&mut || mercy.survives(&mut fate.random));
        stats.names_kept += kept;
        stats.names_lost += lost;
        self.sweep();
        let Disk { mercy, fate, state, stats, .. } = self;
        for file in state.files.values_mut().filter(|file| file.is_unsynced()) {
            let toll = Arc::make_mut(file).power_loss(*mercy, &mut fate.random);
            stats.sectors_kept += toll.sectors_kept;
            stats.sectors_lost += toll.sectors_lost;
            stats.bytes_cut += toll.bytes_cut;
            stats.torn_writes += u64::from(toll.sectors_kept > 0 && toll.sectors_lost > 0);
        }
    }

    /// Nothing is on it any more. Whoever was using it has to be gone.
    pub fn wipe(&mut self) {
        self.assert_unused();
        self.state = State::empty();
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.state.clone())
    }

    /// As it was then, down to what was not synced. Whoever was using it has to be gone.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        self.assert_unused();
        self.state = snapshot.0.clone();
        self.sweep();
    }

    fn assert_unused(&self) {
        assert!(self.open.is_empty() && self.queue.len() == 0, "a process is using this disk");
    }

    /// Lets the next operation of a kind fail. Of a sync it drops the dirty pages of the file.
    pub fn fail_next(&mut self, op: FailingOp) {
        self.failing[op as usize] += 1;
    }

    /// Whether there is no space: nothing can be made, and no file can grow.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Whether whoever uses it is about to be told of a failure.
    pub fn is_failing(&self) -> bool {
        self.full || self.failing.iter().any(|count| *count > 0)
    }

    /// Makes operations that are submitted from now take this many times as long; `None`: no longer, the backlog included.
    pub fn slow(&mut self, now_ns: u64, factor: Option<u32>) {
        self.queue.slow(now_ns, factor);
    }

    /// Ends all faults; no operation stalls any more. What is damaged stays so.
    pub fn heal(&mut self, now_ns: u64) {
        self.queue.heal(now_ns);
        self.failing = [0; 3];
        self.full = false;
    }

    /// Flips one bit of a `.log` file, in a page that is synced and was not written since; never in the leader epoch of a
    /// batch, which no checksum of Kafka's covers, so that nobody could tell. `None`: there is none.
    pub fn rot(&mut self, random: &mut Random) -> Option<(String, u64)> {
        let mut pages: Vec<(u64, u32)> = Vec::new();
        let mut paths: Vec<(u64, String)> = Vec::new();
        self.state.names.each_file(&mut |path, inode| {
            if path.ends_with(".log") {
                pages.extend(self.state.files[&inode].clean_pages().map(|page| (inode, page)));
                paths.push((inode, path.to_owned()));
            }
        });
        if pages.is_empty() {
            return None;
        }
        let (inode, page) = pages[random.below(pages.len() as u64) as usize];
        let file = self.file_mut(inode);
        let start = u64::from(page) * content::PAGE_BYTES as u64;
        let drawn = start + random.below((file.len() - start).min(content::PAGE_BYTES as u64));
        let at = match is_in_leader_epoch(&file.cached().read(0, drawn), drawn) {
            // The field behind it, or, at the end of a page, the one before it.
            true if (drawn + 4) / content::PAGE_BYTES as u64 == u64::from(page) => drawn + 4,
            true => drawn - 4,
            false => drawn,
        };
        file.rot(at, random.below(8) as u8);
        self.stats.bits_rotted += 1;
        paths.into_iter().find(|(of, _)| *of == inode).map(|(_, path)| (path, at))
    }

    /// What a reader would see in a file now.
    pub fn content(&self, path: &str) -> Option<Bytes> {
        Some(self.named_file(path)?.cached().read(0, u64::MAX))
    }

    /// What of a file is on the platter, whatever becomes of its name.
    pub fn durable_content(&self, path: &str) -> Option<Bytes> {
        Some(self.named_file(path)?.durable().read(0, u64::MAX))
    }

    fn named_file(&self, path: &str) -> Option<&File> {
        match self.state.names.entry(path).ok()? {
            Entry::File(inode) => Some(&self.state.files[&inode]),
            Entry::Directory(_) => None,
        }
    }

    /// All files, each directory's in the order of their names.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.state.names.each_file(&mut |path, _| paths.push(path.to_owned()));
        paths
    }

    /// Bytes that were written to files that have a name, and not synced.
    pub fn unsynced_bytes(&self) -> u64 {
        let mut sum = 0;
        self.state.names.each_file(&mut |_, inode| {
            sum += self.state.files[&inode].unsynced_bytes();
        });
        sum
    }

    pub fn stats(&self) -> Stats {
        Stats { stalls: self.queue.stalls, ..self.stats }
    }

    fn sweep_sometimes(&mut self) {
        if self.state.names.taken_away >= SWEEP_AFTER {
            self.sweep();
        }
    }

    /// Forgets files and directories that no name leads to, now or after a power loss, and that nobody has open.
    fn sweep(&mut self) {
        let mut kept = self.state.names.sweep();
        kept.extend(self.open.values().map(|open| open.inode));
        self.state.files.retain(|inode, _| kept.contains(inode));
    }
}

/// Whether a byte of a log is one of a batch's `partitionLeaderEpoch`. `before`: what stands before it.
fn is_in_leader_epoch(before: &[u8], at: u64) -> bool {
    let mut batch = 0;
    loop {
        let length = before.get(batch + 8..batch + 12).map(|length| {
            let length: [u8; 4] = length.try_into().expect("four bytes");
            usize::try_from(i32::from_be_bytes(length)).unwrap_or(0)
        });
        match length {
            Some(length) if (batch + 12 + length) as u64 <= at => batch += 12 + length,
            length => return length.is_some() && (12..16).contains(&(at - batch as u64)),
        }
    }
}

#[cfg(test)]
mod tests;
