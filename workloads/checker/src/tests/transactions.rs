//! Aborted, early and one's own reads, torn transactions, fenced writers: found, and near misses.

use super::history::*;
use model::finding::{CheckVerdict, Kind};
use model::history::*;
use model::settings::{Acks, ConsumerSettings, Isolation, ProducerSettings};

/// Reads whatever stands in the log.
pub(super) const DIRTY: u32 = 51;

pub(super) fn opened(session: u32, transactional_id: &str) -> Event {
    let settings =
        ProducerSettings { transactional_id: Some(transactional_id.into()), ..producer(Acks::All) };
    Event::ProducerOpened { session: Session(session), name: "transactor".into(), settings }
}

pub(super) fn reader(session: u32, isolation: Isolation) -> Event {
    let settings = ConsumerSettings {
        isolation,
        group: None,
        properties: Default::default(),
        library: "test".into(),
    };
    Event::ConsumerOpened { session: Session(session), name: "reader".into(), settings }
}

/// The producer has transactions, and all readers but one read what is committed.
pub(super) fn history() -> History {
    let mut history = History::new();
    history.events.pop();
    let mut history = history.event(opened(PRODUCER, "t"));
    for session in [LIVE, FINAL[0], FINAL[1]] {
        history = history.event(reader(session, Isolation::ReadCommitted));
    }
    history.event(reader(DIRTY, Isolation::ReadUncommitted)).live()
}

impl History {
    fn begin(self, transaction: u64) -> History {
        let (session, reader) = (Session(PRODUCER), Some(Session(LIVE)));
        self.event(Event::TransactionBegan { session, transaction, reader })
    }

    fn ask(self, transaction: u64, commit: bool) -> History {
        self.event(Event::TransactionEnding { session: Session(PRODUCER), transaction, commit })
    }

    fn ended(self, transaction: u64, ending: Ending) -> History {
        let session = Session(PRODUCER);
        self.event(Event::TransactionEnded { session, transaction, ending, error: None })
    }

    fn commit(self, transaction: u64) -> History {
        self.ask(transaction, true).ended(transaction, Ending::Committed)
    }

    fn abort(self, transaction: u64) -> History {
        self.ask(transaction, false).ended(transaction, Ending::Aborted)
    }

    /// Begins a transaction that writes these to log 0, at the offsets of the same number.
    fn transaction(self, transaction: u64, sequences: std::ops::Range<u64>) -> History {
        self.begin(transaction).written(sequences)
    }
}

#[test]
fn committed_and_aborted_transactions_that_are_seen_as_such_are_valid() {
    // Offset 2 is the marker of the first, 5 of the second.
    let report = history()
        .transaction(0, 0..2)
        .commit(0)
        .polled(LIVE, &[(0, 0), (1, 1)])
        .begin(1)
        .send(2)
        .ok(2, 3)
        .send(3)
        .ok(3, 4)
        .polled(DIRTY, &[(3, 2), (4, 3)])
        .abort(1)
        .begin(2)
        .send(4)
        .ok(4, 6)
        .commit(2)
        .polled(LIVE, &[(6, 4)])
        .finally(8, &[(0, 0), (1, 1), (6, 4)])
        .check();
    all_valid(&report);
    assert_eq!((report.counts.ok, report.counts.fail), (3, 2));
}

#[test]
fn a_lost_record_of_a_committed_transaction_is_lost_and_tears_it() {
    let report = history().transaction(0, 0..3).commit(0).finally(4, &[(0, 0), (2, 2)]).check();
    assert_eq!(found(&report), [(Kind::LostWrite, 1), (Kind::TornTransaction, 1)]);
    let because = &check(&report, Kind::TornTransaction).findings[0].because;
    assert_eq!(
        because,
        "Transaction 0 of session 1 was committed, and 2 of its records stand in the logs for readers of committed records, but 1 is not there, of queue-0 among others."
    );
    let whole = history().transaction(0, 0..3).commit(0).finally(4, &[]).check();
    assert_eq!(found(&whole), [(Kind::LostWrite, 3)], "all of it is gone");
}

