//! Timeout profiles of the bundled brokers, as plain properties. Whatever a plan sets wins over these.

/// Sub-second reactions: for a machine on which nothing but the cluster and its clients runs.
pub const FAST: &[(&str, &str)] = &[
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
];
