//! Actions in, deeds done, events out.
//!
//! Promises: an [`Event::Done`] means that the deed was carried out, a [`Event::Confirmed`] or [`Event::Cleared`]
//! that its effect was measured, with the measurement as evidence. Nothing here waits: a probe that sees nothing yet
//! says so and is asked again. Each kind of deed has a module of its own; here they are only told apart.

mod clients;
mod clocks;
mod disk;
mod ended;
#[cfg(test)]
mod fake_clients;
mod fences;
mod files;
mod limits;
mod processes;
mod stalls;
mod storms;
mod surgery;
mod topic;

use crate::clients::Clients;
use crate::fuse::Fuse;
use crate::group::Group;
use crate::links::{Links, Proxies};
use crate::net::{Cuts, World};
use crate::power::Disk;
use crate::timekeeper::Timekeeper;
use crate::topic_admin::{TopicAdmin, TopicId};
use crate::undo::UndoLog;
use clients::Sessions;
use clocks::Clocks;
use fences::Fences;
use files::Files;
use limits::Limits;
use plan::client_deed::ClientDeed;
use plan::deed::{Deed, Resource};
use plan::random::Stream;
use plan::target::{Action, Event, Expect, Peer};
use processes::Processes;
use stalls::Stalls;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use storms::Storms;
use topic::Changes;

/// What the injector needs of whoever owns the nodes' processes.
pub trait Nodes {
    /// The pid of the node's process as it was last started; `None` once its owner has seen it end.
    fn pid(&self, node: &str) -> Option<u32>;

    /// Starts the node again with its own configuration and data, and answers the new pid. It need not be ready. The
    /// owner keeps the undo record of what it starts.
    fn start(&mut self, node: &str) -> io::Result<u32>;

    /// Where the node's data really is: the directory with its `meta.properties`.
    fn data_dir(&self, node: &str) -> PathBuf;

    /// Makes the emptied data directory one that the node starts on: a `meta.properties` with the same cluster and
    /// node id, and a directory id of its own, as a new disk has.
    fn format(&mut self, node: &str) -> io::Result<()>;

    /// The node runs the other version whenever it is started from now on; what that is, in words.
    fn upgrade(&mut self, _node: &str) -> io::Result<String> {
        Err(io::Error::other("there is no other version of its software"))
    }

    /// The file system that the node's data is on; `None`: it shares the machine's, whose power nobody cuts.
    fn disk(&mut self, _node: &str) -> Option<&mut Disk> {
        None
    }

    /// The file system through which the node sees its data; `None`: nothing of it can be made to fail.
    fn fuse(&mut self, _node: &str) -> Option<&Fuse> {
        None
    }

    /// The control group that the node's processes are in; `None`: nothing of theirs can be limited.
    fn group(&mut self, _node: &str) -> Option<&Group> {
        None
    }

    /// The network in which each node has a namespace of its own; `None`: they have none, and can't be cut off.
    fn network(&self) -> Option<&World> {
        None
    }

    /// The proxies in front of the brokers; `None`: their links can't be touched.
    fn proxies(&self) -> Option<&Proxies> {
        None
    }

    /// The wall clocks of the nodes; `None`: they are the machine's, which nobody touches.
    fn clocks(&mut self) -> Option<&mut dyn Timekeeper> {
        None
    }

    /// The administrator of the plan's topic; `None`: nobody can ask the cluster for anything.
    fn topic(&mut self) -> Option<&mut dyn TopicAdmin> {
        None
    }

    /// The load's clients; `None`: there is no load, or nobody can be told anything.
    fn clients(&mut self) -> Option<&mut dyn Clients> {
        None
    }

    /// Where clients reach the broker.
    fn listener(&self, _node: &str) -> Option<SocketAddr> {
        None
    }
}

/// Carries actions out on local processes and between them.
#[derive(Debug)]
pub struct Injector {
    /// What each fault does.
    deeds: BTreeMap<u32, Deed>,
    processes: Processes,
    files: Files,
    limits: Limits,
    cuts: Cuts,
    links: Links,
    clocks: Clocks,
    changes: Changes,
    sessions: Sessions,
    stalls: Stalls,
    fences: Fences,
    storms: Storms,
}

