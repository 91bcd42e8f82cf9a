use super::{NodeConfig, derived_uuid};
use crate::step::Listener;

pub const COMBINED: &str = "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:9093\n\
    listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\ncontroller.listener.names=CONTROLLER\nlog.dirs=/tmp/x\n";

#[test]
fn a_combined_node_reads() {
    let (config, warnings) = NodeConfig::parse(COMBINED).expect("reads");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.node_id, 1);
    assert!(config.is_broker() && config.is_controller());
    assert_eq!(config.listener(Listener::Broker).map(|l| l.port), Some(9092));
    assert_eq!(config.advertised(Listener::Controller).map(|l| l.port), Some(9093));
    assert_eq!(config.retention_ms(), 168 * 3_600_000);
    assert_eq!(config.broker_session_timeout_ms, 9000);
}

#[test]
fn errors_name_key_value_line_and_expectation() {
    let text = format!("{COMBINED}num.partitions=many\n# a comment\nmin.insync.replicas=0\n");
    let errors = NodeConfig::parse(&text).expect_err("two bad values");
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "line 7: num.partitions=many: expected a whole number from 1 to 100000",
            "line 9: min.insync.replicas=0: expected a whole number from 1 to 32767",
        ]
    );
}

#[test]
fn unknown_and_repeated_keys_are_warnings() {
    let text = format!("{COMBINED}num.network.threads=3\nnode.id=1\n");
    let (_, warnings) = NodeConfig::parse(&text).expect("reads");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

#[test]
fn a_missing_key_is_named() {
    let errors =
        NodeConfig::parse("process.roles=broker\nnode.id=1\n").expect_err("much is missing");
    assert!(errors.iter().any(|error| error.key == "log.dirs"), "{errors:?}");
    assert!(errors.iter().any(|error| error.key == "controller.quorum.voters"), "{errors:?}");
}

#[test]
fn a_controller_must_be_a_voter_and_listen() {
    let text = COMBINED.replace("1@127.0.0.1:9093", "2@127.0.0.1:9093");
    assert!(NodeConfig::parse(&text).is_err());
    let text = COMBINED.replace(",CONTROLLER://127.0.0.1:9093", "");
    assert!(NodeConfig::parse(&text).is_err());
}

#[test]
fn continuation_lines_and_separators_read_as_java_reads_them() {
    let pairs = super::text::pairs("a = 1\nb:2\nc 3\nd=4,\\\n   5\n! no\n\\u0041\\=x=y\n");
    let told: Vec<(usize, &str, &str)> =
        pairs.iter().map(|(l, k, v)| (*l, k.as_str(), v.as_str())).collect();
    assert_eq!(
        told,
        [(1, "a", "1"), (2, "b", "2"), (3, "c", "3"), (4, "d", "4,5"), (7, "A=x", "y")]
    );
}

#[test]
fn derived_ids_differ_and_repeat() {
    assert_eq!(derived_uuid("a"), derived_uuid("a"));
    assert_ne!(derived_uuid("a"), derived_uuid("b"));
    let (config, _) = NodeConfig::parse(COMBINED).expect("reads");
    assert_eq!(config.initial_cluster_id(), config.initial_cluster_id());
    assert_eq!(config.initial_cluster_id().len(), 22);
}

#[test]
fn metrics_are_told_nowhere_unless_a_property_says_where() {
    let (config, _) = NodeConfig::parse(COMBINED).expect("reads");
    assert_eq!(config.highwater_metrics_listener, None);
    let text = format!("{COMBINED}highwater.metrics.listener=127.0.0.1:9404\n");
    let (config, _) = NodeConfig::parse(&text).expect("reads");
    let listener = config.highwater_metrics_listener.expect("a listener");
    assert_eq!((listener.host.as_str(), listener.port), ("127.0.0.1", 9404));
    let text = format!("{COMBINED}highwater.metrics.listener=9404\n");
    assert!(NodeConfig::parse(&text).is_err(), "a port alone is no address");
}
