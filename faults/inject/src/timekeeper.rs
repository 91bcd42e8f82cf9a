//! What deeds on clocks need of whoever owns the nodes' clocks.

use clock::Table;
use std::io;

/// A time that a node wrote, and the machine's when it was asked and when it had answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub node_ms: i64,
    /// In nanoseconds since the epoch, as [`clock::true_ns`] is.
    pub asked_ns: i64,
    pub answered_ns: i64,
}

/// The wall clocks of all nodes.
///
/// Promises: no call waits for a node.
pub trait Timekeeper {
    /// From now on the node's wall clock is the machine's with this added; a node that is started later begins with it.
    fn set(&mut self, node: &str, table: &Table) -> io::Result<()>;

    /// What the node answered when it was asked for its time at `since_ns` or later. `None`: it has not answered yet; it
    /// is asked where nobody did. The error: why the newest attempt came to nothing.
    fn told(&mut self, node: &str, since_ns: i64) -> Result<Option<Told>, String>;
}
