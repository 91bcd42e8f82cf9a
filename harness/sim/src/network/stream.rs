//! One direction of a connection: what is under way, in order.
//!
//! Promises: items leave in the order in which they came, each no earlier than it is due. A frame that was sent whole is
//! handed on as the part that it is made of, or put together once; only a split one goes through the server's assembly.

use super::FRAME_BYTES_MAX;
use bytes::Bytes;
use generator::random::Random;
use std::collections::VecDeque;
use wire::frame::assembly::{Assembly, BadLength};

#[derive(Debug)]
pub(super) enum Item {
    /// The handshake's last packet.
    Open,
    /// A frame without its length prefix.
    Frame(Vec<Bytes>),
    /// A piece of the byte stream, length prefixes included.
    Piece {
        parts: Vec<Bytes>,
        is_last: bool,
    },
    Fin,
    /// From a kernel that does not know the connection; it is not sent again if it is lost.
    Reset,
    /// The connection broke for this receiver: its own kernel says so, whatever the way there is like.
    Torn,
}

impl Item {
    fn ends_frame(&self) -> bool {
        matches!(self, Item::Frame(_) | Item::Piece { is_last: true, .. })
    }

    fn ends_stream(&self) -> bool {
        matches!(self, Item::Fin | Item::Reset | Item::Torn)
    }
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    items: VecDeque<(u64, Item)>,
    /// When the first item is looked at, and the number of that entry of the schedule.
    pub scheduled: Option<(u64, u64)>,
    /// Since when the first item stands before a cut.
    pub blocked_ns: Option<u64>,
    /// Since when something arrived of which the sender's kernel can't hear.
    pub unacknowledged_ns: Option<u64>,
    /// The entry of the schedule at which the two above are looked at.
    pub give_up: Option<u64>,
    /// Its end is under way, or was: nothing more may be sent.
    pub ended: bool,
    /// No kernel would send its items again: what meets a cut is lost.
    pub orphan: bool,
    assembly: Assembly,
}

impl Stream {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn first_ns(&self) -> Option<u64> {
        self.items.front().map(|(at_ns, _)| *at_ns)
    }

    pub fn frames(&self) -> u64 {
        self.items.iter().filter(|(_, item)| item.ends_frame()).count() as u64
    }

    /// Not before what was sent earlier.
    pub fn push(&mut self, at_ns: u64, item: Item) {
        let after_ns = self.items.back().map_or(0, |(at_ns, _)| *at_ns);
        self.ended |= item.ends_stream();
        self.items.push_back((at_ns.max(after_ns), item));
    }

    pub fn pop(&mut self) -> Option<Item> {
        self.items.pop_front().map(|(_, item)| item)
    }

    /// The receiver's own kernel breaks off; what is under way will find nobody.
    pub fn tear_now(&mut self, now_ns: u64) {
        self.items.push_front((now_ns, Item::Torn));
        self.blocked_ns = None;
    }

    /// A random suffix is lost; the answer is how many frames that cost.
    pub fn lose_suffix(&mut self, random: &mut Random) -> u64 {
        let kept = random.below(self.items.len() as u64 + 1);
        self.lose_after(usize::try_from(kept).expect("an index"))
    }

    /// All is lost, and with it the end that was under way: whoever receives does not get to know.
    pub fn lose_all(&mut self) -> u64 {
        self.blocked_ns = None;
        self.lose_after(0)
    }

    fn lose_after(&mut self, kept: usize) -> u64 {
        let before = self.frames();
        let torn = self.items.iter().rposition(|(_, item)| matches!(item, Item::Torn));
        let torn = torn.filter(|at| *at >= kept).and_then(|at| self.items.remove(at));
        self.items.truncate(kept);
        self.items.extend(torn); // that was no packet
        self.ended = self.items.iter().any(|(_, item)| item.ends_stream());
        before - self.frames()
    }

    /// What a cut does to what stands before it. `Some`: the receiver is told by its own kernel.
    pub fn meet_cut(&mut self) -> (u64, Option<Item>) {
        let before = self.frames();
        if let Some(at) = self.items.iter().position(|(_, item)| matches!(item, Item::Torn)) {
            self.items.drain(..at);
            return (before - self.frames(), self.pop());
        }
        let reset = self.items.back().is_some_and(|(_, item)| matches!(item, Item::Reset));
        if reset || self.orphan {
            return (self.lose_all(), None);
        }
        (0, None)
    }

    /// The way is open again: the first item comes at `first_ns`, the others after it as they did.
    pub fn resume(&mut self, first_ns: u64) {
        self.blocked_ns = None;
        let mut after_ns = first_ns;
        for (at_ns, _) in &mut self.items {
            after_ns = after_ns.max(*at_ns);
            *at_ns = after_ns;
        }
    }

    /// Everything under way comes by `latest_ns`.
    pub fn hurry(&mut self, latest_ns: u64) {
        self.items.iter_mut().for_each(|(at_ns, _)| *at_ns = latest_ns.min(*at_ns));
    }

    /// Data as its receiver reads it: whole frames.
    pub fn assemble(&mut self, item: Item, frames: &mut Vec<Bytes>) -> Result<(), BadLength> {
        match item {
            Item::Frame(parts) => {
                debug_assert!(self.assembly.is_empty(), "a frame amid another");
                frames.push(whole(parts));
                Ok(())
            }
            Item::Piece { parts, .. } => {
                parts.iter().try_for_each(|p| self.assembly.feed(p, FRAME_BYTES_MAX, frames))
            }
            Item::Open | Item::Fin | Item::Reset | Item::Torn => unreachable!("no data"),
        }
    }
}

/// The parts as one; a single one is not copied.
fn whole(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        0 => Bytes::new(),
        1 => parts.remove(0),
        _ => parts.concat().into(),
    }
}
