//! From a seed to a scenario: each schedule draws its own mix of sizes, times, weather, clients and faults.
//!
//! Promises: a seed (with the defects asked for) gives one scenario, always; a schedule that does not say that it exceeds
//! the promise stays within the atlas. Swarm testing (Groce et al., ISSTA 2012): a schedule that leaves most kinds of
//! faults out goes deeper into the ones that it has. "Make the unlikely likely": sizes and times are drawn towards their
//! edges, and pairs of faults that matter together (`combination`) are drawn as such; a seeded defect that is hard to meet
//! is leant towards (`lean`). Not here: any state of a run.

mod combination;
mod forget;
mod lean;
mod pace;

use crate::scenario::{
    Cluster, Consumer, Disk, FailingOp, Fault, Network, Phases, Producer, SCHEMA,
    SESSION_TIMEOUT_MS, Scenario, Topic, What, Whom,
};
use generator::random::Random;
use model::settings::Acks;
use node::defect::Defect;
use std::collections::BTreeMap;

/// A stream with the questions that a draw asks.
pub(crate) struct Draw(Random);

impl Draw {
    fn new(seed: u64, salt: &str) -> Draw {
        Draw(Random::new(seed, salt))
    }

    /// Uniform in `from..=to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.0.below(to - from + 1)
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.0.below(100) < chance
    }

    pub(crate) fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.0.below(choices.len() as u64) as usize].clone()
    }

    /// Each power of two as likely as any other: short ones are not drowned by long ones.
    pub(crate) fn scaled(&mut self, from: u64, to: u64) -> u64 {
        let doublings = (to / from.max(1)).max(1).ilog2();
        let low = from.max(1) << self.0.below(u64::from(doublings) + 1);
        self.between(low.min(to), (2 * low).min(to))
    }

    fn u32(&mut self, from: u32, to: u32) -> u32 {
        u32::try_from(self.between(from.into(), to.into())).expect("between two of 32 bits")
    }
}

/// The scenario of a seed.
pub fn draw(seed: u64, defects: &[String]) -> Scenario {
    let mut size = Draw::new(seed, "size");
    let cluster = cluster(&mut size);
    let topics = topics(&mut size, &cluster);
    let exceeds_promise = size.percent(8);
    let mut scenario = Scenario {
        schema: SCHEMA.to_owned(),
        seed,
        defects: defects.to_vec(),
        exceeds_promise,
        insiders: true,
        phases: Phases {
            disasters_ms: size.between(3_000, 6_000),
            liveness_ms: 20_000,
            left_out: Vec::new(),
        },
        cluster,
        network: network(&mut Draw::new(seed, "network")),
        disk: disk(&mut Draw::new(seed, "disk")),
        topics,
        producers: Vec::new(),
        consumers: Vec::new(),
        faults: Vec::new(),
    };
    let mut clients = Draw::new(seed, "clients");
    scenario.producers = (0..2).map(|index| producer(&mut clients, index, &scenario)).collect();
    let shares = scenario.topics[0].partitions >= 2 && clients.percent(20);
    scenario.consumers =
        (0..2).map(|index| consumer(&mut clients, index, shares, &scenario)).collect();
    let mut faults = Draw::new(seed, "faults");
    if faults.percent(30) && quorum_stands_without_one(&scenario) {
        let node = faults.between(1, scenario.cluster.brokers.into());
        scenario.phases.left_out = vec![u16::try_from(node).expect("few nodes")];
    }
    scenario.faults = faults_of(&mut faults, &scenario);
    if defects.is_empty() {
        forget::draw(&mut scenario);
    }
    let mut leaning = Draw::new(seed, "lean");
    for defect in defects.iter().filter_map(|name| Defect::from_name(name)) {
        lean::lean(&mut leaning, defect, &mut scenario);
    }
    pace::keep(&mut scenario);
    scenario
}

fn quorum_stands_without_one(scenario: &Scenario) -> bool {
    scenario.cluster.brokers >= 3
        && (scenario.cluster.dedicated_controllers > 0
            || scenario.cluster.combined_controllers >= 3)
}

