//! Holds what a checker found against what was promised: the settings in force, and the losses really inflicted.
//!
//! Promises: pure and total; every word comes with a sentence that says why. A proof of breakage is never outweighed
//! by a failed probe. Absent on purpose: the history itself. Only the checker reads that, and only the judge reads
//! faults.

mod durability;
mod groups;
mod liveness;
mod parts;
mod replicas;
mod sentence;
#[cfg(test)]
mod tests;
mod timeline;
mod transactions;

use model::cluster::Observation;
use model::facts::HistoryFacts;
use model::fault::FaultRecord;
use model::finding::{Check, Counts};
use model::replicas::ReplicaReport;
use model::verdict::{Promise, Word};
use std::collections::BTreeMap;

/// What the run was seen to do after everything was healed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Liveness {
    /// Whether anybody looked.
    pub measured: bool,
    /// Logs (`topic-partition`) that had no leader or no full ISR again within `deadline_ms`, each with why.
    pub never_recovered: Vec<String>,
    /// How long after healing a log was given.
    pub deadline_ms: u64,
}

/// Everything that a verdict rests on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub checks: &'a [Check],
    pub counts: &'a Counts,
    /// Topics with their settings over time, producers, logs, and whether the final reads are complete.
    pub facts: &'a HistoryFacts,
    /// Every fault in its last state.
    pub faults: &'a [FaultRecord],
    /// What the replicas' own files hold, where somebody looked.
    pub replicas: Option<&'a ReplicaReport>,
    pub cluster: &'a [Observation],
    /// Broker ids by node name (`n1` → 1), for the nodes that are brokers.
    pub brokers: &'a BTreeMap<String, i32>,
    /// Share of the sends before the first fault that were acknowledged within the deadline, 0 to 1; `None`: not measured.
    pub baseline: Option<f64>,
    pub liveness: &'a Liveness,
    /// Why the run did not go through to its end, if it did not.
    pub interrupted: Option<&'a str>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub promises: Vec<Promise>,
    pub word: Word,
    /// Why, in a sentence.
    pub because: String,
    /// The whole promise, in a sentence.
    pub promise: String,
}

/// Judges a run.
///
/// Broken outweighs unknown, unknown outweighs the rest. Without either, the run's word is durability's: that nothing
/// was damaged must not make "held" of a run whose losses nobody had promised to prevent.
pub fn judge(inputs: Inputs<'_>) -> Judgement {
    let promise = sentence::durability(&inputs);
    let mut promises = vec![
        durability::promise(&inputs, promise.clone()),
        parts::integrity(&inputs),
        parts::agreement(&inputs),
    ];
    promises.extend(replicas::promise(&inputs));
    promises.extend([
        transactions::isolation(&inputs),
        parts::idempotence(&inputs),
        parts::order(&inputs),
        parts::reading(&inputs),
    ]);
    promises.extend(transactions::atomicity(&inputs));
    promises.extend(groups::processing(&inputs));
    promises.extend(groups::commits(&inputs));
    promises.push(liveness::liveness(&inputs));
    promises.push(parts::real_test(&inputs));
    let durability = promises[0].verdict;
    let word = promises
        .iter()
        .map(|promise| promise.verdict)
        .filter(|word| matches!(word, Word::Broken | Word::Unknown))
        .max()
        .unwrap_or(durability);
    let deciding: Vec<&Promise> = promises.iter().filter(|one| one.verdict == word).collect();
    // A run that tested nothing is unknown for that reason first.
    let first = match word {
        Word::Unknown => deciding.iter().find(|one| one.name == "real-test"),
        _ => None,
    };
    let first = first.or(deciding.first());
    let because = first.map_or_else(String::new, |one| match word {
        Word::Held | Word::NotPromised => one.because.clone(),
        Word::Broken | Word::Unknown => format!("{}: {}", one.name, one.because),
    });
    Judgement { promises, word, because, promise }
}
