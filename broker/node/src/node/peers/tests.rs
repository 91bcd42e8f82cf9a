use bytes::Bytes;
use wire::api::key;

use super::{Answered, Lost, Peers};
use crate::context::{CallTag, ConnId, Endpoint, Lane, OutgoingCall, Peer};
use crate::step::Effect;

const PEER: Peer = Peer { node: 2, lane: Lane::Raft };

fn somewhere(_: Peer) -> Option<Endpoint> {
    Some(Endpoint { host: "127.0.0.1".into(), port: 1 })
}

fn call(peers: &mut Peers, number: u64, due_ms: u64) {
    let frame = Bytes::from_static(&[0, 52, 0, 0, 9, 9, 9, 9, 0xff, 0xff]);
    let tag = CallTag::Raft { call: number };
    let call =
        OutgoingCall { peer: PEER, api_key: key::VOTE, version: 0, frame, tag, timeout_ms: None };
    peers.call(call, due_ms);
}

fn drive(peers: &mut Peers, now_ms: u64) -> (Vec<Effect>, Vec<Answered>) {
    let (mut effects, mut answered) = (Vec::new(), Vec::new());
    peers.drive(now_ms, somewhere, &mut effects, &mut answered);
    (effects, answered)
}

fn dialed(effects: &[Effect]) -> ConnId {
    match effects {
        [Effect::Dial { conn, .. }] => *conn,
        other => panic!("{other:?}"),
    }
}

fn sent_correlation(effects: &[Effect]) -> i32 {
    match effects {
        [Effect::Send { parts, .. }] => {
            i32::from_be_bytes(parts.concat()[4..8].try_into().expect("four bytes"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_is_dialed_sent_and_answered() {
    let mut peers = Peers::default();
    call(&mut peers, 7, 100);
    let (effects, _) = drive(&mut peers, 0);
    let conn = dialed(&effects);
    let (mut effects, mut answered) = (Vec::new(), Vec::new());
    peers.on_dialed(conn, &mut effects);
    let correlation = sent_correlation(&effects);
    // Vote 0 has no tagged fields in its response header below version 2; its header is flexible: one more byte.
    let mut response = correlation.to_be_bytes().to_vec();
    response.extend_from_slice(&[0, 1, 2, 3]);
    peers.on_frame(conn, response.into(), 1, &mut effects, &mut answered);
    assert_eq!(answered.len(), 1);
    assert_eq!(answered[0].tag, CallTag::Raft { call: 7 });
    assert_eq!(answered[0].answer, Ok((0, Bytes::from_static(&[1, 2, 3]))));
    assert_eq!(peers.deadline_ms(), None);
}

#[test]
fn a_refused_dial_fails_its_calls_and_backs_off() {
    let mut peers = Peers::default();
    call(&mut peers, 1, 1_000);
    let conn = dialed(&drive(&mut peers, 0).0);
    let mut answered = Vec::new();
    let lost = peers.on_lost(conn, true, 5, &mut answered);
    assert_eq!(lost, Lost::NotDialed { peer: PEER, refused: true });
    assert!(answered[0].answer.clone().is_err_and(|failed| failed.refused));
    call(&mut peers, 2, 1_000);
    assert!(drive(&mut peers, 6).0.is_empty(), "it waits for the backoff");
    assert_eq!(peers.deadline_ms(), Some(25));
    dialed(&drive(&mut peers, 25).0);
}

#[test]
fn a_lost_connection_fails_what_was_sent_and_is_dialed_again_at_once() {
    let mut peers = Peers::default();
    call(&mut peers, 1, 1_000);
    let conn = dialed(&drive(&mut peers, 0).0);
    peers.on_dialed(conn, &mut Vec::new());
    let mut answered = Vec::new();
    assert_eq!(peers.on_lost(conn, false, 5, &mut answered), Lost::Closed(PEER));
    assert!(answered[0].answer.clone().is_err_and(|failed| !failed.refused));
    call(&mut peers, 2, 1_000);
    dialed(&drive(&mut peers, 5).0);
}

#[test]
fn an_overdue_call_closes_its_connection() {
    let mut peers = Peers::default();
    call(&mut peers, 1, 50);
    call(&mut peers, 2, 80);
    let conn = dialed(&drive(&mut peers, 0).0);
    peers.on_dialed(conn, &mut Vec::new());
    assert_eq!(peers.deadline_ms(), Some(50));
    let (effects, answered) = drive(&mut peers, 50);
    assert!(matches!(effects[..], [Effect::Close { .. }]));
    assert_eq!(answered.len(), 2);
    assert!(answered.iter().all(|a| a.answer.clone().is_err_and(|failed| failed.timed_out)));
    assert_eq!(peers.on_lost(conn, false, 51, &mut Vec::new()), Lost::Unknown);
}

#[test]
fn garbage_from_a_peer_closes_the_connection() {
    let mut peers = Peers::default();
    call(&mut peers, 1, 50);
    let conn = dialed(&drive(&mut peers, 0).0);
    peers.on_dialed(conn, &mut Vec::new());
    for garbage in [&b"xy"[..], &b"none of ours"[..]] {
        let (mut effects, mut answered) = (Vec::new(), Vec::new());
        peers.on_frame(conn, Bytes::from_static(garbage), 1, &mut effects, &mut answered);
        if effects.is_empty() {
            continue; // The first garbage has closed it.
        }
        assert!(matches!(effects[..], [Effect::Close { .. }]));
        assert_eq!(answered.len(), 1);
    }
}