fn cluster(draw: &mut Draw) -> Cluster {
    let brokers = draw.of(&[3, 3, 3, 3, 3, 3, 4, 5, 2, 1]);
    let dedicated_controllers = if draw.percent(30) { draw.of(&[1, 3, 3]) } else { 0 };
    let combined_controllers = if brokers >= 3 { 3 } else { 1 };
    let mut properties = BTreeMap::new();
    let mut set = |key: &str, value: String| properties.insert(key.to_owned(), value);
    if draw.percent(25) {
        // Sessions and lags near each other, and near the quorum's own times.
        set("broker.session.timeout.ms", draw.between(250, 1_500).to_string());
        set("broker.heartbeat.interval.ms", draw.between(40, 120).to_string());
    }
    if draw.percent(25) {
        set("replica.lag.time.max.ms", draw.between(250, 2_000).to_string());
        set("replica.fetch.wait.max.ms", draw.between(20, 120).to_string());
    }
    if draw.percent(25) {
        set("controller.quorum.fetch.timeout.ms", draw.between(200, 1_200).to_string());
        set("controller.quorum.election.timeout.ms", draw.between(100, 600).to_string());
        set("controller.quorum.fetch.max.wait.ms", draw.between(20, 100).to_string());
    }
    if draw.percent(40) {
        // Snapshots of the metadata log each few records, and segments that they can leave behind.
        let bytes = draw.scaled(400, 20_000);
        set("metadata.log.max.record.bytes.between.snapshots", bytes.to_string());
        set("metadata.log.segment.bytes", draw.scaled(500, 20_000).to_string());
    }
    if draw.percent(30) {
        set("num.replica.fetchers", draw.between(2, 3).to_string());
    }
    if draw.percent(30) {
        set("replica.fetch.max.bytes", draw.scaled(200, 100_000).to_string());
    }
    if draw.percent(20) {
        set("log.flush.offset.checkpoint.interval.ms", draw.scaled(20, 5_000).to_string());
        set("replica.high.watermark.checkpoint.interval.ms", draw.scaled(20, 5_000).to_string());
    }
    if draw.percent(20) {
        set("highwater.elr", "false".to_owned());
    }
    if draw.percent(20) {
        set("leader.imbalance.check.interval.seconds", "1".to_owned());
    }
    if draw.percent(20) {
        set("highwater.tail.cache.bytes", draw.of(&["0", "500", "20000"]).to_owned());
    }
    let nodes = brokers + dedicated_controllers;
    let clock_drift_ppm = if draw.percent(30) {
        (0..nodes).map(|_| i32::try_from(draw.between(0, 20_000)).unwrap_or(0) - 10_000).collect()
    } else {
        Vec::new()
    };
    Cluster { brokers, dedicated_controllers, combined_controllers, properties, clock_drift_ppm }
}

fn topics(draw: &mut Draw, cluster: &Cluster) -> Vec<Topic> {
    let topic = |draw: &mut Draw, index: usize| {
        let replication_factor = cluster.brokers.min(draw.of(&[3, 3, 3, 3, 2, 1]));
        let least = if draw.percent(75) { 2 } else { 1 };
        let mut properties = BTreeMap::from([(
            "min.insync.replicas".to_owned(),
            least.min(replication_factor).to_string(),
        )]);
        let mut set = |key: &str, value: String| properties.insert(key.to_owned(), value);
        if draw.percent(15) {
            set("flush.messages", "1".to_owned());
        }
        if draw.percent(20) {
            set("segment.ms", draw.scaled(100, 3_000).to_string());
        }
        if draw.percent(10) {
            set("message.timestamp.type", "LogAppendTime".to_owned());
        }
        let partitions = draw.u32(1, 3);
        Topic { name: format!("t{index}"), partitions, replication_factor, properties }
    };
    (0..2).map(|index| topic(draw, index)).collect()
}

fn network(draw: &mut Draw) -> Network {
    let is_rough = draw.percent(30);
    Network {
        delay_us_min: draw.scaled(20, 500),
        delay_us_mean: draw.scaled(20, if is_rough { 20_000 } else { 1_000 }),
        split_frames: draw.percent(30),
        reset_per_million: if is_rough { draw.u32(0, 3_000) } else { 0 },
        clog_per_million: if draw.percent(30) { draw.u32(0, 5_000) } else { 0 },
        clog_ms_max: draw.scaled(5, 600),
        dial_timeout_ms: draw.between(200, 1_500),
    }
}

