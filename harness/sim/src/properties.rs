//! What a simulated node is configured with: Kafka's names, times that fit into ten seconds, and what the scenario says.
//!
//! Promises: node ids, ports and roles are here and nowhere else; the scenario's own properties win over ours.

use crate::scenario::Scenario;
use node::config::NodeConfig;
use node::step::Listener;

/// A node's broker listener is at this port plus its id, on host `n<id>`.
pub const BROKER_PORT: u16 = 9_000;
pub const CONTROLLER_PORT: u16 = 9_100;

/// Everything that follows from time is scaled down, so that ten seconds hold many elections.
const OURS: &[(&str, &str)] = &[
    ("log.dirs", "data"),
    ("controller.listener.names", "CONTROLLER"),
    ("broker.session.timeout.ms", "600"),
    ("broker.heartbeat.interval.ms", "150"),
    ("controller.quorum.fetch.timeout.ms", "500"),
    ("controller.quorum.election.timeout.ms", "300"),
    ("controller.quorum.election.backoff.max.ms", "200"),
    ("controller.quorum.request.timeout.ms", "500"),
    ("controller.quorum.fetch.max.wait.ms", "250"),
    ("replica.lag.time.max.ms", "800"),
    ("replica.fetch.wait.max.ms", "200"),
    ("replica.fetch.backoff.ms", "100"),
    ("replica.socket.timeout.ms", "800"),
    ("request.timeout.ms", "1000"),
    ("initial.broker.registration.timeout.ms", "600000"),
    ("log.flush.offset.checkpoint.interval.ms", "500"),
    ("log.flush.start.offset.checkpoint.interval.ms", "500"),
    ("replica.high.watermark.checkpoint.interval.ms", "300"),
    ("log.segment.delete.delay.ms", "200"),
    ("log.index.size.max.bytes", "65536"),
    ("log.index.interval.bytes", "512"),
    ("highwater.tail.cache.bytes", "65536"),
    ("highwater.controlled.shutdown.max.ms", "2000"),
    ("offsets.topic.num.partitions", "2"),
    ("offsets.commit.timeout.ms", "1000"),
    ("group.initial.rebalance.delay.ms", "100"),
    ("group.min.session.timeout.ms", "300"),
];

/// The configuration of one node.
///
/// # Panics
/// Where the scenario's properties do not read: [`check`] tells that to a person first.
pub fn of(scenario: &Scenario, id: u16) -> NodeConfig {
    match NodeConfig::parse(&text(scenario, id)) {
        Ok((config, _)) => config,
        Err(errors) => panic!("n{id}: {}", errors.first().map_or(String::new(), |e| e.to_string())),
    }
}

/// What is wrong with the scenario's properties, in words.
pub fn check(scenario: &Scenario) -> Result<(), String> {
    for id in scenario.node_ids() {
        if let Err(errors) = NodeConfig::parse(&text(scenario, id)) {
            return Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        }
    }
    Ok(())
}

fn text(scenario: &Scenario, id: u16) -> String {
    let is_voter = scenario.voter_ids().any(|voter| voter == id);
    let is_broker = id <= scenario.cluster.brokers;
    let voters: Vec<String> = scenario
        .voter_ids()
        .map(|voter| format!("{voter}@n{voter}:{}", CONTROLLER_PORT + voter))
        .collect();
    let roles: Vec<&str> = [(is_broker, "broker"), (is_voter, "controller")]
        .into_iter()
        .filter_map(|(has, role)| has.then_some(role))
        .collect();
    let listeners: Vec<String> = [
        (is_broker, format!("PLAINTEXT://n{id}:{}", BROKER_PORT + id)),
        (is_voter, format!("CONTROLLER://n{id}:{}", CONTROLLER_PORT + id)),
    ]
    .into_iter()
    .filter_map(|(has, listener)| has.then_some(listener))
    .collect();
    let factor = scenario.cluster.brokers.min(3);
    let mut lines = vec![
        format!("process.roles={}", roles.join(",")),
        format!("node.id={id}"),
        format!("controller.quorum.voters={}", voters.join(",")),
        format!("listeners={}", listeners.join(",")),
        format!("offsets.topic.replication.factor={factor}"),
    ];
    let given = &scenario.cluster.properties;
    let ours = OURS.iter().filter(|(key, _)| !given.contains_key(*key));
    lines.extend(ours.map(|(key, value)| format!("{key}={value}")));
    lines.extend(given.iter().map(|(key, value)| format!("{key}={value}")));
    if !scenario.defects.is_empty() {
        lines.push(format!("highwater.defects={}", scenario.defects.join(",")));
    }
    lines.join("\n")
}

/// The ports that a node listens on.
pub fn ports(config: &NodeConfig) -> Vec<(u16, Listener)> {
    let id = u16::try_from(config.node_id).expect("node ids are small here");
    let broker = config.process_roles.broker.then_some((BROKER_PORT + id, Listener::Broker));
    let controller =
        config.process_roles.controller.then_some((CONTROLLER_PORT + id, Listener::Controller));
    broker.into_iter().chain(controller).collect()
}
