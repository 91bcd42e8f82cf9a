//! Carries the nemesis' actions out on local processes and between them: signals, wiped disks, cuts, links
//! through proxies, clocks, requests to the cluster, clients, and their undoing.
//!
//! Promises: what has to be undone is on disk before it is done ([`undo`]), so that a killed harness can be cleaned
//! up after; a process is known by its pid *and* its start time, so that a pid that was given to somebody else is
//! never signalled; a probe reports what it measured, not what was asked for.
//!
//! Not promised: that a node is ready when it is started (the observer sees that), or that anything outlives the
//! machine's next boot.

#![allow(
    clippy::disallowed_methods,
    reason = "this crate is where the real world begins: it waits for real processes"
)]

pub mod clients;
#[cfg(target_os = "linux")]
pub mod fuse;
#[cfg(not(target_os = "linux"))]
#[path = "fuse_elsewhere.rs"]
pub mod fuse;
pub mod group;
pub mod injector;
pub mod links;
pub mod net;
mod open_files;
pub mod power;
pub mod process;
pub mod timekeeper;
pub mod topic_admin;
pub mod undo;

pub use clients::Clients;
pub use fuse::Fuse;
pub use group::Group;
pub use injector::{Injector, Nodes};
pub use links::{Broker, Proxies};
pub use net::World;
pub use power::Disk;
pub use process::Process;
pub use timekeeper::Timekeeper;
pub use topic_admin::TopicAdmin;
pub use undo::UndoLog;
