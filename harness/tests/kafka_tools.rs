//! Apache Kafka's own tools against a bundled cluster, and its log reader over our files.
//!
//! Shows: the tools that an operator knows create, describe, alter, write, read, elect and delete here as they do there; and
//! `kafka-dump-log` finds nothing to complain of in our segments, indexes, snapshots and metadata, neither after
//! a SIGKILL nor after an orderly end.
//!
//! Runs where `HIGHWATER_KAFKA_HOME` names a directory with `bin/kafka-topics` and the others (with or without `.sh`),
//! of Kafka 4.3; elsewhere it says "skipped" and passes. One Java process at a time, each of about two seconds.
#![allow(
    clippy::disallowed_methods,
    reason = "the brokers under test are real processes, and polling them takes a clock"
)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "kafka_tools/dump.rs"]
mod dump;
#[path = "kafka_tools/tools.rs"]
mod tools;

use admin::Admin;
use cluster::Cluster;
use std::time::{Duration, Instant};
use tools::Tools;

/// Small segments and frequent snapshots, so that there are several of each to read; sessions that survive a machine
/// busy with starting Java; and leadership that stays with whom it fell to, for the tool to move it back.
const PROPERTIES: [&str; 8] = [
    "broker.session.timeout.ms=9000",
    "controller.quorum.fetch.timeout.ms=9000",
    "replica.lag.time.max.ms=30000",
    "auto.leader.rebalance.enable=false",
    "log.segment.bytes=1048576",
    "metadata.log.segment.bytes=8388608",
    "metadata.log.max.record.bytes.between.snapshots=3000",
    "log.index.interval.bytes=1024",
];

const COMPRESSIONS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// Records for each compression.
const RECORDS: u32 = 4_000;
/// What the console producer adds.
const BY_HAND: [&str; 3] = ["apple", "banana", "cherry"];

#[test]
fn kafkas_own_tools_are_content() {
    let Some(home) = tools::home() else {
        eprintln!(
            "skipped: set HIGHWATER_KAFKA_HOME to a directory with bin/kafka-topics and Kafka's other tools"
        );
        return;
    };
    let cluster = Cluster::up(&PROPERTIES);
    let tools = Tools::new(home, &cluster.bootstrap);
    topics_and_settings(&tools);
    let total = writes(&tools);
    reads(&tools, total);
    offsets(&tools, total);
    quorum(&tools);
    cluster.assert_alive();

    // What a SIGKILL leaves behind, before anybody recovers it.
    let mut admin = Admin::new(&cluster.bootstrap, Duration::from_secs(5));
    let topics = admin.topics(&["orders"]).expect("the topic's description");
    let leader = format!("n{}", topics[0].partitions[0].leader);
    let killed = &cluster.nodes[&leader];
    killed.process.kill().expect("SIGKILL");
    assert!(killed.process.wait_gone(Duration::from_secs(10)));
    dump::assert_flawless(&tools, &[&killed.directory]);

    // It recovers, catches up, and is given back what it led.
    let restarted = cluster.restart(&leader);
    preferred_election(&tools, &mut admin);
    verifiable_producer(&tools);
    deletion(&tools);
    cluster.stop_in_order(restarted);
    let directories: Vec<_> = cluster.nodes.values().map(|node| node.directory.as_path()).collect();
    dump::assert_flawless(&tools, &directories);
}

