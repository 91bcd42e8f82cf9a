//! `report.html`: one run, one file.

use crate::facts::{Excerpt, Facts, Metrics, RunInfo};
use crate::words;
use crate::{timeline, words::duration};
use askama::Template;
use model::finding::{CheckVerdict, Finding, Kind};
use model::settings::{ConsumerSettings, ProducerSettings, TopicSettings};
use model::verdict::{Recovery, Verdict, Word};
use std::borrow::Borrow;
use std::collections::BTreeMap;

/// Findings that are told in the page; the rest is counted and in `verdict.json`.
const FINDINGS_MAX: usize = 40;
/// Milliseconds of a month of 30 days that may be lost at 99.9 %.
const BUDGET_MS: f64 = 30.0 * 86_400_000.0 * 0.001;

pub(crate) const STYLE: &str = include_str!("../templates/style.css");

/// Writes the page.
pub fn render(facts: &Facts) -> String {
    let verdict = &facts.verdict;
    let mut findings: Vec<&Finding> =
        verdict.checks.iter().flat_map(|check| &check.findings).collect();
    findings.sort_by_key(|finding| (severity(finding.kind), std::cmp::Reverse(finding.count)));
    let findings_hidden = findings.len().saturating_sub(FINDINGS_MAX);
    findings.truncate(FINDINGS_MAX);
    let page = Page {
        style: STYLE,
        info: &facts.info,
        v: verdict,
        lost: count(verdict, Kind::LostWrite),
        duplicates: count(verdict, Kind::Duplicate),
        confirmed: verdict.injections,
        findings: findings
            .into_iter()
            .enumerate()
            .map(|(number, finding)| Told {
                finding,
                around: around(facts, finding),
                cycle: crate::cycle::drawing(finding, number),
            })
            .collect(),
        findings_hidden,
        unknown_checks: verdict
            .checks
            .iter()
            .filter(|c| c.verdict == CheckVerdict::Unknown)
            .map(|c| c.name.as_str())
            .collect(),
        charts: timeline::charts(facts),
        recoveries: verdict
            .recoveries
            .iter()
            .map(|recovery| told_recovery(facts, recovery))
            .collect(),
        metrics: &facts.metrics,
        errors: facts.errors.iter().collect(),
        excerpts: &facts.excerpts,
        topics: &facts.topics,
        producer: facts.producers.first(),
        consumer: facts.consumers.first(),
        brokers: &facts.brokers,
        files: &facts.files,
    };
    page.render().expect("writing into a string does not fail")
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    style: &'a str,
    info: &'a RunInfo,
    v: &'a Verdict,
    lost: u64,
    duplicates: u64,
    confirmed: u64,
    findings: Vec<Told<'a>>,
    findings_hidden: usize,
    unknown_checks: Vec<&'a str>,
    charts: String,
    recoveries: Vec<ToldRecovery<'a>>,
    metrics: &'a Metrics,
    errors: Vec<(&'a String, &'a u64)>,
    excerpts: &'a [Excerpt],
    topics: &'a BTreeMap<String, TopicSettings>,
    producer: Option<&'a ProducerSettings>,
    consumer: Option<&'a ConsumerSettings>,
    brokers: &'a BTreeMap<String, BTreeMap<String, String>>,
    files: &'a [(String, String)],
}

struct Told<'a> {
    finding: &'a Finding,
    /// Faults and leader changes near it, in words.
    around: String,
    /// A drawing, where it is a cycle.
    cycle: String,
}

impl Told<'_> {
    /// `, offset 7` or `, offsets 7 to 9`, where they are known.
    fn offsets(&self) -> String {
        match (self.finding.first_offset, self.finding.last_offset) {
            (Some(first), Some(last)) if first != last => format!(", offsets {first} to {last}"),
            (Some(first), _) => format!(", offset {first}"),
            (None, _) => String::new(),
        }
    }
}

struct ToldRecovery<'a> {
    recovery: &'a Recovery,
    name: String,
    on: String,
    recovered: String,
    budget: String,
}

/// Exact number of records of one kind.
pub fn count(verdict: &Verdict, kind: Kind) -> u64 {
    verdict.checks.iter().filter(|check| check.name == kind.as_str()).map(|check| check.count).sum()
}

/// The CSS class of a verdict's word.
pub(crate) fn class_of(word: impl Borrow<Word>) -> &'static str {
    match word.borrow() {
        Word::Held => "held",
        Word::Broken => "broken",
        Word::Unknown => "unknown",
        Word::NotPromised => "not-promised",
    }
}

