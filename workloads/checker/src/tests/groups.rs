//! Commits that are lost or go back, what a group skipped or did twice, two owners: found, and near misses.

use super::history::*;
use crate::Report;
use model::finding::{CheckVerdict, Kind};
use model::history::*;
use model::settings::{Commits, ConsumerSettings, GroupSettings, Isolation};

pub(super) const ONE: u32 = 70;
pub(super) const OTHER: u32 = 71;

pub(super) fn member(session: u32, commits: Commits) -> Event {
    let settings = ConsumerSettings {
        isolation: Isolation::ReadUncommitted,
        group: Some(GroupSettings { name: "g".into(), commits }),
        properties: Default::default(),
        library: "test".into(),
    };
    Event::ConsumerOpened { session: Session(session), name: "member".into(), settings }
}

/// Ten records in log 0, and two members of a group.
pub(super) fn history(commits: Commits) -> History {
    History::new().written(0..10).event(member(ONE, commits)).event(member(OTHER, commits))
}

impl History {
    /// The member is handed the records of these offsets, which are also their sequences.
    pub(super) fn handed(self, reader: u32, offsets: std::ops::Range<i64>) -> History {
        let assigned = ReaderEvent::Assigned { logs: vec![(log(0), Some(offsets.start))] };
        let records: Vec<(i64, u64)> = offsets.map(|offset| (offset, offset as u64)).collect();
        self.reader(reader, assigned).polled(reader, &records)
    }

    pub(super) fn processed(self, reader: u32, offsets: std::ops::Range<i64>) -> History {
        let (reader, from, to) = (Session(reader), offsets.start, offsets.end);
        self.event(Event::Processed { reader, log: log(0), from, to })
    }

    pub(super) fn asks(self, reader: u32, commit: u64, offset: i64) -> History {
        let offsets = vec![(log(0), offset)];
        self.event(Event::CommitBegan { reader: Session(reader), commit, offsets })
    }

    pub(super) fn told(self, reader: u32, commit: u64, ending: Ending) -> History {
        let reader = Session(reader);
        self.event(Event::CommitEnded { reader, commit, ending, error: None })
    }

    pub(super) fn commits(self, reader: u32, commit: u64, offset: i64) -> History {
        self.asks(reader, commit, offset).told(reader, commit, Ending::Committed)
    }

    /// The coordinator is asked now, and answers at once.
    pub(super) fn seen(self, offset: Option<i64>) -> History {
        let asked_mono_ns = (self.events.len() as u64 + 1) * 10_000_000;
        let group = "g".to_owned();
        self.event(Event::CommittedSeen { group, log: log(0), offset, asked_mono_ns })
    }

    pub(super) fn all_read(self) -> History {
        let all: Vec<(i64, u64)> = (0..10).map(|at| (at, at as u64)).collect();
        self.finally(10, &all)
    }
}

#[test]
fn a_group_that_does_everything_once_is_valid() {
    let joined =
        |reader, generation, logs| Event::Joined { reader: Session(reader), generation, logs };
    let report = history(Commits::After)
        .event(joined(ONE, 1, vec![log(0)]))
        .handed(ONE, 0..6)
        .processed(ONE, 0..6)
        .commits(ONE, 0, 6)
        .event(joined(OTHER, 2, vec![log(0)]))
        .event(joined(ONE, 2, vec![log(1)]))
        .seen(Some(6))
        .handed(OTHER, 6..10)
        .processed(OTHER, 6..10)
        .commits(OTHER, 0, 10)
        .seen(Some(10))
        .all_read()
        .check();
    all_valid(&report);
}

#[test]
fn what_was_committed_and_never_processed_is_skipped() {
    let report = history(Commits::Before)
        .handed(ONE, 0..6)
        .commits(ONE, 0, 6)
        .processed(ONE, 0..2)
        .seen(Some(6))
        .handed(OTHER, 6..10)
        .commits(OTHER, 0, 10)
        .processed(OTHER, 6..10)
        .all_read()
        .check();
    assert_eq!(found(&report), [(Kind::Skipped, 4)]);
    let because = &check(&report, Kind::Skipped).findings[0].because;
    assert_eq!(
        because,
        "4 records of queue-0 were processed by no member of group g, which has committed offset 10: it will never come back to offsets 2 to 5."
    );
    // Not committed beyond: whoever comes next will do it.
    let open = history(Commits::After).handed(ONE, 0..6).commits(ONE, 0, 3).processed(ONE, 0..3);
    assert_eq!(check(&open.all_read().check(), Kind::Skipped).count, 0);
}

#[test]
fn what_was_processed_again_is_repeated() {
    let report = history(Commits::After)
        .handed(ONE, 0..6)
        .processed(ONE, 0..6)
        .handed(OTHER, 2..10)
        .processed(OTHER, 2..10)
        .processed(OTHER, 5..6)
        .all_read()
        .check();
    assert_eq!(found(&report), [(Kind::Repeated, 4)]);
    let because = &check(&report, Kind::Repeated).findings[0].because;
    assert!(because.contains("the second time by session 71"), "{because}");
}

