//! The binary form of a history, appended to while a run goes on.
//!
//! Promises: whatever was flushed before a crash is read back; a file that was cut, or damaged, gives every event of
//! the blocks before the damage and says where and why it ends; no input makes a reader panic or allocate beyond a
//! block. Absent on purpose: files. The caller writes what [`Encoder`] gives and hands [`Decoder`] what it read.
//!
//! The layout, byte by byte, stands in `docs/reference/history.md`.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{Decoder, Ending, NotAHistory, read};
pub use encode::Encoder;

use super::{LogRef, RecordId, Session, Time, TopicRef};
use std::collections::BTreeMap;

/// First bytes of every history.
pub const MAGIC: [u8; 8] = *b"HWHIST\r\n";
/// Of the layout. A reader refuses a file with a higher one. Version 1 had no kind of its own for the end of a log.
pub const VERSION: u16 = 2;
/// Magic, version, two reserved bytes, CRC32C of these twelve.
pub const FILE_HEADER_BYTES: usize = 16;
/// Payload length, number of events, CRC32C of both and of the payload.
pub const BLOCK_HEADER_BYTES: usize = 12;
/// A block is closed at the first event that brings it to this size.
pub const BLOCK_BYTES_TARGET: usize = 64 * 1024;
/// No writer makes a block larger than this; a length beyond it is damage.
pub const BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Low five bits of an event's first byte.
mod tag {
    pub(super) const JSON: u8 = 0;
    pub(super) const SEND: u8 = 1;
    pub(super) const SENT: u8 = 2;
    pub(super) const POLLED: u8 = 3;
    pub(super) const END_OF_LOG: u8 = 4;
    pub(super) const MASK: u8 = 0x1f;
    /// The wall clock has gone on exactly as the monotonic clock has: no residual follows.
    pub(super) const WALL_AS_PREDICTED: u8 = 0x20;
}

/// Low three bits of a Sent's outcome byte.
mod outcome {
    pub(super) const OK: u8 = 0;
    pub(super) const FAIL: u8 = 1;
    pub(super) const INFO: u8 = 2;
    pub(super) const UNACKNOWLEDGED: u8 = 3;
    pub(super) const OK_WITHOUT_OFFSET: u8 = 4;
    pub(super) const MASK: u8 = 0x07;
    pub(super) const HAS_ERROR: u8 = 0x08;
}

/// Low two bits of a polled record's first number; the rest of it is the zigzag offset delta.
mod seen {
    pub(super) const RECORD: u64 = 0;
    pub(super) const CORRUPTED: u64 = 1;
    pub(super) const MISPLACED: u64 = 2;
    pub(super) const FOREIGN: u64 = 3;
}

/// What both sides remember within a block, so that only differences are written. It starts anew with each block:
/// a block can be read without the ones before it.
#[derive(Default)]
struct Context {
    mono_ns: u64,
    wall_ms: i64,
    /// By producer session: the last sequences sent and completed, and the last offset acknowledged.
    producers: BTreeMap<u32, ProducerContext>,
    /// By log: the last offset polled.
    polled: BTreeMap<LogRef, i64>,
    /// By session: the last sequence polled.
    polled_sequence: BTreeMap<u32, u64>,
    /// The session of the last record polled.
    polled_session: u32,
}

#[derive(Default, Clone, Copy)]
struct ProducerContext {
    sent: u64,
    completed: u64,
    offset: i64,
}

impl Context {
    /// The wall time if that clock went on as the monotonic one did.
    fn predicted_wall_ms(&self, mono_ns: u64) -> i64 {
        let elapsed = (mono_ns / 1_000_000) as i64 - (self.mono_ns / 1_000_000) as i64;
        self.wall_ms.wrapping_add(elapsed)
    }

    fn advance(&mut self, time: &Time) {
        self.mono_ns = time.mono_ns;
        self.wall_ms = time.wall_ms;
    }

    fn producer(&mut self, session: Session) -> &mut ProducerContext {
        self.producers.entry(session.0).or_default()
    }
}

/// A difference that wraps, so that every pair of numbers has one.
fn delta(now: u64, before: u64) -> i64 {
    now.wrapping_sub(before) as i64
}

fn apply(before: u64, delta: i64) -> u64 {
    before.wrapping_add(delta as u64)
}

fn log_ref(topic: u32, partition: u32) -> LogRef {
    LogRef { topic: TopicRef(topic), partition }
}

fn record_id(session: u32, sequence: u64) -> RecordId {
    RecordId { session: Session(session), sequence }
}
