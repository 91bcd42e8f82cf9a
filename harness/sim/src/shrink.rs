//! From a failing scenario to a smaller one that fails in the same way.
//!
//! Promises: the answer fails with the same check as the scenario that came in, and none of the reductions tried on it
//! within the budget keeps that; the same input gives the same answer. Every candidate is a whole run, so the budget
//! counts runs. The approach is delta debugging (Zeller and Hildebrandt, TSE 2002) over the list of faults, then one
//! simplification after the other of everything else. Not promised: the smallest of all.

use crate::run::{Outcome, run};
use crate::scenario::{Disk, Network, Scenario};
use crate::world::Failure;

/// What shrinking came to.
#[derive(Debug)]
pub struct Shrunk {
    pub scenario: Scenario,
    pub failure: Failure,
    /// Runs that it took.
    pub runs: u32,
}

/// A step towards something simpler; `None` where there is nothing left to simplify.
type Simplify = fn(&Scenario) -> Option<Scenario>;

const SIMPLIFICATIONS: &[Simplify] = &[
    no_left_out,
    no_drift,
    calm_network,
    calm_disk,
    fewer_consumers,
    fewer_producers,
    one_partition,
    no_compression,
    single_record_batches,
    default_properties,
    slower_sends,
];

/// Shrinks `scenario`, which failed with `failure`, in at most `runs_max` runs. `progress` is told of each smaller one.
pub fn shrink(
    scenario: &Scenario,
    failure: &Failure,
    runs_max: u32,
    mut progress: impl FnMut(&Scenario, u32),
) -> Shrunk {
    let mut shrinker =
        Shrinker { best: scenario.clone(), failure: failure.clone(), runs: 0, runs_max };
    loop {
        let before = shrinker.best.clone();
        shrinker.end_early();
        shrinker.fewer_faults();
        shrinker.simpler();
        shrinker.shorter_faults();
        progress(&shrinker.best, shrinker.runs);
        if shrinker.best == before || shrinker.runs >= shrinker.runs_max {
            break;
        }
    }
    let Shrinker { best, failure, runs, .. } = shrinker;
    Shrunk { scenario: best, failure, runs }
}

struct Shrinker {
    best: Scenario,
    failure: Failure,
    runs: u32,
    runs_max: u32,
}

impl Shrinker {
    /// Whether the candidate fails in the same way; then it is the best so far.
    fn accept(&mut self, candidate: Scenario) -> bool {
        if self.runs >= self.runs_max || candidate == self.best {
            return false;
        }
        self.runs += 1;
        let Outcome { failure, .. } = run(&candidate, false);
        match failure {
            Some(failure) if failure.check == self.failure.check => {
                self.best = candidate;
                self.failure = failure;
                true
            }
            _ => false,
        }
    }

    /// Faults that strike after the failure have nothing to do with it.
    fn end_early(&mut self) {
        let latest_ms = self.failure.at_ns / 1_000_000;
        let mut candidate = self.best.clone();
        candidate.faults.retain(|fault| fault.at_ms <= latest_ms);
        let last_ms = candidate.faults.iter().map(|f| f.at_ms + f.for_ms).max().unwrap_or(0);
        candidate.phases.disasters_ms = candidate.phases.disasters_ms.min(last_ms + 500);
        self.accept(candidate);
    }

