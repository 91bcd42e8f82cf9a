//! What a node's process and data are put into where a plan's faults need that: a disk of its own, a control group.

use anyhow::{Context, Result};
use inject::group::Hierarchy;
use inject::{Disk, Group, UndoLog};
use std::fs;
use std::path::Path;

/// Largest size of a node's own disk; an image takes no room before it is written to.
const DISK_BYTES: u64 = 8 << 30;

/// A file system of its own for the data of the node with this directory.
pub(super) fn own_disk(dir: &Path, data: &Path) -> Result<Disk> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Disk::make(&dir.join("disk.img"), data, DISK_BYTES)
        .with_context(|| format!("cannot make a disk of its own in {}", dir.display()))
}

/// A control group of this name, written down before it is made.
pub(super) fn own_group(name: &str, undo: &UndoLog) -> Result<Group> {
    let made = || {
        let hierarchy = Hierarchy::find()?;
        let name = format!("highwater-{name}");
        for directory in hierarchy.directories(&name) {
            undo.creating(&directory)?;
        }
        Group::make(hierarchy, &name)
    };
    made().with_context(|| format!("cannot make a control group for {name}"))
}
