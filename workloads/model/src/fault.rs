//! Faults as recorded facts: what was asked, on whom, when it was seen to take effect, when it was seen to be over.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whom a fault hits, by the part that the node plays when the fault is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The leader of a partition.
    Leader,
    /// A follower of a partition.
    Follower,
    /// All followers of a partition.
    Followers,
    /// The active controller.
    Controller,
    ControllerFollower,
    /// Any one broker.
    One,
    Minority,
    Majority,
    All,
    /// Whoever leads the partition now, where an earlier step of the recipe hit its leader.
    Successor,
    /// Who led the partition when the recipe began.
    PreviousLeader,
    /// The last member of the partition's ISR.
    LastInSync,
    /// The nodes that earlier steps of the recipe held back.
    Starved,
    /// One node by its name.
    #[serde(untagged)]
    Node(String),
}

/// What became of a planned fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultState {
    Planned,
    /// The undo record is on disk and the injection was asked for.
    Asked,
    /// The probe saw it take effect.
    Confirmed,
    /// The probe saw that it is over.
    Cleared,
    /// Its role was empty when it was due.
    NotInjected,
    /// The probe did not see it take effect in time.
    NotConfirmed,
    /// The probe did not see it end in time.
    NotCleared,
}

/// Copies of data that a fault destroyed, by what was really done; the judge weighs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Destroys {
    Nothing,
    /// Everything on the node's disk.
    Disk,
    /// What the node had not synced.
    Unsynced,
    /// When it is healed, what came to the disk after the fault had begun.
    Newer,
}

/// One fault of a run, as it stands at the end; `faults.jsonl` holds one line for each change of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// Counts the run's faults up from 1, in the order in which they were planned.
    pub id: u32,
    /// `kill`, `stall`, `wipe`, …
    pub name: String,
    /// The recipe whose step this was.
    pub recipe: Option<String>,
    pub role: Role,
    /// The log whose leader or followers were meant, as `topic-partition`, where the role needs one.
    pub partition: Option<String>,
    /// The nodes that the role came to, `n1`, `n2`, ….
    pub nodes: Vec<String>,
    pub state: FaultState,
    pub destroys: Destroys,
    /// All times are milliseconds since the run began.
    pub planned_ms: u64,
    pub asked_ms: Option<u64>,
    pub confirmed_ms: Option<u64>,
    /// When healing was asked for.
    pub healed_ms: Option<u64>,
    pub cleared_ms: Option<u64>,
    /// How long it was to be held.
    pub for_ms: Option<u64>,
    /// What the probes measured, in words: `pid 4711 is gone`, `state T (stopped)`.
    pub evidence: Vec<String>,
    pub parameters: BTreeMap<String, String>,
}
