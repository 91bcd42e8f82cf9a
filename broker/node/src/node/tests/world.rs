//! A network without delay, disks in memory, and a clock that jumps from deadline to deadline.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;

use bytes::Bytes;
use log::io::IoOp;
use log::memory_disk::MemoryDisk;
use rustc_hash::FxHasher;
use wire::{Encodable, Guarded, frame};

use crate::config::NodeConfig;
use crate::context::{ConnId, Listener, Now};
use crate::node::Node;
use crate::step::{Effect, Input, Step};

/// Steps that one call may take; a node that never rests is a bug.
const STEPS_MAX: usize = 400_000;

#[derive(Default)]
struct Machine {
    disk: MemoryDisk,
    node: Option<Node>,
    exit_code: Option<u8>,
    said: String,
}

/// When the world begins, in milliseconds since the epoch.
pub const WALL_MS: i64 = 1_700_000_000_000;

type End = (i32, ConnId);

/// A client's end of a connection.
const CLIENT: i32 = 0;

pub struct World {
    count: i32,
    properties: &'static str,
    machines: BTreeMap<i32, Machine>,
    inputs: VecDeque<(i32, Input)>,
    /// Both ends of each connection, by either end.
    links: BTreeMap<End, End>,
    next_conn: u64,
    now_ns: u64,
    received: Vec<(ConnId, Bytes)>,
    /// Completions of syncs, while disks hang.
    hanging: Option<Vec<(i32, Input)>>,
    /// By nodes that were told to say so.
    pub acknowledged: Vec<crate::inspect::Acknowledged>,
    trace: FxHasher,
}

fn ports(node: i32) -> (u16, u16) {
    let id = u16::try_from(node).expect("a small id");
    (9_000 + id, 9_100 + id)
}

fn config(node: i32, count: i32, properties: &str) -> NodeConfig {
    let voters: Vec<String> =
        (1..=count).map(|id| format!("{id}@127.0.0.1:{}", ports(id).1)).collect();
    let (port, controller_port) = ports(node);
    let text = format!(
        "process.roles=broker,controller\nnode.id={node}\ncontroller.quorum.voters={}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         controller.listener.names=CONTROLLER\nlog.dirs=data\noffsets.topic.replication.factor={count}\n\
         offsets.topic.num.partitions=2\nbroker.session.timeout.ms=1000\nbroker.heartbeat.interval.ms=200\n\
         controller.quorum.fetch.timeout.ms=1000\ncontroller.quorum.election.timeout.ms=500\n\
         controller.quorum.request.timeout.ms=1000\nreplica.lag.time.max.ms=1500\n\
         replica.fetch.wait.max.ms=250\nreplica.socket.timeout.ms=1500\n{properties}",
        voters.join(",")
    );
    NodeConfig::parse(&text).expect("a good configuration").0
}

impl World {
    pub fn new(count: i32) -> World {
        World::with(count, "")
    }

    /// With more lines in every node's file.
    pub fn with(count: i32, properties: &'static str) -> World {
        World {
            count,
            properties,
            machines: (1..=count).map(|id| (id, Machine::default())).collect(),
            inputs: VecDeque::new(),
            links: BTreeMap::new(),
            next_conn: 0,
            now_ns: 1_000_000,
            received: Vec::new(),
            hanging: None,
            acknowledged: Vec::new(),
            trace: FxHasher::default(),
        }
    }

    pub fn node_mut(&mut self, id: i32) -> &mut Node {
        self.machine(id).node.as_mut().expect("it runs")
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ns / 1_000_000
    }

    fn machine(&mut self, id: i32) -> &mut Machine {
        self.machines.get_mut(&id).expect("a machine")
    }

    /// Starts a node's process; it may not be ready.
    pub fn boot(&mut self, id: i32) {
        let node = Node::new(config(id, self.count, self.properties), id.unsigned_abs().into());
        let machine = self.machine(id);
        assert!(machine.node.is_none(), "it runs already");
        machine.node = Some(node);
        machine.exit_code = None;
        self.inputs.push_back((id, Input::Start));
    }

    /// Starts a node and waits until it serves.
    pub fn start(&mut self, id: i32) {
        self.boot(id);
        let body = wire::messages::ApiVersionsRequest::default();
        let _: wire::messages::ApiVersionsResponse =
            self.ask(id, wire::api::key::API_VERSIONS, 0, &body);
        self.run_for(300);
    }

