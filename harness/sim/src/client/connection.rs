//! Connections to brokers: dialing, the ApiVersions handshake, requests and their answers, timeouts.
//!
//! Promises: every request that was sent gets exactly one end: an answer, or the word that it is lost. One that times out
//! takes its connection with it, as in Kafka's own clients: what comes on it later answers nobody. After a failure a peer is
//! left alone for a while that grows. Not promised: that a lost request was not carried out.

use super::{ClientEffect, MS, broker_endpoint, jittered_ns, sooner};
use bytes::Bytes;
use generator::random::Random;
use node::step::{ConnId, Endpoint, Input};
use std::collections::{BTreeMap, VecDeque};
use wire::api::key;
use wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use wire::{Encodable, Guarded, StrBytes};

/// `socket.connection.setup.timeout.ms`, handshake included.
const SETUP_TIMEOUT_NS: u64 = 1_000 * MS;
/// `reconnect.backoff.ms` and its maximum.
const BACKOFF_MS: u64 = 20;
const BACKOFF_MS_MAX: u64 = 200;
const API_VERSIONS_VERSION: i16 = 3;
const COMPLAINTS_MAX: usize = 20;

/// A broker, and what the connection to it is for: one that a slow answer may hold up delays no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Peer {
    pub broker: i32,
    pub lane: Lane,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Data,
    /// Metadata of those whose fetches are held by the broker.
    Control,
    /// A group's coordinator, which may hold a join for seconds.
    Group,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    TimedOut,
    Closed,
}

/// What became of a request, or of a connection.
#[derive(Debug)]
pub(super) enum Happened<Q> {
    /// The body of an answer, its header read.
    Answered {
        peer: Peer,
        ask: Q,
        version: i16,
        body: Bytes,
    },
    Lost {
        peer: Peer,
        ask: Q,
        why: Lost,
    },
    /// There is no connection to it any more, or there was none to be had.
    Down {
        peer: Peer,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { retry_at_ns: u64 },
    Dialing { since_ns: u64 },
    Ready,
}

struct Pending<Q> {
    correlation_id: i32,
    api_key: i16,
    version: i16,
    due_ns: u64,
    /// `None`: the handshake.
    ask: Option<Q>,
}

struct Link<Q> {
    peer: Peer,
    conn: ConnId,
    state: State,
    /// Failures in a row.
    failures: u32,
    /// Somebody waits for it to be dialed again.
    wanted: bool,
    correlation_id: i32,
    /// (key, lowest, highest), by key.
    versions: Vec<(i16, i16, i16)>,
    pending: VecDeque<Pending<Q>>,
}

pub(super) struct Connections<Q> {
    client_id: String,
    next_conn: u64,
    random: Random,
    endpoints: BTreeMap<i32, Endpoint>,
    links: Vec<Link<Q>>,
    pub complaints: Vec<String>,
}

impl<Q> Connections<Q> {
    pub fn new(client_id: &str, brokers: &[u16], life: u32, random: Random) -> Connections<Q> {
        let endpoints = brokers.iter().map(|id| (i32::from(*id), broker_endpoint(*id))).collect();
        Connections {
            client_id: client_id.to_owned(),
            next_conn: ConnId::DIALED + (u64::from(life) << 32),
            random,
            endpoints,
            links: Vec::new(),
            complaints: Vec::new(),
        }
    }

    pub fn brokers(&self) -> impl Iterator<Item = i32> {
        self.endpoints.keys().copied()
    }

    /// Where a broker is, by metadata. Connections that stand are left standing.
    pub fn locate(&mut self, broker: i32, host: &str, port: u16) {
        let known = self.endpoints.get(&broker);
        if known.is_none_or(|known| known.host != host || known.port != port) {
            self.endpoints.insert(broker, Endpoint { host: host.to_owned(), port });
        }
    }

    fn link(&self, peer: Peer) -> Option<&Link<Q>> {
        self.links.iter().find(|link| link.peer == peer)
    }

    pub fn is_ready(&self, peer: Peer) -> bool {
        self.link(peer).is_some_and(|link| link.state == State::Ready)
    }

    pub fn is_dialing(&self, peer: Peer) -> bool {
        self.link(peer).is_some_and(|link| matches!(link.state, State::Dialing { .. }))
    }

    /// Requests without an answer.
    pub fn in_flight(&self, peer: Peer) -> usize {
        self.link(peer).map_or(0, |link| link.pending.len())
    }

