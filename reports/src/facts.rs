//! What a report is made from. Filled by the harness, read by every renderer.

use model::cluster::Observation;
use model::history::Phase;
use model::settings::{ConsumerSettings, ProducerSettings, TopicSettings};
use model::verdict::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that a run's report says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub info: RunInfo,
    pub verdict: Verdict,
    pub observations: Vec<Observation>,
    /// By topic name, as read back from the cluster.
    pub topics: BTreeMap<String, TopicSettings>,
    pub producers: Vec<ProducerSettings>,
    pub consumers: Vec<ConsumerSettings>,
    /// Effective settings of each broker that matter for durability and timing, by node name.
    pub brokers: BTreeMap<String, BTreeMap<String, String>>,
    pub series: Series,
    /// What the nodes told of themselves; empty in runs of before they were asked.
    #[serde(default)]
    pub metrics: Metrics,
    /// Error codes of sends that were not acknowledged, with how often; the code as librdkafka names it.
    pub errors: BTreeMap<String, u64>,
    /// Lines of the nodes' logs around faults and findings, oldest first, capped.
    pub excerpts: Vec<Excerpt>,
    /// Files of the run directory, relative to the report, with what they are.
    pub files: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    pub plan: String,
    /// `bundled ×3`
    pub target: String,
    /// `acks=all min.insync=2`
    pub settings: String,
    pub seed: u64,
    pub started_wall_ms: i64,
    pub duration_ms: u64,
    /// The command that repeats the schedule.
    pub again: String,
    /// What to try next.
    pub next: Option<String>,
    /// Path of the run directory, as the user can type it.
    pub directory: String,
    /// highwater, librdkafka, broker versions.
    pub versions: BTreeMap<String, String>,
    /// Cores, memory, kernel.
    pub machine: BTreeMap<String, String>,
    /// `queue`, `transactions`, …; empty in runs of before there were several.
    #[serde(default)]
    pub workload: String,
    /// Timeout profile and the deadline D in words.
    pub profile: String,
    /// The run was interrupted or the harness died; what is here is what was saved.
    pub interrupted: bool,
}

/// Rates and latencies over time, in buckets of equal length from the start of the run. All vectors have one entry
/// for each bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub bucket_ms: u64,
    /// Sends by their intended time.
    pub offered: Vec<u32>,
    /// The same sends by what came of them.
    pub ok: Vec<u32>,
    pub fail: Vec<u32>,
    pub info: Vec<u32>,
    pub unacknowledged: Vec<u32>,
    /// Acknowledged, but later than the deadline.
    pub late: Vec<u32>,
    /// Latency from the intended time of acknowledged sends, milliseconds; `None` where there were none.
    pub latency_p50_ms: Vec<Option<f32>>,
    pub latency_p99_ms: Vec<Option<f32>>,
    pub latency_max_ms: Vec<Option<f32>>,
    /// Acknowledged records that no live reader had seen yet, at the end of the bucket.
    pub unread: Vec<u64>,
    /// When each phase began, milliseconds since the run began.
    pub phases: Vec<(Phase, u64)>,
}

/// What the nodes' metrics endpoints told, in buckets of equal length from the start of the run; `None` in a bucket in which
/// nobody answered who could know. All vectors are of one length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Why nobody was asked, and what to do; `None`: somebody was, or it is not known.
    pub missing: Option<String>,
    pub bucket_ms: u64,
    /// The most of each node in the bucket, over all that answered.
    pub under_replicated: Vec<Option<u64>>,
    /// The most that any controller told.
    pub offline: Vec<Option<u64>>,
    /// ISRs that leaders had made smaller within the bucket.
    pub isr_shrinks: Vec<Option<u64>>,
    /// The most that any broker told.
    pub lag_max: Vec<Option<u64>>,
    /// Nodes that held themselves for the active controller at their last word in the bucket.
    pub active_controllers: Vec<Option<u64>>,
    /// When which node did not answer, in the order of their ends; capped.
    pub silences: Vec<Silence>,
    pub alerts: Vec<Alert>,
    /// Losses and outages that no alert told, in words.
    pub untold: Vec<String>,
}

/// From the first question that a node did not answer to the next one that it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    pub node: String,
    pub from_ms: u64,
    pub to_ms: u64,
    /// The first reason.
    pub why: String,
}

/// One of the usual rules, held against the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub rule: String,
    /// When it would have fired, and when it would have ended.
    pub fired: Vec<(u64, u64)>,
    /// Why it could not fire, where it could not.
    pub could_not: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Excerpt {
    pub node: String,
    pub at_ms: u64,
    /// Why these lines are shown: `fault 3: kill leader`.
    pub around: String,
    pub lines: Vec<String>,
}

/// One cell of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Axis name to value, in the plan's order: `acks` → `all`, `min_insync` → `2`.
    pub settings: Vec<(String, String)>,
    /// The recipe or fault mix of this cell.
    pub recipe: String,
    /// `None`: not run, `reason` says why.
    pub verdict: Option<Verdict>,
    pub reason: Option<String>,
    /// The run's report, relative to the comparison's page.
    pub report: Option<String>,
    /// The promise of these settings covers what the recipe does.
    pub covered: bool,
    /// Acknowledged records that are gone, and duplicates.
    pub lost: u64,
    pub duplicates: u64,
    /// Acknowledged sends per second while the load ran.
    pub throughput_per_s: f64,
}

/// A comparison: settings × recipes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub info: RunInfo,
    pub cells: Vec<Cell>,
    /// The cheapest setting whose promise covers the plan's faults and held in every cell, with the reason in words.
    pub cheapest: Option<String>,
    /// What "cheapest" was ordered by: `p99 latency in the baseline`.
    pub ordered_by: String,
}
