//! One real node, a network without delay, a disk in memory, and a clock that jumps from deadline to deadline.

use super::*;
use log::memory_disk::MemoryDisk;
use model::history::Time;
use node::config::NodeConfig;
use node::node::Node;
use node::step::{Effect, Listener, Step};
use std::collections::{BTreeMap, VecDeque};

const STEPS_MAX: usize = 400_000;
const NODE: usize = usize::MAX;

/// The node's end of a connection, or a client's by its place.
type End = (usize, ConnId);

pub struct World {
    disk: MemoryDisk,
    node: Option<Node>,
    inputs: VecDeque<(usize, Input)>,
    links: BTreeMap<End, End>,
    next_conn: u64,
    pub now_ns: u64,
    pub history: Vec<(Time, Event)>,
    pub steps: u64,
}

fn config() -> NodeConfig {
    let text = "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@n1:9101\n\
        listeners=PLAINTEXT://n1:9001,CONTROLLER://n1:9101\ncontroller.listener.names=CONTROLLER\n\
        log.dirs=data\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=2\n\
        broker.session.timeout.ms=1000\nbroker.heartbeat.interval.ms=200\n\
        controller.quorum.fetch.timeout.ms=1000\ncontroller.quorum.election.timeout.ms=500\n\
        group.initial.rebalance.delay.ms=100\n";
    NodeConfig::parse(text).expect("a good configuration").0
}

impl World {
    pub fn new() -> World {
        let mut world = World {
            disk: MemoryDisk::new(),
            node: None,
            inputs: VecDeque::new(),
            links: BTreeMap::new(),
            next_conn: 0,
            now_ns: 1_000_000,
            history: Vec::new(),
            steps: 0,
        };
        world.boot();
        world
    }

    pub fn boot(&mut self) {
        self.node = Some(Node::new(config(), 1));
        self.inputs.push_back((NODE, Input::Start));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.node = None;
        self.disk.kill();
        self.inputs.retain(|(to, _)| *to != NODE);
        let ends: Vec<End> = self.links.keys().filter(|end| end.0 == NODE).copied().collect();
        for end in ends {
            self.hang_up(end);
        }
    }

    pub fn start(&mut self, client: usize) {
        self.inputs.push_back((client, Input::Start));
    }

    fn now(&self) -> Now {
        let mono_ns = self.now_ns;
        Now { mono_ns, wall_ms: WALL_MS + (mono_ns / 1_000_000) as i64 }
    }

    pub fn record(&mut self, event: Event) {
        let now = self.now();
        self.history.push((Time { mono_ns: now.mono_ns, wall_ms: now.wall_ms }, event));
    }

    pub fn run_for(&mut self, ms: u64, clients: &mut [&mut dyn Client]) {
        let until_ns = self.now_ns + ms * MS;
        for _ in 0..STEPS_MAX {
            if !self.advance(until_ns, clients) {
                self.now_ns = until_ns;
                return;
            }
        }
        panic!("they never rest");
    }

    pub fn run_until_done(&mut self, limit_ms: u64, clients: &mut [&mut dyn Client]) {
        let until_ns = self.now_ns + limit_ms * MS;
        while !clients.iter().all(|client| client.is_done()) {
            assert!(self.advance(until_ns, clients), "not done in time");
        }
    }

    fn advance(&mut self, until_ns: u64, clients: &mut [&mut dyn Client]) -> bool {
        if let Some((to, input)) = self.inputs.pop_front() {
            self.step(to, input, clients);
            return true;
        }
        let of_node = self.node.as_ref().and_then(Step::deadline).map(|at_ns| (at_ns, NODE));
        let of_clients = clients.iter().enumerate();
        let of_clients = of_clients.filter_map(|(index, client)| Some((client.deadline()?, index)));
        let next = of_clients.chain(of_node).min();
        let Some((at_ns, who)) = next.filter(|(at_ns, _)| *at_ns <= until_ns) else { return false };
        self.now_ns = self.now_ns.max(at_ns);
        self.step(who, Input::Tick, clients);
        true
    }

    fn step(&mut self, who: usize, input: Input, clients: &mut [&mut dyn Client]) {
        self.steps += 1;
        let now = self.now();
        if who == NODE {
            let mut effects = Vec::new();
            if let Some(node) = &mut self.node {
                node.step(now, input, &mut effects);
            }
            effects.into_iter().for_each(|effect| self.carry_out(effect));
            return;
        }
        let mut effects = Vec::new();
        // One that is not there yet, or not any more, hears nothing.
        if let Some(client) = clients.get_mut(who) {
            client.step(now, input, &mut effects);
        }
        for effect in effects {
            match effect {
                ClientEffect::Dial { conn, to } => self.dial((who, conn), &to),
                ClientEffect::Send { conn, parts } => self.send((who, conn), &parts),
                ClientEffect::Close { conn } => self.hang_up((who, conn)),
                ClientEffect::Record(event) => self.record(event),
                ClientEffect::Shown { .. } => {}
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { conn, parts } => self.send((NODE, conn), &parts),
            Effect::Dial { conn, to } => self.dial((NODE, conn), &to),
            Effect::Close { conn } => self.hang_up((NODE, conn)),
            Effect::Io { token, op } => {
                let result = self.disk.execute(&op);
                self.inputs.push_back((NODE, Input::Io { token, result }));
            }
            Effect::Say { .. } => {}
            Effect::Exit { code } => panic!("the node ended with {code}"),
        }
    }

    fn send(&mut self, from: End, parts: &[Bytes]) {
        if let Some((to, conn)) = self.links.get(&from) {
            let (conn, bytes) = (*conn, Bytes::from(parts.concat()));
            self.inputs.push_back((*to, Input::Frame { conn, bytes }));
        }
    }

    fn dial(&mut self, from: End, to: &Endpoint) {
        assert_eq!(to.host, "n1");
        let (who, conn) = from;
        if self.node.is_none() {
            self.inputs.push_back((who, Input::DialFailed { conn, refused: true }));
            return;
        }
        let listener = if to.port == 9_001 { Listener::Broker } else { Listener::Controller };
        self.next_conn += 1;
        let there = (NODE, ConnId(self.next_conn));
        self.links.insert(from, there);
        self.links.insert(there, from);
        let peer_host = "client".to_owned();
        self.inputs.push_back((NODE, Input::Opened { conn: there.1, listener, peer_host }));
        self.inputs.push_back((who, Input::Dialed { conn }));
    }

    fn hang_up(&mut self, end: End) {
        if let Some(other) = self.links.remove(&end) {
            self.links.remove(&other);
            self.inputs.push_back((other.0, Input::Closed { conn: other.1 }));
        }
    }
}
