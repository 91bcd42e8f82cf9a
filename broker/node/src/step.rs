//! The seam between a node and the world: one owner steps it, and everything that it wants comes out as effects.
//!
//! Promises: a node does no IO, reads no clock and draws no randomness but from the seed it was given; the same
//! inputs give the same effects. No step does unbounded work. Not promised: that effects are carried out in any order
//! other than the one stated at [`Effect`].

use bytes::Bytes;
pub use log::io::{IoOp, IoQueue, IoResult, Token};

/// The time, as told by the owner. Skew and jumps are injected here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Nanoseconds of a clock that never goes back; its origin means nothing.
    pub mono_ns: u64,
    /// Milliseconds since the epoch by the wall clock: timestamps of records, nothing else.
    pub wall_ms: i64,
}

impl Now {
    pub fn mono_ms(self) -> u64 {
        self.mono_ns / 1_000_000
    }
}

/// Names one connection. The owner counts inbound ones up from 1; the node chooses those that it dials, from
/// [`ConnId::DIALED`] up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl ConnId {
    pub const DIALED: u64 = 1 << 63;
}

/// Which of the node's listeners a connection came in by: their API sets differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listener {
    Broker,
    Controller,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug)]
pub enum Input {
    /// The first input of all; the node opens its directory and goes on from there.
    Start,
    /// A client, broker or controller connected to one of our listeners.
    Opened {
        conn: ConnId,
        listener: Listener,
        peer_host: String,
    },
    /// A connection that we dialed is up.
    Dialed {
        conn: ConnId,
    },
    /// A dial failed. `refused`: the host answered that nobody listens, which is a sign of death, not of distance.
    DialFailed {
        conn: ConnId,
        refused: bool,
    },
    /// One whole frame, without its length prefix.
    Frame {
        conn: ConnId,
        bytes: Bytes,
    },
    /// The peer or the network ended the connection. Not sent for connections that the node closed itself.
    Closed {
        conn: ConnId,
    },
    Io {
        token: Token,
        result: IoResult,
    },
    /// The deadline came.
    Tick,
    /// SIGTERM: controlled shutdown, ending in [`Effect::Exit`].
    Shutdown,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Debug,
    Info,
    Warn,
    Error,
}

/// What a step wants done. Sends on one connection keep their order; a close comes after the sends before it were
/// handed to the network; IO follows the rules of [`log::io`].
#[derive(Clone, Debug)]
pub enum Effect {
    /// One frame, without its length prefix, as parts to be written one after the other.
    Send {
        conn: ConnId,
        parts: Vec<Bytes>,
    },
    Dial {
        conn: ConnId,
        to: Endpoint,
    },
    Close {
        conn: ConnId,
    },
    Io {
        token: Token,
        op: IoOp,
    },
    /// One line for the node's log.
    Say {
        severity: Severity,
        message: String,
    },
    /// The process ends now: 0 after a controlled shutdown, otherwise the storage failed and `Say` told how.
    Exit {
        code: u8,
    },
}

/// Anything that can be stepped: the real broker, and what a simulation puts in its place.
pub trait Step {
    fn step(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>);
    /// When the node wants a `Tick` at the latest, in `mono_ns`. `None`: only inputs move it.
    fn deadline(&self) -> Option<u64>;
}