fn topics_and_settings(tools: &Tools) {
    tools
        .run(
            "kafka-topics",
            &[
                "--create",
                "--topic",
                "orders",
                "--partitions",
                "2",
                "--replication-factor",
                "3",
                "--config",
                "min.insync.replicas=2",
            ],
        )
        .says("Created topic orders.");
    tools.run("kafka-topics", &["--alter", "--topic", "orders", "--partitions", "3"]);
    let described = tools.run("kafka-topics", &["--describe", "--topic", "orders"]);
    described.says("PartitionCount: 3\tReplicationFactor: 3\tConfigs: min.insync.replicas=2");
    for partition in 0..3 {
        let line = described.line(&format!("Partition: {partition}\t"));
        let isr = line.split("Isr: ").nth(1).and_then(|rest| rest.split('\t').next());
        assert_eq!(isr.map(|isr| isr.split(',').count()), Some(3), "{line}");
    }
    tools.refuses(
        "kafka-topics",
        &["--create", "--topic", "orders"],
        "Topic 'orders' already exists.",
    );

    let orders = ["--entity-type", "topics", "--entity-name", "orders"];
    let alter = ["--alter", "--add-config", "retention.ms=7200000,max.message.bytes=2000000"];
    tools.run("kafka-configs", &[&orders[..], &alter].concat()).says("Completed updating config");
    tools
        .run("kafka-configs", &[&orders[..], &["--describe"]].concat())
        .says("retention.ms=7200000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=7200000, DEFAULT_CONFIG:log.retention.ms=604800000}")
        .says("max.message.bytes=2000000")
        .says("min.insync.replicas=2");
    let broker = ["--entity-type", "brokers", "--entity-name", "2"];
    let alter = ["--alter", "--add-config", "message.max.bytes=2000000"];
    tools.run("kafka-configs", &[&broker[..], &alter].concat()).says("Completed updating config");
    tools
        .run("kafka-configs", &[&broker[..], &["--describe"]].concat())
        .says("message.max.bytes=2000000");
}

/// Answers how many records there are now.
fn writes(tools: &Tools) -> u64 {
    let count = RECORDS.to_string();
    for compression in COMPRESSIONS {
        let settings = ["acks=all", "enable.idempotence=true", "linger.ms=5"].map(String::from);
        let mut arguments = vec!["--topic", "orders", "--num-records", &count];
        arguments.extend(["--record-size", "500", "--throughput", "-1", "--command-property"]);
        arguments.extend(settings.iter().map(String::as_str));
        let compression = format!("compression.type={compression}");
        arguments.push(&compression);
        tools
            .run("kafka-producer-perf-test", &arguments)
            .says(&format!("{RECORDS} records sent"))
            .says_not("failed");
    }
    let lines: Vec<String> = BY_HAND.iter().map(|fruit| format!("{fruit}:red {fruit}")).collect();
    let arguments = [
        "--topic",
        "orders",
        "--reader-property",
        "parse.key=true",
        "--reader-property",
        "key.separator=:",
    ];
    tools.run_with_input("kafka-console-producer", &arguments, &(lines.join("\n") + "\n"));
    u64::from(RECORDS) * COMPRESSIONS.len() as u64 + BY_HAND.len() as u64
}

fn reads(tools: &Tools, total: u64) {
    let count = total.to_string();
    let arguments = [
        "--topic",
        "orders",
        "--group",
        "readers",
        "--from-beginning",
        "--timeout-ms",
        "30000",
        "--formatter-property",
        "print.key=true",
        "--max-messages",
        &count,
    ];
    let read = tools.run("kafka-console-consumer", &arguments);
    read.says(&format!("Processed a total of {total} messages"));
    for fruit in BY_HAND {
        read.says(&format!("{fruit}\tred {fruit}"));
    }
    let described = tools.run("kafka-consumer-groups", &["--describe", "--group", "readers"]);
    let mut committed = 0;
    for partition in ["0", "1", "2"] {
        let line = described.table_line(&["readers", "orders", partition]);
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((fields[3], fields[5]), (fields[4], "0"), "read to the end: {line}");
        committed += fields[3].parse::<u64>().expect("an offset");
    }
    assert_eq!(committed, total);
    let reset = [
        "--reset-offsets",
        "--group",
        "readers",
        "--topic",
        "orders",
        "--to-earliest",
        "--execute",
    ];
    tools.run("kafka-consumer-groups", &reset).table_line(&["readers", "orders", "2", "0"]);
    tools
        .run("kafka-consumer-groups", &["--delete", "--group", "readers"])
        .says("Deletion of requested consumer groups ('readers') was successful.");
}

