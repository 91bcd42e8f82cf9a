//! What each rule does to links, seen from outside: times as lower bounds, bytes by their count, resets as resets.
#![allow(clippy::disallowed_methods, reason = "tests of sockets use real time and threads")]

mod support;

use highwater_proxy::{Distribution, Effect, End, Ways, Who};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};
use support::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn delay(ms: u64, ways: Ways) -> Effect {
    let distribution = Distribution::Uniform;
    Effect::Delay { delay: MS(ms), jitter: Duration::ZERO, distribution, ways }
}

fn trip(stream: &mut TcpStream, client: &str, bytes: usize) -> Duration {
    let begun = Instant::now();
    stream.write_all(&request(18, 0, 1, client, &vec![0; bytes])).unwrap();
    frame(stream).expect("an answer");
    begun.elapsed()
}

#[test]
fn a_delay_is_of_each_way_that_it_names_and_delays_add_up_and_go_in_any_order() {
    let (proxy, at) = proxy(broker(10).0, Who::ByName);
    let mut stream = dial(at);
    trip(&mut stream, "c", 0);
    let both = lay(&proxy, 1, delay(60, Ways::Both));
    assert!(trip(&mut stream, "c", 0) >= MS(120));
    let inward = lay(&proxy, 2, delay(100, Ways::In));
    assert!(trip(&mut stream, "c", 0) >= MS(220));
    lift(&proxy, &both);
    let alone = trip(&mut stream, "c", 0);
    assert!(alone >= MS(100));
    let outward = lay(&proxy, 3, delay(150, Ways::Out));
    assert!(trip(&mut stream, "c", 0) >= MS(250));
    lift(&proxy, &inward);
    lift(&proxy, &outward);
    // Far below any of them, where they were laid: the best of many tries, on however busy a machine.
    let best = (0..50).map(|_| trip(&mut stream, "c", 0)).min().unwrap();
    assert!(best < MS(50), "{best:?}");
    assert!(both.tally.met() >= 2 && both.tally.waited() >= MS(120));
}

#[test]
fn links_are_told_apart_by_who_dials() {
    let (proxy, at) = proxy(broker(10).0, Who::ByName);
    let rule = lay_on(&proxy, 1, 2, &[End::Node(1)], delay(80, Ways::Both));
    let (mut client, mut two, mut three) = (dial(at), dial(at), dial(at));
    assert!(trip(&mut two, "broker-2-fetcher-0", 0) >= MS(160));
    for _ in 0..3 {
        trip(&mut client, "somebody", 0);
        trip(&mut three, "broker-3-fetcher-0", 0);
    }
    assert_eq!(rule.tally.connections(), 1);
    assert_eq!(rule.tally.met(), 2);
}

#[test]
fn the_smallest_rate_wins_in_whatever_order() {
    let (proxy, at) = proxy(broker(10).0, Who::ByName);
    let mut stream = dial(at);
    let slow = lay(&proxy, 1, Effect::Rate { bytes_per_second: 200_000 });
    let fast = lay(&proxy, 2, Effect::Rate { bytes_per_second: 50_000_000 });
    // A portion is free, the rest takes its time.
    assert!(trip(&mut stream, "c", 100_000) >= MS(450));
    lift(&proxy, &slow);
    let second = lay(&proxy, 3, Effect::Rate { bytes_per_second: 200_000 });
    lift(&proxy, &fast);
    assert!(trip(&mut stream, "c", 100_000) >= MS(450));
    assert!(second.tally.bytes() >= 100_000 && second.tally.met() > 0);
    lift(&proxy, &second);
    let best = (0..20).map(|_| trip(&mut stream, "c", 100_000)).min().unwrap();
    assert!(best < MS(450), "{best:?}");
}

