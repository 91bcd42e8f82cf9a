//! A plan's cluster, topic and load as a scenario; its faults stay the nemesis' (`planned`).
//!
//! Promises: what the plan says of nodes, properties, topic, acks, idempotence, rate and times is what is simulated.
//! Where a real run leaves something to librdkafka's profile, the same numbers stand here. Not here: a matrix; each cell
//! of it is a plan of its own.

use crate::scenario::{
    Cluster, Consumer, Disk, Network, Phases, Producer, SCHEMA, SESSION_TIMEOUT_MS, Scenario, Topic,
};
use plan::{Controllers, Plan};

/// A machine whose network and disk are as a laptop's: what goes wrong is the plan's business.
const NETWORK: Network = Network {
    delay_us_min: 30,
    delay_us_mean: 50,
    split_frames: true,
    reset_per_million: 0,
    clog_per_million: 0,
    clog_ms_max: 1,
    dial_timeout_ms: 1_000,
};
const DISK: Disk = Disk {
    cached_us_min: 5,
    cached_us_mean: 10,
    sync_us_min: 300,
    sync_us_mean: 500,
    sector_bytes: 4096,
    unsynced_survives_percent: 50,
    stall_per_million: 0,
    stall_ms_max: 1,
};
/// Sends a second where the plan does not say.
const RATE: u64 = 10_000;

/// The plan's scenario, without faults.
pub fn scenario(plan: &Plan, seed: u64) -> Scenario {
    let brokers = u16::try_from(plan.target.nodes).expect("a plan has few nodes");
    let dedicated = match plan.target.controllers {
        Controllers::Combined => 0,
        Controllers::Dedicated(count) => u16::try_from(count).expect("a plan has few controllers"),
    };
    let workload = &plan.workload;
    let rate = workload.rate.per_second.unwrap_or(RATE).max(1);
    let producers = u64::from(workload.producers.max(1));
    let mut properties: std::collections::BTreeMap<String, String> = plan
        .target
        .profile
        .properties()
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    properties.extend(plan.target.properties.clone());
    let producer = Producer {
        topic: 0,
        acks: workload.acks,
        idempotence: workload.idempotence,
        retries: workload.retries,
        in_flight_requests_max: workload.in_flight,
        send_every_us: (producers * 1_000_000 / rate).max(1),
        batch_records_max: 500,
        record_bytes: u32::try_from(workload.record_bytes.0).unwrap_or(u32::MAX),
        request_timeout_ms: 1_500,
        delivery_timeout_ms: 20_000,
        retry_backoff_ms: 20,
        metadata_refresh_ms: 100,
        compression: 0,
    };
    let consumer = Consumer {
        topic: 0,
        group: (workload.name == plan::WorkloadName::Groups).then(|| "g0".to_owned()),
        fetch_wait_ms: 100,
        fetch_bytes_max: 1 << 20,
        request_timeout_ms: 2_000,
        metadata_refresh_ms: 100,
        lag_every_ms: 0,
        session_timeout_ms: SESSION_TIMEOUT_MS,
    };
    Scenario {
        schema: SCHEMA.to_owned(),
        seed,
        defects: plan.target.defects.clone(),
        exceeds_promise: true,
        insiders: true,
        phases: Phases {
            disasters_ms: plan.time.baseline.0 + plan.time.run.0,
            liveness_ms: plan.time.settle.0 + plan.time.heal.0,
            left_out: Vec::new(),
        },
        cluster: Cluster {
            brokers,
            dedicated_controllers: dedicated,
            combined_controllers: brokers,
            properties,
            clock_drift_ppm: Vec::new(),
        },
        network: NETWORK,
        disk: DISK,
        topics: vec![Topic {
            name: plan.topic.name.clone(),
            partitions: plan.topic.partitions,
            replication_factor: plan.topic.replication_factor,
            properties: plan.topic.all_properties(),
        }],
        producers: vec![producer; producers as usize],
        consumers: vec![consumer; workload.consumers as usize],
        faults: Vec::new(),
    }
}
