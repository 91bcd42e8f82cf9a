//! `run.json`: what a run was, written when it starts and again as it goes through its phases.

use judge::Liveness;
use model::settings::ConsumerSettings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const SCHEMA: &str = "highwater/run/1";

/// How far a run has come. What is missing after the last word was never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its cluster is being started, or it runs.
    Running,
    /// The history is complete; nothing was judged yet.
    Recorded,
    Judged,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRecord {
    pub schema: String,
    pub state: State,
    pub plan: String,
    pub seed: u64,
    /// Stamped into every record.
    pub run: u64,
    pub started_wall_ms: i64,
    /// `bundled ×3`
    pub target: String,
    pub defects: Vec<String>,
    /// Broker ids by node name.
    pub brokers: BTreeMap<String, i32>,
    /// How late an acknowledgement may be to count as a success.
    pub deadline_ms: u64,
    pub partitions: u32,
    /// From the first process to the topic.
    pub up_ms: Option<u64>,
    /// `queue`, `transactions`, …; empty in runs of before there were several.
    #[serde(default)]
    pub workload: String,
    /// Timeout profile and deadline in words.
    pub profile: String,
    /// The command that repeats the schedule.
    pub again: String,
    /// Path of the run directory as it was typed.
    pub directory: String,
    pub versions: BTreeMap<String, String>,
    pub machine: BTreeMap<String, String>,
    pub broker_settings: BTreeMap<String, BTreeMap<String, String>>,
    pub consumers: Vec<ConsumerSettings>,
    pub warnings: Vec<String>,
    /// Why no node was asked for its metrics, and what to do; absent where they were.
    #[serde(default)]
    pub metrics_missing: Option<String>,
    /// What was found of liveness after healing; absent where nobody looked.
    pub never_recovered: Option<Vec<String>>,
    pub settle_ms: u64,
    /// Why the run did not go through to its end, if it did not.
    pub interrupted: Option<String>,
    /// Why the history ends before the run did; found when it is read again.
    #[serde(skip)]
    pub cut: Option<String>,
}

impl RunRecord {
    pub fn liveness(&self) -> Liveness {
        Liveness {
            measured: self.never_recovered.is_some(),
            never_recovered: self.never_recovered.clone().unwrap_or_default(),
            deadline_ms: self.settle_ms,
        }
    }
}

/// Cores, memory and kernel of this machine, in words.
pub fn machine() -> BTreeMap<String, String> {
    let mut machine = BTreeMap::new();
    if let Ok(cores) = std::thread::available_parallelism() {
        machine.insert("cores".to_string(), cores.to_string());
    }
    let uname = rustix::system::uname();
    machine.insert(
        "system".to_string(),
        format!(
            "{} {} {}",
            uname.sysname().to_string_lossy(),
            uname.release().to_string_lossy(),
            uname.machine().to_string_lossy()
        ),
    );
    if let Ok(memory) = std::fs::read_to_string("/proc/meminfo")
        && let Some(kib) =
            memory.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))
        && let Ok(kib) = kib.trim().parse::<u64>()
    {
        machine.insert("memory".to_string(), format!("{} MiB", kib / 1024));
    }
    machine
}

/// highwater and librdkafka.
pub fn versions() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("highwater".to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ("client".to_string(), clients::library()),
    ])
}
