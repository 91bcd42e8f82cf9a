//! A whole node: the quorum member, the controller and the broker of one process, behind one `step`.
//!
//! Promises: parts of a node meet only here. What they ask for in a step (answers, calls, storage operations, lines) is
//! carried out before the step ends, and what follows from it at once is done in the same step. Requests of one
//! connection are worked on concurrently and answered in order. Metadata reaches the parts only as committed.
//!
//! - [`boot`]: the directory's identity, and the start of the parts.
//! - [`connections`], [`peers`], [`local`]: who talks to us, to whom we talk, and calls that stay inside.
//! - [`dispatch`]: which part answers what. [`metadata`]: the quorum's outputs, and the image that follows from them.
//! - [`active`]: the active controller's records and answers. [`serving`]: the broker's parts. [`end`]: the way out.

mod active;
mod boot;
mod connections;
mod dispatch;
mod end;
mod inspection;
mod local;
mod metadata;
mod peers;
mod serving;

use bytes::Bytes;
use log::io::{IoQueue, IoResult, Token};
use rustc_hash::FxHashMap;

use crate::api::Facts;
use crate::config::NodeConfig;
use crate::context::{
    CallTag, ConnId, Context, IoOwner, Lane, Now, Outbox, OutgoingCall, Peer, Severity,
};
use crate::image::MetadataImage;
use crate::step::{Effect, Endpoint, Input, Step};

use active::ActiveController;
use boot::{Boot, Identity};
use connections::Connections;
use end::Ending;
use local::Locals;
use metadata::QuorumMember;
use peers::{Answered, Lost, Peers};
use serving::Broker;

/// What is lent to the parts.
struct Shared {
    config: NodeConfig,
    io: IoQueue,
    outbox: Outbox,
    now: Now,
}

impl Shared {
    fn context(&mut self) -> Context<'_> {
        Context { now: self.now, io: &mut self.io, outbox: &mut self.outbox, config: &self.config }
    }

    fn now_ms(&self) -> u64 {
        self.now.mono_ms()
    }

    fn say(&mut self, severity: Severity, message: String) {
        self.outbox.says.push((severity, message));
    }
}

/// See the module's documentation.
pub struct Node {
    shared: Shared,
    seed: u64,
    boot: Boot,
    identity: Option<Identity>,
    image: MetadataImage,
    connections: Connections,
    peers: Peers,
    locals: Locals,
    io_owners: FxHashMap<Token, IoOwner>,
    quorum: Option<QuorumMember>,
    controller: Option<ActiveController>,
    broker: Option<Broker>,
    /// Frames that came before the part that answers them was there.
    held: Vec<(ConnId, Bytes)>,
    ending: Ending,
    effects: Vec<Effect>,
    answered: Vec<Answered>,
    /// Somebody looks at what is acknowledged: a simulation.
    observed: bool,
}

impl Node {
    /// A node that does nothing before [`Input::Start`]. Every random choice follows from `seed`.
    pub fn new(config: NodeConfig, seed: u64) -> Node {
        let now = Now { mono_ns: 0, wall_ms: 0 };
        Node {
            shared: Shared { config, io: IoQueue::default(), outbox: Outbox::default(), now },
            seed,
            boot: Boot::default(),
            identity: None,
            image: MetadataImage::empty(),
            connections: Connections::default(),
            peers: Peers::default(),
            locals: Locals::default(),
            io_owners: FxHashMap::default(),
            quorum: None,
            controller: None,
            broker: None,
            held: Vec::new(),
            ending: Ending::NotYet,
            effects: Vec::new(),
            answered: Vec::new(),
            observed: false,
        }
    }

