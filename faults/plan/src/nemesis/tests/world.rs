//! A small make-believe cluster that carries actions out and is observed.

use crate::deed::{Deed, Resource};
use crate::nemesis::Nemesis;
use crate::plan::Plan;
use crate::random::Stream;
use crate::schedule::Schedule;
use crate::target::{Action, Event, Expect, Member, Peer, Topology};
use crate::{load, shipped};
use model::cluster::{Observation, PartitionState};
use std::collections::{BTreeMap, BTreeSet};

const SESSION_MS: u64 = 1_000;
const LAG_MS: u64 = 1_500;
const REJOIN_MS: u64 = 300;
pub const TICK_MS: u64 = 5;

pub fn plan(text: &str) -> Plan {
    let text = format!("schema = 1\nname = \"test\"\n{text}");
    load("test", &text, &[]).unwrap_or_else(|error| panic!("{error}")).plan
}

pub fn shipped_plan(name: &str) -> Plan {
    load(name, shipped::plan(name).unwrap().text, &[]).unwrap().plan
}

#[derive(Clone, Debug, Default)]
struct Node {
    down: bool,
    stalled: bool,
    /// Since when it is as it is.
    since_ms: u64,
    fenced: bool,
    wiped: bool,
    /// The faults that its disk is under, and copies that were made of it.
    disk: BTreeSet<u32>,
    /// The faults that cut it off, each with whom it does not reach.
    cuts: BTreeMap<u32, Cutoff>,
}

#[derive(Clone, Debug)]
struct Cutoff {
    peers: Vec<Peer>,
    since_ms: u64,
    /// Between two beats of a flap.
    whole: bool,
}

impl Node {
    /// Since when it has not reached another one.
    fn cut_from(&self, other: &str) -> Option<u64> {
        let closed = |cut: &&Cutoff| !cut.whole && cut.peers.contains(&Peer::Node(other.into()));
        self.cuts.values().filter(closed).map(|cut| cut.since_ms).min()
    }
}

/// What a world does badly.
#[derive(Clone, Copy, Debug, Default)]
pub struct Troubles {
    /// In a hundred: a deed or healing fails.
    pub failures: u64,
    /// In a hundred: a probe is not answered.
    pub silence: u64,
    /// Nothing is ever seen to take effect.
    pub blunt: bool,
    /// The observer looks only so often.
    pub look_every_ms: u64,
}

pub struct World {
    pub nemesis: Nemesis,
    pub now_ms: u64,
    nodes: BTreeMap<String, Node>,
    topology: Topology,
    partitions: Vec<PartitionState>,
    controller: i32,
    acked: Vec<u64>,
    observed: Vec<Observation>,
    troubles: Troubles,
    stream: Stream,
    /// Every action with its time.
    pub actions: Vec<(u64, Action)>,
    /// Most nodes damaged at one time.
    pub damaged_max: usize,
    /// Times that a node was under a fault already when another one hit it.
    pub stacked: usize,
    /// What each fault does.
    deeds: BTreeMap<u32, Deed>,
    healed: BTreeSet<u32>,
    /// Faults on the topic that are in effect, each with the part that it is about.
    changes: BTreeSet<(u32, String)>,
}

impl World {
    pub fn new(plan: &Plan, seed: u64, troubles: Troubles) -> World {
        let member = |prefix: &str, id: i32, n: u32| Member { id, name: format!("{prefix}{n}") };
        let brokers: Vec<Member> =
            (1..=plan.target.nodes).map(|n| member("n", n as i32, n)).collect();
        let controllers = match plan.target.controllers {
            crate::plan::Controllers::Combined => brokers.clone(),
            crate::plan::Controllers::Dedicated(count) => {
                (1..=count).map(|n| member("c", 100 + n as i32, n)).collect()
            }
        };
        let count = plan.target.nodes;
        let partitions = (0..plan.topic.partitions).map(|partition| {
            let replica = |n: u32| ((partition + n) % count + 1) as i32;
            let replicas: Vec<i32> =
                (0..u32::from(plan.topic.replication_factor)).map(replica).collect();
            PartitionState {
                at_ms: 0,
                topic: plan.topic.name.clone(),
                partition,
                leader: replicas[0],
                leader_epoch: 0,
                isr: replicas.clone(),
                replicas,
                elr: Vec::new(),
                offline: Vec::new(),
                anew: None,
            }
        });
        let topology = Topology { brokers, controllers };
        let names = topology.brokers.iter().chain(&topology.controllers);
        let nodes = names.map(|member| (member.name.clone(), Node::default())).collect();
        let schedule = Schedule::new(plan, seed);
        World {
            nemesis: Nemesis::new(plan, schedule, topology.clone()),
            now_ms: 0,
            nodes,
            partitions: partitions.collect(),
            controller: topology.controllers[0].id,
            topology,
            acked: vec![0; plan.topic.partitions as usize],
            observed: Vec::new(),
            troubles,
            stream: Stream::new(seed, "world"),
            actions: Vec::new(),
            damaged_max: 0,
            stacked: 0,
            deeds: BTreeMap::new(),
            healed: BTreeSet::new(),
            changes: BTreeSet::new(),
        }
    }

