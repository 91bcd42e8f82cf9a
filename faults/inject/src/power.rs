//! Data directories that are file systems of their own, so that their power can be cut and their space taken.
//!
//! Promises: a cut takes what had not reached the disk, as the kernel itself defines it: ext4 is shut down without writing
//! its journal (`EXT4_IOC_SHUTDOWN` with `NOLOGFLUSH`, fs/ext4/ioctl.c), unmounted, and mounted again, which replays what
//! the journal had. Only mounts that were made here are touched. Not promised: one instant for several nodes; the evidence
//! says when each was cut.
//!
//! Undo: mounts are made in the run's own mount namespace, on loop devices that let go of their file with the last mount, so
//! all of it vanishes with the processes of the run. The image is a file of the run's directory.

mod full;

use crate::net::run;
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longer than any child takes to run its program.
const BUSY_MAX: Duration = Duration::from_secs(3);

/// A file system in a file, mounted where a node keeps its data.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    directory: PathBuf,
    /// Bytes that were on it when its power was cut; none while it has power.
    bytes_at_cut: Option<u64>,
    /// What takes its last space, for these faults.
    ballast: Option<File>,
    filled_by: BTreeSet<u32>,
}

impl Disk {
    /// Makes the image and mounts it on the directory, which is made too. The image takes no room before it is written to.
    pub fn make(image: &Path, directory: &Path, bytes: u64) -> io::Result<Disk> {
        fs::create_dir_all(directory)?;
        File::create_new(image)?.set_len(bytes)?;
        let disk = Disk {
            image: image.to_path_buf(),
            directory: directory.to_path_buf(),
            bytes_at_cut: None,
            ballast: None,
            filled_by: BTreeSet::new(),
        };
        // No blocks kept for root, and nothing that the kernel would go on writing by itself.
        run(
            "mkfs.ext4",
            &["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", &text(image)?],
            "",
        )?;
        disk.mount()?;
        // Kafka takes every directory in its own for a partition's.
        let _ = fs::remove_dir(directory.join("lost+found"));
        // The file system's own beginnings are no writes of the node's.
        disk.sync()?;
        Ok(disk)
    }

    /// Everything that was written so far is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        run("sync", &["--file-system", &text(&self.directory)?], "").map(|_| ())
    }

    /// Cuts the power: whatever was not on the disk by now never will be. A process that has files open there gets errors
    /// from now on; end it at once.
    pub fn cut(&mut self) -> io::Result<()> {
        let directory = File::open(&self.directory)?;
        let bytes = allocated(&self.directory)?;
        shutdown::without_journal(&directory)?;
        self.bytes_at_cut = Some(bytes);
        Ok(())
    }

    pub fn has_power(&self) -> bool {
        self.bytes_at_cut.is_none()
    }

    /// Power is back: mounts it again, and answers what is left. Fails while somebody has files open there.
    pub fn restore(&mut self) -> io::Result<String> {
        let Some(before) = self.bytes_at_cut else {
            return Ok("its power was never cut".to_string());
        };
        // A file that is open holds the mount.
        self.ballast = None;
        if self.is_mounted()? {
            self.unmount()?;
        }
        self.mount()?;
        self.bytes_at_cut = None;
        self.refill()?;
        let after = allocated(&self.directory)?;
        Ok(format!("of {before} bytes on its disk {after} were there again"))
    }

    /// Leaves what is on it as plain files where it is mounted now. Nobody may have files open there.
    pub fn keep(mut self) -> io::Result<()> {
        if !self.has_power() {
            self.restore()?;
        }
        self.filled_by.clear();
        self.ballast = None;
        let copy = self.directory.with_extension("kept");
        let (from, to) = (text(&self.directory)?, text(&copy)?);
        run("cp", &["-a", "--sparse=always", &from, &to], "")?;
        self.unmount()?;
        fs::remove_dir(&self.directory)?;
        fs::rename(&copy, &self.directory)
    }

    fn mount(&self) -> io::Result<()> {
        run("mount", &["-o", "loop", &text(&self.image)?, &text(&self.directory)?], "").map(|_| ())
    }

    /// What this process has open is open in each child of its own, too, until that runs its program: a disk that nobody uses
    /// may be busy for a moment.
    fn unmount(&self) -> io::Result<()> {
        let until = Instant::now() + BUSY_MAX;
        loop {
            match rustix::mount::unmount(&self.directory, UnmountFlags::empty()) {
                Err(Errno::BUSY) if Instant::now() < until => {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
                Err(Errno::BUSY) => {
                    let directory = self.directory.display();
                    let why = "target is busy: a process has files open there";
                    return Err(io::Error::other(format!("cannot unmount {directory}: {why}")));
                }
                Err(error) => return Err(error.into()),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// A mount point is on another device than its parent.
    fn is_mounted(&self) -> io::Result<bool> {
        let parent = self.directory.parent().unwrap_or(Path::new("/"));
        Ok(fs::symlink_metadata(&self.directory)?.dev() != fs::symlink_metadata(parent)?.dev())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Best effort: what stays goes with the run's namespace.
        if self.is_mounted().unwrap_or(false)
            && let Ok(directory) = text(&self.directory)
        {
            let _ = run("umount", &["--lazy", &directory], "");
        }
        let _ = fs::remove_file(&self.image);
    }
}

/// Whether disks can be made here, tried in a child that takes everything with it; otherwise why not.
pub fn can_make(directory: &Path) -> Result<(), String> {
    let attempt = "set -e; cd \"$1\"; d=$(mktemp -d); trap 'rm -rf \"$d\"' EXIT; truncate -s 16M $d/i; \
                   mkfs.ext4 -q -F $d/i; mkdir $d/m; mount -o loop $d/i $d/m; umount $d/m";
    let Ok(directory) = text(directory) else {
        return Err("the store's path is no text".to_string());
    };
    let arguments = ["--mount", "--", "sh", "-c", attempt, "sh", &directory];
    run("unshare", &arguments, "").map(|_| ()).map_err(|error| {
        format!(
            "{error}; disks of their own need root, loop devices, and the programs `mkfs.ext4`, `mount`, `umount` and `unshare`"
        )
    })
}

/// Bytes that files and directories take.
fn allocated(path: &Path) -> io::Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    let mut bytes = metadata.blocks() * 512;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            // A file may go while we look.
            bytes += entry.and_then(|entry| allocated(&entry.path())).unwrap_or(0);
        }
    }
    Ok(bytes)
}

fn text(path: &Path) -> io::Result<String> {
    let words = || io::Error::other(format!("{} is not UTF-8", path.display()));
    path.to_str().map(str::to_string).ok_or_else(words)
}

/// The one call of this crate that needs `unsafe`: no library has this request of ext4's.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "an ioctl that no library wraps")]
mod shutdown {
    use rustix::ioctl::{Setter, ioctl, opcode};
    use std::fs::File;
    use std::io;

    /// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`: reads a word, for all that its direction says.
    const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
    /// `EXT4_GOING_FLAGS_NOLOGFLUSH`: the journal is not written either.
    const NO_JOURNAL: u32 = 2;

    pub fn without_journal(directory: &File) -> io::Result<()> {
        // SAFETY: the request takes a pointer to a u32 that it only reads, which is what a Setter hands it.
        unsafe {
            let request = Setter::<SHUTDOWN, u32>::new(NO_JOURNAL);
            Ok(ioctl(directory, request)?)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod shutdown {
    use std::fs::File;
    use std::io;

    pub fn without_journal(_: &File) -> io::Result<()> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "cutting a disk's power needs Linux and ext4",
        ))
    }
}

#[cfg(test)]
mod tests;
