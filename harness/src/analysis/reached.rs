//! Was it a real test? The states that a run came through, and those that it never reached, as counts.

use crate::measure::Measured;
use checker::Report;
use model::cluster::{Observation, PartitionState};
use model::fault::FaultRecord;
use model::verdict::Reached;
use std::collections::BTreeMap;

pub fn reached(
    report: &Report,
    measured: &Measured,
    faults: &[FaultRecord],
    observations: &[Observation],
) -> Vec<Reached> {
    let min_insync = report
        .facts
        .topics
        .first()
        .and_then(|t| t.settings.first())
        .map_or(1, |(_, s)| s.min_insync_replicas);
    let mut partitions = Partitions::default();
    let mut controllers = 0;
    let mut controller = None;
    for observation in observations {
        match observation {
            Observation::Partition(state) => {
                partitions.see(state, usize::from(min_insync), measured)
            }
            Observation::Quorum { leader: Some(leader), .. } => {
                controllers += u64::from(controller.is_some_and(|before| before != *leader));
                controller = Some(*leader);
            }
            _ => {}
        }
    }
    let in_flight =
        |fault: &&FaultRecord| fault.confirmed_ms.is_some_and(|at| measured.in_flight_at(at) > 0);
    let count = |state: &str, count: u64| Reached { state: state.to_string(), count };
    vec![
        count(
            "a fault was confirmed with sends in flight",
            faults.iter().filter(in_flight).count() as u64,
        ),
        count("an election happened with sends in flight", partitions.elections_in_flight),
        count("a partition's leader changed", partitions.elections),
        count("the active controller changed", controllers),
        count("an ISR shrank", partitions.shrinks),
        count("an ISR grew back", partitions.expands),
        count("an ISR fell below min.insync.replicas", partitions.below_min_insync),
        count("a partition had no leader", partitions.leaderless),
        count("a send was indeterminate", report.counts.info),
        count("a producer session was replaced", replaced_sessions(report)),
    ]
}

#[derive(Default)]
struct Partitions {
    states: BTreeMap<(String, u32), PartitionState>,
    elections: u64,
    elections_in_flight: u64,
    shrinks: u64,
    expands: u64,
    below_min_insync: u64,
    leaderless: u64,
}

impl Partitions {
    fn see(&mut self, state: &PartitionState, min_insync: usize, measured: &Measured) {
        let key = (state.topic.clone(), state.partition);
        if let Some(before) = self.states.insert(key, state.clone()) {
            if before.leader != state.leader && state.leader >= 0 {
                self.elections += 1;
                self.elections_in_flight += u64::from(measured.in_flight_at(state.at_ms) > 0);
            }
            self.leaderless += u64::from(before.leader >= 0 && state.leader < 0);
            self.shrinks += u64::from(state.isr.len() < before.isr.len());
            self.expands += u64::from(state.isr.len() > before.isr.len());
            self.below_min_insync +=
                u64::from(before.isr.len() >= min_insync && state.isr.len() < min_insync);
        }
    }
}

/// Sessions beyond the first of each producer's name.
fn replaced_sessions(report: &Report) -> u64 {
    let names: std::collections::BTreeSet<&str> =
        report.facts.producers.iter().map(|p| p.name.as_str()).collect();
    (report.facts.producers.len() - names.len()) as u64
}