#[test]
fn a_delivery_report_says_nothing_against_the_transactions_end() {
    let report = history().begin(0).send(0).info(0).commit(0).finally(2, &[]).check();
    assert_eq!(found(&report), [(Kind::LostWrite, 1)], "committed, whatever the send was told");
    let aborted = history().transaction(0, 0..1).abort(0).finally(2, &[]).check();
    assert_eq!(found(&aborted), []);
    let open = history().transaction(0, 0..1).finally(1, &[]).check();
    assert_eq!(found(&open), []);
}

#[test]
fn an_indeterminate_commit_of_which_something_was_read_has_committed() {
    let unknown = || history().transaction(0, 0..2).ask(0, true).ended(0, Ending::Info);
    assert_eq!(found(&unknown().finally(3, &[]).check()), []);
    let read = unknown().polled(LIVE, &[(0, 0), (1, 1)]).finally(3, &[(0, 0), (1, 1)]).check();
    all_valid(&read);
    let torn = unknown().polled(LIVE, &[(0, 0)]).finally(3, &[(0, 0)]).check();
    assert_eq!(found(&torn), [(Kind::LostWrite, 1), (Kind::TornTransaction, 1)]);
    // Whoever reads what is not committed proves nothing.
    all_valid(&unknown().polled(DIRTY, &[(0, 0)]).finally(3, &[]).check());
}

#[test]
fn an_aborted_record_in_the_hands_of_a_reader_of_committed_ones() {
    let aborted = || history().transaction(0, 0..1).abort(0);
    let report = aborted().polled(LIVE, &[(0, 0)]).finally(2, &[]).check();
    assert_eq!(found(&report), [(Kind::G1a, 1)]);
    let because = &check(&report, Kind::G1a).findings[0].because;
    assert!(because.contains("belongs to transaction 0 of session 1, which ended as aborted"));
    all_valid(&aborted().polled(DIRTY, &[(0, 0)]).finally(2, &[]).check());
}

#[test]
fn a_failed_send_outside_of_transactions_is_resurrected() {
    let report =
        History::new().live().send(0).fail(0).polled(LIVE, &[(0, 0)]).finally(1, &[(0, 0)]);
    assert_eq!(found(&report.check()), [(Kind::Resurrected, 1)]);
}

#[test]
fn a_record_that_was_read_before_its_commit_was_asked_for() {
    let early = |reader| {
        let history = history().transaction(0, 0..1);
        let other = Event::PassBegan { reader: Session(reader), pass: 0, kind: PassKind::Live };
        history.event(other).polled(reader, &[(0, 0)]).commit(0).finally(2, &[(0, 0)]).check()
    };
    all_valid(&early(DIRTY));
    assert_eq!(found(&early(FINAL[0])), [(Kind::G1b, 1)]);
    assert_eq!(found(&early(LIVE)), [(Kind::PrecommittedRead, 1)], "its own transaction's reader");
    // Asked for, and not answered yet: it may have committed.
    let asked = history()
        .transaction(0, 0..1)
        .ask(0, true)
        .polled(LIVE, &[(0, 0)])
        .ended(0, Ending::Committed)
        .finally(2, &[(0, 0)]);
    all_valid(&asked.check());
}

#[test]
fn an_early_read_of_what_was_aborted_is_told_once() {
    let report =
        history().transaction(0, 0..1).polled(FINAL[0], &[(0, 0)]).abort(0).finally(2, &[]).check();
    assert_eq!(found(&report), [(Kind::G1a, 1)]);
}

#[test]
fn a_reader_passes_over_aborted_records_and_not_over_committed_ones() {
    let after = |history: History| {
        history.begin(1).send(1).ok(1, 2).commit(1).polled(LIVE, &[(2, 1)]).check()
    };
    let aborted = after(history().transaction(0, 0..1).polled(DIRTY, &[(0, 0)]).abort(0));
    assert_eq!(check(&aborted, Kind::PollSkip).count, 0);
    let committed = history().transaction(0, 0..1).commit(0).polled(FINAL[0], &[(0, 0)]);
    let committed =
        committed.polled(LIVE, &[]).reader(LIVE, ReaderEvent::Seek { log: log(0), offset: 0 });
    assert_eq!(check(&after(committed), Kind::PollSkip).count, 1);
}

