//! What is not held against the broker: what follows from the loss of committed records of which every eligible copy was
//! destroyed, where a schedule went beyond what Kafka's design survives (the [`crate::atlas`] says what that is); and a
//! retry that is taken for a new record by who began anew behind retention, which nothing in Kafka's design prevents.
//!
//! Promises: only logs that lost such records are excused, and only from the first of their offsets on; a record that was
//! sent when all that had happened has no excuse for being lost, written twice, or out of place. What nobody sent, what is
//! damaged, and what certainly failed is never excused.
//!
//! What follows from a loss: the records are gone, and their offsets are those of others, so that acknowledgements and
//! readers disagree, and readers beyond the new end miss what comes there. The log forgets with them what it knew of their
//! producers: it takes a batch that was written already and not acknowledged yet a second time (a reader has seen it where
//! it was), and the first that arrives for a producer's first, also where that was sent behind another.

use crate::invariant::committed::Excuse;
use model::finding::{Check, CheckVerdict, Finding, Kind};

/// The checks without what the losses explain. `excuse`: what was lost of a log, by the name of its directory.
pub(super) fn unexplained(checks: &[Check], excuse: impl Fn(&str) -> Option<Excuse>) -> Vec<Check> {
    let is_explained =
        |finding: &Finding| excuse(&dir_of(finding)).is_some_and(|excuse| follows(finding, excuse));
    checks.iter().map(|check| without(check, is_explained)).collect()
}

/// The checks without records that stand twice because who took the second copy for a new record could not know of the
/// first. `forgotten`: the offset below which some replica of a log knows no writers, by the name of the log's directory.
/// What this hides of other duplicates, the invariant `no-duplicates` finds batch by batch.
pub(super) fn not_taken_for_new(checks: &[Check], forgotten: impl Fn(&str) -> i64) -> Vec<Check> {
    let is_explained = |finding: &Finding| {
        let below = forgotten(&dir_of(finding));
        finding.kind == Kind::Duplicate && finding.first_offset.is_some_and(|offset| offset < below)
    };
    checks.iter().map(|check| without(check, is_explained)).collect()
}

fn dir_of(finding: &Finding) -> String {
    format!("{}-{}", finding.topic, finding.log.partition)
}

fn without(check: &Check, is_explained: impl Fn(&Finding) -> bool) -> Check {
    let (explained, findings): (Vec<Finding>, _) =
        check.findings.iter().cloned().partition(is_explained);
    let explained: u64 = explained.iter().map(|finding| finding.count).sum();
    let count = check.count.saturating_sub(explained);
    let is_clean = check.verdict == CheckVerdict::Invalid && count == 0;
    let verdict = if is_clean { CheckVerdict::Valid } else { check.verdict };
    Check { count, verdict, findings, ..check.clone() }
}

