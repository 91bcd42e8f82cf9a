//! What each fault cost, and when it was over.

use super::{Gap, Measure};
use model::cluster::{Observation, PartitionState};
use model::fault::FaultRecord;
use model::verdict::Recovery;
use std::collections::BTreeMap;

/// A fault has recovered when the first of this many good seconds in a row begins.
const GOOD_SECONDS: usize = 10;

/// One entry for each fault that was asked for.
pub fn recoveries(
    measure: &Measure,
    faults: &[FaultRecord],
    observations: &[Observation],
    end_ms: u64,
) -> Vec<Recovery> {
    let asked: Vec<(&FaultRecord, u64)> =
        faults.iter().filter_map(|f| f.asked_ms.map(|at| (f, at))).collect();
    let good: Vec<bool> = measure.windows.seconds().map(|second| second.is_good()).collect();
    let of_one = |(fault, at_ms): &(&FaultRecord, u64)| {
        let next_ms = asked
            .iter()
            .map(|(_, at)| *at)
            .filter(|at| at > at_ms)
            .min()
            .unwrap_or(end_ms)
            .max(*at_ms);
        one(measure, fault, *at_ms, next_ms, end_ms, &good, observations)
    };
    asked.iter().map(of_one).collect()
}

fn one(
    measure: &Measure,
    fault: &FaultRecord,
    at_ms: u64,
    next_ms: u64,
    end_ms: u64,
    good: &[bool],
    observations: &[Observation],
) -> Recovery {
    // What is late after the fault was over and its grace has passed is somebody else's: a gap begins with the last
    // success before it, so the next fault's may well begin before that fault was asked for.
    let over_ms = fault.cleared_ms.or(fault.healed_ms).unwrap_or(next_ms).saturating_add(1000);
    let until_ms = over_ms.min(next_ms);
    // The gaps that the fault began: those that were open when it struck, or opened while it was still its turn.
    let caused = || {
        measure
            .gaps
            .iter()
            .filter(|gap| gap.to_ms > at_ms && gap.from_ms < until_ms && gap.from_ms + 1000 > at_ms)
    };
    let hit = |gap: &&Gap| gap.from_ms <= fault.confirmed_ms.unwrap_or(at_ms) + 1000;
    let detection_ms = measure.windows.first_bad_ms(at_ms, over_ms.min(next_ms.saturating_sub(1)));
    let recovery_time_ms =
        recovered_at(good, at_ms, next_ms, end_ms).map(|at| at.saturating_sub(at_ms));
    Recovery {
        fault: fault.id,
        detection_ms: detection_ms.map(|at| at - at_ms),
        first_success_ms: caused().filter(hit).map(|gap| gap.to_ms - at_ms).max(),
        recovery_time_ms,
        full_isr_ms: full_isr_at(observations, at_ms, next_ms).map(|at| at - at_ms),
        pause_ms: caused().map(|gap| gap.to_ms - gap.from_ms.max(at_ms)).max().unwrap_or(0),
        in_flight: measure.windows.open_at(fault.confirmed_ms.unwrap_or(at_ms)),
        bad_sends: measure.windows.bad_sends(at_ms, next_ms),
    }
}

/// Start of the first ten good seconds after `at_ms`. `None` where the next fault came first: then nobody knows.
fn recovered_at(good: &[bool], at_ms: u64, next_ms: u64, end_ms: u64) -> Option<u64> {
    let (first, last) = ((at_ms / 1000) as usize, (next_ms.min(end_ms) / 1000) as usize);
    // Where no send was due nothing is known: a load that could not keep up with its schedule ends before the clock does.
    let start = (first..last).find(|&second| {
        let stretch = good.get(second..second + GOOD_SECONDS);
        second + GOOD_SECONDS <= last && stretch.is_some_and(|good| good.iter().all(|good| *good))
    })?;
    Some((start as u64 * 1000).max(at_ms))
}

/// When, after some ISR had been less than its replicas, all were whole again.
fn full_isr_at(observations: &[Observation], at_ms: u64, until_ms: u64) -> Option<u64> {
    let mut states: BTreeMap<(&str, u32), &PartitionState> = BTreeMap::new();
    let mut shrunk = false;
    for observation in observations {
        let Observation::Partition(state) = observation else { continue };
        if state.at_ms > until_ms {
            return None;
        }
        states.insert((&state.topic, state.partition), state);
        if state.at_ms < at_ms {
            continue;
        }
        let full = states.values().all(|s| s.isr.len() == s.replicas.len());
        shrunk |= !full;
        if shrunk && full {
            return Some(state.at_ms);
        }
    }
    None
}

/// The stretches in which a fault was asked, held, or being recovered from: outside of them a cluster has no excuse.
pub fn affected(faults: &[FaultRecord], recoveries: &[Recovery], gaps: &[Gap]) -> Vec<(u64, u64)> {
    let of_fault = |fault: &FaultRecord| {
        let from = fault.asked_ms?;
        let healed = fault.cleared_ms.or(fault.healed_ms).or(fault.confirmed_ms).unwrap_or(from);
        let recovery = recoveries.iter().find(|r| r.fault == fault.id);
        let paused_to = gaps
            .iter()
            .filter(|g| g.to_ms > from && g.from_ms < healed + 1000)
            .map(|g| g.to_ms)
            .max()
            .unwrap_or(0);
        let isr = recovery.and_then(|r| r.full_isr_ms).map_or(0, |ms| from + ms);
        Some((from, healed.max(paused_to).max(isr) + 1000))
    };
    faults.iter().filter_map(of_fault).collect()
}
