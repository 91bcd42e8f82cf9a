//! The promise, as one reads it, and numbers and times as people read them.

use super::Inputs;
use model::settings::{Acks, TopicSettings};
use std::collections::BTreeSet;

/// `1,204`
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.345 s`
pub(super) fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}

/// What these settings promise of acknowledged writes.
pub(super) fn durability(inputs: &Inputs) -> String {
    let settings: Vec<&TopicSettings> = inputs
        .facts
        .topics
        .iter()
        .flat_map(|topic| topic.settings.iter().map(|(_, settings)| settings))
        .collect();
    let acks: BTreeSet<Acks> =
        inputs.facts.producers.iter().map(|producer| producer.settings.acks).collect();
    let sentences: Vec<String> = acks
        .into_iter()
        .map(|acks| match acks {
            Acks::None => "acks=0 promises nothing".to_string(),
            Acks::Leader => "acks=1: an acknowledged write survives as long as its leader keeps its log and leadership does not move".to_string(),
            Acks::All => all(&settings),
        })
        .collect();
    if sentences.is_empty() {
        "nothing was sent, so nothing was promised".into()
    } else {
        sentences.join("; ")
    }
}

fn all(settings: &[&TopicSettings]) -> String {
    let weakest = settings.iter().min_by_key(|s| s.min_insync_replicas.min(s.replication_factor));
    let Some(weakest) = weakest else {
        return "acks=all: an acknowledged write survives any number of kills and stalls".into();
    };
    let (factor, minimum) = (weakest.replication_factor, weakest.min_insync_replicas);
    let destroyed = match minimum.min(factor) {
        0 | 1 => "but not the loss of the last in-sync copy".to_string(),
        2 => "and the destruction of any one copy that had acknowledged it".to_string(),
        more => format!("and the destruction of any {} copies that had acknowledged it", more - 1),
    };
    let above = if minimum > factor {
        " (min.insync.replicas above the replication factor counts as the factor)"
    } else {
        ""
    };
    let elections = if settings.iter().any(|s| s.unclean_leader_election) {
        "until an unclean election happens, which the settings allow"
    } else {
        "under clean elections"
    };
    format!(
        "acks=all with replication factor {factor} and min.insync.replicas {minimum}{above}: an acknowledged write survives any number of kills, stalls and cuts {destroyed}, {elections}"
    )
}
