//! The wall clock of one node, apart from the machine's: a small file that says how far it is off, which the node's process maps
//! and whoever injects faults writes.
//!
//! Promises: [`table`] has the format and the arithmetic, the same for the writer, for the bundled broker and for the shim
//! ([`SHIM`]) that other people's brokers are started with. Reading costs a few loads from memory. Only what is read as wall
//! clock is concerned; no clock of the machine is ever set. Not here: who is hit, and how it is proved.
#![allow(
    clippy::disallowed_methods,
    reason = "this crate is about the machine's wall clock, and reads it"
)]

mod file;
pub mod table;

pub use file::ClockFile;
pub use table::{Shift, Table};

/// A library for `LD_PRELOAD`; empty where there is none for this system. It moves what a dynamically linked program is told by
/// `clock_gettime` (wall clocks alone), `gettimeofday`, `time` and `timespec_get`, as the file that [`FILE_VARIABLE`] names
/// says.
pub const SHIM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/clock-shim.so"));

/// Names the file to the shim.
pub const FILE_VARIABLE: &str = "HIGHWATER_CLOCK_FILE";

/// The machine's wall clock, in nanoseconds since the epoch.
pub fn true_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // Until the year 2262.
    since.map_or(0, |since| since.as_nanos() as i64)
}

#[cfg(test)]
mod tests;
