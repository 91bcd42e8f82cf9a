//! A connection: two ends, a stream from each to the other, and the handshake before that.

use super::schedule::{Due, What};
use super::stream::Stream;
use super::{Host, Port};
use bytes::Bytes;
use node::step::ConnId;

/// An end by its index; the stream of the same index is the one that this end sends.
pub(super) type Side = usize;
pub(super) const DIALER: Side = 0;
pub(super) const ACCEPTOR: Side = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The handshake is not over for this end.
    Waiting,
    Up,
    /// Its kernel has forgotten it, and its process is about to be told.
    Forgotten,
    /// Its process closed it, was told its end, or died.
    Gone,
}

#[derive(Debug)]
pub(super) struct End {
    pub host: Host,
    pub conn: ConnId,
    pub state: State,
}

/// A handshake that the dialer has not seen the end of.
#[derive(Debug)]
pub(super) struct Dial {
    pub stage: Stage,
    /// Packets that nobody answered.
    pub attempts: u32,
    /// What was sent meanwhile.
    pub queued: Vec<Vec<Bytes>>,
    /// The entries of the schedule that matter.
    pub number: u64,
    pub timeout_number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is no such host.
    Unresolved,
    /// The first packet is under way.
    Asked,
    /// The answer is.
    Answered { accepted: bool },
}

#[derive(Debug)]
pub(super) struct Connection {
    pub ends: [End; 2],
    pub streams: [Stream; 2],
    pub port: Port,
    pub dial: Option<Box<Dial>>,
}

impl Connection {
    pub fn new(from: Host, conn: ConnId, port: Port, dial: Dial) -> Connection {
        let end = |host, conn| End { host, conn, state: State::Waiting };
        Connection {
            ends: [end(from, conn), end(port.host, ConnId(0))],
            streams: [Stream::default(), Stream::default()],
            port,
            dial: Some(Box::new(dial)),
        }
    }

    /// Whether nobody will hear of it any more.
    pub fn is_over(&self) -> bool {
        match (self.ends[DIALER].state, self.ends[ACCEPTOR].state) {
            (State::Gone, State::Gone) => true,
            // The acceptor hears of it with the first thing that comes.
            (State::Gone, State::Waiting) => self.streams[DIALER].is_empty(),
            _ => false,
        }
    }

    pub fn awaits(&self, due: &Due) -> bool {
        let dial = self.dial.as_ref();
        match due.what {
            What::Stream(side) => {
                self.streams[side].scheduled.is_some_and(|(_, number)| number == due.number)
            }
            What::GiveUp(side) => self.streams[side].give_up == Some(due.number),
            What::Dial => dial.is_some_and(|dial| dial.number == due.number),
            What::DialTimeout => dial.is_some_and(|dial| dial.timeout_number == due.number),
        }
    }
}
