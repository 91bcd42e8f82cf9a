//! What an idempotent producer sends again, and how.

use super::scripted::{Held, Script};
use super::*;
use generator::stamp::Filler;
use model::history::Outcome;
use std::collections::BTreeSet;
use wire::batch::{BatchHeader, BatchView};
use wire::error::ErrorCode;
use wire::messages::ProduceRequest;

/// One partition, a batch for each record, so that batches are counted by sequence numbers.
fn producer(settings: scenario::Producer) -> Script<Producer> {
    let settings = scenario::Producer { batch_records_max: 1, ..settings };
    let sessions = Sessions::default();
    let filler = Arc::new(Filler::new(1, 1_000));
    let producer = Producer::new(setup("p1", &[1, 2], &sessions, 1), &settings, target(1), filler);
    Script::new(producer, 1)
}

fn idempotent() -> scenario::Producer {
    scenario::Producer { idempotence: true, ..producer_settings() }
}

fn header(held: &Held) -> BatchHeader {
    let asked: ProduceRequest = held.read();
    let records = asked.topic_data[0].partition_data[0].records.clone().expect("records");
    let view = BatchView::new(&records).expect("a batch");
    view.check().expect("a sound batch");
    *view.header()
}

fn sequence(held: &Held) -> (i16, i32) {
    let header = header(held);
    assert_eq!(header.producer_id, 7);
    (header.producer_epoch, header.base_sequence)
}

fn next_sequence(script: &mut Script<Producer>) -> ((i16, i32), Held) {
    let held = script.next(3_000);
    (sequence(&held), held)
}

fn outcomes(script: &Script<Producer>) -> Vec<Outcome> {
    let outcome = |event: &Event| match event {
        Event::Sent { outcome, .. } => Some(*outcome),
        _ => None,
    };
    script.history.iter().filter_map(outcome).collect()
}

const NOT_LEADER: i16 = ErrorCode::NotLeaderOrFollower as i16;
const OUT_OF_ORDER: i16 = ErrorCode::OutOfOrderSequenceNumber as i16;

#[test]
fn five_are_in_flight_and_no_more() {
    let mut script = producer(idempotent());
    script.run_for(300);
    let sent: Vec<_> = script.held.iter().map(sequence).collect();
    assert_eq!(sent, [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)]);
    let more = scenario::Producer { in_flight_requests_max: 12, ..idempotent() };
    let mut script = producer(more.clone());
    script.run_for(300);
    assert_eq!(script.held.len(), 5);
    let opened = script.history.iter().find_map(|event| match event {
        Event::ProducerOpened { settings, .. } => Some(settings.clone()),
        _ => None,
    });
    let opened = opened.expect("a session was opened");
    assert_eq!((opened.in_flight_requests_max, opened.acks), (5, Acks::All));
    let mut script = producer(scenario::Producer { idempotence: false, ..more });
    script.run_for(300);
    assert_eq!(script.held.len(), 12);
}

#[test]
fn what_failed_is_sent_again_in_order_with_its_sequence_number() {
    let mut script = producer(idempotent());
    script.run_for(60);
    let held: Vec<Held> = script.held.drain(..).collect();
    script.produced(&held[0], NOT_LEADER, -1);
    script.leader = (2, 2);
    for one in &held[1..] {
        script.produced(one, OUT_OF_ORDER, -1);
    }
    for wanted in 0..5 {
        let (sent, held) = next_sequence(&mut script);
        assert_eq!(sent, (0, wanted));
        assert_eq!(held.broker, 2, "metadata was asked for again");
        // One at a time until all that failed is through.
        if wanted < 4 {
            script.run_for(200);
            assert!(script.held.is_empty(), "{:?}", script.held);
        }
        script.produced(&held, 0, i64::from(wanted));
    }
    script.run_for(50);
    assert!(script.held.len() > 1, "then several again");
    let ok = |offset| Outcome::Ok { offset: Some(offset) };
    assert_eq!(outcomes(&script), [ok(0), ok(1), ok(2), ok(3), ok(4)]);
}

#[test]
fn a_gap_that_can_not_be_filled_raises_the_epoch() {
    let mut script = producer(idempotent());
    script.run_for(15);
    let held: Vec<Held> = script.held.drain(..).collect();
    assert_eq!(held.len(), 2);
    script.produced(&held[0], ErrorCode::MessageTooLarge.code(), -1);
    script.produced(&held[1], OUT_OF_ORDER, -1);
    let (sent, held) = next_sequence(&mut script);
    assert_eq!(sent, (1, 0), "the one behind it, under a new epoch");
    script.produced(&held, 0, 10);
    let (sent, _) = next_sequence(&mut script);
    assert_eq!(sent, (1, 1));
    assert_eq!(outcomes(&script), [Outcome::Fail, Outcome::Ok { offset: Some(10) }]);
}

