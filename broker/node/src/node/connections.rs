//! Connections that others made to us, and the order of the answers on each.
//!
//! Promises: the answers of one connection leave in the order of its requests, whenever and in whatever order they were
//! given; a request that has no answer (acks=0) holds nobody up; a connection with absurdly many unanswered requests is closed.
//! Not promised: that an answer to a connection that is gone reaches anybody.

use std::collections::VecDeque;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::context::{ConnId, Listener, RequestId};
use crate::step::Effect;

/// Requests that one connection may have unanswered; no client that we know has more than a few.
const UNANSWERED_MAX: usize = 10_000;

enum Slot {
    Waiting,
    /// `None`: there is no answer to send.
    Ready(Option<Vec<Bytes>>),
}

pub struct Inbound {
    pub listener: Listener,
    pub peer_host: String,
    /// The node that this connection comes from, where its client id said so.
    pub peer_node: Option<i32>,
    /// The number of the slot at the front of the queue.
    first: u64,
    slots: VecDeque<Slot>,
}

#[derive(Default)]
pub struct Connections {
    open: FxHashMap<ConnId, Inbound>,
}

impl Connections {
    pub fn opened(&mut self, conn: ConnId, listener: Listener, peer_host: String) {
        let inbound =
            Inbound { listener, peer_host, peer_node: None, first: 0, slots: VecDeque::new() };
        let before = self.open.insert(conn, inbound);
        assert!(before.is_none(), "connection ids are used once");
    }

    pub fn closed(&mut self, conn: ConnId) -> Option<Inbound> {
        self.open.remove(&conn)
    }

    pub fn get(&self, conn: ConnId) -> Option<&Inbound> {
        self.open.get(&conn)
    }

    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Inbound> {
        self.open.get_mut(&conn)
    }

    /// A slot for the next request; `None` where the connection has too many already or is gone.
    pub fn take_slot(&mut self, conn: ConnId) -> Option<RequestId> {
        let inbound = self.open.get_mut(&conn)?;
        if inbound.slots.len() >= UNANSWERED_MAX {
            return None;
        }
        let slot = inbound.first + inbound.slots.len() as u64;
        inbound.slots.push_back(Slot::Waiting);
        Some(RequestId { conn, slot })
    }

    /// Puts an answer into its slot and sends all that is now at the front.
    pub fn answer(&mut self, id: RequestId, answer: Option<Vec<Bytes>>, effects: &mut Vec<Effect>) {
        let Some(inbound) = self.open.get_mut(&id.conn) else { return };
        let index =
            id.slot.checked_sub(inbound.first).and_then(|index| usize::try_from(index).ok());
        let slot = index.and_then(|index| inbound.slots.get_mut(index));
        let slot = slot.expect("a request is answered once, under the id that it came with");
        assert!(matches!(slot, Slot::Waiting), "a request is answered once");
        *slot = Slot::Ready(answer);
        while let Some(Slot::Ready(_)) = inbound.slots.front() {
            inbound.first += 1;
            if let Some(Slot::Ready(Some(parts))) = inbound.slots.pop_front() {
                effects.push(Effect::Send { conn: id.conn, parts });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::Connections;
    use crate::context::{ConnId, Listener};
    use crate::step::Effect;

    fn sent(effects: &[Effect]) -> Vec<Bytes> {
        let sends = effects.iter().map(|effect| match effect {
            Effect::Send { parts, .. } => parts.concat().into(),
            other => panic!("{other:?}"),
        });
        sends.collect()
    }

    #[test]
    fn answers_leave_in_the_order_of_the_requests() {
        let mut connections = Connections::default();
        let conn = ConnId(1);
        connections.opened(conn, Listener::Broker, "host".into());
        let ids: Vec<_> = (0..4).map(|_| connections.take_slot(conn).expect("a slot")).collect();
        let mut effects = Vec::new();
        connections.answer(ids[2], Some(vec![Bytes::from_static(b"2")]), &mut effects);
        connections.answer(ids[1], None, &mut effects);
        assert!(effects.is_empty());
        connections.answer(ids[0], Some(vec![Bytes::from_static(b"0")]), &mut effects);
        assert_eq!(sent(&effects), ["0", "2"]);
        effects.clear();
        connections.answer(ids[3], Some(vec![Bytes::from_static(b"3")]), &mut effects);
        assert_eq!(sent(&effects), ["3"]);
    }

    #[test]
    fn answers_to_a_gone_connection_are_dropped() {
        let mut connections = Connections::default();
        let conn = ConnId(1);
        connections.opened(conn, Listener::Broker, "host".into());
        let id = connections.take_slot(conn).expect("a slot");
        assert!(connections.closed(conn).is_some());
        let mut effects = Vec::new();
        connections.answer(id, Some(Vec::new()), &mut effects);
        assert!(effects.is_empty());
        assert!(connections.take_slot(conn).is_none());
    }
}
