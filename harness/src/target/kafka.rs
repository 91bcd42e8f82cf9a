//! Apache Kafka, from a directory with its jars.
//!
//! Promises: the jars are started as they are, by `java` alone, with the properties of the plan and a log that our
//! reports can read; no script of the distribution is run and no file in its directory is written. Any directory
//! with `libs/*.jar` will do: the official distribution, or one that was brought together from Maven's artifacts.

use super::Software;
use crate::exit::Refused;
use anyhow::{Context, Result, anyhow};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// Names the directory where neither the command line nor the plan does.
pub const HOME_VARIABLE: &str = "HIGHWATER_KAFKA_HOME";

/// Lines begin with the time in UTC, as those of the bundled broker do.
const LOG4J2: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders><Console name="stdout" target="SYSTEM_OUT">
    <PatternLayout pattern="%d{yyyy-MM-dd'T'HH:mm:ss.SSS}{UTC}Z %p %m (%c{1})%n"/>
  </Console></Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="stdout"/></Root></Loggers>
</Configuration>
"#;

/// For releases before 4.0, which bring reload4j.
const LOG4J1: &str = "\
log4j.rootLogger=INFO, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.EnhancedPatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSS}{UTC}Z %p %m (%c{1})%n
";

/// What the JMX exporter tells, by the names that the bundled broker has for the same. Kafka has hundreds of beans more, and
/// every scrape would ask each of them.
const METRICS: &str = r#"lowercaseOutputName: true
includeObjectNames:
  - "kafka.server:type=ReplicaManager,*"
  - "kafka.server:type=ReplicaFetcherManager,*"
  - "kafka.server:type=raft-metrics"
  - "kafka.controller:type=KafkaController,*"
rules:
  - pattern: "kafka.server<type=ReplicaManager, name=(PartitionCount|LeaderCount|UnderReplicatedPartitions|UnderMinIsrPartitionCount)><>Value"
    name: kafka_server_replicamanager_$1
    type: GAUGE
  - pattern: "kafka.server<type=ReplicaManager, name=(IsrShrinks|IsrExpands)PerSec><>Count"
    name: kafka_server_replicamanager_$1_total
    type: COUNTER
  - pattern: "kafka.server<type=ReplicaFetcherManager, name=MaxLag, clientId=(.+)><>Value"
    name: kafka_server_replicafetchermanager_maxlag
    type: GAUGE
    labels:
      clientId: "$1"
  - pattern: "kafka.controller<type=KafkaController, name=(ActiveControllerCount|OfflinePartitionsCount)><>Value"
    name: kafka_controller_kafkacontroller_$1
    type: GAUGE
  - pattern: "kafka.server<type=raft-metrics><>current-state: ([a-z-]+)"
    name: kafka_server_raft_metrics_current_state
    type: GAUGE
    value: 1
    labels:
      state: "$1"
  - pattern: "kafka.server<type=raft-metrics><>(current-leader|current-epoch|high-watermark|log-end-offset):"
    name: kafka_server_raft_metrics_$1
    type: GAUGE
"#;

/// A directory with Kafka's jars, and the Java that runs them.
#[derive(Clone, Debug)]
pub struct Kafka {
    home: PathBuf,
    version: String,
    java: String,
    heap_bytes: u64,
    /// The JMX exporter's jar, where the directory has it. Not among the others: it would be on the class path.
    agent: Option<PathBuf>,
    /// Where the configurations of logging and metrics of this run are.
    configurations: PathBuf,
}

impl Kafka {
    /// Looks at the directory and at Java; starts nothing that stays.
    pub fn find(home: Option<&str>, heap_bytes: u64) -> Result<Kafka> {
        let home = match home {
            Some(home) => PathBuf::from(home),
            None => std::env::var_os(HOME_VARIABLE).map(PathBuf::from).ok_or_else(|| {
                Refused::could_not_run(format!(
                    "where is Apache Kafka? Name a directory with its libs/*.jar: --kafka-home DIR, `kafka_home` in \
                     [target], or {HOME_VARIABLE}; docs/guide/apache-kafka.md says how to get one"
                ))
            })?,
        };
        let home = home
            .canonicalize()
            .map_err(|error| Refused::could_not_run(format!("{}: {error}", home.display())))?;
        let version = version(&home).ok_or_else(|| {
            Refused::could_not_run(format!(
                "{} has no libs/kafka-clients-*.jar: is it a Kafka distribution?",
                home.display()
            ))
        })?;
        let java = java_version().map_err(|error| {
            Refused::could_not_run(format!(
                "Apache Kafka needs Java 17 or later as `java`: {error:#}"
            ))
        })?;
        let agent = agent(&home);
        Ok(Kafka { home, version, java, heap_bytes, agent, configurations: PathBuf::new() })
    }

    /// Writes the configurations of logging and metrics of a run.
    pub fn configured_in(mut self, dir: &Path) -> Result<Kafka> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        fs::write(dir.join("log4j2.xml"), LOG4J2)?;
        fs::write(dir.join("log4j.properties"), LOG4J1)?;
        fs::write(dir.join("metrics.yml"), METRICS)?;
        self.configurations = dir;
        Ok(self)
    }

    /// What `java` says of itself.
    pub fn java(&self) -> &str {
        &self.java
    }

    fn java_command(&self, heap_bytes: u64) -> Command {
        let mut command = Command::new("java");
        command
            .arg(format!("-Xmx{heap_bytes}"))
            .arg("-Xshare:auto")
            .arg("-Djava.awt.headless=true")
            .arg("-Duser.timezone=UTC")
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                self.configurations.join("log4j2.xml").display()
            ))
            .arg(format!(
                "-Dlog4j.configuration=file:{}",
                self.configurations.join("log4j.properties").display()
            ))
            .arg("-cp")
            .arg(self.home.join("libs").join("*"))
            // What a shell has set for its own Kafka is not for ours.
            .env_remove("KAFKA_OPTS")
            .env_remove("JAVA_TOOL_OPTIONS");
        command
    }
}