    /// Baseline, faults and healing, as a runner does it.
    pub fn run(&mut self, plan: &Plan) {
        self.observe_all();
        self.send(Event::Begin);
        let end_ms = plan.time.run.0 + plan.time.heal.0;
        while self.now_ms < end_ms && !self.nemesis.is_finished() {
            self.tick();
        }
        self.end(plan);
    }

    /// The faults end, and everything is healed.
    pub fn end(&mut self, plan: &Plan) {
        let actions = self.nemesis.heal_all(self.now_ms);
        self.carry_out(actions);
        let deadline_ms = self.now_ms + plan.time.heal.0;
        while self.now_ms < deadline_ms && !self.nemesis.is_idle() {
            self.tick();
        }
        self.nemesis.close(self.now_ms);
    }

    pub fn tick(&mut self) {
        self.now_ms += TICK_MS;
        self.live();
        self.observe_all();
        self.send(Event::Acked { counts: self.acked.clone() });
        self.send(Event::Tick);
        self.damaged_max = self.damaged_max.max(self.hurt().len());
    }

    /// Nodes that are really down, stalled or cut off.
    pub fn hurt(&self) -> BTreeSet<String> {
        let is_hurt = |node: &Node| node.down || node.stalled || !node.cuts.is_empty();
        let hurt = self.nodes.iter().filter(|(_, node)| is_hurt(node));
        hurt.map(|(name, _)| name.clone()).collect()
    }

    pub fn leader(&self, partition: usize) -> i32 {
        self.partitions[partition].leader
    }

    pub fn isr(&self, partition: usize) -> &[i32] {
        &self.partitions[partition].isr
    }

    pub fn was_wiped(&self, node: &str) -> bool {
        self.nodes[node].wiped
    }

    fn send(&mut self, event: Event) {
        let actions = self.nemesis.on_event(self.now_ms, event);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.actions.push((self.now_ms, action.clone()));
            if let Some(event) = self.answer(&action) {
                self.send(event);
            }
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.stream.below(100) < percent
    }

    fn answer(&mut self, action: &Action) -> Option<Event> {
        let fails = self.chance(self.troubles.failures);
        let silent = self.chance(self.troubles.silence);
        match action {
            Action::Inject { fault, node, .. }
            | Action::Pulse { fault, node, .. }
            | Action::Heal { fault, node }
                if fails =>
            {
                let (fault, node) = (*fault, node.clone());
                Some(Event::Failed { fault, node, error: "no".to_string() })
            }
            Action::Inject { fault, node, deed, peers } => {
                self.deeds.insert(*fault, *deed);
                self.inject(*fault, node, *deed, peers);
                Some(Event::Done { fault: *fault, node: node.clone() })
            }
            Action::Pulse { fault, node: name, on } => {
                let node = self.nodes.get_mut(name).expect("a node of ours");
                let stutters = matches!(self.deeds.get(fault), Some(Deed::Stutter { .. }));
                let loops = matches!(self.deeds.get(fault), Some(Deed::CrashLoop { .. }));
                match node.cuts.get_mut(fault) {
                    Some(cut) => (cut.whole, cut.since_ms) = (!on, self.now_ms),
                    // What was healed meanwhile stays healed.
                    None if stutters && !self.healed.contains(fault) => node.stalled = *on,
                    None if loops && !self.healed.contains(fault) => node.down = *on,
                    None => {}
                }
                Some(Event::Done { fault: *fault, node: name.clone() })
            }
            Action::Heal { fault, node } => {
                self.heal(*fault, node);
                Some(Event::Done { fault: *fault, node: node.clone() })
            }
            Action::Probe { .. } if silent => None,
            Action::Probe { fault, node: name, expect } => {
                let in_effect = match self.deeds.get(fault) {
                    None => false,
                    Some(Deed::Topic(_) | Deed::Client(_)) => {
                        self.changes.contains(&(*fault, name.clone()))
                    }
                    Some(deed) => self.is_in_effect(*fault, *deed, &self.nodes[name]),
                };
                let (fault, node) = (*fault, name.clone());
                let evidence = format!("in effect: {in_effect}");
                Some(match (expect, in_effect) {
                    (Expect::InEffect, true) => Event::Confirmed { fault, node, evidence },
                    (Expect::InEffect, false) => Event::NotConfirmed { fault, node, evidence },
                    (Expect::Over, false) => Event::Cleared { fault, node, evidence },
                    (Expect::Over, true) => Event::NotCleared { fault, node, evidence },
                })
            }
        }
    }

