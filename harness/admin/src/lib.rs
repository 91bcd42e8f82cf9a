//! Our own small protocol client for what the harness asks of a cluster: topics, settings, leaders, replicas, the quorum,
//! offsets. Blocking, with a timeout on everything, one connection for each broker that it talks to.
//!
//! Promises: no call waits longer than the timeout that it was given; every error names the broker, the API and what
//! came back. Works with anything that speaks Kafka's protocol: versions are negotiated, not assumed.
//! Not here: load. Records that count for a verdict are sent and read by librdkafka, never by this client.
#![allow(
    clippy::disallowed_methods,
    reason = "a client in the real world waits with the real clock"
)]

mod alter;
mod connection;
mod describe;
mod time;
mod topics;

pub use alter::Setting;
pub use connection::{Admin, AdminError};
pub use describe::{Broker, Cluster, Partition, QuorumState, Topic};
pub use topics::{NewTopic, OffsetSpec};
