//! What deeds on disks and files do to a simulated disk, and which of them have no meaning there.
//!
//! Promises: a full disk, a failing write, a failing sync and an old copy are those of `disk`. A node that ends of one is started
//! again at once, as any that gives up in the simulation is. Not there: operations that fail by chance or by path, and files that
//! somebody lays hands on; such plans are refused.

use crate::disk::Snapshot;
use crate::invariant::Loss;
use crate::scenario::FailingOp;
use crate::world::World;
use plan::Deed;
use plan::files::{Operation, Pattern};

/// Why a deed can't be simulated; `None` where it can, or is none of these.
pub fn refusal(deed: Deed) -> Option<String> {
    let whole = |path: Pattern| path == Pattern::ANY;
    let why = match deed {
        Deed::IoError { operation: Operation::Write, probability: 100, path } if whole(path) => {
            return None;
        }
        Deed::FsyncError { path } if whole(path) => return None,
        Deed::IoError { .. } => {
            "there every write fails or none: leave `operation`, `probability` and `path` out"
        }
        Deed::FsyncError { .. } => "there the next sync of any file fails: leave `path` out",
        Deed::Slow { .. } => {
            "a simulated disk is slow by a factor; `highwater sim` without a plan draws slow disks"
        }
        Deed::TornWrite { .. } => {
            "a simulated `kill` tears what is being written, whenever something is"
        }
        Deed::LogDirOffline { .. } => "the bundled broker has one log directory",
        Deed::BitFlip { .. } => {
            "`highwater sim` without a plan lets bits rot where it can tell what they cost"
        }
        Deed::TruncateTail { .. } => "nobody lays hands on the files of a simulated disk",
        _ => return None,
    };
    Some(format!("`{deed}` can't be simulated as it is: {why}"))
}

/// Whether the deed is on the disk of a node that goes on.
pub fn is_on_disk(deed: Deed) -> bool {
    matches!(deed, Deed::Full | Deed::IoError { .. } | Deed::FsyncError { .. })
}

/// Begins it.
pub fn hold(world: &mut World, id: u16, deed: Deed) {
    let disk = &mut world.machine(id).disk;
    match deed {
        Deed::Full => disk.set_full(true),
        Deed::IoError { .. } => disk.fail_next(FailingOp::Write),
        Deed::FsyncError { .. } => disk.fail_next(FailingOp::Sync),
        other => unreachable!("`{other}` is not on a disk"),
    }
}

/// Ends it; `others` are still held there.
pub fn lift(world: &mut World, id: u16, others: &[Deed]) {
    let now_ns = world.now_ns;
    world.machine(id).disk.heal(now_ns);
    for other in others {
        hold(world, id, *other);
    }
}

/// Ends the process, and puts the copy back for the next one.
pub fn put_back(world: &mut World, id: u16, snapshot: &Snapshot) {
    world.end_process(id);
    world.keep_down(id);
    world.machine(id).disk.restore(snapshot);
    world.suffers(id, Loss::Destroyed);
    world.start_at(id, world.now_ns);
}
