//! The controller quorum: Kafka's KRaft, as a state machine without IO.
//!
//! Promises, each held by an assertion or by the properties of the simulation in `sim`: one leader in an epoch; epochs
//! and high watermarks that never go back in a process life; a high watermark that only the leader's own epoch moves
//! and that a majority has synced; committed records that no member ever truncates, delivered to the owner in order and
//! once in a process life (a [`Output::LoadSnapshot`] starts the owner anew). No vote is answered and no candidacy sent
//! before `quorum-state` is on disk.
//!
//! Not here: changing the voter set (its records are on disk from the first boot, the requests are not served), the
//! meaning of any record, sockets, clocks, and chance other than the seed's.

mod answer;
mod commit;
mod config;
mod defect;
mod describe;
mod election;
mod fetch;
mod follow;
mod inspect;
mod lead;
mod open;
mod poll;
mod quorum;
pub mod quorum_state;
mod rng;
mod role;
pub mod rpc;
pub mod snapshot;
mod voters;

pub use config::{Config, Now, Voter, directory_id_for};
pub use defect::{Defect, Defects};
pub use inspect::Inspection;
pub use quorum::{AppendError, Output, Quorum, ReplicaStatus, Status};
pub use quorum_state::{ElectionState, ReplicaKey};
pub use rpc::{CallFailed, Request, RequestRef, Response};
pub use snapshot::SnapshotId;
pub use voters::VoterSet;

/// The directory of the metadata log, relative to the log directory.
pub const DIR: &str = "__cluster_metadata-0";

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
