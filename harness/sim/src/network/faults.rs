//! What is done to the network and to hosts on purpose, and how it ends.

use super::connection::{DIALER, Side, State};
use super::schedule::What;
use super::stream::Item;
use super::{GIVE_UP_NS, Host, Network};
use node::step::Input;

/// A kernel tries again in growing steps, so some time after a cut is over.
const RESEND_NS_MAX: u64 = 200_000_000;

impl Network {
    /// Nothing goes from the one to the other until it was mended as many times: what is under way waits.
    pub fn cut(&mut self, from: Host, to: Host) {
        *self.cuts.entry((from, to)).or_insert(0) += 1;
    }

    /// How many cuts there are on the way from the one to the other.
    pub fn cuts_between(&self, from: Host, to: Host) -> u32 {
        self.cuts.get(&(from, to)).copied().unwrap_or(0)
    }

    /// Undoes one cut; no matter if [`Network::heal`] did so before.
    pub fn mend(&mut self, from: Host, to: Host) {
        let Some(count) = self.cuts.get_mut(&(from, to)) else { return };
        *count -= 1;
        if *count == 0 {
            self.cuts.remove(&(from, to));
            self.ways_opened(|f, t| f == from && t == to);
        }
    }

    /// More delay to and from a host.
    pub fn slow(&mut self, host: Host, delay_us_mean: Option<u64>) {
        self.weather.slow(host, delay_us_mean);
    }

    /// All cuts, slowness and clogs are over and none comes any more, nor a reset by chance. Machines without power stay
    /// so.
    pub fn heal(&mut self, now_ns: u64) {
        self.tell(now_ns);
        self.weather.calm();
        self.cuts.clear();
        self.ways_opened(|_, _| true);
        for slot in self.slots() {
            self.ask_now(slot, now_ns);
            for side in 0..2 {
                let (from, to) = self.way(slot, side);
                let latest_ns = now_ns + self.weather.delay_ns(from, to);
                self.connection(slot).streams[side].hurry(latest_ns);
                self.schedule_stream(slot, side);
            }
        }
        self.settle();
    }

    /// The process ends, its kernel lives: dials are refused, and peers get a FIN after what was sent, or a reset and
    /// only a part of it.
    pub fn process_died(&mut self, now_ns: u64, host: Host) {
        self.tell(now_ns);
        self.unlisten_all(host);
        self.each_end_of(host, |network, slot, side| {
            let before = network.leave(slot, side);
            if before != State::Up || network.connection(slot).streams[side].ended {
                return;
            }
            if network.losses.below(2) == 0 {
                network.push(slot, side, now_ns, Item::Fin);
            } else if network.connection(slot).streams[side].blocked_ns.is_some() {
                network.orphan(slot, side);
            } else {
                network.lose_suffix(slot, side);
                network.push(slot, side, now_ns, Item::Reset);
            }
        });
    }

    /// The machine has no power: silence. What is on the wire may still arrive.
    pub fn machine_died(&mut self, now_ns: u64, host: Host) {
        self.tell(now_ns);
        self.unlisten_all(host);
        self.down.insert(host);
        self.each_end_of(host, |network, slot, side| {
            network.leave(slot, side);
            network.orphan(slot, side);
        });
    }

    /// The machine is back, without any memory of its connections; nobody listens yet.
    pub fn machine_up(&mut self, now_ns: u64, host: Host) {
        self.tell(now_ns);
        if self.down.remove(&host) {
            self.ways_opened(|_, to| to == host);
        }
    }

    /// All connections of a host break, for both ends, and a part of what is under way is lost.
    pub fn reset_all(&mut self, now_ns: u64, host: Host) {
        self.tell(now_ns);
        for slot in self.slots() {
            let connection = self.connection(slot);
            let is_its = connection.ends.iter().any(|end| end.host == host);
            if is_its && connection.dial.is_none() {
                self.tear(slot, now_ns);
            }
        }
        self.settle();
    }

    /// A host's kernel drops its connections and tells its own process, but not the peers: they get to know when they
    /// next send.
    pub fn forget_all(&mut self, now_ns: u64, host: Host) {
        self.tell(now_ns);
        self.each_end_of(host, |network, slot, side| {
            let connection = network.connection(slot);
            // Of a stream that has ended the process is about to be told anyway.
            if connection.ends[side].state != State::Up || connection.streams[side].ended {
                return;
            }
            if connection.dial.is_none() {
                connection.ends[side].state = State::Forgotten;
                connection.streams[1 - side].tear_now(now_ns);
                network.orphan(slot, side);
                network.schedule_stream(slot, 1 - side);
            }
        });
    }

    // What the others are made of.

    /// The process at this end is no more, and tells nobody. The answer: what it was to it.
    fn leave(&mut self, slot: usize, side: Side) -> State {
        let before = self.connection(slot).ends[side].state;
        self.end_is_gone(slot, side);
        before
    }

    /// The connection breaks for both ends.
    pub(super) fn tear(&mut self, slot: usize, now_ns: u64) {
        self.stats.resets += 1;
        for side in 0..2 {
            let to = self.connection(slot).ends[1 - side].state;
            if to == State::Gone || to == State::Forgotten {
                continue;
            }
            self.connection(slot).streams[side].resume(now_ns);
            self.lose_suffix(slot, side);
            self.push(slot, side, now_ns, Item::Torn);
        }
        self.connection(slot).streams.iter_mut().for_each(|stream| stream.ended = true);
    }

