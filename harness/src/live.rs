//! Follows the history while it is written: checks and measures run along, and the run's other parts read counters.
//!
//! Promises: the checker and the measure see every event once, in the order of the file, so that checking the stored
//! history again gives the same answer.

use crate::measure::Measure;
use crate::recorder::Portion;
use checker::Checker;
use model::finding::Kind;
use model::history::{Event, Outcome, Time};
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
    /// Acknowledged sends by partition; acks=0 sends that left count too, for nothing else tells of progress there.
    pub acknowledged: Vec<AtomicU64>,
    /// What the checker has found for certain, by kind.
    pub found: Mutex<Vec<(Kind, u64)>>,
}

impl Counters {
    fn new(partitions: u32) -> Counters {
        let zero = AtomicU64::default;
        Counters {
            sent: zero(),
            ok: zero(),
            fail: zero(),
            info: zero(),
            polled: zero(),
            late_ns: zero(),
            acknowledged: (0..partitions).map(|_| zero()).collect(),
            found: Mutex::default(),
        }
    }

    pub fn found(&self) -> Vec<(Kind, u64)> {
        self.found.lock().expect("no holder of this lock panics").clone()
    }

    pub fn acknowledged(&self) -> Vec<u64> {
        self.acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

/// The follower's thread; it ends when the recorder is gone.
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
        let deadline_ns = measure.deadline_ms() * 1_000_000;
        let mut state = State {
            counters: counters.clone(),
            checker,
            measure,
            open: Default::default(),
            deadline_ns,
        };
        let thread = std::thread::Builder::new()
            .name("follower".into())
            .spawn(move || {
                for portion in portions {
                    portion.iter().for_each(|(time, event)| state.feed(time, event));
                    let found = state.checker.certain();
                    *state.counters.found.lock().expect("no holder of this lock panics") = found;
                }
                (state.checker, state.measure)
            })
            .expect("the operating system refused a thread");
        Follower { counters, thread }
    }

    /// Waits until everything recorded was followed. The recorder must have been dropped.
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
    /// Partition and intended time of each open send.
    open: rustc_hash::FxHashMap<model::history::RecordId, (u32, u64)>,
    deadline_ns: u64,
}

impl State {
    fn feed(&mut self, time: &Time, event: &Event) {
        self.count(time, event);
        self.measure.feed(time, event);
        self.checker.feed(time, event);
    }

    fn count(&mut self, time: &Time, event: &Event) {
        let add = |counter: &AtomicU64, count: u64| {
            counter.fetch_add(count, Ordering::Relaxed);
        };
        match event {
            Event::Send { id, log, intended_mono_ns } => {
                add(&self.counters.sent, 1);
                self.open.insert(*id, (log.partition, *intended_mono_ns));
            }
            Event::Sent { id, outcome, .. } => {
                let open = self.open.remove(id);
                let in_time = open.is_some_and(|(_, intended_ns)| {
                    time.mono_ns.saturating_sub(intended_ns) <= self.deadline_ns
                });
                if !in_time || !outcome.is_success() {
                    self.counters.late_ns.store(time.mono_ns, Ordering::Relaxed);
                }
                match outcome {
                    Outcome::Fail => return add(&self.counters.fail, 1),
                    Outcome::Info => return add(&self.counters.info, 1),
                    Outcome::Ok { .. } | Outcome::Unacknowledged => add(&self.counters.ok, 1),
                }
                if let Some(counter) =
                    open.and_then(|(p, _)| self.counters.acknowledged.get(p as usize))
                {
                    add(counter, 1);
                }
            }
            Event::Polled { records, .. } => add(&self.counters.polled, records.len() as u64),
            _ => {}
        }
    }
}
