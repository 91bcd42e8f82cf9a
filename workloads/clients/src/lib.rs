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

use model::history::{Event, Time, TopicRef};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Where clients write down what they do. Shared by all threads.
pub trait History: Send + Sync {
    /// The run's clock.
    fn now(&self) -> Time;
    /// Writes down that `event` happened at `time`; it may stay in memory until the next [`History::commit`].
    fn record(&self, time: Time, event: Event);
    /// Returns when everything recorded so far is in the history's file.
    fn commit(&self);
}

/// Which topic clients are to use, and how many partitions of it. Shared by all of them; those of a queue follow while they run,
/// the others keep to what there was when they were started.
#[derive(Debug)]
pub struct TopicInUse {
    partitions: AtomicU32,
    /// Which one, above the bit that says that it is gone.
    topic: AtomicU64,
}

/// Which of the topics that had the name after one another clients are to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    pub topic: TopicRef,
    /// It was asked to be deleted, and the next one may be there already.
    pub is_gone: bool,
}

impl TopicInUse {
    pub fn new(topic: TopicRef, partitions: u32) -> TopicInUse {
        let topic = AtomicU64::new(u64::from(topic.0) << 1);
        TopicInUse { partitions: AtomicU32::new(partitions), topic }
    }

    pub fn count(&self) -> u32 {
        self.partitions.load(Ordering::Relaxed)
    }

    /// There are so many now, or more: a topic loses none.
    pub fn grow(&self, count: u32) {
        self.partitions.fetch_max(count, Ordering::Relaxed);
    }

    pub fn now(&self) -> Incarnation {
        let word = self.topic.load(Ordering::SeqCst);
        Incarnation { topic: TopicRef((word >> 1) as u32), is_gone: word & 1 == 1 }
    }

    /// It is gone, or will be. To be told before another one is asked for.
    pub fn give_up(&self) {
        self.topic.fetch_or(1, Ordering::SeqCst);
    }

    /// Another one is in its place, and every broker knows it.
    pub fn go_on_with(&self, topic: TopicRef) {
        self.topic.store(u64::from(topic.0) << 1, Ordering::SeqCst);
    }
}

/// The version of the client library, as it names itself.
pub fn library() -> String {
    format!("librdkafka {}", rdkafka::util::get_rdkafka_version().1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_gone_is_not_the_one_in_its_place() {
        let topic = TopicInUse::new(TopicRef(3), 2);
        topic.give_up();
        topic.give_up();
        assert_eq!(topic.now(), Incarnation { topic: TopicRef(3), is_gone: true });
        topic.go_on_with(TopicRef(4));
        assert_eq!(topic.now(), Incarnation { topic: TopicRef(4), is_gone: false });
        topic.grow(1);
        assert_eq!(topic.count(), 2);
    }
}
