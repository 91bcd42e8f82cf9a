//! Every other kind: found, and near misses.

use super::history::*;
use crate::{Checker, Options};
use model::finding::{CheckVerdict, Kind};
use model::history::*;
use model::replicas::ProducerEpoch;

#[test]
fn a_record_at_two_offsets_is_a_duplicate() {
    let report = History::new().written(0..2).finally(3, &[(0, 0), (1, 1), (2, 0)]).check();
    assert_eq!(found(&report), [(Kind::Duplicate, 1)]);
    let because = &check(&report, Kind::Duplicate).findings[0].because;
    assert!(because.contains("sequence 0 of session 1 stands at 0 and 2"), "{because}");
}

#[test]
fn a_record_that_stands_again_under_its_producers_next_epoch_is_told_apart() {
    // Sequences 0 and 1 were sent again under epoch 1; 2 stands twice within that.
    let places = [(0, 0), (1, 1), (2, 0), (3, 1), (4, 2), (5, 2)];
    let told = |first_offset: i64| {
        let history = History::new().written(0..3).finally(6, &places);
        let mut checker = history.fed_to(Checker::new(Options::default()));
        let epoch = |producer_epoch, first_offset| ProducerEpoch {
            producer_id: 7,
            producer_epoch,
            first_offset,
        };
        checker.producer_epochs(log(0), &[epoch(0, 0), epoch(1, first_offset)]);
        let report = checker.finish();
        let check = check(&report, Kind::Duplicate);
        assert_eq!(check.count, 3);
        let findings = check.findings.iter();
        findings
            .map(|found| (found.outcome.clone().unwrap_or_default(), found.count))
            .collect::<Vec<_>>()
    };
    let new = |count| ("new epoch".to_string(), count);
    let old = |count| ("ok".to_string(), count);
    assert_eq!(told(2), [old(1), new(2)]);
    // It begins with the first of the two that it sends again, not with the second.
    assert_eq!(told(3), [old(1), old(1), new(1)]);
    // Where it begins after both copies, it is no excuse.
    assert_eq!(told(4), [old(2), old(1)]);
}

#[test]
fn read_twice_at_one_offset_is_no_duplicate() {
    let report = History::new()
        .live()
        .written(0..2)
        .polled(LIVE, &[(0, 0), (1, 1)])
        .finally(2, &[(0, 0), (1, 1)])
        .check();
    all_valid(&report);
}

#[test]
fn two_readers_that_disagree_about_an_offset() {
    let history = History::new().written(0..2).bounds(0, 0, 3).bounds(1, 0, 0);
    let history = history.begin_final(60).polled(60, &[(0, 0), (1, 1)]).end_final(60, true);
    let history = history.begin_final(61).polled(61, &[(0, 1), (1, 0)]).end_final(61, true);
    let report = history.check();
    let kinds: Vec<Kind> = found(&report).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(check(&report, Kind::InconsistentOffsets).count, 2);
    assert!(kinds.contains(&Kind::Duplicate), "both stand at two offsets");
    let finding = &check(&report, Kind::InconsistentOffsets).findings[0];
    assert_eq!(finding.outcome, None);
    assert!(finding.because.contains("sequence 0 of session 1 (reader session 60"), "{finding:?}");
}

#[test]
fn an_acknowledged_offset_that_no_reader_agrees_with() {
    let report =
        History::new().send(0).ok(0, 7).written(1..2).finally(2, &[(0, 0), (1, 1)]).check();
    assert_eq!(found(&report), [(Kind::InconsistentOffsets, 1)]);
    let read_first = History::new().live().send(0).polled(LIVE, &[(0, 0)]).ok(0, 7);
    assert_eq!(found(&read_first.finally(1, &[(0, 0)]).check()), [(Kind::InconsistentOffsets, 1)]);
}

