//! Listeners, connections and the poll that watches them.
//!
//! Promises: a port in use is told with the address and what to do; a connection whose peer doesn't read is closed when
//! its backlog passes a bound; one that sends an impossible length is closed. Not promised: TLS.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use node::config::NodeConfig;
use node::step::{ConnId, Endpoint, Listener, Severity};
use rustc_hash::FxHashMap;

use crate::connection::{Connection, End};
use crate::say::say;

const LISTENERS: [(Listener, Token); 2] =
    [(Listener::Broker, Token(usize::MAX - 1)), (Listener::Controller, Token(usize::MAX - 2))];
pub const WAKER: Token = Token(usize::MAX - 3);
pub const SIGNALS: Token = Token(usize::MAX - 4);

/// Bytes read from one connection before the others have their turn.
const READ_BUDGET_BYTES: usize = 1 << 20;
/// Wait after the system had no descriptor for a new connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

pub struct Network {
    pub poll: Poll,
    pub waker: Arc<Waker>,
    listeners: Vec<(Listener, Token, TcpListener)>,
    connections: FxHashMap<u64, Connection>,
    accepted: u64,
    /// Connections with something queued in this turn.
    dirty: Vec<ConnId>,
    /// Connections that had more to read than their budget.
    unread: Vec<ConnId>,
    scratch: Vec<u8>,
    frame_bytes_max: i32,
    backlog_bytes_max: u64,
    idle_max: Option<Duration>,
    accept_again: Option<Instant>,
}

/// What the network has to tell the node.
pub enum Event {
    Opened { conn: ConnId, listener: Listener, peer_host: String },
    Dialed { conn: ConnId },
    DialFailed { conn: ConnId, refused: bool },
    Frames { conn: ConnId, frames: Vec<Bytes> },
    Closed { conn: ConnId },
}

impl Network {
    pub fn bind(config: &NodeConfig) -> anyhow::Result<Network> {
        let poll = Poll::new().context("cannot make an epoll; are there descriptors left?")?;
        let waker = Waker::new(poll.registry(), WAKER).context("cannot make a waker")?;
        let mut listeners = Vec::new();
        for (kind, token) in LISTENERS {
            let Some(address) = config.listener(kind) else { continue };
            let mut listener = bind(&address.host, address.port)
                .map_err(|error| bind_failed(&address.name, &address.host, address.port, &error))?;
            poll.registry().register(&mut listener, token, Interest::READABLE)?;
            say(
                Severity::Info,
                &format!("listening on {}://{}:{}", address.name, address.host, address.port),
            );
            listeners.push((kind, token, listener));
        }
        let idle_ms = u64::try_from(config.connections_max_idle_ms).ok().filter(|ms| *ms > 0);
        Ok(Network {
            poll,
            waker: Arc::new(waker),
            listeners,
            connections: FxHashMap::default(),
            accepted: 0,
            dirty: Vec::new(),
            unread: Vec::new(),
            scratch: vec![0; 64 << 10],
            frame_bytes_max: config.socket_request_max_bytes,
            backlog_bytes_max: config.highwater_socket_backlog_max_bytes.unsigned_abs(),
            idle_max: idle_ms.map(Duration::from_millis),
            accept_again: None,
        })
    }

    /// Where a listener is really bound: with port 0 the kernel chose.
    pub fn local_address(&self, kind: Listener) -> Option<SocketAddr> {
        let (_, _, listener) = self.listeners.iter().find(|(listens, _, _)| *listens == kind)?;
        listener.local_addr().ok()
    }

