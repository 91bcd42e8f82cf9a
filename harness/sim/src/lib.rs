//! Whole clusters of the bundled broker's own code in one thread, under a seeded network, disk and clock.
//!
//! Promises: a [`scenario::Scenario`] decides everything; the same scenario gives the same trace, byte for byte. The
//! broker's code is what `highwater run` starts, unchanged. Verdicts come from the same checker and judge as a real
//! run's; beside them stand invariants that only an insider can check.
//! Absent on purpose: real time, real IO, ambient randomness, threads, async, librdkafka.

pub mod disk;
pub mod network;
pub mod scenario;
