//! Promises and verdicts, and `verdict.json`.

use crate::fault::FaultRecord;
use crate::finding::{Check, Counts};
use serde::{Deserialize, Serialize};

/// The word for a promise or a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Word {
    #[serde(rename = "not promised")]
    NotPromised,
    #[serde(rename = "held")]
    Held,
    #[serde(rename = "unknown")]
    Unknown,
    #[serde(rename = "broken")]
    Broken,
}

impl Word {
    pub fn as_str(self) -> &'static str {
        match self {
            Word::NotPromised => "not promised",
            Word::Held => "held",
            Word::Unknown => "unknown",
            Word::Broken => "broken",
        }
    }
}

/// One part of the promise, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// `durability`, `integrity`, `idempotence`, `order`, `agreement`, `isolation`, `reading`, `liveness`, `real-test`; with
    /// transactions `atomicity`, with groups `processing` and `commits`.
    pub name: String,
    pub verdict: Word,
    /// What was promised under these settings and faults, as a sentence.
    pub promised: String,
    /// What was found, and why that gives the verdict.
    pub because: String,
    /// Records concerned.
    pub count: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Availability {
    /// Successes / intended sends, 0 to 1; a success is acknowledged within `deadline_ms` of its intended time.
    pub request: f64,
    /// Share of one-second windows with at least 99 % success, 0 to 1.
    pub windowed: f64,
    /// The longest run of bad windows, measured to the millisecond between the last success before and the first after.
    pub longest_outage_ms: u64,
    pub total_outage_ms: u64,
    pub deadline_ms: u64,
    /// Latency from the intended time, over acknowledged sends, in milliseconds.
    pub latency_p50_ms: f64,
    pub latency_p99_ms: f64,
    pub latency_p999_ms: f64,
    pub latency_max_ms: f64,
    /// Share of sends acknowledged within the deadline while no fault was asked, confirmed or being recovered from.
    pub outside_faults: f64,
    /// The same for the baseline before the first fault.
    pub baseline: f64,
}

/// What came of one fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    pub fault: u32,
    /// Injection to the first failed or late send.
    pub detection_ms: Option<u64>,
    /// Injection to the next acknowledged send on a partition that the fault hit.
    pub first_success_ms: Option<u64>,
    /// Injection to the start of the first 10 s with ≥ 99 % success. `None`: not before the next fault.
    pub recovery_time_ms: Option<u64>,
    /// Injection to every ISR full again.
    pub full_isr_ms: Option<u64>,
    /// Longest gap between acknowledged sends that this fault caused.
    pub pause_ms: u64,
    /// Sends in flight (intent written, no outcome) when it was confirmed.
    pub in_flight: u64,
    /// Sends that failed, were indeterminate or late, from the injection to recovery.
    pub bad_sends: u64,
}

/// A place in the run that says it was a real test, or was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// `an election happened with sends in flight`, …
    pub state: String,
    pub count: u64,
}

/// `verdict.json`, and what `--json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// `highwater/verdict/1`
    pub schema: String,
    pub plan: String,
    pub target: String,
    pub seed: u64,
    pub defects: Vec<String>,
    /// The whole promise in a sentence.
    pub promise: String,
    pub verdict: Word,
    /// Why, in a sentence.
    pub because: String,
    pub promises: Vec<Promise>,
    pub checks: Vec<Check>,
    pub counts: Counts,
    pub availability: Availability,
    pub faults: Vec<FaultRecord>,
    pub recoveries: Vec<Recovery>,
    pub reached: Vec<Reached>,
    /// Things a reader should know before he trusts the numbers: settings that differ from the plan's, load not held.
    pub warnings: Vec<String>,
    /// Injections that were confirmed, and the bound on the loss probability of one at 95 %: 1 − 0.05^(1/n).
    pub injections: u64,
    pub loss_bound: Option<f64>,
    pub duration_ms: u64,
}