pub(crate) fn check_word(verdict: impl Borrow<CheckVerdict>) -> &'static str {
    match verdict.borrow() {
        CheckVerdict::Valid => "valid",
        CheckVerdict::Invalid => "invalid",
        CheckVerdict::Unknown => "unknown",
    }
}

/// What hurts most comes first.
fn severity(kind: Kind) -> u8 {
    match kind {
        Kind::LostWrite => 0,
        Kind::LostCommit => 1,
        Kind::Skipped => 2,
        Kind::ReadThenLost => 3,
        Kind::TornTransaction => 4,
        Kind::StaleEpochWrite => 5,
        Kind::ReplicaDivergence => 6,
        Kind::Corrupted => 7,
        Kind::Phantom => 8,
        Kind::InconsistentOffsets => 9,
        Kind::Resurrected => 10,
        Kind::G1a => 11,
        Kind::G1b => 12,
        Kind::G1c => 13,
        Kind::G1cProcess => 14,
        Kind::G1cRealtime => 15,
        Kind::PrecommittedRead => 16,
        Kind::Reappeared => 17,
        Kind::Duplicate => 18,
        Kind::Repeated => 19,
        Kind::DoubleOwner => 20,
        Kind::CommitRegression => 21,
        Kind::NeverRecovered => 22,
        Kind::Stuck => 23,
        Kind::Reordered => 24,
        Kind::Unseen => 25,
        Kind::G0 => 26,
        Kind::G0Process => 27,
        Kind::G0Realtime => 28,
        Kind::NonmonotonicSend => 29,
        Kind::IntNonmonotonicSend => 30,
        Kind::PollSkip => 31,
        Kind::IntPollSkip => 32,
        Kind::NonmonotonicPoll => 33,
        Kind::IntNonmonotonicPoll => 34,
        Kind::IntSendSkip => 35,
    }
}

/// The faults and the leaders of its partition that surround a finding in time.
fn around(facts: &Facts, finding: &Finding) -> String {
    let (Some(first), Some(last)) = (finding.first_ack_ms, finding.last_ack_ms) else {
        return String::new();
    };
    let (from, to) = (first.saturating_sub(2000), last + 10_000);
    let mut told: Vec<(u64, String)> = Vec::new();
    for fault in &facts.verdict.faults {
        if let Some(at) = fault.asked_ms.filter(|at| (from..=to).contains(at)) {
            told.push((
                at,
                format!(
                    "{} {} ({}) at {}",
                    fault.name,
                    fault.nodes.join(" "),
                    words::role(&fault.role),
                    duration(at)
                ),
            ));
        }
    }
    for observation in &facts.observations {
        if let model::cluster::Observation::Partition(state) = observation
            && state.topic == finding.topic
            && state.partition == finding.log.partition
            && (from..=to).contains(&state.at_ms)
        {
            let isr: Vec<String> = state.isr.iter().map(i32::to_string).collect();
            let leader = if state.leader < 0 {
                "no leader".to_string()
            } else {
                format!("leader {}", state.leader)
            };
            told.push((
                state.at_ms,
                format!(
                    "{leader}, epoch {}, ISR {} seen at {}",
                    state.leader_epoch,
                    isr.join(","),
                    duration(state.at_ms)
                ),
            ));
        }
    }
    told.sort();
    let shown = told.len().min(12);
    let mut text =
        told.iter().take(shown).map(|(_, words)| words.as_str()).collect::<Vec<_>>().join("; ");
    if told.len() > shown {
        text.push_str(&format!("; and {} more", told.len() - shown));
    }
    text
}

fn told_recovery<'a>(facts: &'a Facts, recovery: &'a Recovery) -> ToldRecovery<'a> {
    let fault = facts.verdict.faults.iter().find(|f| f.id == recovery.fault);
    let bad_share = {
        let offered: u64 = facts.series.offered.iter().map(|&o| u64::from(o)).sum();
        let per_ms = offered as f64
            / (facts.series.offered.len().max(1) as f64 * facts.series.bucket_ms.max(1) as f64);
        if per_ms > 0.0 { recovery.bad_sends as f64 / per_ms / BUDGET_MS } else { 0.0 }
    };
    ToldRecovery {
        recovery,
        name: fault.map(|f| f.name.clone()).unwrap_or_default(),
        on: fault
            .map(|f| format!("{} {}", words::role(&f.role), f.nodes.join(" ")))
            .unwrap_or_default(),
        recovered: words::duration_or_dash(recovery.recovery_time_ms),
        budget: format!("{:.3} %", bad_share * 100.0),
    }
}
