//! The cluster of the tests: nodes and the network between them, with cuts. The controller and the clients have files of
//! their own.

mod client;
mod controller;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use log::io::{DirEntry, IoOp, IoQueue, IoResult, Token};
use log::memory_disk::MemoryDisk;
use uuid::Uuid;
use wire::frame::{RequestHead, read_request_head, read_response_head};

use crate::config::NodeConfig;
use crate::context::{
    CallFailed, CallTag, ConnId, Context, IoOwner, Lane, Listener, Now, Outbox, Peer, Request,
    RequestId, TopicPartitionId,
};
use crate::defect::{Defect, Defects};
use crate::image::{BrokerImage, ListenerEndpoint, MetadataImage};
use crate::replica::{ReplicaEvent, ReplicaManager};

pub use client::batch;

pub const TOPIC: &str = "orders";
pub const TOPIC_ID: Uuid = Uuid::from_u128(0x1234_5678_0000_4000_8000_0000_0000_0001);
pub const TP: TopicPartitionId = TopicPartitionId { topic_id: TOPIC_ID, partition: 0 };
/// Connections of clients; those below are peers'.
const CLIENT_CONN: u64 = 1000;

pub struct Node {
    pub manager: ReplicaManager,
    pub disk: MemoryDisk,
    pub config: NodeConfig,
    pub up: bool,
    /// SIGSTOP: gets nothing, does nothing.
    pub stalled: bool,
    pub broker_epoch: i64,
    pub events: Vec<ReplicaEvent>,
    pub said: Vec<String>,
    pub fatal: Option<String>,
    io: IoQueue,
    owners: BTreeMap<Token, IoOwner>,
    /// What the disk has done and not told yet.
    held_io: VecDeque<(Token, IoOp)>,
    /// The disk does nothing until released.
    pub hold_io: bool,
    image: MetadataImage,
}

enum Message {
    Call { from: i32, to: i32, tag: CallTag, api_key: i16, version: i16, frame: Bytes },
    Answer { to: i32, tag: CallTag, answer: crate::context::CallAnswer },
    Image { to: i32, image: Box<MetadataImage> },
    Client { to: i32, request: Request },
}

impl Message {
    fn to(&self) -> i32 {
        match self {
            Message::Call { to, .. }
            | Message::Answer { to, .. }
            | Message::Image { to, .. }
            | Message::Client { to, .. } => *to,
        }
    }
}

pub struct Cluster {
    pub nodes: BTreeMap<i32, Node>,
    pub image: MetadataImage,
    pub now_ms: u64,
    queue: VecDeque<Message>,
    /// What stalled nodes have not taken yet.
    backlog: VecDeque<Message>,
    /// Calls that a node has not answered, by the request they became.
    calls: BTreeMap<(i32, RequestId), (i32, CallTag, i16, i16)>,
    /// Clients' requests and what they were answered.
    answers: BTreeMap<(i32, RequestId), Option<Bytes>>,
    heads: BTreeMap<(i32, RequestId), RequestHead>,
    next_slot: u64,
    next_epoch: i64,
    /// (from, to): messages are lost, and calls fail.
    pub cuts: BTreeSet<(i32, i32)>,
    /// Nodes that hear nothing from the controller, nor it from them.
    pub deaf: BTreeSet<i32>,
    pub alter_partitions: Vec<(i32, Vec<i32>)>,
    defects: Defects,
    properties: String,
}

/// A client's request, to ask for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    node: i32,
    id: RequestId,
}

impl Cluster {
    pub fn new(ids: &[i32]) -> Self {
        Self::with(ids, &[], "")
    }

    pub fn with(ids: &[i32], defects: &[Defect], properties: &str) -> Self {
        let mut set = Defects::default();
        defects.iter().for_each(|defect| set.insert(*defect));
        let mut cluster = Cluster {
            nodes: BTreeMap::new(),
            image: MetadataImage::empty(),
            now_ms: 1_000,
            queue: VecDeque::new(),
            backlog: VecDeque::new(),
            calls: BTreeMap::new(),
            answers: BTreeMap::new(),
            heads: BTreeMap::new(),
            next_slot: 0,
            next_epoch: 100,
            cuts: BTreeSet::new(),
            deaf: BTreeSet::new(),
            alter_partitions: Vec::new(),
            defects: set,
            properties: properties.to_owned(),
        };
        for id in ids {
            cluster.boot(*id, MemoryDisk::new());
        }
        cluster.settle();
        cluster
    }

