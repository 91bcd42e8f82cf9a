//! Real clients: librdkafka producers and readers that do what a generator says and write down what they saw.
//!
//! Promises: a send's intent is committed to the history before the send leaves; an outcome is what the library
//! really told, classified by [`outcome`], never guessed. Load runs on librdkafka alone: a bug that the bundled
//! broker shared with our own protocol code could hide itself, one shared with librdkafka cannot.
//! Not here: schedules (generator), verdicts (checker), and any knowledge of faults.
#![allow(
    clippy::disallowed_methods,
    reason = "clients are threads of the real world, with its clock"
)]

pub mod copier;
mod library;
pub mod member;
pub mod outcome;
pub mod producer;
pub mod profile;
pub mod reader;
mod transaction;
pub mod transactor;

use model::history::{Event, Time};

/// Where clients write down what they do. Shared by all threads.
pub trait History: Send + Sync {
    /// The run's clock.
    fn now(&self) -> Time;
    /// Writes down that `event` happened at `time`; it may stay in memory until the next [`History::commit`].
    fn record(&self, time: Time, event: Event);
    /// Returns when everything recorded so far is in the history's file.
    fn commit(&self);
}

/// The version of the client library, as it names itself.
pub fn library() -> String {
    format!("librdkafka {}", rdkafka::util::get_rdkafka_version().1)
}