    pub fn start_all(&mut self) {
        for id in 1..=self.count {
            self.boot(id);
        }
        self.run_for(3_000);
    }

    pub fn is_alive(&self, id: i32) -> bool {
        self.machines[&id].node.is_some()
    }

    /// The node that acts as controller.
    pub fn controller(&self) -> Option<i32> {
        let active =
            |machine: &&Machine| machine.node.as_ref().is_some_and(Node::is_active_controller);
        self.machines.iter().find(|(_, machine)| active(machine)).map(|(id, _)| *id)
    }

    /// SIGKILL: its connections close, its page cache stays.
    pub fn kill(&mut self, id: i32) {
        let machine = self.machine(id);
        machine.node = None;
        machine.disk.kill();
        self.inputs.retain(|(node, _)| *node != id);
        let ends: Vec<End> = self.links.keys().filter(|end| end.0 == id).copied().collect();
        for end in ends {
            self.hang_up(end);
        }
    }

    /// From now on no disk completes a sync.
    pub fn hang_disks(&mut self) {
        self.hanging.get_or_insert_default();
    }

    /// The syncs that hung complete, and so do all after them.
    pub fn release_disks(&mut self) {
        self.inputs.extend(self.hanging.take().into_iter().flatten());
    }

    /// SIGTERM, and what came of it.
    pub fn shut_down(&mut self, id: i32) -> Option<u8> {
        self.inputs.push_back((id, Input::Shutdown));
        self.run_for(15_000);
        self.machine(id).exit_code
    }

    /// SIGTERM to all at once, in this order; how long until the last has ended.
    pub fn shut_down_all(&mut self, ids: &[i32]) -> u64 {
        let since_ms = self.now_ms();
        self.inputs.extend(ids.iter().map(|id| (*id, Input::Shutdown)));
        while ids.iter().any(|id| self.is_alive(*id)) {
            assert!(self.now_ms() < since_ms + 60_000, "some never end");
            self.run_for(10);
        }
        self.now_ms() - since_ms
    }

    pub fn exit_code(&self, id: i32) -> Option<u8> {
        self.machines[&id].exit_code
    }

    pub fn said(&self, id: i32) -> &str {
        &self.machines[&id].said
    }

    pub fn file(&self, id: i32, path: &str) -> Option<Vec<u8>> {
        self.machines[&id].disk.content(path).map(<[u8]>::to_vec)
    }

    pub fn put_file(&mut self, id: i32, path: &str, content: &str) {
        self.machine(id).disk.put(path, content.as_bytes());
    }