    fn config(&self, id: i32) -> NodeConfig {
        let text = format!(
            "process.roles=broker\nnode.id={id}\ncontroller.quorum.voters=9@127.0.0.1:9093\n\
             listeners=PLAINTEXT://127.0.0.1:{}\ncontroller.listener.names=CONTROLLER\nlog.dirs=d\n\
             replica.lag.time.max.ms=1500\nreplica.fetch.wait.max.ms=250\n{}",
            9092 + id * 10,
            self.properties
        );
        let (config, _) = NodeConfig::parse(&text).expect("a good configuration");
        NodeConfig { highwater_defects: self.defects.clone(), ..config }
    }

    fn boot(&mut self, id: i32, disk: MemoryDisk) {
        let fenced = self.image.brokers.contains_key(&id);
        self.boot_unregistered(id, disk);
        self.register(id, fenced);
    }

    /// A node that has read its directory and knows no metadata.
    pub fn boot_unregistered(&mut self, id: i32, disk: MemoryDisk) {
        let config = self.config(id);
        let manager = ReplicaManager::new(id, self.defects.clone());
        let node = Node {
            manager,
            disk,
            config,
            up: true,
            stalled: false,
            broker_epoch: -1,
            events: Vec::new(),
            said: Vec::new(),
            fatal: None,
            io: IoQueue::default(),
            owners: BTreeMap::new(),
            held_io: VecDeque::new(),
            hold_io: false,
            image: MetadataImage::empty(),
        };
        self.nodes.insert(id, node);
        self.step(id, |manager, ctx| manager.start(ctx));
        self.settle();
    }

    /// Registration, as the controller would commit it.
    fn register(&mut self, id: i32, fenced: bool) {
        self.next_epoch += 1;
        let epoch = self.next_epoch;
        let broker = BrokerImage {
            id,
            epoch,
            incarnation_id: Uuid::from_u128(epoch as u128),
            endpoints: vec![ListenerEndpoint {
                name: "PLAINTEXT".into(),
                host: "127.0.0.1".into(),
                port: (9092 + id * 10) as u16,
                security_protocol: 0,
            }],
            features: BTreeMap::new(),
            rack: None,
            fenced,
            in_controlled_shutdown: false,
            log_dirs: vec![],
        };
        self.image.brokers.insert(id, broker);
        self.node(id).broker_epoch = epoch;
        self.step(id, |manager, ctx| manager.set_broker_epoch(ctx, epoch));
        self.publish();
    }

    pub fn node(&mut self, id: i32) -> &mut Node {
        self.nodes.get_mut(&id).expect("such a node")
    }