    fn is_in_effect(&self, fault: u32, deed: Deed, node: &Node) -> bool {
        match deed {
            Deed::OldSnapshot => node.disk.contains(&fault),
            Deed::Stall | Deed::Stutter { .. } => node.stalled,
            deed => match deed.resource() {
                Resource::Process => node.down,
                Resource::Disk | Resource::Limits | Resource::Clock => node.disk.contains(&fault),
                _ => node.cuts.contains_key(&fault),
            },
        }
    }

    fn inject(&mut self, fault: u32, name: &str, deed: Deed, peers: &[Peer]) {
        let now_ms = self.now_ms;
        if let Deed::Topic(deed) = deed {
            let like = |(other, part): &(u32, String)| {
                let other = self.deeds.get(other).copied();
                matches!(other, Some(Deed::Topic(other)) if deed.meets(name, other, part))
            };
            assert!(!self.changes.iter().any(like), "{name} is changed twice at once");
            self.changes.insert((fault, name.to_string()));
            return;
        }
        if let Deed::Client(_) = deed {
            let of_clients = |other: &u32| matches!(self.deeds.get(other), Some(Deed::Client(_)));
            let mut others =
                self.changes.iter().filter(|(other, part)| part == name && of_clients(other));
            assert_eq!(others.next(), None, "{name} is hit while it is hurt");
            self.changes.insert((fault, name.to_string()));
            return;
        }
        let node = self.nodes.get_mut(name).expect("a node of ours");
        let is_process = deed.resource() == Resource::Process;
        assert!(!is_process || !(node.down || node.stalled), "{name} is hit while it is hurt");
        let has_peers = matches!(deed.resource(), Resource::Network | Resource::Links);
        assert_eq!(has_peers, !peers.is_empty(), "fault {fault}");
        assert!(!peers.contains(&Peer::Node(name.to_string())), "{name} is its own peer");
        let is_hurt = node.down || node.stalled || !node.cuts.is_empty() || !node.disk.is_empty();
        self.stacked += usize::from(is_hurt);
        if self.troubles.blunt {
            return;
        }
        match deed {
            Deed::Stall | Deed::Stutter { .. } => node.stalled = true,
            Deed::IoError { .. }
            | Deed::FsyncError { .. }
            | Deed::LogDirOffline { .. }
            | Deed::Slow { .. }
            | Deed::Full
            | Deed::CpuLimit { .. }
            | Deed::MemoryLimit { .. }
            | Deed::Clock(_)
            | Deed::OldSnapshot => {
                node.disk.insert(fault);
            }
            Deed::Kill
            | Deed::CrashLoop { .. }
            | Deed::Terminate { .. }
            | Deed::Upgrade { .. }
            | Deed::Wipe
            | Deed::PowerLoss
            | Deed::TornWrite { .. }
            | Deed::BitFlip { .. }
            | Deed::TruncateTail { .. } => {
                node.down = true;
                node.fenced = true;
                node.wiped |= deed == Deed::Wipe;
            }
            // The worst that links can come to here: nothing is carried.
            Deed::Cut(_)
            | Deed::Isolate { .. }
            | Deed::Flap { .. }
            | Deed::Split { .. }
            | Deed::Link(_) => {
                let peers = peers.to_vec();
                node.cuts.insert(fault, Cutoff { peers, since_ms: now_ms, whole: false });
            }
            Deed::Topic(_) | Deed::Client(_) => unreachable!("it is about no node"),
        }
        if is_process {
            node.since_ms = now_ms;
        }
    }

    fn heal(&mut self, fault: u32, name: &str) {
        self.healed.insert(fault);
        if matches!(self.deeds.get(&fault), Some(Deed::Topic(_) | Deed::Client(_))) {
            self.changes.remove(&(fault, name.to_string()));
            return;
        }
        let node = self.nodes.get_mut(name).expect("a node of ours");
        node.disk.remove(&fault);
        match self.deeds.get(&fault).map(|deed| deed.resource()) {
            Some(Resource::Network | Resource::Links) => {
                let was_cut = node.cuts.remove(&fault).is_some();
                node.since_ms = if was_cut { self.now_ms } else { node.since_ms };
            }
            Some(Resource::Process) if node.down || node.stalled => {
                (node.down, node.stalled) = (false, false);
                node.since_ms = self.now_ms;
            }
            _ => {}
        }
    }

