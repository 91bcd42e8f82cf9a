//! Connections that we make to other nodes, one for each (node, lane), and the calls on them.
//!
//! Promises: a call has exactly one answer: the response, or a failure when its time is up, its connection closes, or its peer
//! can't be dialed. A call that times out closes its connection, since answers come in order. A peer that can't be
//! dialed is tried again after a backoff that doubles up to a bound; calls made meanwhile wait for that try.
//!
//! Not here: which address a peer has; the caller resolves it at each dial.

use std::collections::{BTreeMap, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};
use wire::frame;

use crate::context::{CallAnswer, CallFailed, CallTag, ConnId, Endpoint, Lane, OutgoingCall, Peer};
use crate::step::Effect;

const BACKOFF_MS_MIN: u64 = 20;
const BACKOFF_MS_MAX: u64 = 200;

/// A call's end.
pub struct Answered {
    pub peer: Peer,
    pub tag: CallTag,
    pub answer: CallAnswer,
}

impl Answered {
    /// A call that could not be made or has no answer, for no reason that tells anything about the peer.
    pub fn failed(peer: Peer, tag: CallTag) -> Answered {
        Answered { peer, tag, answer: Err(CallFailed { refused: false, timed_out: false }) }
    }
}

/// What became of a connection that we made.
#[derive(Debug, PartialEq, Eq)]
pub enum Lost {
    /// Not one of ours.
    Unknown,
    /// It was up; its peer may be dead.
    Closed(Peer),
    /// It did not come up.
    NotDialed { peer: Peer, refused: bool },
}

struct Call {
    api_key: i16,
    version: i16,
    frame: Bytes,
    tag: CallTag,
    due_ms: u64,
}

enum State {
    /// Not connected; may be dialed from then on.
    Down {
        from_ms: u64,
    },
    Dialing(ConnId),
    Up(ConnId),
}

struct Link {
    state: State,
    /// Not sent yet.
    waiting: VecDeque<Call>,
    /// Sent, by correlation id.
    sent: BTreeMap<i32, Call>,
    next_correlation: i32,
    backoff_ms: u64,
    /// When a dial in progress is given up.
    dial_due_ms: u64,
}

#[derive(Default)]
pub struct Peers {
    links: BTreeMap<Peer, Link>,
    by_conn: BTreeMap<ConnId, Peer>,
    dialed: u64,
}

impl Peers {
    /// Takes a call for a peer other than this node. It is sent by the next [`Peers::drive`].
    pub fn call(&mut self, call: OutgoingCall, due_ms: u64) {
        let link = self.links.entry(call.peer).or_insert_with(Link::new);
        let OutgoingCall { api_key, version, frame, tag, .. } = call;
        link.waiting.push_back(Call { api_key, version, frame, tag, due_ms });
    }

    /// Dials where there is something to send, sends where there is a connection, ends what is overdue.
    pub fn drive(
        &mut self,
        now_ms: u64,
        endpoint_of: impl Fn(Peer) -> Option<Endpoint>,
        effects: &mut Vec<Effect>,
        answered: &mut Vec<Answered>,
    ) {
        let mut overdue = Vec::new();
        for (peer, link) in &mut self.links {
            if link.is_overdue(now_ms) {
                overdue.push(*peer);
                continue;
            }
            match link.state {
                State::Up(conn) => link.send_waiting(conn, effects),
                State::Down { from_ms } if now_ms >= from_ms && !link.waiting.is_empty() => {
                    let Some(to) = endpoint_of(*peer) else {
                        let failed = CallFailed { refused: false, timed_out: false };
                        link.fail_all(*peer, failed, answered);
                        continue;
                    };
                    self.dialed += 1;
                    let conn = ConnId(ConnId::DIALED + self.dialed);
                    effects.push(Effect::Dial { conn, to });
                    self.by_conn.insert(conn, *peer);
                    link.state = State::Dialing(conn);
                    link.dial_due_ms =
                        link.waiting.iter().map(|c| c.due_ms).min().unwrap_or(now_ms);
                }
                _ => {}
            }
        }
        for peer in overdue {
            self.give_up(peer, now_ms, effects, answered);
        }
    }

    /// Dials to see whether somebody listens; the connection is closed as soon as it is up.
    pub fn probe(&mut self, node: i32, to: Endpoint, due_ms: u64, effects: &mut Vec<Effect>) {
        let peer = Peer { node, lane: Lane::Probe };
        let link = self.links.entry(peer).or_insert_with(Link::new);
        if !matches!(link.state, State::Down { .. }) {
            return;
        }
        self.dialed += 1;
        let conn = ConnId(ConnId::DIALED + self.dialed);
        effects.push(Effect::Dial { conn, to });
        self.by_conn.insert(conn, peer);
        link.state = State::Dialing(conn);
        link.dial_due_ms = due_ms;
    }

    pub fn on_dialed(&mut self, conn: ConnId, effects: &mut Vec<Effect>) {
        let Some(peer) = self.by_conn.get(&conn).copied() else {
            effects.push(Effect::Close { conn });
            return;
        };
        let link = self.links.get_mut(&peer).expect("each connection has its link");
        if peer.lane == Lane::Probe {
            effects.push(Effect::Close { conn });
            link.state = State::Down { from_ms: 0 };
            self.by_conn.remove(&conn);
            return;
        }
        link.state = State::Up(conn);
        link.backoff_ms = 0;
        link.send_waiting(conn, effects);
    }

