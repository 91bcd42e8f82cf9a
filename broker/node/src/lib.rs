//! A broker and controller node as a state machine: `step(now, input) -> effects`.
//!
//! Promises: no IO, no clock, no randomness, no threads; everything that a node does is decided here, and the same inputs
//! give the same effects. Not promised: TLS, SASL, transactions, more than one log directory.

pub mod api;
pub mod config;
pub mod context;
pub mod controller;
pub mod defect;
pub mod group;
pub mod image;
pub mod inspect;
pub mod lifecycle;
pub mod metrics;
pub mod node;
pub mod replica;
pub mod step;