impl Injector {
    /// `seed`: of what faults on disks and files leave to chance.
    pub fn new(undo: UndoLog, seed: u64) -> Injector {
        let processes = Processes::new(undo, seed);
        let (files, cuts) = (Files::new(seed), Cuts::default());
        let (deeds, links, limits) = (BTreeMap::new(), Links::default(), Limits::default());
        let (clocks, changes) = (Clocks::default(), Changes::default());
        let (sessions, stalls, storms) =
            (Sessions::default(), Stalls::default(), Storms::default());
        Injector {
            deeds,
            processes,
            files,
            limits,
            cuts,
            links,
            clocks,
            changes,
            sessions,
            stalls,
            fences: Fences::default(),
            storms,
        }
    }

    /// Carries an action out and answers it.
    pub fn act(&mut self, action: &Action, nodes: &mut dyn Nodes) -> Event {
        match action {
            Action::Inject { fault, node, deed, peers } => {
                self.deeds.insert(*fault, *deed);
                let result = self.inject(*fault, node, *deed, peers, nodes);
                tracing::info!(fault, %node, deed = deed.as_str(), ok = result.is_ok(), "inject");
                answer(*fault, node, result)
            }
            Action::Pulse { fault, node, on } => {
                let result = self.pulse(*fault, node, *on, nodes);
                tracing::debug!(fault, %node, on, ok = result.is_ok(), "pulse");
                answer(*fault, node, result)
            }
            Action::Heal { fault, node } => {
                let result = self.heal(*fault, node, nodes);
                tracing::info!(fault, %node, ok = result.is_ok(), "heal");
                answer(*fault, node, result)
            }
            Action::Probe { fault, node, expect: Expect::InEffect } => {
                let (fault, node) = (*fault, node.clone());
                match self.in_effect(fault, &node, nodes) {
                    Ok(evidence) => Event::Confirmed { fault, node, evidence },
                    Err(evidence) => Event::NotConfirmed { fault, node, evidence },
                }
            }
            Action::Probe { fault, node, expect: Expect::Over } => {
                let (fault, node) = (*fault, node.clone());
                match self.over(fault, &node, nodes) {
                    Ok(evidence) => Event::Cleared { fault, node, evidence },
                    Err(evidence) => Event::NotCleared { fault, node, evidence },
                }
            }
        }
    }

    /// What a fault of ours does.
    pub fn deed(&self, fault: u32) -> Option<Deed> {
        self.deeds.get(&fault).copied()
    }

    /// The partition of which a fault of ours has had records deleted, or may have, and below which offset.
    pub fn removed(&self, fault: u32, part: &str) -> Option<(u32, i64)> {
        self.changes.removed(fault, part)
    }

    /// How many partitions a fault of ours gave the topic in all, or may have.
    pub fn grown(&self, fault: u32, part: &str) -> Option<u32> {
        self.changes.grown(fault, part)
    }

    /// Whether a fault of ours has had the topic deleted, or may have.
    pub fn is_deleted(&self, fault: u32, part: &str) -> bool {
        self.changes.is_deleted(fault, part)
    }

    /// The topic that a fault of ours had made in the place of the deleted one, if every broker knows it.
    pub fn anew(&self, fault: u32, part: &str) -> Option<TopicId> {
        self.changes.anew(fault, part)
    }

    /// What it lays hands on.
    fn resource(&self, fault: u32) -> Option<Resource> {
        self.deeds.get(&fault).map(|deed| deed.resource())
    }

    fn of_client(&self, fault: u32) -> Option<ClientDeed> {
        match self.deed(fault) {
            Some(Deed::Client(deed)) => Some(deed),
            _ => None,
        }
    }

    fn is_storm(&self, fault: u32) -> bool {
        matches!(self.of_client(fault), Some(ClientDeed::ConnectionStorm { .. }))
    }

    fn inject(
        &mut self,
        fault: u32,
        node: &str,
        deed: Deed,
        peers: &[Peer],
        nodes: &mut dyn Nodes,
    ) -> io::Result<()> {
        if let Deed::Link(link) = deed {
            return self.links.inject(fault, node, link, peers, proxies(nodes)?);
        }
        if let Deed::Clock(deed) = deed {
            return self.clocks.inject(fault, node, deed, keeper(nodes)?);
        }
        if let Deed::Topic(deed) = deed {
            return self.changes.inject(fault, node, deed, admin(nodes)?);
        }
        match deed {
            Deed::Client(ClientDeed::KillProducer) => {
                return self.sessions.inject(fault, node, clients(nodes)?);
            }
            Deed::Client(ClientDeed::StallConsumer { .. }) => {
                return self.stalls.inject(fault, node, clients(nodes)?);
            }
            Deed::Client(ClientDeed::Fence) => {
                return self.fences.inject(fault, node, clients(nodes)?);
            }
            Deed::Client(ClientDeed::ConnectionStorm { sockets }) => {
                let broker = nodes
                    .listener(node)
                    .ok_or_else(|| io::Error::other("nobody knows where clients would reach it"))?;
                return self.storms.inject(fault, node, sockets, broker);
            }
            _ => {}
        }
        if let Some(cut) = deed.cut() {
            return self.cuts.inject(fault, node, cut, peers, network(nodes)?);
        }
        match deed.resource() {
            Resource::Disk => self.files.inject(fault, node, deed, nodes),
            Resource::Limits => self.limits.inject(fault, node, deed, nodes),
            _ => self.processes.inject(fault, node, deed, nodes),
        }
    }

