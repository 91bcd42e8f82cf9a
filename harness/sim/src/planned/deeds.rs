//! What each deed does to the simulated world.

use super::clocks;
use super::files;
use crate::disk::Snapshot;
use crate::invariant::Loss;
use crate::machine::Machine;
use crate::network::Host;
use crate::world::World;
use plan::deed::{Cut, Resource};
use plan::target::{Action, Event, Expect, Peer};
use plan::{Deed, Millis};
use std::collections::BTreeMap;

/// What was done to one node for one fault.
#[derive(Debug)]
struct Done {
    deed: Deed,
    asked_ns: u64,
    /// Ways that it closes.
    ways: Vec<(Host, Host)>,
    closed: bool,
    healed: bool,
    /// It outlived its grace.
    overran: bool,
    /// A copy of its disk, until it is put back.
    snapshot: Option<Snapshot>,
}

/// Carries actions out.
#[derive(Debug)]
pub struct Deeds {
    ids: BTreeMap<String, u16>,
    done: BTreeMap<(u32, String), Done>,
}

impl Deeds {
    pub fn new(ids: BTreeMap<String, u16>) -> Deeds {
        Deeds { ids, done: BTreeMap::new() }
    }

    /// Does it, or looks; the answer is what the nemesis is told.
    pub fn act(&mut self, world: &mut World, action: Action) -> Event {
        match action {
            Action::Inject { fault, node, deed, peers } => {
                world.tell(self.ids[&node], || format!("fault {fault}: {deed}"));
                self.inject(world, fault, &node, deed, &peers);
                Event::Done { fault, node }
            }
            Action::Pulse { fault, node, on } => {
                self.pulse(world, fault, &node, on);
                Event::Done { fault, node }
            }
            Action::Heal { fault, node } => {
                self.heal(world, fault, &node);
                Event::Done { fault, node }
            }
            Action::Probe { fault, node, expect } => {
                let (holds, evidence) = self.look(world, fault, &node);
                match (expect, holds) {
                    (Expect::InEffect, true) => Event::Confirmed { fault, node, evidence },
                    (Expect::InEffect, false) => Event::NotConfirmed { fault, node, evidence },
                    (Expect::Over, false) => Event::Cleared { fault, node, evidence },
                    (Expect::Over, true) => Event::NotCleared { fault, node, evidence },
                }
            }
        }
    }

    fn inject(&mut self, world: &mut World, fault: u32, node: &str, deed: Deed, peers: &[Peer]) {
        let id = self.ids[node];
        let ways = deed.cut().map(|cut| self.ways(world, id, peers, cut)).unwrap_or_default();
        let mut snapshot = None;
        match deed {
            deed if files::is_on_disk(deed) => files::hold(world, id, deed),
            Deed::OldSnapshot => snapshot = Some(world.machine(id).disk.snapshot()),
            Deed::Stall | Deed::Stutter { .. } => world.stall(id),
            Deed::Terminate { .. } => world.shut_down(id),
            Deed::Kill | Deed::CrashLoop { .. } => end(world, id),
            Deed::Wipe => {
                end(world, id);
                world.suffers(id, Loss::Destroyed);
                world.machine(id).disk.wipe();
            }
            Deed::PowerLoss => {
                world.cut_power(id);
                world.keep_down(id);
            }
            Deed::Cut(_) | Deed::Isolate { .. } | Deed::Flap { .. } | Deed::Split { .. } => {}
            Deed::Clock(deed) => {
                let shift = clocks::shift(deed, world.now_ns);
                world.machine(id).clock.hold(shift);
            }
            other => unreachable!("plans with `{other}` are refused"),
        }
        let (asked_ns, closed, healed, overran) = (world.now_ns, false, false, false);
        let mut done = Done { deed, asked_ns, ways, closed, healed, overran, snapshot };
        done.close(world);
        self.done.insert((fault, node.to_owned()), done);
    }

    /// From whom to whom nothing goes any more. Clients are all that run now.
    fn ways(&self, world: &World, id: u16, peers: &[Peer], cut: Cut) -> Vec<(Host, Host)> {
        let mut ways = Vec::new();
        for peer in peers {
            let hosts: Vec<u16> = match peer {
                Peer::Node(name) => vec![self.ids[name]],
                Peer::Clients => world.client_hosts().collect(),
            };
            for host in hosts {
                if cut.direction.takes_in() {
                    ways.push((Host(host), Host(id)));
                }
                if cut.direction.takes_out() {
                    ways.push((Host(id), Host(host)));
                }
            }
        }
        ways
    }

    fn pulse(&mut self, world: &mut World, fault: u32, node: &str, on: bool) {
        let Some(done) = self.done.get_mut(&(fault, node.to_owned())) else { return };
        if matches!(done.deed, Deed::CrashLoop { .. }) && !done.healed {
            match on {
                true => end(world, self.ids[node]),
                false => world.start_at(self.ids[node], world.now_ns),
            }
            return;
        }
        let is_stutter = matches!(done.deed, Deed::Stutter { .. });
        match (is_stutter, on) {
            _ if done.healed => {}
            (true, true) => world.stall(self.ids[node]),
            (true, false) => world.resume(self.ids[node]),
            (false, true) => done.close(world),
            (false, false) => done.open(world),
        }
    }