    fn facts(&self) -> Facts<'_> {
        let cluster_id = self.identity.as_ref().map_or("", |identity| identity.cluster_id.as_str());
        Facts { image: &self.image, config: &self.shared.config, cluster_id }
    }

    fn leader(&self) -> Option<i32> {
        self.quorum.as_ref().and_then(|member| member.leader)
    }

    fn take_in(&mut self, input: Input) {
        match input {
            Input::Start => self.start(),
            Input::Opened { conn, listener, peer_host } => {
                self.connections.opened(conn, listener, peer_host);
            }
            Input::Frame { conn, bytes } if conn.0 >= ConnId::DIALED => {
                let now_ms = self.shared.now_ms();
                self.peers.on_frame(conn, bytes, now_ms, &mut self.effects, &mut self.answered);
            }
            Input::Frame { conn, bytes } => self.on_frame(conn, bytes),
            Input::Dialed { conn } => self.peers.on_dialed(conn, &mut self.effects),
            Input::DialFailed { conn, refused } => self.on_lost(conn, refused),
            Input::Closed { conn } if conn.0 >= ConnId::DIALED => self.on_lost(conn, false),
            Input::Closed { conn } => self.on_closed(conn),
            Input::Io { token, result } => self.on_io(token, result),
            Input::Tick => {}
            Input::Shutdown => self.shut_down(),
        }
    }

    fn on_io(&mut self, token: Token, result: IoResult) {
        let owner = self.io_owners.remove(&token);
        match owner.expect("every operation has an owner and completes once") {
            IoOwner::Node => self.on_boot_io(token, result),
            IoOwner::Raft => self.on_quorum_io(token, result),
            owner => {
                if let Some(broker) = &mut self.broker {
                    let ctx = &mut self.shared.context();
                    broker.replicas.on_io(ctx, &owner, token, result);
                }
            }
        }
    }

    fn on_lost(&mut self, conn: ConnId, refused: bool) {
        let now_ms = self.shared.now_ms();
        match self.peers.on_lost(conn, refused, now_ms, &mut self.answered) {
            Lost::Closed(peer) => self.suspect(peer.node),
            Lost::NotDialed { peer, refused: true } => self.on_peer_gone(peer.node),
            Lost::NotDialed { .. } | Lost::Unknown => {}
        }
    }

    fn on_closed(&mut self, conn: ConnId) {
        let node = self.connections.closed(conn).and_then(|inbound| inbound.peer_node);
        if let Some(node) = node {
            self.suspect(node);
        }
        if let Some(broker) = &mut self.broker {
            broker.replicas.on_connection_closed(conn);
        }
    }

    /// A connection of that node closed: one dial tells whether its process is still there.
    fn suspect(&mut self, node: i32) {
        if node == self.shared.config.node_id || !self.minds_peers() {
            return;
        }
        if let Some(endpoint) = self.endpoint(Peer { node, lane: Lane::Probe }) {
            let due_ms = self.shared.now_ms() + self.shared.config.broker_session_timeout_ms;
            self.peers.probe(node, endpoint, due_ms, &mut self.effects);
        }
    }

    /// Nobody listens where that node should: its process is dead.
    fn on_peer_gone(&mut self, node: i32) {
        self.quorum_peer_gone(node);
        self.fence_gone_broker(node);
    }

    fn endpoint(&self, peer: Peer) -> Option<Endpoint> {
        endpoint_of(&self.shared.config, &self.image, peer)
    }

    /// Carries out what the parts asked for until they ask for nothing more.
    fn settle(&mut self) {
        loop {
            self.run_quorum_outputs();
            self.drive_broker();
            self.send_answers();
            self.place_calls();
            let now_ms = self.shared.now_ms();
            let (config, image) = (&self.shared.config, &self.image);
            let endpoint = |peer| endpoint_of(config, image, peer);
            self.peers.drive(now_ms, endpoint, &mut self.effects, &mut self.answered);
            self.locals.expire(now_ms, &mut self.answered);
            if self.answered.is_empty() && !self.has_more() {
                break;
            }
            for answered in std::mem::take(&mut self.answered) {
                self.on_answer(answered);
            }
        }
        self.hand_over_io();
        for (severity, message) in self.shared.outbox.says.drain(..) {
            self.effects.push(Effect::Say { severity, message });
        }
        if let Some(message) = self.shared.outbox.fatal.take() {
            self.end_in_failure(message);
        }
    }

    fn has_more(&self) -> bool {
        let outbox = &self.shared.outbox;
        !outbox.replies.is_empty()
            || !outbox.calls.is_empty()
            || !outbox.drops.is_empty()
            || self.quorum.as_ref().is_some_and(QuorumMember::has_outputs)
    }

    fn send_answers(&mut self) {
        for (id, answer) in std::mem::take(&mut self.shared.outbox.replies) {
            if local::is_local(id.conn) {
                self.on_local_reply(id.conn, answer);
            } else {
                self.connections.answer(id, answer, &mut self.effects);
            }
        }
        for conn in std::mem::take(&mut self.shared.outbox.drops) {
            if local::is_local(conn) {
                self.on_local_drop(conn);
            } else if self.connections.closed(conn).is_some() {
                self.effects.push(Effect::Close { conn });
            }
        }
    }

    fn place_calls(&mut self) {
        for call in std::mem::take(&mut self.shared.outbox.calls) {
            self.place_call(call);
        }
    }

    fn place_call(&mut self, mut call: OutgoingCall) {
        if call.peer.node == Peer::ACTIVE_CONTROLLER {
            match self.leader() {
                Some(leader) => call.peer.node = leader,
                None => {
                    self.answered.push(Answered::failed(call.peer, call.tag));
                    return;
                }
            }
        }
        let due_ms =
            self.shared.now_ms() + call.timeout_ms.unwrap_or(self.timeout_ms(call.peer.lane));
        if call.peer.node == self.shared.config.node_id {
            self.call_locally(call, due_ms);
        } else {
            self.peers.call(call, due_ms);
        }
    }

    /// How long a lane's calls may take.
    fn timeout_ms(&self, lane: Lane) -> u64 {
        let config = &self.shared.config;
        match lane {
            Lane::Raft | Lane::Election => config.controller_quorum_request_timeout_ms,
            // A heartbeat that takes longer than the session is of no use to anybody.
            Lane::Heartbeat | Lane::Probe => config.broker_session_timeout_ms,
            Lane::Controller => config.request_timeout_ms,
            Lane::Fetch(_) => config.replica_socket_timeout_ms,
        }
    }

    fn on_answer(&mut self, answered: Answered) {
        let Answered { peer, tag, answer } = answered;
        match tag {
            CallTag::Raft { call } => self.on_quorum_answer(peer.node, call, answer),
            CallTag::ControllerRegistration => {
                if let Some(controller) = &mut self.controller {
                    controller.enrolment.on_response(&mut self.shared.context(), answer);
                }
            }
            tag => self.on_broker_answer(tag, answer),
        }
    }

    fn hand_over_io(&mut self) {
        let owners = std::mem::take(&mut self.shared.outbox.io_owners);
        let mut claims = owners.into_iter().peekable();
        for (token, op) in self.shared.io.drain() {
            while claims.peek().is_some_and(|(_, last, _)| *last < token) {
                claims.next();
            }
            let claim = claims.peek().filter(|(first, ..)| *first <= token);
            let (_, _, owner) =
                claim.expect("every operation is claimed in the step that submits it");
            self.io_owners.insert(token, owner.clone());
            self.effects.push(Effect::Io { token, op });
        }
    }
}