#[test]
fn an_acknowledged_offset_that_the_coordinator_forgot_is_lost() {
    let acknowledged = || history(Commits::After).commits(ONE, 0, 3).commits(ONE, 1, 6);
    for answer in [None, Some(3), Some(0)] {
        let report = acknowledged().seen(answer).all_read().check();
        assert_eq!(check(&report, Kind::LostCommit).count, 1, "{answer:?}");
    }
    assert_eq!(check(&acknowledged().seen(Some(6)).check(), Kind::LostCommit).count, 0);
    let reset = Event::GroupReset { group: "g".into(), log: log(0), offset: Some(0) };
    let reset = acknowledged().event(reset).seen(Some(0)).check();
    assert_eq!(check(&reset, Kind::LostCommit).count, 0);
    // Nobody was told of the second one: either may be in force.
    let pending = || history(Commits::After).commits(ONE, 0, 6).asks(OTHER, 0, 8);
    for answer in [6, 8] {
        assert_eq!(check(&pending().seen(Some(answer)).check(), Kind::LostCommit).count, 0);
    }
    let unknown = pending().told(OTHER, 0, Ending::Info).seen(Some(7)).check();
    assert_eq!(check(&unknown, Kind::LostCommit).count, 0, "beyond what was acknowledged");
    let never_asked = acknowledged().all_read().check();
    assert_eq!(check(&never_asked, Kind::LostCommit).verdict, CheckVerdict::Unknown);
}

#[test]
fn an_answer_that_was_asked_for_before_the_commit_ended_proves_nothing() {
    let asked_mono_ns = (history(Commits::After).events.len() as u64) * 10_000_000;
    let group = "g".to_owned();
    let early = Event::CommittedSeen { group, log: log(0), offset: None, asked_mono_ns };
    let report = history(Commits::After).commits(ONE, 0, 6).event(early).check();
    assert_eq!(check(&report, Kind::LostCommit).count, 0);
}

#[test]
fn a_later_commit_that_puts_the_group_back_is_a_regression() {
    let zombie = history(Commits::After).commits(OTHER, 0, 8).commits(ONE, 0, 3);
    let report = zombie.seen(Some(3)).check();
    assert_eq!(check(&report, Kind::CommitRegression).count, 1);
    assert_eq!(check(&report, Kind::LostCommit).count, 0, "told once");
    // Side by side: no order between them.
    let together = history(Commits::After)
        .asks(ONE, 0, 3)
        .commits(OTHER, 0, 8)
        .told(ONE, 0, Ending::Committed)
        .check();
    assert_eq!(check(&together, Kind::CommitRegression).count, 0);
    let sought = history(Commits::After)
        .commits(ONE, 0, 8)
        .reader(ONE, ReaderEvent::Seek { log: log(0), offset: 3 })
        .commits(ONE, 1, 3)
        .check();
    assert_eq!(check(&sought, Kind::CommitRegression).count, 0);
    let refused = history(Commits::After)
        .commits(OTHER, 0, 8)
        .asks(ONE, 0, 3)
        .told(ONE, 0, Ending::Aborted)
        .seen(Some(8))
        .check();
    assert_eq!(check(&refused, Kind::CommitRegression).count, 0);
    assert_eq!(check(&refused, Kind::LostCommit).count, 0);
}

#[test]
fn two_owners_in_one_generation() {
    let joined = |reader, generation| Event::Joined {
        reader: Session(reader),
        generation,
        logs: vec![log(0)],
    };
    let check_of = |second: Event| {
        let report = history(Commits::After).event(joined(ONE, 4)).event(second).check();
        check(&report, Kind::DoubleOwner).count
    };
    assert_eq!(check_of(joined(OTHER, 4)), 1);
    assert_eq!(check_of(joined(OTHER, 5)), 0);
    assert_eq!(check_of(joined(ONE, 4)), 0);
}

/// A member that copies from log 0 to log 1 in transactions of one record each.
fn copying(copies: &[(i64, u64, Ending)]) -> History {
    let mut history = history(Commits::InTransaction).handed(ONE, 0..3);
    let session = Session(9);
    let (mut at, mut seen) = (0, Vec::new());
    for (transaction, (offset, sequence, ending)) in copies.iter().enumerate() {
        let transaction = transaction as u64;
        let id = RecordId { session, sequence: *sequence };
        let outcome = Outcome::Ok { offset: Some(at) };
        let commit = *ending == Ending::Committed;
        let offsets = vec![(log(0), *offset + 1)];
        let reader = Session(ONE);
        for event in [
            Event::TransactionBegan { session, transaction, reader: Some(reader) },
            Event::Copied { id, log: log(0), offset: *offset },
            Event::Send { id, log: log(1), intended_mono_ns: 0 },
            Event::Sent { id, outcome, error: None },
            Event::OffsetsInTransaction { session, transaction, reader, offsets },
            Event::TransactionEnding { session, transaction, commit },
            Event::TransactionEnded { session, transaction, ending: *ending, error: None },
        ] {
            history = history.event(event);
        }
        if commit {
            seen.push((at, Seen::Record(id)));
        }
        at += 2;
    }
    let all: Vec<(i64, u64)> = (0..10).map(|at| (at, at as u64)).collect();
    history = history.bounds(0, 0, 10).bounds(1, 0, at);
    for reader in FINAL {
        history = history.begin_final(reader).polled(reader, &all);
        history = history.polled_as(reader, 1, &seen).end_final(reader, true);
    }
    history
}

