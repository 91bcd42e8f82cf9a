//! What was under way when the process died.
//!
//! Promises: each operation that was not answered was done wholly, in part, or not at all; on one file, nothing after one
//! that was not done wholly. A write came as far as some byte; a deleted directory lost some of its files; a replacement
//! stopped between two of its steps. The others are whole or nothing; a sync that was under way promises nothing, and a
//! power cut decides about what it would have covered.

use super::Disk;
use super::perform::inside;
use bytes::Bytes;
use log::io::IoOp;
use std::collections::BTreeSet;

impl Disk {
    pub(super) fn leave_unfinished(&mut self) {
        let mut stopped = BTreeSet::new();
        for op in self.queue.abandon() {
            let file = op.file();
            if file.is_some_and(|file| stopped.contains(&file)) {
                continue;
            }
            let how_far = self.fate.random.below(3);
            match how_far {
                0 => drop(self.perform(op)),
                1 => self.perform_part(op),
                _ => {}
            }
            if how_far != 0 {
                stopped.extend(file);
            }
        }
        self.open.clear();
    }

    fn perform_part(&mut self, op: IoOp) {
        match op {
            IoOp::Append { file, at, parts } => {
                if let Some(open) = self.open.get(&file).filter(|open| !open.failed) {
                    self.write_part(open.inode, at, &parts);
                }
            }
            IoOp::WriteAt { file, at, data } => {
                if let Some(open) = self.open.get(&file).filter(|open| !open.failed) {
                    self.write_part(open.inode, at, &[data]);
                }
            }
            // Made, and its name not synced.
            IoOp::CreateDir { path } if inside(&path).is_ok() && !self.full => {
                let _ = self.state.names.make_directories(&path);
            }
            IoOp::DeleteDir { path } if inside(&path).is_ok() => {
                let random = &mut self.fate.random;
                let _ = self.state.names.delete_directory(&path, &mut || random.below(2) == 0);
            }
            IoOp::Replace { path, data } if inside(&path).is_ok() => {
                self.replace_part(&path, &data)
            }
            _ => {}
        }
    }

    fn write_part(&mut self, inode: u64, at: u64, parts: &[Bytes]) {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        let count = if self.full { 0 } else { self.fate.prefix(len) };
        self.stats.torn_writes += u64::from(0 < count && count < len);
        self.write_prefix(inode, at, parts, count);
    }

    /// The temporary file made, written in part, synced, or renamed without its directory's sync.
    fn replace_part(&mut self, path: &str, data: &Bytes) {
        let temporary = format!("{path}.tmp");
        let Ok(inode) = self.make_temporary(&temporary) else { return };
        match self.fate.random.below(4) {
            0 => {}
            1 => self.write_part(inode, 0, std::slice::from_ref(data)),
            stage => {
                if self.full {
                    return;
                }
                self.write_prefix(inode, 0, std::slice::from_ref(data), data.len() as u64);
                self.file_mut(inode).sync();
                if stage == 3 {
                    let _ = self.state.names.rename(&temporary, path);
                }
            }
        }
    }
}
