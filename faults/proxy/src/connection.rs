//! One connection that was accepted, with the one that was dialled for it.
//!
//! Promises: what comes in on one side goes out on the other, an end as an end and a reset as a reset, as the rules that
//! stand on it allow. Never waits.

use crate::frames::{Cutter, Fate, Head, Kind, Sink};
use crate::line::{Leave, Line};
use crate::links::{Direction, From, Standing};
use crate::metadata::Snapshot;
use crate::protocol::{Kept, Pieces, Requests, Responses, Talk};
use crate::rule::{Effect, Rule};
use crate::sockets::abort;
use bytes::{Bytes, BytesMut};
use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Reads of one direction before others have their turn.
const READS_IN_A_ROW: usize = 8;

/// How a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goes {
    /// When something happens on it, or then.
    On(Option<Instant>),
    /// At once: it has more than its turn allowed.
    Again,
    /// It is over.
    Over,
}

/// The name in a first request, for whoever has to know it before anything goes on.
#[derive(Default)]
struct First(Option<Option<String>>);

impl Sink for First {
    fn head(&mut self, head: &Head, _: bool) -> Fate {
        if let (Head::Request(head), None) = (head, &self.0) {
            self.0 = Some(head.client_id.clone());
        }
        Fate::Pass
    }
    fn pass(&mut self, _: &[u8]) {}
    fn whole(&mut self, _: Vec<u8>) {}
    fn end(&mut self) {}
}

/// One of its two sockets.
#[derive(Debug)]
pub struct Side {
    pub stream: TcpStream,
    pub readable: bool,
    pub writable: bool,
}

impl Side {
    fn new(stream: TcpStream) -> Side {
        Side { stream, readable: false, writable: false }
    }
}

#[derive(Debug)]
pub struct Connection {
    /// Of whoever dialled, and of the broker.
    pub sides: [Side; 2],
    pub connected: bool,
    pub from: From,
    pub number: u64,
    /// The name that it gave in its first request; `None`: it has not said anything yet.
    pub name: Option<Option<String>>,
    /// What it said before it was known who it is.
    early: Vec<u8>,
    cutters: [Cutter; 2],
    lines: [Line; 2],
    talk: Talk,
    kept: Kept,
    changing: Option<(i16, Arc<Rule>, Arc<Snapshot>)>,
    pub standing: Vec<Standing>,
    /// A response was lost: it closes when the line before it is empty.
    closing: bool,
}

/// What a rule-free read has to remember of the frames that it saw.
struct Noted<'a>(&'a mut Talk);

impl Sink for Noted<'_> {
    fn head(&mut self, head: &Head, _: bool) -> Fate {
        match head {
            Head::Request(_) => {
                let mut standing = [];
                Requests::new(self.0, &mut standing, Kept::default()).head(head, false)
            }
            Head::Response { .. } => {
                let (talk, standing) = (&mut *self.0, &mut [][..]);
                let (out, changing) = (BytesMut::new(), &mut None);
                Responses { talk, standing, out, lost: false, changing }.head(head, false)
            }
        }
    }
    fn pass(&mut self, _: &[u8]) {}
    fn whole(&mut self, _: Vec<u8>) {}
    fn end(&mut self) {}
}

impl Connection {
    pub fn new(dialled: TcpStream, broker: TcpStream, from: From, number: u64) -> Connection {
        let _ = dialled.set_nodelay(true);
        Connection {
            sides: [Side::new(dialled), Side::new(broker)],
            connected: false,
            from,
            number,
            name: None,
            early: Vec::new(),
            cutters: [Cutter::new(Kind::Requests), Cutter::new(Kind::Responses)],
            lines: Direction::BOTH.map(Line::new),
            talk: Talk::default(),
            kept: Kept::default(),
            changing: None,
            standing: Vec::new(),
            closing: false,
        }
    }

    /// The broker's side is there, or has come to nothing.
    pub fn finish_dial(&mut self) -> bool {
        let stream = &self.sides[1].stream;
        match (stream.take_error(), stream.peer_addr()) {
            (Ok(None), Ok(_)) => {
                let _ = stream.set_nodelay(true);
                self.connected = true;
                true
            }
            (Ok(None), Err(error)) => error.kind() == ErrorKind::NotConnected,
            _ => false,
        }
    }

