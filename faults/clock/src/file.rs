//! The file, mapped.

use crate::table::{self, Table, WORDS};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

const BYTES: usize = WORDS * size_of::<AtomicU64>();

/// A node's clock file. It stays mapped until this is dropped.
#[derive(Debug)]
pub struct ClockFile {
    words: NonNull<[AtomicU64; WORDS]>,
    writable: bool,
}

// SAFETY: the mapping belongs to this value alone, stays where it is, and all of it is atomic words.
#[allow(unsafe_code, reason = "a mapping has no owner but this value")]
unsafe impl Send for ClockFile {}

impl ClockFile {
    /// Makes the file, which says true time.
    pub fn create(path: &Path) -> io::Result<ClockFile> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len(BYTES as u64)?;
        let made = ClockFile::map(&file, true)?;
        table::make(made.words());
        Ok(made)
    }

    /// A file that somebody else made and writes.
    pub fn follow(path: &Path) -> io::Result<ClockFile> {
        let file = File::open(path)?;
        // What is mapped behind a file's end is not there to be read.
        if file.metadata()?.len() != BYTES as u64 {
            return Err(io::Error::other(format!("{} is no clock file", path.display())));
        }
        ClockFile::map(&file, false)
    }

    pub fn read(&self) -> Table {
        table::read(self.words())
    }

    /// The node's clock says this from now on.
    pub fn write(&self, table: &Table) -> io::Result<()> {
        if !self.writable {
            return Err(io::Error::other("this clock file is only followed here"));
        }
        table::write(self.words(), table);
        Ok(())
    }

    /// What the node's clock says now, in nanoseconds since the epoch.
    pub fn now_ns(&self) -> i64 {
        let true_ns = crate::true_ns();
        true_ns.saturating_add(self.read().at(true_ns))
    }

    #[allow(unsafe_code, reason = "mapping a file")]
    fn map(file: &File, writable: bool) -> io::Result<ClockFile> {
        let rights = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a fresh mapping at an address of the kernel's choice touches no memory of anybody's.
        let at = unsafe { mmap(std::ptr::null_mut(), BYTES, rights, MapFlags::SHARED, file, 0)? };
        let words = NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(ClockFile { words, writable })
    }

    #[allow(unsafe_code, reason = "reading a mapping")]
    fn words(&self) -> &[AtomicU64; WORDS] {
        // SAFETY: it is mapped as long as this value lives, page-aligned, of this size, and nobody looks at it but as atomics.
        unsafe { self.words.as_ref() }
    }
}

impl Drop for ClockFile {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and nothing borrowed from it outlives it.
        #[allow(unsafe_code, reason = "unmapping what was mapped")]
        let unmapped = unsafe { munmap(self.words.as_ptr().cast(), BYTES) };
        // There is nothing to be done about a page that stays.
        let _ = unmapped;
    }
}
