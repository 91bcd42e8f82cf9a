//! Carries a schedule out: resolves roles when they are due, injects, has the probes confirm, holds, heals, and has
//! the probes confirm that it is over.
//!
//! Promises:
//! - Events in, actions out; told the time, never asks for it. Same events, same actions.
//! - Two faults never meet on one node's process; those on its disk stack, cuts stack on one another, and a node that is cut off may be killed. No
//!   more nodes are damaged at one time than the plan's limits allow (a node under two faults counts once), unless a
//!   recipe says otherwise, and such a recipe runs alone.
//! - Each fault is over when its own probe says so, in whatever order they end; the cluster's word is waited for only
//!   where no other fault still holds the node back.
//! - After [`Nemesis::heal_all`] nothing new is broken and everything broken is asked to heal, again and again,
//!   until a probe says that it is over.
//! - Every scheduled fault ends as one [`FaultRecord`], injected or not.
//!
//! Not promised: punctuality. A fault that is due waits for its role, for the limits and for the cluster to recover
//! from the one before.

mod damage;
mod follow;
mod peers;
mod planned;
mod recipe_run;
mod roles;

use crate::deed::Deed;
use crate::plan::{Limits, Peers, Pick, Plan};
use crate::schedule::{Item, Schedule, What};
use crate::target::{Action, Event, Topology};
use crate::view::View;
use damage::{Damage, Surroundings};
use follow::Following;
use model::fault::{FaultRecord, FaultState, Role};
use peers::Victims;
use planned::planned;
use recipe_run::RecipeRun;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How long an item that is due waits for its role to be filled.
const ROLE_WAIT_MS: u64 = 5_000;
/// How soon after a tick the next one is wanted while something is going on.
const BUSY_TICK_MS: u64 = 10;

/// The state machine behind a run's faults.
pub struct Nemesis {
    topology: Topology,
    topic: String,
    /// Producers of the load, and those that read or are members of its group.
    producers: u32,
    consumers: u32,
    limits: Limits,
    racks: Vec<Vec<String>>,
    schedule: Schedule,
    view: View,
    /// Acknowledged sends of each partition since the run began.
    acked: Vec<u64>,
    /// When the fault phase began.
    begun_ms: Option<u64>,
    /// The first item that is not yet due.
    next_item: usize,
    /// Items that are due and wait for their turn; times of becoming the first in the queue.
    due: VecDeque<usize>,
    head_since_ms: Option<u64>,
    damages: BTreeMap<u32, Damage>,
    /// Those of them that go after their role.
    following: BTreeMap<u32, Following>,
    recipe: Option<RecipeRun>,
    records: BTreeMap<u32, FaultRecord>,
    changed: BTreeSet<u32>,
    changes: Vec<FaultRecord>,
    /// Each record as it was last told.
    told: BTreeMap<u32, FaultRecord>,
    /// When the last fault was over, for the recovery wait.
    quiet_since_ms: u64,
    healing: bool,
}

impl Nemesis {
    /// A nemesis for one run. It does nothing before [`Event::Begin`].
    pub fn new(plan: &Plan, schedule: Schedule, topology: Topology) -> Nemesis {
        let mut records = BTreeMap::new();
        for item in &schedule.items {
            for record in planned(item, &schedule, &plan.topic.name) {
                records.insert(record.id, record);
            }
        }
        Nemesis {
            topology,
            topic: plan.topic.name.clone(),
            producers: plan.workload.producers,
            consumers: plan.workload.consumers,
            limits: plan.limits,
            racks: plan.target.racks.clone().unwrap_or_default(),
            schedule,
            view: View::new(&plan.topic.name),
            acked: vec![0; plan.topic.partitions as usize],
            begun_ms: None,
            next_item: 0,
            due: VecDeque::new(),
            head_since_ms: None,
            damages: BTreeMap::new(),
            following: BTreeMap::new(),
            recipe: None,
            records,
            changed: BTreeSet::new(),
            changes: Vec::new(),
            told: BTreeMap::new(),
            quiet_since_ms: 0,
            healing: false,
        }
    }