    fn heal(&mut self, world: &mut World, fault: u32, node: &str) {
        let id = self.ids[node];
        let others: Vec<Deed> = self
            .done
            .iter()
            .filter(|((other, at), done)| *other != fault && at == node && !done.healed)
            .map(|(_, done)| done.deed)
            .filter(|deed| files::is_on_disk(*deed))
            .collect();
        let Some(done) = self.done.get_mut(&(fault, node.to_owned())) else { return };
        done.healed = true;
        match done.deed {
            deed if files::is_on_disk(deed) => files::lift(world, id, &others),
            Deed::OldSnapshot => {
                // Asked for again it is there already.
                if let Some(snapshot) = done.snapshot.take() {
                    files::put_back(world, id, &snapshot);
                } else if !world.machine(id).is_up() {
                    world.start_at(id, world.now_ns);
                }
            }
            Deed::Stall | Deed::Stutter { .. } => world.resume(id),
            Deed::CrashLoop { .. } if world.machine(id).is_up() => {
                // It is in one of its lives, and is left in it.
            }
            Deed::Terminate { .. } if world.machine(id).is_up() => {
                // Called off on its way out: it goes all the same, and is started by the next attempt.
            }
            Deed::Kill
            | Deed::CrashLoop { .. }
            | Deed::Terminate { .. }
            | Deed::Wipe
            | Deed::PowerLoss => world.start_at(id, world.now_ns),
            Deed::Cut(_) | Deed::Isolate { .. } | Deed::Flap { .. } | Deed::Split { .. } => {
                done.open(world);
            }
            Deed::Clock(deed) => {
                world.machine(id).clock.lift(clocks::shift(deed, done.asked_ns));
            }
            other => unreachable!("plans with `{other}` are refused"),
        }
    }

    /// Whether it is in effect, and what is to be seen.
    fn look(&mut self, world: &mut World, fault: u32, node: &str) -> (bool, String) {
        let id = self.ids[node];
        let Some(done) = self.done.get_mut(&(fault, node.to_owned())) else {
            return (false, "nothing was done to it".to_owned());
        };
        if done.deed.resource() == Resource::Network {
            return done.ways_closed(world);
        }
        let mut evidence = format!("{node} {}", state_of(world.machine(id)));
        if let Deed::Terminate { grace } = done.deed
            && !done.healed
        {
            evidence += &done.see_it_end(world, id, grace);
        }
        let machine = world.machine(id);
        let holds = match done.deed {
            Deed::Stall | Deed::Stutter { .. } => machine.is_stalled(),
            // A node that ended of it comes back before it is over.
            deed if files::is_on_disk(deed) => !done.healed || !machine.is_up(),
            Deed::Clock(_) => !done.healed,
            Deed::OldSnapshot => done.snapshot.is_some() || !machine.is_up(),
            _ => !machine.is_up(),
        };
        (holds, evidence)
    }
}

impl Done {
    fn close(&mut self, world: &mut World) {
        if !self.closed {
            self.closed = true;
            self.ways.iter().for_each(|(from, to)| world.network.cut(*from, *to));
        }
    }

    fn open(&mut self, world: &mut World) {
        if self.closed {
            self.closed = false;
            self.ways.iter().for_each(|(from, to)| world.network.mend(*from, *to));
        }
    }

    fn ways_closed(&self, world: &World) -> (bool, String) {
        let is_cut = |(from, to): &&(Host, Host)| world.network.cuts_between(*from, *to) > 0;
        let cut = self.ways.iter().filter(is_cut).count();
        match self.closed {
            true => (cut == self.ways.len(), format!("{cut} ways closed")),
            false => {
                let open = self.ways.len() - cut;
                (false, format!("{open} ways open again, {cut} still cut by other faults"))
            }
        }
    }

    /// Kills what outlives its grace, and keeps down what has ended. Answers what to tell of it.
    fn see_it_end(&mut self, world: &mut World, id: u16, grace: Millis) -> String {
        if !world.machine(id).is_up() {
            // Nobody starts it again before it is healed.
            world.keep_down(id);
            let took_ms = (world.now_ns - self.asked_ns) / 1_000_000;
            return match self.overran {
                true => format!(", OVERRUN: it still ran {grace} after it was asked to end"),
                false => format!(", {took_ms} ms after it was asked to end"),
            };
        }
        if world.now_ns >= self.asked_ns + grace.0 * 1_000_000 {
            self.overran = true;
            end(world, id);
        }
        String::new()
    }
}

fn end(world: &mut World, id: u16) {
    world.end_process(id);
    world.keep_down(id);
}

fn state_of(machine: &Machine) -> &'static str {
    match (machine.is_up(), machine.is_stalled()) {
        (false, _) => "is down",
        (true, true) => "is stopped",
        (true, false) => "runs",
    }
}
