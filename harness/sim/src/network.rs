//! The network between simulated hosts: byte streams in order, late, and now and then cut, torn or forgotten.
//!
//! Promises: what a host sends on a connection arrives in order and once, as whole frames put together by the code that
//! the server uses, or is lost as a suffix. A host is told the end of a connection exactly once, after the frames that
//! came before it, and not at all if it closed the connection itself or its process died. Everything due is delivered
//! in one fixed order. The conformance test in `tests` holds the same scenarios against real sockets.
//!
//! How the pieces stand for TCP: a host's kernel is not its process. A killed process' kernel says goodbye (a FIN or a
//! reset); a machine without power says nothing, and answers with resets when it is back and somebody goes on talking
//! to a connection that it has forgotten. What meets a cut waits and is sent again; after [`GIVE_UP_NS`] without a way
//! there or back the sender's kernel gives the connection up, while the other end goes on believing in it.
//!
//! Not promised: bandwidth, congestion and windows (a sender is never held up), keepalive (no host sets it), or any
//! bound on what is under way.

mod arrivals;
mod connection;
mod dials;
mod faults;
mod schedule;
mod stream;
mod weather;

use crate::scenario;
use bytes::Bytes;
use connection::{Connection, Side, State};
use generator::random::Random;
use node::step::{ConnId, Input, Listener};
use rustc_hash::FxHashMap;
use schedule::{Due, Schedule, What};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use stream::Item;
use weather::Weather;

/// How long a sender's kernel goes on trying.
pub const GIVE_UP_NS: u64 = 30_000_000_000;

/// Kafka's default of `socket.request.max.bytes`: a longer frame ends its connection.
pub const FRAME_BYTES_MAX: i32 = 104_857_600;

/// A machine on the network: nodes by their id, clients from [`Host::FIRST_CLIENT`] up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub u16);

impl Host {
    pub const FIRST_CLIENT: u16 = 1000;
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.checked_sub(Host::FIRST_CLIENT) {
            None => write!(f, "n{}", self.0),
            Some(client) => write!(f, "c{client}"),
        }
    }
}

/// Where a host may listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    pub host: Host,
    pub port: u16,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub dials: u64,
    pub dials_refused: u64,
    pub dials_timed_out: u64,
    pub frames_sent: u64,
    pub frames_delivered: u64,
    /// Frames that were on their way and whose stream was torn or forgotten before they came.
    pub frames_lost: u64,
    /// Frames sent in pieces.
    pub splits: u64,
    /// Connections torn in both directions.
    pub resets: u64,
    pub clogs: u64,
    /// Times that somebody talked to a host that had forgotten the connection, or never knew it.
    pub half_open: u64,
    /// Times that a stream met a cut, or a machine without power, and had to wait.
    pub blocked: u64,
    /// Connections that a kernel gave up.
    pub given_up: u64,
}

pub struct Network {
    weather: Weather,
    schedule: Schedule,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    /// Every end that its process knows. Never iterated: the order of `connections` decides.
    ends: FxHashMap<(Host, ConnId), (usize, Side)>,
    listeners: BTreeMap<Port, Listener>,
    /// Inbound connections so far, for each host.
    accepted: BTreeMap<Host, u64>,
    /// How many times each way is cut.
    cuts: FxHashMap<(Host, Host), u32>,
    /// Machines without power.
    down: BTreeSet<Host>,
    /// What is lost of that which was under way.
    losses: Random,
    stats: Stats,
    /// The latest time that we were told.
    now_ns: u64,
    frames: Vec<Bytes>,
}

