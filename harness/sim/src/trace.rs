//! The trace: everything that happened in a world, folded into one number.
//!
//! Promises: two runs of one scenario with equal hashes stepped the same hosts at the same times with the same bytes.
//! The hash is stable within a build; it says nothing across builds.

use bytes::Bytes;
use rustc_hash::FxHasher;
use std::hash::Hasher;

#[derive(Default)]
pub struct Trace {
    hasher: FxHasher,
    steps: u64,
}

impl Trace {
    /// Something happened to a host: `what` tells kinds apart, `number` names a connection, token or node.
    pub fn note(&mut self, now_ns: u64, host: u16, what: &'static str, number: u64) {
        self.steps += 1;
        self.hasher.write_u64(now_ns);
        self.hasher.write_u16(host);
        self.hasher.write(what.as_bytes());
        self.hasher.write_u64(number);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.write_usize(bytes.len());
        self.hasher.write(bytes);
    }

    pub fn parts(&mut self, parts: &[Bytes]) {
        parts.iter().for_each(|part| self.bytes(part));
    }

    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// How many things were noted.
    pub fn steps(&self) -> u64 {
        self.steps
    }
}
