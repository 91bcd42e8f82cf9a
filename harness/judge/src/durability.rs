//! Whether a record that was acknowledged had to survive what was done.

use super::Inputs;
use super::sentence::{number, seconds};
use super::timeline::{Election, LeaderChange, SLACK_MS, Timeline, settings_between};
use model::facts::{LogFacts, TopicFacts};
use model::fault::FaultRecord;
use model::finding::{CheckVerdict, Finding, Kind};
use model::settings::Acks;
use model::verdict::{Promise, Word};
use std::collections::{BTreeMap, BTreeSet};

/// What was promised of records acknowledged on one log in one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Covered {
    /// They had to survive: why.
    Yes(String),
    /// They did not have to: why.
    No(String),
    /// It cannot be told: why.
    Unknown(String),
}

/// Records of one log that were acknowledged from `first_ms` to `last_ms`.
#[derive(Clone, Copy)]
pub(super) struct Acknowledged {
    pub(super) acks: Acks,
    pub(super) first_ms: u64,
    pub(super) last_ms: u64,
}

/// Whether these records had to survive everything that was done to their log since.
pub(super) fn covered(log: &LogFacts, of: Acknowledged, inputs: &Inputs) -> Covered {
    let timeline = Timeline::of(log, inputs);
    let topic = inputs.facts.topics.iter().find(|topic| topic.topic == log.log.topic);
    match of.acks {
        Acks::None => Covered::No("acks=0 promises nothing".into()),
        Acks::Leader => by_leader(&timeline, topic, of),
        Acks::All => by_all(&timeline, log, topic, of, inputs),
    }
}

/// acks=1: as long as its leader keeps its log, and leadership does not move.
fn by_leader(timeline: &Timeline, topic: Option<&TopicFacts>, of: Acknowledged) -> Covered {
    let changes = timeline.leader_changes();
    let sure = |election: Election, from: i32, to: i32| election != Election::Unseen || from != to;
    let sure_changes = || changes.iter().filter(|c| sure(c.election, c.from, c.to));
    // The plain reason first: the excuse of a leader that did not know that it was replaced is weaker.
    if let Some(change) = sure_changes().find(|c| c.at_ms.saturating_add(SLACK_MS) >= of.last_ms) {
        return Covered::No(format!(
            "leadership moved from broker {} to {} at {}, and acks=1 promises nothing beyond that",
            change.from,
            change.to,
            seconds(change.at_ms)
        ));
    }
    if let Some(change) = sure_changes().find(|c| timeline.was_held_back(c.from, of.last_ms)) {
        return Covered::No(format!(
            "broker {} had been replaced as leader at {} and was held back by a fault: with acks=1 it may go on acknowledging until it learns that",
            change.from,
            seconds(change.at_ms)
        ));
    }
    let destroyed = timeline.destructions(topic, of.first_ms, of.last_ms);
    let leaders = timeline.leaders(of.first_ms, of.last_ms);
    let of_leader = |brokers: &BTreeSet<i32>| leaders.is_empty() || !brokers.is_disjoint(&leaders);
    if let Some(destruction) = destroyed.iter().find(|one| of_leader(&one.brokers)) {
        let brokers = list(&destruction.brokers);
        let at = seconds(destruction.at_ms);
        if !destruction.sure {
            return Covered::Unknown(format!(
                "the copy on broker {brokers} may have been destroyed at {at}"
            ));
        }
        return Covered::No(format!(
            "the copy of its leader, broker {brokers}, was destroyed at {at}, and acks=1 promises nothing beyond that"
        ));
    }
    if !timeline.is_known() {
        return Covered::Unknown("nobody saw whether leadership moved".into());
    }
    if timeline.was_blind_after(of.first_ms) {
        return Covered::Unknown(
            "leadership may have moved while the observer could not see".into(),
        );
    }
    if let Some(change) = changes.iter().find(|c| c.at_ms.saturating_add(SLACK_MS) >= of.last_ms) {
        return Covered::Unknown(format!(
            "leadership may have moved away and back before {}: more than one election was held between two looks",
            seconds(change.at_ms)
        ));
    }
    Covered::Yes("leadership never moved and no copy was destroyed since".into())
}