#[test]
fn a_copy_is_exact_where_each_input_has_one_visible_output() {
    use Ending::{Aborted, Committed};
    let clean = [(0, 0, Committed), (1, 1, Aborted), (1, 2, Committed), (2, 3, Committed)];
    all_valid_but_unasked(copying(&clean));
    let twice = [(0, 0, Committed), (1, 1, Committed), (1, 2, Committed), (2, 3, Committed)];
    assert_eq!(found(&copying(&twice).check()), [(Kind::Repeated, 1)]);
    let skipped = [(0, 0, Committed), (1, 1, Aborted), (2, 2, Committed)];
    assert_eq!(found(&copying(&skipped).check()), [(Kind::Skipped, 1)]);
}

fn all_valid_but_unasked(history: History) {
    let report = history.check();
    assert_eq!(found(&report), []);
    let unknown: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.verdict == CheckVerdict::Unknown)
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(unknown, ["lost-commit"], "nobody asked the coordinator");
    assert!(report.checks.iter().all(|check| check.name != "double-owner"), "nor told generations");
}

/// A group whose member had been handed the first of three records when all was healed; what it is told then, and what else
/// happens before the final reads begin.
fn healed(told: Option<ReaderEvent>, later: impl Fn(History) -> History) -> Report {
    let (reader, pass) = (Session(ONE), 0);
    let mut history = History::new()
        .written(0..3)
        .event(member(ONE, Commits::After))
        .event(Event::PassBegan { reader, pass, kind: PassKind::Live })
        .handed(ONE, 0..1)
        .event(Event::Phase { phase: Phase::Settle });
    if let Some(told) = told {
        history = history.reader(ONE, told);
    }
    // Time goes by.
    for _ in 0..30 {
        history = history.event(Event::SessionClosed { session: Session(99) });
    }
    let all = [(0, 0), (1, 1), (2, 2)];
    let options = crate::Options { stuck_ms: Some(200), ..crate::Options::default() };
    later(history)
        .event(Event::Phase { phase: Phase::FinalReads })
        .finally(3, &all)
        .check_by(crate::Checker::new(options))
}

/// What else happens before the final reads begin.
type Later<'a> = &'a dyn Fn(History) -> History;

fn taken() -> ReaderEvent {
    ReaderEvent::Revoked { logs: vec![log(0)] }
}

fn given(from: i64) -> ReaderEvent {
    ReaderEvent::Assigned { logs: vec![(log(0), Some(from))] }
}

#[test]
fn a_member_that_is_handed_nothing_is_stuck_and_so_is_a_group_that_hands_it_to_nobody() {
    let member = "Reader session 70 stands at offset 1";
    let group = "No member of group g was handed anything of queue-0";
    let same = |history: History| history;
    let found_by: [(Option<ReaderEvent>, Later, &str); 5] = [
        (None, &same, member),
        (Some(taken()), &same, group),
        // The place where it stands already: it was not moved.
        (Some(given(1)), &same, member),
        (None, &|history| history.reader(ONE, given(1)), member),
        // Given back a moment ago, after nobody had had it.
        (Some(taken()), &|history| history.reader(ONE, given(1)), group),
    ];
    for (told, later, word) in found_by {
        let report = healed(told, later);
        assert_eq!(found(&report), [(Kind::Stuck, 2)]);
        let because = &check(&report, Kind::Stuck).findings[0].because;
        assert!(because.starts_with(word), "{because}");
    }
}

#[test]
fn a_group_that_was_at_work_on_its_logs_is_not_stuck() {
    let near: [(Option<ReaderEvent>, Later); 3] = [
        // Another one was handed the next record a moment ago.
        (Some(taken()), &|history| {
            history.event(member(OTHER, Commits::After)).handed(OTHER, 1..2)
        }),
        // All was handed to somebody, who is gone.
        (None, &|history| {
            let other = history.event(member(OTHER, Commits::After)).handed(OTHER, 1..3);
            other.reader(OTHER, taken()).reader(ONE, taken())
        }),
        // Nobody is left to be given anything.
        (Some(taken()), &|history| {
            let (reader, pass) = (Session(ONE), 0);
            history.event(Event::PassEnded { reader, pass, complete: false })
        }),
    ];
    for (told, later) in near {
        let report = healed(told, later);
        assert_eq!(check(&report, Kind::Stuck).count, 0);
    }
}