/// Where a peer's lane leads: voters by the configuration, brokers by the metadata.
fn endpoint_of(config: &NodeConfig, image: &MetadataImage, peer: Peer) -> Option<Endpoint> {
    let by_metadata = || {
        let broker = image.broker(peer.node)?;
        let endpoint = broker
            .endpoint(&config.inter_broker_listener_name)
            .or_else(|| broker.endpoints.first())?;
        Some(Endpoint { host: endpoint.host.clone(), port: endpoint.port })
    };
    match peer.lane {
        Lane::Fetch(_) => by_metadata(),
        Lane::Probe => config.voter_endpoint(peer.node).or_else(by_metadata),
        _ => config.voter_endpoint(peer.node),
    }
}

impl Step for Node {
    fn step(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        if matches!(self.ending, Ending::Over) {
            return;
        }
        self.shared.now = now;
        self.forget_acknowledged();
        self.take_in(input);
        self.on_time();
        self.settle();
        effects.append(&mut self.effects);
    }

    fn deadline(&self) -> Option<u64> {
        if matches!(self.ending, Ending::Over) {
            return None;
        }
        let deadlines = [
            self.quorum.as_ref().and_then(QuorumMember::deadline_ms),
            self.controller.as_ref().and_then(ActiveController::deadline_ms),
            self.broker.as_ref().and_then(Broker::deadline_ms),
            self.peers.deadline_ms(),
            self.locals.deadline_ms(),
            self.ending_deadline_ms(),
        ];
        let deadline_ms = deadlines.into_iter().flatten().min()?;
        Some(deadline_ms.saturating_mul(1_000_000))
    }
}

impl Node {
    /// What has come due by the clock, whatever the input was.
    fn on_time(&mut self) {
        self.quorum_on_time();
        self.controller_on_time();
        self.broker_on_time();
    }
}

#[cfg(test)]
mod tests;