/// acks=all: as long as a replica that acknowledged it keeps its copy, under clean elections.
fn by_all(
    timeline: &Timeline,
    log: &LogFacts,
    topic: Option<&TopicFacts>,
    of: Acknowledged,
    inputs: &Inputs,
) -> Covered {
    let mut unseen = None;
    for change in timeline.leader_changes() {
        let allowed = || unclean_allowed(log, topic, change, inputs);
        if change.election == Election::Clean || !allowed() {
            continue;
        }
        // What was acknowledged before every replica was in sync again stood in the withdrawn promise.
        let restored_ms = timeline.full_after(change.at_ms).unwrap_or(u64::MAX);
        if of.first_ms > restored_ms {
            continue;
        }
        let at = seconds(change.at_ms);
        if change.election == Election::Unclean {
            return Covered::No(format!(
                "an unclean election made broker {} leader at {at}, though it was not in sync",
                change.to
            ));
        }
        unseen = Some(format!(
            "an unclean election was allowed, and may have happened unseen before {at}"
        ));
    }
    let destructions = timeline.destructions(topic, of.first_ms, of.last_ms);
    let sure: Vec<_> = destructions.iter().filter(|one| one.sure).cloned().collect();
    let weighed = destroyed(timeline, topic, of, &sure);
    if weighed.is_none() && sure.len() < destructions.len() {
        let perhaps = destroyed(timeline, topic, of, &destructions);
        if let Some(Covered::No(why) | Covered::Unknown(why)) = perhaps {
            return Covered::Unknown(format!(
                "a fault was not seen to take effect; if it did, {why}"
            ));
        }
    }
    if let Some(weighed) = weighed {
        return weighed;
    }
    if let Some(unseen) = unseen {
        return Covered::Unknown(unseen);
    }
    Covered::Yes(match sure.len() {
        0 => "no copy was destroyed, and kills and stalls take nothing that was acknowledged".into(),
        _ => "a replica that had acknowledged them kept its copy, and a clean election could have kept them".into(),
    })
}

/// Whether destroyed copies lift the promise; `None`: they do not.
fn destroyed(
    timeline: &Timeline,
    topic: Option<&TopicFacts>,
    of: Acknowledged,
    destructions: &[super::timeline::Destruction],
) -> Option<Covered> {
    let gone: BTreeSet<i32> =
        destructions.iter().flat_map(|one| one.brokers.iter().copied()).collect();
    if gone.is_empty() {
        return None;
    }
    let acknowledged_by = timeline.in_sync(of.first_ms, of.last_ms);
    let count = match &acknowledged_by {
        Some(in_sync) => gone.intersection(in_sync).count(),
        None => gone.len(),
    };
    let minimum = topic.map(|topic| effective_minimum(timeline, topic, of)).unwrap_or(1);
    if count < usize::from(minimum) {
        return None;
    }
    let at = destructions.iter().map(|one| seconds(one.at_ms)).collect::<Vec<_>>().join(", ");
    let what = format!(
        "the copies on broker {} were destroyed (at {at}), while an acknowledgement promises {}",
        list(&gone),
        if minimum == 1 { "only one".to_string() } else { format!("no more than {minimum}") }
    );
    match timeline.emptied(destructions) {
        Some(true) => Some(Covered::No(format!("{what}, and no other replica was in sync then"))),
        Some(false) => None,
        None => {
            Some(Covered::Unknown(format!("{what}, and nobody saw which replicas were in sync")))
        }
    }
}

/// Copies that an acknowledgement with acks=all vouches for at least: min.insync.replicas, or all there are. Brokers may know
/// of a change before the history does, or after it.
fn effective_minimum(timeline: &Timeline, topic: &TopicFacts, of: Acknowledged) -> u16 {
    let (from_ms, to_ms) =
        (of.first_ms.saturating_sub(SLACK_MS), of.last_ms.saturating_add(SLACK_MS));
    // A reassignment may have left fewer of them than the topic was made with.
    let replicas = timeline.replicas_least(of.first_ms, of.last_ms);
    let replicas = replicas.and_then(|count| u16::try_from(count).ok()).unwrap_or(u16::MAX);
    settings_between(topic, from_ms, to_ms)
        .map(|settings| settings.min_insync_replicas.min(settings.replication_factor))
        .min()
        .unwrap_or(1)
        .min(replicas)
        .max(1)
}

/// By the topic's settings, or because somebody asked for one of this very log.
fn unclean_allowed(
    log: &LogFacts,
    topic: Option<&TopicFacts>,
    change: LeaderChange,
    inputs: &Inputs,
) -> bool {
    let at_ms = change.at_ms;
    // The election may be seen before the history hears of the setting, or after it was put back.
    let (from_ms, to_ms) = (at_ms.saturating_sub(SLACK_MS), at_ms.saturating_add(SLACK_MS));
    let by_setting = topic.is_some_and(|topic| {
        settings_between(topic, from_ms, to_ms).any(|settings| settings.unclean_leader_election)
    });
    let name = format!("{}-{}", log.topic, log.log.partition);
    let asked = |fault: &FaultRecord| {
        // What was asked for is over once the log was seen to have a leader; where nobody saw that, it may still come.
        let over_ms = fault.confirmed_ms.map_or(u64::MAX, |seen| seen.saturating_add(SLACK_MS));
        fault.name == "elect-unclean"
            && fault.nodes.contains(&name)
            && fault.asked_ms.is_some_and(|asked| asked <= at_ms)
            && change.since_ms <= over_ms
    };
    by_setting || inputs.faults.iter().any(asked)
}