impl Network {
    pub fn new(settings: scenario::Network, mut random: Random) -> Network {
        let losses = Random::new(random.next(), "losses");
        Network {
            weather: Weather::new(settings, &mut random),
            schedule: Schedule::default(),
            connections: Vec::new(),
            free: Vec::new(),
            ends: FxHashMap::default(),
            listeners: BTreeMap::new(),
            accepted: BTreeMap::new(),
            cuts: FxHashMap::default(),
            down: BTreeSet::new(),
            losses,
            stats: Stats::default(),
            now_ns: 0,
            frames: Vec::new(),
        }
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Frames sent that are not there yet; looks at every connection.
    pub fn frames_in_flight(&self) -> u64 {
        let connections = self.connections.iter().flatten();
        connections.flat_map(|c| &c.streams).map(|stream| stream.frames()).sum()
    }

    /// Connections of which at least one end is left.
    pub fn connections(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    pub fn listen(&mut self, host: Host, port: u16, listener: Listener) {
        let before = self.listeners.insert(Port { host, port }, listener);
        assert!(before.is_none(), "{host} listens on port {port} already");
    }

    pub fn unlisten_all(&mut self, host: Host) {
        self.listeners.retain(|port, _| port.host != host);
    }

    /// One frame, without its length prefix. On a connection that is not up yet it waits; on one that is gone it is lost.
    pub fn send(&mut self, now_ns: u64, from: Host, conn: ConnId, parts: Vec<Bytes>) {
        self.tell(now_ns);
        let Some(&(slot, side)) = self.ends.get(&(from, conn)) else { return };
        let connection = self.connection(slot);
        match (&mut connection.dial, connection.ends[side].state) {
            (Some(dial), _) => dial.queued.push(parts),
            (None, State::Up) if !connection.streams[side].ended => {
                self.transmit(slot, side, now_ns, parts);
            }
            // The end that it will be told of has already come for it.
            (None, _) => {}
        }
        self.settle();
    }

    /// Ends a connection after what was sent on it; a dial that is not up yet is given up.
    pub fn close(&mut self, now_ns: u64, from: Host, conn: ConnId) {
        self.tell(now_ns);
        let Some(&(slot, side)) = self.ends.get(&(from, conn)) else { return };
        if self.connection(slot).dial.is_some() {
            self.forget_dial(slot);
        } else {
            self.end_is_gone(slot, side);
            if !self.connection(slot).streams[side].ended {
                self.push(slot, side, now_ns, Item::Fin);
            }
            self.release_if_over(slot);
        }
        self.settle();
    }

    /// When something is due next.
    pub fn next_ns(&self) -> Option<u64> {
        self.schedule.next_ns()
    }

    /// Everything that is due by then, in order.
    pub fn advance(&mut self, now_ns: u64, out: &mut Vec<(Host, Input)>) {
        self.tell(now_ns);
        while let Some(due) = self.schedule.pop_due(now_ns) {
            if !self.is_current(&due) {
                continue;
            }
            match due.what {
                What::Stream(side) => self.stream_is_due(due.slot, side, due.at_ns, out),
                What::GiveUp(side) => self.maybe_give_up(due.slot, side, due.at_ns, out),
                What::Dial => self.dial_goes_on(due.slot, due.at_ns, out),
                What::DialTimeout => self.dial_timed_out(due.slot, out),
            }
        }
        self.settle();
    }

    // Sending.

    fn transmit(&mut self, slot: usize, side: Side, now_ns: u64, parts: Vec<Bytes>) {
        self.stats.frames_sent += 1;
        let items = match self.weather.split(&parts) {
            None => return self.push_data(slot, side, now_ns, Item::Frame(parts)),
            Some(pieces) => pieces,
        };
        self.stats.splits += u64::from(items.len() > 1);
        for item in items {
            if self.connection(slot).streams[side].ended {
                self.stats.frames_lost += 1;
                return; // a reset met the piece before
            }
            self.push_data(slot, side, now_ns, item);
        }
    }

    /// Puts a piece under way, at the mercy of the weather.
    fn push_data(&mut self, slot: usize, side: Side, now_ns: u64, item: Item) {
        let clogged_ns = self.weather.clog_ns();
        self.stats.clogs += u64::from(clogged_ns > 0);
        self.push(slot, side, now_ns + clogged_ns, item);
        if self.weather.resets() {
            self.tear(slot, now_ns);
        }
    }

    /// Puts something under way: it comes after all that was sent before it.
    fn push(&mut self, slot: usize, side: Side, at_ns: u64, item: Item) {
        let (from, to) = self.way(slot, side);
        let at_ns = at_ns + self.weather.delay_ns(from, to);
        self.connection(slot).streams[side].push(at_ns, item);
        self.schedule_stream(slot, side);
    }

    /// Sees to it that a stream is looked at when its first item is due.
    fn schedule_stream(&mut self, slot: usize, side: Side) {
        let connection = self.connections[slot].as_mut().expect("a connection of ours");
        let stream = &mut connection.streams[side];
        if stream.blocked_ns.is_some() {
            return;
        }
        let first_ns = stream.first_ns();
        if first_ns != stream.scheduled.map(|(at_ns, _)| at_ns) {
            let what = What::Stream(side);
            stream.scheduled = first_ns.map(|at| (at, self.schedule.add(at, slot, what)));
        }
    }

    // Ending.

    fn tell_closed(&mut self, slot: usize, side: Side, out: &mut Vec<(Host, Input)>) {
        let end = &self.connection(slot).ends[side];
        out.push((end.host, Input::Closed { conn: end.conn }));
        self.end_is_gone(slot, side);
    }

    /// The process at this end knows the connection no more.
    fn end_is_gone(&mut self, slot: usize, side: Side) {
        let end = &mut self.connection(slot).ends[side];
        end.state = State::Gone;
        let key = (end.host, end.conn);
        self.ends.remove(&key);
    }

    fn release_if_over(&mut self, slot: usize) {
        if self.connections[slot].as_ref().is_some_and(|connection| connection.is_over()) {
            self.connections[slot] = None;
            self.free.push(slot);
        }
    }

    // Helpers.

    fn tell(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
    }

    fn connection(&mut self, slot: usize) -> &mut Connection {
        self.connections[slot].as_mut().expect("a connection of ours")
    }

    /// From where to where a stream goes.
    fn way(&self, slot: usize, side: Side) -> (Host, Host) {
        let ends = &self.connections[slot].as_ref().expect("a connection of ours").ends;
        (ends[side].host, ends[1 - side].host)
    }

    fn is_blocked(&self, from: Host, to: Host) -> bool {
        (!self.cuts.is_empty() && self.cuts.contains_key(&(from, to)))
            || (!self.down.is_empty() && self.down.contains(&to))
    }

    /// Whether an entry of the schedule still means something: entries are never taken out, only outlived.
    fn is_current(&self, due: &Due) -> bool {
        let connection = self.connections[due.slot].as_ref();
        connection.is_some_and(|connection| connection.awaits(due))
    }

    /// The first entry of the schedule is always one that means something, so that `next_ns` tells the truth.
    fn settle(&mut self) {
        while self.schedule.peek().is_some_and(|due| !self.is_current(due)) {
            self.schedule.pop();
        }
    }
}

#[cfg(test)]
mod tests;