    /// Whether requests can be sent to it now. If not, it is dialed as soon as its backoff allows.
    pub fn open(&mut self, now_ns: u64, peer: Peer, effects: &mut Vec<ClientEffect>) -> bool {
        let index = match self.links.iter().position(|link| link.peer == peer) {
            Some(index) => index,
            None => {
                self.links.push(Link {
                    peer,
                    conn: ConnId(0),
                    state: State::Closed { retry_at_ns: 0 },
                    failures: 0,
                    wanted: false,
                    correlation_id: 0,
                    versions: Vec::new(),
                    pending: VecDeque::new(),
                });
                self.links.len() - 1
            }
        };
        let link = &mut self.links[index];
        match link.state {
            State::Ready => return true,
            State::Dialing { .. } => {}
            State::Closed { retry_at_ns } if retry_at_ns > now_ns => link.wanted = true,
            State::Closed { .. } => {
                let Some(to) = self.endpoints.get(&peer.broker) else { return false };
                link.conn = ConnId(self.next_conn);
                self.next_conn += 1;
                link.state = State::Dialing { since_ns: now_ns };
                link.wanted = false;
                effects.push(ClientEffect::Dial { conn: link.conn, to: to.clone() });
            }
        }
        false
    }

    /// The highest version of an API that both sides have, of those up to `highest`.
    pub fn version(&self, peer: Peer, api_key: i16, highest: i16) -> Option<i16> {
        let link = self.link(peer)?;
        let (_, low, high) = link.versions.iter().find(|(key, ..)| *key == api_key)?;
        let version = highest.min(*high);
        (version >= *low).then_some(version)
    }

    /// Sends a request on a connection that is ready. Without `ask` there will be no answer (acks=0).
    pub fn send<B: Encodable>(
        &mut self,
        now_ns: u64,
        peer: Peer,
        api_key: i16,
        version: i16,
        body: &B,
        timeout_ns: u64,
        ask: Option<Q>,
        effects: &mut Vec<ClientEffect>,
    ) {
        let Connections { links, client_id, .. } = self;
        let link = links.iter_mut().find(|link| link.peer == peer).expect("it was opened");
        assert!(link.state == State::Ready, "only a ready connection carries requests");
        let correlation_id = link.send(api_key, version, body, client_id, effects);
        if let Some(ask) = ask {
            let due_ns = now_ns + timeout_ns;
            let ask = Some(ask);
            link.pending.push_back(Pending { correlation_id, api_key, version, due_ns, ask });
        }
    }

    /// Takes what a connection brought, and ends what has waited too long.
    pub fn on_input(
        &mut self,
        now_ns: u64,
        input: Input,
        effects: &mut Vec<ClientEffect>,
        out: &mut Vec<Happened<Q>>,
    ) {
        match input {
            Input::Dialed { conn } => self.greet(now_ns, conn, effects),
            Input::DialFailed { conn, .. } | Input::Closed { conn } => {
                if let Some(index) = self.index_of(conn) {
                    self.down(index, now_ns, Lost::Closed, out);
                }
            }
            Input::Frame { conn, bytes } => {
                if let Some(index) = self.index_of(conn)
                    && let Err(complaint) = self.on_frame(index, bytes, out)
                {
                    self.complain(complaint);
                    self.hang_up(index, now_ns, Lost::Closed, effects, out);
                }
            }
            _ => {}
        }
        self.expire(now_ns, effects, out);
    }

    fn index_of(&self, conn: ConnId) -> Option<usize> {
        self.links
            .iter()
            .position(|link| link.conn == conn && !matches!(link.state, State::Closed { .. }))
    }

    fn greet(&mut self, now_ns: u64, conn: ConnId, effects: &mut Vec<ClientEffect>) {
        let Some(index) = self.index_of(conn) else { return };
        let Connections { links, client_id, .. } = self;
        let link = &mut links[index];
        link.correlation_id = 0;
        let body = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("highwater-model"))
            .with_client_software_version(StrBytes::from_static_str("1"));
        let (api_key, version) = (key::API_VERSIONS, API_VERSIONS_VERSION);
        let correlation_id = link.send(api_key, version, &body, client_id, effects);
        let due_ns = now_ns + SETUP_TIMEOUT_NS;
        link.pending.push_back(Pending { correlation_id, api_key, version, due_ns, ask: None });
    }

