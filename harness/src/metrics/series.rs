//! From single answers to what a report shows: the cluster's numbers in buckets, and who was silent when.
//!
//! Promises: a node that did not answer adds nothing to a bucket, and its silence is told beside it; a counter that begins
//! anew with its process counts on. A line that can't be read is passed over: a report is no reason to lose a verdict.

use super::{EVERY_MS, FILE};
use crate::store::RunDir;
use model::metrics::{Scrape, Told, name};
use reports::facts::{Metrics, Silence};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

/// Every node is asked in the middle of each.
const BUCKET_MS: u64 = EVERY_MS;
/// Longer runs have longer buckets.
const BUCKETS_MAX: usize = 600;
const SILENCES_MAX: usize = 400;

/// What a run's directory holds of metrics.
pub fn of(run: &RunDir) -> Metrics {
    let Ok(file) = File::open(run.file(FILE)) else { return Metrics::default() };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    from_scrapes(lines.filter_map(|line| serde_json::from_str(&line).ok()))
}

/// In any order of nodes; those of one node in the order of time.
pub fn from_scrapes(scrapes: impl Iterator<Item = Scrape>) -> Metrics {
    let mut collected = Collected::default();
    for scrape in scrapes {
        collected.take(&scrape);
    }
    collected.finish()
}

#[derive(Default)]
struct Collected {
    /// By place; each with what the nodes told in it.
    buckets: Vec<BTreeMap<String, Bucket>>,
    nodes: BTreeMap<String, Node>,
    silences: Vec<Silence>,
}

/// What is known of a node beyond a bucket.
#[derive(Default)]
struct Node {
    isr_shrinks: Option<f64>,
    silent: Option<Silence>,
}

/// One node in one bucket.
#[derive(Clone, Copy, Default)]
struct Bucket {
    under_replicated: Option<f64>,
    offline: Option<f64>,
    isr_shrinks: Option<f64>,
    lag_max: Option<f64>,
    /// The last, not the most: during a change of controllers both were one for a part of it.
    active_controllers: Option<f64>,
}

impl Collected {
    fn take(&mut self, scrape: &Scrape) {
        let at = usize::try_from(scrape.at_ms / BUCKET_MS).unwrap_or(usize::MAX);
        // A week; nobody asks for longer, and a damaged file is no reason to run out of memory.
        if at > 7 * 86_400 {
            return;
        }
        if self.buckets.len() <= at {
            self.buckets.resize_with(at + 1, BTreeMap::new);
        }
        let node = self.nodes.entry(scrape.node.clone()).or_default();
        let values = match &scrape.told {
            Told::Values(values) => values,
            Told::Error(why) => {
                let silent = node.silent.get_or_insert_with(|| Silence {
                    node: scrape.node.clone(),
                    from_ms: scrape.at_ms,
                    to_ms: scrape.at_ms,
                    why: why.clone(),
                });
                silent.to_ms = scrape.at_ms + scrape.took_ms;
                return;
            }
        };
        if let Some(silent) = node.silent.take() {
            self.silences.push(Silence { to_ms: scrape.at_ms, ..silent });
        }
        let value = |name: &str| values.get(name).copied().filter(|value| *value >= 0.0);
        let bucket = self.buckets[at].entry(scrape.node.clone()).or_default();
        bucket.under_replicated = most(bucket.under_replicated, value(name::UNDER_REPLICATED));
        bucket.offline = most(bucket.offline, value(name::OFFLINE));
        bucket.lag_max = most(bucket.lag_max, value(name::LAG_MAX));
        bucket.active_controllers = value(name::ACTIVE_CONTROLLERS).or(bucket.active_controllers);
        if let Some(count) = value(name::ISR_SHRINKS) {
            let new = match node.isr_shrinks.replace(count) {
                Some(before) if before <= count => count - before,
                // Its process is another one.
                Some(_) => count,
                // What was before the first look belongs to no bucket.
                None => 0.0,
            };
            bucket.isr_shrinks = Some(bucket.isr_shrinks.unwrap_or_default() + new);
        }
    }