fn list(brokers: &BTreeSet<i32>) -> String {
    brokers.iter().map(i32::to_string).collect::<Vec<_>>().join(" and ")
}

/// Whether a log's promise for acks=all was lifted at any time of the run.
pub(super) fn withdrawn(log: &LogFacts, inputs: &Inputs) -> Option<String> {
    let first_ms = log.first_ok_ms.unwrap_or(0);
    let of = Acknowledged { acks: Acks::All, first_ms, last_ms: first_ms };
    match covered(log, of, inputs) {
        Covered::No(why) => Some(why),
        Covered::Yes(_) | Covered::Unknown(_) => None,
    }
}

/// How the records of a finding were acknowledged, if they were.
pub(super) fn acknowledged(finding: &Finding, inputs: &Inputs) -> Option<Acknowledged> {
    let session = finding.ids.first()?.session;
    let producer = inputs.facts.producers.iter().find(|producer| producer.session == session)?;
    let seen = || finding.evidence.iter().map(|step| step.at_ms);
    let first_ms = finding.first_ack_ms.or_else(|| seen().min()).unwrap_or(0);
    let last_ms = finding.last_ack_ms.or_else(|| seen().max()).unwrap_or(first_ms);
    Some(Acknowledged { acks: producer.settings.acks, first_ms, last_ms })
}

/// Losses by what was promised of them.
#[derive(Default)]
struct Weighed {
    broken: u64,
    not_promised: u64,
    unknown: u64,
    /// By word, the reasons with the logs that they hold for.
    reasons: BTreeMap<Word, BTreeMap<String, BTreeSet<String>>>,
}

impl Weighed {
    fn add(&mut self, log: String, count: u64, covered: Covered) {
        let (total, word, why) = match covered {
            Covered::Yes(why) => (&mut self.broken, Word::Broken, why),
            Covered::No(why) => (&mut self.not_promised, Word::NotPromised, why),
            Covered::Unknown(why) => (&mut self.unknown, Word::Unknown, why),
        };
        *total += count;
        self.reasons.entry(word).or_default().entry(why).or_default().insert(log);
    }

    /// The first few reasons for a word.
    fn why(&self, word: Word) -> String {
        let Some(reasons) = self.reasons.get(&word) else { return String::new() };
        let told = reasons.iter().take(2).map(|(why, logs)| {
            let names: Vec<&str> = logs.iter().take(3).map(String::as_str).collect();
            let more = logs.len().saturating_sub(names.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more}: {why}", names.join(", "))
        });
        let mut told = told.collect::<Vec<_>>().join("; ");
        if reasons.len() > 2 {
            told += &format!("; and {} more reasons", reasons.len() - 2);
        }
        told
    }
}

fn weigh(inputs: &Inputs) -> Weighed {
    let mut weighed = Weighed::default();
    let lost = inputs.findings(Kind::LostWrite);
    // An acknowledged record that was read and then lost is among the lost ones already.
    let read = inputs.findings(Kind::ReadThenLost);
    let read = read.filter(|finding| finding.outcome.as_deref() == Some("info"));
    for finding in lost.chain(read) {
        let name = format!("{}-{}", finding.topic, finding.log.partition);
        let log = inputs.facts.logs.iter().find(|log| log.log == finding.log);
        let covered = match (log, acknowledged(finding, inputs)) {
            (Some(log), Some(of)) => covered(log, of, inputs),
            _ => Covered::Unknown("the history does not say with which acks they were sent".into()),
        };
        weighed.add(name, finding.count, covered);
    }
    // Findings are capped, counts are not.
    let told = weighed.broken + weighed.not_promised + weighed.unknown;
    let counted = inputs.count(Kind::LostWrite);
    if counted > told {
        let why = "too many findings to weigh each of them".to_string();
        weighed.add("others".into(), counted - told, Covered::Unknown(why));
    }
    weighed
}