    fn on_frame(
        &mut self,
        index: usize,
        mut frame: Bytes,
        out: &mut Vec<Happened<Q>>,
    ) -> Result<(), String> {
        let link = &mut self.links[index];
        let broker = link.peer.broker;
        let Some(asked) = link.pending.front() else {
            return Err(format!("broker {broker} answered what nobody had asked"));
        };
        let (api_key, version) = (asked.api_key, asked.version);
        let name = wire::api::api_name(api_key);
        let bad = |error: &dyn std::fmt::Display| {
            format!("broker {broker} answered {name} version {version} badly: {error}")
        };
        let correlation_id = wire::frame::read_response_head(&mut frame, api_key, version)
            .map_err(|error| bad(&error))?;
        if correlation_id != asked.correlation_id {
            let wanted = asked.correlation_id;
            return Err(bad(&format!("correlation id {correlation_id} instead of {wanted}")));
        }
        let asked = link.pending.pop_front().expect("it was looked at");
        if let Some(ask) = asked.ask {
            out.push(Happened::Answered { peer: link.peer, ask, version, body: frame });
            return Ok(());
        }
        let answer: ApiVersionsResponse =
            wire::frame::decode(&mut frame, version).map_err(|error| bad(&error))?;
        if answer.error_code != 0 {
            return Err(bad(&wire::error::name_of(answer.error_code)));
        }
        let versions = answer.api_keys.iter();
        link.versions =
            versions.map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        link.state = State::Ready;
        link.failures = 0;
        Ok(())
    }

    fn expire(&mut self, now_ns: u64, effects: &mut Vec<ClientEffect>, out: &mut Vec<Happened<Q>>) {
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            let late = match link.state {
                State::Closed { retry_at_ns } => {
                    // The wait is over: whoever still wants it says so in this step.
                    link.wanted &= retry_at_ns > now_ns;
                    false
                }
                State::Dialing { since_ns } => now_ns >= since_ns + SETUP_TIMEOUT_NS,
                State::Ready => link.pending.iter().any(|pending| now_ns >= pending.due_ns),
            };
            if late {
                self.hang_up(index, now_ns, Lost::TimedOut, effects, out);
            }
        }
    }

    fn hang_up(
        &mut self,
        index: usize,
        now_ns: u64,
        why: Lost,
        effects: &mut Vec<ClientEffect>,
        out: &mut Vec<Happened<Q>>,
    ) {
        effects.push(ClientEffect::Close { conn: self.links[index].conn });
        self.down(index, now_ns, why, out);
    }

    fn down(&mut self, index: usize, now_ns: u64, why: Lost, out: &mut Vec<Happened<Q>>) {
        let Connections { links, random, .. } = self;
        let link = &mut links[index];
        let backoff_ms = (BACKOFF_MS << link.failures.min(4)).min(BACKOFF_MS_MAX);
        link.failures += 1;
        link.state = State::Closed { retry_at_ns: now_ns + jittered_ns(random, backoff_ms) };
        link.wanted = false;
        let peer = link.peer;
        let lost = link.pending.drain(..).filter_map(|pending| pending.ask);
        out.extend(lost.map(|ask| Happened::Lost { peer, ask, why }));
        out.push(Happened::Down { peer });
    }

    /// An answer that cannot be: remembered, and the connection is ended.
    pub fn refuse(
        &mut self,
        now_ns: u64,
        peer: Peer,
        complaint: String,
        effects: &mut Vec<ClientEffect>,
        out: &mut Vec<Happened<Q>>,
    ) {
        self.complain(complaint);
        if let Some(index) = self.links.iter().position(|link| link.peer == peer)
            && !matches!(self.links[index].state, State::Closed { .. })
        {
            self.hang_up(index, now_ns, Lost::Closed, effects, out);
        }
    }

    pub fn complain(&mut self, complaint: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(complaint);
        }
    }

    pub fn close_all(&mut self, effects: &mut Vec<ClientEffect>) {
        for link in self.links.drain(..) {
            if !matches!(link.state, State::Closed { .. }) {
                effects.push(ClientEffect::Close { conn: link.conn });
            }
        }
    }

    pub fn deadline(&self) -> Option<u64> {
        let of = |link: &Link<Q>| match link.state {
            State::Closed { retry_at_ns } => link.wanted.then_some(retry_at_ns),
            State::Dialing { since_ns } => Some(since_ns + SETUP_TIMEOUT_NS),
            State::Ready => link.pending.iter().map(|pending| pending.due_ns).min(),
        };
        self.links.iter().map(of).fold(None, sooner)
    }
}

impl<Q> Link<Q> {
    fn send<B: Encodable>(
        &mut self,
        api_key: i16,
        version: i16,
        body: &B,
        client_id: &str,
        effects: &mut Vec<ClientEffect>,
    ) -> i32 {
        let correlation_id = self.correlation_id;
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let frame = wire::frame::encode_request(api_key, version, correlation_id, client_id, body)
            .expect("a request of our own, in a version that was agreed on");
        effects.push(ClientEffect::Send { conn: self.conn, parts: vec![frame] });
        correlation_id
    }
}

/// Reads the body of an answer.
pub(super) fn read<T: Guarded>(peer: Peer, version: i16, mut body: Bytes) -> Result<T, String> {
    wire::frame::decode(&mut body, version).map_err(|error| {
        format!("an answer of broker {} in version {version} does not parse: {error}", peer.broker)
    })
}
