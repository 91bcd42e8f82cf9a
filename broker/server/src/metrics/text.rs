//! Prometheus' text format (version 0.0.4), and the names in it.
//!
//! Promises: a name is the one that Apache Kafka's metric of the same meaning has under the JMX exporter's usual rules, so
//! that one dashboard or alert fits both; what the node does not know is not there.

use std::fmt::Write as _;

use node::metrics::{ControllerMetrics, Metrics, QuorumMetrics, ReplicaMetrics};

pub fn of(metrics: &Metrics) -> String {
    let mut text = String::with_capacity(4 << 10);
    if let Some(replicas) = &metrics.replicas {
        replica_metrics(&mut text, replicas);
    }
    if let Some(controller) = &metrics.controller {
        controller_metrics(&mut text, controller);
    }
    if let Some(quorum) = &metrics.quorum {
        quorum_metrics(&mut text, quorum);
    }
    text
}

fn replica_metrics(text: &mut String, told: &ReplicaMetrics) {
    let mut family = |name: &str, kind: &str, labels: &str, help: &str, value: u64| {
        family(text, &format!("kafka_server_{name}"), kind, help, labels, value as i64);
    };
    let rows = [
        ("partitioncount", "gauge", "Partitions that this broker hosts.", told.partitions),
        ("leadercount", "gauge", "Partitions that this broker leads.", told.leaders),
        (
            "underreplicatedpartitions",
            "gauge",
            "Partitions led here with fewer replicas in sync than there are.",
            told.under_replicated,
        ),
        (
            "underminisrpartitioncount",
            "gauge",
            "Partitions led here with fewer replicas in sync than min.insync.replicas.",
            told.under_min_isr,
        ),
        (
            "isrshrinks_total",
            "counter",
            "ISRs that became smaller because a leader here asked for it.",
            told.isr_shrinks,
        ),
        (
            "isrexpands_total",
            "counter",
            "ISRs that became larger because a leader here asked for it.",
            told.isr_expands,
        ),
    ];
    for (name, kind, help, value) in rows {
        family(&format!("replicamanager_{name}"), kind, "", help, value);
    }
    let help =
        "The most records that a partition followed here lacks of its leader's high watermark.";
    let replica = "{clientId=\"Replica\"}";
    family("replicafetchermanager_maxlag", "gauge", replica, help, told.lag_max);
}

fn controller_metrics(text: &mut String, told: &ControllerMetrics) {
    let rows = [
        (
            "activecontrollercount",
            "1 on the active controller, 0 on others.",
            i64::from(told.is_active),
        ),
        (
            "offlinepartitionscount",
            "Partitions without a leader, in the metadata that this controller has.",
            told.offline_partitions as i64,
        ),
    ];
    for (name, help, value) in rows {
        let name = format!("kafka_controller_kafkacontroller_{name}");
        family(text, &name, "gauge", help, "", value);
    }
}

fn quorum_metrics(text: &mut String, told: &QuorumMetrics) {
    let rows = [
        ("current_leader", "The quorum's leader; -1: not known.", i64::from(told.leader)),
        ("current_epoch", "The quorum's epoch.", i64::from(told.epoch)),
        (
            "high_watermark",
            "Offset below which the metadata log is committed; -1: not known.",
            told.high_watermark,
        ),
        ("log_end_offset", "Offset after the metadata log's last record.", told.log_end_offset),
    ];
    for (name, help, value) in rows {
        family(text, &format!("kafka_server_raft_metrics_{name}"), "gauge", help, "", value);
    }
    let (name, state) = ("kafka_server_raft_metrics_current_state", told.state);
    let help = "What this member of the quorum is; always 1.";
    family(text, name, "gauge", help, &format!("{{state=\"{state}\"}}"), 1);
}

/// One metric with one series. `labels` and `help` are ours: they hold nothing that would have to be escaped.
fn family(text: &mut String, name: &str, kind: &str, help: &str, labels: &str, value: i64) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{labels} {value}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_name() {
        let metrics = Metrics {
            replicas: Some(ReplicaMetrics {
                partitions: 1,
                leaders: 2,
                under_replicated: 3,
                under_min_isr: 4,
                isr_shrinks: 5,
                isr_expands: 6,
                lag_max: 7,
            }),
            controller: Some(ControllerMetrics { is_active: true, offline_partitions: 8 }),
            quorum: Some(QuorumMetrics {
                leader: -1,
                epoch: 9,
                high_watermark: 10,
                log_end_offset: 11,
                state: "unattached-voted",
            }),
        };
        let text = of(&metrics);
        let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            series,
            [
                "kafka_server_replicamanager_partitioncount 1",
                "kafka_server_replicamanager_leadercount 2",
                "kafka_server_replicamanager_underreplicatedpartitions 3",
                "kafka_server_replicamanager_underminisrpartitioncount 4",
                "kafka_server_replicamanager_isrshrinks_total 5",
                "kafka_server_replicamanager_isrexpands_total 6",
                "kafka_server_replicafetchermanager_maxlag{clientId=\"Replica\"} 7",
                "kafka_controller_kafkacontroller_activecontrollercount 1",
                "kafka_controller_kafkacontroller_offlinepartitionscount 8",
                "kafka_server_raft_metrics_current_leader -1",
                "kafka_server_raft_metrics_current_epoch 9",
                "kafka_server_raft_metrics_high_watermark 10",
                "kafka_server_raft_metrics_log_end_offset 11",
                "kafka_server_raft_metrics_current_state{state=\"unattached-voted\"} 1",
            ]
        );
        let typed = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
        assert_eq!(typed, series.len());
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let metrics = Metrics { replicas: None, controller: None, quorum: None };
        assert_eq!(of(&metrics), "");
    }
}
