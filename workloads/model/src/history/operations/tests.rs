//! What each event becomes, by the lines of EDN that come of it.

use super::*;
use crate::history::PassKind;
use crate::history::edn::to_line;
use crate::operation::Names;

fn log(partition: u32) -> LogRef {
    LogRef { topic: TopicRef(0), partition }
}

fn id(session: u32, sequence: u64) -> RecordId {
    RecordId { session: Session(session), sequence }
}

fn send(session: u32, sequence: u64, partition: u32) -> Event {
    Event::Send { id: id(session, sequence), log: log(partition), intended_mono_ns: 0 }
}

fn ok(session: u32, sequence: u64, offset: i64) -> Event {
    let outcome = Outcome::Ok { offset: Some(offset) };
    Event::Sent { id: id(session, sequence), outcome, error: None }
}

fn lines(events: &[Event]) -> Vec<String> {
    let mut converter = ToOperations::new();
    let mut lines = Vec::new();
    let mut take = |operation: &Operation| {
        let line = to_line(operation, &Names::default());
        // Index and time come first, and count up.
        lines.push(
            line.split_once(":process").expect("a process").1.trim_end_matches('}').to_owned(),
        );
    };
    for (at, event) in events.iter().enumerate() {
        converter.feed(&Time { mono_ns: at as u64 * 10, wall_ms: 0 }, event, &mut take);
    }
    converter.finish(&mut take);
    lines
}

#[test]
fn sends_side_by_side_are_on_processes_of_their_own() {
    let told = lines(&[
        send(0, 0, 5),
        send(0, 1, 5),
        ok(0, 1, 8),
        Event::Sent { id: id(0, 0), outcome: Outcome::Info, error: Some("MessageTimedOut".into()) },
        send(0, 2, 5),
        send(0, 3, 5),
    ]);
    let beside = PROCESSES_OF_SESSIONS;
    assert_eq!(
        told,
        [
            " 0, :type :invoke, :f :send, :value [[:send 5 0]]".to_owned(),
            format!(" {beside}, :type :invoke, :f :send, :value [[:send 5 1]]"),
            format!(" {beside}, :type :ok, :f :send, :value [[:send 5 [8 1]]]"),
            " 0, :type :info, :f :send, :value [[:send 5 0]], :error \"MessageTimedOut\""
                .to_owned(),
            format!(" {beside}, :type :invoke, :f :send, :value [[:send 5 2]]"),
            format!(" {}, :type :invoke, :f :send, :value [[:send 5 3]]", 2 * beside),
        ]
    );
}

#[test]
fn a_transaction_is_one_operation_with_what_its_reader_was_handed() {
    let (session, reader) = (Session(0), Session(7));
    let records = vec![(3, Seen::Record(id(0, 9))), (4, Seen::Foreign)];
    let told = lines(&[
        Event::PassBegan { reader, pass: 0, kind: PassKind::Live },
        Event::TransactionBegan { session, transaction: 0, reader: Some(reader) },
        send(0, 0, 1),
        Event::Polled { reader, pass: 0, log: log(2), records: records.clone() },
        Event::Reader { reader, pass: 0, what: ReaderEvent::Seek { log: log(2), offset: 3 } },
        ok(0, 0, 6),
        Event::TransactionEnded { session, transaction: 0, ending: Ending::Committed, error: None },
        Event::Polled { reader, pass: 0, log: log(2), records },
        Event::TransactionBegan { session, transaction: 1, reader: None },
        send(0, 1, 1),
    ]);
    assert_eq!(
        told,
        [
            " 0, :type :invoke, :f :txn, :value []",
            " 0, :type :ok, :f :txn, :value [[:send 1 [6 0]] [:poll {2 [[3 9]]}]], :rebalance-log [{:type :assigned, :keys [2]}]",
            " 7, :type :invoke, :f :poll, :value [[:poll]]",
            " 7, :type :ok, :f :poll, :value [[:poll {2 [[3 9]]}]]",
            " 0, :type :invoke, :f :txn, :value []",
            " 0, :type :info, :f :txn, :value [[:send 1 1]]",
        ]
    );
}

#[test]
fn keys_and_values_stand_for_their_logs_and_records() {
    let last = LogRef { topic: TopicRef(u32::MAX), partition: (1 << 31) - 1 };
    for log in [log(0), LogRef { topic: TopicRef(3), partition: 77 }, last] {
        assert_eq!(log_of(key_of(log)), Some(log));
    }
    for id in [id(0, 0), id(9, 1 << 35)] {
        assert_eq!(id_of(value_of(id)), Some(id));
    }
    assert_eq!((log_of(Atom::from_raw(-1)), id_of(Atom::from_raw(-1))), (None, None));
}
