//! Timeout profiles of the nodes.
//!
//! Promises: one table, for processes and for the simulation. Not here: the clients' timeouts.

use serde::Serialize;

/// Sub-second reactions: for a machine on which nothing but the cluster and its clients runs.
const FAST: &[(&str, &str)] = &[
    ("broker.session.timeout.ms", "1000"),
    ("broker.heartbeat.interval.ms", "200"),
    ("controller.quorum.fetch.timeout.ms", "1000"),
    ("controller.quorum.election.timeout.ms", "500"),
    ("controller.quorum.election.backoff.max.ms", "200"),
    ("controller.quorum.request.timeout.ms", "1000"),
    ("replica.lag.time.max.ms", "1500"),
    ("replica.fetch.wait.max.ms", "250"),
    ("replica.fetch.backoff.ms", "100"),
    ("replica.socket.timeout.ms", "1500"),
    ("leader.imbalance.check.interval.seconds", "5"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "500"),
];

/// The timeouts of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Sessions, quorum timeouts and replica lag at a second or so.
    Fast,
    /// What Apache Kafka ships with.
    KafkaDefaults,
}

impl Profile {
    /// As it is spelt in plans.
    pub fn as_str(self) -> &'static str {
        match self {
            Profile::Fast => "fast",
            Profile::KafkaDefaults => "kafka-defaults",
        }
    }

    /// `broker.session.timeout.ms` under this profile.
    pub fn session_timeout_ms(self) -> u64 {
        match self {
            Profile::Fast => 1_000,
            Profile::KafkaDefaults => 9_000,
        }
    }

    /// `replica.lag.time.max.ms` under this profile.
    pub fn replica_lag_time_max_ms(self) -> u64 {
        match self {
            Profile::Fast => 1_500,
            Profile::KafkaDefaults => 30_000,
        }
    }

    /// The profile as plain broker properties by Kafka's names. Whatever a plan sets wins over these.
    pub fn properties(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Profile::Fast => FAST,
            Profile::KafkaDefaults => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_that_others_reckon_with_are_the_tables() {
        let of = |name| FAST.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let session_ms = Profile::Fast.session_timeout_ms().to_string();
        assert_eq!(of("broker.session.timeout.ms"), Some(session_ms.as_str()));
        let lag_ms = Profile::Fast.replica_lag_time_max_ms().to_string();
        assert_eq!(of("replica.lag.time.max.ms"), Some(lag_ms.as_str()));
    }
}
