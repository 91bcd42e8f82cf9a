//! Every part of the promise but durability.

use super::Inputs;
use super::durability::{Covered, acknowledged, covered, withdrawn};
use super::sentence::number;
use model::facts::ProducerFacts;
use model::fault::{FaultRecord, FaultState};
use model::finding::{Finding, Kind};
use model::history::Session;
use model::settings::{Acks, ProducerSettings};
use model::verdict::{Promise, Word};

/// Below this share of sends in time, a baseline was no ground for a test.
const BASELINE_MIN: f64 = 0.999;

/// Whether a finding breaks a promise, lies outside it (why), or cannot be told (why).
pub(super) enum Weight {
    Broken,
    Outside(String),
    Unknown(String),
}

/// Weighs every finding of some kinds and makes a part of it.
pub(super) fn part(
    name: &str,
    promised: &str,
    kinds: &[Kind],
    inputs: &Inputs,
    weigh: impl Fn(&Finding) -> Weight,
) -> Promise {
    let (mut broken, mut outside, mut unknown) = (0, 0, 0);
    let (mut example, mut why_outside, mut why_unknown) = (None, None, None);
    for finding in kinds.iter().flat_map(|kind| inputs.findings(*kind)) {
        match weigh(finding) {
            Weight::Broken => {
                broken += finding.count;
                example.get_or_insert_with(|| finding.because.clone());
            }
            Weight::Outside(why) => {
                outside += finding.count;
                why_outside.get_or_insert(why);
            }
            Weight::Unknown(why) => {
                unknown += finding.count;
                why_unknown.get_or_insert(why);
            }
        }
    }
    let counted: u64 = kinds.iter().map(|kind| inputs.count(*kind)).sum();
    let untold = counted.saturating_sub(broken + outside + unknown);
    let found = || {
        let each = kinds.iter().filter(|kind| inputs.count(**kind) > 0);
        let each = each.map(|kind| format!("{} {}", number(inputs.count(*kind)), kind.as_str()));
        each.collect::<Vec<_>>().join(", ")
    };
    let (verdict, because) = if let Some(example) = example {
        (Word::Broken, format!("Found {}. {example}", found()))
    } else if let Some(why) = why_unknown {
        (
            Word::Unknown,
            format!(
                "Found {}, and it cannot be told whether that breaks the promise: {why}.",
                found()
            ),
        )
    } else if untold > 0 {
        (Word::Unknown, format!("Found {}, too many to weigh each.", found()))
    } else if let Some(because) = inputs.cannot_look(kinds) {
        (Word::Unknown, because)
    } else if let Some(why) = why_outside {
        (Word::NotPromised, format!("Found {}, and the promise did not cover it: {why}.", found()))
    } else {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        (Word::Held, format!("Found no {}.", names.join(", no ")))
    };
    let count = counted;
    Promise { name: name.into(), verdict, promised: promised.into(), because, count }
}

/// Broken, but on a log whose durability promise was lifted.
pub(super) fn unless_withdrawn(finding: &Finding, inputs: &Inputs) -> Weight {
    let log = inputs.facts.logs.iter().find(|log| log.log == finding.log);
    match log.and_then(|log| withdrawn(log, inputs)) {
        Some(why) => Weight::Outside(why),
        None => Weight::Broken,
    }
}

fn producer<'a>(finding: &Finding, inputs: &Inputs<'a>) -> Option<&'a ProducerFacts> {
    let session: Session = finding.ids.first()?.session;
    inputs.facts.producers.iter().find(|known| known.session == session)
}

pub(super) fn integrity(inputs: &Inputs) -> Promise {
    part(
        "integrity",
        "what is read is what was sent, whatever was done: nothing damaged, nothing that nobody sent",
        &[Kind::Corrupted, Kind::Phantom],
        inputs,
        |_| Weight::Broken,
    )
}