    fn finish(mut self) -> Metrics {
        self.silences.extend(self.nodes.into_values().filter_map(|node| node.silent));
        self.silences.truncate(SILENCES_MAX);
        let together = self.buckets.len().div_ceil(BUCKETS_MAX).max(1);
        let chunks = || self.buckets.chunks(together);
        let over = |of: fn(&Bucket) -> Option<f64>, nodes: Fold, time: Fold| {
            let bucket =
                |bucket: &BTreeMap<String, Bucket>| nodes.over(bucket.values().filter_map(of));
            let chunk = |chunk: &[BTreeMap<String, Bucket>]| {
                time.over(chunk.iter().filter_map(bucket)).map(|value| value as u64)
            };
            chunks().map(chunk).collect::<Vec<_>>()
        };
        Metrics {
            missing: None,
            bucket_ms: BUCKET_MS * together as u64,
            under_replicated: over(|b| b.under_replicated, Fold::Sum, Fold::Most),
            offline: over(|b| b.offline, Fold::Most, Fold::Most),
            isr_shrinks: over(|b| b.isr_shrinks, Fold::Sum, Fold::Sum),
            lag_max: over(|b| b.lag_max, Fold::Most, Fold::Most),
            active_controllers: over(|b| b.active_controllers, Fold::Sum, Fold::Last),
            silences: self.silences,
            alerts: Vec::new(),
            untold: Vec::new(),
        }
    }
}

/// How several numbers become one.
#[derive(Clone, Copy)]
enum Fold {
    Sum,
    Most,
    Last,
}

impl Fold {
    /// `None` of nothing.
    fn over(self, values: impl Iterator<Item = f64>) -> Option<f64> {
        values.reduce(|before, value| match self {
            Fold::Sum => before + value,
            Fold::Most => before.max(value),
            Fold::Last => value,
        })
    }
}

fn most(before: Option<f64>, now: Option<f64>) -> Option<f64> {
    Fold::Most.over(before.into_iter().chain(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(at_ms: u64, node: &str, values: &[(&str, f64)]) -> Scrape {
        let values = values.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        Scrape { at_ms, node: node.into(), took_ms: 1, told: Told::Values(values) }
    }

    fn silent(at_ms: u64, node: &str) -> Scrape {
        let told = Told::Error("no answer within 900 ms".into());
        Scrape { at_ms, node: node.into(), took_ms: 400, told }
    }

    #[test]
    fn the_cluster_is_the_sum_of_who_answered() {
        let under = |at_ms, node, count| told(at_ms, node, &[(name::UNDER_REPLICATED, count)]);
        let metrics = from_scrapes(
            [
                under(0, "n1", 0.0),
                under(100, "n2", 0.0),
                under(1_000, "n1", 2.0),
                under(1_500, "n1", 1.0),
                under(1_600, "n2", 3.0),
                silent(2_000, "n1"),
                silent(2_100, "n2"),
                silent(2_500, "n1"),
                under(3_100, "n2", 0.0),
                silent(3_200, "n1"),
            ]
            .into_iter(),
        );
        assert_eq!(metrics.bucket_ms, 1_000);
        assert_eq!(metrics.under_replicated, [Some(0), Some(5), None, Some(0)]);
        assert_eq!(metrics.offline, [None; 4], "nobody told");
        let silences =
            metrics.silences.iter().map(|one| (one.node.as_str(), one.from_ms, one.to_ms));
        assert_eq!(silences.collect::<Vec<_>>(), [("n2", 2_100, 3_100), ("n1", 2_000, 3_600)]);
    }

    #[test]
    fn a_counter_that_begins_anew_counts_on() {
        let shrinks = |at_ms, count| told(at_ms, "n1", &[(name::ISR_SHRINKS, count)]);
        let metrics = from_scrapes(
            [shrinks(0, 7.0), shrinks(1_000, 9.0), silent(2_000, "n1"), shrinks(3_000, 1.0)]
                .into_iter(),
        );
        assert_eq!(metrics.isr_shrinks, [Some(0), Some(2), None, Some(1)]);
    }

    #[test]
    fn a_change_of_controllers_is_not_two_of_them() {
        let active = |at_ms, node, count| told(at_ms, node, &[(name::ACTIVE_CONTROLLERS, count)]);
        let metrics = from_scrapes(
            [
                active(0, "n1", 1.0),
                active(10, "n2", 0.0),
                active(500, "n1", 0.0),
                active(510, "n2", 1.0),
            ]
            .into_iter(),
        );
        assert_eq!(metrics.active_controllers, [Some(1)]);
    }

    #[test]
    fn a_long_run_has_longer_buckets() {
        let lag = |second: u64| told(second * 1_000, "n1", &[(name::LAG_MAX, second as f64)]);
        let metrics = from_scrapes((0..1_500).map(lag));
        assert_eq!((metrics.bucket_ms, metrics.lag_max.len()), (3_000, 500));
        assert_eq!(metrics.lag_max[..2], [Some(2), Some(5)]);
        let far = told(u64::MAX, "n1", &[]);
        assert!(from_scrapes([far].into_iter()).lag_max.is_empty());
    }
}
