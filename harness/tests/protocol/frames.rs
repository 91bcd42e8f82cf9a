//! Frames that are none: the connection is closed, and that is all that comes of them.

use crate::connection::{Connection, Received, prefixed};
use crate::fixture::{Topic, assert_still_serving, shared_cluster};
use crate::requests;
use wire::api::{self, ApiSet, key};
use wire::messages as m;

/// Kafka's default of `socket.request.max.bytes`.
const FRAME_BYTES_MAX: i32 = 100 << 20;

fn assert_closes(port: u16, bytes: &[u8], what: &str) {
    let mut connection = Connection::to(port);
    connection.send_raw(bytes);
    match connection.receive() {
        Received::Closed => {}
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn lengths_that_no_frame_has_close_the_connection() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "lengths");
    for node in cluster.nodes.values() {
        for port in [node.broker_port, node.controller_port] {
            for length in [-1, i32::MIN, -100, FRAME_BYTES_MAX + 1, i32::MAX, 0, 1, 7] {
                let mut bytes = length.to_be_bytes().to_vec();
                bytes.extend([0; 16]);
                assert_closes(port, &bytes, &format!("length {length}"));
            }
            // What strangers say first: HTTP, TLS, SSH, and a newline.
            for hello in [
                &b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n"[..],
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                b"SSH-2.0-OpenSSH_9.2p1\r\n",
                b"\r\n\r\n\r\n",
            ] {
                assert_closes(port, hello, &format!("{:?}", String::from_utf8_lossy(hello)));
            }
        }
    }
    assert_still_serving(&cluster, &topic);
}

#[test]
fn requests_cut_at_every_byte_close_the_connection() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "cut");
    let node = &cluster.nodes["n1"];
    for (set, port) in
        [(ApiSet::Broker, node.broker_port), (ApiSet::Controller, node.controller_port)]
    {
        for (api_key, versions) in api::all(set) {
            let frame = requests::example(&topic.world, *api_key, versions.max);
            for length in 0..frame.len() {
                let what = format!("{} cut at {length}", api::api_name(*api_key));
                assert_closes(port, &prefixed(&frame[..length]), &what);
            }
        }
    }
    assert_still_serving(&cluster, &topic);
}

#[test]
fn bytes_after_a_request_are_passed_over() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "trailing");
    for (api_key, versions) in api::all(ApiSet::Broker) {
        let mut frame = requests::example(&topic.world, *api_key, versions.max).to_vec();
        frame.extend([0; 3]);
        // Kafka does not mind, and librdkafka's request for the metadata of all topics has three bytes too many.
        let mut connection = Connection::to(topic.leader_port);
        connection.send_frame(&frame);
        match connection.receive() {
            Received::Frame(_) => {}
            other => panic!("{} with more behind it: {other:?}", api::api_name(*api_key)),
        }
    }
    assert_still_serving(&cluster, &topic);
}

#[test]
fn a_frame_may_come_byte_by_byte_and_frames_may_come_together() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "slowly");
    let mut connection = topic.connect();
    let frame = requests::example(&topic.world, key::METADATA, 12);
    for byte in prefixed(&frame) {
        connection.send_raw(&[byte]);
    }
    let answer: m::MetadataResponse = connection.answer(key::METADATA, 12, 7);
    assert_eq!(answer.topics[0].topic_id, topic.world.topic_id);
    // Two and a half, then the rest.
    let three = prefixed(&frame).repeat(3);
    let (early, late) = three.split_at(three.len() - frame.len() / 2);
    connection.send_raw(early);
    let _: m::MetadataResponse = connection.answer(key::METADATA, 12, 7);
    let _: m::MetadataResponse = connection.answer(key::METADATA, 12, 7);
    connection.send_raw(late);
    let _: m::MetadataResponse = connection.answer(key::METADATA, 12, 7);
}

#[test]
fn halves_of_frames_idlers_and_those_who_hang_up_harm_nobody() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "idlers");
    let node = &cluster.nodes["n1"];
    let frame = prefixed(&requests::example(&topic.world, key::PRODUCE, 12));
    let mut held = Vec::new();
    for port in [node.broker_port, node.controller_port, topic.leader_port] {
        for length in [0, 1, 3, 4, 5, frame.len() / 2, frame.len() - 1] {
            let mut hangs_up = Connection::to(port);
            hangs_up.send_raw(&frame[..length]);
            drop(hangs_up);
            let mut half_closes = Connection::to(port);
            half_closes.send_raw(&frame[..length]);
            half_closes.end_sending();
            assert!(
                matches!(half_closes.receive(), Received::Closed),
                "half of a frame, then the end"
            );
            let mut waits = Connection::to(port);
            waits.send_raw(&frame[..length]);
            held.push(waits);
        }
        // A long frame is promised and never comes.
        for _ in 0..10 {
            let mut promises = Connection::to(port);
            promises.send_raw(&FRAME_BYTES_MAX.to_be_bytes());
            held.push(promises);
        }
        // Answers that nobody reads.
        for _ in 0..10 {
            let mut deaf = Connection::to(port);
            deaf.send_raw(&prefixed(&requests::example(&topic.world, key::FETCH, 12)).repeat(20));
        }
    }
    held.extend((0..100).map(|_| Connection::to(topic.leader_port)));
    assert_still_serving(&cluster, &topic);
    // Those who only waited are still welcome.
    let idler = held.last_mut().expect("100 idlers");
    let _: m::MetadataResponse =
        idler.ask(key::METADATA, 12, &requests::metadata(&topic.world.topic));
    drop(held);
    assert_still_serving(&cluster, &topic);
}
