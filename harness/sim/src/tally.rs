//! Adds schedules up.
//!
//! Promises: the order in which outcomes are added changes nothing, so that schedules may run side by side.

use crate::run::Outcome;
use serde::Serialize;
use std::collections::BTreeMap;

/// One failed schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failed {
    pub seed: u64,
    pub check: String,
    /// Simulated seconds since the world began.
    pub at_s: f64,
    pub message: String,
}

#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub schedules: u64,
    pub simulated_ns: u64,
    pub steps: u64,
    pub acknowledged: u64,
    /// By seed.
    pub failed: BTreeMap<u64, Failed>,
    pub states: BTreeMap<&'static str, u64>,
    /// Of all schedules with their seeds.
    pub trace_hash: u64,
}

impl Tally {
    pub fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.schedules += 1;
        self.simulated_ns += outcome.simulated_ns;
        self.steps += outcome.steps;
        self.acknowledged += outcome.acknowledged;
        for (state, count) in &outcome.states {
            *self.states.entry(state).or_default() += count;
        }
        // A sum does not mind the order; the seed makes equal traces of different seeds count.
        let mixed = (outcome.trace_hash ^ seed.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.trace_hash = self.trace_hash.wrapping_add(mixed);
        if let Some(failure) = &outcome.failure {
            let failed = Failed {
                seed,
                check: failure.check.clone(),
                at_s: (failure.at_ns / 1_000_000) as f64 / 1000.0,
                message: failure.message.clone(),
            };
            self.failed.insert(seed, failed);
        }
    }

    /// States of the list that no schedule came through.
    pub fn unreached(&self) -> Vec<&'static str> {
        let all = crate::coverage::STATES.iter().map(|(state, _)| *state);
        all.filter(|state| !self.states.contains_key(state)).collect()
    }
}
