//! What of each file was written and not synced, and how to lose it.
//!
//! Promises: appended bytes count as unsynced from their write to the next sync of their file that succeeds. Losing them
//! leaves the file's length and puts zeros where they were, as an ext4 does whose blocks were never written. Not promised:
//! bytes that were overwritten in place keep their new value; a real disk may write early what nobody has synced, this one
//! never does.

use super::rules::Key;
use super::tables::Inode;
use rustix::fs::{FallocateFlags, fallocate};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Unsynced {
    inode: Arc<Inode>,
    /// The file's length when it was last synced, or first seen.
    synced: u64,
    /// The newest write: where and how much.
    newest: Option<(u64, u64)>,
}

#[derive(Debug, Default)]
pub struct Ledger(Mutex<BTreeMap<Key, Unsynced>>);

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Unsynced>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file that was not there before.
    pub fn made(&self, inode: &Arc<Inode>) {
        let unsynced = Unsynced { inode: inode.clone(), synced: 0, newest: None };
        self.lock().insert(inode.key, unsynced);
    }

    /// Before a write.
    pub fn writes(&self, inode: &Arc<Inode>, at: u64, len: u64) -> io::Result<()> {
        let mut files = self.lock();
        let file = match files.entry(inode.key) {
            std::collections::btree_map::Entry::Occupied(file) => file.into_mut(),
            // What was there before it was first written to is old enough.
            std::collections::btree_map::Entry::Vacant(place) => {
                let synced = inode.file.metadata()?.len();
                place.insert(Unsynced { inode: inode.clone(), synced, newest: None })
            }
        };
        // The kernel hands a large write over in parts that end with a page.
        let goes_on = |(from, so_far): &(u64, u64)| from + so_far == at && at.is_multiple_of(PAGE);
        file.newest = match file.newest.filter(goes_on) {
            Some((from, so_far)) => Some((from, so_far + len)),
            None => Some((at, len)),
        };
        Ok(())
    }

    /// It has this length now, by somebody's wish.
    pub fn cut(&self, inode: &Inode, len: u64) {
        if let Some(file) = self.lock().get_mut(&inode.key) {
            file.synced = file.synced.min(len);
            file.newest = file.newest.filter(|(at, _)| *at < len);
        }
    }

    pub fn synced(&self, inode: &Inode, len: u64) {
        if let Some(file) = self.lock().get_mut(&inode.key) {
            file.synced = len;
            file.newest = None;
        }
    }

    /// Its last name is gone.
    pub fn deleted(&self, key: Key) {
        self.lock().remove(&key);
    }

    /// Loses what was not synced, after which there is nothing left to sync. Answers how many bytes.
    pub fn lose(&self, inode: &Inode, file: &File) -> io::Result<u64> {
        let len = file.metadata()?.len();
        let mut files = self.lock();
        let Some(unsynced) = files.get_mut(&inode.key) else { return Ok(0) };
        let lost = len.saturating_sub(unsynced.synced);
        if lost > 0 {
            zero(file, unsynced.synced, lost)?;
        }
        unsynced.synced = len;
        unsynced.newest = None;
        Ok(lost)
    }

    /// Leaves of the newest unsynced write of each file whose name is wanted some sectors and not others. Whoever wrote them
    /// has to be gone. Answers the names with what was left of how much.
    pub fn tear(
        &self,
        root: &Inode,
        wanted: &dyn Fn(&str) -> bool,
        draw: &mut dyn FnMut(u64) -> u64,
    ) -> io::Result<Vec<String>> {
        let mut torn = Vec::new();
        for unsynced in self.lock().values_mut() {
            let Some((at, len)) = unsynced.newest else { continue };
            let name = unsynced.inode.name(root);
            if !wanted(&name) || unsynced.inode.is_probe {
                continue;
            }
            let file = OpenOptions::new().write(true).open(unsynced.inode.path())?;
            let (kept, lost) = tear(&file, at, len, draw)?;
            unsynced.newest = None;
            torn.push(format!("{name}: {kept} of {} sectors written at {at}", kept + lost));
        }
        Ok(torn)
    }
}

const SECTOR: u64 = 512;
const PAGE: u64 = 4096;

/// Of several sectors some are kept and some lost; a single one is lost.
fn tear(
    file: &File,
    at: u64,
    len: u64,
    draw: &mut dyn FnMut(u64) -> u64,
) -> io::Result<(u64, u64)> {
    let (first, last) = (at / SECTOR, (at + len.max(1) - 1) / SECTOR);
    let sectors = last - first + 1;
    let must_go = first + draw(sectors);
    let must_stay =
        (sectors > 1).then(|| first + (must_go - first + 1 + draw(sectors - 1)) % sectors);
    let (mut kept, mut lost) = (0, 0);
    for sector in first..=last {
        let stays = sector != must_go && (Some(sector) == must_stay || draw(2) == 0);
        if stays {
            kept += 1;
            continue;
        }
        lost += 1;
        let from = (sector * SECTOR).max(at);
        let to = ((sector + 1) * SECTOR).min(at + len);
        zero(file, from, to - from)?;
    }
    Ok((kept, lost))
}

fn zero(file: &File, at: u64, len: u64) -> io::Result<()> {
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if fallocate(file, hole, at, len).is_ok() {
        return Ok(());
    }
    // A file system without holes.
    let zeros = vec![0; 64 << 10];
    let mut done = 0;
    while done < len {
        let count = (len - done).min(zeros.len() as u64);
        file.write_all_at(&zeros[..count as usize], at + done)?;
        done += count;
    }
    Ok(())
}
