//! Which APIs and versions are answered.

use crate::connection::{Connection, Received};
use crate::fixture::{Topic, assert_still_serving, shared_cluster};
use crate::requests;
use std::collections::BTreeMap;
use wire::api::{self, ApiSet, key};
use wire::error::ErrorCode;
use wire::frame;
use wire::messages as m;

/// Both listeners of one node.
fn listeners(node: &crate::cluster::Node) -> [(ApiSet, u16); 2] {
    [(ApiSet::Broker, node.broker_port), (ApiSet::Controller, node.controller_port)]
}

/// A request's header in its first form, with an empty body behind it.
fn bare_request(api_key: i16, version: i16) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(api_key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(5_i32.to_be_bytes());
    frame.extend((-1_i16).to_be_bytes());
    frame
}

fn assert_closes(port: u16, frame: &[u8], what: &str) {
    let mut connection = Connection::to(port);
    connection.send_frame(frame);
    match connection.receive() {
        Received::Closed => {}
        other => panic!("{what} on port {port}: {other:?}"),
    }
}

#[test]
fn every_advertised_version_is_answered_in_its_form() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "answered");
    for (set, port) in cluster.nodes.values().flat_map(listeners) {
        for (api_key, versions) in api::all(set) {
            for version in versions.min..=versions.max {
                if *api_key == key::PRODUCE && version < api::PRODUCE_MIN_SERVED {
                    continue;
                }
                let what = format!("{} version {version} on {set:?}", api::api_name(*api_key));
                let mut connection = Connection::to(port);
                connection.send_frame(&requests::example(&topic.world, *api_key, version));
                let mut frame = match connection.receive() {
                    Received::Frame(frame) => frame,
                    other => panic!("{what}: {other:?}"),
                };
                let correlation_id = frame::read_response_head(&mut frame, *api_key, version);
                assert_eq!(correlation_id, Ok(7), "{what}");
                requests::check_response(*api_key, version, &mut frame)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
            }
        }
    }
    assert_still_serving(&cluster, &topic);
}

#[test]
fn unserved_apis_and_versions_close_the_connection() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "unserved");
    for (set, port) in listeners(&cluster.nodes["n1"]) {
        for api_key in [-1, 4, 5, 17, 26, 27, 51, 66, 71, 74, 88, 1_000, i16::MAX, i16::MIN] {
            assert_eq!(api::supported(set, api_key), None);
            for version in [0, 1, i16::MAX] {
                assert_closes(port, &bare_request(api_key, version), &format!("API {api_key}"));
            }
        }
        for (api_key, versions) in api::all(set) {
            if *api_key == key::API_VERSIONS {
                continue;
            }
            let below = (versions.min > 0).then(|| versions.min - 1);
            let produce_below = (*api_key == key::PRODUCE).then_some(2);
            let others = [versions.max + 1, i16::MAX, -1, i16::MIN];
            for version in others.into_iter().chain(below).chain(produce_below) {
                let what = format!("{} version {version}", api::api_name(*api_key));
                assert_closes(port, &bare_request(*api_key, version), &what);
            }
        }
    }
    assert_still_serving(&cluster, &topic);
}

#[test]
fn api_versions_above_ours_is_answered_in_version_0_with_the_list() {
    let cluster = shared_cluster();
    for (set, port) in listeners(&cluster.nodes["n2"]) {
        for version in [5, 6, 100, i16::MAX] {
            let mut connection = Connection::to(port);
            // As a client from the future would write it: flexible, with fields that we don't know.
            let mut request = bare_request(key::API_VERSIONS, version);
            request.extend(b"\0\x07future\x021\x2a\x00");
            connection.send_frame(&request);
            let answer: m::ApiVersionsResponse = match connection.receive() {
                Received::Frame(mut frame) => {
                    assert_eq!(frame::read_response_head(&mut frame, key::API_VERSIONS, 0), Ok(5));
                    frame::decode(&mut frame, 0).expect("version 0")
                }
                other => panic!("version {version}: {other:?}"),
            };
            assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion.code());
            assert_eq!(advertised(&answer), ours(set));
            // The connection goes on: a client asks again in a version that it now knows to be there.
            let body = m::ApiVersionsRequest::default()
                .with_client_software_name(requests::text("protocol"))
                .with_client_software_version(requests::text("1"));
            let answer: m::ApiVersionsResponse = connection.ask(key::API_VERSIONS, 4, &body);
            assert_eq!(answer.error_code, 0);
        }
    }
}

type Advertised = BTreeMap<i16, (i16, i16)>;

fn advertised(answer: &m::ApiVersionsResponse) -> Advertised {
    answer.api_keys.iter().map(|row| (row.api_key, (row.min_version, row.max_version))).collect()
}

fn ours(set: ApiSet) -> Advertised {
    api::all(set).iter().map(|(key, versions)| (*key, (versions.min, versions.max))).collect()
}

#[test]
fn all_versions_of_api_versions_tell_the_same_and_produce_is_there_from_0() {
    let cluster = shared_cluster();
    for (set, port) in listeners(&cluster.nodes["n3"]) {
        for version in 0..=4 {
            let mut body = m::ApiVersionsRequest::default();
            if version >= 3 {
                body.client_software_name = requests::text("protocol");
                body.client_software_version = requests::text("1");
            }
            let answer: m::ApiVersionsResponse =
                Connection::to(port).ask(key::API_VERSIONS, version, &body);
            assert_eq!(answer.error_code, 0, "version {version}");
            assert_eq!(advertised(&answer), ours(set), "version {version}");
            if set == ApiSet::Broker {
                // librdkafka does not compress for a broker that does not say so (KAFKA-18659).
                assert_eq!(advertised(&answer)[&key::PRODUCE], (0, 13));
            }
        }
    }
}

#[test]
fn a_client_software_name_that_kafka_refuses_is_an_invalid_request() {
    let cluster = shared_cluster();
    let port = cluster.nodes["n1"].broker_port;
    for (name, version) in [("", "1"), ("protocol", ""), ("with space", "1"), ("-", "1")] {
        let body = m::ApiVersionsRequest::default()
            .with_client_software_name(requests::text(name))
            .with_client_software_version(requests::text(version));
        let answer: m::ApiVersionsResponse = Connection::to(port).ask(key::API_VERSIONS, 3, &body);
        assert_eq!(answer.error_code, ErrorCode::InvalidRequest.code(), "{name:?} {version:?}");
    }
}
