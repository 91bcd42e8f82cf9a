//! What consumer groups promise, by when they commit: at most once, at least once, exactly once.

use super::Inputs;
use super::parts::{Weight, part, unless_withdrawn};
use model::fault::Destroys;
use model::finding::Kind;
use model::settings::Commits;
use model::verdict::Promise;

/// `None`: there were no groups.
pub(super) fn processing(inputs: &Inputs) -> Option<Promise> {
    inputs.check(Kind::Skipped)?;
    let promised = "a group that commits before it works processes a record at most once, one that commits afterwards at \
                    least once, and one that commits with its output exactly once";
    Some(part("processing", promised, &[Kind::Skipped, Kind::Repeated], inputs, |finding| {
        let of = |commits: Commits| finding.outcome.as_deref() == Some(commits.as_str());
        let known = Commits::ALL.into_iter().any(of);
        if !known {
            return Weight::Unknown("the history does not say when the group commits".into());
        }
        let outside = match finding.kind {
            Kind::Skipped if of(Commits::Before) => {
                "a group that commits before it works may skip what it had committed when it died"
            }
            Kind::Repeated if of(Commits::After) || of(Commits::Automatic) => {
                "a group that commits after it worked may repeat what it had not committed when it died"
            }
            _ => return unless_withdrawn(finding, inputs),
        };
        Weight::Outside(outside.into())
    }))
}

/// `None`: there were no groups.
pub(super) fn commits(inputs: &Inputs) -> Option<Promise> {
    inputs.check(Kind::LostCommit)?;
    let promised = "a group's acknowledged offset stays, and goes back for nobody but who resets the group; a partition has \
                    one owner in a generation";
    let kinds: Vec<Kind> = [Kind::LostCommit, Kind::CommitRegression, Kind::DoubleOwner]
        .into_iter()
        // Where nobody asked, or clients do not tell, there is nothing to be held against the cluster.
        .filter(|kind| inputs.check(*kind).is_some_and(|check| check.because.is_none()))
        .collect();
    Some(part("commits", promised, &kinds, inputs, |finding| {
        let destroys = |one: &Destroys| *one != Destroys::Nothing;
        let was_destroyed = inputs
            .faults
            .iter()
            .any(|fault| fault.confirmed_ms.is_some() && destroys(&fault.destroys));
        if finding.kind != Kind::DoubleOwner && was_destroyed {
            let why = "copies were destroyed, and nobody saw whether those of the group's offsets were among them";
            return Weight::Unknown(why.into());
        }
        Weight::Broken
    }))
}