/// A part that holds for some producers only.
fn for_producers(
    name: &str,
    promised: (&str, &str),
    kind: Kind,
    inputs: &Inputs,
    has_it: impl Fn(&ProducerSettings, Option<&Finding>) -> bool,
) -> Promise {
    let (with, without) = promised;
    let any = inputs.facts.producers.iter().any(|producer| has_it(&producer.settings, None));
    let weigh = |finding: &Finding| {
        match producer(finding, inputs) {
        Some(of) if has_it(&of.settings, Some(finding)) && finding.outcome.as_deref() == Some("new epoch") => {
            Weight::Outside(
                "the client's library had begun a new epoch of its producer in between, and what it sends again under that is new to \
                 the broker (KIP-98 promises for one epoch; librdkafka's issue 4953)"
                    .into(),
            )
        }
        // A log that lost records has forgotten their producers with them, and takes what is sent again for new.
        Some(of) if has_it(&of.settings, Some(finding)) => match as_a_loss(finding, inputs) {
            Weight::Broken if begins_anew(of, finding) => Weight::Unknown(
                "the client library had given up a send for its age, begins a new epoch then, and what it sends again in that \
                 is new to the broker (KIP-98 promises for one epoch); whose doing it was stands in the segments alone"
                    .into(),
            ),
            weight => weight,
        },
        Some(_) => Weight::Outside(without.into()),
        None => Weight::Unknown("the history does not say how they were sent".into()),
    }
    };
    let mut promise = part(name, if any { with } else { without }, &[kind], inputs, weigh);
    if !any && promise.verdict == Word::Held {
        promise.verdict = Word::NotPromised;
        promise.because = format!("{} Nothing was promised.", promise.because);
    }
    promise
}

/// The producer may have begun a new epoch before the records of the finding were all answered: until then the library may
/// send them again.
fn begins_anew(of: &ProducerFacts, finding: &Finding) -> bool {
    let of_client = finding.evidence.iter().filter(|step| step.what != "polled");
    let last_ms = of_client.map(|step| step.at_ms).chain(finding.last_ack_ms).max();
    of.timed_out_ms.is_some_and(|timed_out_ms| last_ms.is_none_or(|last| timed_out_ms <= last))
}

pub(super) fn idempotence(inputs: &Inputs) -> Promise {
    for_producers(
        "idempotence",
        (
            "with idempotence, no record is in a log twice",
            "without idempotence a record may be written twice, even with no retries: a client sends again what a \
             leader that was replaced had appended and answered with NOT_LEADER_OR_FOLLOWER",
        ),
        Kind::Duplicate,
        inputs,
        // Not for `retries == 0` alone: librdkafka counts no retry for an answer that only tells it to look for the
        // leader again (rd_kafka_handle_Produce_error), and Kafka gives that answer to a produce it has appended when
        // leadership moves before the ISR has it (DelayedProduce).
        |settings, _| settings.idempotence,
    )
}

pub(super) fn order(inputs: &Inputs) -> Promise {
    for_producers(
        "order",
        (
            "with idempotence, or with one acknowledged request in flight and no retries, a session's records stand in the order of sending",
            "without idempotence, retries, several requests in flight, no acknowledgements, or a request that arrives after it was given up may change the order",
        ),
        Kind::Reordered,
        inputs,
        |settings, finding| {
            // Given up, its connection closed, and still in the socket of a broker that had stood still: the next one may
            // have gone ahead of it on another connection.
            let given_up = finding.is_some_and(|found| found.outcome.as_deref() == Some("info"));
            // With acks=0 none is ever in flight: whatever was sent on a connection that broke may arrive behind the next.
            let one_by_one = settings.in_flight_requests_max == 1
                && settings.retries == 0
                && settings.acks != Acks::None;
            settings.idempotence || (one_by_one && !given_up)
        },
    )
}

/// Two readers of one offset.
pub(super) fn agreement(inputs: &Inputs) -> Promise {
    part(
        "agreement",
        "every reader, and every acknowledgement, says the same of one offset",
        &[Kind::InconsistentOffsets],
        inputs,
        |finding| {
            match finding.outcome.as_deref() {
                // Overwritten after a truncation, perhaps: then it is a loss, and follows its promise. So is the loss of the
                // acknowledged copy of a record that was written once more.
                Some("overwritten" | "ok") => as_a_loss(finding, inputs),
                _ => Weight::Broken,
            }
        },
    )
}

