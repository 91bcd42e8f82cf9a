//! Histories in which nothing is wrong, however they look.

use super::history::*;
use model::history::*;
use model::settings::TopicSettings;
use proptest::prelude::*;

#[test]
fn what_was_written_is_read() {
    let report = History::new()
        .live()
        .written(0..3)
        .polled(LIVE, &[(0, 0), (1, 1), (2, 2)])
        .finally(3, &[(0, 0), (1, 1), (2, 2)])
        .check();
    all_valid(&report);
    assert!(report.facts.final_reads_complete, "{}", report.facts.final_reads);
    assert_eq!((report.counts.ok, report.counts.ok_read, report.counts.read), (3, 3, 3));
    assert_eq!(report.counts.polled, 9);
    assert_eq!(report.facts.logs[0].end, Some(3));
    assert_eq!(report.facts.producers[0].ok, 3);
}

#[test]
fn holes_are_nothing() {
    let report = History::new()
        .live()
        .send(0)
        .ok(0, 1_000_000_000_000)
        .send(1)
        .ok(1, 2_000_000_000_000)
        .polled(LIVE, &[(1_000_000_000_000, 0), (2_000_000_000_000, 1)])
        .finally(2_000_000_000_009, &[(1_000_000_000_000, 0), (2_000_000_000_000, 1)])
        .check();
    all_valid(&report);
}

#[test]
fn an_indeterminate_write_may_be_there_or_not() {
    let report = History::new()
        .send(0)
        .info(0)
        .send(1)
        .info(1)
        .send(2)
        .ok(2, 1)
        .send(3)
        .finally(2, &[(0, 1), (1, 2)])
        .check();
    all_valid(&report);
    assert_eq!((report.counts.info, report.counts.info_read), (3, 1));
    assert_eq!(report.facts.producers[0].info, 3);
}

#[test]
fn the_first_send_that_the_library_gave_up_for_its_age_is_remembered() {
    let told = |outcome: Outcome, error: &str| {
        let error = Some(error.to_owned());
        let history = History::new().send(0).event(Event::Sent { id: id(0), outcome, error });
        history.send(1).info(1).finally(0, &[]).check().facts.producers[0].timed_out_ms
    };
    assert!(told(Outcome::Info, "MessageTimedOut").is_some());
    assert_eq!(told(Outcome::Info, "PurgeQueue"), None);
    assert_eq!(told(Outcome::Fail, "MessageTimedOut"), None);
}

#[test]
fn a_failed_write_that_stays_away_is_fine() {
    all_valid(&History::new().send(0).fail(0).written(1..2).finally(2, &[(1, 1)]).check());
}

#[test]
fn unacknowledged_writes_are_counted_apart() {
    let report = History::new()
        .send(0)
        .unacknowledged(0)
        .send(1)
        .unacknowledged(1)
        .send(2)
        .ok(2, 1)
        .finally(2, &[(0, 1), (1, 2)])
        .check();
    all_valid(&report);
    let counts = report.counts;
    assert_eq!((counts.unacknowledged, counts.unacknowledged_read), (2, 1));
    assert_eq!(counts.unacknowledged_missing, 1);
}

#[test]
fn a_reader_may_start_again_and_be_moved() {
    let report = History::new()
        .live()
        .written(0..4)
        .polled(LIVE, &[(0, 0), (1, 1)])
        .reader(LIVE, ReaderEvent::Seek { log: log(0), offset: 0 })
        .polled(LIVE, &[(0, 0)])
        .reader(LIVE, ReaderEvent::Seek { log: log(0), offset: 3 })
        .polled(LIVE, &[(3, 3)])
        .reader(LIVE, ReaderEvent::Assigned { logs: vec![(log(0), Some(1))] })
        .polled(LIVE, &[(1, 1)])
        .reader(LIVE, ReaderEvent::OutOfRange { log: log(0), offset: 2, reset_to: Some(3) })
        .polled(LIVE, &[(3, 3)])
        .reader(LIVE, ReaderEvent::OutOfRange { log: log(0), offset: 4, reset_to: None })
        .polled(LIVE, &[(2, 2)])
        .reader(LIVE, ReaderEvent::Revoked { logs: vec![log(0)] })
        .polled(LIVE, &[(0, 0)])
        .finally(4, &[(0, 0), (1, 1), (2, 2), (3, 3)])
        .check();
    all_valid(&report);
}

