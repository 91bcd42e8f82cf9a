//! One partition's log (or the metadata quorum's) in Kafka's segment format, without IO of its own.
//!
//! Promises: the files are Kafka's, byte for byte: segments of v2 batches, both indexes, producer snapshots, the epoch
//! checkpoint. A [`Log`] submits operations to an [`io::IoQueue`], is told their completions by [`Log::on_io`], and
//! answers with [`Event`]s; no call does unbounded work, recovery included. An append counts for the log end offset, for
//! reads and for the high watermark only once it completed. What recovery finds torn it cuts at the last whole batch.
//!
//! Not here: time (every call is told it), replication, compaction, and the log directory's own checkpoints, of which
//! [`checkpoint`] has the formats only.

pub mod checkpoint;
pub mod config;
mod defect;
pub mod epoch;
pub mod index;
pub mod io;
mod log;
pub mod memory_disk;
pub mod producer;
mod segment;
mod types;

pub use config::{CleanupPolicy, LogConfig, TimestampType};
pub use defect::{Defect, Defects};
pub use epoch::{EpochCache, EpochEntry};
pub use log::Log;
pub use producer::ProducerState;
pub use types::{
    AppendError, Appended, Event, FetchData, FoundTimestamp, Lookup, Opened, Origin, Read,
    ReadError, ReadId, Recovery,
};
