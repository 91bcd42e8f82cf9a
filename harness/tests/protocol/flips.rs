//! Sound requests with a few bits flipped, and plain noise: whatever they have become is answered, refused or hung up on,
//! and what is answered is well-formed.

use crate::cluster::Cluster;
use crate::connection::{Connection, Received, prefixed};
use crate::fixture::{Topic, assert_still_serving, cluster_of_its_own};
use crate::requests;
use bytes::Bytes;
use std::time::Duration;
use wire::api::{self, ApiSet, key};
use wire::frame;
use wire::messages as m;

/// Flipped requests of each version of each API; `HIGHWATER_FLIPS=500` for a longer search.
const FLIPS_PER_VERSION: u32 = 12;

fn flips_per_version() -> u32 {
    let asked = std::env::var("HIGHWATER_FLIPS").ok();
    asked.map_or(FLIPS_PER_VERSION, |flips| flips.parse().expect("HIGHWATER_FLIPS is a number"))
}

/// A flip can turn a wait of 10 ms into one of weeks: who waits longer than this waits rightly, and hangs up.
const PATIENCE: Duration = Duration::from_millis(50);

/// Small, seeded, good enough to choose bits.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % bound
    }
}

fn flipped(random: &mut Random, frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for _ in 0..=random.below(3) {
        let bit = random.below(frame.len() * 8);
        frame[bit / 8] ^= 1 << (bit % 8);
    }
    frame
}

/// Whether it has become a request for so many partitions that the machine's limit of open files would be what is tested.
fn is_greedy(frame: &[u8]) -> bool {
    const PARTITIONS_MAX: i32 = 100;
    let mut body = Bytes::copy_from_slice(frame);
    let Ok(head) = frame::read_request_head(&mut body) else { return false };
    let version = head.api_version;
    match head.api_key {
        key::CREATE_TOPICS => {
            let request = frame::decode_request::<m::CreateTopicsRequest>(&mut body, version);
            request.is_ok_and(|r| r.topics.iter().any(|t| t.num_partitions > PARTITIONS_MAX))
        }
        key::CREATE_PARTITIONS => {
            let request = frame::decode_request::<m::CreatePartitionsRequest>(&mut body, version);
            request.is_ok_and(|r| r.topics.iter().any(|t| t.count > PARTITIONS_MAX))
        }
        key::ENVELOPE => {
            let request = frame::decode_request::<m::EnvelopeRequest>(&mut body, version);
            request.is_ok_and(|r| is_greedy(&r.request_data))
        }
        _ => false,
    }
}

/// Sends it, and checks that what comes back, if anything does, is an answer to what it has become.
fn offer(port: u16, frame: &[u8], what: &str) {
    let mut connection = Connection::to(port);
    connection.be_patient_for(PATIENCE);
    connection.send_frame(frame);
    let Received::Frame(mut answer) = connection.receive() else { return };
    let api_key = i16::from_be_bytes([frame[0], frame[1]]);
    let version = i16::from_be_bytes([frame[2], frame[3]]);
    let correlation_id = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
    // The one API that is answered in versions that we don't serve.
    let unserved = api_key == key::API_VERSIONS && !(0..=4).contains(&version);
    let version = if unserved { 0 } else { version };
    let answered = frame::read_response_head(&mut answer, api_key, version);
    assert_eq!(answered, Ok(correlation_id), "{what}, sent as {frame:02x?}");
    requests::check_response(api_key, version, &mut answer)
        .unwrap_or_else(|error| panic!("{what}, sent as {frame:02x?}: {error}"));
}

fn attack(cluster: &Cluster, topic: &Topic, set: ApiSet, seed: u64) {
    let mut random = Random(seed);
    for (api_key, versions) in api::all(set) {
        for version in versions.min..=versions.max {
            if *api_key == key::PRODUCE && version < api::PRODUCE_MIN_SERVED {
                continue;
            }
            let sound = requests::example(&topic.world, *api_key, version);
            for flip in 0..flips_per_version() {
                let node = &cluster.nodes[["n1", "n2", "n3"][random.below(3)]];
                let port = match set {
                    ApiSet::Broker => node.broker_port,
                    ApiSet::Controller => node.controller_port,
                };
                let what = format!("{} version {version}, flip {flip}", api::api_name(*api_key));
                let flipped = flipped(&mut random, &sound);
                if !is_greedy(&flipped) {
                    offer(port, &flipped, &what);
                }
            }
        }
        cluster.assert_alive();
    }
}

#[test]
fn flipped_bits_harm_no_broker() {
    let cluster = cluster_of_its_own();
    let topic = Topic::create(&cluster, "flips");
    attack(&cluster, &topic, ApiSet::Broker, 0x9e37_79b9_7f4a_7c15);
    assert_still_serving(&cluster, &topic);
    // The cluster can still be administered.
    Topic::create(&cluster, "afterwards");
}

#[test]
fn flipped_bits_harm_no_controller() {
    let cluster = cluster_of_its_own();
    let topic = Topic::create(&cluster, "flips");
    attack(&cluster, &topic, ApiSet::Controller, 0xd1b5_4a32_d192_ed03);
    assert_still_serving(&cluster, &topic);
    Topic::create(&cluster, "afterwards");
}

#[test]
fn noise_harms_nobody() {
    let cluster = cluster_of_its_own();
    let topic = Topic::create(&cluster, "noise");
    let mut random = Random(0x2127_599b_f432_5c37);
    let node = &cluster.nodes["n2"];
    for port in [node.broker_port, node.controller_port] {
        for _ in 0..200 {
            let mut noise: Vec<u8> =
                (0..random.below(500)).map(|_| random.next().to_le_bytes()[0]).collect();
            let mut connection = Connection::to(port);
            connection.send_raw(&noise);
            drop(connection);
            // The same behind a true length, and behind the head of a request that is served.
            offer_noise(port, &noise);
            if noise.len() > 10 {
                let (set, rows) = match port == node.broker_port {
                    true => ("broker", api::all(ApiSet::Broker)),
                    false => ("controller", api::all(ApiSet::Controller)),
                };
                let (api_key, versions) = rows[random.below(rows.len())];
                noise[..2].copy_from_slice(&api_key.to_be_bytes());
                noise[2..4].copy_from_slice(&versions.max.to_be_bytes());
                noise[8..10].copy_from_slice(&(-1_i16).to_be_bytes());
                offer(port, &noise, &format!("noise as {} to a {set}", api::api_name(api_key)));
            }
        }
    }
    assert_still_serving(&cluster, &topic);
}

fn offer_noise(port: u16, noise: &[u8]) {
    let mut connection = Connection::to(port);
    connection.be_patient_for(PATIENCE);
    connection.send_raw(&prefixed(noise));
    connection.receive();
}
