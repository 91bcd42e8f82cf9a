//! Availability, latency and recovery, measured from the history alone.
//!
//! Promises: time is the *intended* time of a send (open loop, no coordinated omission); a send that was never
//! answered counts against availability; an outage that is still open at the end counts. The same history gives the
//! same numbers. Not here: loss, promises, verdicts.

mod recovery;
mod windows;

use hdrhistogram::Histogram;
use model::cluster::Observation;
use model::fault::FaultRecord;
use model::history::{Event, LogRef, Outcome, PassKind, Phase, RecordId, Session, Time};
use model::verdict::{Availability, Recovery};
use reports::facts::Series;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use windows::{Window, Windows};

/// Latencies are kept to three digits up to this; what is longer counts as this long.
const LATENCY_US_MAX: u64 = 600_000_000;
/// A partition without an acknowledgement for longer than this, with sends due, is an outage.
pub const OUTAGE_MS_MIN: u64 = 250;
/// The most points that a chart is given.
const SERIES_POINTS_MAX: u64 = 1000;

/// A stretch in which one partition acknowledged nothing although sends were due, milliseconds since the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub log: LogRef,
    pub from_ms: u64,
    pub to_ms: u64,
}

#[derive(Clone, Copy)]
struct Open {
    log: LogRef,
    intended_ns: u64,
    /// It was due after the baseline had begun.
    measured: bool,
    /// And before the faults.
    in_baseline: bool,
}

/// The sends that were due in the baseline.
#[derive(Default)]
struct Baseline {
    offered: u64,
    in_time: u64,
    misses: Vec<Miss>,
}

/// One that was not acknowledged in time, and when that was answered.
struct Miss {
    intended_ns: u64,
    answered_ns: Option<u64>,
}

impl Baseline {
    /// Acknowledged in time, of all. One that was open when the first fault came, and had time left, is no measure of how it had
    /// been before; where nothing else was offered, it is not a number.
    fn share(&self, first_fault_ms: u64, deadline_ms: u64) -> f64 {
        let cut_short = |miss: &&Miss| {
            let answered_ms = miss.answered_ns.map_or(u64::MAX, |at_ns| at_ns / 1_000_000);
            miss.intended_ns / 1_000_000 + deadline_ms >= first_fault_ms
                && answered_ms >= first_fault_ms
        };
        let cut_short = self.misses.iter().filter(cut_short).count();
        match self.offered {
            0 => 1.0,
            offered => self.in_time as f64 / (offered - cut_short as u64) as f64,
        }
    }
}

#[derive(Clone, Copy)]
struct Pulse {
    last_success_ns: u64,
    /// Intended time of the first send since the last success.
    waiting_since_ns: Option<u64>,
}

/// Fed event by event; [`Measure::finish`] gives the numbers.
pub struct Measure {
    deadline_ms: u64,
    open: FxHashMap<RecordId, Open>,
    /// Sends until the faults, in the order in which they began, from the first on that is open.
    begun: VecDeque<(RecordId, u64)>,
    /// Records that are about to be sent and were made of others: nobody offered them at a rate of their own.
    copies: FxHashSet<RecordId>,
    /// When the last send was answered later than the deadline, or without success.
    late_ns: u64,
    windows: Windows,
    /// Acknowledged sends, and of those before the first fault, microseconds.
    latency: Histogram<u64>,
    baseline_latency: Histogram<u64>,
    pulses: BTreeMap<LogRef, Pulse>,
    gaps: Vec<Gap>,
    errors: BTreeMap<String, u64>,
    phases: Vec<(Phase, u64)>,
    live_readers: BTreeSet<(Session, u32)>,
    /// Highest offset that a live reader saw, and acknowledged records above it, as a count over logs.
    acknowledged: u64,
    seen_live: u64,
    baseline_ns: Option<u64>,
    baseline: Baseline,
    load_ended_ns: Option<u64>,
    last_ns: u64,
}

/// What [`Measure::finish`] found.
pub struct Measured {
    pub availability: Availability,
    pub recoveries: Vec<Recovery>,
    pub series: Series,
    pub errors: BTreeMap<String, u64>,
    pub duration_ms: u64,
    /// There were sends in the baseline.
    pub has_baseline: bool,
    windows: Windows,
}

impl Measured {
    /// Sends without an outcome about that time, milliseconds since the run began.
    pub fn in_flight_at(&self, at_ms: u64) -> u64 {
        self.windows.open_at(at_ms)
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_US_MAX, 3).expect("the bounds of the histogram are constants")
}

impl Measure {
    /// `deadline_ms`: how late an acknowledgement may be, from the intended time, to count as a success.
    pub fn new(deadline_ms: u64) -> Self {
        Measure {
            deadline_ms,
            open: FxHashMap::default(),
            begun: VecDeque::new(),
            copies: FxHashSet::default(),
            late_ns: 0,
            windows: Windows::default(),
            latency: histogram(),
            baseline_latency: histogram(),
            pulses: BTreeMap::new(),
            gaps: Vec::new(),
            errors: BTreeMap::new(),
            phases: Vec::new(),
            live_readers: BTreeSet::new(),
            acknowledged: 0,
            seen_live: 0,
            baseline_ns: None,
            baseline: Baseline::default(),
            load_ended_ns: None,
            last_ns: 0,
        }
    }