    fn pulse(&mut self, fault: u32, node: &str, on: bool, nodes: &mut dyn Nodes) -> io::Result<()> {
        match self.resource(fault) {
            // Nothing of these comes and goes in beats, and a clock keeps its beat by itself.
            None
            | Some(
                Resource::Disk
                | Resource::Limits
                | Resource::Links
                | Resource::Clock
                | Resource::Topic
                | Resource::Clients,
            ) => Ok(()),
            Some(Resource::Process) => self.processes.pulse(fault, node, on, nodes),
            Some(Resource::Network) => self.cuts.pulse(fault, node, on, network(nodes)?),
        }
    }

    fn heal(&mut self, fault: u32, node: &str, nodes: &mut dyn Nodes) -> io::Result<()> {
        match (self.resource(fault), nodes.network()) {
            (Some(Resource::Process), _) => self.processes.heal(fault, node, nodes),
            (Some(Resource::Disk), _) => {
                self.files.heal(fault, node, self.processes.keep_down(node), nodes)
            }
            (Some(Resource::Limits), _) => {
                self.limits.heal(fault, node, self.processes.keep_down(node), nodes)
            }
            (Some(Resource::Links), _) => {
                self.links.heal(fault, node, nodes.proxies());
                Ok(())
            }
            (Some(Resource::Clock), _) => self.clocks.heal(fault, node, keeper(nodes)?),
            (Some(Resource::Topic), _) => self.changes.heal(fault, node, admin(nodes)?),
            (Some(Resource::Clients), _) => {
                self.storms.heal(fault, node);
                match nodes.clients() {
                    Some(clients) => {
                        self.stalls.heal(fault, node, clients)?;
                        self.fences.heal(fault, node, clients)?;
                        self.sessions.heal(fault, node, clients)
                    }
                    // Nothing can have been done to one.
                    None => Ok(()),
                }
            }
            (Some(Resource::Network), Some(world)) => self.cuts.heal(fault, node, world),
            // Nothing can have been done.
            (None, _) | (Some(Resource::Network), None) => Ok(()),
        }
    }

    fn in_effect(
        &mut self,
        fault: u32,
        node: &str,
        nodes: &mut dyn Nodes,
    ) -> Result<String, String> {
        match self.resource(fault) {
            None => Err("nothing was done to it".to_string()),
            Some(Resource::Process) => self.processes.in_effect(fault, node, nodes),
            Some(Resource::Disk) => self.files.in_effect(fault, node, nodes),
            Some(Resource::Limits) => self.limits.in_effect(fault, node, nodes),
            Some(Resource::Network) => {
                let world = network(nodes).map_err(|error| error.to_string())?;
                self.cuts.in_effect(fault, node, world)
            }
            Some(Resource::Links) => {
                let proxies = proxies(nodes).map_err(|error| error.to_string())?;
                self.links.in_effect(fault, node, proxies)
            }
            Some(Resource::Clock) => {
                let keeper = keeper(nodes).map_err(|error| error.to_string())?;
                self.clocks.in_effect(fault, node, keeper)
            }
            Some(Resource::Topic) => {
                let admin = admin(nodes).map_err(|error| error.to_string())?;
                self.changes.in_effect(fault, node, admin)
            }
            Some(Resource::Clients) if self.is_storm(fault) => self.storms.in_effect(fault, node),
            Some(Resource::Clients) => {
                let clients = clients(nodes).map_err(|error| error.to_string())?;
                match self.of_client(fault) {
                    Some(ClientDeed::StallConsumer { .. }) => {
                        self.stalls.in_effect(fault, node, clients)
                    }
                    Some(ClientDeed::Fence) => self.fences.in_effect(fault, node, clients),
                    _ => self.sessions.in_effect(fault, node, clients),
                }
            }
        }
    }

