//! What happened, as a person would tell it: one line for each event that matters, in order.
//!
//! Promises: faults, processes that start and end, changes of leaders and ISRs, what nodes say, findings and the failure;
//! nothing else, and nothing twice. Times are simulated milliseconds since the world began. Not here: why.

use crate::run::Outcome;
use model::cluster::Observation;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A line is not told again within this time of having been said.
const REPEATED_MS: u64 = 2_000;

/// The story of an outcome that was run with `story`.
pub fn tell(outcome: &Outcome) -> String {
    let mut told: Vec<(u64, String)> = Vec::new();
    for line in &outcome.lines {
        let who = if line.host == 0 { String::new() } else { format!("n{}: ", line.host) };
        told.push((line.at_ns / 1_000_000, format!("{who}{}", line.text)));
    }
    told.extend(outcome.observations.iter().filter_map(|seen| Some((at_ms(seen)?, words(seen)?))));
    // Without the final reads nobody knows what is missing.
    let checks = outcome.judgement.iter().flat_map(|_| &outcome.checks);
    for check in checks {
        for finding in &check.findings {
            let when = finding.evidence.iter().map(|evidence| evidence.at_ms).max();
            let at_ms = when.or(finding.last_ack_ms).unwrap_or(0);
            told.push((at_ms, format!("{}: {}", check.name, finding.because)));
        }
    }
    told.sort_by_key(|(at_ms, _)| *at_ms);
    let mut text = String::new();
    // Whoever tries again and again says so again and again.
    let mut last_told: BTreeMap<String, u64> = BTreeMap::new();
    for (at_ms, line) in told {
        let before_ms = last_told.insert(line.clone(), at_ms);
        if before_ms.is_none_or(|before_ms| at_ms - before_ms > REPEATED_MS) {
            let _ = writeln!(text, "{at_ms:>7} ms  {line}");
        }
    }
    if let Some(failure) = &outcome.failure {
        let at_ms = failure.at_ns / 1_000_000;
        let _ = writeln!(text, "{at_ms:>7} ms  FAILED {}: {}", failure.check, failure.message);
    }
    text
}

fn at_ms(seen: &Observation) -> Option<u64> {
    match seen {
        Observation::Partition(state) => Some(state.at_ms),
        Observation::Quorum { at_ms, .. } => Some(*at_ms),
        _ => None,
    }
}

fn words(seen: &Observation) -> Option<String> {
    match seen {
        Observation::Partition(state) => {
            let leader = match state.leader {
                leader if leader < 0 => "has no leader".to_owned(),
                leader => format!("is led by n{leader} in epoch {}", state.leader_epoch),
            };
            let elr =
                if state.elr.is_empty() { String::new() } else { format!(", ELR {:?}", state.elr) };
            Some(format!("{}-{} {leader}, ISR {:?}{elr}", state.topic, state.partition, state.isr))
        }
        Observation::Quorum { leader: Some(leader), epoch, .. } => {
            Some(format!("n{leader} is the active controller in epoch {epoch}"))
        }
        _ => None,
    }
}
