//! A plan's own faults in the simulated world: the nemesis of the real runs, behind the same Target port.
//!
//! Promises: the schedule, the roles and the waits are those of `faults/plan`, not a copy; kill, stall and wipe do here what
//! they do to processes, and a probe sees at once what is so. Not promised: real time; a plan's seconds are simulated.

use crate::hazard::Hazard;
use crate::invariant::Loss;
use crate::run::cast::Cast;
use crate::world::World;
use model::fault::FaultRecord;
use plan::target::{Action, Deed, Event, Expect, Member, Topology};
use plan::{Nemesis, Plan, Schedule};

pub struct Planned {
    nemesis: Nemesis,
    partitions: u32,
    /// Observations that the nemesis was told.
    told: usize,
    next_ns: Option<u64>,
    begun: bool,
}

impl Planned {
    pub fn new(plan: &Plan, seed: u64, world: &World) -> Planned {
        let members = |is: fn(&node::config::Roles) -> bool| {
            let nodes = world.machines.values().filter(|m| is(&m.config().process_roles));
            nodes.map(|m| Member { id: i32::from(m.id), name: format!("n{}", m.id) }).collect()
        };
        let topology =
            Topology { brokers: members(|r| r.broker), controllers: members(|r| r.controller) };
        Planned {
            nemesis: Nemesis::new(plan, Schedule::new(plan, seed), topology),
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
        let mut actions: std::collections::VecDeque<Action> = actions.into();
        while let Some(action) = actions.pop_front() {
            let answer = carry_out(world, action);
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

/// Does it, or looks; the answer is what the nemesis is told.
fn carry_out(world: &mut World, action: Action) -> Event {
    let id_of = |node: &str| -> u16 {
        let id = node.strip_prefix('n').and_then(|id| id.parse().ok());
        id.expect("the topology's names are ours")
    };
    match action {
        Action::Inject { fault, node, deed } => {
            let id = id_of(&node);
            world.tell(id, || format!("fault {fault}: {deed}"));
            inject(world, id, deed);
            Event::Done { fault, node }
        }
        Action::Heal { fault, node, deed } => {
            let id = id_of(&node);
            match deed {
                Deed::Stall => world.resume(id),
                Deed::Kill | Deed::Wipe => world.start_at(id, world.now_ns),
            }
            Event::Done { fault, node }
        }
        Action::Probe { fault, node, deed, expect } => {
            let machine = world.machine(id_of(&node));
            let holds = match deed {
                Deed::Stall => machine.is_stalled(),
                Deed::Kill | Deed::Wipe => !machine.is_up(),
            };
            let evidence = format!("{node} {}", state_of(machine));
            match (expect, holds) {
                (Expect::InEffect, true) => Event::Confirmed { fault, node, evidence },
                (Expect::InEffect, false) => Event::NotConfirmed { fault, node, evidence },
                (Expect::Over, false) => Event::Cleared { fault, node, evidence },
                (Expect::Over, true) => Event::NotCleared { fault, node, evidence },
            }
        }
    }
}

fn inject(world: &mut World, id: u16, deed: Deed) {
    match deed {
        Deed::Stall => world.stall(id),
        Deed::Kill => {
            world.end_process(id);
            world.keep_down(id);
        }
        Deed::Wipe => {
            world.end_process(id);
            world.keep_down(id);
            world.suffers(id, Loss::Destroyed);
            world.machine(id).disk.wipe();
        }
    }
}

fn state_of(machine: &crate::machine::Machine) -> &'static str {
    match (machine.is_up(), machine.is_stalled()) {
        (false, _) => "is down",
        (true, true) => "is stopped",
        (true, false) => "runs",
    }
}