    /// Takes an event; answers what is to be done now. `now_ms`: milliseconds since the run began, never going back.
    pub fn on_event(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match &event {
            Event::Begin if self.begun_ms.is_none() => self.begin(now_ms),
            Event::Begin | Event::Tick => {}
            Event::Observed(observation) => self.view.observe(observation),
            Event::Acked { counts } => self.acked.clone_from(counts),
            Event::Done { fault, node }
            | Event::Failed { fault, node, .. }
            | Event::Confirmed { fault, node, .. }
            | Event::NotConfirmed { fault, node, .. }
            | Event::Cleared { fault, node, .. }
            | Event::NotCleared { fault, node, .. } => {
                let damage = self.damages.get_mut(fault);
                let record = self.records.get_mut(fault);
                if let (Some(damage), Some(record)) = (damage, record) {
                    damage.on_answer(now_ms, node, &event, record);
                    self.changed.insert(*fault);
                }
            }
        }
        self.advance(now_ms, &mut actions);
        actions
    }

    /// Ends the fault phase: what is not yet injected never will be, and everything broken is healed. Go on feeding
    /// events until [`Nemesis::is_idle`].
    pub fn heal_all(&mut self, now_ms: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        self.healing = true;
        self.due.clear();
        self.next_item = self.schedule.items.len();
        if let Some(run) = &mut self.recipe {
            run.stop();
        }
        let planned: Vec<u32> = self.in_state(FaultState::Planned).collect();
        for id in planned {
            self.not_injected(id, "the faults ended before it was its turn");
        }
        for damage in self.damages.values_mut() {
            damage.heal(now_ms);
        }
        self.advance(now_ms, &mut actions);
        actions
    }

    /// The last word: what no probe saw end counts as not cleared.
    pub fn close(&mut self, now_ms: u64) {
        // No actions are wanted any more, but what was planned must not stay so.
        let _ = self.heal_all(now_ms);
        for (id, damage) in &self.damages {
            let record = self.records.get_mut(id).expect("a damage has a record");
            if damage.is_damaging() {
                if record.state != FaultState::NotConfirmed {
                    record.state = FaultState::NotCleared;
                }
                record.evidence.push("no probe saw it end".to_string());
                self.changed.insert(*id);
            }
        }
        self.publish();
    }

    /// Every fault of the schedule as it stands, by id.
    pub fn records(&self) -> Vec<FaultRecord> {
        self.records.values().cloned().collect()
    }

    /// The records that changed since the last call, oldest change first: the lines of `faults.jsonl`.
    pub fn take_changes(&mut self) -> Vec<FaultRecord> {
        std::mem::take(&mut self.changes)
    }

    /// Nothing is broken, as far as probes can see, and nothing is being asked.
    pub fn is_idle(&self) -> bool {
        let moving = self.following.values().any(|following| following.moves_until_ms.is_some());
        self.recipe.is_none() && !moving && !self.damages.values().any(Damage::is_damaging)
    }

    /// The whole schedule is behind us and nothing is broken.
    pub fn is_finished(&self) -> bool {
        self.is_idle() && self.due.is_empty() && self.next_item == self.schedule.items.len()
    }

    /// Nodes that are under a fault now, or not yet seen to be free of it.
    pub fn damaged(&self) -> BTreeSet<String> {
        self.damaging().flat_map(|damage| damage.nodes().map(str::to_string)).collect()
    }

    fn damaging(&self) -> impl Iterator<Item = &Damage> {
        self.damages.values().filter(|damage| damage.is_damaging())
    }

    /// Nodes whose processes a fault has ended or stopped, or may have, and not yet brought back.
    pub fn downed(&self) -> BTreeSet<String> {
        let may_have_ended = self.damaging().filter(|damage| damage.resource().ends_nodes());
        may_have_ended.flat_map(|damage| damage.nodes().map(str::to_string)).collect()
    }

    /// When the next [`Event::Tick`] is wanted at the latest; `None` when nothing is left to do.
    pub fn next_tick_ms(&self, now_ms: u64) -> Option<u64> {
        if !self.is_idle() || !self.due.is_empty() {
            return Some(now_ms + BUSY_TICK_MS);
        }
        let begun_ms = self.begun_ms?;
        let item = self.schedule.items.get(self.next_item)?;
        Some((begun_ms + item.at_ms).max(now_ms))
    }

    /// The cluster as last observed.
    pub fn view(&self) -> &View {
        &self.view
    }

    fn begin(&mut self, now_ms: u64) {
        self.begun_ms = Some(now_ms);
        self.quiet_since_ms = now_ms;
        for record in self.records.values_mut() {
            record.planned_ms += now_ms;
            self.changed.insert(record.id);
        }
    }

