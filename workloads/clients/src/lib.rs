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
pub mod fencing;
mod library;
pub mod member;
pub mod outcome;
pub mod producer;
pub mod profile;
pub mod reader;
pub mod seat;
mod transaction;
pub mod transactor;

use model::history::{Event, Time};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where clients write down what they do. Shared by all threads.
pub trait History: Send + Sync {
    /// The run's clock.
    fn now(&self) -> Time;
    /// Writes down that `event` happened at `time`; it may stay in memory until the next [`History::commit`].
    fn record(&self, time: Time, event: Event);
    /// Returns when everything recorded so far is in the history's file.
    fn commit(&self);
}

/// How many partitions of their topic clients are to use. Shared by all of them; those of a queue take more into use while
/// they run, the others keep to what there was when they were started.
#[derive(Debug)]
pub struct Partitions(AtomicU32);

impl Partitions {
    pub fn new(count: u32) -> Partitions {
        Partitions(AtomicU32::new(count))
    }

    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// There are so many now, or more: a topic loses none.
    pub fn grow(&self, count: u32) {
        self.0.fetch_max(count, Ordering::Relaxed);
    }
}

/// The version of the client library, as it names itself.
pub fn library() -> String {
    format!("librdkafka {}", rdkafka::util::get_rdkafka_version().1)
}