#[test]
fn disagreement_that_may_be_an_overwrite_says_so() {
    let report = History::new()
        .live()
        .written(0..1)
        .polled(LIVE, &[(0, 0)])
        .send(1)
        .ok(1, 0)
        .event(Event::PassBegan { reader: Session(51), pass: 0, kind: PassKind::Live })
        .reader(51, ReaderEvent::Assigned { logs: vec![(log(0), None)] })
        .polled(51, &[(0, 1)])
        .check();
    assert_eq!(found(&report), [(Kind::InconsistentOffsets, 1)]);
    let finding = &check(&report, Kind::InconsistentOffsets).findings[0];
    assert_eq!(finding.outcome.as_deref(), Some("overwritten"));
}

#[test]
fn a_log_in_another_order_than_sent() {
    let report = History::new()
        .send(0)
        .send(1)
        .send(2)
        .ok(0, 2)
        .ok(1, 0)
        .ok(2, 1)
        .finally(3, &[(0, 1), (1, 2), (2, 0)])
        .check();
    assert_eq!(found(&report), [(Kind::Reordered, 2)]);
    assert_eq!(
        check(&report, Kind::Reordered).findings[0].because,
        "Session 1 sent sequence 0 before sequence 1 to queue-0, but the log holds them the other way round: \
         1 at offset 0, 0 at offset 2. 2 records stand before a record that was sent earlier."
    );
}

#[test]
fn order_is_no_matter_between_logs_and_for_later_copies() {
    let two_logs = History::new().send_to(0, 0).ok(0, 5).send_to(1, 1).ok(1, 0);
    let mut two_logs = two_logs.bounds(0, 0, 6).bounds(1, 0, 1);
    for reader in FINAL {
        two_logs = two_logs
            .begin_final(reader)
            .polled(reader, &[(5, 0)])
            .polled_as(reader, 1, &[(0, Seen::Record(id(1)))])
            .end_final(reader, true);
    }
    all_valid(&two_logs.check());
    // A second copy of the first one behind the second one is a duplicate only.
    let copy = History::new().written(0..2).finally(3, &[(0, 0), (1, 1), (2, 0)]);
    assert_eq!(found(&copy.check()), [(Kind::Duplicate, 1)]);
}

#[test]
fn a_damaged_record_is_corrupted_and_not_lost_too() {
    let mut history = History::new().written(0..3).bounds(0, 0, 3).bounds(1, 0, 0);
    for reader in FINAL {
        history = history
            .begin_final(reader)
            .polled(reader, &[(0, 0)])
            .polled_as(reader, 0, &[(1, Seen::Corrupted(id(1)))])
            .polled(reader, &[(2, 2)])
            .end_final(reader, true);
    }
    assert_eq!(found(&history.check()), [(Kind::Corrupted, 1)]);
}

#[test]
fn nobody_sent_it() {
    let records = [(0, 0), (1, 99), (2, 98)];
    let history = History::new().written(0..1).finally(3, &records);
    assert_eq!(found(&history.check()), [(Kind::Phantom, 2)]);
    let mut cut = history;
    cut.cut = true;
    let report = cut.check();
    assert_eq!(found(&report), []);
    let phantom = check(&report, Kind::Phantom);
    assert_eq!(phantom.verdict, CheckVerdict::Unknown);
    assert!(
        phantom
            .because
            .as_deref()
            .is_some_and(|why| why.starts_with("2 records were read whose sends are not in"))
    );
}

#[test]
fn sent_to_another_log() {
    let history = History::new().written(0..1).send_to(1, 1).ok(1, 0);
    let mut history = history.bounds(0, 0, 3).bounds(1, 0, 1);
    for reader in FINAL {
        let misplaced = Seen::Misplaced { id: id(1), sent_to: log(1) };
        history = history
            .begin_final(reader)
            .polled(reader, &[(0, 0), (1, 1)])
            .polled_as(reader, 0, &[(2, misplaced)])
            .polled_as(reader, 1, &[(0, Seen::Record(id(1)))])
            .end_final(reader, true);
    }
    history.cut = true;
    let report = history.check();
    assert_eq!(found(&report), [(Kind::Phantom, 2)]);
}