    /// The cluster's own life: sessions, elections, ISRs and acknowledged sends.
    fn live(&mut self) {
        let now_ms = self.now_ms;
        let controller = self.topology.name(self.controller).expect("known").to_string();
        // Who is on either end of a cut does not reach the other.
        let apart = |nodes: &BTreeMap<String, Node>, a: &str, b: &str| {
            let (one, other) = (nodes[a].cut_from(b), nodes[b].cut_from(a));
            one.into_iter().chain(other).min()
        };
        for name in self.nodes.keys().cloned().collect::<Vec<_>>() {
            let cut_ms = apart(&self.nodes, &name, &controller);
            let node = self.nodes.get_mut(&name).expect("a node of ours");
            let age_ms = now_ms - node.since_ms;
            let silent = cut_ms.is_some_and(|since_ms| now_ms - since_ms >= SESSION_MS);
            if (node.stalled && age_ms >= SESSION_MS) || silent {
                node.fenced = true;
            } else if !node.down && !node.stalled && cut_ms.is_none() && age_ms >= REJOIN_MS {
                node.fenced = false;
            }
        }
        let find = |id: i32| &self.nodes[self.topology.name(id).expect("known")];
        if find(self.controller).fenced {
            let able = self.topology.controllers.iter().find(|member| !find(member.id).fenced);
            self.controller = able.map_or(self.controller, |member| member.id);
        }
        for (state, acked) in self.partitions.iter_mut().zip(&mut self.acked) {
            let fenced = |id: i32| find(id).fenced;
            let in_sync: Vec<i32> = state.isr.iter().copied().filter(|id| !fenced(*id)).collect();
            if !in_sync.is_empty() {
                state.isr = in_sync;
            }
            if state.leader < 0 || fenced(state.leader) {
                let heir = state.replicas.iter().find(|id| state.isr.contains(id) && !fenced(**id));
                let heir = heir.copied().unwrap_or(-1);
                state.leader_epoch += i32::from(heir != state.leader);
                state.leader = heir;
            }
            if state.leader < 0 || find(state.leader).stalled {
                continue;
            }
            // A live leader shrinks its ISR by lag and takes back who is well again.
            let leader = self.topology.name(state.leader).expect("known");
            let cut_ms =
                |id: i32| apart(&self.nodes, self.topology.name(id).expect("known"), leader);
            let lags = |id: i32| {
                let stalled_ms = find(id).stalled.then_some(find(id).since_ms);
                let since_ms = stalled_ms.into_iter().chain(cut_ms(id)).min();
                since_ms.is_some_and(|since_ms| now_ms - since_ms >= LAG_MS)
            };
            state.isr.retain(|id| *id == state.leader || !lags(*id));
            for id in &state.replicas {
                let node = find(*id);
                let well = !node.fenced && !node.stalled && !node.down && cut_ms(*id).is_none();
                if well && !state.isr.contains(id) {
                    state.isr.push(*id);
                }
            }
            *acked += 1;
        }
    }

    fn observe_all(&mut self) {
        if self.troubles.look_every_ms > 0 && self.now_ms % self.troubles.look_every_ms >= TICK_MS {
            return;
        }
        let at_ms = 0;
        let (fenced, alive): (Vec<_>, Vec<_>) =
            self.topology.brokers.iter().partition(|member| self.nodes[&member.name].fenced);
        let ids = |members: Vec<&Member>| members.into_iter().map(|member| member.id).collect();
        let brokers = Observation::Brokers { at_ms, alive: ids(alive), fenced: ids(fenced) };
        let (leader, voters) = (Some(self.controller), Vec::new());
        let quorum = Observation::Quorum { at_ms, leader, epoch: 1, voters, observers: Vec::new() };
        let partitions = self.partitions.clone().into_iter().map(Observation::Partition);
        // As an observer does: only what changed.
        let all: Vec<Observation> = partitions.chain([brokers, quorum]).collect();
        let known = std::mem::replace(&mut self.observed, all.clone());
        for (at, observation) in all.into_iter().enumerate() {
            if known.get(at) != Some(&observation) {
                self.send(Event::Observed(observation));
            }
        }
    }
}
