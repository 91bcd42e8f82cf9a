//! A control group for each node, so that its share of the CPU and its memory can be limited.
//!
//! Promises: only groups that were made here are touched, beside everybody else's and at the top of the hierarchy; both
//! versions are known, and so are machines on which each controller has a hierarchy of its own (version 1, and the kernel's
//! Documentation/admin-guide/cgroup-v1). What is counted is the kernel's own. Not promised: that memory in use can be taken
//! back. The kernel refuses a limit below it in version 1, and ends processes in version 2.
//!
//! Undo: a group is a directory that goes once no process is in it; the caller writes it down before it is made. One that was not
//! removed goes with its value, where nobody is in it any more.

use crate::process::Process;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// In microseconds: the kernel's own default.
const PERIOD_US: u64 = 100_000;
/// Probes of what is possible here are called after the process that makes them, and count.
const PROBE: &str = "highwater-probe";
static PROBES: AtomicU32 = AtomicU32::new(0);

/// Where groups are made on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// A directory for each controller.
    V1 {
        cpu: PathBuf,
        memory: PathBuf,
    },
    V2 {
        root: PathBuf,
    },
}

/// What the kernel counted of a group under a limit of its CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuUse {
    /// Periods in which it ran.
    pub periods: u64,
    /// Periods in which it would have run for longer.
    pub throttled: u64,
}

/// What the kernel counted of a group's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    pub bytes: u64,
    /// How often it met its limit, so that something had to be given up first.
    pub hits: u64,
    /// Processes that were killed because nothing could be.
    pub killed: u64,
}

/// The group of one node.
#[derive(Debug)]
pub struct Group {
    hierarchy: Hierarchy,
    /// Its directories, as far as they were made, and are not removed yet.
    made: Vec<PathBuf>,
}

/// Whether groups can be made and limited here, and if not, why.
pub fn can_make() -> Result<(), String> {
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let name = format!("{PROBE}-{}-{number}", std::process::id());
    let group = Hierarchy::find().and_then(|hierarchy| Group::make(hierarchy, &name));
    let group = group.map_err(|error| error.to_string())?;
    let limited = group.limit_cpu(Some(50)).and_then(|()| group.limit_memory(Some(1 << 30)));
    limited.and_then(|()| group.remove()).map_err(|error| error.to_string())
}

impl Hierarchy {
    /// Where this machine has them.
    pub fn find() -> io::Result<Hierarchy> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")
            .map_err(|error| io::Error::other(format!("/proc/self/mountinfo: {error}")))?;
        Hierarchy::among(&mounts).ok_or_else(|| {
            io::Error::other(
                "no hierarchy of control groups with the controllers cpu and memory is mounted",
            )
        })
    }

    /// Among the lines of a `mountinfo`.
    fn among(mounts: &str) -> Option<Hierarchy> {
        let mounted = |kind: &str, controller: Option<&str>| {
            mounts.lines().find_map(|line| {
                let (before, after) = line.split_once(" - ")?;
                let mut after = after.split(' ');
                let is_kind = after.next() == Some(kind);
                let options = after.nth(1).unwrap_or_default();
                let has = controller.is_none_or(|name| options.split(',').any(|one| one == name));
                let place = before.split(' ').nth(4)?;
                (is_kind && has).then(|| PathBuf::from(place))
            })
        };
        let first = mounted("cgroup", Some("cpu")).zip(mounted("cgroup", Some("memory")));
        match first {
            Some((cpu, memory)) => Some(Hierarchy::V1 { cpu, memory }),
            None => mounted("cgroup2", None).map(|root| Hierarchy::V2 { root }),
        }
    }

    /// The directories that are a group of this name.
    pub fn directories(&self, name: &str) -> Vec<PathBuf> {
        match self {
            Hierarchy::V1 { cpu, memory } if cpu == memory => vec![cpu.join(name)],
            Hierarchy::V1 { cpu, memory } => vec![cpu.join(name), memory.join(name)],
            Hierarchy::V2 { root } => vec![root.join(name)],
        }
    }
}

impl Group {
    pub fn make(hierarchy: Hierarchy, name: &str) -> io::Result<Group> {
        if let Hierarchy::V2 { root } = &hierarchy {
            // Most init systems did it already; where they did not, this is refused if processes are at the top.
            let file = root.join("cgroup.subtree_control");
            let enabled = read(&file)?;
            let has = |name: &str| enabled.split_whitespace().any(|one| one == name);
            if !(has("cpu") && has("memory")) {
                write(&file, "+cpu +memory")?;
            }
        }
        let mut group = Group { hierarchy, made: Vec::new() };
        for directory in group.hierarchy.directories(name) {
            fs::create_dir(&directory).map_err(|error| told(&directory, error))?;
            group.made.push(directory);
        }
        Ok(group)
    }