    /// Both ends see a reset.
    pub fn abort(&self) {
        self.sides.iter().for_each(|side| abort(&side.stream));
    }

    pub fn is_held(&self) -> bool {
        self.standing.iter().any(|one| matches!(one.rule.effect, Effect::HalfOpen))
    }

    /// Rules came or went. Answers whether it has to be reset, as one that was held has when it is let go.
    pub fn stand_under(&mut self, rules: Vec<Standing>) -> bool {
        let was_held = self.is_held();
        let (mut before, mut now) = (std::mem::take(&mut self.standing), Vec::new());
        for one in rules {
            let known = before.iter().position(|old| Arc::ptr_eq(&old.rule, &one.rule));
            now.push(known.map_or(one, |at| before.swap_remove(at)));
        }
        if !before.is_empty() {
            self.lines.iter_mut().for_each(Line::release);
        }
        self.standing = now;
        was_held && !self.is_held()
    }

    /// Carries what can be carried.
    pub fn pump(&mut self, scratch: &mut [u8], now: Instant) -> Goes {
        if self.is_held() && self.from != From::Unknown {
            return Goes::On(None);
        }
        let mut again = false;
        let mut next: Option<Instant> = None;
        for direction in Direction::BOTH {
            match self.carry(direction, scratch, now) {
                Goes::Over => return Goes::Over,
                Goes::Again => again = true,
                Goes::On(at) => next = [next, at].into_iter().flatten().min(),
            }
            // Its first request tells whose it is, and rules may stand on it that did not before.
            if self.from == From::Unknown && self.name.is_some() {
                return Goes::Again;
            }
        }
        let is_through = |line: &Line| line.ended && line.is_empty();
        let is_heard = self.early.is_empty() && self.connected;
        if (self.closing && self.lines[1].is_empty())
            || (is_heard && self.lines.iter().all(is_through))
        {
            return Goes::Over;
        }
        if again { Goes::Again } else { Goes::On(next) }
    }

