//! A disk without space: a file that takes all that is left of it.
//!
//! Promises: the file system itself says ENOSPC, to whoever asks, and goes on reading and deleting; what the node deletes it may
//! fill again. The file has no name: nobody stumbles over it, and its space is free again with its last descriptor, whatever
//! ends the harness. Faults stack: the last one gives the space back.

use super::Disk;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io;

/// What is asked for first, and the least that a file system gives.
const CHUNK_BYTES_MAX: u64 = 1 << 30;
const CHUNK_BYTES_MIN: u64 = 512;
/// More than any rest of a block that is half full.
const PROBE_BYTES: usize = 64 << 10;

impl Disk {
    /// Takes all its space on behalf of a fault.
    pub fn fill(&mut self, fault: u32) -> io::Result<()> {
        self.filled_by.insert(fault);
        self.refill()
    }

    /// Gives the space back, unless another fault wants it gone. Answers those.
    pub fn free(&mut self, fault: u32) -> Vec<u32> {
        self.filled_by.remove(&fault);
        if self.filled_by.is_empty() {
            self.ballast = None;
        }
        self.filled_by.iter().copied().collect()
    }

    pub(super) fn refill(&mut self) -> io::Result<()> {
        if self.filled_by.is_empty() || self.ballast.is_some() || !self.has_power() {
            return Ok(());
        }
        let ballast = self.nameless()?;
        let (mut at, mut chunk) = (0, CHUNK_BYTES_MAX);
        while chunk >= CHUNK_BYTES_MIN {
            match rustix::fs::fallocate(&ballast, FallocateFlags::empty(), at, chunk) {
                Ok(()) => at += chunk,
                Err(Errno::NOSPC | Errno::FBIG) => chunk /= 2,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.ballast = Some(ballast);
        Ok(())
    }

    /// Whether it has space for a write of ours, and how much there is, in words.
    pub fn space(&self) -> io::Result<(bool, String)> {
        let stat = rustix::fs::statvfs(&self.directory)?;
        let (free, all) = (stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize);
        let written = self.nameless().and_then(|file| write(&file));
        let said = match &written {
            Ok(()) => "a write of ours went through".to_string(),
            Err(error) => format!("a write of ours: {}", words(error)),
        };
        let words = format!("{free} of {all} bytes of its disk free, {said}");
        match written {
            Err(error) if error.raw_os_error() != Some(Errno::NOSPC.raw_os_error()) => Err(error),
            written => Ok((written.is_ok(), words)),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn nameless(&self) -> io::Result<File> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a disk without space needs Linux"))
    }

    #[cfg(target_os = "linux")]
    fn nameless(&self) -> io::Result<File> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&self.directory, flags, Mode::RUSR | Mode::WUSR)?.into())
    }
}

fn write(mut file: &File) -> io::Result<()> {
    io::Write::write_all(&mut file, &[0; PROBE_BYTES])
}

/// Without Rust's `(os error 28)`.
fn words(error: &io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or_default().to_string()
}