    /// The process, and all that it starts from now on, is in the group.
    pub fn adopt(&self, pid: u32) -> io::Result<()> {
        for directory in &self.made {
            write(&directory.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// Whether the kernel counts the process as one of the group's.
    pub fn holds(&self, process: &Process) -> io::Result<bool> {
        for directory in &self.made {
            let pids = read(&directory.join("cgroup.procs"))?;
            if !pids.lines().any(|pid| pid.parse() == Ok(process.pid)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// So many percent of one CPU from now on; `None`: as much as there is.
    pub fn limit_cpu(&self, percent: Option<u64>) -> io::Result<()> {
        let quota_us = percent.map(|percent| percent * PERIOD_US / 100);
        match &self.hierarchy {
            Hierarchy::V1 { .. } => {
                let quota = quota_us.map_or("-1".to_string(), |quota_us| quota_us.to_string());
                write(&self.cpu("cpu.cfs_period_us"), &PERIOD_US.to_string())?;
                write(&self.cpu("cpu.cfs_quota_us"), &quota)
            }
            Hierarchy::V2 { .. } => {
                let quota = quota_us.map_or("max".to_string(), |quota_us| quota_us.to_string());
                write(&self.cpu("cpu.max"), &format!("{quota} {PERIOD_US}"))
            }
        }
    }

    /// The limit as the kernel has it, in percent of one CPU.
    pub fn cpu_limit(&self) -> io::Result<Option<u64>> {
        let quota = match &self.hierarchy {
            Hierarchy::V1 { .. } => read(&self.cpu("cpu.cfs_quota_us"))?,
            Hierarchy::V2 { .. } => read(&self.cpu("cpu.max"))?,
        };
        let quota_us: Option<u64> = quota.split_whitespace().next().and_then(|us| us.parse().ok());
        Ok(quota_us.map(|quota_us| quota_us * 100 / PERIOD_US))
    }

    pub fn cpu_use(&self) -> io::Result<CpuUse> {
        let counts = read(&self.cpu("cpu.stat"))?;
        Ok(CpuUse {
            periods: number(&counts, "nr_periods"),
            throttled: number(&counts, "nr_throttled"),
        })
    }

    /// So many bytes from now on, what the kernel caches of its files included; `None`: as many as there are.
    pub fn limit_memory(&self, bytes: Option<u64>) -> io::Result<()> {
        let (file, none) = match &self.hierarchy {
            Hierarchy::V1 { .. } => ("memory.limit_in_bytes", "-1"),
            Hierarchy::V2 { .. } => ("memory.max", "max"),
        };
        let text = bytes.map_or(none.to_string(), |bytes| bytes.to_string());
        write(&self.memory(file), &text).map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => io::Error::other(
                "it uses more memory than that, and the kernel could not take it back: allow more",
            ),
            _ => error,
        })
    }

    /// The limit as the kernel has it: in whole pages.
    pub fn memory_limit(&self) -> io::Result<Option<u64>> {
        let (file, some_max) = match &self.hierarchy {
            // No limit reads as the largest number of whole pages.
            Hierarchy::V1 { .. } => ("memory.limit_in_bytes", i64::MAX as u64 >> 16),
            Hierarchy::V2 { .. } => ("memory.max", u64::MAX),
        };
        let limit: Option<u64> = read(&self.memory(file))?.trim().parse().ok();
        Ok(limit.filter(|bytes| bytes >> 16 < some_max))
    }

    pub fn memory_use(&self) -> io::Result<MemoryUse> {
        let whole = |file: &str| -> io::Result<u64> {
            Ok(read(&self.memory(file))?.trim().parse().unwrap_or_default())
        };
        match &self.hierarchy {
            Hierarchy::V1 { .. } => Ok(MemoryUse {
                bytes: whole("memory.usage_in_bytes")?,
                hits: whole("memory.failcnt")?,
                killed: number(&read(&self.memory("memory.oom_control"))?, "oom_kill"),
            }),
            Hierarchy::V2 { .. } => {
                let events = read(&self.memory("memory.events"))?;
                let (hits, killed) = (number(&events, "max"), number(&events, "oom_kill"));
                Ok(MemoryUse { bytes: whole("memory.current")?, hits, killed })
            }
        }
    }

    /// No process is in it any more.
    pub fn remove(mut self) -> io::Result<()> {
        std::mem::take(&mut self.made).iter().try_for_each(|one| remove(one))
    }

    fn cpu(&self, file: &str) -> PathBuf {
        self.made.first().expect("a group has a directory").join(file)
    }

    fn memory(&self, file: &str) -> PathBuf {
        self.made.last().expect("a group has a directory").join(file)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for directory in &self.made {
            // Best effort: whoever may have left processes in it removes it, and says what became of that.
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Removes the directory of a group. Its processes may be about to go: the kernel counts them for a moment after their end.
pub(crate) fn remove(directory: &Path) -> io::Result<()> {
    for _ in 0..500 {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other.map_err(|error| told(directory, error)),
        }
    }
    Err(io::Error::other(format!("{}: processes are still in it", directory.display())))
}

/// The number behind a word at the beginning of a line.
fn number(text: &str, word: &str) -> u64 {
    let behind = |line: &str| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(behind).unwrap_or_default()
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map_err(|error| told(path, error))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| told(path, error))
}

/// The same error, with where it happened.
fn told(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
pub(crate) mod tests;