    fn advance(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let was_idle = self.is_idle();
        self.come_due(now_ms);
        self.drive_damages(now_ms, actions);
        self.follow(now_ms);
        self.drive_recipe(now_ms, actions);
        self.admit(now_ms, actions);
        self.drive_damages(now_ms, actions);
        if !was_idle && self.is_idle() {
            self.quiet_since_ms = now_ms;
        }
        self.publish();
    }

    fn come_due(&mut self, now_ms: u64) {
        let Some(begun_ms) = self.begun_ms else { return };
        while let Some(item) = self.schedule.items.get(self.next_item) {
            if begun_ms + item.at_ms > now_ms {
                break;
            }
            self.due.push_back(self.next_item);
            self.next_item += 1;
        }
    }

    fn drive_damages(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let holders: Vec<(u32, BTreeSet<String>)> = self
            .damages
            .iter()
            .filter(|(_, damage)| damage.is_damaging())
            .map(|(id, damage)| (*id, damage.holds_back()))
            .collect();
        for (id, damage) in self.damages.iter_mut().filter(|(_, damage)| damage.is_damaging()) {
            let record = self.records.get_mut(id).expect("a damage has a record");
            let others = holders.iter().filter(|(other, _)| other != id);
            let held_by_others = others.flat_map(|(_, nodes)| nodes).cloned().collect();
            let around =
                Surroundings { view: &self.view, topology: &self.topology, held_by_others };
            if damage.drive(now_ms, &around, record, actions) {
                self.changed.insert(*id);
            }
        }
    }

    /// Starts what is due, one after the other, as far as limits and recovery allow.
    fn admit(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        while let Some(&at) = self.due.front() {
            if self.recipe.is_some() || self.healing {
                return;
            }
            let head_since_ms = *self.head_since_ms.get_or_insert(now_ms);
            if self.is_idle() && !self.recovered(now_ms) {
                // The wait for the role begins when everything else is fine.
                self.head_since_ms = Some(now_ms);
                return;
            }
            let patient = now_ms < head_since_ms + ROLE_WAIT_MS;
            let item = self.schedule.items[at].clone();
            let started = match &item.what {
                What::Fault { .. } => self.admit_fault(now_ms, &item),
                What::Recipe(recipe) => self.admit_recipe(now_ms, &item, *recipe),
            };
            match started {
                Admission::Started => {}
                Admission::Later => {
                    self.head_since_ms = Some(now_ms);
                    return;
                }
                Admission::Empty(_) if patient => return,
                Admission::Empty(why) => {
                    let ids = self.records_of(&item);
                    for id in ids {
                        self.not_injected(id, &why);
                    }
                }
            }
            self.due.pop_front();
            self.head_since_ms = None;
            self.drive_recipe(now_ms, actions);
        }
    }

    fn admit_fault(&mut self, now_ms: u64, item: &Item) -> Admission {
        let What::Fault { deed, on, pick, peers, hold_ms, follow } = &item.what else {
            unreachable!("a recipe is admitted elsewhere")
        };
        let (id, deed, pick) = (item.first_fault, *deed, *pick);
        let (partition, draw) = (item.partition, item.draw);
        let victims = match self.victims(deed, on, pick, peers.as_ref(), partition, draw, None) {
            Ok(victims) => victims,
            Err(why) => return Admission::Empty(why),
        };
        if self.meets_its_like(deed, &victims).is_some() || !self.within_limits(&victims) {
            return Admission::Later;
        }
        if *follow {
            let following = Following {
                deed,
                on: on.clone(),
                pick,
                peers: peers.clone(),
                partition,
                draw,
                victims: victims.clone(),
                ever: victims.clone(),
                moves_until_ms: None,
            };
            self.following.insert(id, following);
        }
        self.inject(now_ms, id, deed, victims, Some(*hold_ms));
        Admission::Started
    }

    fn admit_recipe(&mut self, now_ms: u64, item: &Item, recipe: usize) -> Admission {
        if !self.is_idle() {
            return Admission::Later;
        }
        let steps = self.schedule.recipes[recipe].clone();
        match self.choose_partition(steps.partition, item.partition) {
            Ok(partition) => {
                let leader = self.view.leader(partition);
                for id in self.records_of(item) {
                    let record = self.records.get_mut(&id).expect("an item has its records");
                    record.partition = Some(format!("{}-{partition}", self.topic));
                }
                let run =
                    RecipeRun::new(steps, item.first_fault, partition, leader, item.draw, now_ms);
                self.recipe = Some(run);
                Admission::Started
            }
            Err(why) => Admission::Empty(why),
        }
    }