#[test]
fn what_may_have_been_appended_is_not_numbered_anew() {
    let mut script = producer(idempotent());
    script.run_for(15);
    let held: Vec<Held> = script.held.drain(..).collect();
    script.produced(&held[0], ErrorCode::MessageTooLarge.code(), -1);
    // Nobody knows what became of the second: its connection ends.
    script.hang_up(&held[1]);
    let (sent, again) = next_sequence(&mut script);
    assert_eq!(sent, (0, 1));
    script.produced(&again, OUT_OF_ORDER, -1);
    let (sent, _) = next_sequence(&mut script);
    assert_eq!(sent, (1, 0));
    assert_eq!(outcomes(&script), [Outcome::Fail, Outcome::Info]);
}

#[test]
fn what_was_given_up_and_appended_all_the_same_leaves_no_gap() {
    let settings =
        scenario::Producer { delivery_timeout_ms: 600, send_every_us: 300_000, ..idempotent() };
    let mut script = producer(settings);
    script.run_for(310);
    let held: Vec<Held> = script.held.drain(..).collect();
    assert_eq!(held.iter().map(sequence).collect::<Vec<_>>(), [(0, 0), (0, 1)]);
    script.hang_up(&held[0]);
    // The first is sent again, and given up before it is answered.
    let (sent, first) = next_sequence(&mut script);
    assert_eq!(sent, (0, 0));
    let (sent, second) = next_sequence(&mut script);
    assert_eq!(sent, (0, 1));
    assert_eq!(outcomes(&script), [Outcome::Info]);
    // What is new waits until it is known whether there is a gap.
    script.run_for(50);
    assert!(script.held.is_empty());
    script.produced(&first, 0, 4);
    script.produced(&second, 0, 5);
    assert_eq!(outcomes(&script), [Outcome::Info, Outcome::Ok { offset: Some(5) }]);
    assert_eq!(next_sequence(&mut script).0, (0, 2));
}

#[test]
fn what_is_taken_too_late_is_taken_all_the_same() {
    let settings = scenario::Producer { delivery_timeout_ms: 200, ..idempotent() };
    let mut script = producer(settings);
    let first = script.next(100);
    script.run_for(250);
    assert_eq!(outcomes(&script)[0], Outcome::Info);
    script.produced(&first, 0, 0);
    assert_eq!(script.client.progress(), 1, "a cluster that answers late is alive");
}

#[test]
fn every_partition_has_its_turn() {
    let settings = scenario::Producer {
        in_flight_requests_max: 1,
        send_every_us: 2_000,
        delivery_timeout_ms: 60_000,
        ..producer_settings()
    };
    // Some clients of both dialects: one partition in a request, or all that wait.
    for seed in 1..6 {
        let sessions = Sessions::default();
        let filler = Arc::new(Filler::new(1, 1_000));
        let of_producer = setup("p1", &[1], &sessions, seed);
        let mut script = Script::new(Producer::new(of_producer, &settings, target(3), filler), 3);
        script.run_for(1_000);
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            let held = script.next(1_000);
            let asked: ProduceRequest = held.read();
            seen.extend(asked.topic_data[0].partition_data.iter().map(|data| data.index));
            script.produced(&held, 0, 0);
        }
        assert_eq!(seen, BTreeSet::from([0, 1, 2]), "seed {seed}");
    }
}

#[test]
fn the_next_in_line_out_of_order_raises_the_epoch() {
    let mut script = producer(idempotent());
    let (_, first) = next_sequence(&mut script);
    script.produced(&first, 0, 0);
    let (sent, second) = next_sequence(&mut script);
    assert_eq!(sent, (0, 1));
    script.held.clear();
    script.produced(&second, OUT_OF_ORDER, -1);
    // Nothing is numbered anew while anything is in flight.
    assert!(script.held.is_empty());
    script.hang_up(&second);
    let (sent, _) = next_sequence(&mut script);
    assert_eq!(sent, (1, 0));
}

#[test]
fn one_in_flight_never_overtakes_even_to_another_leader() {
    let settings = scenario::Producer { in_flight_requests_max: 1, ..producer_settings() };
    let mut script = producer(settings);
    script.next(100);
    script.leader = (2, 2);
    script.run_for(1_050);
    assert!(script.held.is_empty(), "the first is still on its way: {:?}", script.held);
}
