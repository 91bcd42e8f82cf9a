//! Shows the world to the invariants.
//!
//! Promises: every life of a process, every storage operation and every step is told, in order. No rule of its own.

use crate::disk::Disk;
use crate::invariant::committed::Excuse;
use crate::invariant::{Files, Invariants, Loss, Violation};
use crate::machine::Machine;
use log::io::{IoResult, Token};
use node::step::Effect;
use std::borrow::Cow;

#[derive(Default)]
pub struct Watch {
    invariants: Invariants,
}

struct PageCache<'a>(&'a Disk);

impl Files for PageCache<'_> {
    fn content(&self, path: &str) -> Option<Cow<'_, [u8]>> {
        self.0.content(path).map(|bytes| Cow::Owned(bytes.into()))
    }
}

impl Watch {
    pub fn started(&mut self, id: u16) {
        self.invariants.started(id);
    }

    pub fn ended(&mut self, id: u16) {
        self.invariants.ended(id);
    }

    pub fn lost(&mut self, now_ns: u64, id: u16, loss: Loss) -> Result<(), Violation> {
        self.invariants.lost(now_ns, id, loss)
    }

    pub fn completed(
        &mut self,
        now_ns: u64,
        id: u16,
        token: Token,
        result: &IoResult,
    ) -> Result<(), Violation> {
        self.invariants.completed(now_ns, id, token, result)
    }

    /// Faults destroyed so many copies of the metadata log that what the quorum had committed may be gone.
    pub fn has_lost_metadata(&self) -> bool {
        self.invariants.has_lost_metadata()
    }

    /// Faults destroyed every copy that counted of something committed in a partition of this topic.
    pub fn may_have_lost(&self, topic: &str) -> bool {
        self.invariants.may_have_lost(topic)
    }

    /// What of this partition's log faults may have destroyed, so that nobody could keep it.
    pub fn excuse(&self, dir: &str) -> Option<Excuse> {
        self.invariants.excuse(dir)
    }

    /// Below this offset of the partition's log some replica knows nobody who wrote there: it began anew behind retention.
    pub fn writers_forgotten_below(&self, dir: &str) -> i64 {
        self.invariants.writers_forgotten_below(dir)
    }

    /// A reader was given the records of a partition below this offset, or told that its log ends there.
    pub fn shown(&mut self, now_ns: u64, dir: &str, end_offset: i64) -> Result<(), Violation> {
        self.invariants.shown(now_ns, dir, end_offset)
    }

    /// The machine's node was just stepped.
    pub fn stepped(
        &mut self,
        now_ns: u64,
        machine: &Machine,
        effects: &[Effect],
    ) -> Result<(), Violation> {
        let Some(node) = machine.node() else { return Ok(()) };
        let files = PageCache(&machine.disk);
        self.invariants.stepped(now_ns, machine.id, &node.inspect(), effects, &files)
    }
}