fn offsets(tools: &Tools, total: u64) {
    let of = |time: &str| -> Vec<u64> {
        let answer = tools.run("kafka-get-offsets", &["--topic", "orders", "--time", time]);
        let offset = |partition| {
            let line = answer.line(&format!("orders:{partition}:"));
            line.rsplit(':').next().and_then(|offset| offset.parse().ok()).expect("an offset")
        };
        (0..3).map(offset).collect()
    };
    let latest = of("latest");
    assert_eq!(latest.iter().sum::<u64>(), total);
    assert_eq!(of("earliest"), [0, 0, 0]);
    for (newest, end) in of("max-timestamp").into_iter().zip(latest) {
        assert!(newest < end, "the newest record {newest} lies before the end {end}");
    }
}

fn quorum(tools: &Tools) {
    let status = tools.run("kafka-metadata-quorum", &["describe", "--status"]);
    let field = |name: &str| {
        let line = status.line(name);
        line.split_whitespace().nth(1).expect("a value").to_string()
    };
    assert!(["1", "2", "3"].contains(&field("LeaderId:").as_str()));
    assert!(field("HighWatermark:").parse::<u64>().is_ok_and(|offset| offset > 10));
    assert_eq!(status.line("CurrentVoters:").matches("\"directoryId\"").count(), 3);
    assert_eq!(status.line("CurrentObservers:").matches("\"id\"").count(), 0);
    let replication = tools.run("kafka-metadata-quorum", &["describe", "--replication"]);
    assert_eq!(replication.output.matches("Leader").count(), 1);
    assert_eq!(replication.output.matches("Follower").count(), 2);
}

fn preferred_election(tools: &Tools, admin: &mut Admin) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let whole = |admin: &mut Admin| {
        let topics = admin.topics(&["orders"]).unwrap_or_default();
        let partitions = topics.first().map(|topic| topic.partitions.clone()).unwrap_or_default();
        partitions.iter().all(|partition| partition.isr.len() == 3).then_some(partitions)
    };
    let partitions = loop {
        match whole(admin) {
            Some(partitions) if partitions.len() == 3 => break partitions,
            _ => assert!(Instant::now() < deadline, "the restarted node has not caught up"),
        }
        std::thread::park_timeout(Duration::from_millis(50));
    };
    let displaced: Vec<_> =
        partitions.iter().filter(|partition| partition.leader != partition.replicas[0]).collect();
    assert!(!displaced.is_empty(), "the killed node led something: {partitions:?}");
    let elected = tools
        .run("kafka-leader-election", &["--election-type", "preferred", "--all-topic-partitions"]);
    let line = elected.line("Successfully completed leader election (PREFERRED)");
    for partition in displaced {
        assert!(line.contains(&format!("orders-{}", partition.partition)), "{line}");
    }
    let topics = admin.topics(&["orders"]).expect("the topic's description");
    assert!(topics[0].partitions.iter().all(|p| p.leader == p.replicas[0]), "{topics:?}");
}

fn verifiable_producer(tools: &Tools) {
    tools
        .run(
            "kafka-verifiable-producer",
            &["--topic", "orders", "--max-messages", "100", "--acks", "-1"],
        )
        .says("\"sent\":100,\"acked\":100");
}

fn deletion(tools: &Tools) {
    tools
        .run("kafka-topics", &["--create", "--topic", "short-lived", "--partitions", "1"])
        .says("Created topic short-lived.");
    tools.run("kafka-topics", &["--delete", "--topic", "short-lived"]);
    let listed = tools.run("kafka-topics", &["--list"]);
    let topics: Vec<&str> = listed.output.lines().collect();
    assert_eq!(topics, ["__consumer_offsets", "orders"]);
}
