//! A proxy in front of each broker's listeners, which can break what goes through it: connections and Kafka's frames.
//!
//! ```text
//!   client ──► proxy of n1 ──► n1          one thread for each listener,
//!   broker ──► proxy of n1 ──► n1          one connection to the broker for each that was accepted
//! ```
//!
//! Promises: without a rule every byte arrives unchanged and in order, whatever protocol it is of; a rule touches only the
//! links that it names, and nothing of a link once it is removed; rules on one link add up in any order and are removed in
//! any order; every rule counts what it did ([`Tally`]). What is decided by chance comes from the rule's seed.
//!
//! Not promised: that it is invisible. A dial to a broker that is down is accepted and then reset, where the broker's own
//! port would refuse it. Frames are told apart only where they are not encrypted.
//!
//! Not here: plans, roles, when anything is done.

#![allow(
    clippy::disallowed_methods,
    reason = "this crate is where the real world begins: threads, sockets and their clock"
)]

mod connection;
mod draws;
mod frames;
mod line;
mod links;
mod metadata;
pub mod probe;
mod protocol;
mod proxy;
mod refusal;
mod rule;
mod sockets;
mod worker;

pub use metadata::Snapshot;
pub use proxy::{Dialer, Proxy, Route, Who};
pub use refusal::refusable;
pub use rule::{Distribution, Effect, End, Links, Rule, Tally, Ways};