    /// Calls into a node's replica manager and takes what comes out of it.
    pub fn step(&mut self, id: i32, act: impl FnOnce(&mut ReplicaManager, &mut Context<'_>)) {
        let now = Now {
            mono_ns: self.now_ms * 1_000_000,
            wall_ms: 1_700_000_000_000 + self.now_ms as i64,
        };
        let node = self.nodes.get_mut(&id).expect("such a node");
        let mut outbox = Outbox { claimed: node.io.last_token().0, ..Outbox::default() };
        let mut ctx = Context { now, io: &mut node.io, outbox: &mut outbox, config: &node.config };
        act(&mut node.manager, &mut ctx);
        assert_eq!(outbox.claimed, node.io.last_token().0, "every operation has an owner");
        for (first, last, owner) in outbox.io_owners {
            for token in first.0..=last.0 {
                node.owners.insert(Token(token), owner.clone());
            }
        }
        node.held_io.extend(node.io.drain());
        node.events.extend(node.manager.take_events());
        node.said.extend(outbox.says.into_iter().map(|(_, message)| message));
        node.fatal = node.fatal.take().or(outbox.fatal);
        for call in outbox.calls {
            self.send_call(id, call.peer, call.tag, call.api_key, call.version, call.frame);
        }
        for (request, parts) in outbox.replies {
            let frame = parts.map(|parts| parts.concat().into());
            self.replied(id, request, frame);
        }
        for conn in outbox.drops {
            let dropped: Vec<RequestId> = self
                .heads
                .keys()
                .filter(|(n, r)| *n == id && r.conn == conn)
                .map(|(_, r)| *r)
                .collect();
            for request in dropped {
                self.answers.entry((id, request)).or_insert(None);
            }
        }
    }

    fn send_call(
        &mut self,
        from: i32,
        peer: Peer,
        tag: CallTag,
        api_key: i16,
        version: i16,
        frame: Bytes,
    ) {
        if peer.lane == Lane::Controller {
            self.controller_call(from, tag, version, frame);
        } else {
            let to = peer.node;
            self.queue.push_back(Message::Call { from, to, tag, api_key, version, frame });
        }
    }

    fn replied(&mut self, node: i32, request: RequestId, frame: Option<Bytes>) {
        if let Some((caller, tag, api_key, version)) = self.calls.remove(&(node, request)) {
            let mut frame = frame.expect("calls are answered");
            read_response_head(&mut frame, api_key, version).expect("a good header");
            let answer = Ok((version, frame));
            if self.is_cut(node, caller) {
                return;
            }
            self.queue.push_back(Message::Answer { to: caller, tag, answer });
        } else {
            let twice = self.answers.insert((node, request), frame);
            assert!(twice.is_none(), "{request:?} was answered twice");
        }
    }

    fn is_cut(&self, from: i32, to: i32) -> bool {
        self.cuts.contains(&(from, to))
    }

    /// Runs until nothing moves any more at this time.
    pub fn settle(&mut self) {
        for _ in 0..1_000_000 {
            if !self.run_io() && !self.deliver() {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    /// Lets `ms` pass, with everything that happens meanwhile.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        loop {
            self.settle();
            let ids: Vec<i32> =
                self.nodes.iter().filter(|(_, n)| n.up && !n.stalled).map(|(id, _)| *id).collect();
            let next = ids.iter().filter_map(|id| self.nodes[id].manager.deadline()).min();
            let Some(next) = next.filter(|at_ms| *at_ms <= end) else { break };
            self.now_ms = next.max(self.now_ms);
            for id in ids {
                if self.nodes[&id].manager.deadline().is_some_and(|at_ms| at_ms <= self.now_ms) {
                    self.step(id, |manager, ctx| manager.on_tick(ctx));
                    let next = self.nodes[&id].manager.deadline();
                    let now_ms = self.now_ms;
                    assert!(next.is_none_or(|at_ms| at_ms > now_ms), "a tick does all that is due");
                }
            }
        }
        self.now_ms = self.now_ms.max(end);
        self.settle();
    }

    fn run_io(&mut self) -> bool {
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        let mut ran = false;
        for id in ids {
            while self.run_one_io(id) {
                ran = true;
            }
        }
        ran
    }

    fn run_one_io(&mut self, id: i32) -> bool {
        let node = self.node(id);
        if !node.up || node.stalled || node.hold_io {
            return false;
        }
        let Some((token, op)) = node.held_io.pop_front() else { return false };
        let result = execute(&mut node.disk, &op);
        let owner = node.owners.remove(&token).expect("an owner");
        self.step(id, |manager, ctx| manager.on_io(ctx, &owner, token, result));
        true
    }

    fn deliver(&mut self) -> bool {
        let Some(message) = self.queue.pop_front() else { return false };
        let to = message.to();
        if self.nodes.get(&to).is_some_and(|node| node.up && node.stalled) {
            self.backlog.push_back(message);
            return true;
        }
        match message {
            Message::Call { from, to, tag, api_key, version, mut frame } => {
                let up = self.nodes.get(&to).is_some_and(|node| node.up);
                if !up || self.is_cut(from, to) {
                    let failed = CallFailed { refused: !up, timed_out: up };
                    self.queue.push_back(Message::Answer { to: from, tag, answer: Err(failed) });
                    return true;
                }
                let head = read_request_head(&mut frame).expect("a good header");
                self.next_slot += 1;
                let id = RequestId { conn: ConnId(from as u64), slot: self.next_slot };
                self.calls.insert((to, id), (from, tag, api_key, version));
                let request = request(id, head, frame);
                self.step(to, |manager, ctx| manager.handle(ctx, request));
            }
            Message::Answer { to, tag, answer } => {
                if self.nodes.get(&to).is_some_and(|node| node.up) {
                    self.step(to, |manager, ctx| manager.on_response(ctx, &tag, answer));
                }
            }
            Message::Image { to, image } => self.deliver_image(to, *image),
            Message::Client { to, request } => {
                if self.nodes.get(&to).is_some_and(|node| node.up) {
                    self.step(to, |manager, ctx| manager.handle(ctx, request));
                } else {
                    self.answers.insert((to, request.id), None);
                }
            }
        }
        true
    }

    pub fn show_image(&mut self, to: i32, image: &MetadataImage) {
        self.deliver_image(to, image.clone());
    }

    fn deliver_image(&mut self, to: i32, image: MetadataImage) {
        if !self.nodes.get(&to).is_some_and(|node| node.up) {
            return;
        }
        let changes = image.changes_since(&self.nodes[&to].image);
        self.step(to, |manager, ctx| manager.on_image(ctx, &image, &changes));
        self.node(to).image = image;
    }

    // What happens to nodes.

    /// SIGKILL, and the controller notices.
    pub fn kill(&mut self, id: i32) {
        self.crash(id);
        self.fence(id);
        self.settle();
    }

    /// SIGKILL; the page cache stays.
    pub fn crash(&mut self, id: i32) {
        let node = self.node(id);
        node.up = false;
        // Operations that were submitted have reached the page cache or they have not: here, they have.
        let ops: Vec<(Token, IoOp)> = node.held_io.drain(..).collect();
        if !node.hold_io {
            for (_, op) in ops {
                execute(&mut node.disk, &op);
            }
        }
        node.disk.kill();
        self.lose_calls(id);
    }

    /// Calls that this node was to answer fail; what it asked for itself nobody waits for.
    fn lose_calls(&mut self, id: i32) {
        let lost: Vec<_> = self.calls.keys().filter(|(node, _)| *node == id).copied().collect();
        for key in lost {
            let (caller, tag, ..) = self.calls.remove(&key).expect("listed");
            let failed = CallFailed { refused: true, timed_out: false };
            self.queue.push_back(Message::Answer { to: caller, tag, answer: Err(failed) });
        }
        self.calls.retain(|_, (caller, ..)| *caller != id);
        self.queue.retain(|message| !matches!(message, Message::Answer { to, .. } if *to == id));
    }

    /// Starts a dead node again, on its disk, fenced until it is ready.
    pub fn restart(&mut self, id: i32) {
        let disk = self.node(id).disk.clone();
        self.boot(id, disk);
        self.settle();
        assert!(self.node(id).manager.is_ready(), "{:?}", self.node(id).said);
        self.unfence(id);
        self.settle();
    }

    pub fn stall(&mut self, id: i32) {
        self.node(id).stalled = true;
    }

    pub fn resume(&mut self, id: i32) {
        self.node(id).stalled = false;
        let backlog = std::mem::take(&mut self.backlog);
        self.queue.extend(backlog);
    }

    /// Calls between the two get no answers, those under way included.
    pub fn cut(&mut self, a: i32, b: i32) {
        self.cuts.insert((a, b));
        self.cuts.insert((b, a));
        let lost: Vec<_> = self
            .calls
            .iter()
            .filter(|((node, _), (caller, ..))| {
                (*node == a && *caller == b) || (*node == b && *caller == a)
            })
            .map(|(key, _)| *key)
            .collect();
        for key in lost {
            let (caller, tag, ..) = self.calls.remove(&key).expect("listed");
            let failed = CallFailed { refused: false, timed_out: true };
            self.queue.push_back(Message::Answer { to: caller, tag, answer: Err(failed) });
        }
    }

    pub fn heal(&mut self) {
        self.cuts.clear();
        self.deaf.clear();
        self.publish();
        self.settle();
    }
}

fn request(id: RequestId, head: RequestHead, body: Bytes) -> Request {
    Request { id, head, listener: Listener::Broker, peer_host: "127.0.0.1".into(), body }
}

/// The disk, with the root directory that it does not know of.
fn execute(disk: &mut MemoryDisk, op: &IoOp) -> IoResult {
    match op {
        IoOp::List { dir } if dir.is_empty() => {
            let mut names = BTreeMap::new();
            for path in disk.paths() {
                match path.split_once('/') {
                    Some((dir, _)) => names.insert(dir.to_owned(), true),
                    None => names.insert(path.to_owned(), false),
                };
            }
            let entries = names.into_iter().map(|(name, is_dir)| DirEntry { name, is_dir, len: 0 });
            IoResult::Listed(entries.collect())
        }
        op => disk.execute(op),
    }
}
