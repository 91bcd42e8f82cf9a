//! What is due when. Entries are never taken out: what was scheduled anew outlives them, told apart by their number.

use super::connection::Side;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The order of the fields is the order of things: what is due at the same time happens as it was scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub at_ns: u64,
    pub number: u64,
    pub slot: usize,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// The first item of a stream.
    Stream(Side),
    /// A stream may have been stuck for too long.
    GiveUp(Side),
    /// A packet of a handshake.
    Dial,
    DialTimeout,
}

#[derive(Default)]
pub(super) struct Schedule {
    heap: BinaryHeap<Reverse<Due>>,
    last: u64,
}

impl Schedule {
    /// The answer is the entry's number, which no other entry has.
    pub fn add(&mut self, at_ns: u64, slot: usize, what: What) -> u64 {
        self.last += 1;
        self.heap.push(Reverse(Due { at_ns, number: self.last, slot, what }));
        self.last
    }

    pub fn peek(&self) -> Option<&Due> {
        self.heap.peek().map(|Reverse(due)| due)
    }

    pub fn next_ns(&self) -> Option<u64> {
        self.peek().map(|due| due.at_ns)
    }

    pub fn pop(&mut self) {
        self.heap.pop();
    }

    pub fn pop_due(&mut self, now_ns: u64) -> Option<Due> {
        if self.next_ns()? > now_ns {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }
}