fn follows(finding: &Finding, excuse: Excuse) -> bool {
    if finding.first_offset.is_some_and(|offset| offset < excuse.from_offset) {
        return false;
    }
    let until_ms = excuse.until_ns / 1_000_000;
    let mut sent = finding.evidence.iter().filter(|step| step.what == "send");
    match finding.kind {
        Kind::Corrupted | Kind::Phantom | Kind::Resurrected => false,
        Kind::LostWrite | Kind::ReadThenLost | Kind::Duplicate => {
            sent.all(|step| step.at_ms <= until_ms)
        }
        // The one that stands too late was open when the log forgot it.
        Kind::Reordered => sent.any(|step| step.at_ms <= until_ms),
        Kind::Unseen
        | Kind::Reappeared
        | Kind::InconsistentOffsets
        | Kind::PollSkip
        | Kind::NonmonotonicPoll => true,
        // The model clients have neither transactions nor commits that are recorded.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::finding::Evidence;
    use model::history::{LogRef, TopicRef};

    const EXCUSE: Excuse = Excuse { from_offset: 10, until_ns: 2_000_000_000 };

    fn finding(kind: Kind, partition: u32, offset: Option<i64>, sent_ms: &[u64]) -> Finding {
        let step = |at_ms: &u64| {
            let what = "send".to_owned();
            Evidence { index: None, at_ms: *at_ms, what, session: 0, id: None, offset: None }
        };
        Finding {
            cycle: Vec::new(),
            kind,
            log: LogRef { topic: TopicRef(0), partition },
            topic: "t0".to_owned(),
            count: 3,
            first_offset: offset,
            last_offset: offset,
            ids: Vec::new(),
            outcome: None,
            first_ack_ms: None,
            last_ack_ms: None,
            because: String::new(),
            evidence: sent_ms.iter().map(step).collect(),
        }
    }

    fn check(finding: Finding) -> Check {
        Check {
            name: finding.kind.as_str().to_owned(),
            verdict: CheckVerdict::Invalid,
            count: finding.count,
            because: None,
            findings: vec![finding],
        }
    }

    /// What is left of a check with this finding, where records of `t0-1` were lost.
    fn left(finding: Finding) -> (CheckVerdict, u64, usize) {
        let checks = unexplained(&[check(finding)], |dir| (dir == "t0-1").then_some(EXCUSE));
        (checks[0].verdict, checks[0].count, checks[0].findings.len())
    }

    const NONE: (CheckVerdict, u64, usize) = (CheckVerdict::Valid, 0, 0);
    const ALL: (CheckVerdict, u64, usize) = (CheckVerdict::Invalid, 3, 1);

    #[test]
    fn what_was_destroyed_explains_what_is_missing_there_and_then() {
        for kind in [Kind::LostWrite, Kind::ReadThenLost, Kind::Duplicate, Kind::Reordered] {
            assert_eq!(left(finding(kind, 1, Some(10), &[2_000])), NONE);
            assert_eq!(left(finding(kind, 1, None, &[2_000])), NONE, "nobody knows where it was");
            assert_eq!(left(finding(kind, 0, Some(10), &[2_000])), ALL, "another log");
            assert_eq!(left(finding(kind, 1, Some(9), &[2_000])), ALL, "what was left alone");
            assert_eq!(left(finding(kind, 1, Some(10), &[2_001])), ALL, "sent afterwards");
        }
        assert_eq!(left(finding(Kind::LostWrite, 1, Some(10), &[1_000, 2_001])), ALL);
        assert_eq!(left(finding(Kind::Reordered, 1, Some(10), &[1_000, 2_001])), NONE);
    }

    #[test]
    fn readers_may_miss_what_came_in_its_place() {
        for kind in [Kind::PollSkip, Kind::InconsistentOffsets, Kind::NonmonotonicPoll] {
            assert_eq!(left(finding(kind, 1, Some(12), &[5_000])), NONE);
            assert_eq!(left(finding(kind, 1, Some(9), &[1_000])), ALL);
        }
    }

    #[test]
    fn a_record_may_stand_twice_where_its_writer_was_forgotten() {
        for (kind, offset, below, is_left) in [
            (Kind::Duplicate, 3, 4, false),
            (Kind::Duplicate, 4, 4, true),
            (Kind::Duplicate, 3, 0, true),
            (Kind::LostWrite, 3, 4, true),
        ] {
            let checks = [check(finding(kind, 1, Some(offset), &[2_000]))];
            let left = not_taken_for_new(&checks, |dir| if dir == "t0-1" { below } else { 0 });
            assert_eq!(left[0].findings.len(), usize::from(is_left), "{kind:?} {offset} {below}");
        }
    }

    #[test]
    fn nothing_excuses_what_nobody_sent() {
        for kind in [Kind::Corrupted, Kind::Phantom, Kind::Resurrected] {
            assert_eq!(left(finding(kind, 1, Some(12), &[1_000])), ALL);
        }
    }
}