fn disk(draw: &mut Draw) -> Disk {
    Disk {
        cached_us_min: draw.scaled(1, 50),
        cached_us_mean: draw.scaled(1, 200),
        sync_us_min: draw.scaled(50, 2_000),
        sync_us_mean: draw.scaled(50, 8_000),
        sector_bytes: draw.of(&[512, 4096]),
        unsynced_survives_percent: draw.of(&[0, 10, 50, 90, 100]),
        stall_per_million: if draw.percent(30) { draw.u32(0, 5_000) } else { 0 },
        stall_ms_max: draw.scaled(10, 700),
    }
}

fn producer(draw: &mut Draw, index: usize, scenario: &Scenario) -> Producer {
    let acks = draw.of(&[Acks::All, Acks::All, Acks::All, Acks::All, Acks::Leader, Acks::None]);
    // The first always asks for everything: a schedule without a promise tests little.
    let acks = if index == 0 { Acks::All } else { acks };
    let idempotence = acks == Acks::All && draw.percent(75);
    Producer {
        topic: index % scenario.topics.len(),
        acks,
        idempotence,
        retries: if idempotence || draw.percent(70) { 1_000_000 } else { 0 },
        in_flight_requests_max: draw.of(&[1, 5, 5, 5]),
        send_every_us: draw.scaled(3_000, 40_000),
        batch_records_max: draw.u32(1, 8),
        record_bytes: u32::try_from(draw.scaled(64, 1_500)).expect("small records"),
        request_timeout_ms: draw.between(300, 2_000),
        delivery_timeout_ms: draw.between(2_000, 10_000),
        retry_backoff_ms: draw.scaled(5, 100),
        metadata_refresh_ms: draw.scaled(50, 1_000),
        compression: if draw.percent(20) { draw.of(&[1, 2, 3, 4]) } else { 0 },
    }
}

/// `shares`: both are members of one group on the first topic, which has a partition for each.
fn consumer(draw: &mut Draw, index: usize, shares: bool, scenario: &Scenario) -> Consumer {
    let topic = if shares { 0 } else { index % scenario.topics.len() };
    let is_member = shares || draw.percent(15);
    Consumer {
        topic,
        group: is_member.then(|| format!("g{topic}")),
        fetch_wait_ms: draw.scaled(20, 500),
        fetch_bytes_max: u32::try_from(draw.scaled(200, 100_000)).expect("few bytes"),
        request_timeout_ms: draw.between(600, 2_500),
        metadata_refresh_ms: draw.scaled(50, 1_000),
        lag_every_ms: 0,
        session_timeout_ms: SESSION_TIMEOUT_MS,
    }
}

/// Kinds of faults; a schedule draws which of them it has at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Process,
    Power,
    Stall,
    Network,
    Disk,
    Destroy,
    Clock,
    Client,
    Admin,
    Combination,
}

const KINDS: &[Kind] = &[
    Kind::Process,
    Kind::Power,
    Kind::Stall,
    Kind::Network,
    Kind::Disk,
    Kind::Destroy,
    Kind::Clock,
    Kind::Client,
    Kind::Admin,
    Kind::Combination,
    Kind::Combination,
];

fn faults_of(draw: &mut Draw, scenario: &Scenario) -> Vec<Fault> {
    let chance = draw.of(&[20, 40, 60, 100]);
    let kinds: Vec<Kind> = KINDS.iter().copied().filter(|_| draw.percent(chance)).collect();
    if kinds.is_empty() {
        return Vec::new();
    }
    let count = draw.between(1, 10);
    let mut faults = Vec::new();
    for _ in 0..count {
        let at_ms = draw.between(0, scenario.phases.disasters_ms);
        let kind = draw.of(&kinds);
        if kind == Kind::Combination {
            combination::draw(draw, scenario, at_ms, &mut faults);
        } else {
            faults.push(Fault {
                at_ms,
                for_ms: draw.scaled(10, 2_500),
                what: what(draw, kind, scenario),
            });
        }
    }
    faults.sort_by_key(|fault: &Fault| fault.at_ms);
    faults
}