    fn over(&mut self, fault: u32, node: &str, nodes: &mut dyn Nodes) -> Result<String, String> {
        match (self.resource(fault), nodes.network()) {
            (Some(Resource::Process), _) => self.processes.over(fault, node, nodes),
            (Some(Resource::Disk), _) => {
                self.files.over(fault, node, self.processes.keep_down(node), nodes)
            }
            (Some(Resource::Limits), _) => {
                self.limits.over(fault, node, self.processes.keep_down(node), nodes)
            }
            (Some(Resource::Links), _) => self.links.over(fault, node, nodes.proxies()),
            (Some(Resource::Clock), _) => {
                let keeper = keeper(nodes).map_err(|error| error.to_string())?;
                self.clocks.over(fault, node, keeper)
            }
            (Some(Resource::Topic), _) => {
                let admin = admin(nodes).map_err(|error| error.to_string())?;
                self.changes.over(fault, node, admin)
            }
            (Some(Resource::Clients), _) if self.is_storm(fault) => self.storms.over(fault, node),
            (Some(Resource::Clients), _) => {
                let clients = clients(nodes).map_err(|error| error.to_string())?;
                match self.of_client(fault) {
                    Some(ClientDeed::StallConsumer { .. }) => {
                        self.stalls.over(fault, node, clients)
                    }
                    Some(ClientDeed::Fence) => self.fences.over(fault, node, clients),
                    _ => self.sessions.over(fault, node, clients),
                }
            }
            (Some(Resource::Network), Some(world)) => self.cuts.over(fault, node, world),
            (None, _) | (Some(Resource::Network), None) => Ok("nothing was done to it".to_string()),
        }
    }
}

fn network(nodes: &dyn Nodes) -> io::Result<&World> {
    nodes.network().ok_or_else(|| {
        io::Error::other(
            "its nodes have no network of their own: this needs a namespace for each node, \
             with root or user namespaces (`highwater doctor` says what is missing)",
        )
    })
}

fn disk_of<'a>(nodes: &'a mut dyn Nodes, node: &str) -> io::Result<&'a mut Disk> {
    nodes.disk(node).ok_or_else(|| {
        io::Error::other(
            "its data is on the machine's own disk: this needs a disk for each node \
             (`highwater doctor` says what is missing)",
        )
    })
}

fn fuse_of<'a>(nodes: &'a mut dyn Nodes, node: &str) -> io::Result<&'a Fuse> {
    nodes.fuse(node).ok_or_else(|| {
        io::Error::other(
            "its data is on the machine's own disk: this needs a file system that can fail for each node \
             (`highwater doctor` says what is missing)",
        )
    })
}

fn group_of<'a>(nodes: &'a mut dyn Nodes, node: &str) -> io::Result<&'a Group> {
    nodes.group(node).ok_or_else(|| {
        io::Error::other(
            "its processes are in no group of their own: this needs a control group for each node \
             (`highwater doctor` says what is missing)",
        )
    })
}

/// What is left to chance in a fault on a node's disk or files.
fn seed_of(seed: u64, fault: u32, node: &str) -> u64 {
    Stream::new(seed, &format!("inject/{fault}/{node}")).next_u64()
}

fn proxies(nodes: &dyn Nodes) -> io::Result<&Proxies> {
    nodes.proxies().ok_or_else(|| io::Error::other("there is no proxy in front of its brokers"))
}

fn keeper(nodes: &mut dyn Nodes) -> io::Result<&mut dyn Timekeeper> {
    nodes.clocks().ok_or_else(|| io::Error::other("its nodes go by the machine's clock"))
}

fn admin(nodes: &mut dyn Nodes) -> io::Result<&mut dyn TopicAdmin> {
    nodes.topic().ok_or_else(|| io::Error::other("nobody administers its topic"))
}

fn clients(nodes: &mut dyn Nodes) -> io::Result<&mut dyn Clients> {
    nodes.clients().ok_or_else(|| io::Error::other("there are no clients that could be told"))
}

fn answer(fault: u32, node: &str, result: io::Result<()>) -> Event {
    let node = node.to_string();
    match result {
        Ok(()) => Event::Done { fault, node },
        Err(error) => Event::Failed { fault, node, error: error.to_string() },
    }
}

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod tests;
