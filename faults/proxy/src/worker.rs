//! The thread of one route: its listener, its connections, the poll that watches them.
//!
//! Promises: rules that came or went are in force on all its connections before it says so ([`Hand::applied`]); a
//! connection that has much to carry does not keep others waiting.

use crate::connection::{Connection, Goes};
use crate::links::{self, From, Standing, is_of};
use crate::proxy::{Route, Shared, Who};
use crate::rule::{Effect, Rule};
use crate::sockets::abort;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
/// As much as a socket holds in one go.
const SCRATCH_BYTES: usize = 256 << 10;
/// After the system had no descriptor for a new connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What others hold of a worker.
#[derive(Debug)]
pub struct Hand {
    pub waker: Waker,
    /// The version of the rules that are in force on all its connections.
    pub applied: AtomicU64,
}

pub struct Worker {
    poll: Poll,
    listener: TcpListener,
    route: Route,
    shared: Arc<Shared>,
    hand: Arc<Hand>,
    connections: FxHashMap<usize, Connection>,
    last: usize,
    rules: Vec<Arc<Rule>>,
    /// Rules that reset connections, and when they do so again.
    resets: Vec<(Arc<Rule>, Option<Instant>)>,
    due: BTreeSet<usize>,
    timers: FxHashMap<usize, Instant>,
    accept_at: Option<Instant>,
    scratch: Vec<u8>,
}

