//! Random histories of a group whose coordinator forgets nothing: what each way to commit promises holds, and a coordinator
//! that forgets is found.

use super::groups::{self, OTHER};
use super::history::*;
use crate::Report;
use model::finding::Kind;
use model::history::*;
use model::settings::Commits;
use proptest::prelude::*;

/// Records of the log; their sequences are their offsets.
const RECORDS: i64 = 10;

#[derive(Clone, Copy, Debug)]
struct Step {
    /// How many records the member takes at once.
    takes: i64,
    /// It dies before the first, between the two, or after the second of its work and its commit; or goes on.
    dies: u8,
    /// It is told how its commit ended; and it was kept.
    told: bool,
    kept: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (1i64..4, 0u8..8, prop::bool::weighted(0.8), prop::bool::weighted(0.9));
    let step = step.prop_map(|(takes, dies, told, kept)| Step { takes, dies, told, kept });
    prop::collection::vec(step, 1..25)
}

/// What the group really did, and what was written down of it.
struct Played {
    history: History,
    committed: Option<i64>,
    /// The last commit that was kept and told of, where nothing is in doubt since.
    sure: Option<i64>,
}

fn played(commits: Commits, steps: &[Step]) -> Played {
    let mut history = groups::history(commits);
    let (mut member, mut committed, mut sure) = (groups::ONE, None, None);
    let mut at = 0;
    for (number, step) in steps.iter().enumerate() {
        let to = (at + step.takes).min(RECORDS);
        if at == to || step.dies == 0 {
            // Another one takes over, where the group stands.
            member = if member == groups::ONE { OTHER } else { groups::ONE };
            history = history.seen(committed);
            at = committed.unwrap_or(0);
            continue;
        }
        history = history.handed(member, at..to);
        let works = |history: History| history.processed(member, at..to);
        let commit = |history: History| {
            let ending = match (step.told, step.kept) {
                (false, _) => Ending::Info,
                (true, true) => Ending::Committed,
                (true, false) => Ending::Aborted,
            };
            history.asks(member, number as u64, to).told(member, number as u64, ending)
        };
        let dies_between = step.dies == 1;
        let mut commits_now = true;
        let mut goes_on = !dies_between;
        match commits {
            Commits::Before => {
                history = commit(history);
                // Not to be worked on unless the offsets are known to be kept.
                if step.told && step.kept && !dies_between {
                    history = works(history);
                } else {
                    goes_on = false;
                }
            }
            _ => {
                history = works(history);
                commits_now = !dies_between;
                if commits_now {
                    history = commit(history);
                }
            }
        }
        if commits_now {
            committed = if step.kept { Some(to) } else { committed };
            sure = match (step.told, step.kept) {
                (true, true) => Some(to),
                (true, false) => sure,
                (false, _) => None,
            };
        }
        if goes_on {
            at = to;
        } else {
            member = if member == groups::ONE { OTHER } else { groups::ONE };
            history = history.seen(committed);
            at = committed.unwrap_or(0);
        }
    }
    Played { history: history.seen(committed), committed, sure }
}

fn count(report: &Report, kind: Kind) -> u64 {
    check(report, kind).count
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn each_way_to_commit_keeps_its_promise(steps in steps(), before in any::<bool>()) {
        let commits = if before { Commits::Before } else { Commits::After };
        let report = played(commits, &steps).history.all_read().check();
        let kept = if before { Kind::Repeated } else { Kind::Skipped };
        for kind in [kept, Kind::LostCommit, Kind::CommitRegression] {
            prop_assert_eq!(count(&report, kind), 0, "{:?}", kind);
        }
    }

    #[test]
    fn a_coordinator_that_forgets_is_found(steps in steps(), back in 1i64..4) {
        let Played { history, committed, sure } = played(Commits::After, &steps);
        let (Some(committed), Some(sure)) = (committed, sure) else { return Ok(()) };
        prop_assert_eq!(committed, sure);
        let report = history.seen(Some(committed - back).filter(|at| *at > 0)).all_read().check();
        prop_assert_eq!(count(&report, Kind::LostCommit), 1);
        prop_assert_eq!(count(&report, Kind::CommitRegression), 0);
    }
}
