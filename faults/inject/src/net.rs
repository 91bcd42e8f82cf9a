//! A network of the run's own: a namespace for each node, joined by a bridge, and cuts between them.
//!
//! ```text
//!   the machine's network                    never touched
//!   ─────────────────────────────────────────────────────────────
//!   the run's world      10.88.0.1           harness and clients
//!        bridge ──┬── veth ── n1  10.88.0.11
//!                 ├── veth ── n2  10.88.0.12
//!                 └── veth ── c1  10.88.0.13
//! ```
//!
//! Promises: nothing outside of the world is made, changed or flushed; every cut is an nftables table of its own in each
//! namespace concerned, so cuts stack and are lifted in any order; a probe measures with datagrams and dials of its own
//! what gets through, and waits for nothing. A cut loses packets where they arrive: a loss where they leave is reported
//! to the sending TCP, which no real network does.
//!
//! Undo: none of it outlives the processes that are in it. Namespaces, links and tables vanish with the last one, and the
//! nodes' processes are in the undo records already.
//!
//! Not promised: delay, loss by chance, limited rates. IPv6 is there between the nodes, and nobody uses it.

mod cuts;
mod namespace;
mod rules;
mod ways;
mod world;

pub(crate) use cuts::Cuts;
pub(crate) use namespace::run;
pub use namespace::separate_mounts;
pub use world::{World, can_enter};

#[cfg(test)]
mod tests;
