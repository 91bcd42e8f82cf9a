//! Histories of Jepsen's Kafka workload in EDN: one operation a line, several, or one vector of them.
//!
//! Promises: any division of the bytes into pieces gives the same operations; a file cut within an operation gives
//! every operation before it and says so; an error names line, column and byte, and what was expected there; nothing
//! in a file makes the reader panic, hang or recurse; what is read and written again says the same. Values and keys
//! may be anything: those that are no numbers become [`Names`](crate::operation::Names), by their text.
//! Absent on purpose: files, and any judgement of what an operation says.
//!
//! Beyond what Jepsen writes, it takes comments, discarded forms, tagged literals (the tag of an operation is
//! dropped, those of values are kept), lists for vectors, and keys in any order.

mod cursor;
mod quick;
mod read;
mod reader;
mod scan;
#[cfg(test)]
mod tests;
mod write;

pub use reader::{Ending, Reader, read};
pub use write::{to_line, write_line};

/// Collections within collections beyond this are refused.
pub const DEPTH_MAX: usize = 128;
/// An operation larger than this is refused: a bracket that is never closed must not fill the memory.
pub const OPERATION_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Where a history is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column} (byte {byte}): expected {expected}, found {found}")]
pub struct EdnError {
    /// From 1.
    pub line: u64,
    /// From 1, in bytes.
    pub column: u64,
    /// From 0.
    pub byte: u64,
    pub expected: String,
    pub found: String,
}