    /// Waits for the network, at most so long.
    pub fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let mut timeout = timeout;
        if !self.unread.is_empty() {
            timeout = Some(Duration::ZERO);
        } else if self.accept_again.is_some() {
            timeout = Some(timeout.map_or(ACCEPT_RETRY, |timeout| timeout.min(ACCEPT_RETRY)));
        }
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// One event of the poll. Frames are read by [`Network::read_ready`].
    pub fn on_event(&mut self, event: &mio::event::Event, now: Instant, out: &mut Vec<Event>) {
        if self.listeners.iter().any(|(_, token, _)| *token == event.token()) {
            self.accept(event.token(), now, out);
            return;
        }
        let conn = ConnId(event.token().0 as u64);
        let Some(connection) = self.connections.get_mut(&conn.0) else { return };
        if connection.dialing {
            self.finish_dial(conn, out);
        }
        let Some(connection) = self.connections.get_mut(&conn.0) else { return };
        if event.is_writable() && !connection.dialing {
            connection.set_writable();
            self.dirty.push(conn);
        }
        let ended = event.is_read_closed() || event.is_error();
        if (event.is_readable() || ended) && !connection.readable && !connection.dialing {
            connection.readable = true;
            self.unread.push(conn);
        }
    }

    /// Reads every connection that has something to read, each within its budget.
    pub fn read_ready(&mut self, now: Instant, out: &mut Vec<Event>) {
        for conn in std::mem::take(&mut self.unread) {
            let Some(connection) = self.connections.get_mut(&conn.0) else { continue };
            let mut frames = Vec::new();
            let end = connection
                .read(&mut self.scratch, self.frame_bytes_max, READ_BUDGET_BYTES, &mut frames)
                .err();
            connection.last_active = now;
            if connection.readable && end.is_none() {
                self.unread.push(conn);
            }
            let closing = connection.closing;
            if !frames.is_empty() && !closing {
                out.push(Event::Frames { conn, frames });
            }
            if let Some(end) = end {
                if let End::BadLength(length) = end {
                    let max = self.frame_bytes_max;
                    say(
                        Severity::Warn,
                        &format!(
                            "closing the connection from {}: a request of {length} bytes is not within 0 to socket.request.max.bytes ({max})",
                            connection.peer
                        ),
                    );
                }
                self.remove(conn);
                if !closing {
                    out.push(Event::Closed { conn });
                }
            }
        }
    }

    pub fn send(&mut self, conn: ConnId, parts: Vec<Bytes>, out: &mut Vec<Event>) {
        let Some(connection) = self.connections.get_mut(&conn.0) else { return };
        if connection.closing {
            return;
        }
        if connection.queue(parts) > self.backlog_bytes_max {
            say(
                Severity::Warn,
                &format!(
                    "closing the connection to {}: it leaves more than {} bytes unread",
                    connection.peer, self.backlog_bytes_max
                ),
            );
            self.remove(conn);
            out.push(Event::Closed { conn });
            return;
        }
        self.dirty.push(conn);
    }

    /// Sends what was queued in this turn, as far as the network takes it.
    pub fn flush(&mut self, out: &mut Vec<Event>) {
        for conn in std::mem::take(&mut self.dirty) {
            let Some(connection) = self.connections.get_mut(&conn.0) else { continue };
            if connection.dialing {
                continue;
            }
            let gone = connection.flush().is_err();
            if gone || (connection.closing && !connection.has_unsent()) {
                let told = !connection.closing;
                self.remove(conn);
                if told {
                    out.push(Event::Closed { conn });
                }
            }
        }
    }

