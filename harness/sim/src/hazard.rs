//! What goes wrong in a world: drawn strikes, or a plan's nemesis.
//!
//! Promises: after [`Hazard::heal`] nothing new breaks, and everything broken is mended, at once or as soon as
//! [`Hazard::due`] is called again. Not here: when that has to be good enough.

use crate::run::cast::Cast;
use crate::world::World;
use model::fault::FaultRecord;

pub trait Hazard {
    /// When something is to be done next.
    fn next_ns(&self) -> Option<u64>;
    /// Does what is due.
    fn due(&mut self, world: &mut World, cast: &mut Cast);
    /// Ends all of it; the nodes in `left_out` stay down (or go down) until it is called without them.
    fn heal(&mut self, world: &mut World, left_out: &[u16]);
    /// Everything that was to strike has struck, and is over.
    fn is_over(&self) -> bool;
    /// Nothing is broken any more.
    fn is_idle(&self) -> bool;
    /// Every fault as it stands, for the judge.
    fn records(&self) -> Vec<FaultRecord>;
    /// Whether these nodes may be killed and left out at first while the others are healed.
    fn may_leave_out(&mut self, _: &World, _: &[u16]) -> bool {
        true
    }
    /// Something was done that the design of the broker is not made to survive, as the schedule wanted it.
    fn was_excessive(&self) -> bool {
        false
    }
}

/// Nothing goes wrong: while a cluster comes up.
pub struct Calm;

impl Hazard for Calm {
    fn next_ns(&self) -> Option<u64> {
        None
    }

    fn due(&mut self, _: &mut World, _: &mut Cast) {}

    fn heal(&mut self, _: &mut World, _: &[u16]) {}

    fn is_over(&self) -> bool {
        true
    }

    fn is_idle(&self) -> bool {
        true
    }

    fn records(&self) -> Vec<FaultRecord> {
        Vec::new()
    }
}