    /// Takes out halves, then quarters, … of the faults.
    fn fewer_faults(&mut self) {
        let mut chunk = self.best.faults.len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < self.best.faults.len() {
                let mut candidate = self.best.clone();
                let end = (at + chunk).min(candidate.faults.len());
                candidate.faults.drain(at..end);
                if !self.accept(candidate) {
                    at += chunk;
                }
            }
            chunk /= 2;
        }
    }

    fn simpler(&mut self) {
        for simplify in SIMPLIFICATIONS {
            while let Some(candidate) = simplify(&self.best) {
                if !self.accept(candidate) {
                    break;
                }
            }
        }
        self.fewer_properties();
    }

    fn fewer_properties(&mut self) {
        for key in self.best.cluster.properties.keys().cloned().collect::<Vec<_>>() {
            let mut candidate = self.best.clone();
            candidate.cluster.properties.remove(&key);
            self.accept(candidate);
        }
        for index in 0..self.best.topics.len() {
            for key in self.best.topics[index].properties.keys().cloned().collect::<Vec<_>>() {
                let mut candidate = self.best.clone();
                candidate.topics[index].properties.remove(&key);
                self.accept(candidate);
            }
        }
    }

    /// Round numbers are easier to read, and early ones quicker to replay.
    fn shorter_faults(&mut self) {
        for index in 0..self.best.faults.len() {
            for unit_ms in [1_000, 100, 10] {
                let mut candidate = self.best.clone();
                let fault = &mut candidate.faults[index];
                fault.for_ms = fault.for_ms / unit_ms * unit_ms;
                if self.accept(candidate) {
                    break;
                }
            }
        }
        let first_ms = self.best.faults.first().map_or(0, |fault| fault.at_ms);
        for keep_ms in [0, first_ms / 4, first_ms / 2] {
            let mut candidate = self.best.clone();
            let earlier_ms = first_ms - keep_ms;
            candidate.faults.iter_mut().for_each(|fault| fault.at_ms -= earlier_ms);
            candidate.phases.disasters_ms =
                candidate.phases.disasters_ms.saturating_sub(earlier_ms);
            if self.accept(candidate) {
                break;
            }
        }
    }
}

fn changed(scenario: &Scenario, change: impl FnOnce(&mut Scenario)) -> Option<Scenario> {
    let mut candidate = scenario.clone();
    change(&mut candidate);
    (candidate != *scenario).then_some(candidate)
}

fn no_left_out(scenario: &Scenario) -> Option<Scenario> {
    changed(scenario, |s| s.phases.left_out.clear())
}

fn no_drift(scenario: &Scenario) -> Option<Scenario> {
    changed(scenario, |s| s.cluster.clock_drift_ppm.clear())
}

fn calm_network(scenario: &Scenario) -> Option<Scenario> {
    let calm = Network {
        delay_us_min: 100,
        delay_us_mean: 100,
        split_frames: false,
        reset_per_million: 0,
        clog_per_million: 0,
        clog_ms_max: 10,
        dial_timeout_ms: 500,
    };
    changed(scenario, |s| s.network = calm)
}

fn calm_disk(scenario: &Scenario) -> Option<Scenario> {
    let calm = Disk {
        cached_us_min: 10,
        cached_us_mean: 10,
        sync_us_min: 500,
        sync_us_mean: 500,
        sector_bytes: 4096,
        unsynced_survives_percent: 0,
        stall_per_million: 0,
        stall_ms_max: 10,
    };
    changed(scenario, |s| s.disk = calm)
}

/// Faults name clients by their numbers, so that only the last can go, and only where no fault is about it.
fn fewer_consumers(scenario: &Scenario) -> Option<Scenario> {
    changed(scenario, |s| {
        s.consumers.pop();
    })
}

fn fewer_producers(scenario: &Scenario) -> Option<Scenario> {
    if scenario.producers.len() < 2 {
        return None;
    }
    changed(scenario, |s| {
        s.producers.pop();
    })
}

fn one_partition(scenario: &Scenario) -> Option<Scenario> {
    changed(scenario, |s| s.topics.iter_mut().for_each(|topic| topic.partitions = 1))
}

fn no_compression(scenario: &Scenario) -> Option<Scenario> {
    changed(scenario, |s| s.producers.iter_mut().for_each(|p| p.compression = 0))
}

fn single_record_batches(scenario: &Scenario) -> Option<Scenario> {
    changed(scenario, |s| s.producers.iter_mut().for_each(|p| p.batch_records_max = 1))
}

fn default_properties(scenario: &Scenario) -> Option<Scenario> {
    changed(scenario, |s| s.cluster.properties.clear())
}

fn slower_sends(scenario: &Scenario) -> Option<Scenario> {
    if scenario.producers.iter().all(|p| p.send_every_us >= 100_000) {
        return None;
    }
    changed(scenario, |s| s.producers.iter_mut().for_each(|p| p.send_every_us *= 2))
}
