//! Memory never changes an answer, and a spill that fails makes it unknown.

use super::any::any_event;
use super::clean::clean_histories;
use super::history::*;
use super::reference::{any_damage, plant};
use crate::{Checker, Options, Report, Spill, SpillError};
use model::finding::CheckVerdict;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in memory, as a file would have them, and the operations until it fails.
struct MemorySpill {
    bytes: Vec<u8>,
    operations: usize,
    ending: Ending,
}

/// What it does once its operations are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    None,
    Error,
    OtherBytes,
}

impl MemorySpill {
    fn is_over(&mut self) -> bool {
        let over = self.operations == 0;
        self.operations = self.operations.saturating_sub(1);
        over
    }
}

impl Spill for MemorySpill {
    fn write(&mut self, position: u64, bytes: &[u8]) -> Result<(), SpillError> {
        if self.is_over() && self.ending == Ending::Error {
            return Err(SpillError("the disk is gone".into()));
        }
        let end = position as usize + bytes.len();
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[position as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, position: u64, into: &mut [u8]) -> Result<(), SpillError> {
        let over = self.is_over();
        if over && self.ending == Ending::Error {
            return Err(SpillError("the disk is gone".into()));
        }
        into.copy_from_slice(&self.bytes[position as usize..][..into.len()]);
        if over && self.ending == Ending::OtherBytes {
            into[0] ^= 1;
        }
        Ok(())
    }
}

fn spilling(memory_bytes_max: u64, operations: usize, ending: Ending) -> Checker {
    let options = Options { memory_bytes_max, ..Options::default() };
    let spill = MemorySpill { bytes: Vec::new(), operations, ending };
    Checker::with_spill(options, Box::new(spill))
}

fn json(report: &Report) -> String {
    serde_json::to_string(report).expect("a report has only text keys")
}

/// The answer is the same, or every check is unknown with the reason.
fn same_or_unknown(report: &Report, wanted: &Report) -> bool {
    let unknown = |check: &model::finding::Check| {
        check.verdict == CheckVerdict::Unknown
            && check.count == 0
            && check.findings.is_empty()
            && check.because.as_ref().is_some_and(|because| because.contains("spilled"))
    };
    json(report) == json(wanted)
        || report.checks.iter().all(unknown) && !report.facts.final_reads_complete
}

/// Histories of every sort: clean ones, with damage, and such as no run writes.
fn any_history() -> impl Strategy<Value = History> {
    let damaged = (clean_histories(), prop::collection::vec(any_damage(), 0..4));
    let damaged = damaged.prop_map(|(mut history, damage)| {
        damage.iter().for_each(|damage| plant(&mut history, damage));
        history
    });
    let senseless = (prop::collection::vec(any_event(), 0..80), any::<bool>());
    let senseless = senseless.prop_map(|(events, cut)| {
        let mut history = History::new().live();
        history.events.extend(events);
        History { cut, ..history }
    });
    prop_oneof![damaged, senseless]
}

/// Memory for nothing but one open page of each kind, for a few, or for all.
fn any_budget() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(0), 2 => 0..4000u64, 1 => 0..200_000u64]
}

fn long_history() -> History {
    let mut history = History::new().live();
    for from in (0..20_000).step_by(100) {
        history = history.written(from..from + 100);
        let records: Vec<(i64, u64)> = (from..from + 100).map(|at| (at as i64, at)).collect();
        history = history.polled(LIVE, &records);
    }
    let all: Vec<(i64, u64)> = (0..20_000).map(|at| (at as i64, at)).collect();
    history.finally(20_000, &all)
}

#[test]
fn a_checker_may_go_to_another_thread() {
    fn goes<T: Send>(_: T) {}
    goes(spilling(0, 0, Ending::None));
}

/// Each sequence is on a page of its own.
#[test]
fn far_sequences_and_offsets_cost_little() {
    let sequences = (0..2000u64).map(|number| number * 1_000_003);
    let mut history = History::new();
    for sequence in sequences.clone() {
        history = history.send(sequence).ok(sequence, 1_000_000_000_000 + sequence as i64);
    }
    let all: Vec<(i64, u64)> =
        sequences.map(|sequence| (1_000_000_000_000 + sequence as i64, sequence)).collect();
    let history = history.finally(1_000_000_000_000 + 2_000_000_000, &all);
    let bytes = Arc::new(AtomicUsize::new(0));
    let spill = Counted(bytes.clone());
    let options = Options { memory_bytes_max: 1 << 20, ..Options::default() };
    all_valid(&history.check_by(Checker::with_spill(options, Box::new(spill))));
    assert_eq!(bytes.load(Ordering::Relaxed), 0, "one MiB is enough");
}

/// Counts what it is given.
struct Counted(Arc<AtomicUsize>);

impl Spill for Counted {
    fn write(&mut self, _: u64, bytes: &[u8]) -> Result<(), SpillError> {
        self.0.fetch_add(bytes.len(), Ordering::Relaxed);
        Ok(())
    }

    fn read(&mut self, _: u64, _: &mut [u8]) -> Result<(), SpillError> {
        Err(SpillError("it only counts".into()))
    }
}

#[test]
fn a_long_history_fits_little_memory() {
    let history = long_history();
    let wanted = history.check();
    all_valid(&wanted);
    for memory_bytes_max in [0, 20_000, 60_000] {
        let report = history.check_by(spilling(memory_bytes_max, usize::MAX, Ending::None));
        assert_eq!(json(&report), json(&wanted));
    }
}

#[test]
fn a_lost_disk_is_an_answer() {
    let report = long_history().check_by(spilling(0, 40, Ending::Error));
    for check in &report.checks {
        assert_eq!(check.verdict, CheckVerdict::Unknown);
        let because = check.because.as_deref().unwrap_or_default();
        assert!(because.contains("spilled") && because.contains("the disk is gone"), "{because}");
    }
    assert!(report.facts.final_reads.contains("the disk is gone"), "{}", report.facts.final_reads);
    assert!(report.warnings.iter().any(|warning| warning.contains("the disk is gone")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_budget_changes_an_answer(history in any_history(), memory in any_budget()) {
        let report = history.check_by(spilling(memory, usize::MAX, Ending::None));
        prop_assert_eq!(json(&report), json(&history.check()));
        let packed = Options { memory_bytes_max: memory, ..Options::default() };
        let report = history.check_by(Checker::new(packed));
        prop_assert_eq!(json(&report), json(&history.check()));
    }

    #[test]
    fn a_spill_that_fails_never_gives_another_answer(
        history in any_history(),
        operations in 0..200usize,
        ending in prop_oneof![Just(Ending::Error), Just(Ending::OtherBytes)],
    ) {
        let report = history.check_by(spilling(0, operations, ending));
        let wanted = history.check();
        prop_assert!(same_or_unknown(&report, &wanted), "{}\n{}", json(&report), json(&wanted));
    }
}
