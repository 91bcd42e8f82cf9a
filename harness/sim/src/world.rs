//! The one loop: what is due next happens next, and its consequences are put where they become due.
//!
//! Promises: one thread, one order; things due at the same nanosecond happen in a fixed order (network, disks, nodes'
//! and clients' deadlines, each by number). Every effect of a step is carried out before anything else is stepped.
//! Not here: what goes wrong when (`strike`), what must be true (`watch`), and when it is over (`run`).

use crate::actor::Actor;
use crate::client::ClientEffect;
use crate::clock::{Clock, WALL_MS};
use crate::coverage::Coverage;
use crate::disk::Disk;
use crate::history::History;
use crate::invariant::{Loss, Violation};
use crate::machine::Machine;
use crate::network::{Host, Network};
use crate::observer::Observer;
use crate::properties;
use crate::scenario::Scenario;
use crate::trace::Trace;
use crate::watch::Watch;
use generator::random::Random;
use log::io::{IoResult, Token};
use node::step::{ConnId, Effect, Endpoint, Input, Listener, Now, Severity};
use std::collections::BTreeMap;

/// The first client's host number; nodes have their node ids.
pub const FIRST_CLIENT: u16 = 1000;
/// How long a supervisor waits before it starts a broker that ended by itself.
const RESPAWN_NS: u64 = 300_000_000;
/// How often what is too dear for each step is looked at.
const SAMPLE_NS: u64 = 100_000_000;
/// Steps without the time moving on; a world that does more is spinning, and that is a bug of whoever spins.
const STEPS_AT_ONCE_MAX: u32 = 100_000;

/// Something that must not happen, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The invariant or promise: `high-watermark-monotonic`, `durability`, `liveness`, `panic`, …
    pub check: String,
    /// Simulated time since the world began.
    pub at_ns: u64,
    pub message: String,
}

struct Seat {
    actor: Actor,
    deadline_ns: Option<u64>,
}

/// One line that a node wrote, or a thing that was done to it: what a story is made of.
#[derive(Clone, Debug)]
pub struct Line {
    pub at_ns: u64,
    pub host: u16,
    pub text: String,
}

pub struct World {
    pub now_ns: u64,
    pub machines: BTreeMap<u16, Machine>,
    pub network: Network,
    pub observer: Observer,
    pub coverage: Coverage,
    pub history: History,
    pub trace: Trace,
    pub failure: Option<Failure>,
    /// Kept only where a story is wanted.
    pub lines: Option<Vec<Line>>,
    /// Machines whose process is to be started, and when.
    starts: BTreeMap<u16, u64>,
    seats: BTreeMap<u16, Seat>,
    watch: Watch,
    /// What the invariants find counts.
    insiders: bool,
    topics: Vec<String>,
    sample_due_ns: u64,
    steps_at_once: u32,
    effects: Vec<Effect>,
    client_effects: Vec<ClientEffect>,
    delivered: Vec<(Host, Input)>,
    completed: Vec<(Token, IoResult)>,
}

/// What is due next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Start(u16),
    Network,
    Disk(u16),
    Node(u16),
    Client(u16),
    Sample,
}

