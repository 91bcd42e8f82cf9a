//! The Target port: what the nemesis asks of a cluster, and what it is told. Events in, actions out.
//!
//! Promises: no clock, no IO, no async, so that processes, hosts and the simulated world can all stand behind it.
//! Whoever carries an action out writes its undo record first, answers each [`Action`] with the events that belong
//! to it (at once or later), and never answers for a deed that was not done.

pub use crate::deed::{Connections, Cut, Deed, DeedName, Direction, How, Needs, Resource, Rhythm};

use model::cluster::Observation;
use std::fmt;

/// Who is on the other end of a cut.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    Node(String),
    /// All clients of the run, and the harness itself.
    Clients,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Node(name) => f.write_str(name),
            Peer::Clients => f.write_str("clients"),
        }
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
    /// Write the undo record, then do it. Answered by [`Event::Done`] or [`Event::Failed`]. `peers`: for deeds that are
    /// done between nodes, never empty then, and never the node itself.
    Inject { fault: u32, node: String, deed: Deed, peers: Vec<Peer> },
    /// Of what comes and goes while it is held ([`Deed::rhythm`]): out of effect, or in effect again, until it is healed.
    /// Answered by [`Event::Done`] or [`Event::Failed`].
    Pulse { fault: u32, node: String, on: bool },
    /// Undo it. Answered by [`Event::Done`] or [`Event::Failed`]; asked again after a failure.
    Heal { fault: u32, node: String },
    /// Look whether it took effect, or is over. Asked again until it is, or until the nemesis gives up.
    Probe { fault: u32, node: String, expect: Expect },
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
    /// An `Inject`, `Pulse` or `Heal` was carried out; a probe will tell whether it worked.
    Done { fault: u32, node: String },
    /// An `Inject`, `Pulse` or `Heal` could not be carried out.
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

    /// Every node once, brokers first.
    pub fn nodes(&self) -> Vec<String> {
        let mut nodes: Vec<String> = Vec::new();
        for member in self.brokers.iter().chain(&self.controllers) {
            if !nodes.contains(&member.name) {
                nodes.push(member.name.clone());
            }
        }
        nodes
    }

    pub fn is_broker(&self, name: &str) -> bool {
        self.brokers.iter().any(|member| member.name == name)
    }

    pub fn is_controller(&self, name: &str) -> bool {
        self.controllers.iter().any(|member| member.name == name)
    }
}