fn what(draw: &mut Draw, kind: Kind, scenario: &Scenario) -> What {
    let whom = whom(draw, scenario);
    match kind {
        Kind::Process if draw.percent(25) => What::Shutdown { whom },
        Kind::Process => What::Kill { whom },
        Kind::Power if draw.percent(25) => {
            What::PowerLossOfAll { nodes: some_nodes(draw, scenario) }
        }
        Kind::Power => What::PowerLoss { whom },
        Kind::Stall => What::Stall { whom },
        Kind::Network => network_fault(draw, scenario, whom),
        Kind::Disk => disk_fault(draw, whom),
        Kind::Destroy => match draw.between(0, 3) {
            0 | 1 => What::Wipe { whom },
            2 => What::OldSnapshot { whom, age_ms: draw.scaled(300, 4_000) },
            _ => What::BitRot { whom },
        },
        Kind::Clock => {
            let by_ms = i64::try_from(draw.scaled(10, 100_000)).expect("minutes");
            What::ClockJump { whom, by_ms: if draw.percent(50) { by_ms } else { -by_ms } }
        }
        Kind::Client => {
            let clients = scenario.producers.len() + scenario.consumers.len();
            What::RestartClient { client: draw.between(0, clients as u64 - 1) as usize }
        }
        Kind::Admin | Kind::Combination => admin_fault(draw, scenario),
    }
}

fn network_fault(draw: &mut Draw, scenario: &Scenario, whom: Whom) -> What {
    match draw.between(0, 7) {
        0 | 1 => {
            let to = self::whom(draw, scenario);
            What::Cut { from: whom, to, one_way: draw.percent(50) }
        }
        2 | 3 => What::Isolate { whom },
        4 => What::Partition { left: some_nodes(draw, scenario) },
        5 => What::Reset { whom },
        6 => What::ForgetConnections { whom },
        _ => What::SlowNetwork { whom, delay_us_mean: draw.scaled(1_000, 200_000) },
    }
}

fn disk_fault(draw: &mut Draw, whom: Whom) -> What {
    match draw.between(0, 3) {
        0 => What::SlowDisk { whom, factor: draw.u32(10, 1_000) },
        1 | 2 => {
            let op = draw.of(&[FailingOp::Write, FailingOp::Read, FailingOp::Sync]);
            What::DiskError { whom, op }
        }
        _ => What::DiskFull { whom },
    }
}

fn admin_fault(draw: &mut Draw, scenario: &Scenario) -> What {
    let topic = draw.between(0, scenario.topics.len() as u64 - 1) as usize;
    match draw.between(0, 2) {
        0 => What::ElectPreferred,
        1 => What::AlterTopic {
            topic,
            key: "segment.ms".to_owned(),
            value: draw.scaled(200, 5_000).to_string(),
        },
        _ => What::CreatePartitions { topic, count: scenario.topics[topic].partitions + 1 },
    }
}

pub(crate) fn whom(draw: &mut Draw, scenario: &Scenario) -> Whom {
    let nodes = u64::from(scenario.cluster.brokers + scenario.cluster.dedicated_controllers);
    let (topic, partition) = log(draw, scenario);
    match draw.between(0, 9) {
        0..=3 => Whom::Leader(topic, partition),
        4 | 5 => Whom::Follower(topic, partition, u16::from(draw.percent(50))),
        6 | 7 => Whom::Controller,
        8 => Whom::Voter(u16::from(draw.percent(50))),
        _ => Whom::Node(u16::try_from(draw.between(1, nodes)).expect("few nodes")),
    }
}

/// A partition of a topic, by their numbers.
pub(crate) fn log(draw: &mut Draw, scenario: &Scenario) -> (usize, u32) {
    let topic = draw.between(0, scenario.topics.len() as u64 - 1) as usize;
    (topic, draw.u32(0, scenario.topics[topic].partitions - 1))
}

fn some_nodes(draw: &mut Draw, scenario: &Scenario) -> Vec<u16> {
    let nodes: Vec<u16> = scenario.node_ids().collect();
    let some: Vec<u16> = nodes.iter().copied().filter(|_| draw.percent(60)).collect();
    if some.is_empty() { nodes } else { some }
}