    /// Starts a fault on nodes that are free of its like.
    fn inject(&mut self, now_ms: u64, id: u32, deed: Deed, victims: Victims, hold_ms: Option<u64>) {
        assert!(!victims.is_empty(), "fault {id} hits nobody");
        let twice = self.meets_its_like(deed, &victims);
        assert!(twice.is_none(), "fault {id}: {twice:?} hit twice at once");
        let record = self.records.get_mut(&id).expect("every fault is planned");
        record.nodes = victims.keys().cloned().collect();
        record.state = FaultState::Asked;
        record.asked_ms = Some(now_ms);
        if let (Role::Partition, Some(log)) = (&record.role, victims.keys().next()) {
            // An election is about the first one that needs it.
            record.partition = Some(log.clone());
        }
        peers::note(record, deed, &victims);
        self.damages.insert(id, Damage::new(id, deed, victims, hold_ms, now_ms));
        self.changed.insert(id);
    }

    /// A node that is under a fault already with which this one can't be at the same time.
    fn meets_its_like(&self, deed: Deed, victims: &Victims) -> Option<String> {
        if let Deed::Topic(deed) = deed {
            let under_way = self.damaging().filter_map(|damage| match damage.deed() {
                Deed::Topic(other) => Some((other, damage)),
                _ => None,
            });
            let mut parts =
                under_way.flat_map(|(other, damage)| damage.nodes().map(move |of| (other, of)));
            let meets = |other, of: &str| victims.keys().any(|part| deed.meets(part, other, of));
            return parts.find(|(other, of)| meets(*other, of)).map(|(_, of)| of.to_string());
        }
        let resource = deed.resource();
        if resource.stacks() {
            return None;
        }
        let alike = self.damaging().filter(|damage| damage.resource() == resource);
        let mut hit = alike.flat_map(|damage| damage.nodes());
        hit.find(|node| victims.contains_key(*node)).map(str::to_string)
    }

    /// No more nodes would be damaged than the limits allow.
    fn within_limits(&self, victims: &Victims) -> bool {
        let mut damaged = self.damaged();
        damaged.extend(victims.keys().cloned());
        let topology = &self.topology;
        let brokers = damaged.iter().filter(|node| topology.is_broker(node)).count();
        let controllers = damaged.iter().filter(|node| topology.is_controller(node)).count();
        brokers <= self.limits.damaged.of(topology.brokers.len())
            && controllers <= self.limits.damaged.of(topology.controllers.len())
    }

    /// Full ISRs, or waited for long enough.
    fn recovered(&self, now_ms: u64) -> bool {
        let waited_ms = now_ms.saturating_sub(self.quiet_since_ms);
        self.view.isr_full() || waited_ms >= self.limits.recovery_wait.0
    }

    fn not_injected(&mut self, id: u32, why: &str) {
        let record = self.records.get_mut(&id).expect("every fault is planned");
        record.state = FaultState::NotInjected;
        record.evidence.push(why.to_string());
        self.changed.insert(id);
    }

    fn in_state(&self, state: FaultState) -> impl Iterator<Item = u32> + '_ {
        self.records.values().filter(move |record| record.state == state).map(|record| record.id)
    }

    fn records_of(&self, item: &Item) -> Vec<u32> {
        let count = match item.what {
            What::Fault { .. } => 1,
            What::Recipe(recipe) => self.schedule.recipes[recipe].fault_count(),
        };
        (item.first_fault..item.first_fault + count).collect()
    }

    fn publish(&mut self) {
        for id in std::mem::take(&mut self.changed) {
            let record = &self.records[&id];
            // An answer about one of many nodes need not change anything.
            if self.told.get(&id) != Some(record) {
                self.told.insert(id, record.clone());
                self.changes.push(record.clone());
            }
        }
    }
}

/// Whether an item could be started.
enum Admission {
    Started,
    /// Limits or another fault are in the way.
    Later,
    /// Its role is empty, and why.
    Empty(String),
}

#[cfg(test)]
mod tests;