    /// Ends a connection once what is queued has been sent.
    pub fn close(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn.0) else { return };
        if connection.dialing || !connection.has_unsent() {
            self.remove(conn);
        } else {
            connection.closing = true;
            self.dirty.push(conn);
        }
    }

    /// `Some(endpoint)`: the host has to be looked up first, then [`Network::connect`] goes on.
    pub fn dial(
        &mut self,
        conn: ConnId,
        to: Endpoint,
        now: Instant,
        out: &mut Vec<Event>,
    ) -> Option<Endpoint> {
        match to.host.parse::<IpAddr>() {
            Ok(address) => self.connect(conn, SocketAddr::new(address, to.port), now, out),
            Err(_) => return Some(to),
        }
        None
    }

    pub fn connect(&mut self, conn: ConnId, to: SocketAddr, now: Instant, out: &mut Vec<Event>) {
        let connected = TcpStream::connect(to).and_then(|mut stream| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(conn.0 as usize), interest)?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => {
                let connection = Connection::new(stream, false, to.to_string(), now);
                self.connections.insert(conn.0, connection);
            }
            Err(error) => {
                out.push(Event::DialFailed {
                    conn,
                    refused: error.kind() == ErrorKind::ConnectionRefused,
                });
            }
        }
    }

    /// Closes inbound connections that were idle for too long, and takes up accepting again.
    pub fn sweep(&mut self, now: Instant, out: &mut Vec<Event>) {
        if self.accept_again.is_some_and(|at| now >= at) {
            self.accept_again = None;
            for (_, token) in LISTENERS {
                self.accept(token, now, out);
            }
        }
    }

    pub fn sweep_idle(&mut self, now: Instant, out: &mut Vec<Event>) {
        let Some(idle_max) = self.idle_max else { return };
        let idle: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, c)| c.inbound && now.saturating_duration_since(c.last_active) > idle_max)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in idle {
            self.remove(ConnId(conn));
            out.push(Event::Closed { conn: ConnId(conn) });
        }
    }

    fn accept(&mut self, token: Token, now: Instant, out: &mut Vec<Event>) {
        let Some(index) = self.listeners.iter().position(|(_, t, _)| *t == token) else { return };
        loop {
            let (kind, _, listener) = &self.listeners[index];
            let (mut stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    if self.accept_again.is_none() {
                        say(
                            Severity::Error,
                            &format!(
                                "cannot accept a connection: {error}; raise the limit of open files (ulimit -n) if that is what is missing"
                            ),
                        );
                    }
                    self.accept_again = Some(now + ACCEPT_RETRY);
                    return;
                }
            };
            let listener = *kind;
            self.accepted += 1;
            let conn = ConnId(self.accepted);
            let _ = stream.set_nodelay(true);
            let interest = Interest::READABLE | Interest::WRITABLE;
            let id = Token(conn.0 as usize);
            if self.poll.registry().register(&mut stream, id, interest).is_err() {
                continue;
            }
            self.connections.insert(conn.0, Connection::new(stream, true, peer.to_string(), now));
            out.push(Event::Opened { conn, listener, peer_host: peer.ip().to_string() });
        }
    }

    fn finish_dial(&mut self, conn: ConnId, out: &mut Vec<Event>) {
        let Some(connection) = self.connections.get_mut(&conn.0) else { return };
        let failed = match connection.stream.take_error() {
            Ok(None) => match connection.stream.peer_addr() {
                Ok(_) => None,
                // Not there yet.
                Err(error) if error.kind() == ErrorKind::NotConnected => return,
                Err(error) => Some(error),
            },
            Ok(Some(error)) | Err(error) => Some(error),
        };
        match failed {
            None => {
                connection.dialing = false;
                let _ = connection.stream.set_nodelay(true);
                out.push(Event::Dialed { conn });
            }
            Some(error) => {
                self.remove(conn);
                out.push(Event::DialFailed {
                    conn,
                    refused: error.kind() == ErrorKind::ConnectionRefused,
                });
            }
        }
    }

    fn remove(&mut self, conn: ConnId) {
        if let Some(mut connection) = self.connections.remove(&conn.0) {
            // Closing the descriptor takes it out of the poll anyway.
            let _ = self.poll.registry().deregister(&mut connection.stream);
        }
    }
}

fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        // Sets SO_REUSEADDR, so that a restarted node does not wait for its old connections' end.
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_failed(name: &str, host: &str, port: u16, error: &io::Error) -> anyhow::Error {
    let next = match error.kind() {
        ErrorKind::AddrInUse => {
            "another process listens there: stop it, or give this listener another port in `listeners`"
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 need privilege: choose a higher one in `listeners`"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address: correct the host in `listeners`"
        }
        _ => "correct `listeners`",
    };
    anyhow!("cannot listen on {name}://{host}:{port}: {error}; {next}")
}