    /// When the last send was answered later than the deadline, or without success, on the history's clock.
    pub fn late_ns(&self) -> u64 {
        self.late_ns
    }

    /// When the first of the sends that have no answer yet was due, on the history's clock.
    /// Known until the faults begin.
    pub fn oldest_open_ns(&self) -> Option<u64> {
        self.begun.front().map(|(_, intended_ns)| *intended_ns)
    }

    pub fn feed(&mut self, time: &Time, event: &Event) {
        self.last_ns = self.last_ns.max(time.mono_ns);
        match event {
            Event::Phase { phase } => self.phase(*phase, time.mono_ns),
            Event::Copied { id, .. } => {
                self.copies.insert(*id);
            }
            Event::Send { id, .. } if self.copies.remove(id) => {}
            Event::Send { id, log, intended_mono_ns } => {
                self.sent(*id, *log, *intended_mono_ns, time.mono_ns)
            }
            Event::Sent { id, outcome, error } => {
                self.answered(*id, *outcome, error.as_deref(), time.mono_ns)
            }
            Event::PassBegan { reader, pass, kind: PassKind::Live } => {
                self.live_readers.insert((*reader, *pass));
            }
            // One live reader is enough to know what had become visible; the first one is followed.
            Event::Polled { reader, pass, records, .. }
                if self.live_readers.first() == Some(&(*reader, *pass)) =>
            {
                self.seen_live += records.len() as u64;
                self.windows.unread(time.mono_ns, self.acknowledged.saturating_sub(self.seen_live));
            }
            _ => {}
        }
    }

    fn phase(&mut self, phase: Phase, now_ns: u64) {
        if phase == Phase::Baseline && self.in_baseline() {
            self.begin_again(now_ns);
        }
        self.phases.push((phase, now_ns / 1_000_000));
        if phase == Phase::Heal && self.load_ended_ns.is_none() {
            self.load_ended_ns = Some(now_ns);
        }
    }

    /// The baseline begins, and again where it was disturbed: what came before is checked, and no measure of anything.
    fn begin_again(&mut self, now_ns: u64) {
        self.baseline_ns = Some(now_ns);
        self.open.values_mut().for_each(|open| (open.measured, open.in_baseline) = (false, false));
        self.windows = Windows::default();
        self.latency.reset();
        self.baseline_latency.reset();
        self.pulses.clear();
        self.gaps.clear();
        self.errors.clear();
        self.baseline = Baseline::default();
        self.phases.clear();
    }

    fn in_baseline(&self) -> bool {
        !self.phases.iter().any(|(phase, _)| *phase > Phase::Baseline)
    }

    fn sent(&mut self, id: RecordId, log: LogRef, intended_ns: u64, now_ns: u64) {
        let measured = self.baseline_ns.is_some_and(|baseline_ns| intended_ns >= baseline_ns);
        let in_baseline = measured && self.in_baseline();
        self.open.insert(id, Open { log, intended_ns, measured, in_baseline });
        if self.in_baseline() {
            self.begun.push_back((id, intended_ns));
        }
        if !measured {
            return;
        }
        self.baseline.offered += u64::from(in_baseline);
        self.windows.opened(now_ns);
        let pulse = self
            .pulses
            .entry(log)
            .or_insert(Pulse { last_success_ns: intended_ns, waiting_since_ns: None });
        pulse.waiting_since_ns.get_or_insert(intended_ns);
    }

    fn answered(&mut self, id: RecordId, outcome: Outcome, error: Option<&str>, now_ns: u64) {
        let Some(open) = self.open.remove(&id) else { return };
        while self.begun.pop_front_if(|(begun, _)| !self.open.contains_key(begun)).is_some() {}
        let is_late = now_ns.saturating_sub(open.intended_ns) > self.deadline_ms * 1_000_000;
        let is_miss = is_late || !outcome.is_success();
        if is_miss {
            self.late_ns = now_ns;
        }
        if open.in_baseline && is_miss {
            let miss = Miss { intended_ns: open.intended_ns, answered_ns: Some(now_ns) };
            self.baseline.misses.push(miss);
        }
        self.baseline.in_time += u64::from(open.in_baseline && !is_miss);
        if !open.measured {
            self.acknowledged += u64::from(outcome.is_success());
            return;
        }
        self.windows.closed(now_ns);
        if let Some(error) = error {
            *self.errors.entry(error.to_string()).or_default() += 1;
        }
        let latency_us = now_ns.saturating_sub(open.intended_ns) / 1000;
        let window = self.windows.at(open.intended_ns);
        match outcome {
            Outcome::Fail => window.fail += 1,
            Outcome::Info => window.info += 1,
            Outcome::Ok { .. } | Outcome::Unacknowledged => {
                let acknowledged = matches!(outcome, Outcome::Ok { .. });
                let in_time = latency_us <= self.deadline_ms * 1000;
                window.answered(acknowledged, in_time, latency_us);
                self.acknowledged += 1;
                self.latency.saturating_record(latency_us);
                if self.in_baseline() {
                    self.baseline_latency.saturating_record(latency_us);
                }
                self.success(open.log, now_ns);
            }
        }
    }