    /// A hash of all effects so far.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    fn connect(&mut self, id: i32, listener: Listener) -> ConnId {
        self.next_conn += 1;
        let (conn, client) = (ConnId(self.next_conn), ConnId(self.next_conn));
        self.links.insert((id, conn), (CLIENT, client));
        self.links.insert((CLIENT, client), (id, conn));
        let peer_host = "127.0.0.1".to_owned();
        self.inputs.push_back((id, Input::Opened { conn, listener, peer_host }));
        conn
    }

    /// Sends one frame on a connection of its own and looks at no answer.
    pub fn throw(&mut self, id: i32, listener: Listener, frame: Bytes) {
        let conn = self.connect(id, listener);
        self.inputs.push_back((id, Input::Frame { conn, bytes: frame }));
        self.run_for(0);
    }

    /// Sends a request and waits for its answer.
    pub fn ask<T: Guarded>(
        &mut self,
        id: i32,
        api_key: i16,
        version: i16,
        body: &impl Encodable,
    ) -> T {
        let conn = self.connect(id, Listener::Broker);
        let request = frame::encode_request(api_key, version, 5, "test", body).expect("encodes");
        self.inputs.push_back((id, Input::Frame { conn, bytes: request }));
        let until_ns = self.now_ns + 20_000_000_000;
        loop {
            if let Some(at) = self.received.iter().position(|(to, _)| *to == conn) {
                let (_, mut response) = self.received.swap_remove(at);
                frame::read_response_head(&mut response, api_key, version).expect("a header");
                return frame::decode(&mut response, version).expect("a body");
            }
            assert!(
                self.links.contains_key(&(CLIENT, conn)),
                "node {id} hung up: {}",
                self.said(id)
            );
            assert!(self.advance(until_ns), "node {id} does not answer: {}", self.said(id));
        }
    }

    /// How many answers came that nobody waited for.
    pub fn answers(&self) -> usize {
        self.received.len()
    }

    /// Lets everything happen that happens in this time.
    pub fn run_for(&mut self, ms: u64) {
        let until_ns = self.now_ns + ms * 1_000_000;
        for _ in 0..STEPS_MAX {
            if !self.advance(until_ns) {
                self.now_ns = until_ns;
                return;
            }
        }
        panic!("the nodes never rest");
    }

    /// The next input, or the next deadline if it comes by then. `false`: nothing.
    fn advance(&mut self, until_ns: u64) -> bool {
        if let Some((id, input)) = self.inputs.pop_front() {
            self.step(id, input);
            return true;
        }
        let deadline = |machine: &Machine| machine.node.as_ref().and_then(Step::deadline);
        let next = self.machines.iter().filter_map(|(id, m)| Some((deadline(m)?, *id))).min();
        let Some((at_ns, id)) = next.filter(|(at_ns, _)| *at_ns <= until_ns) else { return false };
        self.now_ns = self.now_ns.max(at_ns);
        self.step(id, Input::Tick);
        true
    }

    fn step(&mut self, id: i32, input: Input) {
        let now = Now {
            mono_ns: self.now_ns,
            wall_ms: WALL_MS + i64::try_from(self.now_ms()).expect("a short test"),
        };
        let mut effects = Vec::new();
        if let Some(node) = &mut self.machine(id).node {
            node.step(now, input, &mut effects);
            let acknowledged = node.inspect().acknowledged().to_vec();
            self.acknowledged.extend(acknowledged);
        }
        for effect in effects {
            self.trace.write(format!("{id} {effect:?}").as_bytes());
            self.carry_out(id, effect);
        }
    }

    fn carry_out(&mut self, id: i32, effect: Effect) {
        match effect {
            Effect::Send { conn, parts } => {
                let bytes: Bytes = parts.concat().into();
                match self.links.get(&(id, conn)) {
                    Some((CLIENT, client)) => self.received.push((*client, bytes)),
                    Some((to, conn)) => {
                        self.inputs.push_back((*to, Input::Frame { conn: *conn, bytes }));
                    }
                    None => {}
                }
            }
            Effect::Dial { conn, to } => self.dial(id, conn, to.port),
            Effect::Close { conn } => self.hang_up((id, conn)),
            Effect::Io { token, op } => {
                let result = self.machine(id).disk.execute(&op);
                let done = (id, Input::Io { token, result });
                match &mut self.hanging {
                    Some(hanging) if matches!(op, IoOp::Sync { .. }) => hanging.push(done),
                    _ => self.inputs.push_back(done),
                }
            }
            Effect::Say { message, .. } => {
                let machine = self.machine(id);
                machine.said.push_str(&message);
                machine.said.push('\n');
            }
            Effect::Exit { code } => {
                self.kill(id);
                self.machine(id).exit_code = Some(code);
            }
        }
    }

    fn dial(&mut self, id: i32, conn: ConnId, port: u16) {
        let listens = |node: i32| {
            let (broker, controller) = ports(node);
            if port == broker {
                Some(Listener::Broker)
            } else {
                (port == controller).then_some(Listener::Controller)
            }
        };
        let to = (1..=self.count).find_map(|node| Some((node, listens(node)?)));
        let Some((to, listener)) = to.filter(|(to, _)| self.is_alive(*to)) else {
            self.inputs.push_back((id, Input::DialFailed { conn, refused: true }));
            return;
        };
        self.next_conn += 1;
        let there = ConnId(self.next_conn);
        self.links.insert((id, conn), (to, there));
        self.links.insert((to, there), (id, conn));
        let peer_host = "127.0.0.1".to_owned();
        self.inputs.push_back((to, Input::Opened { conn: there, listener, peer_host }));
        self.inputs.push_back((id, Input::Dialed { conn }));
    }

    /// One end closes; the other is told.
    fn hang_up(&mut self, end: End) {
        if let Some(other) = self.links.remove(&end) {
            self.links.remove(&other);
            if other.0 != CLIENT {
                self.inputs.push_back((other.0, Input::Closed { conn: other.1 }));
            }
        }
    }
}
