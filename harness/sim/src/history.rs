//! Where the clients' events go: to the checker at once, and into memory only where a story is wanted.
//!
//! Promises: the same events, in the same order, as a real run would write them down; the checker is the real one.

use checker::{Checker, Options, Report};
use model::history::{Event, LogRef, Outcome, Phase, RecordId, Session, Time, TopicRef};
use node::step::Now;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

pub struct History {
    checker: Checker,
    /// Sends that were intended and have no outcome yet.
    open: FxHashMap<RecordId, LogRef>,
    acknowledged_of: BTreeMap<LogRef, u64>,
    pub acknowledged: u64,
    pub indeterminate: u64,
    pub failed: u64,
    pub read: u64,
    /// Kept only where a story is wanted.
    pub events: Option<Vec<(Time, Event)>>,
}

impl History {
    pub fn new(seed: u64) -> History {
        let mut history = History {
            checker: Checker::new(Options::default()),
            open: FxHashMap::default(),
            acknowledged_of: BTreeMap::new(),
            acknowledged: 0,
            indeterminate: 0,
            failed: 0,
            read: 0,
            events: None,
        };
        let began = Now { mono_ns: 0, wall_ms: crate::clock::WALL_MS };
        history.record(began, Event::Run { run: seed, seed, plan: "simulation".to_owned() });
        history
    }

    pub fn record(&mut self, now: Now, event: Event) {
        let time = Time { mono_ns: now.mono_ns, wall_ms: now.wall_ms };
        match &event {
            Event::Send { id, log, .. } => {
                self.open.insert(*id, *log);
            }
            Event::Sent { id, outcome, .. } => {
                let log = self.open.remove(id);
                match outcome {
                    Outcome::Ok { .. } => {
                        self.acknowledged += 1;
                        if let Some(log) = log {
                            *self.acknowledged_of.entry(log).or_default() += 1;
                        }
                    }
                    Outcome::Info => self.indeterminate += 1,
                    Outcome::Fail => self.failed += 1,
                    Outcome::Unacknowledged => {}
                }
            }
            Event::Polled { records, .. } => self.read += records.len() as u64,
            _ => {}
        }
        self.checker.feed(&time, &event);
        if let Some(events) = &mut self.events {
            events.push((time, event));
        }
    }

    pub fn phase(&mut self, now: Now, phase: Phase) {
        self.record(now, Event::Phase { phase });
    }

    /// The producer's process is gone: nobody will ever know of what it had under way.
    pub fn forget(&mut self, session: Session) {
        self.open.retain(|id, _| id.session != session);
    }

    /// Sends under way: an election with some is worth more than one without.
    pub fn open(&self) -> u64 {
        self.open.len() as u64
    }

    /// Acknowledged sends of each partition of a topic.
    pub fn acknowledged_of(&self, topic: u32, partitions: u32) -> Vec<u64> {
        let log = |partition| LogRef { topic: TopicRef(topic), partition };
        let count = |partition| self.acknowledged_of.get(&log(partition)).copied().unwrap_or(0);
        (0..partitions).map(count).collect()
    }

    pub fn finish(self) -> (Report, Option<Vec<(Time, Event)>>) {
        (self.checker.finish(), self.events)
    }
}