#[test]
fn a_reset_is_one_for_all_that_stand_and_for_nobody_after() {
    let (proxy, at) = proxy(broker(10).0, Who::ByName);
    let mut standing: Vec<TcpStream> = (0..5).map(|_| dial(at)).collect();
    let mut broker = dial(at);
    standing.iter_mut().for_each(|stream| assert!(trip(stream, "c", 0) > Duration::ZERO));
    trip(&mut broker, "broker-3", 0);
    let rule = lay(&proxy, 1, Effect::Reset { every: None });
    for stream in &mut standing {
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(rule.tally.met(), 5);
    trip(&mut broker, "broker-3", 0);
    let mut after = dial(at);
    (0..20).for_each(|_| assert!(trip(&mut after, "c", 0) > Duration::ZERO));
    assert_eq!(rule.tally.met(), 5);
}

#[test]
fn resets_come_again_where_they_shall() {
    let (proxy, at) = proxy(broker(10).0, Who::ByName);
    let rule = lay(&proxy, 1, Effect::Reset { every: Some(MS(30)) });
    for _ in 0..3 {
        let mut stream = dial(at);
        let reset = loop {
            let sent = stream.write_all(&request(18, 0, 1, "c", &[]));
            if let Err(error) = sent.and_then(|()| stream.read_exact(&mut [0; 18])) {
                break error;
            }
        };
        assert!(matches!(reset.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
    }
    assert!(rule.tally.met() >= 3);
}

#[test]
fn what_is_half_open_carries_nothing_closes_nothing_and_is_reset_in_the_end() {
    let (proxy, at) = proxy(broker(10).0, Who::ByName);
    let (mut old, mut other) = (dial(at), dial(at));
    trip(&mut old, "c", 0);
    trip(&mut other, "broker-3", 0);
    let rule = lay(&proxy, 1, Effect::HalfOpen);
    old.write_all(&request(18, 0, 2, "c", &[])).unwrap();
    let mut new = dial(at);
    new.write_all(&request(18, 0, 2, "c", &[])).unwrap();
    until("both are held", || rule.tally.connections() == 2);
    let (old, new) = (ends(old), ends(new));
    // Others go on beside them, long enough for an answer to have come ten times over.
    (0..200).for_each(|_| assert!(trip(&mut other, "broker-3", 0) > Duration::ZERO));
    assert!(matches!(old.try_recv(), Err(TryRecvError::Empty)));
    assert!(matches!(new.try_recv(), Err(TryRecvError::Empty)));
    lift(&proxy, &rule);
    for ended in [old, new] {
        let error = ended.recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    trip(&mut dial(at), "c", 0);
}

#[test]
fn slices_come_one_by_one_with_pauses() {
    let (proxy, at) = proxy(broker(10).0, Who::ByName);
    let rule = lay(&proxy, 1, Effect::Slice { bytes: 100, pause: MS(20) });
    // Ten pauses on the way there at least.
    assert!(trip(&mut dial(at), "c", 1000) >= MS(200));
    assert!(rule.tally.met() >= 10 && rule.tally.waited() >= MS(200));
}

#[test]
fn a_connection_is_closed_after_exactly_so_many_bytes() {
    let (proxy, at) = proxy(echo(), Who::Clients);
    let rule = lay(&proxy, 1, Effect::LimitBytes { bytes: 10_000 });
    for _ in 0..2 {
        let mut stream = dial(at);
        let block = [0xff; 100];
        let mut back = 0;
        // There and back: half of them are seen here.
        loop {
            if stream.write_all(&block).is_err() {
                break;
            }
            match stream.read_exact(&mut [0; 100]) {
                Ok(()) => back += 100,
                Err(_) => break,
            }
        }
        assert_eq!(back, 5_000);
    }
    assert_eq!(rule.tally.met(), 2);
    assert_eq!(rule.tally.bytes(), 20_000);
}

#[test]
fn what_is_lost_stops_its_direction_for_the_timeout() {
    let (proxy, at) = proxy(broker(10).0, Who::ByName);
    let rule = lay(&proxy, 1, Effect::Loss { percent: 20, timeout: MS(30) });
    let mut stream = dial(at);
    let begun = Instant::now();
    while rule.tally.met() < 3 {
        trip(&mut stream, "c", 5_000);
    }
    // One direction stops at a time here, for the client waits for its answer.
    assert!(begun.elapsed() >= MS(60) && rule.tally.waited() >= MS(90));
}

#[test]
fn effects_of_different_kinds_stack_and_unstack() {
    let (proxy, at) = proxy(broker(10).0, Who::ByName);
    let mut stream = dial(at);
    let late = lay(&proxy, 1, delay(50, Ways::Both));
    let sliced = lay(&proxy, 2, Effect::Slice { bytes: 500, pause: MS(10) });
    assert!(trip(&mut stream, "c", 5_000) >= MS(200));
    let held = lay(&proxy, 3, Effect::HalfOpen);
    stream.write_all(&request(18, 0, 9, "c", &[])).unwrap();
    lift(&proxy, &late);
    lift(&proxy, &held);
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let mut stream = dial(at);
    assert!(trip(&mut stream, "c", 5_000) >= MS(100));
    lift(&proxy, &sliced);
    let best = (0..20).map(|_| trip(&mut stream, "c", 5_000)).min().unwrap();
    assert!(best < MS(100), "{best:?}");
}

#[test]
fn a_fault_on_both_ends_of_a_link_counts_once() {
    let (proxy, at) = proxy(broker(10).0, Who::ByName);
    let first = lay_on(&proxy, 1, 1, &[End::Node(2)], delay(1, Ways::Both));
    let second = lay_on(&proxy, 1, 2, &[End::Node(1)], delay(1, Ways::Both));
    trip(&mut dial(at), "broker-2", 0);
    assert_eq!((first.tally.met(), second.tally.met()), (2, 0));
    // The one goes, the other takes its place.
    lift(&proxy, &first);
    trip(&mut dial(at), "broker-2", 0);
    assert_eq!((first.tally.met(), second.tally.met()), (2, 2));
}