#[test]
fn what_a_fenced_producer_commits_must_not_take_effect() {
    let fenced = |before: bool| {
        let history = history().transaction(0, 0..1);
        let history = if before { history.ask(0, true) } else { history };
        let history = history.event(opened(2, "t"));
        if before { history } else { history.ask(0, true) }
    };
    let visible = |history: History| {
        history.ended(0, Ending::Committed).polled(LIVE, &[(0, 0)]).finally(2, &[(0, 0)]).check()
    };
    assert_eq!(found(&visible(fenced(false))), [(Kind::StaleEpochWrite, 1)]);
    all_valid(&visible(fenced(true)));
    all_valid(&fenced(false).ended(0, Ending::Aborted).finally(2, &[]).check());
    let other = history().transaction(0, 0..1).event(opened(2, "another")).ask(0, true);
    all_valid(&visible(other));
}

#[test]
fn a_transaction_that_begins_after_its_session_was_fenced() {
    let report = history()
        .event(opened(2, "t"))
        .transaction(0, 0..2)
        .commit(0)
        .polled(LIVE, &[(0, 0), (1, 1)])
        .finally(3, &[(0, 0), (1, 1)])
        .check();
    assert_eq!(found(&report), [(Kind::StaleEpochWrite, 2)]);
}

#[test]
fn what_was_not_finally_read_may_be_late() {
    let report = history().transaction(0, 0..2).commit(0).polled(LIVE, &[(0, 0)]).check();
    assert_eq!(check(&report, Kind::TornTransaction).verdict, CheckVerdict::Unknown);
    assert_eq!(check(&report, Kind::G1a).verdict, CheckVerdict::Valid);
    let plain = History::new().written(0..1).finally(1, &[(0, 0)]).check();
    assert!(plain.checks.iter().all(|check| check.name != "G1a"), "there were no transactions");
}

/// Nothing goes through what lies between two sequences.
#[test]
fn sequences_far_apart_are_answered_at_once() {
    let report = history()
        .begin(0)
        .send(0)
        .send(u64::MAX - 1)
        .ok(u64::MAX - 1, 0)
        .commit(0)
        .finally(2, &[(0, u64::MAX - 1)])
        .check();
    assert_eq!(found(&report), [(Kind::LostWrite, 1), (Kind::TornTransaction, 1)]);
}

#[test]
fn odd_transactions_are_answered() {
    let session = Session(PRODUCER);
    let report = history()
        .ended(3, Ending::Committed)
        .ask(4, true)
        .transaction(0, 0..1)
        .transaction(0, 1..2)
        .commit(0)
        .commit(0)
        .event(Event::TransactionBegan { session: Session(77), transaction: 9, reader: None })
        .event(Event::OffsetsInTransaction {
            session,
            transaction: 8,
            reader: Session(9),
            offsets: vec![(log(5), -3)],
        })
        .finally(3, &[(0, 0), (1, 1)])
        .check();
    assert_eq!(found(&report), []);
    assert!(report.warnings[0].contains("were written down before"), "{:?}", report.warnings);
}