#[test]
fn foreign_records_are_only_counted() {
    let mut history = History::new().written(0..1).send(1).ok(1, 2).bounds(0, 0, 3).bounds(1, 0, 0);
    for reader in FINAL {
        history = history
            .begin_final(reader)
            .polled_as(reader, 0, &[(0, Seen::Record(id(0))), (1, Seen::Foreign)])
            .polled(reader, &[(2, 1)])
            .end_final(reader, true);
    }
    let report = history.check();
    all_valid(&report);
    assert_eq!((report.counts.foreign, report.counts.polled), (1, 6));
}

#[test]
fn elapsed_retention_is_no_loss() {
    let mut settings = settings();
    settings.retention_ms = 50;
    let mut history = History::with(settings).written(0..2);
    for _ in 0..10 {
        history = history.event(Event::Phase { phase: Phase::Settle });
    }
    history = history.written(2..3).bounds(0, 2, 3).bounds(1, 0, 0);
    for reader in FINAL {
        history = history.begin_final(reader).polled(reader, &[(2, 2)]).end_final(reader, true);
    }
    all_valid(&history.check());
}

#[test]
fn records_deleted_on_request_are_no_loss() {
    let mut history = History::new()
        .written(0..3)
        .event(Event::RecordsDeleted { log: log(0), before: 2 })
        .bounds(0, 2, 3)
        .bounds(1, 0, 0);
    for reader in FINAL {
        history = history.begin_final(reader).polled(reader, &[(2, 2)]).end_final(reader, true);
    }
    let report = history.check();
    all_valid(&report);
    // Counted, so that nobody takes them for read.
    assert_eq!((report.counts.ok, report.counts.ok_read, report.counts.ok_removed), (3, 1, 2));
}

#[test]
fn a_deleted_topic_takes_its_records_with_it() {
    let report = History::new()
        .live()
        .written(0..3)
        .polled(LIVE, &[(0, 0), (1, 1), (2, 2)])
        .event(Event::TopicDeleted { topic: TopicRef(0) })
        .check();
    assert_eq!(found(&report), vec![]);
}

#[test]
fn nothing_at_all_is_no_reason_to_panic() {
    all_valid(&History::default().check());
    let report = History::default()
        .ok(3, 4)
        .end_final(9, true)
        .polled(LIVE, &[(-1, 0), (i64::MAX, 1), (i64::MIN, 2)])
        .reader(LIVE, ReaderEvent::EndOfLog { log: log(7), offset: -5 })
        .bounds(9, i64::MIN, i64::MAX)
        .check();
    assert_eq!(report.warnings.len(), 2, "{:?}", report.warnings);
}

/// A cluster that loses nothing: several producers with retries that leave holes, readers at their own pace.
#[derive(Clone, Debug)]
pub(super) struct Step {
    producer: u32,
    partition: u32,
    outcome: u8,
    hole: bool,
    read: usize,
    restart_reader: bool,
}

fn any_step() -> impl Strategy<Value = Step> {
    (0..3u32, 0..2u32, 0..10u8, prop::bool::weighted(0.2), 0..4usize, prop::bool::weighted(0.05))
        .prop_map(|(producer, partition, outcome, hole, read, restart_reader)| Step {
            producer,
            partition,
            outcome,
            hole,
            read,
            restart_reader,
        })
}

pub(super) fn clean_history(steps: &[Step]) -> History {
    let mut history = History::new().live();
    let mut logs: [Vec<(i64, Seen)>; 2] = Default::default();
    let mut next = [0i64; 2];
    let mut sequences = [0u64; 3];
    let mut position = [0usize; 2];
    for step in steps {
        let partition = step.partition as usize;
        let sequence = sequences[step.producer as usize];
        sequences[step.producer as usize] += 1;
        let id = RecordId { session: Session(step.producer + 1), sequence };
        let log_ref = log(step.partition);
        history = history.event(Event::Send { id, log: log_ref, intended_mono_ns: 0 });
        next[partition] += i64::from(step.hole);
        let offset = next[partition];
        let written = step.outcome != 0 && step.outcome != 1;
        if written {
            logs[partition].push((offset, Seen::Record(id)));
            next[partition] += 1;
        }
        let outcome = match step.outcome {
            0 => Some(Outcome::Fail),
            1 | 2 => Some(Outcome::Info),
            3 => None,
            4 => Some(Outcome::Unacknowledged),
            5 => Some(Outcome::Ok { offset: None }),
            _ => Some(Outcome::Ok { offset: Some(offset) }),
        };
        if let Some(outcome) = outcome {
            history = history.event(Event::Sent { id, outcome, error: None });
        }
        if step.restart_reader {
            position = [0; 2];
            let logs = vec![(log(0), None), (log(1), None)];
            history = history.reader(LIVE, ReaderEvent::Assigned { logs });
        }
        let from = position[partition];
        let to = (from + step.read).min(logs[partition].len());
        position[partition] = to;
        let records = logs[partition][from..to].to_vec();
        history = history.polled_as(LIVE, step.partition, &records);
    }
    history = history.bounds(0, 0, next[0]).bounds(1, 0, next[1]);
    for reader in FINAL {
        history = history.begin_final(reader);
        for (partition, records) in logs.iter().enumerate() {
            for some in records.chunks(3) {
                history = history.polled_as(reader, partition as u32, some);
            }
        }
        history = history.end_final(reader, true);
    }
    history
}

