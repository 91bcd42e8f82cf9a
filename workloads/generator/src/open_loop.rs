//! The open-loop schedule of one producer: a send is due when its time comes, whether or not the earlier ones were
//! answered. Latency counts from that time, so a stalled cluster cannot hide behind a client that waited politely
//! (no coordinated omission).

use crate::random::Random;
use model::history::{LogRef, TopicRef};

/// One send that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The producer's own count of its sends, from 0.
    pub sequence: u64,
    pub log: LogRef,
    /// When the schedule wanted it, nanoseconds since the run began.
    pub intended_mono_ns: u64,
}

/// What to send, how often.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Sends per second of this producer; 0 means as fast as the client takes them.
    pub per_second: f64,
    /// The most sends that one call hands out: after a stall of the whole machine they come in portions.
    pub burst_max: usize,
}

/// A source of sends over the partitions of one topic, chosen uniformly.
#[derive(Clone, Debug)]
pub struct OpenLoop {
    topic: TopicRef,
    partitions: u32,
    rate: Rate,
    started_mono_ns: u64,
    /// Sends handed out since the start of this schedule.
    issued: u64,
    next_sequence: u64,
    random: Random,
}

impl OpenLoop {
    pub fn new(
        topic: TopicRef,
        partitions: u32,
        rate: Rate,
        started_mono_ns: u64,
        random: Random,
    ) -> Self {
        assert!(partitions > 0, "a topic has at least one partition");
        assert!(rate.per_second >= 0.0 && rate.burst_max > 0);
        OpenLoop { topic, partitions, rate, started_mono_ns, issued: 0, next_sequence: 0, random }
    }

    /// A restarted producer is another session: it counts from 0 again and goes on with the same schedule.
    pub fn restart_sequence(&mut self) {
        self.next_sequence = 0;
    }

    /// The schedule begins at `now_ns`: what was due before and not handed out is let go.
    pub fn start_again(&mut self, now_ns: u64) {
        (self.started_mono_ns, self.issued) = (now_ns, 0);
    }

    pub fn topic(&self) -> TopicRef {
        self.topic
    }

    /// Sends go to another topic from here on, as they went to this one.
    pub fn follow(&mut self, topic: TopicRef) {
        self.topic = topic;
    }

    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Sends go to so many partitions from here on.
    pub fn widen(&mut self, partitions: u32) {
        assert!(partitions >= self.partitions, "a topic loses no partition");
        self.partitions = partitions;
    }

    /// When the next send is due, nanoseconds since the run began.
    pub fn next_due_ns(&self) -> u64 {
        if self.rate.per_second == 0.0 {
            return self.started_mono_ns;
        }
        let since_start = self.issued as f64 * 1e9 / self.rate.per_second;
        self.started_mono_ns + since_start as u64
    }

    /// Hands out what is due at `now_ns`, oldest first.
    pub fn take_due(&mut self, now_ns: u64, out: &mut Vec<Due>) {
        for _ in 0..self.rate.burst_max {
            let scheduled = self.next_due_ns();
            if scheduled > now_ns {
                break;
            }
            // Without a rate every send is intended now: there is no schedule to be late for.
            let intended_mono_ns = if self.rate.per_second == 0.0 { now_ns } else { scheduled };
            let partition = self.random.below(u64::from(self.partitions)) as u32;
            out.push(Due {
                sequence: self.next_sequence,
                log: LogRef { topic: self.topic, partition },
                intended_mono_ns,
            });
            self.issued += 1;
            self.next_sequence += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(per_second: f64, burst_max: usize) -> OpenLoop {
        OpenLoop::new(TopicRef(0), 4, Rate { per_second, burst_max }, 1_000, Random::new(1, "load"))
    }

    #[test]
    fn keeps_the_rate_over_any_calls() {
        let mut source = schedule(1000.0, 100);
        let mut due = Vec::new();
        for now_ms in 0..=500u64 {
            source.take_due(1_000 + now_ms * 1_000_000, &mut due);
        }
        assert_eq!(due.len(), 501);
        assert_eq!(due[500].intended_mono_ns, 1_000 + 500 * 1_000_000);
        assert!(due.windows(2).all(|pair| pair[0].sequence + 1 == pair[1].sequence));
    }

    #[test]
    fn a_stall_is_caught_up_in_portions_with_the_intended_times() {
        let mut source = schedule(1000.0, 10);
        let mut due = Vec::new();
        source.take_due(1_000_001_000, &mut due);
        assert_eq!(due.len(), 10);
        assert_eq!(due[9].intended_mono_ns, 1_000 + 9 * 1_000_000);
        assert!(source.next_due_ns() < 1_000_001_000);
    }

    #[test]
    fn a_topic_that_grew_is_written_to_in_all_its_partitions() {
        let mut source = schedule(0.0, 100);
        let mut due = Vec::new();
        source.take_due(5_000, &mut due);
        source.widen(6);
        source.take_due(5_000, &mut due);
        let reach = |due: &[Due]| due.iter().map(|due| due.log.partition).max();
        assert_eq!((reach(&due[..100]), reach(&due[100..])), (Some(3), Some(5)));
        assert!(due.windows(2).all(|pair| pair[0].sequence + 1 == pair[1].sequence));
    }

    #[test]
    fn another_topic_is_gone_on_with_by_the_same_schedule_and_count() {
        let mut source = schedule(0.0, 10);
        let mut due = Vec::new();
        source.take_due(5_000, &mut due);
        source.follow(TopicRef(7));
        source.take_due(5_000, &mut due);
        let of = |topic: u32| due.iter().filter(|due| due.log.topic == TopicRef(topic)).count();
        assert_eq!((source.topic(), of(0), of(7)), (TopicRef(7), 10, 10));
        assert!(due.windows(2).all(|pair| pair[0].sequence + 1 == pair[1].sequence));
    }

    #[test]
    fn without_a_rate_everything_is_due_now() {
        let mut source = schedule(0.0, 3);
        let mut due = Vec::new();
        source.take_due(5_000, &mut due);
        assert_eq!(due.iter().map(|d| d.intended_mono_ns).collect::<Vec<_>>(), [5_000; 3]);
    }
}
