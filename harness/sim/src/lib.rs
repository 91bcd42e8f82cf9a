//! Whole clusters of the bundled broker's own code in one thread, under a seeded network, disk and clock.
//!
//! Promises: a [`scenario::Scenario`] decides everything; the same scenario gives the same trace, byte for byte. The
//! broker's code is what `highwater run` starts, unchanged. Verdicts come from the same checker and judge as a real
//! run's; beside them stand invariants that only an insider can check.
//! Absent on purpose: real time, real IO, ambient randomness, threads, async, librdkafka.
//!
//! - What is decided before: [`scenario`], and [`swarm`] or [`of_plan`], which make one.
//! - What a cluster stands on: [`network`], [`disk`], [`clock`]; a [`machine`] has the last two and a process.
//! - [`world`]: the loop. [`observer`], [`history`], [`trace`] and [`coverage`] write down what happens in it.
//! - What goes wrong: [`strike`] within the [`atlas`], or a plan's nemesis ([`planned`]).
//! - What must be true: [`invariant`], which [`watch`] shows the world to.
//! - [`run`]: one schedule from start to verdict. [`shrink`], [`story`], [`tally`]: what is made of outcomes.

pub mod actor;
pub mod atlas;
pub mod client;
pub mod clock;
pub mod coverage;
pub mod disk;
pub mod hazard;
pub mod history;
pub mod invariant;
pub mod machine;
pub mod network;
pub mod observer;
pub mod of_plan;
pub mod planned;
pub mod properties;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod story;
pub mod strike;
pub mod swarm;
pub mod tally;
pub mod trace;
pub mod watch;
pub mod world;