/// The durability of every acknowledged write.
pub(super) fn promise(inputs: &Inputs, promised: String) -> Promise {
    let weighed = weigh(inputs);
    let counts = inputs.counts;
    let lost = weighed.broken + weighed.not_promised + weighed.unknown;
    let unseen = inputs.count(Kind::Unseen);
    let (verdict, because, count) = if weighed.broken > 0 {
        let mut because = format!(
            "{} records were lost that had to survive. {}.",
            number(weighed.broken),
            weighed.why(Word::Broken)
        );
        if lost > weighed.broken {
            because +=
                &format!(" {} more were lost that did not have to.", number(lost - weighed.broken));
        }
        (Word::Broken, because, weighed.broken)
    } else if weighed.unknown > 0 {
        let because = format!(
            "{} records were lost, and it cannot be told whether they had to survive. {}.",
            number(weighed.unknown),
            weighed.why(Word::Unknown)
        );
        (Word::Unknown, because, weighed.unknown)
    } else if unseen > 0 {
        let because = format!(
            "{} acknowledged records were never read, and the final reads are not complete: lost cannot be told from late.",
            number(unseen)
        );
        (Word::Unknown, because, unseen)
    } else if let Some(because) = inputs.cannot_look(&[Kind::LostWrite, Kind::ReadThenLost]) {
        (Word::Unknown, because, 0)
    } else {
        let (word, because) = nothing_broken(inputs, &weighed, lost);
        (word, because, lost + counts.unacknowledged_missing)
    };
    Promise { name: "durability".into(), verdict, promised, because, count }
}

/// No loss was a breach: whether the promise covered everything that was done.
fn nothing_broken(inputs: &Inputs, weighed: &Weighed, lost: u64) -> (Word, String) {
    let counts = inputs.counts;
    if lost > 0 {
        let because = format!(
            "{} acknowledged records were lost, and none of them had to survive. {}.",
            number(lost),
            weighed.why(Word::NotPromised)
        );
        return (Word::NotPromised, because);
    }
    let mut exposed = Weighed::default();
    // Nothing is promised of a topic that was deleted on request.
    let is_there = |log: &&LogFacts| {
        let topic = inputs.facts.topics.iter().find(|topic| topic.topic == log.log.topic);
        topic.is_none_or(|topic| topic.deleted_ms.is_none())
    };
    for log in inputs.facts.logs.iter().filter(is_there) {
        let name = format!("{}-{}", log.topic, log.log.partition);
        let Some(first_ms) = log.first_ok_ms else { continue };
        let classes: BTreeSet<Acks> =
            inputs.facts.producers.iter().filter(|p| p.ok > 0).map(|p| p.settings.acks).collect();
        for acks in classes {
            let of = Acknowledged { acks, first_ms, last_ms: first_ms };
            if let Covered::No(why) = covered(log, of, inputs) {
                exposed.add(name.clone(), 1, Covered::No(why));
            }
        }
    }
    if counts.unacknowledged > 0 && counts.ok == 0 {
        let because = format!(
            "acks=0 promises nothing; {} of {} records sent are missing.",
            number(counts.unacknowledged_missing),
            number(counts.unacknowledged)
        );
        return (Word::NotPromised, because);
    }
    if exposed.not_promised > 0 {
        let because = format!(
            "No acknowledged record was lost, but the promise did not cover all that was done. {}.",
            exposed.why(Word::NotPromised)
        );
        return (Word::NotPromised, because);
    }
    let all = match (counts.ok, counts.ok_removed) {
        (0, _) => "Nothing was acknowledged, and so nothing was lost.".to_string(),
        (ok, 0) => format!("All {} acknowledged records were read back.", number(ok)),
        (ok, removed) => format!(
            "All {} acknowledged records were read back, but for {} that were deleted by request or retention.",
            number(ok),
            number(removed)
        ),
    };
    (Word::Held, all)
}

/// Whether the acknowledged records of a check's verdict are known.
impl Inputs<'_> {
    pub(super) fn check(&self, kind: Kind) -> Option<&model::finding::Check> {
        self.checks.iter().find(|check| check.name == kind.as_str())
    }

    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.check(kind).map_or(0, |check| check.count)
    }

    pub(super) fn findings(&self, kind: Kind) -> impl Iterator<Item = &Finding> {
        self.check(kind).into_iter().flat_map(|check| check.findings.iter())
    }

    /// Why one of these kinds could not be looked for.
    pub(super) fn cannot_look(&self, kinds: &[Kind]) -> Option<String> {
        kinds.iter().find_map(|kind| match self.check(*kind) {
            None => Some(format!("Nobody looked for {}.", kind.as_str())),
            Some(check) if check.verdict == CheckVerdict::Unknown => {
                let because = check.because.clone().unwrap_or_else(|| "no reason was given".into());
                Some(format!("Whether there was any {} cannot be told: {because}.", kind.as_str()))
            }
            Some(_) => None,
        })
    }
}
