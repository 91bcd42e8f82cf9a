//! Lost, unseen, read then lost: found, and near misses.

use super::history::*;
use model::finding::{CheckVerdict, Kind};
use model::history::*;
use model::settings::TopicSettings;

#[test]
fn an_acknowledged_record_that_both_final_readers_lack_is_lost() {
    let report = History::new().written(0..5).finally(5, &[(0, 0), (4, 4)]).check();
    assert_eq!(found(&report), [(Kind::LostWrite, 3)]);
    let finding = &check(&report, Kind::LostWrite).findings[0];
    assert_eq!((finding.count, finding.first_offset, finding.last_offset), (3, Some(1), Some(3)));
    assert_eq!(finding.ids, [id(1), id(2), id(3)]);
    assert_eq!((finding.first_ack_ms, finding.last_ack_ms), (Some(70), Some(110)));
    assert_eq!(
        finding.because,
        "3 records of queue-0, acknowledged at offsets 1 to 3 (acks=all) between 0.070 s and 0.110 s, are gone. \
         After healing, two independent readers read this log from its start (0) to its end (5, leader epoch 3) and did not find them."
    );
    assert_eq!(finding.evidence[1].what, "ok");
}

#[test]
fn acknowledged_at_or_above_the_end_is_lost_not_unseen() {
    let report = History::new().written(0..5).finally(3, &[(0, 0), (1, 1), (2, 2)]).check();
    assert_eq!(found(&report), [(Kind::LostWrite, 2)]);
    let because = &check(&report, Kind::LostWrite).findings[0].because;
    assert!(because.contains("All of them were acknowledged at or above the end"), "{because}");
}

#[test]
fn everything_lost_of_a_log_that_is_empty_now() {
    let report = History::new().written(0..2).send(2).ok_somewhere(2).finally(0, &[]).check();
    assert_eq!(found(&report), [(Kind::LostWrite, 3)]);
    assert_eq!(check(&report, Kind::LostWrite).findings.len(), 2);
}

#[test]
fn overwritten_after_a_truncation_is_the_loss_that_it_is() {
    let report = History::new()
        .written(0..3)
        .send(3)
        .ok(3, 1)
        .send(4)
        .ok(4, 2)
        .finally(3, &[(0, 0), (1, 3), (2, 4)])
        .check();
    assert_eq!(found(&report), [(Kind::LostWrite, 2)]);
    let because = &check(&report, Kind::LostWrite).findings[0].because;
    assert!(
        because.contains(
            "2 of these offsets were seen to hold other records: 1 holds sequence 3 of session 1"
        ),
        "{because}"
    );
}

#[test]
fn read_and_then_lost() {
    let report = History::new()
        .live()
        .written(0..3)
        .send(3)
        .info(3)
        .polled(LIVE, &[(0, 0), (1, 1), (2, 2), (3, 3)])
        .finally(2, &[(0, 0), (1, 1)])
        .check();
    assert_eq!(found(&report), [(Kind::LostWrite, 1), (Kind::ReadThenLost, 2)]);
    let findings = &check(&report, Kind::ReadThenLost).findings;
    let outcomes: Vec<_> = findings.iter().map(|finding| finding.outcome.as_deref()).collect();
    assert_eq!(outcomes, [Some("ok"), Some("info")]);
}

#[test]
fn one_final_reader_that_has_it_is_enough_not_to_be_lost() {
    let history = History::new().written(0..3).bounds(0, 0, 3).bounds(1, 0, 0);
    let history = history.begin_final(60).polled(60, &[(0, 0), (2, 2)]).end_final(60, true);
    let history = history.begin_final(61).polled(61, &[(0, 0), (1, 1), (2, 2)]).end_final(61, true);
    // The first one went past it, and it was there.
    assert_eq!(found(&history.check()), [(Kind::Reappeared, 1), (Kind::PollSkip, 1)]);
}