#[test]
fn a_read_that_was_written_down_before_the_send() {
    let history = History::new().live().polled(LIVE, &[(0, 0)]).written(0..1);
    all_valid(&history.finally(1, &[(0, 0)]).check());
    let wrong_log = History::new().live().polled(LIVE, &[(0, 0)]).send_to(1, 0);
    assert_eq!(found(&wrong_log.check()), [(Kind::Phantom, 1)]);
}

#[test]
fn failed_and_there_all_the_same() {
    let report = History::new().send(0).fail(0).written(1..2).finally(2, &[(0, 0), (1, 1)]).check();
    assert_eq!(found(&report), [(Kind::Resurrected, 1)]);
}

#[test]
fn a_reader_begins_where_retention_left_the_log_that_it_asked() {
    for (retention_bytes, expected) in
        [(-1, vec![(Kind::Reappeared, 2), (Kind::PollSkip, 2)]), (1_000, vec![])]
    {
        let report =
            History::with(model::settings::TopicSettings { retention_bytes, ..settings() })
                .written(0..4)
                .reader(51, ReaderEvent::Assigned { logs: vec![(log(0), None)] })
                .polled(51, &[(2, 2), (3, 3)])
                .finally(4, &[(0, 0), (1, 1), (2, 2), (3, 3)])
                .check();
        assert_eq!(found(&report), expected, "{retention_bytes}");
    }
}

#[test]
fn a_live_reader_that_passes_over_what_others_got() {
    let report = History::new()
        .live()
        .written(0..4)
        .reader(51, ReaderEvent::Assigned { logs: vec![(log(0), None)] })
        .polled(51, &[(0, 0), (1, 1), (2, 2), (3, 3)])
        .polled(LIVE, &[(0, 0), (3, 3)])
        .finally(4, &[(0, 0), (1, 1), (2, 2), (3, 3)])
        .check();
    assert_eq!(found(&report), [(Kind::PollSkip, 2)]);
    let because = &check(&report, Kind::PollSkip).findings[0].because;
    assert!(
        because.starts_with("Reader session 50 of queue-0 went from offset 0 to 3"),
        "{because}"
    );
}

#[test]
fn a_reader_that_starts_too_late() {
    let report = History::new()
        .live()
        .written(0..2)
        .polled(LIVE, &[(1, 1)])
        .finally(2, &[(0, 0), (1, 1)])
        .check();
    assert_eq!(found(&report), [(Kind::Reappeared, 1), (Kind::PollSkip, 1)]);
    // Where the start of the log has moved above it, it is as it should be.
    let mut moved = History::new()
        .live()
        .written(0..2)
        .polled(LIVE, &[(0, 0), (1, 1)])
        .event(Event::RecordsDeleted { log: log(0), before: 1 })
        .bounds(0, 1, 2)
        .bounds(1, 0, 0);
    for reader in FINAL {
        moved = moved.begin_final(reader).polled(reader, &[(1, 1)]).end_final(reader, true);
    }
    all_valid(&moved.check());
}

#[test]
fn a_final_pass_that_ends_early_and_claims_to_be_complete() {
    let history = History::new().written(0..3).bounds(0, 0, 3).bounds(1, 0, 0);
    let history = history.begin_final(60).polled(60, &[(0, 0), (1, 1), (2, 2)]).end_final(60, true);
    let history = history.begin_final(61).polled(61, &[(0, 0), (1, 1)]).end_final(61, true);
    assert_eq!(found(&history.check()), [(Kind::PollSkip, 1)]);
}

#[test]
fn absent_when_it_was_passed_and_there_later() {
    let report = History::new()
        .live()
        .written(0..3)
        .polled(LIVE, &[(0, 0), (2, 2)])
        .finally(3, &[(0, 0), (1, 1), (2, 2)])
        .check();
    assert_eq!(found(&report), [(Kind::Reappeared, 1), (Kind::PollSkip, 1)]);
}

