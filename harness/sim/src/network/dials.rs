//! Handshakes: asked, answered, up.
//!
//! The dialer's kernel asks again after 1, 2, 4, … s while nothing comes back, as Linux does, until the dial times out.
//! The listening process hears of a connection only with the dialer's third packet, so a connection may be up for the
//! one and never come to be for the other.

use super::connection::{ACCEPTOR, Connection, DIALER, Dial, Stage, State};
use super::schedule::What;
use super::stream::Item;
use super::{Host, Network, Port};
use node::step::{ConnId, Input};

const ASK_AGAIN_NS: u64 = 1_000_000_000;

impl Network {
    /// `to` is where the name leads, `None`: nowhere. The dialer names its own end.
    pub fn dial(&mut self, now_ns: u64, from: Host, conn: ConnId, to: Option<(Host, u16)>) {
        self.tell(now_ns);
        self.stats.dials += 1;
        let stage = if to.is_some() { Stage::Asked } else { Stage::Unresolved };
        let (host, port) = to.unwrap_or((from, 0));
        let slot = self.free.pop().unwrap_or(self.connections.len());
        if slot == self.connections.len() {
            self.connections.push(None);
        }
        let at_ns = now_ns + self.weather.delay_ns(from, host);
        let number = self.schedule.add(at_ns, slot, What::Dial);
        let timeout_ns = now_ns + self.weather.dial_timeout_ns();
        let timeout_number = self.schedule.add(timeout_ns, slot, What::DialTimeout);
        let dial = Dial { stage, attempts: 0, queued: Vec::new(), number, timeout_number };
        let connection = Connection::new(from, conn, Port { host, port }, dial);
        self.connections[slot] = Some(Box::new(connection));
        let before = self.ends.insert((from, conn), (slot, DIALER));
        assert!(before.is_none(), "{from} dials under the number of a connection that it has");
        self.settle();
    }

    /// A packet of the handshake comes, or is lost.
    pub(super) fn dial_goes_on(&mut self, slot: usize, at_ns: u64, out: &mut Vec<(Host, Input)>) {
        let (from, to) = self.way(slot, DIALER);
        let port = self.connection(slot).port;
        let stage = self.connection(slot).dial.as_ref().expect("a dial").stage;
        match stage {
            Stage::Unresolved => self.dial_failed(slot, false, out),
            Stage::Asked if self.is_blocked(from, to) => self.ask_again(slot, at_ns),
            Stage::Answered { .. } if self.is_blocked(to, from) => self.ask_again(slot, at_ns),
            Stage::Asked => {
                let accepted = self.listeners.contains_key(&port);
                let at_ns = at_ns + self.weather.delay_ns(to, from);
                self.dial_next(slot, Stage::Answered { accepted }, at_ns);
            }
            Stage::Answered { accepted: false } => {
                self.stats.dials_refused += 1;
                self.dial_failed(slot, true, out);
            }
            Stage::Answered { accepted: true } => self.dial_is_up(slot, at_ns, out),
        }
    }

    pub(super) fn dial_timed_out(&mut self, slot: usize, out: &mut Vec<(Host, Input)>) {
        self.stats.dials_timed_out += 1;
        self.dial_failed(slot, false, out);
    }

    /// The dialer takes no interest any more; nobody else knew.
    pub(super) fn forget_dial(&mut self, slot: usize) {
        self.end_is_gone(slot, DIALER);
        self.connection(slot).ends[ACCEPTOR].state = State::Gone;
        self.release_if_over(slot);
    }

    /// A packet that was lost in a cut that is over need not wait for its turn.
    pub(super) fn ask_now(&mut self, slot: usize, now_ns: u64) {
        let asked = self
            .connection(slot)
            .dial
            .as_ref()
            .is_some_and(|dial| dial.attempts > 0 && dial.stage == Stage::Asked);
        if asked {
            let (from, to) = self.way(slot, DIALER);
            let at_ns = now_ns + self.weather.delay_ns(from, to);
            self.dial_next(slot, Stage::Asked, at_ns);
        }
    }

    fn ask_again(&mut self, slot: usize, at_ns: u64) {
        let dial = self.connection(slot).dial.as_mut().expect("a dial");
        let wait_ns = ASK_AGAIN_NS << dial.attempts.min(6);
        dial.attempts += 1;
        self.dial_next(slot, Stage::Asked, at_ns + wait_ns);
    }

    fn dial_next(&mut self, slot: usize, stage: Stage, at_ns: u64) {
        let number = self.schedule.add(at_ns, slot, What::Dial);
        let dial = self.connection(slot).dial.as_mut().expect("a dial");
        dial.stage = stage;
        dial.number = number;
    }

    fn dial_is_up(&mut self, slot: usize, at_ns: u64, out: &mut Vec<(Host, Input)>) {
        let connection = self.connection(slot);
        let dial = connection.dial.take().expect("a dial");
        let end = &mut connection.ends[DIALER];
        end.state = State::Up;
        out.push((end.host, Input::Dialed { conn: end.conn }));
        self.push(slot, DIALER, at_ns, Item::Open);
        for parts in dial.queued {
            if !self.connection(slot).streams[DIALER].ended {
                self.transmit(slot, DIALER, at_ns, parts);
            }
        }
    }

    fn dial_failed(&mut self, slot: usize, refused: bool, out: &mut Vec<(Host, Input)>) {
        let end = &self.connection(slot).ends[DIALER];
        out.push((end.host, Input::DialFailed { conn: end.conn, refused }));
        self.forget_dial(slot);
    }
}