/// What became of these records where they stood follows the promise of durability.
fn as_a_loss(finding: &Finding, inputs: &Inputs) -> Weight {
    let log = inputs.facts.logs.iter().find(|log| log.log == finding.log);
    match (log, acknowledged(finding, inputs)) {
        (Some(log), Some(of)) => match covered(log, of, inputs) {
            Covered::Yes(_) => Weight::Broken,
            Covered::No(why) => Weight::Outside(why),
            Covered::Unknown(why) => Weight::Unknown(why),
        },
        _ => Weight::Unknown("the history does not say how they were sent".into()),
    }
}

pub(super) fn reading(inputs: &Inputs) -> Promise {
    let mut kinds = vec![Kind::PollSkip, Kind::NonmonotonicPoll, Kind::Reappeared];
    // Within one transaction, where there are any.
    let within = [Kind::IntPollSkip, Kind::IntNonmonotonicPoll];
    kinds.extend(within.into_iter().filter(|kind| inputs.check(*kind).is_some()));
    part(
        "reading",
        "a reader gets every record of a log, in order, once, but for what its own moves explain",
        &kinds,
        inputs,
        |finding| unless_withdrawn(finding, inputs),
    )
}

/// A run that tested nothing is not a pass.
pub(super) fn real_test(inputs: &Inputs) -> Promise {
    let mut doubts = Vec::new();
    doubts.extend(inputs.interrupted.map(|why| format!("the run was interrupted: {why}")));
    doubts.extend(inputs.facts.cut.as_ref().map(|why| format!("the history was cut off: {why}")));
    doubts.extend(not_as_planned(inputs.faults));
    doubts.extend(never_met(inputs));
    match inputs.baseline {
        None => doubts.push("there was no baseline before the first fault".into()),
        // A share that is not a number is no share.
        Some(share) if share >= BASELINE_MIN => {}
        Some(share) => doubts.push(format!(
            "before the first fault only {:.2} % of the sends were acknowledged in time, below 99.9 %",
            share * 100.0
        )),
    }
    let confirmed = inputs.faults.iter().filter(|fault| fault.confirmed_ms.is_some()).count();
    let (verdict, because) = if doubts.is_empty() {
        (
            Word::Held,
            format!("{confirmed} faults took effect and were cleared, with writes at stake."),
        )
    } else {
        let mut because = doubts.join("; ");
        because.push('.');
        (Word::Unknown, sentence_case(&because))
    };
    Promise {
        name: "real-test".into(),
        verdict,
        promised: "faults really happened, were really over, and met acknowledged writes of a cluster that was well before".into(),
        because,
        count: doubts.len() as u64,
    }
}

fn not_as_planned(faults: &[FaultRecord]) -> Vec<String> {
    let mut doubts = Vec::new();
    for (state, what) in [
        (FaultState::NotInjected, "not injected"),
        (FaultState::NotConfirmed, "not seen to take effect"),
        (FaultState::NotCleared, "not seen to end"),
        (FaultState::Planned, "never due"),
        (FaultState::Asked, "asked for and never confirmed"),
        (FaultState::Confirmed, "never healed"),
    ] {
        let of: Vec<&FaultRecord> = faults.iter().filter(|fault| fault.state == state).collect();
        let Some(first) = of.first() else { continue };
        let evidence = first.evidence.last().map(|said| format!(" ({said})")).unwrap_or_default();
        let more = if of.len() > 1 { format!(" and {} more", of.len() - 1) } else { String::new() };
        doubts.push(format!("fault {} ({}){more}: {what}{evidence}", first.id, first.name));
    }
    doubts
}

/// Whether any fault met a write: one acknowledged before the fault was over, or, with acks=0, sent before.
fn never_met(inputs: &Inputs) -> Option<String> {
    let first_ok = inputs.facts.logs.iter().filter_map(|log| log.first_ok_ms).min();
    let first_sent = || {
        let unacknowledged = inputs.facts.producers.iter().filter(|p| p.unacknowledged > 0);
        unacknowledged.map(|producer| producer.opened_ms).min()
    };
    let Some(first_ms) = first_ok.or_else(first_sent) else {
        return Some("no write was acknowledged".into());
    };
    let met = |fault: &FaultRecord| {
        fault.confirmed_ms.is_some() && fault.cleared_ms.is_none_or(|cleared| cleared >= first_ms)
    };
    if inputs.faults.iter().any(met) {
        return None;
    }
    Some("no fault met an acknowledged write".into())
}

fn sentence_case(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}