impl Software for Kafka {
    fn name(&self) -> String {
        format!("Apache Kafka {}", self.version)
    }

    fn versions(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("kafka".to_string(), self.version.clone()),
            ("java".to_string(), self.java.clone()),
        ])
    }

    fn defaults(&self, brokers: u32) -> Vec<(&'static str, String)> {
        let replicas = brokers.min(3).to_string();
        let min_insync = brokers.min(3).saturating_sub(1).max(1).to_string();
        vec![
            ("transaction.state.log.replication.factor", replicas.clone()),
            ("transaction.state.log.min.isr", min_insync.clone()),
            ("transaction.state.log.num.partitions", "5".to_string()),
            ("share.coordinator.state.topic.replication.factor", replicas),
            ("share.coordinator.state.topic.min.isr", min_insync),
            ("group.initial.rebalance.delay.ms", "0".to_string()),
            ("auto.create.topics.enable", "false".to_string()),
        ]
    }

    fn own(
        &self,
        _node_id: i32,
        _cluster_id: &str,
        _metrics: SocketAddr,
    ) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn command(&self, config: &Path, metrics: SocketAddr) -> Command {
        let mut command = self.java_command(self.heap_bytes);
        if let Some(agent) = &self.agent {
            let rules = self.configurations.join("metrics.yml");
            command.arg(format!("-javaagent:{}={metrics}:{}", agent.display(), rules.display()));
        }
        // After the class path, and so among the arguments of the program.
        command.arg("kafka.Kafka").arg(config);
        command
    }

    fn lacks_metrics(&self) -> Option<String> {
        let home = self.home.display();
        self.agent.is_none().then(|| {
            format!(
                "{home}/agents has no jmx_prometheus_javaagent-1.*.jar; `scripts/get-metrics-agent.sh {home}` \
                 brings it (docs/guide/apache-kafka.md)"
            )
        })
    }

    fn marker(&self, config: &Path) -> String {
        format!("kafka.Kafka {}", config.display())
    }

    fn format(&self, configs: &[&Path], cluster_id: &str) -> Result<()> {
        // Kafka's own tool decides the metadata version and the features of a new cluster. All at once: each is a
        // virtual machine that does little but start.
        let mut formatting = Vec::new();
        for config in configs {
            let child = self
                .java_command(128 << 20)
                .arg("-XX:TieredStopAtLevel=1")
                .arg("kafka.tools.StorageTool")
                .args(["format", "--cluster-id", cluster_id, "--config"])
                .arg(config)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .context("cannot start java")?;
            formatting.push(child);
        }
        let mut failed = None;
        for child in formatting {
            let output =
                child.wait_with_output().context("cannot wait for Kafka's storage tool")?;
            if !output.status.success() {
                let said = [output.stdout, output.stderr].concat();
                failed = Some(anyhow!(
                    "Kafka's storage tool refused to format a directory: {}",
                    String::from_utf8_lossy(&said).trim()
                ));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn format_again(&self, data: &Path, node_id: i32, cluster_id: &str) -> std::io::Result<()> {
        // What the storage tool writes for a broker that joins a cluster, without the second that it takes.
        // One node's directories are made within a millisecond, and no two may have one id.
        static MADE: AtomicU64 = AtomicU64::new(0);
        let seed = (node_id as u64) << 32 | MADE.fetch_add(1, Ordering::Relaxed);
        let directory_id = super::cluster_id(seed, crate::recorder::wall_ms());
        fs::write(
            data.join("meta.properties"),
            format!(
                "version=1\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={directory_id}\n"
            ),
        )
    }

    fn has_internal_listener(&self) -> bool {
        true
    }

    fn calls(&self) -> fn(i32) -> String {
        |id| format!("broker-{id}-probe")
    }

    fn dialer(&self) -> fn(&str) -> Option<i32> {
        // `broker-2-fetcher-0`, `broker-2-txn-marker-sender`, …
        |name| name.strip_prefix("broker-")?.split('-').next()?.parse().ok()
    }

    fn clock_argument(&self) -> Option<&'static str> {
        None
    }

    fn ends_in_order(&self) -> bool {
        // Its controlled shutdown takes seconds where the quorum ends with it, and nobody needs it then.
        false
    }
}

/// The release, from the name of the one jar that every directory has.
fn version(home: &Path) -> Option<String> {
    let jars = fs::read_dir(home.join("libs")).ok()?;
    let mut versions: Vec<String> = jars
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| {
            let version = name.strip_prefix("kafka-clients-")?.strip_suffix(".jar")?;
            version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_string())
        })
        // Beside it there may be test jars of the same version.
        .filter(|version| !version.contains('-'))
        .collect();
    versions.sort();
    versions.pop()
}

/// The JMX exporter's jar, the newest if there are several.
fn agent(home: &Path) -> Option<PathBuf> {
    let jars = fs::read_dir(home.join("agents")).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let named = |jar: &PathBuf| {
        let name = jar.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("jmx_prometheus_javaagent-1.") && name.ends_with(".jar")
    };
    jars.filter(named).max()
}

fn java_version() -> Result<String> {
    let output =
        Command::new("java").arg("-version").stdin(Stdio::null()).output().context("java")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.contains("version"));
    line.map(str::to_string).ok_or_else(|| anyhow!("`java -version` said: {}", said.trim()))
}
