//! The bundled brokers against clients that speak Kafka's protocol by the byte, well and badly.
//!
//! Shows: what a client of any served version needs is answered in its form; what is unsupported, malformed, truncated
//! or absurd gets Kafka's own error or a closed connection, and no broker ever dies of it: afterwards each one is the same
//! process as before and serves.
//!
//! Not here: what real clients make of it (`kafka_tools.rs`), and faults.
#![allow(
    clippy::disallowed_methods,
    reason = "the broker under test is a real process, and polling it takes a clock"
)]

#[path = "protocol/answers.rs"]
mod answers;
#[path = "support/cluster.rs"]
mod cluster;
#[path = "protocol/connection.rs"]
mod connection;
#[path = "protocol/data.rs"]
mod data;
#[path = "protocol/fixture.rs"]
mod fixture;
#[path = "protocol/flips.rs"]
mod flips;
#[path = "protocol/frames.rs"]
mod frames;
#[path = "protocol/requests.rs"]
mod requests;
#[path = "protocol/versions.rs"]
mod versions;
