//! What stands between a configuration file and a running node. Promises: every failure says what happened, where, and
//! what to do next.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use node::config::NodeConfig;
use rustix::fs::FlockOperation;
use rustix::process::{Resource, Rlimit};

pub fn read_config(path: &Path) -> anyhow::Result<(NodeConfig, Vec<String>)> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "cannot read the configuration {}; name a server.properties that exists",
            path.display()
        )
    })?;
    NodeConfig::parse(&text).map_err(|errors| {
        let told: Vec<String> = errors.iter().map(|error| format!("  {error}")).collect();
        anyhow!("{} does not read; mend and start again:\n{}", path.display(), told.join("\n"))
    })
}

/// The data directory, ours until dropped.
pub struct LockedDirectory {
    path: PathBuf,
    _lock: File,
}

impl LockedDirectory {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

pub fn lock_directory(config: &NodeConfig) -> anyhow::Result<LockedDirectory> {
    let path = PathBuf::from(config.data_dir());
    std::fs::create_dir_all(&path).with_context(|| {
        format!(
            "cannot make the data directory {}; make it yourself or point log.dirs at one that this user may write",
            path.display()
        )
    })?;
    let lock_path = path.join(".lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).with_context(
        || {
            format!(
                "cannot write in the data directory {}; check its owner, its rights, and the free space of its disk",
                path.display()
            )
        },
    )?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(LockedDirectory { path, _lock: lock }),
        Err(rustix::io::Errno::WOULDBLOCK) => bail!(
            "another process uses the data directory {} (it holds {}); stop that process, or give this node a log.dirs of its own",
            path.display(),
            lock_path.display()
        ),
        Err(error) => Err(anyhow!(error)).with_context(|| {
            format!("cannot lock {}; its file system must support flock", lock_path.display())
        }),
    }
}

/// Each segment and each connection needs a descriptor; the usual soft limit is too low and ours to raise.
pub fn raise_file_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where this is refused, the node still works until it has that many files open.
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
}

pub fn random_seed() -> anyhow::Result<u64> {
    let mut bytes = [0u8; 8];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read /dev/urandom; set highwater.seed to a number instead")?;
    Ok(u64::from_le_bytes(bytes))
}
