//! Clients against a real node, and against brokers that say what the test wants.

mod live;
mod outcomes;
mod reads;
mod resending;
mod scripted;
mod world;

use super::*;
use crate::scenario;
use model::settings::Acks;

const TOPIC: &str = "orders";
const RUN: u64 = 77;
/// When the worlds begin, in milliseconds since the epoch.
const WALL_MS: i64 = 1_700_000_000_000;

fn setup(name: &str, brokers: &[u16], sessions: &Sessions, seed: u64) -> Setup {
    Setup {
        run: RUN,
        name: name.to_owned(),
        brokers: brokers.to_vec(),
        sessions: sessions.clone(),
        random: Random::new(seed, name),
        life: 0,
    }
}

fn target(partitions: u32) -> Target {
    Target { topic: TopicRef(0), name: TOPIC.to_owned(), partitions, create_time: true }
}

fn producer_settings() -> scenario::Producer {
    scenario::Producer {
        topic: 0,
        acks: Acks::All,
        idempotence: false,
        retries: 1_000,
        in_flight_requests_max: 5,
        send_every_us: 10_000,
        batch_records_max: 10,
        record_bytes: 100,
        request_timeout_ms: 900,
        delivery_timeout_ms: 5_000,
        retry_backoff_ms: 20,
        metadata_refresh_ms: 1_000,
        compression: 0,
    }
}

fn consumer_settings(group: Option<&str>) -> scenario::Consumer {
    scenario::Consumer {
        topic: 0,
        group: group.map(str::to_owned),
        fetch_wait_ms: 50,
        fetch_bytes_max: 1 << 16,
        request_timeout_ms: 1_000,
        metadata_refresh_ms: 1_000,
        lag_every_ms: 0,
        session_timeout_ms: scenario::SESSION_TIMEOUT_MS,
    }
}
