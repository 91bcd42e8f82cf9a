//! What can be done to links, to whom, and what became of it: the proxy's own vocabulary.

use crate::metadata::Snapshot;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Whoever is no broker.
    Clients,
    /// The broker with this id.
    Node(i32),
}

/// The links between a node and some peers, whoever dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    pub node: i32,
    pub peers: BTreeSet<End>,
}

/// Which way, as seen from the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ways {
    #[default]
    Both,
    /// What comes to the node.
    In,
    /// What leaves it.
    Out,
}

/// How delays spread around what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// The delay, give or take the jitter.
    #[default]
    Uniform,
    /// Around the delay, with the jitter as standard deviation, and never below zero.
    Normal,
    /// The delay or more, with a long tail: half the jitter on the average.
    Pareto,
}

/// What is done to a link.
#[derive(Clone, Debug)]
pub enum Effect {
    /// What is carried arrives later, and in order. Delays add up.
    Delay { delay: Duration, jitter: Duration, distribution: Distribution, ways: Ways },
    /// So many bytes a second, on each connection and in each direction. The smallest wins.
    Rate { bytes_per_second: u64 },
    /// Connections that stand are reset: once, or again and again.
    Reset { every: Option<Duration> },
    /// Nothing is carried and nothing is closed; when the rule goes, connections that it held are reset.
    HalfOpen,
    /// Pieces of so many bytes, with a pause after each.
    Slice { bytes: u64, pause: Duration },
    /// A connection that has carried so many bytes, both ways together, is closed.
    LimitBytes { bytes: u64 },
    /// Of all segments of [`SEGMENT_BYTES`](crate::rule::SEGMENT_BYTES) so many percent are lost: its direction stops for
    /// the timeout, twice as long for each time that the same segment is lost again.
    Loss { percent: u8, timeout: Duration },
    /// A request reaches the broker, its response is dropped and the connection is closed.
    LoseResponse { api: i16, percent: u8 },
    /// Requests reach the broker later, and whatever comes behind them on the connection.
    DelayApi { api: i16, delay: Duration },
    /// Requests are answered with an error, and never reach the broker.
    FailApi { api: i16, error: i16, percent: u8 },
    /// Metadata is answered with what was so once.
    StaleMetadata(Arc<Snapshot>),
}

/// What a segment carries on an Ethernet.
pub const SEGMENT_BYTES: u64 = 1448;

/// One effect on the links of one node.
#[derive(Debug)]
pub struct Rule {
    /// Rules of one fault on one link count once, however many nodes of the fault the link joins.
    pub fault: u32,
    pub links: Links,
    pub effect: Effect,
    pub seed: u64,
    pub tally: Tally,
}

impl Rule {
    pub fn new(fault: u32, links: Links, effect: Effect, seed: u64) -> Rule {
        Rule { fault, links, effect, seed, tally: Tally::default() }
    }

    /// It looks at frames.
    pub(crate) fn is_of_frames(&self) -> bool {
        matches!(
            self.effect,
            Effect::LoseResponse { .. }
                | Effect::DelayApi { .. }
                | Effect::FailApi { .. }
                | Effect::StaleMetadata(_)
        )
    }
}

/// What a rule has done so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Connections that were under it.
    connections: AtomicU64,
    /// Pieces, frames or connections that it took hold of.
    met: AtomicU64,
    /// Bytes that went through under it.
    bytes: AtomicU64,
    /// How long it made them wait, in microseconds.
    waited_us: AtomicU64,
}

impl Tally {
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn waited(&self) -> Duration {
        Duration::from_micros(self.waited_us.load(Ordering::Relaxed))
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn meet(&self) {
        self.met.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn carry(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn wait(&self, time: Duration) {
        self.waited_us.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }
}