    /// The network ended a connection, or a dial failed.
    pub fn on_lost(
        &mut self,
        conn: ConnId,
        refused: bool,
        now_ms: u64,
        answered: &mut Vec<Answered>,
    ) -> Lost {
        let Some(peer) = self.by_conn.remove(&conn) else { return Lost::Unknown };
        let link = self.links.get_mut(&peer).expect("each connection has its link");
        let was_up = matches!(link.state, State::Up(_));
        if was_up {
            // The first try after a loss is made at once: it tells a death from a hiccup.
            link.state = State::Down { from_ms: now_ms };
            link.fail_sent(peer, CallFailed { refused: false, timed_out: false }, answered);
            return Lost::Closed(peer);
        }
        link.backoff_ms = (link.backoff_ms * 2).clamp(BACKOFF_MS_MIN, BACKOFF_MS_MAX);
        link.state = State::Down { from_ms: now_ms + link.backoff_ms };
        link.fail_all(peer, CallFailed { refused, timed_out: false }, answered);
        Lost::NotDialed { peer, refused }
    }

    /// One frame from a peer. An answer that can't be read closes the connection.
    pub fn on_frame(
        &mut self,
        conn: ConnId,
        mut bytes: Bytes,
        now_ms: u64,
        effects: &mut Vec<Effect>,
        answered: &mut Vec<Answered>,
    ) {
        let Some(peer) = self.by_conn.get(&conn).copied() else { return };
        let link = self.links.get_mut(&peer).expect("each connection has its link");
        let correlation_id = bytes.first_chunk::<4>().map(|first| i32::from_be_bytes(*first));
        let call = correlation_id.and_then(|id| link.sent.remove(&id));
        let Some(call) = call else {
            self.give_up(peer, now_ms, effects, answered);
            return;
        };
        match frame::read_response_head(&mut bytes, call.api_key, call.version) {
            Ok(_) => {
                let answer = Ok((call.version, bytes));
                answered.push(Answered { peer, tag: call.tag, answer });
            }
            Err(_) => {
                let answer = Err(CallFailed { refused: false, timed_out: false });
                answered.push(Answered { peer, tag: call.tag, answer });
                self.give_up(peer, now_ms, effects, answered);
            }
        }
    }

    /// Ends all calls to one node on the lanes that go to it as the active controller: it is not any more.
    pub fn drop_controller(
        &mut self,
        node: i32,
        effects: &mut Vec<Effect>,
        answered: &mut Vec<Answered>,
    ) {
        for lane in [Lane::Controller, Lane::Heartbeat] {
            let peer = Peer { node, lane };
            if self.links.contains_key(&peer) {
                self.give_up(peer, 0, effects, answered);
            }
        }
    }

    /// When [`Peers::drive`] is next needed.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.links.values().filter_map(Link::deadline_ms).min()
    }

    fn give_up(
        &mut self,
        peer: Peer,
        now_ms: u64,
        effects: &mut Vec<Effect>,
        answered: &mut Vec<Answered>,
    ) {
        let link = self.links.get_mut(&peer).expect("a link that exists");
        if let State::Dialing(conn) | State::Up(conn) = link.state {
            effects.push(Effect::Close { conn });
            self.by_conn.remove(&conn);
        }
        link.state = State::Down { from_ms: now_ms };
        link.fail_all(peer, CallFailed { refused: false, timed_out: true }, answered);
    }
}

impl Link {
    fn new() -> Link {
        Link {
            state: State::Down { from_ms: 0 },
            waiting: VecDeque::new(),
            sent: BTreeMap::new(),
            next_correlation: 0,
            backoff_ms: 0,
            dial_due_ms: 0,
        }
    }

    fn is_overdue(&self, now_ms: u64) -> bool {
        let dial = matches!(self.state, State::Dialing(_)) && now_ms >= self.dial_due_ms;
        dial || self.calls().any(|call| now_ms >= call.due_ms)
    }

    fn calls(&self) -> impl Iterator<Item = &Call> {
        self.waiting.iter().chain(self.sent.values())
    }

    fn deadline_ms(&self) -> Option<u64> {
        let due = self.calls().map(|call| call.due_ms).min();
        match self.state {
            State::Down { from_ms } if !self.waiting.is_empty() => {
                Some(due.map_or(from_ms, |due| due.min(from_ms)))
            }
            State::Dialing(_) => {
                Some(due.map_or(self.dial_due_ms, |due| due.min(self.dial_due_ms)))
            }
            _ => due,
        }
    }

    fn send_waiting(&mut self, conn: ConnId, effects: &mut Vec<Effect>) {
        while let Some(call) = self.waiting.pop_front() {
            self.next_correlation = self.next_correlation.wrapping_add(1) & i32::MAX;
            let parts = with_correlation_id(&call.frame, self.next_correlation);
            effects.push(Effect::Send { conn, parts });
            self.sent.insert(self.next_correlation, call);
        }
    }

    fn fail_sent(&mut self, peer: Peer, failed: CallFailed, answered: &mut Vec<Answered>) {
        for (_, call) in std::mem::take(&mut self.sent) {
            answered.push(Answered { peer, tag: call.tag, answer: Err(failed) });
        }
    }

    fn fail_all(&mut self, peer: Peer, failed: CallFailed, answered: &mut Vec<Answered>) {
        self.fail_sent(peer, failed, answered);
        for call in std::mem::take(&mut self.waiting) {
            answered.push(Answered { peer, tag: call.tag, answer: Err(failed) });
        }
    }
}

/// The request with its correlation id (bytes 4 to 8 of every request header) set, the rest not copied.
fn with_correlation_id(request: &Bytes, correlation_id: i32) -> Vec<Bytes> {
    assert!(request.len() >= 8, "every request has a header");
    let mut head = BytesMut::with_capacity(8);
    head.put_slice(&request[..4]);
    head.put_i32(correlation_id);
    vec![head.freeze(), request.slice(8..)]
}

#[cfg(test)]
mod tests;
