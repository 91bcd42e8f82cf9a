//! Every byte arrives, unchanged and in order, whatever it is of and whatever slows it down.
#![allow(clippy::disallowed_methods, reason = "tests of sockets use real time and threads")]

mod support;

use highwater_proxy::{Distribution, Effect, Proxy, Route, Ways, Who};
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::time::Duration;
use support::*;

/// Neither frames nor anything else.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn what_is_not_kafkas_passes_untouched() {
    for who in [Who::Clients, Who::ByName] {
        let (_proxy, at) = proxy(echo(), who);
        for garbage in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), noise(3_000_000, 0xff), vec![0; 4096]] {
            let stream = dial(at);
            assert!(there_and_back(&stream, &garbage) == garbage);
        }
    }
}

#[test]
fn frames_pass_however_they_are_cut() {
    let (_proxy, at) = proxy(echo(), Who::ByName);
    let frames = [
        request(18, 3, 1, "c", &[0, 1, 2]),
        request(0, 9, 2, "c", &[0, 0, 0, 1]),
        request(3, 9, 3, "c", &[7; 300]),
    ]
    .concat();
    for cut in 0..=frames.len() {
        let mut stream = dial(at);
        stream.write_all(&frames[..cut]).unwrap();
        // Whatever has come so far has been carried before the rest is sent, where there is a whole head.
        stream.write_all(&frames[cut..]).unwrap();
        let mut back = vec![0; frames.len()];
        stream.read_exact(&mut back).unwrap();
        assert!(back == frames, "cut at {cut}");
    }
}

#[test]
fn a_frame_of_many_megabytes_passes() {
    let (_proxy, at) = proxy(echo(), Who::ByName);
    let frame = request(0, 9, 1, "c", &vec![0; 64 << 20]);
    assert!(there_and_back(&dial(at), &frame) == frame);
}

#[test]
fn an_end_is_passed_on_each_way_by_itself() {
    let (_proxy, at) = proxy(echo(), Who::Clients);
    let mut stream = dial(at);
    stream.write_all(b"all that I say").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert_eq!(back, b"all that I say");
}

#[test]
fn a_broker_that_is_down_is_told_by_a_reset() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_proxy, at) = proxy(nobody, Who::Clients);
    let mut stream = dial(at);
    // A reset is told once: by the write, where it was there before that.
    let told = stream.write_all(b"anybody?").and_then(|()| stream.read(&mut [0]));
    let error = told.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_proxy_that_ends_leaves_nothing() {
    let (proxy, at) = proxy(echo(), Who::Clients);
    let stream = dial(at);
    assert!(there_and_back(&stream, b"x") == b"x");
    drop(proxy);
    assert!(std::net::TcpStream::connect(at).is_err());
    let listen = at;
    let route = Route { node: 1, who: Who::Clients, listen, upstream: echo() };
    Proxy::start(vec![route], dialer).expect("the port is free again");
}

fn slowing() -> impl Strategy<Value = Effect> {
    let ms = Duration::from_millis;
    prop_oneof![
        (0u64..20, 0u64..20, 0usize..3).prop_map(move |(delay, jitter, which)| Effect::Delay {
            delay: ms(delay),
            jitter: ms(jitter),
            distribution: [Distribution::Uniform, Distribution::Normal, Distribution::Pareto]
                [which],
            ways: [Ways::Both, Ways::In, Ways::Out][which],
        }),
        (200_000u64..20_000_000).prop_map(|bytes_per_second| Effect::Rate { bytes_per_second }),
        (500u64..50_000, 0u64..3)
            .prop_map(move |(bytes, pause)| Effect::Slice { bytes, pause: ms(pause) }),
        (1u8..5).prop_map(move |percent| Effect::Loss { percent, timeout: ms(1) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_mix_of_what_slows_changes_no_byte(
        effects in prop::collection::vec(slowing(), 0..4),
        length in 1usize..60_000,
        seed: u64,
        is_framed: bool,
    ) {
        let upstream: SocketAddr = echo();
        let (proxy, at) = proxy(upstream, Who::ByName);
        let mut rules = Vec::new();
        for (fault, effect) in effects.into_iter().enumerate() {
            rules.push(lay(&proxy, fault as u32, effect));
        }
        let bytes = match is_framed {
            true => request(0, 9, 1, "c", &noise(length, seed)),
            false => [&[0xff], &noise(length, seed)[..]].concat(),
        };
        let stream = dial(at);
        prop_assert!(there_and_back(&stream, &bytes) == bytes);
        // Lifted in the middle, in another order than they came.
        if let Some(rule) = rules.first() {
            lift(&proxy, rule);
        }
        prop_assert!(there_and_back(&stream, &bytes) == bytes);
    }
}
