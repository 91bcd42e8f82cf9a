//! Kafka's wire protocol and record formats, and nothing else.
//!
//! Promises: every byte that comes from outside is read with bounds checked first: malformed, truncated or absurd input
//! is an error, never a panic and never an allocation larger than a small multiple of the input. Record batches are
//! never re-encoded: they pass through as slices of the frame or segment they arrived in.
//!
//! Not here: IO, time, randomness, and any opinion on what a request should be answered.
//!
//! RPC messages are those of the `kafka-protocol` crate, reached through [`messages`] and decoded only by
//! [`frame::decode`], which guards that crate against hostile lengths. Its record layer is not used: [`batch`] is ours.

pub mod api;
pub mod batch;
pub mod codec;
pub mod control;
pub mod error;
pub mod fetch;
pub mod frame;
pub mod groups;
pub mod metadata;
pub mod names;
mod shape;

pub use frame::Guarded;
pub use kafka_protocol::messages;
pub use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
pub use uuid::Uuid;
