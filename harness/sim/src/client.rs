//! Model clients: producers, consumers, final readers and an administrator, as state machines that do no IO and speak
//! the real protocol.
//!
//! Promises: a client is told the time and what its connections brought, and answers with effects; the same inputs give
//! the same effects. What it records is what a real run's client would: intent before the send leaves, and an outcome
//! that says no more than the client knows. Absent on purpose: TLS, transactions, fetch sessions, and any view into a broker.
//!
//! - [`connection`]: one connection for each broker and purpose. [`metadata`]: who leads what, by the brokers' word.
//! - [`producer`]; [`consumer`] and its [`group`], which read by means of [`reading`]; [`final_reader`]; [`admin`].

pub mod admin;
mod connection;
pub mod consumer;
pub mod final_reader;
mod group;
mod metadata;
pub mod producer;
mod reading;
#[cfg(test)]
mod tests;

pub use admin::{Admin, Command};
pub use consumer::Consumer;
pub use final_reader::{FinalReader, LogEnds};
pub use group::CommitLedger;
pub use producer::Producer;

use bytes::Bytes;
use generator::random::Random;
use model::history::{Event, LogRef, Session, TopicRef};
use node::step::{ConnId, Endpoint, Input, Now};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How a model client names itself where a real one names its library.
pub const LIBRARY: &str = "highwater model client";

/// What a step wants done, in this order. Sends on one connection keep their order; a close comes after the sends
/// before it.
#[derive(Clone, Debug)]
pub enum ClientEffect {
    Dial {
        conn: ConnId,
        to: Endpoint,
    },
    /// One frame, without its length prefix.
    Send {
        conn: ConnId,
        parts: Vec<Bytes>,
    },
    Close {
        conn: ConnId,
    },
    /// To be written into the history, stamped with the time of the step.
    Record(Event),
    /// A broker gave out the records of a log below this offset, or said that the log ends there.
    Shown {
        log: LogRef,
        end_offset: i64,
    },
}

pub trait Client {
    /// The first input is [`Input::Start`]; [`Input::Tick`] comes at the deadline, and does no harm at any other time.
    fn step(&mut self, now: Now, input: Input, effects: &mut Vec<ClientEffect>);

    /// When the client wants a tick at the latest, in `mono_ns`. In the past: now.
    fn deadline(&self) -> Option<u64>;

    /// The load is over: what is open is finished or given up, in the steps that follow (the deadline is then now).
    fn stop_sending(&mut self);

    /// Nothing is open any more, and nothing further will be recorded.
    fn is_done(&self) -> bool;

    /// Acknowledged sends (with acks=0: sends), records read, or commands done.
    fn progress(&self) -> u64;

    /// What brokers did that no broker may do, in words: answers that do not parse, or that answer nothing that was
    /// asked.
    fn complaints(&self) -> &[String];
}

/// Numbers sessions over all clients of a run; a number is never used again.
#[derive(Clone, Debug, Default)]
pub struct Sessions(Arc<AtomicU32>);

impl Sessions {
    pub fn open(&self) -> Session {
        Session(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// What every client needs.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Of the stamps that tell this run's records from others'.
    pub run: u64,
    /// `p1`, `c2`, …: in the history, and the client id.
    pub name: String,
    /// The brokers that it may bootstrap from.
    pub brokers: Vec<u16>,
    pub sessions: Sessions,
    pub random: Random,
    /// Counts the processes that this host has run, so that no connection is taken for one of an earlier life.
    pub life: u32,
}

/// The topic that a client works on.
#[derive(Clone, Debug)]
pub struct Target {
    pub topic: TopicRef,
    pub name: String,
    /// The partitions that are written to and read, also where more are made later.
    pub partitions: u32,
    /// The topic keeps CreateTime: a record's timestamp must be what was sent.
    pub create_time: bool,
}

/// Where a broker's own listener is; what metadata says may differ.
pub fn broker_endpoint(broker: u16) -> Endpoint {
    Endpoint { host: format!("n{broker}"), port: 9_000 + broker }
}

/// Which client library's manners a client has: it is drawn, so that both ways to name a topic are asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// As librdkafka: topics by name, one batch in a request.
    Names,
    /// As the Java clients: topics by id, everything for a broker in one request.
    Ids,
}

impl Dialect {
    fn draw(random: &mut Random) -> Dialect {
        if random.below(2) == 0 { Dialect::Names } else { Dialect::Ids }
    }
}

const MS: u64 = 1_000_000;

/// A time for a little more or less than `ms`, so that clients that met one failure do not come back in step.
fn jittered_ns(random: &mut Random, ms: u64) -> u64 {
    let ns = ms * MS;
    ns - ns / 5 + random.below(ns / 5 * 2 + 1)
}

/// The sooner of two times, of which either may be never.
fn sooner(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
