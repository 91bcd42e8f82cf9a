//! Whether the cluster came back once nothing was broken any more.

use super::Inputs;
use super::durability::withdrawn;
use super::sentence::number;
use model::cluster::Observation;
use model::facts::LogFacts;
use model::finding::Kind;
use model::verdict::{Promise, Word};

pub(super) fn liveness(inputs: &Inputs) -> Promise {
    let liveness = inputs.liveness;
    let never = &liveness.never_recovered;
    let stuck = inputs.count(Kind::Stuck);
    let (verdict, because) = if let Some(finding) = inputs.findings(Kind::Stuck).next() {
        (Word::Broken, format!("Found {} stuck. {}", number(stuck), finding.because))
    } else if !never.is_empty() {
        let waiting: Option<Vec<String>> =
            never.iter().map(|one| waits_for_an_operator(one, inputs)).collect();
        let shown = never.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
        let more = never.len().saturating_sub(3);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        match waiting.as_deref() {
            Some([why, ..]) => (
                Word::NotPromised,
                format!(
                    "never-recovered: {shown}{more}. With unclean.leader.election.enable = false nobody may lead them until an \
                     operator says so: {why}."
                ),
            ),
            _ => (Word::Broken, format!("never-recovered: {shown}{more}.")),
        }
    } else if !liveness.measured {
        (Word::Unknown, "Nobody looked whether the cluster recovered.".to_string())
    } else {
        (
            Word::Held,
            "Every log was led and fully replicated again, and read to its end.".to_string(),
        )
    };
    Promise {
        name: "liveness".into(),
        verdict,
        promised: format!(
            "within {} s after everything is healed, every log has a leader and a full ISR and can be read, and its readers get on",
            liveness.deadline_ms.div_ceil(1000)
        ),
        because,
        count: never.len() as u64 + stuck,
    }
}

/// Why a log that never recovered has no leader and may have none: every copy that could lead it was destroyed, and who
/// lacks records may not. `None`: it may, or it is led and lacks something else.
fn waits_for_an_operator(never: &str, inputs: &Inputs) -> Option<String> {
    let name = |log: &LogFacts| format!("{}-{}: ", log.topic, log.log.partition);
    let log = inputs.facts.logs.iter().find(|log| never.starts_with(&name(log)))?;
    let topic = inputs.facts.topics.iter().find(|topic| topic.topic == log.log.topic)?;
    let is_unclean = topic.settings.last().is_none_or(|(_, set)| set.unclean_leader_election);
    let leader = inputs.cluster.iter().rev().find_map(|seen| match seen {
        Observation::Partition(state) => (state.topic == log.topic
            && state.partition == log.log.partition)
            .then_some(state.leader),
        _ => None,
    })?;
    if is_unclean || leader >= 0 {
        return None;
    }
    withdrawn(log, inputs)
}
