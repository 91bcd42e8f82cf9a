//! What becomes of what arrives.

use super::connection::{ACCEPTOR, DIALER, Side, State};
use super::stream::Item;
use super::{Host, Network};
use node::step::{ConnId, Input};

impl Network {
    pub(super) fn stream_is_due(
        &mut self,
        slot: usize,
        side: Side,
        at_ns: u64,
        out: &mut Vec<(Host, Input)>,
    ) {
        self.connection(slot).streams[side].scheduled = None;
        let (from, to) = self.way(slot, side);
        if self.is_blocked(from, to) {
            self.block(slot, side, at_ns, out);
            return;
        }
        let item = self.connection(slot).streams[side].pop();
        self.arrive(slot, side, at_ns, item.expect("scheduled for its first item"), out);
        if self.connections[slot].is_some() {
            self.schedule_stream(slot, side);
        }
    }

    pub(super) fn arrive(
        &mut self,
        slot: usize,
        side: Side,
        at_ns: u64,
        item: Item,
        out: &mut Vec<(Host, Input)>,
    ) {
        let to = 1 - side;
        let state = self.connection(slot).ends[to].state;
        match item {
            Item::Open => self.accept(slot, at_ns, out),
            Item::Frame(_) | Item::Piece { .. } if state == State::Up => {
                self.take_in(slot, side, at_ns, item, out);
                self.note_unacknowledged(slot, side, at_ns);
            }
            Item::Frame(_) | Item::Piece { .. } => self.answer_with_reset(slot, to, at_ns),
            Item::Fin | Item::Reset | Item::Torn => {
                if state == State::Up || state == State::Forgotten {
                    self.tell_closed(slot, to, out);
                } else {
                    self.connection(slot).ends[to].state = State::Gone;
                }
            }
        }
        self.release_if_over(slot);
    }

    /// Data for a process that is there.
    fn take_in(
        &mut self,
        slot: usize,
        side: Side,
        at_ns: u64,
        item: Item,
        out: &mut Vec<(Host, Input)>,
    ) {
        let mut frames = std::mem::take(&mut self.frames);
        let connection = self.connection(slot);
        let taken = connection.streams[side].assemble(item, &mut frames);
        let (host, conn) = (connection.ends[1 - side].host, connection.ends[1 - side].conn);
        self.stats.frames_delivered += frames.len() as u64;
        out.extend(frames.drain(..).map(|bytes| (host, Input::Frame { conn, bytes })));
        self.frames = frames;
        if taken.is_err() {
            self.tell_closed(slot, 1 - side, out);
            self.answer_with_reset(slot, 1 - side, at_ns);
        }
    }

    /// Somebody talked to an end that nobody there knows of.
    pub(super) fn answer_with_reset(&mut self, slot: usize, side: Side, at_ns: u64) {
        if !self.connection(slot).streams[side].ended {
            self.stats.half_open += 1;
            self.push(slot, side, at_ns, Item::Reset);
        }
    }

    /// A handshake's last packet came: the listening process gets to know.
    fn accept(&mut self, slot: usize, at_ns: u64, out: &mut Vec<(Host, Input)>) {
        let connection = self.connections[slot].as_mut().expect("a connection of ours");
        let port = connection.port;
        let end = &mut connection.ends[ACCEPTOR];
        let listener = self.listeners.get(&port).filter(|_| end.state == State::Waiting);
        let Some(&listener) = listener else {
            end.state = State::Gone;
            self.answer_with_reset(slot, ACCEPTOR, at_ns);
            return;
        };
        let accepted = self.accepted.entry(port.host).or_insert(0);
        *accepted += 1;
        let conn = ConnId(*accepted);
        end.conn = conn;
        end.state = State::Up;
        self.ends.insert((port.host, conn), (slot, ACCEPTOR));
        let peer_host = connection.ends[DIALER].host.to_string();
        out.push((port.host, Input::Opened { conn, listener, peer_host }));
    }
}