impl Worker {
    pub fn new(
        mut listener: TcpListener,
        route: Route,
        shared: Arc<Shared>,
    ) -> io::Result<(Worker, Arc<Hand>)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let hand = Arc::new(Hand { waker, applied: AtomicU64::new(0) });
        let worker = Worker {
            poll,
            listener,
            route,
            shared,
            hand: hand.clone(),
            connections: FxHashMap::default(),
            last: 0,
            rules: Vec::new(),
            resets: Vec::new(),
            due: BTreeSet::new(),
            timers: FxHashMap::default(),
            accept_at: None,
            scratch: vec![0; SCRATCH_BYTES],
        };
        Ok((worker, hand))
    }

    /// Works until it is told to stop; its connections end with it.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(256);
        while !self.shared.stops() {
            let timeout = self.timeout();
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                // Without a poll nothing can be carried: connections end, and whoever probes will see it.
                return;
            }
            let now = Instant::now();
            for event in &events {
                match event.token() {
                    LISTENER => self.accept_at = Some(now),
                    WAKER => {}
                    token => self.on_event(token, event),
                }
            }
            if self.accept_at.is_some_and(|at| at <= now) {
                self.accept(now);
            }
            self.apply(now);
            self.reset(now);
            let due = &mut self.due;
            self.timers.retain(|id, at| {
                let is_due = *at <= now;
                if is_due {
                    due.insert(*id);
                }
                !is_due
            });
            for id in std::mem::take(&mut self.due) {
                self.pump(id);
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.due.is_empty() {
            return Some(Duration::ZERO);
        }
        let resets = self.resets.iter().filter_map(|(_, at)| *at);
        let next = self.timers.values().copied().chain(resets).chain(self.accept_at).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn on_event(&mut self, token: Token, event: &mio::event::Event) {
        let (id, side) = (token.0 / 2, token.0 % 2);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if side == 1 && !connection.connected && (event.is_writable() || event.is_error()) {
            let stands = connection.finish_dial();
            if !stands {
                connection.abort();
                self.end(id);
                return;
            }
        }
        let side = &mut connection.sides[side];
        side.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        side.writable |= event.is_writable() || event.is_error();
        self.due.insert(id);
    }

    fn accept(&mut self, now: Instant) {
        self.accept_at = None;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err((stream, _)) = self.open(stream) {
                        abort(&stream);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.accept_at = Some(now + ACCEPT_AGAIN);
                    return;
                }
            }
        }
    }

    fn open(&mut self, mut stream: TcpStream) -> Result<(), (TcpStream, io::Error)> {
        let mut broker = match TcpStream::connect(self.route.upstream) {
            Ok(broker) => broker,
            Err(error) => return Err((stream, error)),
        };
        self.last += 1;
        let id = self.last;
        let both = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        let registered = registry
            .register(&mut stream, Token(2 * id), both)
            .and_then(|()| registry.register(&mut broker, Token(2 * id + 1), both));
        if let Err(error) = registered {
            return Err((stream, error));
        }
        let from = match self.route.who {
            Who::Clients => From::Client,
            Who::Brokers | Who::ByName => From::Unknown,
        };
        let connection = Connection::new(stream, broker, from, links::number());
        self.connections.insert(id, connection);
        self.stand(id);
        self.due.insert(id);
        Ok(())
    }

    fn end(&mut self, id: usize) {
        self.connections.remove(&id);
        self.timers.remove(&id);
        self.due.remove(&id);
    }

    fn pump(&mut self, id: usize) {
        let now = Instant::now();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        self.timers.remove(&id);
        match connection.pump(&mut self.scratch, now) {
            Goes::On(None) => {}
            Goes::On(Some(at)) => {
                self.timers.insert(id, at);
            }
            Goes::Over => return self.end(id),
            Goes::Again => {
                self.due.insert(id);
            }
        }
        if connection.from == From::Unknown
            && let Some(name) = &connection.name
        {
            let broker = name.as_deref().and_then(self.shared.dialer);
            connection.from = match (self.route.who, broker) {
                (Who::ByName, None) | (Who::Clients, _) => From::Client,
                (_, broker) => From::Broker(broker),
            };
            self.stand(id);
        }
    }

    /// Puts a connection under the rules that are of its link.
    fn stand(&mut self, id: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (node, from, number) = (self.route.node, connection.from, connection.number);
        let mut standing: Vec<Standing> = Vec::new();
        for rule in &self.rules {
            let twice = standing.iter().any(|one| one.rule.fault == rule.fault);
            // Whoever was there first stays: a link that two nodes of one fault share is hit once.
            if !twice && let Some(dialled) = is_of(&rule.links, node, from, &self.shared.brokers) {
                let known = connection.standing.iter().any(|old| Arc::ptr_eq(&old.rule, rule));
                standing.push(Standing::new(rule.clone(), dialled, number, !known));
            }
        }
        if connection.stand_under(standing) {
            connection.abort();
            self.end(id);
        }
    }

    /// Rules that came or went since the last look.
    fn apply(&mut self, now: Instant) {
        let Some((version, rules)) =
            self.shared.rules_after(self.hand.applied.load(Ordering::Acquire))
        else {
            return;
        };
        for rule in &rules {
            let known = self.rules.iter().any(|old| Arc::ptr_eq(old, rule));
            if matches!(rule.effect, Effect::Reset { .. }) && !known {
                self.resets.push((rule.clone(), Some(now)));
            }
        }
        self.resets.retain(|(rule, _)| rules.iter().any(|one| Arc::ptr_eq(one, rule)));
        self.rules = rules;
        let ids: Vec<usize> = self.connections.keys().copied().collect();
        for id in ids {
            self.stand(id);
            self.due.insert(id);
        }
        // What stands is reset before anybody hears that the rule is in force.
        self.reset(now);
        self.hand.applied.store(version, Ordering::Release);
    }

    fn reset(&mut self, now: Instant) {
        let mut hit = BTreeSet::new();
        for (rule, at) in self.resets.iter_mut().filter(|(_, at)| at.is_some_and(|at| at <= now)) {
            for (id, connection) in &self.connections {
                if connection.standing.iter().any(|one| Arc::ptr_eq(&one.rule, rule)) {
                    rule.tally.meet();
                    hit.insert(*id);
                }
            }
            *at = match rule.effect {
                Effect::Reset { every: Some(every) } => Some(now + every),
                _ => None,
            };
        }
        for id in hit {
            if let Some(connection) = self.connections.get(&id) {
                connection.abort();
            }
            self.end(id);
        }
    }
}
