//! What is promised of the replicas of one log.

use super::Inputs;
use model::replicas::ReplicaDifference;
use model::verdict::{Promise, Word};

/// The fault that changes what a replica holds without anybody's noticing: nobody brings such a copy back by itself.
const FLIPPED: &str = "bit-flip";

/// `None`: nobody looked.
pub(super) fn promise(inputs: &Inputs) -> Option<Promise> {
    let report = inputs.replicas.filter(|report| !report.logs.is_empty())?;
    let differences = || report.logs.iter().flat_map(|log| &log.differences);
    let was_flipped = |one: &ReplicaDifference| {
        let flips = inputs.faults.iter().filter(|fault| fault.name == FLIPPED);
        flips.flat_map(|fault| &fault.nodes).any(|node| one.nodes.contains(node))
    };
    let count: u64 = differences().map(|one| one.offsets).sum();
    let not_compared = report.logs.iter().find_map(|log| {
        let why = log.not_compared.as_ref()?;
        Some(format!("{}: {why}", log.name()))
    });
    let (verdict, because) = match (differences().find(|one| !was_flipped(one)), not_compared) {
        (Some(one), _) => (
            Word::Broken,
            format!("Replicas that were in sync differ at {count} offsets: {}.", one.what),
        ),
        (None, _) if count > 0 => (
            Word::NotPromised,
            format!("Replicas differ at {count} offsets, on disks whose bits were flipped."),
        ),
        (None, Some(why)) => (Word::Unknown, format!("Not all replicas were compared: {why}.")),
        (None, None) => (Word::Held, "Found no replica that differs from its leader's.".into()),
    };
    let promised = "below the high watermark, replicas in sync hold the same, byte for byte";
    Some(Promise { name: "replicas".into(), verdict, promised: promised.into(), because, count })
}