/// Each of two transactions reads what the other one wrote, so that neither can have been first.
/// `crossed`: their writes to two further logs stand in opposite orders, too.
fn each_reads_the_other(crossed: bool) -> History {
    let (other, other_reader) = (Session(2), 52);
    let theirs = RecordId { session: other, sequence: 0 };
    let outcome = Outcome::Ok { offset: Some(0) };
    let committed = |session, reader: u32| {
        [
            Event::TransactionEnding { session, transaction: 0, commit: true },
            Event::TransactionEnded {
                session,
                transaction: 0,
                ending: Ending::Committed,
                error: None,
            },
            Event::PassEnded { reader: Session(reader), pass: 0, complete: false },
        ]
    };
    let mut history = history()
        .event(opened(2, "u"))
        .event(reader(other_reader, Isolation::ReadCommitted))
        .begin(0)
        .written(0..1)
        .event(Event::TransactionBegan {
            session: other,
            transaction: 0,
            reader: Some(Session(other_reader)),
        })
        .event(Event::Send { id: theirs, log: log(1), intended_mono_ns: 0 })
        .event(Event::Sent { id: theirs, outcome, error: None })
        .polled_as(LIVE, 1, &[(0, Seen::Record(theirs))])
        .polled(other_reader, &[(0, 0)]);
    // In log 2 the first one comes first, in log 3 the other.
    let crossing =
        [(Session(1), 10, 2, 0), (other, 11, 2, 1), (other, 12, 3, 0), (Session(1), 13, 3, 1)];
    let crossing = if crossed { &crossing[..] } else { &[] };
    for (session, sequence, at, offset) in crossing {
        let id = RecordId { session: *session, sequence: *sequence };
        let outcome = Outcome::Ok { offset: Some(*offset) };
        history = history
            .event(Event::Send { id, log: log(*at), intended_mono_ns: 0 })
            .event(Event::Sent { id, outcome, error: None });
    }
    for event in committed(other, other_reader).into_iter().chain(committed(Session(1), LIVE)) {
        history = history.event(event);
    }
    history = history.bounds(0, 0, 2).bounds(1, 0, 2);
    for at in [2, 3].into_iter().filter(|_| crossed) {
        history = history.bounds(at, 0, 3);
    }
    for reader in FINAL {
        history = history.begin_final(reader).polled(reader, &[(0, 0)]);
        history = history.polled_as(reader, 1, &[(0, Seen::Record(theirs))]);
        for at in [2, 3].into_iter().filter(|_| crossed) {
            let of_log = crossing.iter().filter(|(_, _, log, _)| *log == at);
            let seen: Vec<_> = of_log
                .map(|(session, sequence, _, offset)| {
                    (*offset, Seen::Record(RecordId { session: *session, sequence: *sequence }))
                })
                .collect();
            history = history.polled_as(reader, at, &seen);
        }
        history = history.end_final(reader, true);
    }
    history
}

#[test]
fn a_cycle_of_writes_and_reads() {
    let report = each_reads_the_other(false).check();
    let found = |kind: Kind| check(&report, kind).count;
    assert_eq!((found(Kind::G1c), found(Kind::G0), found(Kind::G1b)), (1, 0, 2));
    let finding = &check(&report, Kind::G1c).findings[0];
    assert_eq!(finding.cycle.len(), 2);
    assert!(finding.cycle.iter().all(|step| step.edge == model::finding::Edge::WriteRead));
    let logs: Vec<_> = finding.cycle.iter().filter_map(|step| step.log).collect();
    assert!(logs.contains(&log(0)) && logs.contains(&log(1)), "{logs:?}");
    assert!(finding.because.contains("1."), "{}", finding.because);
}

#[test]
fn a_legal_cycle_of_writes_hides_no_cycle_of_reads() {
    let report = each_reads_the_other(true).check();
    let of = |kind: Kind| check(&report, kind);
    assert_eq!((of(Kind::G0).count, of(Kind::G0).verdict), (1, CheckVerdict::Valid));
    assert_eq!((of(Kind::G1c).count, of(Kind::G1c).verdict), (1, CheckVerdict::Invalid));
    let edges: Vec<_> = of(Kind::G1c).findings[0].cycle.iter().map(|step| step.edge).collect();
    assert_eq!(edges, [model::finding::Edge::WriteRead; 2]);
}

/// Nobody can read committed records beyond a transaction that hangs: until it is ended, nothing is known of what comes after.
#[test]
fn behind_a_hanging_transaction_nothing_can_be_told() {
    let mut history = history().transaction(0, 0..1).bounds(0, 0, 2).bounds(1, 0, 0);
    let other = RecordId { session: Session(2), sequence: 0 };
    let outcome = Outcome::Ok { offset: Some(1) };
    for event in [
        Event::Send { id: other, log: log(0), intended_mono_ns: 0 },
        Event::Sent { id: other, outcome, error: None },
    ] {
        history = history.event(event);
    }
    for reader in FINAL {
        history = history.begin_final(reader).polled(reader, &[]).end_final(reader, false);
    }
    let report = history.check();
    assert_eq!(found(&report), [(Kind::Unseen, 1)]);
    assert_eq!(check(&report, Kind::LostWrite).verdict, CheckVerdict::Unknown);
}