#[test]
fn a_record_that_did_not_exist_yet_was_not_passed_over() {
    // The log was cut back to offset 1 after the reader had gone on, and written anew.
    let report = History::new()
        .live()
        .written(0..1)
        .send(2)
        .info(2)
        .polled(LIVE, &[(0, 0), (2, 2)])
        .send(3)
        .ok(3, 1)
        .finally(2, &[(0, 0), (1, 3)])
        .check();
    assert_eq!(found(&report), [(Kind::ReadThenLost, 1)]);
}

#[test]
fn a_reader_that_goes_back() {
    let report = History::new()
        .live()
        .written(0..3)
        .polled(LIVE, &[(0, 0), (1, 1)])
        .polled(LIVE, &[(1, 1), (2, 2)])
        .finally(3, &[(0, 0), (1, 1), (2, 2)])
        .check();
    assert_eq!(found(&report), [(Kind::NonmonotonicPoll, 1)]);
}

#[test]
fn a_move_excuses_only_its_own_log_and_moment() {
    let records =
        |sequence: u64| vec![(0, Seen::Record(id(sequence))), (1, Seen::Record(id(sequence + 1)))];
    let history = History::new()
        .live()
        .send_to(0, 0)
        .send_to(0, 1)
        .send_to(1, 2)
        .send_to(1, 3)
        .polled_as(LIVE, 0, &records(0))
        .polled_as(LIVE, 1, &records(2))
        .reader(LIVE, ReaderEvent::Seek { log: log(0), offset: 0 })
        .polled_as(LIVE, 0, &records(0))
        .polled_as(LIVE, 0, &records(0))
        .polled_as(LIVE, 1, &records(2));
    assert_eq!(found(&history.check()), [(Kind::NonmonotonicPoll, 2)]);
}

/// A live reader that was handed the first of three records, and then nothing for a while.
fn waits(healed_events: usize, closed: bool, read_on: bool) -> crate::Report {
    let mut history = History::new().live().written(0..3).polled(LIVE, &[(0, 0)]);
    let ended = Event::PassEnded { reader: Session(LIVE), pass: 0, complete: false };
    if closed {
        history = history.event(ended.clone());
    }
    history = history.event(Event::Phase { phase: Phase::Settle });
    // Time goes by, and nothing happens.
    for _ in 0..healed_events {
        history = history.event(Event::SessionClosed { session: Session(99) });
    }
    if read_on {
        history = history.polled(LIVE, &[(1, 1), (2, 2)]);
    }
    history = history.event(Event::Phase { phase: Phase::FinalReads });
    if !closed {
        history = history.event(ended);
    }
    let all = [(0, 0), (1, 1), (2, 2)];
    let options = crate::Options { stuck_ms: Some(200), ..crate::Options::default() };
    history.finally(3, &all).check_by(crate::Checker::new(options))
}

#[test]
fn a_reader_that_gets_nothing_while_all_is_healed_is_stuck() {
    let stuck = waits(30, false, false);
    assert_eq!(found(&stuck), [(Kind::Stuck, 2)]);
    let because = &check(&stuck, Kind::Stuck).findings[0].because;
    assert!(because.starts_with("Reader session 50 stands at offset 1 of queue-0"), "{because}");
    for (healed_events, closed, read_on) in
        [(5, false, false), (30, true, false), (30, false, true)]
    {
        let near = waits(healed_events, closed, read_on);
        assert_eq!(found(&near), [], "{healed_events} {closed} {read_on}");
        assert_eq!(check(&near, Kind::Stuck).count, 0);
    }
    let unasked = History::new().written(0..1).finally(1, &[(0, 0)]).check();
    assert!(unasked.checks.iter().all(|check| check.name != "stuck"));
}
