//! Carries a scenario's faults out, and undoes them.
//!
//! Promises: whom a fault hits is resolved when it strikes, by what the observer has seen; what the atlas does not allow,
//! or what finds nobody, is not injected and recorded as such; whatever is broken is mended when its time is over or
//! [`Hazard::heal`] is asked for. Every fault ends as one [`FaultRecord`], for the judge.

use crate::atlas::{Atlas, Standing, Takes, takes};
use crate::hazard::Hazard;
use crate::invariant::Loss;
use crate::machine::Machine;
use crate::network::Host;
use crate::run::cast::Cast;
use crate::scenario::{Fault, Scenario, What, Whom};
use crate::world::{FIRST_CLIENT, World};
use generator::random::Random;
use model::fault::{Destroys, FaultRecord, FaultState, Role};
use std::collections::{BTreeMap, BTreeSet};

/// What has to be done when a fault's time is over.
#[derive(Clone, Debug)]
enum End {
    Start(u16),
    Resume(u16),
    Mend(Vec<(Host, Host)>),
    FastNetwork(Host),
    FastDisk(u16),
    Space(u16),
    Nothing,
}

pub struct Strikes {
    faults: Vec<Fault>,
    /// When disasters began; faults count from here.
    began_ns: u64,
    next: usize,
    /// By when, and which fault: what has to be done, and who is under a fault until then that may cost a place in an ISR.
    ends: BTreeMap<(u64, usize), (End, Vec<u16>)>,
    /// Who was asked to shut down, in which of its lives: it leaves every ISR.
    leaving: BTreeMap<u16, u32>,
    atlas: Atlas,
    /// Disks with rot on them: an operator replaces them before the cluster is called healed.
    rotten: BTreeSet<u16>,
    random: Random,
    records: Vec<FaultRecord>,
}

impl Strikes {
    pub fn new(scenario: &Scenario, began_ns: u64) -> Strikes {
        let mut faults = scenario.faults.clone();
        faults.sort_by_key(|fault| fault.at_ms);
        let records =
            faults.iter().enumerate().map(|(index, fault)| planned(index, fault, began_ns));
        Strikes {
            began_ns,
            next: 0,
            ends: BTreeMap::new(),
            leaving: BTreeMap::new(),
            atlas: Atlas::new(scenario),
            rotten: BTreeSet::new(),
            random: Random::new(scenario.seed, "strikes"),
            records: records.collect(),
            faults,
        }
    }
}

impl Hazard for Strikes {
    fn next_ns(&self) -> Option<u64> {
        let strike =
            self.faults.get(self.next).map(|fault| self.began_ns + fault.at_ms * 1_000_000);
        let end = self.ends.keys().next().map(|(at_ns, _)| *at_ns);
        [strike, end].into_iter().flatten().min()
    }

    fn due(&mut self, world: &mut World, cast: &mut Cast) {
        while let Some(end) = self.ends.first_entry().filter(|end| end.key().0 <= world.now_ns) {
            let ((_, index), (end, _)) = end.remove_entry();
            self.end(index, end, world);
        }
        while let Some(fault) = self.faults.get(self.next) {
            if self.began_ns + fault.at_ms * 1_000_000 > world.now_ns {
                break;
            }
            let (index, fault) = (self.next, fault.clone());
            self.next += 1;
            self.strike(index, &fault, world, cast);
        }
    }

