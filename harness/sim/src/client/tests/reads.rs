//! What a reader makes of odd answers.

use super::scripted::{Held, Script, TOPIC_ID};
use super::*;
use model::history::{ReaderEvent, Seen};
use wire::StrBytes;
use wire::api::key;
use wire::batch::{BatchBuilder, Compression};
use wire::error::ErrorCode;
use wire::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use wire::messages::{
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, TopicName,
};

fn name() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

fn batch(base_offset: i64, count: i64, epoch: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    (0..count).for_each(|_| builder.append(WALL_MS, None, Some(b"not ours"), &[]));
    builder.build(base_offset, epoch).to_vec()
}

/// A consumer of one partition whose log begins at 0, that has been handed offsets 0 to 9 in epoch 1.
fn reader() -> Script<Consumer> {
    let sessions = Sessions::default();
    let of_consumer = setup("c1", &[1, 2], &sessions, 1);
    let ledger = CommitLedger::default();
    let consumer = Consumer::new(of_consumer, &consumer_settings(None), target(1), ledger);
    let mut script = Script::new(consumer, 1);
    let held = script.next(100);
    told_offset(&mut script, &held, -2, 0);
    let held = script.next(100);
    assert_eq!(fetch_offset(&held), 0);
    fetched(&mut script, &held, 0, 10, batch(0, 10, 1));
    assert_eq!(script.client.progress(), 10);
    script
}

fn told_offset<C: Client>(script: &mut Script<C>, held: &Held, timestamp: i64, offset: i64) {
    assert_eq!(held.head.api_key, key::LIST_OFFSETS);
    let asked: ListOffsetsRequest = held.read();
    assert_eq!(asked.topics[0].partitions[0].timestamp, timestamp);
    let told = ListOffsetsPartitionResponse::default().with_offset(offset).with_leader_epoch(1);
    let topic = ListOffsetsTopicResponse::default().with_name(name()).with_partitions(vec![told]);
    script.answer(held, &ListOffsetsResponse::default().with_topics(vec![topic]));
}

fn fetch_offset(held: &Held) -> i64 {
    assert_eq!(held.head.api_key, key::FETCH);
    let asked: FetchRequest = held.read();
    asked.topics[0].partitions[0].fetch_offset
}

fn fetched(
    script: &mut Script<Consumer>,
    held: &Held,
    error_code: i16,
    high_watermark: i64,
    records: Vec<u8>,
) {
    let told = PartitionData::default()
        .with_error_code(error_code)
        .with_high_watermark(high_watermark)
        .with_records(Some(records.into()));
    let topic = FetchableTopicResponse::default().with_partitions(vec![told]);
    let topic = if held.head.api_version >= 13 {
        topic.with_topic_id(TOPIC_ID)
    } else {
        topic.with_topic(name())
    };
    script.answer(held, &FetchResponse::default().with_responses(vec![topic]));
}

/// What the reader told after its assignment.
fn told(script: &Script<Consumer>) -> Vec<ReaderEvent> {
    let what = |event: &Event| match event {
        Event::Reader { what: ReaderEvent::Assigned { .. }, .. } => None,
        Event::Reader { what, .. } => Some(what.clone()),
        _ => None,
    };
    script.history.iter().filter_map(what).collect()
}

const LOG: model::history::LogRef = model::history::LogRef { topic: TopicRef(0), partition: 0 };

fn end_of_log(offset: i64) -> ReaderEvent {
    ReaderEvent::EndOfLog { log: LOG, offset }
}

fn error(code: &str) -> ReaderEvent {
    ReaderEvent::Error { code: code.to_owned(), fatal: false }
}

#[test]
fn records_are_told_as_they_came_and_the_end_once() {
    let mut script = reader();
    let held = script.next(100);
    assert_eq!(fetch_offset(&held), 10);
    fetched(&mut script, &held, 0, 10, Vec::new());
    let held = script.next(100);
    // Batches begin before what was asked for, and the last is cut.
    let mut records = batch(8, 5, 1);
    records.extend(&batch(13, 2, 1)[..70]);
    fetched(&mut script, &held, 0, 15, records);
    let polled = script.history.iter().rev().find_map(|event| match event {
        Event::Polled { records, .. } => Some(records.clone()),
        _ => None,
    });
    let wanted = [(10, Seen::Foreign), (11, Seen::Foreign), (12, Seen::Foreign)];
    assert_eq!(polled.as_deref(), Some(&wanted[..]));
    assert_eq!(told(&script), [end_of_log(10)]);
    assert_eq!(fetch_offset(&script.next(100)), 13);
}

#[test]
fn a_new_leader_is_asked_whether_it_has_what_was_read() {
    let mut script = reader();
    let held = script.next(100);
    script.leader = (2, 2);
    fetched(&mut script, &held, ErrorCode::NotLeaderOrFollower.code(), -1, Vec::new());
    let held = script.next(1_000);
    assert_eq!((held.head.api_key, held.broker), (key::OFFSET_FOR_LEADER_EPOCH, 2));
    let asked: OffsetForLeaderEpochRequest = held.read();
    let partition = &asked.topics[0].partitions[0];
    assert_eq!((partition.leader_epoch, partition.current_leader_epoch), (1, 2));
    // Epoch 1 ends at 7 there: three records that were read are gone.
    let end = EpochEndOffset::default().with_leader_epoch(1).with_end_offset(7);
    let topic = OffsetForLeaderTopicResult::default().with_topic(name()).with_partitions(vec![end]);
    script.answer(&held, &OffsetForLeaderEpochResponse::default().with_topics(vec![topic]));
    let seek = ReaderEvent::Seek { log: LOG, offset: 7 };
    assert_eq!(told(&script), [end_of_log(10), error("LOG_TRUNCATION"), seek]);
    assert_eq!(fetch_offset(&script.next(100)), 7);
}

