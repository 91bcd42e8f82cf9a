//! A plan's own faults in the simulated world: the nemesis of the real runs, behind the same Target port.
//!
//! Promises: the schedule, the roles and the waits are those of `faults/plan`, not a copy; each deed does here what it does
//! to processes and between them, and a probe sees at once what is so. What has no meaning here is refused before anything
//! happens ([`refusal`]). Not promised: real time; a plan's seconds are simulated.

mod clocks;
mod deeds;
mod files;

use crate::hazard::Hazard;
use crate::run::cast::Cast;
use crate::world::World;
use deeds::Deeds;
use model::fault::FaultRecord;
use plan::deed::{Connections, Deed, How, Resource};
use plan::target::{Action, Event, Member, Topology};
use plan::{Nemesis, Plan, Schedule};
use std::collections::{BTreeMap, VecDeque};

/// Why a plan can't be simulated, in a sentence; `None` where it can.
pub fn refusal(plan: &Plan) -> Option<String> {
    if plan.target.racks.is_some() {
        return Some("racks can't be simulated: leave `racks` out, and faults on one".to_owned());
    }
    plan.deeds().find_map(|deed| {
        if let Some(why) = files::refusal(deed) {
            return Some(why);
        }
        if deed.resource() == Resource::Topic {
            return Some(format!(
                "`{deed}` can't be simulated with a plan; `highwater sim` without one elects and changes settings by itself"
            ));
        }
        if deed.resource() == Resource::Clients {
            return Some(format!(
                "`{deed}` can't be simulated with a plan; in `highwater sim` without one clients come, go and die by themselves"
            ));
        }
        if matches!(deed, Deed::Upgrade { .. }) {
            return Some("`upgrade` can't be simulated: there is one version in it".to_owned());
        }
        if deed.resource() == Resource::Limits {
            return Some(format!(
                "`{deed}` can't be simulated: simulated nodes compute in no time and share one memory"
            ));
        }
        if deed.resource() == Resource::Links {
            return Some(format!(
                "`{deed}` can't be simulated: there is no proxy in the simulated network; its swarm delays and resets by itself"
            ));
        }
        let cut = deed.cut()?;
        let what = match (cut.connections, cut.how) {
            (Connections::All, How::Drop) => return None,
            (Connections::All, How::Reject) => "how = \"reject\"".to_owned(),
            (connections, _) => format!("connections = \"{}\"", connections.as_str()),
        };
        Some(format!(
            "`{deed}` with {what} can't be simulated: the simulated network only loses what comes to a cut"
        ))
    })
}

pub struct Planned {
    nemesis: Nemesis,
    deeds: Deeds,
    partitions: u32,
    /// Observations that the nemesis was told.
    told: usize,
    next_ns: Option<u64>,
    begun: bool,
}

impl Planned {
    pub fn new(plan: &Plan, seed: u64, world: &World) -> Planned {
        let names = names(world);
        let members = |is: fn(&node::config::Roles) -> bool| {
            let nodes = world.machines.values().filter(|m| is(&m.config().process_roles));
            nodes.map(|m| Member { id: i32::from(m.id), name: names[&m.id].clone() }).collect()
        };
        let topology =
            Topology { brokers: members(|r| r.broker), controllers: members(|r| r.controller) };
        Planned {
            nemesis: Nemesis::new(plan, Schedule::new(plan, seed), topology),
            deeds: Deeds::new(names.into_iter().map(|(id, name)| (name, id)).collect()),
            partitions: plan.topic.partitions,
            told: 0,
            next_ns: Some(world.now_ns),
            begun: false,
        }
    }

    fn tell(&mut self, world: &mut World, event: Event) {
        let actions = self.nemesis.on_event(world.now_ms(), event);
        self.act(world, actions);
    }

    fn act(&mut self, world: &mut World, actions: Vec<Action>) {
        let mut actions: VecDeque<Action> = actions.into();
        while let Some(action) = actions.pop_front() {
            let answer = self.deeds.act(world, action);
            actions.extend(self.nemesis.on_event(world.now_ms(), answer));
        }
    }
}

impl Hazard for Planned {
    fn next_ns(&self) -> Option<u64> {
        self.next_ns
    }

    fn due(&mut self, world: &mut World, _: &mut Cast) {
        if self.next_ns.is_none_or(|at_ns| at_ns > world.now_ns) {
            return;
        }
        if !self.begun {
            self.begun = true;
            self.tell(world, Event::Begin);
        }
        while let Some(observation) = world.observer.seen.get(self.told).cloned() {
            self.told += 1;
            self.tell(world, Event::Observed(observation));
        }
        let counts = world.history.acknowledged_of(0, self.partitions);
        self.tell(world, Event::Acked { counts });
        self.tell(world, Event::Tick);
        let wanted_ns = self.nemesis.next_tick_ms(world.now_ms()).map(|at_ms| at_ms * 1_000_000);
        // What is observed meanwhile must not wait for the next fault.
        let look_ns = world.now_ns + 100_000_000;
        self.next_ns = Some(wanted_ns.unwrap_or(look_ns).clamp(world.now_ns + 1_000_000, look_ns));
    }

    fn heal(&mut self, world: &mut World, _: &[u16]) {
        let actions = self.nemesis.heal_all(world.now_ms());
        self.act(world, actions);
        self.next_ns = Some(world.now_ns);
    }

    fn is_over(&self) -> bool {
        self.begun && self.nemesis.is_finished()
    }

    fn is_idle(&self) -> bool {
        self.nemesis.is_idle()
    }

    fn records(&self) -> Vec<FaultRecord> {
        self.nemesis.records()
    }
}

/// As a plan calls them: brokers `n1`, `n2`, …, controllers of their own `c1`, `c2`, ….
fn names(world: &World) -> BTreeMap<u16, String> {
    let is_broker = |id: &u16| world.machines[id].config().process_roles.broker;
    let (brokers, others): (Vec<u16>, Vec<u16>) =
        world.machines.keys().partition(|id| is_broker(id));
    let named = |prefix: char, ids: Vec<u16>| {
        (1..).zip(ids).map(move |(n, id): (u16, u16)| (id, format!("{prefix}{n}")))
    };
    named('n', brokers).chain(named('c', others)).collect()
}

#[cfg(test)]
mod tests;