    fn carry(&mut self, direction: Direction, scratch: &mut [u8], now: Instant) -> Goes {
        let (source, sink) = (direction as usize, 1 - direction as usize);
        if direction == Direction::ToBroker && self.from != From::Unknown && !self.early.is_empty()
        {
            let early = std::mem::take(&mut self.early);
            self.take(direction, &early, now);
        }
        for _ in 0..READS_IN_A_ROW {
            let waits = match self.write(direction, now) {
                Goes::Over => return Goes::Over,
                other => other,
            };
            let line = &mut self.lines[source];
            if line.ended {
                if line.is_empty()
                    && self.early.is_empty()
                    && !line.told
                    && (sink == 0 || self.connected)
                {
                    line.told = true;
                    // Gone already: nobody is left to be told.
                    let _ = self.sides[sink].stream.shutdown(Shutdown::Write);
                }
                return waits;
            }
            if !self.sides[source].readable || !line.has_room() || self.closing {
                return waits;
            }
            match self.sides[source].stream.read(scratch) {
                Ok(0) => {
                    self.lines[source].ended = true;
                    self.name.get_or_insert(None);
                    continue;
                }
                Ok(count) => {
                    // A read that does not fill the buffer has emptied the socket, mostly; the next one tells.
                    self.take(direction, &scratch[..count], now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.sides[source].readable = false;
                    return waits;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    abort(&self.sides[sink].stream);
                    return Goes::Over;
                }
            }
            if self.from == From::Unknown && self.name.is_some() {
                return Goes::Again;
            }
        }
        Goes::Again
    }

    /// Bytes that came in.
    fn take(&mut self, direction: Direction, bytes: &[u8], now: Instant) {
        let at = direction as usize;
        if self.from == From::Unknown && direction == Direction::ToBroker {
            self.early.extend_from_slice(bytes);
            let (mut cutter, mut first) = (Cutter::new(Kind::Requests), First::default());
            cutter.feed(&self.early, true, &mut first);
            self.name = first.0.or(cutter.is_opaque().then_some(None));
            return;
        }
        let hold = self.standing.iter().any(|one| one.rule.is_of_frames());
        if self.standing.is_empty() && self.kept_nothing() {
            self.cutters[at].feed(bytes, false, &mut Noted(&mut self.talk));
            let direct = self.write_through(direction, bytes);
            let rest = Bytes::copy_from_slice(&bytes[direct..]);
            self.lines[at].push(rest, Duration::ZERO, now);
            return;
        }
        let pieces: Pieces = match direction {
            Direction::ToBroker => {
                let kept = std::mem::take(&mut self.kept);
                let mut sink = Requests::new(&mut self.talk, &mut self.standing, kept);
                self.cutters[at].feed(bytes, hold, &mut sink);
                let (pieces, kept) = sink.finish();
                self.kept = kept;
                pieces
            }
            Direction::FromBroker => {
                let mut sink = Responses {
                    talk: &mut self.talk,
                    standing: &mut self.standing,
                    out: BytesMut::new(),
                    lost: self.closing,
                    changing: &mut self.changing,
                };
                self.cutters[at].feed(bytes, hold, &mut sink);
                self.closing = sink.lost;
                let out = sink.out.freeze();
                vec![(out, Duration::ZERO)]
            }
        };
        for (bytes, later) in pieces.into_iter().filter(|(bytes, _)| !bytes.is_empty()) {
            let later = later + self.delay(direction);
            self.lines[at].push(bytes, later, now);
        }
        if direction == Direction::ToBroker && self.cutters[1].is_between() {
            let forged = Bytes::from(self.talk.forged());
            if !forged.is_empty() {
                let later = self.delay(Direction::FromBroker);
                self.lines[1].push(forged, later, now);
            }
        }
    }

    /// No frame is under a rule's hand that is gone by now.
    fn kept_nothing(&self) -> bool {
        let is_whole = |cutter: &Cutter| cutter.is_between() || !cutter.is_collecting();
        self.cutters.iter().all(is_whole) && !self.talk.has_forged() && !self.closing
    }

    fn delay(&mut self, direction: Direction) -> Duration {
        let mut sum = Duration::ZERO;
        for one in self.standing.iter_mut().filter(|one| one.is_on(direction)) {
            if let Effect::Delay { delay, jitter, distribution, .. } = &one.rule.effect {
                let (delay, jitter, distribution) = (*delay, *jitter, *distribution);
                let drawn = one.draws(direction).delay(delay, jitter, distribution);
                one.rule.tally.meet();
                one.rule.tally.wait(drawn);
                sum += drawn;
            }
        }
        sum
    }

    /// Without rules, and with nothing before them, bytes need not be kept: answers how many are gone.
    fn write_through(&mut self, direction: Direction, bytes: &[u8]) -> usize {
        let at = direction as usize;
        if !self.lines[at].is_empty() || (direction == Direction::ToBroker && !self.connected) {
            return 0;
        }
        let sink = &mut self.sides[1 - at];
        match sink.stream.write(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                sink.writable = false;
                0
            }
            // What is wrong with it is told by the write that follows.
            Err(_) => 0,
        }
    }

    fn write(&mut self, direction: Direction, now: Instant) -> Goes {
        let at = direction as usize;
        if direction == Direction::ToBroker && !self.connected {
            return Goes::On(None);
        }
        loop {
            let line = &mut self.lines[at];
            if line.is_empty() || !self.sides[1 - at].writable {
                return Goes::On(None);
            }
            let count = match line.leave(&mut self.standing, now) {
                Leave::Bytes(count) => count,
                Leave::Wait(until) => return Goes::On(until),
                Leave::Spent => return Goes::Over,
            };
            match self.sides[1 - at].stream.write(&line.front()[..count]) {
                Ok(count) => line.left(count, &mut self.standing, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.sides[1 - at].writable = false;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    abort(&self.sides[at].stream);
                    return Goes::Over;
                }
            }
        }
    }
}