#[test]
fn without_complete_final_reads_it_is_unseen() {
    let begun = History::new().written(0..3);
    let all = [(0, 0), (1, 1)];
    let never_read = begun.clone();
    assert_eq!(found(&never_read.check()), [(Kind::Unseen, 3)]);
    let one_reader = begun.clone().bounds(0, 0, 3).begin_final(60).polled(60, &all);
    let one_reader = one_reader.end_final(60, true);
    assert_eq!(found(&one_reader.check()), [(Kind::Unseen, 1)]);
    let one_incomplete = one_reader.clone().begin_final(61).polled(61, &all).end_final(61, false);
    assert_eq!(found(&one_incomplete.check()), [(Kind::Unseen, 1)]);
    let unsettled = begun.clone().begin_final(60).polled(60, &all).end_final(60, true);
    let unsettled = unsettled.begin_final(61).polled(61, &all).end_final(61, true);
    assert_eq!(found(&unsettled.check()), [(Kind::Unseen, 1)]);
    let twice_the_same = one_reader.clone().event(Event::PassBegan {
        reader: Session(60),
        pass: 1,
        kind: PassKind::Final,
    });
    let twice_the_same =
        twice_the_same.event(Event::PassEnded { reader: Session(60), pass: 1, complete: true });
    assert_eq!(found(&twice_the_same.check()), [(Kind::Unseen, 1)]);
    let report = one_reader.check();
    let lost = check(&report, Kind::LostWrite);
    assert_eq!(lost.verdict, CheckVerdict::Unknown);
    assert_eq!(
        lost.because.as_deref(),
        Some(
            "the final reads are not complete: queue-0: 1 of two independent readers read it from its start to its end"
        )
    );
}

#[test]
fn a_final_pass_that_did_not_cover_the_log_does_not_count() {
    let all = [(0, 0), (1, 1), (2, 2)];
    let begun = History::new().written(0..4).bounds(0, 0, 4).bounds(1, 0, 0);
    let begun = begun.begin_final(60).polled(60, &all).end_final(60, true);
    let second = |from: Option<i64>| {
        begun
            .clone()
            .event(Event::PassBegan { reader: Session(61), pass: 0, kind: PassKind::Final })
            .reader(61, ReaderEvent::Assigned { logs: vec![(log(0), from)] })
    };
    let covers = second(None).polled(61, &all).end_final(61, true);
    assert_eq!(found(&covers.check()), [(Kind::LostWrite, 1)]);
    let late = second(Some(1)).polled(61, &all[1..]).end_final(61, true);
    assert_eq!(found(&late.check()), [(Kind::Unseen, 1)]);
    let jumped = second(None)
        .polled(61, &all[..1])
        .reader(61, ReaderEvent::Seek { log: log(0), offset: 2 })
        .polled(61, &all[2..])
        .end_final(61, true);
    assert_eq!(found(&jumped.check()), [(Kind::Unseen, 1)]);
    let stopped = second(None)
        .polled(61, &all)
        .reader(61, ReaderEvent::EndOfLog { log: log(0), offset: 3 })
        .end_final(61, true);
    assert_eq!(found(&stopped.check()), [(Kind::Unseen, 1)]);
    let told_of_an_earlier_end = second(None)
        .polled(61, &all[..2])
        .reader(61, ReaderEvent::EndOfLog { log: log(0), offset: 2 })
        .end_final(61, true);
    assert_eq!(found(&told_of_an_earlier_end.check()), [(Kind::Unseen, 1)]);
    let reset_and_read_all = second(None)
        .polled(61, &all[..1])
        .reader(61, ReaderEvent::Seek { log: log(0), offset: 0 })
        .polled(61, &all)
        .reader(61, ReaderEvent::EndOfLog { log: log(0), offset: 4 })
        .end_final(61, true);
    assert_eq!(found(&reset_and_read_all.check()), [(Kind::LostWrite, 1)]);
}

#[test]
fn passed_over_for_good_is_lost_even_without_final_reads() {
    let lost = History::new().live().written(0..3).polled(LIVE, &[(0, 0), (2, 2)]);
    assert_eq!(found(&lost.check()), [(Kind::LostWrite, 1)]);
    // Read past before it was sent: it may stand there now.
    let later = History::new()
        .live()
        .send(0)
        .ok(0, 0)
        .send(2)
        .polled(LIVE, &[(0, 0), (2, 2)])
        .send(1)
        .ok(1, 1)
        .ok(2, 2);
    assert_eq!(found(&later.check()), [(Kind::Unseen, 1)]);
    // Not reached by any reader yet.
    let ahead = History::new().live().written(0..3).polled(LIVE, &[(0, 0), (1, 1)]);
    assert_eq!(found(&ahead.check()), [(Kind::Unseen, 1)]);
    // The reader was moved past it.
    let moved = History::new()
        .live()
        .written(0..3)
        .polled(LIVE, &[(0, 0)])
        .reader(LIVE, ReaderEvent::Seek { log: log(0), offset: 2 })
        .polled(LIVE, &[(2, 2)]);
    assert_eq!(found(&moved.check()), [(Kind::Unseen, 1)]);
    // Another record stands in its place.
    let replaced =
        History::new().live().written(0..2).send(2).ok(2, 1).polled(LIVE, &[(0, 0), (1, 2)]);
    assert_eq!(found(&replaced.check()), [(Kind::LostWrite, 1)]);
}

