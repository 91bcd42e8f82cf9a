//! What the rules that look at frames do, seen from a client and from a broker.
#![allow(clippy::disallowed_methods, reason = "tests of sockets use real time and threads")]

mod support;

use highwater_proxy::{Effect, Who};
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use support::*;

const PRODUCE: i16 = 0;
const HEARTBEAT: i16 = 12;
const API_VERSIONS: i16 = 18;
/// No topics: tagged fields of the header, no transactional id, acks=all, a timeout, nothing, tagged fields.
const PRODUCE_9: [u8; 10] = [0, 0, 0xff, 0xff, 0, 0, 0, 1, 1, 0];
const ALL: u8 = 100;

fn correlation(frame: &[u8]) -> i32 {
    i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]])
}

#[test]
fn a_request_reaches_the_broker_and_its_response_is_lost() {
    let (upstream, log) = broker(10);
    let (proxy, at) = proxy(upstream, Who::ByName);
    let rule = lay(&proxy, 1, Effect::LoseResponse { api: PRODUCE, percent: ALL });
    let mut stream = dial(at);
    stream.write_all(&request(API_VERSIONS, 0, 1, "c", &[])).unwrap();
    assert_eq!(correlation(&frame(&mut stream).unwrap()), 1);
    stream.write_all(&request(PRODUCE, 9, 2, "c", &PRODUCE_9)).unwrap();
    assert_eq!(frame(&mut stream), None);
    let seen: Vec<_> = log.requests.lock().unwrap().iter().map(|one| (one.0, one.1)).collect();
    assert_eq!(seen, [(API_VERSIONS, 1), (PRODUCE, 2)]);
    assert_eq!(rule.tally.met(), 1);
    lift(&proxy, &rule);
    let mut stream = dial(at);
    stream.write_all(&request(PRODUCE, 9, 3, "c", &PRODUCE_9)).unwrap();
    assert_eq!(correlation(&frame(&mut stream).unwrap()), 3);
}

#[test]
fn responses_before_the_lost_one_arrive_wherever_reads_cut_them() {
    let (upstream, _) = broker(3);
    let (proxy, at) = proxy(upstream, Who::ByName);
    let _lost = lay(&proxy, 1, Effect::LoseResponse { api: PRODUCE, percent: ALL });
    for bytes in 1..12 {
        let sliced = lay(&proxy, 2, Effect::Slice { bytes, pause: Duration::from_millis(1) });
        let mut stream = dial(at);
        let all = [
            request(API_VERSIONS, 0, 1, "c", &[]),
            request(HEARTBEAT, 0, 2, "c", &[1, 2, 3]),
            request(PRODUCE, 9, 3, "c", &PRODUCE_9),
            request(HEARTBEAT, 0, 4, "c", &[1, 2, 3]),
        ];
        stream.write_all(&all.concat()).unwrap();
        let mut got = Vec::new();
        // It ends: with an end, or with a reset where the proxy had more of ours to read.
        let _ = stream.read_to_end(&mut got);
        let whole = [response(1, b"rrr"), response(2, b"rrr")].concat();
        assert!(whole.starts_with(&got) && got.len() == whole.len(), "{got:?}");
        lift(&proxy, &sliced);
    }
}

#[test]
fn requests_of_one_api_are_late_and_those_behind_them_keep_their_place() {
    let (upstream, log) = broker(3);
    let (proxy, at) = proxy(upstream, Who::ByName);
    let delay = Duration::from_millis(150);
    let rule = lay(&proxy, 1, Effect::DelayApi { api: HEARTBEAT, delay });
    let mut stream = dial(at);
    let begun = Instant::now();
    let both = [
        request(API_VERSIONS, 0, 1, "c", &[]),
        request(HEARTBEAT, 0, 2, "c", &[]),
        request(API_VERSIONS, 0, 3, "c", &[]),
    ];
    stream.write_all(&both.concat()).unwrap();
    let order: Vec<i32> = (0..3).map(|_| correlation(&frame(&mut stream).unwrap())).collect();
    assert_eq!(order, [1, 2, 3]);
    assert!(begun.elapsed() >= delay);
    assert_eq!((rule.tally.met(), log.requests.lock().unwrap().len()), (1, 3));
}

#[test]
fn requests_are_refused_in_their_turn_and_the_broker_never_sees_them() {
    let (upstream, log) = broker(3);
    let (proxy, at) = proxy(upstream, Who::ByName);
    let rule = lay(&proxy, 1, Effect::FailApi { api: PRODUCE, error: ERROR, percent: ALL });
    let mut stream = dial(at);
    let all = [
        request(API_VERSIONS, 0, 1, "c", &[]),
        request(PRODUCE, 9, 2, "c", &PRODUCE_9),
        request(API_VERSIONS, 0, 3, "c", &[]),
        request(PRODUCE, 9, 4, "c", &PRODUCE_9),
        request(PRODUCE, 9, 5, "c", &PRODUCE_9),
        request(API_VERSIONS, 0, 6, "c", &[]),
    ]
    .concat();
    for step in [1, 7, all.len()] {
        all.chunks(step).for_each(|part| stream.write_all(part).unwrap());
        let order: Vec<i32> = (0..6).map(|_| correlation(&frame(&mut stream).unwrap())).collect();
        assert_eq!(order, [1, 2, 3, 4, 5, 6]);
    }
    assert_eq!(rule.tally.met(), 9);
    assert!(log.requests.lock().unwrap().iter().all(|one| one.0 == API_VERSIONS));
    // One that can't be read goes to the broker as it is.
    let odd = request(PRODUCE, 9, 7, "c", &[0, 0, 0xff, 0xff, 9, 9]);
    stream.write_all(&odd).unwrap();
    assert_eq!(correlation(&frame(&mut stream).unwrap()), 7);
    assert!(log.requests.lock().unwrap().last().unwrap().2 == odd);
}

#[test]
fn a_share_of_the_requests_is_refused_the_same_for_the_same_seed() {
    let (upstream, _) = broker(3);
    let (proxy, at) = proxy(upstream, Who::ByName);
    let rule = lay(&proxy, 1, Effect::FailApi { api: PRODUCE, error: ERROR, percent: 30 });
    let mut stream = dial(at);
    for correlation in 0..200 {
        stream.write_all(&request(PRODUCE, 9, correlation, "c", &PRODUCE_9)).unwrap();
        frame(&mut stream).unwrap();
    }
    assert!((20..120).contains(&rule.tally.met()), "{}", rule.tally.met());
}
