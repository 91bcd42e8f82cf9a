//! Topics that were deleted and made anew under their names, and sends that were under way meanwhile.

use super::history::*;
use model::finding::Kind;
use model::history::*;
use model::settings::TopicSettings;

/// What was sent to the old one and had no answer when that was deleted may stand in the new one: brokers know it by its name.
#[test]
fn a_send_that_was_under_way_while_its_topic_was_made_anew_may_be_in_either() {
    let anew = LogRef { topic: TopicRef(1), partition: 0 };
    let old = LogRef { topic: TopicRef(0), partition: 0 };
    // Acknowledged before, acknowledged meanwhile and in neither, read in the old one, then twice in the new one, and out of
    // order; indeterminate; acknowledged by the new one.
    let found = |at: i64, sequence: u64| (at, Seen::Misplaced { id: id(sequence), sent_to: old });
    let seen = vec![found(0, 4), found(1, 3), found(2, 3), (3, Seen::Record(id(6))), found(4, 0)];
    let mut history = made_anew(
        History::new().live().written(0..2).send(2).send(3).polled(LIVE, &[(2, 2), (3, 3)]),
        |history| history.send(4).send(5),
    );
    history = history.ok(2, 2).ok(3, 1).info(4).ok(5, 17);
    let to_anew = Event::Send { id: id(6), log: anew, intended_mono_ns: 0 };
    let report = read_anew(history.event(to_anew).ok(6, 3), seen).check();
    all_valid(&report);
    let counts = &report.counts;
    assert_eq!((counts.ok, counts.ok_read, counts.ok_removed), (6, 2, 4));
    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
    assert!(report.warnings[0].starts_with("2 records were acknowledged while"));
}

/// A log of the deleted topic that is served as the new one's is not excused.
#[test]
fn what_was_acknowledged_before_its_topic_was_deleted_is_no_part_of_the_new_one() {
    let old = LogRef { topic: TopicRef(0), partition: 0 };
    let history = made_anew(History::new().written(0..2), |history| history);
    let seen = |sequence| Seen::Misplaced { id: id(sequence), sent_to: old };
    let report = read_anew(history, vec![(0, seen(0)), (1, seen(1))]).check();
    assert_eq!(found(&report), vec![(Kind::Phantom, 2)]);
}

/// A record of the new one that is missing is lost, and so is one that somebody has read there.
#[test]
fn a_loss_in_the_new_topic_does_not_hide_behind_the_old_one() {
    let anew = LogRef { topic: TopicRef(1), partition: 0 };
    let old = LogRef { topic: TopicRef(0), partition: 0 };
    let to_anew = Event::Send { id: id(2), log: anew, intended_mono_ns: 0 };
    let carried = vec![(0, Seen::Misplaced { id: id(1), sent_to: old })];
    let mut history = made_anew(History::new().live().written(0..1).send(1), |history| history);
    history = history.event(to_anew).ok(2, 1).ok(1, 0);
    let polled = Event::Polled { reader: Session(LIVE), pass: 0, log: anew, records: carried };
    let report = read_anew(history.event(polled), Vec::new()).check();
    assert_eq!(found(&report), vec![(Kind::LostWrite, 2), (Kind::ReadThenLost, 1)]);
}

/// The topic is deleted and made anew; `meanwhile` is what happens before clients know.
fn made_anew(history: History, meanwhile: impl Fn(History) -> History) -> History {
    let settings = TopicSettings { partitions: 1, ..settings() };
    let history = meanwhile(history.event(Event::TopicDeleted { topic: TopicRef(0) }));
    let (topic, name) = (TopicRef(1), "queue".to_string());
    history.event(Event::Topic { topic, name, topic_id: [2; 16], settings })
}

/// Both final readers find these in the new topic.
fn read_anew(mut history: History, seen: Vec<(i64, Seen)>) -> History {
    let log = LogRef { topic: TopicRef(1), partition: 0 };
    let end = seen.last().map_or(0, |(offset, _)| offset + 1);
    history =
        history.event(Event::LogBounds { log, leader_epoch: 0, start: 0, end, settled: true });
    for reader in FINAL {
        let assigned = ReaderEvent::Assigned { logs: vec![(log, None)] };
        let records = seen.clone();
        history = history.begin_final(reader).reader(reader, assigned);
        history = history.event(Event::Polled { reader: Session(reader), pass: 0, log, records });
        history = history.end_final(reader, true);
    }
    history
}
