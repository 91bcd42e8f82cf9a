//! What the nodes' metrics endpoints answered, over time. One line of `metrics.jsonl` for each [`Scrape`].

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names of the series that reports and alerts are made of; Apache Kafka's, under the JMX exporter's usual rules.
pub mod name {
    pub const UNDER_REPLICATED: &str = "kafka_server_replicamanager_underreplicatedpartitions";
    pub const ISR_SHRINKS: &str = "kafka_server_replicamanager_isrshrinks_total";
    pub const LAG_MAX: &str = "kafka_server_replicafetchermanager_maxlag{clientId=\"Replica\"}";
    pub const OFFLINE: &str = "kafka_controller_kafkacontroller_offlinepartitionscount";
    pub const ACTIVE_CONTROLLERS: &str = "kafka_controller_kafkacontroller_activecontrollercount";
}

/// One node was asked once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scrape {
    /// When it was asked.
    pub at_ms: u64,
    pub node: String,
    /// Until it had answered, or was given up.
    pub took_ms: u64,
    #[serde(flatten)]
    pub told: Told,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// By series: the name, and the labels as they were told.
    Values(BTreeMap<String, f64>),
    /// Why there is no answer: nothing is known of the node's numbers then.
    Error(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_it_was_written() {
        let values = BTreeMap::from([(name::LAG_MAX.to_string(), 3.0)]);
        let error = "no answer within 900 ms".to_string();
        for told in [Told::Values(values), Told::Error(error)] {
            let scrape = Scrape { at_ms: 1, node: "n1".into(), took_ms: 2, told };
            let line = serde_json::to_string(&scrape).expect("it is written");
            assert_eq!(
                serde_json::from_str::<Scrape>(&line).expect("it is read"),
                scrape,
                "{line}"
            );
        }
    }
}
