//! A file system that can fail: a node's data directory, passed through a FUSE of ours.
//!
//! ```text
//!   broker ── data/ ── kernel ── threads of the harness ── backing/
//! ```
//!
//! Promises: without a fault everything goes through as it is, shared memory maps of files included; a fault acts on files
//! that are open already; faults stack and are lifted in any order. Probes go the node's own way, by a process of
//! their own: whoever serves a file system must not wait for it.
//!
//! Undo: the mount is in the run's own mount namespace and vanishes with the run's last process. If the harness dies, its end of
//! the mount closes, and the node's operations fail. The backing directory is a plain directory of the run's.
//!
//! Not promised: that an error comes where the kernel has the answer already. A read of what it has cached never gets here,
//! as it never gets to a disk.

mod below;
mod probe;
mod rules;
mod serve;
mod tables;
mod unsynced;

pub use probe::{Probe, Probed};
pub use rules::{Fate, Kind, Rule, Rules, Tally};

use crate::net::separate_mounts;
use crate::open_files;
use below::Shared;
use fuser::{Config, MountOption, SessionACL};
use plan::files::Pattern;
use plan::random::Stream;
use rustix::mount::{UnmountFlags, unmount};
use serve::PassThrough;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Threads that serve one node: its own disk threads wait for them.
const THREADS: usize = 3;

/// A data directory that is served from another one.
pub struct Fuse {
    backing: PathBuf,
    directory: PathBuf,
    probe: PathBuf,
    shared: Arc<Shared>,
    session: Option<fuser::BackgroundSession>,
}

impl std::fmt::Debug for Fuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fuse").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Fuse {
    /// Serves `backing` at `directory`; both are made where they are missing.
    pub fn make(backing: &Path, directory: &Path) -> io::Result<Fuse> {
        fs::create_dir_all(backing)?;
        fs::create_dir_all(directory)?;
        // Each file that the kernel has heard of is open here, twice if a node has it open.
        open_files::raise();
        let probe = backing.with_extension("probe");
        fs::write(&probe, [0; 512])?;
        let shared = Arc::new(Shared::new(backing, probe.clone())?);
        let mut options = Config::default();
        options.mount_options = vec![
            MountOption::FSName("highwater".to_string()),
            MountOption::DefaultPermissions,
            MountOption::NoAtime,
        ];
        options.acl = SessionACL::All;
        options.n_threads = Some(THREADS);
        options.clone_fd = true;
        let session = fuser::spawn_mount(PassThrough(shared.clone()), directory, &options)?;
        Ok(Fuse {
            backing: backing.to_path_buf(),
            directory: directory.to_path_buf(),
            probe,
            shared,
            session: Some(session),
        })
    }

    /// The faults that it is under.
    pub fn rules(&self) -> &Rules {
        &self.shared.rules
    }

    /// Where the data is in truth: to be changed only while no node runs on it.
    pub fn backing(&self) -> &Path {
        &self.backing
    }

    /// The file that probes use, on the node's side.
    pub fn probe_path(&self) -> PathBuf {
        self.directory.join(below::PROBE)
    }

    /// Tears the newest unsynced write of each file that the pattern names; the node has to be dead. Answers what was done.
    pub fn tear(&self, path: &Pattern, seed: u64) -> io::Result<Vec<String>> {
        let mut random = Stream::new(seed, "torn sectors");
        let root = self.shared.tables.root();
        self.shared.ledger.tear(&root, &|name| path.matches(name), &mut |below| random.below(below))
    }

    /// Serves it no longer. Who has files open there gets errors.
    pub fn stop(&mut self) {
        self.end();
    }

    /// Leaves the data as plain files where it was served. Nobody may have files open there.
    pub fn keep(mut self) -> io::Result<()> {
        self.end();
        fs::remove_dir(&self.directory)?;
        fs::rename(&self.backing, &self.directory)
    }

    fn end(&mut self) {
        let Some(session) = self.session.take() else { return };
        // Best effort, and lazily: what stays goes with the run's namespace. The threads end when the kernel has let go.
        let _ = unmount(&self.directory, UnmountFlags::DETACH);
        drop(session);
        let _ = fs::remove_file(&self.probe);
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether such file systems can be made here, tried in a mount namespace of its own; otherwise why not.
pub fn can_make(directory: &Path) -> Result<(), String> {
    let place = directory.join(format!("highwater-fuse-{}", std::process::id()));
    let attempt = || -> io::Result<()> {
        separate_mounts()?;
        let fuse = Fuse::make(&place.join("backing"), &place.join("data"))?;
        drop(fuse);
        Ok(())
    };
    let tried = std::thread::scope(|scope| scope.spawn(attempt).join());
    let _ = fs::remove_dir_all(&place);
    let tried = tried.unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
    tried.map_err(|error| {
        format!("{error}; a file system that can fail needs Linux, root and /dev/fuse")
    })
}

#[cfg(test)]
mod tests;