    fn heal(&mut self, world: &mut World, left_out: &[u16]) {
        self.next = self.faults.len();
        for ((_, index), (end, _)) in std::mem::take(&mut self.ends) {
            self.end(index, end, world);
        }
        world.network.heal(world.now_ns);
        for id in self.rotten.clone() {
            world.end_process(id);
            world.suffers(id, Loss::Destroyed);
            world.machine(id).disk.wipe();
        }
        self.rotten.clear();
        let ids: Vec<u16> = world.machines.keys().copied().collect();
        for id in ids {
            let now_ns = world.now_ns;
            world.machine(id).disk.heal(now_ns);
            if left_out.contains(&id) {
                world.end_process(id);
                world.keep_down(id);
            } else {
                world.resume(id);
                if !world.machine(id).is_up() {
                    world.start_at(id, world.now_ns);
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.next == self.faults.len() && self.ends.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.ends.is_empty()
    }

    fn records(&self) -> Vec<FaultRecord> {
        self.records.clone()
    }

    fn may_leave_out(&mut self, world: &World, nodes: &[u16]) -> bool {
        self.allows(Takes::Place, nodes, world)
    }

    fn was_excessive(&self) -> bool {
        self.atlas.was_exceeded()
    }
}

impl Strikes {
    /// Brokers that are not what the metadata takes them for, or about to end, or under a fault that may cost them their
    /// place in an ISR.
    fn unsound(&self, world: &World) -> BTreeSet<u16> {
        let is_sound = |machine: &&Machine| {
            let Some(inspection) = machine.node().map(|node| node.inspect()) else { return false };
            let Some(epoch) = inspection.broker.and_then(|broker| broker.epoch) else {
                return false;
            };
            let registered = inspection.image.broker(i32::from(machine.id));
            registered.is_some_and(|known| known.epoch == epoch && !known.fenced)
                && !machine.disk.is_failing()
                && !self.rotten.contains(&machine.id)
                && self.leaving.get(&machine.id) != Some(&machine.lives)
                && !self.ends.values().any(|(_, nodes)| nodes.contains(&machine.id))
        };
        world
            .machines
            .values()
            .filter(|machine| !is_sound(machine))
            .map(|machine| machine.id)
            .collect()
    }

    fn allows(&mut self, takes: Takes, nodes: &[u16], world: &World) -> bool {
        let partitions = world.observer.partitions().collect();
        let standing = Standing { partitions, unsound: self.unsound(world) };
        self.atlas.allows(takes, nodes, &standing)
    }

    fn strike(&mut self, index: usize, fault: &Fault, world: &mut World, cast: &mut Cast) {
        let hit = targets(&fault.what, world);
        let nodes: Vec<u16> = hit.clone().unwrap_or_default();
        let takes = takes(&fault.what);
        // A partition holds back both sides, and only one of them is named. Without the only controller nobody learns that he
        // was replaced.
        let hits_all = match fault.what {
            What::Partition { .. } => true,
            What::Isolate { .. } => is_every_controller(&nodes, world),
            _ => false,
        };
        let hit_all: Vec<u16> =
            if hits_all { world.machines.keys().copied().collect() } else { nodes.clone() };
        let fits = hit.is_some() && self.allows(takes, &hit_all, world);
        let end = if fits { self.carry_out(&fault.what, &nodes, world, cast) } else { None };
        let Some(end) = end else {
            self.records[index].state = FaultState::NotInjected;
            return;
        };
        let now_ms = world.now_ms();
        let text =
            || format!("fault {}: {}", index + 1, describe(&fault.what, &nodes, fault.for_ms));
        world.tell(nodes.first().copied().unwrap_or(0), text);
        let record = &mut self.records[index];
        record.nodes = hit_all.iter().map(|id| format!("n{id}")).collect();
        record.state = FaultState::Confirmed;
        record.asked_ms = Some(now_ms);
        record.confirmed_ms = Some(now_ms);
        record.destroys = match takes {
            Takes::Nothing | Takes::Place => Destroys::Nothing,
            Takes::Unsynced => Destroys::Unsynced,
            Takes::Disk => Destroys::Disk,
        };
        let under = if takes == Takes::Nothing { Vec::new() } else { hit_all };
        self.ends.insert((world.now_ns + fault.for_ms * 1_000_000, index), (end, under));
    }

    fn end(&mut self, index: usize, end: End, world: &mut World) {
        match end {
            End::Start(id) => world.start_at(id, world.now_ns),
            End::Resume(id) => world.resume(id),
            End::Mend(pairs) => {
                for (from, to) in pairs {
                    world.network.mend(from, to);
                }
            }
            End::FastNetwork(host) => world.network.slow(host, None),
            End::FastDisk(id) => {
                let now_ns = world.now_ns;
                world.machine(id).disk.slow(now_ns, None);
            }
            End::Space(id) => world.machine(id).disk.set_full(false),
            End::Nothing => {}
        }
        let record = &mut self.records[index];
        record.state = FaultState::Cleared;
        record.healed_ms = Some(world.now_ms());
        record.cleared_ms = Some(world.now_ms());
    }

    /// Does it; `None`: it could not be done to them as they are.
    fn carry_out(
        &mut self,
        what: &What,
        nodes: &[u16],
        world: &mut World,
        cast: &mut Cast,
    ) -> Option<End> {
        let first = nodes.first().copied().unwrap_or(0);
        let is_up = |world: &World| world.machines.get(&first).is_some_and(|m| m.is_up());
        match what {
            What::Kill { .. } if is_up(world) => {
                world.end_process(first);
                world.keep_down(first);
                Some(End::Start(first))
            }
            What::PowerLoss { .. } => {
                world.cut_power(first);
                world.keep_down(first);
                Some(End::Start(first))
            }
            What::PowerLossOfAll { .. } => {
                for id in nodes {
                    world.cut_power(*id);
                    // Each comes back when its own machine has booted.
                    let boot_ns = 50_000_000 + self.random.below(500_000_000);
                    world.start_at(*id, world.now_ns + boot_ns);
                }
                Some(End::Nothing)
            }
            What::Shutdown { .. } if is_up(world) => {
                self.leaving.insert(first, world.machine(first).lives);
                world.shut_down(first);
                Some(End::Nothing)
            }
            What::Stall { .. } if is_up(world) && !world.machine(first).is_stalled() => {
                world.stall(first);
                Some(End::Resume(first))
            }
            What::Wipe { .. } => {
                world.end_process(first);
                world.keep_down(first);
                world.suffers(first, Loss::Destroyed);
                world.machine(first).disk.wipe();
                Some(End::Start(first))
            }
            What::OldSnapshot { age_ms, .. } => {
                world.end_process(first);
                world.keep_down(first);
                let now_ns = world.now_ns;
                world.machine(first).put_back(now_ns, age_ms * 1_000_000)?;
                world.suffers(first, Loss::Destroyed);
                Some(End::Start(first))
            }
            What::Cut { .. } | What::Isolate { .. } | What::Partition { .. } => {
                let pairs = pairs(what, nodes, world);
                for (from, to) in &pairs {
                    world.network.cut(*from, *to);
                }
                Some(End::Mend(pairs))
            }
            What::Reset { .. } => {
                world.network.reset_all(world.now_ns, Host(first));
                Some(End::Nothing)
            }
            What::ForgetConnections { .. } if is_up(world) => {
                world.network.forget_all(world.now_ns, Host(first));
                Some(End::Nothing)
            }
            What::SlowNetwork { delay_us_mean, .. } => {
                world.network.slow(Host(first), Some(*delay_us_mean));
                Some(End::FastNetwork(Host(first)))
            }
            What::SlowDisk { factor, .. } => {
                let now_ns = world.now_ns;
                world.machine(first).disk.slow(now_ns, Some(*factor));
                Some(End::FastDisk(first))
            }
            What::DiskError { op, .. } => {
                world.machine(first).disk.fail_next(*op);
                Some(End::Nothing)
            }
            What::DiskFull { .. } => {
                world.machine(first).disk.set_full(true);
                Some(End::Space(first))
            }
            What::BitRot { .. } => {
                let mut random = self.random.clone();
                self.random.next();
                let (path, at) = world.machine(first).disk.rot(&mut random)?;
                world.suffers(first, Loss::Rotted);
                self.rotten.insert(first);
                world.tell(first, || format!("a bit flipped in {path} at {at}"));
                Some(End::Nothing)
            }
            What::ClockJump { by_ms, .. } => {
                world.machine(first).clock.jump(*by_ms);
                Some(End::Nothing)
            }
            What::RestartClient { client } => cast.restart(*client, world).then_some(End::Nothing),
            What::ElectPreferred | What::AlterTopic { .. } | What::CreatePartitions { .. } => {
                cast.administer(what, world).then_some(End::Nothing)
            }
            What::Kill { .. }
            | What::Shutdown { .. }
            | What::Stall { .. }
            | What::ForgetConnections { .. } => None,
        }
    }
}

fn planned(index: usize, fault: &Fault, began_ns: u64) -> FaultRecord {
    let mut name = serde_json::to_value(&fault.what).unwrap_or_default();
    let name = name["fault"].take().as_str().unwrap_or("fault").to_owned();
    FaultRecord {
        id: u32::try_from(index + 1).expect("few faults"),
        name,
        recipe: None,
        role: Role::One,
        partition: None,
        nodes: Vec::new(),
        state: FaultState::Planned,
        destroys: Destroys::Nothing,
        planned_ms: began_ns / 1_000_000 + fault.at_ms,
        asked_ms: None,
        confirmed_ms: None,
        healed_ms: None,
        cleared_ms: None,
        for_ms: Some(fault.for_ms),
        evidence: Vec::new(),
        parameters: BTreeMap::new(),
        legs: Vec::new(),
    }
}

/// Whom a fault hits now; `None`: nobody plays that part.
fn targets(what: &What, world: &World) -> Option<Vec<u16>> {
    let one = |whom: &Whom| resolve(whom, world).map(|id| vec![id]);
    match what {
        What::Kill { whom }
        | What::PowerLoss { whom }
        | What::Shutdown { whom }
        | What::Stall { whom }
        | What::Wipe { whom }
        | What::OldSnapshot { whom, .. }
        | What::Isolate { whom }
        | What::Reset { whom }
        | What::ForgetConnections { whom }
        | What::SlowNetwork { whom, .. }
        | What::SlowDisk { whom, .. }
        | What::DiskError { whom, .. }
        | What::DiskFull { whom }
        | What::BitRot { whom }
        | What::ClockJump { whom, .. } => one(whom),
        What::Cut { from, to, .. } => {
            let (from, to) = (resolve(from, world)?, resolve(to, world)?);
            (from != to).then(|| vec![from, to])
        }
        What::PowerLossOfAll { nodes } | What::Partition { left: nodes } => {
            let known = |id: &&u16| world.machines.contains_key(id);
            let nodes: Vec<u16> = nodes.iter().filter(known).copied().collect();
            (!nodes.is_empty()).then_some(nodes)
        }
        What::RestartClient { .. }
        | What::ElectPreferred
        | What::AlterTopic { .. }
        | What::CreatePartitions { .. } => Some(Vec::new()),
    }
}

fn resolve(whom: &Whom, world: &World) -> Option<u16> {
    let id = |id: i32| u16::try_from(id).ok().filter(|id| world.machines.contains_key(id));
    match whom {
        Whom::Node(node) => Some(*node).filter(|node| world.machines.contains_key(node)),
        Whom::Controller => id(world.observer.controller()?),
        Whom::Leader(topic, partition) => {
            id(world.observer.partition(world.topic(*topic), *partition)?.leader)
        }
        Whom::Follower(topic, partition, nth) => {
            let state = world.observer.partition(world.topic(*topic), *partition)?;
            let followers = state.replicas.iter().filter(|replica| **replica != state.leader);
            id(*followers.clone().cycle().nth(usize::from(*nth) % followers.count().max(1))?)
        }
        Whom::Voter(nth) => {
            let active = world.observer.controller();
            let voters: Vec<u16> = world
                .machines
                .values()
                .filter(|m| m.config().process_roles.controller && Some(i32::from(m.id)) != active)
                .map(|m| m.id)
                .collect();
            voters.get(usize::from(*nth) % voters.len().max(1)).copied()
        }
    }
}

fn is_every_controller(nodes: &[u16], world: &World) -> bool {
    let mut machines = world.machines.values();
    machines.all(|m| !m.config().process_roles.controller || nodes.contains(&m.id))
}

/// The directions that a cut closes.
fn pairs(what: &What, nodes: &[u16], world: &World) -> Vec<(Host, Host)> {
    let hosts: Vec<Host> =
        world.machines.keys().copied().chain(world.client_hosts()).map(Host).collect();
    let first = Host(nodes[0]);
    let both = |a: Host, b: Host| [(a, b), (b, a)];
    match what {
        What::Cut { one_way: true, .. } => vec![(first, Host(nodes[1]))],
        What::Cut { .. } => both(first, Host(nodes[1])).to_vec(),
        What::Isolate { .. } => hosts
            .iter()
            .filter(|host| **host != first)
            .flat_map(|host| both(first, *host))
            .collect(),
        _ => {
            // Clients stand on both sides, too.
            let is_left = |host: &Host| {
                if host.0 >= FIRST_CLIENT {
                    host.0.is_multiple_of(2)
                } else {
                    nodes.contains(&host.0)
                }
            };
            let (left, right): (Vec<Host>, Vec<Host>) =
                hosts.iter().partition(|host| is_left(host));
            left.iter().flat_map(|l| right.iter().flat_map(move |r| both(*l, *r))).collect()
        }
    }
}

fn describe(what: &What, nodes: &[u16], for_ms: u64) -> String {
    let mut name = serde_json::to_value(what).unwrap_or_default();
    let name = name["fault"].take();
    let on: Vec<String> = nodes.iter().map(|id| format!("n{id}")).collect();
    let lasting = if for_ms > 0 { format!(" for {for_ms} ms") } else { String::new() };
    format!("{} {}{lasting}", name.as_str().unwrap_or("fault"), on.join(", "))
}