    fn success(&mut self, log: LogRef, now_ns: u64) {
        let Some(pulse) = self.pulses.get_mut(&log) else { return };
        let from_ns =
            pulse.last_success_ns.max(pulse.waiting_since_ns.unwrap_or(now_ns).min(now_ns));
        let (from_ms, to_ms) = (from_ns / 1_000_000, now_ns / 1_000_000);
        *pulse = Pulse { last_success_ns: now_ns, waiting_since_ns: None };
        if to_ms.saturating_sub(from_ms) >= OUTAGE_MS_MIN {
            self.gaps.push(Gap { log, from_ms, to_ms });
        }
    }

    /// Closes what is open and counts. `faults` in the order of their planning; `observations` in order of time.
    pub fn finish(mut self, faults: &[FaultRecord], observations: &[Observation]) -> Measured {
        let end_ns = self.load_ended_ns.unwrap_or(self.last_ns);
        for open in std::mem::take(&mut self.open).into_values().filter(|open| open.measured) {
            self.windows.at(open.intended_ns).info += 1;
            if open.in_baseline {
                let intended_ns = open.intended_ns;
                self.baseline.misses.push(Miss { intended_ns, answered_ns: None });
            }
        }
        self.close_gaps(end_ns);
        self.gaps.sort_by_key(|gap| (gap.from_ms, gap.to_ms, gap.log));
        let recoveries = recovery::recoveries(&self, faults, observations, end_ns / 1_000_000);
        let availability = self.availability(faults, &recoveries);
        Measured {
            availability,
            recoveries,
            series: self.windows.series(SERIES_POINTS_MAX, self.phases),
            errors: self.errors,
            duration_ms: self.last_ns / 1_000_000,
            has_baseline: self.baseline.offered > 0,
            windows: self.windows,
        }
    }

    /// A partition that never came back has an outage to the end of the load.
    fn close_gaps(&mut self, end_ns: u64) {
        for (log, pulse) in &self.pulses {
            let Some(waiting_since_ns) = pulse.waiting_since_ns else { continue };
            let (from_ms, to_ms) =
                (pulse.last_success_ns.max(waiting_since_ns) / 1_000_000, end_ns / 1_000_000);
            if to_ms.saturating_sub(from_ms) >= OUTAGE_MS_MIN {
                self.gaps.push(Gap { log: *log, from_ms, to_ms });
            }
        }
    }

    fn availability(&self, faults: &[FaultRecord], recoveries: &[Recovery]) -> Availability {
        let quantile_ms = |q: f64| self.latency.value_at_quantile(q) as f64 / 1000.0;
        let total: Window = self.windows.iter().sum();
        let (mut good, mut all) = (0, 0);
        for second in self.windows.seconds().filter(|w| w.offered() > 0) {
            all += 1;
            good += u64::from(second.is_good());
        }
        let first_fault_ms = faults.iter().filter_map(|f| f.asked_ms).min().unwrap_or(u64::MAX);
        let affected = recovery::affected(faults, recoveries, &self.gaps);
        let outside = |from_ms: u64| {
            !affected.iter().any(|&(from, to)| from_ms + 1000 > from && from_ms < to)
        };
        Availability {
            request: total.success_share(),
            windowed: if all == 0 { 0.0 } else { good as f64 / all as f64 },
            longest_outage_ms: self.gaps.iter().map(|g| g.to_ms - g.from_ms).max().unwrap_or(0),
            total_outage_ms: union_ms(&self.gaps),
            deadline_ms: self.deadline_ms,
            latency_p50_ms: quantile_ms(0.5),
            latency_p99_ms: quantile_ms(0.99),
            latency_p999_ms: quantile_ms(0.999),
            latency_max_ms: self.latency.max() as f64 / 1000.0,
            outside_faults: self
                .windows
                .seconds_at()
                .filter(|(at, _)| outside(*at))
                .map(|(_, w)| w)
                .sum::<Window>()
                .success_share(),
            baseline: self.baseline.share(first_fault_ms, self.deadline_ms),
        }
    }
}

/// Length of the union of all gaps, milliseconds.
fn union_ms(sorted: &[Gap]) -> u64 {
    let (mut total, mut covered_to) = (0, 0);
    for gap in sorted {
        let from = gap.from_ms.max(covered_to);
        total += gap.to_ms.saturating_sub(from);
        covered_to = covered_to.max(gap.to_ms);
    }
    total
}

#[cfg(test)]
mod tests;
