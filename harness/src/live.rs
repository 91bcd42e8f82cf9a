//! Follows the history while it is written: checks and measures run along, and the run's other parts read counters.
//!
//! Promises: the checker and the measure see every event once, in the order of the file, so that checking the stored
//! history again gives the same answer.

use crate::measure::Measure;
use crate::recorder::Portion;
use crate::runner::TOPIC;
use checker::Checker;
use model::finding::Kind;
use model::history::{Event, Outcome, RecordId, Time, TopicRef};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What the progress bar and the nemesis want to know, as far as the follower has come.
#[derive(Debug)]
pub struct Counters {
    pub sent: AtomicU64,
    pub ok: AtomicU64,
    pub fail: AtomicU64,
    pub info: AtomicU64,
    pub polled: AtomicU64,
    /// When the last send was answered later than the deadline, or without success, on the recorder's clock.
    pub late_ns: AtomicU64,
    /// When the oldest of the sends that have no answer yet was due; `u64::MAX`: none is open.
    pub oldest_open_ns: AtomicU64,
    /// Acknowledged sends by partition; acks=0 sends that left count too, for nothing else tells of progress there.
    pub acknowledged: Vec<AtomicU64>,
    /// Sends by partition, begun.
    pub offered: Vec<AtomicU64>,
    /// What the checker has found for certain, by kind.
    pub found: Mutex<Vec<(Kind, u64)>>,
}

impl Counters {
    pub fn new(partitions: u32) -> Counters {
        let zero = AtomicU64::default;
        Counters {
            sent: zero(),
            ok: zero(),
            fail: zero(),
            info: zero(),
            polled: zero(),
            late_ns: zero(),
            oldest_open_ns: AtomicU64::new(u64::MAX),
            acknowledged: (0..partitions).map(|_| zero()).collect(),
            offered: (0..partitions).map(|_| zero()).collect(),
            found: Mutex::default(),
        }
    }

    pub fn found(&self) -> Vec<(Kind, u64)> {
        self.found.lock().expect("no holder of this lock panics").clone()
    }

    pub fn sent_and_acknowledged(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.ok.load(Ordering::Relaxed))
    }

    /// Every partition that was sent to has acknowledged something.
    pub fn acknowledged_everywhere(&self) -> bool {
        let is_zero = |counter: &AtomicU64| counter.load(Ordering::Relaxed) == 0;
        let mut each = self.acknowledged.iter().zip(&self.offered);
        each.all(|(acknowledged, offered)| !is_zero(acknowledged) || is_zero(offered))
    }

    pub fn acknowledged(&self) -> Vec<u64> {
        self.acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

/// The follower's thread; it ends when the recorder is finished.
pub struct Follower {
    pub counters: Arc<Counters>,
    thread: JoinHandle<(Checker, Measure)>,
}

impl Follower {
    pub fn start(
        portions: Receiver<Portion>,
        partitions: u32,
        checker: Checker,
        measure: Measure,
    ) -> Follower {
        let counters = Arc::new(Counters::new(partitions));
        let (loaded, name, open) = (vec![TOPIC], None, Default::default());
        let mut state = State { counters: counters.clone(), checker, measure, loaded, name, open };
        let thread = std::thread::Builder::new()
            .name("follower".into())
            .spawn(move || {
                for portion in portions {
                    portion.iter().for_each(|(time, event)| state.feed(time, event));
                    state.counters.late_ns.store(state.measure.late_ns(), Ordering::Relaxed);
                    let oldest_ns = state.measure.oldest_open_ns().unwrap_or(u64::MAX);
                    state.counters.oldest_open_ns.store(oldest_ns, Ordering::Relaxed);
                    let found = state.checker.certain();
                    *state.counters.found.lock().expect("no holder of this lock panics") = found;
                }
                (state.checker, state.measure)
            })
            .expect("the operating system refused a thread");
        Follower { counters, thread }
    }

    /// Waits until everything recorded was followed. The recorder must have been finished.
    pub fn join(self) -> (Checker, Measure) {
        match self.thread.join() {
            Ok(followed) => followed,
            // The checker's own panic, told by its own message: a bug, and to be seen as one.
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

struct State {
    counters: Arc<Counters>,
    checker: Checker,
    measure: Measure,
    /// The run's own topic, and those that were made in its place.
    loaded: Vec<TopicRef>,
    name: Option<String>,
    /// The partition of each open send to the run's own topic.
    open: rustc_hash::FxHashMap<RecordId, u32>,
}

impl State {
    fn feed(&mut self, time: &Time, event: &Event) {
        self.count(event);
        self.measure.feed(time, event);
        self.checker.feed(time, event);
    }

    fn count(&mut self, event: &Event) {
        let add = |counter: &AtomicU64, count: u64| {
            counter.fetch_add(count, Ordering::Relaxed);
        };
        match event {
            Event::Topic { topic, name, .. } => {
                if *topic == TOPIC {
                    self.name = Some(name.clone());
                } else if self.name.as_ref() == Some(name) {
                    self.loaded.push(*topic);
                }
            }
            Event::Send { id, log, .. } => {
                add(&self.counters.sent, 1);
                if self.loaded.contains(&log.topic) {
                    self.open.insert(*id, log.partition);
                    if let Some(counter) = self.counters.offered.get(log.partition as usize) {
                        add(counter, 1);
                    }
                }
            }
            Event::Sent { id, outcome, .. } => {
                let partition = self.open.remove(id);
                match outcome {
                    Outcome::Fail => return add(&self.counters.fail, 1),
                    Outcome::Info => return add(&self.counters.info, 1),
                    Outcome::Ok { .. } | Outcome::Unacknowledged => add(&self.counters.ok, 1),
                }
                if let Some(counter) =
                    partition.and_then(|p| self.counters.acknowledged.get(p as usize))
                {
                    add(counter, 1);
                }
            }
            Event::Polled { records, .. } => add(&self.counters.polled, records.len() as u64),
            _ => {}
        }
    }
}
