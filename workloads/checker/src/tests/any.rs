//! Histories that no run could write: each has an answer, none a panic.

use super::history::*;
use crate::{Checker, Options};
use model::history::*;
use model::settings::{Commits, Isolation};
use proptest::prelude::*;

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0..6i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN), 1 => any::<i64>()]
}

fn any_id() -> impl Strategy<Value = RecordId> {
    let sequence = prop_oneof![8 => 0..6u64, 1 => any::<u64>()];
    (0..3u32, sequence)
        .prop_map(|(session, sequence)| RecordId { session: Session(session), sequence })
}

fn any_log() -> impl Strategy<Value = LogRef> {
    (0..2u32, 0..3u32).prop_map(|(topic, partition)| LogRef { topic: TopicRef(topic), partition })
}

fn any_seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        6 => any_id().prop_map(Seen::Record),
        1 => any_id().prop_map(Seen::Corrupted),
        1 => (any_id(), any_log()).prop_map(|(id, sent_to)| Seen::Misplaced { id, sent_to }),
        1 => Just(Seen::Foreign),
    ]
}

pub(super) fn any_event() -> impl Strategy<Value = Event> {
    let outcome = prop_oneof![
        4 => number().prop_map(|offset| Outcome::Ok { offset: Some(offset) }),
        1 => Just(Outcome::Ok { offset: None }),
        1 => Just(Outcome::Fail),
        1 => Just(Outcome::Info),
        1 => Just(Outcome::Unacknowledged),
    ];
    let reader = || prop_oneof![Just(Session(LIVE)), Just(Session(60)), Just(Session(61))];
    let kind = prop_oneof![Just(PassKind::Live), Just(PassKind::Final)];
    let what = prop_oneof![
        prop::collection::vec((any_log(), prop::option::of(number())), 0..3)
            .prop_map(|logs| ReaderEvent::Assigned { logs }),
        prop::collection::vec(any_log(), 0..2).prop_map(|logs| ReaderEvent::Revoked { logs }),
        (any_log(), number()).prop_map(|(log, offset)| ReaderEvent::Seek { log, offset }),
        (any_log(), number(), prop::option::of(number()))
            .prop_map(|(log, offset, reset_to)| ReaderEvent::OutOfRange { log, offset, reset_to }),
        (any_log(), number()).prop_map(|(log, offset)| ReaderEvent::EndOfLog { log, offset }),
    ];
    let polled = prop::collection::vec((number(), any_seen()), 0..4);
    prop_oneof![
        6 => (any_id(), any_log())
            .prop_map(|(id, log)| Event::Send { id, log, intended_mono_ns: 0 }),
        6 => (any_id(), outcome)
            .prop_map(|(id, outcome)| Event::Sent { id, outcome, error: None }),
        8 => (reader(), 0..2u32, any_log(), polled)
            .prop_map(|(reader, pass, log, records)| Event::Polled { reader, pass, log, records }),
        2 => (reader(), 0..2u32, kind)
            .prop_map(|(reader, pass, kind)| Event::PassBegan { reader, pass, kind }),
        2 => (reader(), 0..2u32, any::<bool>())
            .prop_map(|(reader, pass, complete)| Event::PassEnded { reader, pass, complete }),
        2 => (reader(), 0..2u32, what)
            .prop_map(|(reader, pass, what)| Event::Reader { reader, pass, what }),
        2 => (any_log(), number(), number(), any::<bool>()).prop_map(|(log, start, end, settled)| {
            Event::LogBounds { log, leader_epoch: 1, start, end, settled }
        }),
        1 => (any_log(), number()).prop_map(|(log, before)| Event::RecordsDeleted { log, before }),
        1 => (0..2u32).prop_map(|topic| Event::TopicDeleted { topic: TopicRef(topic) }),
    ]
}

/// Of transactions and groups.
fn any_step() -> impl Strategy<Value = Event> {
    let (transactional, reading) = (super::transactions::opened, super::transactions::reader);
    let session = || (0..3u32).prop_map(Session);
    let reader = || prop_oneof![Just(Session(LIVE)), Just(Session(60)), Just(Session(70))];
    let count = || prop_oneof![6 => 0..4u64, 1 => any::<u64>()];
    let ending = || prop_oneof![Just(Ending::Committed), Just(Ending::Aborted), Just(Ending::Info)];
    let offsets = || prop::collection::vec((any_log(), number()), 0..3);
    let generation = prop_oneof![4 => 0..3i32, 1 => any::<i32>()];
    let logs = prop::collection::vec(any_log(), 0..3);
    let isolation = prop_oneof![Just(Isolation::ReadCommitted), Just(Isolation::ReadUncommitted)];
    prop_oneof![
        1 => (0..3u32, "[tu]").prop_map(move |(session, id)| transactional(session, &id)),
        1 => (reader(), isolation).prop_map(move |(session, isolation)| reading(session.0, isolation)),
        1 => reader().prop_map(|session| super::groups::member(session.0, Commits::After)),
        4 => (session(), count(), prop::option::of(reader())).prop_map(
            |(session, transaction, reader)| Event::TransactionBegan { session, transaction, reader }
        ),
        2 => (session(), count(), any::<bool>()).prop_map(|(session, transaction, commit)| {
            Event::TransactionEnding { session, transaction, commit }
        }),
        3 => (session(), count(), ending()).prop_map(|(session, transaction, ending)| {
            Event::TransactionEnded { session, transaction, ending, error: None }
        }),
        1 => (session(), count(), reader(), offsets()).prop_map(
            |(session, transaction, reader, offsets)| Event::OffsetsInTransaction {
                session, transaction, reader, offsets,
            }
        ),
        1 => (any_id(), any_log(), number())
            .prop_map(|(id, log, offset)| Event::Copied { id, log, offset }),
        1 => (reader(), generation, logs)
            .prop_map(|(reader, generation, logs)| Event::Joined { reader, generation, logs }),
        2 => (reader(), any_log(), number(), number())
            .prop_map(|(reader, log, from, to)| Event::Processed { reader, log, from, to }),
        2 => (reader(), count(), offsets())
            .prop_map(|(reader, commit, offsets)| Event::CommitBegan { reader, commit, offsets }),
        2 => (reader(), count(), ending()).prop_map(|(reader, commit, ending)| {
            Event::CommitEnded { reader, commit, ending, error: None }
        }),
        2 => (any_log(), prop::option::of(number()), any::<u64>()).prop_map(
            |(log, offset, asked_mono_ns)| Event::CommittedSeen {
                group: "g".into(), log, offset, asked_mono_ns,
            }
        ),
        1 => (any_log(), prop::option::of(number()))
            .prop_map(|(log, offset)| Event::GroupReset { group: "g".into(), log, offset }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_history_makes_it_panic(
        events in prop::collection::vec(
            (prop_oneof![any_event(), any_step()], any::<u64>()),
            0..80,
        ),
        announced in any::<bool>(),
        cut in any::<bool>(),
    ) {
        let mut checker = Checker::new(Options::default());
        let opening = if announced { History::new().live().events } else { Vec::new() };
        for event in &opening {
            checker.feed(&Time::default(), event);
        }
        for (event, mono_ns) in &events {
            checker.feed(&Time { mono_ns: *mono_ns, wall_ms: 0 }, event);
        }
        if cut {
            checker.history_was_cut("somewhere");
        }
        let report = checker.finish();
        found(&report);
        prop_assert!(report.counts.ok_read <= report.counts.ok);
    }
}