impl World {
    pub fn new(scenario: &Scenario) -> World {
        let random = |salt: &str| Random::new(scenario.seed, salt);
        let mut clocks = random("clocks");
        let machine = |id: u16| {
            let drift = scenario.cluster.clock_drift_ppm.get(usize::from(id) - 1).copied();
            // Monotonic clocks begin anywhere: nobody may compare his own with another's.
            let clock = Clock::new(clocks.below(1 << 40), drift.unwrap_or(0));
            let disk = Disk::new(scenario.disk, random(&format!("disk {id}")));
            let config = properties::of(scenario, id);
            (id, Machine::new(id, config, disk, clock, random(&format!("node {id}"))))
        };
        let machines: BTreeMap<u16, Machine> = scenario.node_ids().map(machine).collect();
        let voters = scenario.voter_ids().map(i32::from).collect();
        World {
            now_ns: 0,
            machines,
            network: Network::new(scenario.network, random("network")),
            observer: Observer::new(voters),
            coverage: Coverage::default(),
            history: History::new(scenario.seed),
            trace: Trace::default(),
            failure: None,
            lines: None,
            starts: BTreeMap::new(),
            seats: BTreeMap::new(),
            watch: Watch::default(),
            insiders: scenario.insiders,
            topics: scenario.topics.iter().map(|topic| topic.name.clone()).collect(),
            sample_due_ns: 0,
            steps_at_once: 0,
            effects: Vec::new(),
            client_effects: Vec::new(),
            delivered: Vec::new(),
            completed: Vec::new(),
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ns / 1_000_000
    }

    pub fn fail(&mut self, check: &str, message: String) {
        let at_ns = self.now_ns;
        self.failure.get_or_insert(Failure { check: check.to_owned(), at_ns, message });
    }

    /// Something that a reader of the story must know.
    pub fn tell(&mut self, host: u16, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line { at_ns: self.now_ns, host, text: text() });
        }
    }

    pub fn machine(&mut self, id: u16) -> &mut Machine {
        self.machines.get_mut(&id).expect("a machine of this cluster")
    }

    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// A topic's name by its number in the scenario.
    pub fn topic(&self, index: usize) -> &str {
        &self.topics[index]
    }

    pub fn client_hosts(&self) -> impl Iterator<Item = u16> {
        self.seats.keys().copied()
    }

    /// Clients' clocks are the world's.
    pub fn client_now(&self) -> Now {
        let wall_ms = i64::try_from(self.now_ms()).expect("less than centuries");
        Now { mono_ns: self.now_ns, wall_ms: WALL_MS + wall_ms }
    }

    // Processes.

    /// Has the machine's process started at `at_ns`, unless something else ends or starts it first.
    pub fn start_at(&mut self, id: u16, at_ns: u64) {
        self.starts.insert(id, at_ns.max(self.now_ns));
    }

    /// The process stays down until somebody asks for its start.
    pub fn keep_down(&mut self, id: u16) {
        self.starts.remove(&id);
    }

    fn start(&mut self, id: u16) {
        let machine = self.machines.get_mut(&id).expect("a machine of this cluster");
        if machine.is_up() {
            return;
        }
        machine.start();
        self.network.machine_up(self.now_ns, Host(id));
        for (port, listener) in properties::ports(machine.config()) {
            self.network.listen(Host(id), port, listener);
        }
        self.tell(id, || "starts".to_owned());
        self.watch.started(id);
        self.step_node(id, Input::Start);
    }

    /// SIGKILL, or the process ended by itself: the kernel closes what was open.
    pub fn end_process(&mut self, id: u16) {
        self.coverage.process_ended(id);
        let machine = self.machines.get_mut(&id).expect("a machine of this cluster");
        if machine.is_up() {
            self.watch.ended(id);
            machine.end_process();
            machine.disk.kill();
            self.network.process_died(self.now_ns, Host(id));
            self.observer_misses(id);
        }
    }

    fn observer_misses(&mut self, id: u16) {
        let before = self.observer.seen.len();
        self.observer.gone(self.now_ms(), i32::from(id));
        self.count_observed(self.observer.seen.len() - before);
    }

    /// The newest observations are states that were reached.
    fn count_observed(&mut self, new: usize) {
        let seen = &self.observer.seen;
        for observation in &seen[seen.len() - new..] {
            self.coverage.observed(observation, self.history.open());
        }
    }

    /// The machine's power is cut: its peers are told nothing.
    pub fn cut_power(&mut self, id: u16) {
        let machine = self.machines.get_mut(&id).expect("a machine of this cluster");
        if machine.is_up() {
            self.watch.ended(id);
            machine.end_process();
            self.observer_misses(id);
        }
        self.network.machine_died(self.now_ns, Host(id));
        self.machine(id).disk.power_loss();
        self.suffers(id, Loss::Unsynced);
    }

    /// A fault took something of what was on the node's disk.
    pub fn suffers(&mut self, id: u16, loss: Loss) {
        let found = self.watch.lost(self.now_ns, id, loss);
        self.heed(found);
    }

    pub fn stall(&mut self, id: u16) {
        self.machines.get_mut(&id).expect("a machine of this cluster").stall();
    }

    pub fn resume(&mut self, id: u16) {
        let machine = self.machines.get_mut(&id).expect("a machine of this cluster");
        if !machine.is_stalled() {
            return;
        }
        for input in machine.resume() {
            self.step_node(id, input);
        }
        self.step_node(id, Input::Tick);
    }

    pub fn shut_down(&mut self, id: u16) {
        self.step_node(id, Input::Shutdown);
    }

    // Clients.

    pub fn seat(&mut self, host: u16, actor: Actor) {
        assert!(host >= FIRST_CLIENT, "host numbers below {FIRST_CLIENT} are the nodes'");
        self.seats.insert(host, Seat { actor, deadline_ns: None });
        self.step_client(host, Input::Start);
    }

    /// The client's process is killed.
    pub fn unseat(&mut self, host: u16) {
        self.seats.remove(&host);
        self.network.process_died(self.now_ns, Host(host));
    }

    pub fn client(&self, host: u16) -> Option<&Actor> {
        self.seats.get(&host).map(|seat| &seat.actor)
    }

    /// Does something with a client and lets it act on that.
    pub fn with_client(&mut self, host: u16, act: impl FnOnce(&mut Actor)) {
        if let Some(seat) = self.seats.get_mut(&host) {
            act(&mut seat.actor);
            self.step_client(host, Input::Tick);
        }
    }

    // Time.

    /// Lets the next thing happen, if it is due by `until_ns`; otherwise the time is then `until_ns`. `false`: nothing
    /// more happens by then, or the world has failed.
    pub fn advance(&mut self, until_ns: u64) -> bool {
        if self.failure.is_some() {
            return false;
        }
        let (at_ns, due) = self.next();
        if at_ns > until_ns {
            self.now_ns = self.now_ns.max(until_ns);
            return false;
        }
        self.steps_at_once = if at_ns > self.now_ns { 0 } else { self.steps_at_once + 1 };
        self.now_ns = self.now_ns.max(at_ns);
        if self.steps_at_once > STEPS_AT_ONCE_MAX {
            self.fail("spinning", format!("the world does not move on: {due:?} is always due"));
            return false;
        }
        self.happen(due);
        self.failure.is_none()
    }

    /// The soonest; of equal ones, the first in the order of [`Due`].
    fn next(&self) -> (u64, Due) {
        let mut soonest = (self.sample_due_ns, Due::Sample);
        // Times decide nearly always: what is due is compared only where they are equal.
        let mut may_be = |at_ns: u64, due: Due| {
            if at_ns < soonest.0 || (at_ns == soonest.0 && due < soonest.1) {
                soonest = (at_ns, due);
            }
        };
        for (id, at_ns) in &self.starts {
            may_be(*at_ns, Due::Start(*id));
        }
        if let Some(at_ns) = self.network.next_ns() {
            may_be(at_ns, Due::Network);
        }
        for machine in self.machines.values() {
            if let Some(at_ns) = machine.disk.next_ns() {
                may_be(at_ns, Due::Disk(machine.id));
            }
            if let Some(at_ns) = machine.deadline_ns() {
                may_be(at_ns, Due::Node(machine.id));
            }
        }
        for (host, seat) in &self.seats {
            if let Some(at_ns) = seat.deadline_ns {
                may_be(at_ns, Due::Client(*host));
            }
        }
        soonest
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Start(id) => {
                self.starts.remove(&id);
                self.start(id);
            }
            Due::Network => {
                let mut delivered = std::mem::take(&mut self.delivered);
                self.network.advance(self.now_ns, &mut delivered);
                for (host, input) in delivered.drain(..) {
                    self.deliver(host, input);
                }
                self.delivered = delivered;
            }
            Due::Disk(id) => {
                let mut completed = std::mem::take(&mut self.completed);
                let machine = self.machines.get_mut(&id).expect("a machine of this cluster");
                let syncs_failed = machine.disk.stats().syncs_failed;
                machine.disk.advance(self.now_ns, &mut completed);
                let failed = machine.disk.stats().syncs_failed;
                if failed > syncs_failed {
                    self.suffers(id, Loss::Unsynced);
                }
                for (token, result) in completed.drain(..) {
                    let found = self.watch.completed(self.now_ns, id, token, &result);
                    self.heed(found);
                    self.step_node(id, Input::Io { token, result });
                }
                self.completed = completed;
            }
            Due::Node(id) => self.step_node(id, Input::Tick),
            Due::Client(host) => self.step_client(host, Input::Tick),
            Due::Sample => {
                self.sample_due_ns = self.now_ns + SAMPLE_NS;
                self.sample();
            }
        }
    }

    /// What is too dear to be done at each step.
    fn sample(&mut self) {
        let now_ns = self.now_ns;
        self.machines.values_mut().for_each(|machine| machine.remember(now_ns));
    }

    fn heed(&mut self, found: Result<(), Violation>) {
        if let (Err(violation), true) = (found, self.insiders) {
            self.fail(violation.invariant, violation.message);
        }
    }

    fn deliver(&mut self, host: Host, input: Input) {
        if host.0 >= FIRST_CLIENT {
            self.step_client(host.0, input);
        } else {
            self.step_node(host.0, input);
        }
    }

    // Steps.

    fn step_node(&mut self, id: u16, input: Input) {
        let (what, number) = kind_of(&input);
        self.trace.note(self.now_ns, id, what, number);
        let mut effects = std::mem::take(&mut self.effects);
        let machine = self.machines.get_mut(&id).expect("a machine of this cluster");
        if machine.step(self.now_ns, input, &mut effects) {
            let now_ms = self.now_ns / 1_000_000;
            let node = machine.node().expect("it was just stepped");
            let new = self.observer.look(now_ms, i32::from(id), node);
            self.count_observed(new);
            let found = self.watch.stepped(self.now_ns, &self.machines[&id], &effects);
            self.heed(found);
        }
        // Who gives up ends before the kernel has his last answers; nobody has looked at what they rest upon.
        let gives_up = effects.iter().any(|e| matches!(e, Effect::Exit { code } if *code != 0));
        for effect in effects.drain(..) {
            if !(gives_up && matches!(effect, Effect::Send { .. })) {
                self.carry_out(id, effect);
            }
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, id: u16, effect: Effect) {
        let (now_ns, host) = (self.now_ns, Host(id));
        match effect {
            Effect::Send { conn, parts } => {
                self.trace.note(now_ns, id, "send", conn.0);
                if conn.0 >= ConnId::DIALED {
                    self.coverage.request(&parts);
                }
                self.trace.parts(&parts);
                self.network.send(now_ns, host, conn, parts);
            }
            Effect::Dial { conn, to } => self.network.dial(now_ns, host, conn, resolve(&to)),
            Effect::Close { conn } => self.network.close(now_ns, host, conn),
            Effect::Io { token, op } => {
                self.trace.note(now_ns, id, "io", token.0);
                self.coverage.io(id, &op);
                let machine = self.machines.get_mut(&id).expect("a machine of this cluster");
                machine.disk.submit(now_ns, token, op);
            }
            Effect::Say { severity, message } => {
                if severity > Severity::Debug {
                    self.tell(id, || message);
                }
            }
            Effect::Exit { code } => {
                self.tell(id, || format!("ends with exit code {code}"));
                self.coverage.reached(if code == 0 {
                    "broker: controlled shutdown"
                } else {
                    "broker: gave up"
                });
                self.end_process(id);
                self.starts.entry(id).or_insert(now_ns + RESPAWN_NS);
            }
        }
    }

    fn step_client(&mut self, host: u16, input: Input) {
        let (what, number) = kind_of(&input);
        self.trace.note(self.now_ns, host, what, number);
        let now = self.client_now();
        let mut effects = std::mem::take(&mut self.client_effects);
        let Some(seat) = self.seats.get_mut(&host) else { return };
        seat.actor.step(now, input, &mut effects);
        seat.deadline_ns = seat.actor.client().deadline().map(|at_ns| at_ns.max(self.now_ns));
        for effect in effects.drain(..) {
            match effect {
                ClientEffect::Dial { conn, to } => {
                    self.network.dial(self.now_ns, Host(host), conn, resolve(&to));
                }
                ClientEffect::Send { conn, parts } => {
                    self.coverage.request(&parts);
                    self.trace.note(self.now_ns, host, "send", conn.0);
                    self.trace.parts(&parts);
                    self.network.send(self.now_ns, Host(host), conn, parts);
                }
                ClientEffect::Close { conn } => self.network.close(self.now_ns, Host(host), conn),
                ClientEffect::Record(event) => {
                    self.coverage.event(&event);
                    self.history.record(now, event);
                }
                ClientEffect::Shown { log, end_offset } => {
                    let topic = &self.topics[log.topic.0 as usize];
                    let dir = format!("{topic}-{}", log.partition);
                    let found = self.watch.shown(self.now_ns, &dir, end_offset);
                    self.heed(found);
                }
            }
        }
        self.client_effects = effects;
    }

    /// What the network, the disks and the clients came through, counted once at the end.
    pub fn count_coverage(&mut self) {
        self.coverage.network(self.network.stats());
        for machine in self.machines.values() {
            self.coverage.disk(&machine.disk.stats());
        }
    }
}

/// `n3` is host 3.
fn resolve(endpoint: &Endpoint) -> Option<(Host, u16)> {
    let id = endpoint.host.strip_prefix('n')?.parse().ok()?;
    Some((Host(id), endpoint.port))
}

fn kind_of(input: &Input) -> (&'static str, u64) {
    match input {
        Input::Start => ("start", 0),
        Input::Opened { conn, listener, .. } => match listener {
            Listener::Broker => ("opened", conn.0),
            Listener::Controller => ("opened to the controller", conn.0),
        },
        Input::Dialed { conn } => ("dialed", conn.0),
        Input::DialFailed { conn, .. } => ("dial failed", conn.0),
        Input::Frame { conn, .. } => ("frame", conn.0),
        Input::Closed { conn } => ("closed", conn.0),
        Input::Io { token, .. } => ("io done", token.0),
        Input::Tick => ("tick", 0),
        Input::Shutdown => ("shutdown", 0),
    }
}
