//! The Target port: what the nemesis asks of a cluster, and what it is told. Events in, actions out.
//!
//! Promises: no clock, no IO, no async, so that processes, hosts and the simulated world can all stand behind it.
//! Whoever carries an action out writes its undo record first, answers each [`Action`] with the events that belong
//! to it (at once or later), and never answers for a deed that was not done.

use model::cluster::Observation;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What can be done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// SIGKILL. Healed by starting the node again on its own data.
    Kill,
    /// SIGSTOP. Healed by SIGCONT.
    Stall,
    /// SIGKILL, then everything in its data directory is destroyed. Healed by starting it again with the same node
    /// id on an empty disk.
    Wipe,
}

impl Deed {
    pub const ALL: [Deed; 3] = [Deed::Kill, Deed::Stall, Deed::Wipe];

    /// The word for it in plans, records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Deed::Kill => "kill",
            Deed::Stall => "stall",
            Deed::Wipe => "wipe",
        }
    }

    /// What it does, in a sentence, for `highwater list faults`.
    pub fn about(self) -> &'static str {
        match self {
            Deed::Kill => "SIGKILL; the process is started again on its own data when it is healed",
            Deed::Stall => "SIGSTOP, like a long garbage collection; SIGCONT when it is healed",
            Deed::Wipe => "SIGKILL and an empty disk; started again with the same node id",
        }
    }

    /// Which copies it destroys.
    pub fn destroys(self) -> model::fault::Destroys {
        match self {
            Deed::Kill | Deed::Stall => model::fault::Destroys::Nothing,
            Deed::Wipe => model::fault::Destroys::Disk,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a probe is to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The fault is in effect: answered by [`Event::Confirmed`] or [`Event::NotConfirmed`].
    InEffect,
    /// The fault is over: answered by [`Event::Cleared`] or [`Event::NotCleared`].
    Over,
}

/// What the nemesis wants done now. `fault` is the id of the [`model::fault::FaultRecord`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write the undo record, then do it. Answered by [`Event::Done`] or [`Event::Failed`].
    Inject { fault: u32, node: String, deed: Deed },
    /// Undo it. Answered by [`Event::Done`] or [`Event::Failed`]; asked again after a failure.
    Heal { fault: u32, node: String, deed: Deed },
    /// Look whether it took effect, or is over. Asked again until it is, or until the nemesis gives up.
    Probe { fault: u32, node: String, deed: Deed, expect: Expect },
}

/// What the nemesis is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The fault phase begins: the schedule counts from here.
    Begin,
    /// Time passed; nothing else happened.
    Tick,
    /// The observer saw the cluster change.
    Observed(Observation),
    /// Acknowledged sends since the run began, of each partition of the plan's topic by its number.
    Acked { counts: Vec<u64> },
    /// An `Inject` or `Heal` was carried out; a probe will tell whether it worked.
    Done { fault: u32, node: String },
    /// An `Inject` or `Heal` could not be carried out.
    Failed { fault: u32, node: String, error: String },
    /// A probe saw the fault in effect. `evidence`: what it measured, in words.
    Confirmed { fault: u32, node: String, evidence: String },
    /// A probe did not see it in effect, so far.
    NotConfirmed { fault: u32, node: String, evidence: String },
    /// A probe saw that the fault is over.
    Cleared { fault: u32, node: String, evidence: String },
    /// A probe saw that it is not over, so far.
    NotCleared { fault: u32, node: String, evidence: String },
}

/// One member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Kafka's `node.id`.
    pub id: i32,
    /// The name in records and reports: `n1`, `c1`, ….
    pub name: String,
}

/// Who there is. A combined node stands in both lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    pub brokers: Vec<Member>,
    pub controllers: Vec<Member>,
}

impl Topology {
    /// The name of a node id.
    pub fn name(&self, id: i32) -> Option<&str> {
        let members = self.brokers.iter().chain(&self.controllers);
        members.clone().find(|member| member.id == id).map(|member| member.name.as_str())
    }

    /// The node id of a name.
    pub fn id(&self, name: &str) -> Option<i32> {
        let members = self.brokers.iter().chain(&self.controllers);
        members.clone().find(|member| member.name == name).map(|member| member.id)
    }

    pub fn is_broker(&self, name: &str) -> bool {
        self.brokers.iter().any(|member| member.name == name)
    }

    pub fn is_controller(&self, name: &str) -> bool {
        self.controllers.iter().any(|member| member.name == name)
    }
}