pub(super) fn clean_histories() -> impl Strategy<Value = History> {
    prop::collection::vec(any_step(), 1..60).prop_map(|steps| clean_history(&steps))
}

/// The same with a live reader that is never moved.
pub(super) fn plain_histories() -> impl Strategy<Value = History> {
    let step = any_step().prop_map(|step| Step { restart_reader: false, ..step });
    prop::collection::vec(step, 1..60).prop_map(|steps| clean_history(&steps))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_clean_interleaving_is_valid(history in clean_histories()) {
        let report = history.check();
        prop_assert_eq!(found(&report), vec![]);
        let nothing_acknowledged = report.counts.polled == 0;
        for check in &report.checks {
            let valid = check.verdict == model::finding::CheckVerdict::Valid;
            prop_assert!(valid || nothing_acknowledged, "{:?}", check);
        }
    }
}

/// A topic that was made anew under its name is another one: nothing of the old one is in it, and its offsets begin again.
#[test]
fn a_topic_that_was_made_anew_is_another_log() {
    let anew = TopicRef(1);
    let of_anew = LogRef { topic: anew, partition: 0 };
    let (name, settings) = ("queue".to_string(), TopicSettings { partitions: 1, ..settings() });
    let seen = vec![(0, Seen::Record(id(3)))];
    // Sequence 2 was under way meanwhile: nobody knows to which of the two it went, and it is in neither.
    let mut history = History::new()
        .written(0..2)
        .send(2)
        .event(Event::TopicDeleted { topic: TopicRef(0) })
        .event(Event::Topic { topic: anew, name, topic_id: [2; 16], settings })
        .info(2)
        .event(Event::Send { id: id(3), log: of_anew, intended_mono_ns: 0 })
        .ok(3, 0)
        .event(Event::LogBounds { log: of_anew, leader_epoch: 0, start: 0, end: 1, settled: true });
    for reader in FINAL {
        let assigned = ReaderEvent::Assigned { logs: vec![(of_anew, None)] };
        let polled =
            Event::Polled { reader: Session(reader), pass: 0, log: of_anew, records: seen.clone() };
        history = history.begin_final(reader).reader(reader, assigned).event(polled);
        history = history.end_final(reader, true);
    }
    all_valid(&history.check());
}

/// Its sequences begin again: they are those of another session.
#[test]
fn a_producer_that_was_started_again_repeats_and_reorders_nothing() {
    let again = Session(2);
    let settings = producer(model::settings::Acks::All);
    let mut history = History::new().written(0..3).event(Event::ProducerOpened {
        session: again,
        name: "producer-1".into(),
        settings,
    });
    let mut records: Vec<(i64, Seen)> =
        (0..3).map(|at| (at, Seen::Record(id(at as u64)))).collect();
    for sequence in 0..3 {
        let (id, offset) = (RecordId { session: again, sequence }, 3 + sequence as i64);
        let outcome = Outcome::Ok { offset: Some(offset) };
        history = history
            .event(Event::Send { id, log: log(0), intended_mono_ns: 0 })
            .event(Event::Sent { id, outcome, error: None });
        records.push((offset, Seen::Record(id)));
    }
    history = history.bounds(0, 0, 6).bounds(1, 0, 0);
    for reader in FINAL {
        history =
            history.begin_final(reader).polled_as(reader, 0, &records).end_final(reader, true);
    }
    all_valid(&history.check());
}