    fn lose_suffix(&mut self, slot: usize, side: Side) {
        let connection = self.connections[slot].as_mut().expect("a connection of ours");
        self.stats.frames_lost += connection.streams[side].lose_suffix(&mut self.losses);
        self.schedule_stream(slot, side);
    }

    /// Nobody sends again what this end had sent; of what is on the wire a part may still arrive.
    fn orphan(&mut self, slot: usize, side: Side) {
        let (from, to) = self.way(slot, side);
        let is_blocked = self.is_blocked(from, to);
        let stream = &mut self.connection(slot).streams[side];
        stream.orphan = true;
        if is_blocked {
            let lost = stream.lose_all();
            self.stats.frames_lost += lost;
            self.schedule_stream(slot, side);
        } else {
            self.lose_suffix(slot, side);
        }
    }

    /// A stream's first item met a cut.
    pub(super) fn block(
        &mut self,
        slot: usize,
        side: Side,
        at_ns: u64,
        out: &mut Vec<(Host, Input)>,
    ) {
        let (lost, torn) = self.connection(slot).streams[side].meet_cut();
        self.stats.frames_lost += lost;
        if let Some(torn) = torn {
            self.arrive(slot, side, at_ns, torn, out);
            if self.connections[slot].is_some() {
                self.schedule_stream(slot, side);
            }
            return;
        }
        if !self.connection(slot).streams[side].is_empty() {
            self.stats.blocked += 1;
            self.connection(slot).streams[side].blocked_ns = Some(at_ns);
            self.watch(slot, side, at_ns);
        }
        self.release_if_over(slot);
    }

    /// Something arrived; if the way back is cut, the sender's kernel does not hear of it.
    pub(super) fn note_unacknowledged(&mut self, slot: usize, side: Side, at_ns: u64) {
        let (from, to) = self.way(slot, side);
        if self.cuts.is_empty() || !self.cuts.contains_key(&(to, from)) {
            return;
        }
        let stream = &mut self.connection(slot).streams[side];
        if stream.unacknowledged_ns.is_none() {
            stream.unacknowledged_ns = Some(at_ns);
            self.watch(slot, side, at_ns);
        }
    }

    fn watch(&mut self, slot: usize, side: Side, since_ns: u64) {
        let connection = self.connections[slot].as_mut().expect("a connection of ours");
        let stream = &mut connection.streams[side];
        if stream.give_up.is_none() {
            let number = self.schedule.add(since_ns + GIVE_UP_NS, slot, What::GiveUp(side));
            stream.give_up = Some(number);
        }
    }

    /// A stream was stuck when this was scheduled; perhaps it has been ever since.
    pub(super) fn maybe_give_up(
        &mut self,
        slot: usize,
        side: Side,
        at_ns: u64,
        out: &mut Vec<(Host, Input)>,
    ) {
        let stream = &mut self.connection(slot).streams[side];
        stream.give_up = None;
        let since = [stream.blocked_ns, stream.unacknowledged_ns].into_iter().flatten().min();
        let Some(since_ns) = since else { return };
        if since_ns + GIVE_UP_NS > at_ns {
            self.watch(slot, side, since_ns);
            return;
        }
        stream.unacknowledged_ns = None;
        let lost = stream.lose_all();
        stream.scheduled = None;
        self.stats.frames_lost += lost;
        self.stats.given_up += 1;
        if self.is_known(slot, side) {
            self.tell_closed(slot, side, out);
        }
        self.schedule_stream(slot, side);
        self.release_if_over(slot);
    }

    /// Ways may be open again: what stood before the cut goes on.
    fn ways_opened(&mut self, is_it: impl Fn(Host, Host) -> bool) {
        for slot in self.slots() {
            for side in 0..2 {
                let (from, to) = self.way(slot, side);
                if is_it(to, from) {
                    self.connection(slot).streams[side].unacknowledged_ns = None;
                }
                if is_it(from, to) && !self.is_blocked(from, to) {
                    self.resume(slot, side);
                }
            }
        }
        self.settle();
    }

    fn resume(&mut self, slot: usize, side: Side) {
        let Some(since_ns) = self.connection(slot).streams[side].blocked_ns else { return };
        let (from, to) = self.way(slot, side);
        let now_ns = self.now_ns;
        let waited_ns = now_ns.saturating_sub(since_ns).min(RESEND_NS_MAX);
        let first_ns = now_ns + self.weather.delay_ns(from, to) + self.losses.below(waited_ns + 1);
        self.connection(slot).streams[side].resume(first_ns);
        self.schedule_stream(slot, side);
    }

    /// Whether the process at this end has the connection and was not told of its end.
    fn is_known(&self, slot: usize, side: Side) -> bool {
        let connection = self.connections[slot].as_ref().expect("a connection of ours");
        matches!(connection.ends[side].state, State::Up | State::Forgotten)
    }

    /// Every connection, in the order that decides all orders. Only faults may look at all of them.
    fn slots(&self) -> Vec<usize> {
        (0..self.connections.len()).filter(|slot| self.connections[*slot].is_some()).collect()
    }

    fn each_end_of(&mut self, host: Host, mut act: impl FnMut(&mut Network, usize, Side)) {
        for slot in self.slots() {
            for side in 0..2 {
                // Of a handshake its dialer is all that there is.
                let is_its = self.connections[slot].as_ref().is_some_and(|connection| {
                    let is_there = connection.dial.is_none() || side == DIALER;
                    connection.ends[side].host == host && is_there
                });
                if is_its {
                    act(self, slot, side);
                    self.release_if_over(slot);
                }
            }
        }
        self.settle();
    }
}
