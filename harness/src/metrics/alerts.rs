//! The alert rules that operators of Kafka usually have, held against what a run's nodes told, and what none of them told.
//!
//! Promises: a rule that could not fire, because the run was too short for it or nobody told its number, says so; a number that
//! nobody told fires nothing. Not promised: what a monitoring that asks every 15 or 60 seconds would have seen of it: this
//! looks at every second.

use model::finding::Kind;
use model::verdict::Verdict;
use reports::facts::{Alert, Metrics};
use reports::words::{counted, duration, role};

/// Of losses and outages that are named.
const UNTOLD_MAX: usize = 20;
/// An alert so long after a loss or an outage still tells of it.
const GRACE_MS: u64 = 2_000;

struct Rule {
    words: &'static str,
    number: fn(&Metrics) -> &[Option<u64>],
    /// Of the number, and the length of its bucket.
    holds: fn(u64, u64) -> bool,
    for_ms: u64,
}

const RULES: [Rule; 5] = [
    Rule {
        words: "offline partitions > 0",
        number: |metrics| &metrics.offline,
        holds: |count, _| count > 0,
        for_ms: 0,
    },
    Rule {
        words: "under-replicated partitions > 0 for 5 min",
        number: |metrics| &metrics.under_replicated,
        holds: |count, _| count > 0,
        for_ms: 300_000,
    },
    Rule {
        words: "replica lag > 10,000",
        number: |metrics| &metrics.lag_max,
        holds: |count, _| count > 10_000,
        for_ms: 0,
    },
    Rule {
        words: "ISR shrinks > 5 a second",
        number: |metrics| &metrics.isr_shrinks,
        holds: |count, bucket_ms| count * 1_000 > 5 * bucket_ms,
        for_ms: 0,
    },
    Rule {
        words: "active controllers ≠ 1",
        number: |metrics| &metrics.active_controllers,
        holds: |count, _| count != 1,
        for_ms: 0,
    },
];

/// Each rule with when it would have fired; nothing where nobody was asked.
pub fn held_against(metrics: &Metrics) -> Vec<Alert> {
    if metrics.offline.is_empty() {
        return Vec::new();
    }
    RULES.iter().map(|rule| alert(rule, metrics)).collect()
}

fn alert(rule: &Rule, metrics: &Metrics) -> Alert {
    let (numbers, bucket_ms) = ((rule.number)(metrics), metrics.bucket_ms);
    let told = numbers.iter().flatten().count();
    let length_ms = numbers.len() as u64 * bucket_ms;
    let could_not = if told == 0 {
        Some("no node told this number".to_string())
    } else if length_ms < rule.for_ms {
        Some(format!("the run is too short for it: {}", duration(length_ms)))
    } else {
        None
    };
    let mut fired: Vec<(u64, u64)> = Vec::new();
    let mut begun = None;
    for (at, number) in (0..).zip(numbers.iter().copied().chain([None])) {
        let now_ms = at * bucket_ms;
        if number.is_some_and(|number| (rule.holds)(number, bucket_ms)) {
            begun.get_or_insert(now_ms);
        } else if let Some(begun_ms) = begun.take()
            && begun_ms + rule.for_ms < now_ms
        {
            fired.push((begun_ms + rule.for_ms, now_ms));
        }
    }
    Alert { rule: rule.words.to_string(), fired, could_not }
}

/// Losses and pauses during which no alert would have fired.
pub fn untold(alerts: &[Alert], verdict: &Verdict) -> Vec<String> {
    if alerts.is_empty() {
        return Vec::new();
    }
    let told = |from_ms: u64, to_ms: u64| {
        let mut fired = alerts.iter().flat_map(|alert| &alert.fired);
        fired.any(|(from, to)| *from <= to_ms + GRACE_MS && *to >= from_ms)
    };
    let mut untold = Vec::new();
    let lost = verdict.checks.iter().filter(|check| check.name == Kind::LostWrite.as_str());
    for finding in lost.flat_map(|check| &check.findings) {
        let (Some(from), Some(to)) = (finding.first_ack_ms, finding.last_ack_ms) else { continue };
        if !told(from, to) {
            let count = counted(finding.count, "acknowledged record", "acknowledged records");
            untold.push(format!(
                "{count} lost of {}-{}, acknowledged from {} to {}",
                finding.topic,
                finding.log.partition,
                duration(from),
                duration(to)
            ));
        }
    }
    for recovery in verdict.recoveries.iter().filter(|recovery| recovery.pause_ms > 0) {
        let fault = verdict.faults.iter().find(|fault| fault.id == recovery.fault);
        let Some((fault, asked)) = fault.and_then(|fault| Some((fault, fault.asked_ms?))) else {
            continue;
        };
        let to = fault.cleared_ms.unwrap_or(asked).max(asked + recovery.pause_ms);
        if !told(asked, to) {
            untold.push(format!(
                "a pause of {} after {} {} ({}) at {}",
                duration(recovery.pause_ms),
                fault.name,
                fault.nodes.join(" "),
                role(&fault.role),
                duration(asked)
            ));
        }
    }
    untold.truncate(UNTOLD_MAX);
    untold
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(offline: &[Option<u64>]) -> Metrics {
        let none = vec![None; offline.len()];
        Metrics {
            bucket_ms: 1_000,
            offline: offline.to_vec(),
            under_replicated: none.clone(),
            isr_shrinks: none.clone(),
            lag_max: none.clone(),
            active_controllers: none,
            ..Metrics::default()
        }
    }

    fn of(metrics: &Metrics, rule: &str) -> Alert {
        let alerts = held_against(metrics);
        alerts.into_iter().find(|alert| alert.rule.contains(rule)).expect("the rule")
    }

    #[test]
    fn an_alert_fires_for_as_long_as_it_holds() {
        let metrics = metrics(&[Some(0), Some(1), Some(2), None, Some(1)]);
        let alert = of(&metrics, "offline");
        assert_eq!(alert.fired, [(1_000, 3_000), (4_000, 5_000)]);
        assert_eq!(alert.could_not, None);
    }

    #[test]
    fn a_rule_that_could_not_fire_says_so() {
        let mut short = metrics(&[Some(0); 299]);
        short.under_replicated = vec![Some(1); 299];
        let alert = of(&short, "under-replicated");
        assert!(alert.fired.is_empty());
        assert!(alert.could_not.is_some_and(|why| why.contains("too short")));
        let mut long = metrics(&[Some(0); 302]);
        long.under_replicated = vec![Some(1); 302];
        assert_eq!(of(&long, "under-replicated").fired, [(300_000, 302_000)]);
        let why = of(&short, "lag").could_not.expect("a reason");
        assert!(why.contains("no node told"), "{why}");
    }

    #[test]
    fn rates_and_controllers_have_their_bounds() {
        let mut metrics = metrics(&[Some(0); 3]);
        metrics.isr_shrinks = vec![Some(5), Some(6), Some(0)];
        metrics.active_controllers = vec![Some(1), Some(0), Some(2)];
        assert_eq!(of(&metrics, "shrinks").fired, [(1_000, 2_000)]);
        assert_eq!(of(&metrics, "controllers").fired, [(1_000, 3_000)]);
    }

    #[test]
    fn nobody_asked_is_no_alert() {
        assert!(held_against(&Metrics::default()).is_empty());
    }
}