#[test]
fn a_position_outside_the_log_goes_to_the_nearer_bound() {
    for (start, end, goes_to) in [(20, 30, 20), (0, 5, 5)] {
        let mut script = reader();
        let held = script.next(100);
        fetched(&mut script, &held, ErrorCode::OffsetOutOfRange.code(), -1, Vec::new());
        let held = script.next(1_000);
        told_offset(&mut script, &held, -2, start);
        let held = script.next(1_000);
        told_offset(&mut script, &held, -1, end);
        let out_of_range =
            ReaderEvent::OutOfRange { log: LOG, offset: 10, reset_to: Some(goes_to) };
        let seek = ReaderEvent::Seek { log: LOG, offset: goes_to };
        let wanted = [end_of_log(10), error("OFFSET_OUT_OF_RANGE"), out_of_range, seek];
        assert_eq!(told(&script), wanted);
        assert_eq!(fetch_offset(&script.next(1_000)), goes_to);
    }
}

#[test]
fn a_position_that_is_inside_after_all_stays() {
    let mut script = reader();
    let held = script.next(100);
    fetched(&mut script, &held, ErrorCode::OffsetOutOfRange.code(), -1, Vec::new());
    let held = script.next(1_000);
    told_offset(&mut script, &held, -2, 0);
    let held = script.next(1_000);
    told_offset(&mut script, &held, -1, 10);
    assert_eq!(told(&script), [end_of_log(10), error("OFFSET_OUT_OF_RANGE")]);
    assert_eq!(fetch_offset(&script.next(1_000)), 10);
}

#[test]
fn a_damaged_batch_is_an_event_and_asked_for_again() {
    let mut script = reader();
    let held = script.next(100);
    let mut records = batch(10, 2, 1);
    let mut damaged = batch(12, 2, 1);
    damaged[80] ^= 1;
    records.extend(damaged);
    fetched(&mut script, &held, 0, 14, records);
    assert_eq!(script.client.progress(), 12, "what came before it is good");
    assert_eq!(told(&script), [end_of_log(10), error("CORRUPT_MESSAGE")]);
    assert_eq!(fetch_offset(&script.next(1_000)), 12);
}

#[test]
fn an_answer_to_nothing_is_a_complaint() {
    let mut script = reader();
    let held = script.next(100);
    let bytes = wire::frame::encode_response(&held.head, &FetchResponse::default());
    let mut bytes = bytes.expect("encodes").to_vec();
    bytes[3] ^= 0x40;
    script.step(Input::Frame { conn: held.conn, bytes: bytes.into() });
    assert_eq!(script.client.complaints().len(), 1, "{:?}", script.client.complaints());
    assert!(script.closed.contains(&held.conn));
    assert_eq!(fetch_offset(&script.next(1_000)), 10, "and it goes on with another connection");
}

#[test]
fn a_high_watermark_that_stands_still_below_the_logs_end_is_not_the_end() {
    let sessions = Sessions::default();
    let ends = LogEnds::new(setup("ends", &[1, 2], &sessions, 1), target(1));
    let mut script = Script::new(ends, 1);
    // A follower has not fetched 10 to 14 yet, which were acknowledged with acks=1.
    for (high_watermark, log_end) in [(10, 15), (15, 15)] {
        assert_eq!(script.client.found().len(), 0);
        for (timestamp, offset, replica) in
            [(-2, 0, -1), (-1, high_watermark, -1), (-1, high_watermark, -1), (-1, log_end, -2)]
        {
            let held = script.next(500);
            assert_eq!(held.read::<ListOffsetsRequest>().replica_id.0, replica);
            told_offset(&mut script, &held, timestamp, offset);
        }
    }
    assert_eq!(script.client.found().get(&0), Some(&15));
    assert!(script.client.is_done());
}

#[test]
fn a_log_that_grew_while_it_was_read_begins_later_and_ends_where_its_passes_do() {
    let sessions = Sessions::default();
    let given = [(0, 10)].into();
    let ends = LogEnds::after(setup("ends", &[1, 2], &sessions, 1), target(1), given);
    let mut script = Script::new(ends, 1);
    for (timestamp, offset) in [(-2, 5), (-1, 12), (-1, 12), (-1, 12)] {
        let held = script.next(500);
        told_offset(&mut script, &held, timestamp, offset);
    }
    assert!(script.client.is_done());
    let bounds = script.history.iter().find_map(|event| match event {
        Event::LogBounds { start, end, settled, .. } => Some((*start, *end, *settled)),
        _ => None,
    });
    assert_eq!(bounds, Some((5, 10, true)));
}