#[test]
fn a_log_start_that_moved_for_no_reason_is_loss() {
    let mut history = History::new().written(0..3).bounds(0, 2, 3).bounds(1, 0, 0);
    for reader in FINAL {
        history = history.begin_final(reader).polled(reader, &[(2, 2)]).end_final(reader, true);
    }
    let report = history.check();
    assert_eq!(found(&report), [(Kind::LostWrite, 2)]);
    let because = &check(&report, Kind::LostWrite).findings[0].because;
    assert!(
        because.contains("below the log start offset, which moved to 2 though no retention"),
        "{because}"
    );
}

#[test]
fn deletion_on_request_covers_only_what_stood_before() {
    let mut history = History::new()
        .written(0..4)
        .event(Event::RecordsDeleted { log: log(0), before: 1 })
        .bounds(0, 2, 4)
        .bounds(1, 0, 0);
    for reader in FINAL {
        history =
            history.begin_final(reader).polled(reader, &[(2, 2), (3, 3)]).end_final(reader, true);
    }
    assert_eq!(found(&history.check()), [(Kind::LostWrite, 1)]);
}

#[test]
fn what_settings_might_have_removed_is_unknown() {
    for compacts in [false, true] {
        let mut settings = settings();
        if compacts {
            settings.cleanup_policy = "compact".into();
        } else {
            settings.retention_bytes = 1000;
        }
        let mut history = History::with(settings).written(0..3).bounds(0, 1, 3).bounds(1, 0, 0);
        for reader in FINAL {
            history = history
                .begin_final(reader)
                .polled(reader, &[(1, 1), (2, 2)])
                .end_final(reader, true);
        }
        let report = history.check();
        assert_eq!(found(&report), []);
        assert_eq!(check(&report, Kind::LostWrite).verdict, CheckVerdict::Unknown);
    }
}

/// A leader that is cut off deletes by the settings that it knows, until it is healed and hears of others.
#[test]
fn settings_that_were_changed_under_faults_may_still_be_gone_by() {
    let changed_in = |phase: Phase| {
        let bounded = TopicSettings { retention_bytes: 1000, ..settings() };
        let mut history = History::with(bounded)
            .event(Event::Phase { phase: Phase::Faults })
            .event(Event::Phase { phase })
            .event(Event::Settings { topic: TopicRef(0), settings: settings() })
            .written(0..3)
            .bounds(0, 1, 3)
            .bounds(1, 0, 0);
        for reader in FINAL {
            let rest = [(1, 1), (2, 2)];
            history = history.begin_final(reader).polled(reader, &rest).end_final(reader, true);
        }
        found(&history.check())
    };
    assert_eq!(changed_in(Phase::Faults), []);
    assert_eq!(changed_in(Phase::Heal), []);
    assert_eq!(changed_in(Phase::Settle), [(Kind::LostWrite, 1)]);
}

#[test]
fn many_final_passes_that_came_to_nothing_are_forgotten() {
    let mut history = History::new().written(0..2).bounds(0, 0, 2).bounds(1, 0, 0);
    let mut attempt = |pass: u32, complete: bool, records: &[(i64, u64)]| {
        let reader = Session(60 + pass % 2);
        let records = records.iter().map(|(o, s)| (*o, Seen::Record(id(*s)))).collect();
        history.events.extend([
            Event::PassBegan { reader, pass, kind: PassKind::Final },
            Event::Reader {
                reader,
                pass,
                what: ReaderEvent::Assigned { logs: vec![(log(0), None)] },
            },
            Event::Polled { reader, pass, log: log(0), records },
            Event::PassEnded { reader, pass, complete },
        ]);
    };
    for pass in 0..40 {
        attempt(pass, false, &[(0, 0), (1, 1)]);
    }
    attempt(40, true, &[(0, 0)]);
    attempt(41, true, &[(0, 0)]);
    assert_eq!(found(&history.check()), [(Kind::LostWrite, 1), (Kind::ReadThenLost, 1)]);
}

#[test]
fn acks_of_different_kinds_never_share_a_finding() {
    let mut settings = producer(model::settings::Acks::Leader);
    settings.idempotence = false;
    let other = Session(2);
    let other_id = RecordId { session: other, sequence: 0 };
    let history = History::new()
        .event(Event::ProducerOpened { session: other, name: "p".into(), settings })
        .written(0..1)
        .event(Event::Send { id: other_id, log: log(0), intended_mono_ns: 0 })
        .event(Event::Sent { id: other_id, outcome: Outcome::Ok { offset: Some(1) }, error: None })
        .finally(0, &[]);
    let report = history.check();
    assert_eq!(found(&report), [(Kind::LostWrite, 2)]);
    assert_eq!(check(&report, Kind::LostWrite).findings.len(), 2);
}
