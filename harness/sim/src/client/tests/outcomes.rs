//! Each row of the table of what is certain.

use super::scripted::Script;
use super::*;
use generator::stamp::Filler;
use model::history::Outcome;
use wire::error::ErrorCode;

/// One producer that sends one record and no more for a long time.
fn one_send(settings: scenario::Producer) -> Script<Producer> {
    let settings = scenario::Producer { send_every_us: 3_600_000_000, ..settings };
    let sessions = Sessions::default();
    let filler = Arc::new(Filler::new(1, 1_000));
    let producer = Producer::new(setup("p1", &[1, 2], &sessions, 1), &settings, target(1), filler);
    Script::new(producer, 1)
}

/// One attempt and no more.
fn no_retries() -> scenario::Producer {
    scenario::Producer { retries: 0, ..producer_settings() }
}

/// Waits until the delivery timeout is long past, and tells what was recorded.
fn outcome(mut script: Script<Producer>) -> (Outcome, Option<String>) {
    script.run_for(20_000);
    let sends = script.history.iter().filter(|event| matches!(event, Event::Send { .. }));
    assert_eq!(sends.count(), 1);
    let sent: Vec<_> = script
        .history
        .iter()
        .filter_map(|event| match event {
            Event::Sent { outcome, error, .. } => Some((*outcome, error.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(sent.len(), 1, "every send has one outcome: {:?}", script.history);
    sent[0].clone()
}

/// The outcome after these answers, one to each attempt, and then silence.
fn after(settings: scenario::Producer, answers: &[(ErrorCode, i64)]) -> Outcome {
    let mut script = one_send(settings);
    for (error, base_offset) in answers {
        let held = script.next(3_000);
        script.produced(&held, error.code(), *base_offset);
    }
    outcome(script).0
}

const OK: Outcome = Outcome::Ok { offset: Some(42) };

#[test]
fn acknowledged() {
    assert_eq!(after(producer_settings(), &[(ErrorCode::None, 42)]), OK);
    let leader = scenario::Producer { acks: Acks::Leader, ..producer_settings() };
    assert_eq!(after(leader, &[(ErrorCode::None, 42)]), OK);
}

#[test]
fn not_the_leader_and_then_acknowledged() {
    let answers = [(ErrorCode::NotLeaderOrFollower, -1), (ErrorCode::None, 42)];
    assert_eq!(after(producer_settings(), &answers), OK);
}

#[test]
fn a_duplicate_is_there_but_nobody_knows_where() {
    let answers = [(ErrorCode::RequestTimedOut, -1), (ErrorCode::DuplicateSequenceNumber, -1)];
    assert_eq!(after(producer_settings(), &answers), Outcome::Ok { offset: None });
}

#[test]
fn timed_out_after_it_left() {
    let mut script = one_send(no_retries());
    script.next(100);
    let (outcome, error) = outcome(script);
    assert_eq!((outcome, error.as_deref()), (Outcome::Info, Some("OperationTimedOut")));
}

#[test]
fn the_connection_ended_after_it_left() {
    let mut script = one_send(no_retries());
    let held = script.next(100);
    script.hang_up(&held);
    let (outcome, error) = outcome(script);
    assert_eq!((outcome, error.as_deref()), (Outcome::Info, Some("BrokerTransportFailure")));
}

#[test]
fn never_answered_until_the_delivery_timeout() {
    let (outcome, error) = outcome(one_send(producer_settings()));
    assert_eq!((outcome, error.as_deref()), (Outcome::Info, Some("MessageTimedOut")));
}

#[test]
fn never_left_before_the_delivery_timeout() {
    for acks in [Acks::None, Acks::Leader, Acks::All] {
        let settings = scenario::Producer { acks, ..producer_settings() };
        let sessions = Sessions::default();
        let filler = Arc::new(Filler::new(1, 1_000));
        let of_producer = setup("p1", &[1, 2], &sessions, 1);
        let settings = scenario::Producer { send_every_us: 3_600_000_000, ..settings };
        let producer = Producer::new(of_producer, &settings, target(1), filler);
        let mut script = Script::new(producer, 1);
        script.refusing = true;
        let conns: Vec<ConnId> = (0..4).map(|n| ConnId(ConnId::DIALED + n)).collect();
        conns.into_iter().for_each(|conn| script.step(Input::Closed { conn }));
        assert_eq!(outcome(script).0, Outcome::Fail);
    }
}

#[test]
fn refused_before_the_append() {
    for error in [
        ErrorCode::MessageTooLarge,
        ErrorCode::InvalidRecord,
        ErrorCode::InvalidTimestamp,
        ErrorCode::TopicAuthorizationFailed,
    ] {
        assert_eq!(after(producer_settings(), &[(error, -1)]), Outcome::Fail, "{error}");
    }
    // Too few in sync, at every attempt: none was appended.
    assert_eq!(after(no_retries(), &[(ErrorCode::NotEnoughReplicas, -1)]), Outcome::Fail);
}

#[test]
fn what_may_have_been_appended_stays_so_whatever_comes_later() {
    for first in [
        ErrorCode::RequestTimedOut,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::NotEnoughReplicasAfterAppend,
    ] {
        let answers = [(first, -1), (ErrorCode::MessageTooLarge, -1)];
        assert_eq!(after(producer_settings(), &answers), Outcome::Info, "{first}");
    }
}

#[test]
fn given_up_with_a_doubt() {
    for error in [
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::RequestTimedOut,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::KafkaStorageError,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::UnknownServerError,
    ] {
        assert_eq!(after(no_retries(), &[(error, -1)]), Outcome::Info, "{error}");
    }
}

#[test]
fn without_acks_sent_is_all_that_it_can_be() {
    let settings = scenario::Producer { acks: Acks::None, ..producer_settings() };
    let (outcome, error) = outcome(one_send(settings));
    assert_eq!((outcome, error), (Outcome::Unacknowledged, None));
}
