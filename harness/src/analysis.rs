//! From what was recorded to a verdict and the facts of a report. A live run and `highwater check` both end here, so
//! they give the same answer.

mod reached;

use crate::measure::{Measure, Measured};
use crate::metrics::alerts;
use crate::replicas;
use crate::run_record::RunRecord;
use checker::Checker;
use model::cluster::Observation;
use model::facts::HistoryFacts;
use model::fault::FaultRecord;
use model::replicas::ReplicaReport;
use model::settings::{Acks, ProducerSettings, TopicSettings};
use model::verdict::{Reached, Verdict};
use reports::facts::{Facts, Metrics, RunInfo};
use std::collections::BTreeMap;

/// What was recorded of a run, followed to its end.
pub struct Recorded {
    pub record: RunRecord,
    pub checker: Checker,
    pub measure: Measure,
    pub faults: Vec<FaultRecord>,
    pub observations: Vec<Observation>,
    /// What the replicas' own files hold; `None`: the run did not get so far as to look.
    pub replicas: Option<ReplicaReport>,
    /// What the nodes told of themselves.
    pub metrics: Metrics,
}

/// What the checker is told of a run: a reader that gets nothing for as long as replicas are given to be in sync is stuck.
pub fn checker_options(settle_ms: u64) -> checker::Options {
    let stuck_ms = Some(u32::try_from(settle_ms).unwrap_or(u32::MAX));
    checker::Options { stuck_ms, ..checker::Options::default() }
}

/// Checks, measures, judges.
pub fn analyse(recorded: Recorded) -> Facts {
    let Recorded { record, mut checker, measure, faults, observations, replicas, mut metrics } =
        recorded;
    if let Some(because) = &record.cut {
        checker.history_was_cut(because);
    }
    let replicas = replicas.filter(|report| !report.logs.is_empty());
    for log in replicas.iter().flat_map(|report| &report.logs) {
        checker.producer_epochs(log.log, &log.producer_epochs);
    }
    let mut report = checker.finish();
    report.checks.extend(replicas.as_ref().map(replicas::check));
    let measured = measure.finish(&faults, &observations);
    let judgement = judge::judge(judge::Inputs {
        checks: &report.checks,
        counts: &report.counts,
        facts: &report.facts,
        faults: &faults,
        replicas: replicas.as_ref(),
        cluster: &observations,
        brokers: &record.brokers,
        baseline: measured.has_baseline.then_some(measured.availability.baseline),
        liveness: &record.liveness(),
        interrupted: record.interrupted.as_deref(),
    });
    let injections = faults.iter().filter(|f| f.confirmed_ms.is_some()).count() as u64;
    let reached: Vec<Reached> = reached::reached(&report, &measured, &faults, &observations);
    let mut warnings = record.warnings.clone();
    warnings.extend(report.warnings.iter().cloned());
    let verdict = Verdict {
        schema: "highwater/verdict/1".into(),
        plan: record.plan.clone(),
        target: record.target.clone(),
        seed: record.seed,
        defects: record.defects.clone(),
        promise: judgement.promise,
        verdict: judgement.word,
        because: judgement.because,
        promises: judgement.promises,
        checks: report.checks,
        counts: report.counts,
        availability: measured.availability.clone(),
        faults,
        recoveries: measured.recoveries.clone(),
        reached,
        warnings,
        injections,
        loss_bound: (injections > 0).then(|| 1.0 - 0.05f64.powf(1.0 / injections as f64)),
        duration_ms: measured.duration_ms,
    };
    metrics.missing = record.metrics_missing.clone();
    metrics.alerts = alerts::held_against(&metrics);
    metrics.untold = alerts::untold(&metrics.alerts, &verdict);
    facts(record, verdict, measured, &report.facts, observations, metrics)
}

fn facts(
    record: RunRecord,
    verdict: Verdict,
    measured: Measured,
    history: &HistoryFacts,
    observations: Vec<Observation>,
    metrics: Metrics,
) -> Facts {
    let topics: BTreeMap<String, TopicSettings> = history
        .topics
        .iter()
        .filter_map(|topic| Some((topic.name.clone(), topic.settings.last()?.1.clone())))
        .collect();
    let producers: Vec<ProducerSettings> =
        history.producers.iter().map(|p| p.settings.clone()).collect();
    let info = RunInfo {
        plan: record.plan.clone(),
        target: record.target.clone(),
        settings: settings_in_short(&producers, &topics),
        seed: record.seed,
        started_wall_ms: record.started_wall_ms,
        duration_ms: measured.duration_ms,
        again: record.again.clone(),
        next: next_step(&record, &verdict),
        directory: record.directory.clone(),
        versions: record.versions.clone(),
        machine: record.machine.clone(),
        workload: record.workload.clone(),
        profile: record.profile.clone(),
        interrupted: record.interrupted.is_some() || record.cut.is_some(),
    };
    Facts {
        info,
        verdict,
        observations,
        topics,
        producers,
        consumers: record.consumers,
        brokers: record.broker_settings,
        series: measured.series,
        metrics,
        errors: measured.errors,
        excerpts: Vec::new(),
        files: Vec::new(),
    }
}

/// `acks=all idempotent min.insync=2`
fn settings_in_short(
    producers: &[ProducerSettings],
    topics: &BTreeMap<String, TopicSettings>,
) -> String {
    let mut words = Vec::new();
    if let Some(producer) = producers.first() {
        words.push(format!("acks={}", producer.acks.as_str()));
        if producer.acks == Acks::All && !producer.idempotence {
            words.push("not idempotent".to_string());
        }
    }
    if let Some(topic) = topics.values().next() {
        words.push(format!("min.insync={}", topic.min_insync_replicas));
    }
    words.join(" ")
}

fn next_step(record: &RunRecord, verdict: &Verdict) -> Option<String> {
    if !verdict.defects.is_empty() {
        return None;
    }
    let compared = record.plan == plan::shipped::DEFAULT_PLAN;
    compared.then(|| "highwater compare   (what does each setting cost?)".to_string())
}
