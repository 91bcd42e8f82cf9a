//! A node's configuration, read from Kafka's `server.properties`.
//!
//! Promises: every property that the node acts on stands in the one table of [`properties`], with its default and where
//! the name comes from; an unknown property is a warning; a bad value is an error that names the key, the value, the line
//! and what was expected, and all errors of a file are told at once. Not promised: that every one of Kafka's
//! properties is known, or that a value which reads well is wise.

mod properties;
mod text;
pub mod topic;

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

pub use properties::{NodeConfig, PROPERTIES, Property, Source};

use crate::step::{Endpoint, Listener};

/// What a bad line of the file was, for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    pub key: String,
    /// `None`: the key is missing.
    pub value: Option<String>,
    /// Counts from 1; `None` where no line is to blame.
    pub line: Option<usize>,
    pub expected: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.value, self.line) {
            (Some(value), Some(line)) => {
                write!(formatter, "line {line}: {}={value}: expected {}", self.key, self.expected)
            }
            (Some(value), None) => {
                write!(formatter, "{}={value}: expected {}", self.key, self.expected)
            }
            _ => write!(formatter, "{} is missing: expected {}", self.key, self.expected),
        }
    }
}

/// What a node does in the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    pub broker: bool,
    pub controller: bool,
}

/// One address to listen on or to be told to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerAddress {
    pub name: String,
    /// Empty: all addresses of this machine (only for listening).
    pub host: String,
    pub port: u16,
}

impl ListenerAddress {
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { host: self.host.clone(), port: self.port }
    }
}

/// One entry of `controller.quorum.voters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumVoter {
    pub id: i32,
    pub host: String,
    pub port: u16,
}

impl NodeConfig {
    /// Reads the text of a `server.properties`. The second value holds the warnings.
    pub fn parse(text: &str) -> Result<(NodeConfig, Vec<String>), Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut warnings = Vec::new();
        let mut config = properties::defaults();
        let mut lines = BTreeMap::new();
        for (line, key, value) in text::pairs(text) {
            let value = value.trim().to_owned();
            if let Some(first) = lines.insert(key.clone(), line) {
                warnings.push(format!(
                    "line {line}: {key} was already set in line {first}; the later value counts"
                ));
            }
            match properties::find(&key) {
                Some(property) => {
                    if let Err(expected) = (property.set)(&mut config, &value) {
                        let error = ConfigError {
                            key: key.clone(),
                            value: Some(value.clone()),
                            line: Some(line),
                            expected,
                        };
                        errors.push(error);
                    }
                }
                None => warnings
                    .push(format!("line {line}: {key} is not known to this broker and is ignored")),
            }
            config.given.insert(key, value);
        }
        if errors.is_empty() {
            config.check(&lines, &mut errors, &mut warnings);
        }
        if errors.is_empty() { Ok((config, warnings)) } else { Err(errors) }
    }

    /// What no single property can tell: whether they fit together.
    fn check(
        &mut self,
        lines: &BTreeMap<String, usize>,
        errors: &mut Vec<ConfigError>,
        warnings: &mut Vec<String>,
    ) {
        let mut wrong = |key: &str, given: &BTreeMap<String, String>, expected: String| {
            errors.push(ConfigError {
                key: key.to_owned(),
                value: given.get(key).cloned(),
                line: lines.get(key).copied(),
                expected,
            });
        };
        let given = self.given.clone();
        if self.node_id < 0 {
            wrong("node.id", &given, "a number from 0 up that no other node has".into());
        }
        if !self.process_roles.broker && !self.process_roles.controller {
            wrong("process.roles", &given, "broker, controller, or broker,controller".into());
        }
        if self.log_dirs.is_empty() && self.log_dir.is_empty() {
            wrong("log.dirs", &given, "the directory that holds this node's data".into());
        }
        if self.controller_quorum_voters.is_empty() {
            wrong("controller.quorum.voters", &given, "id@host:port,… of every controller".into());
        }
        let voter = self.controller_quorum_voters.iter().any(|voter| voter.id == self.node_id);
        if voter != self.process_roles.controller && !self.controller_quorum_voters.is_empty() {
            let expected = if voter {
                format!(
                    "controller among the roles, since controller.quorum.voters names node {}",
                    self.node_id
                )
            } else {
                format!(
                    "no controller role, or node {} among controller.quorum.voters",
                    self.node_id
                )
            };
            wrong("process.roles", &given, expected);
        }
        if self.controller_listener_names.is_empty() {
            wrong(
                "controller.listener.names",
                &given,
                "the name of the controllers' listener, as CONTROLLER".into(),
            );
        }
        for listener in &self.listeners {
            let protocol =
                self.listener_security_protocol_map.get(&listener.name).cloned().unwrap_or_else(
                    || {
                        if listener.name == "CONTROLLER" {
                            "PLAINTEXT".into()
                        } else {
                            listener.name.clone()
                        }
                    },
                );
            if protocol != "PLAINTEXT" {
                wrong(
                    "listener.security.protocol.map",
                    &given,
                    format!("{}:PLAINTEXT (this broker speaks no {protocol})", listener.name),
                );
            }
        }
        let of_kind = |kind: Listener, config: &NodeConfig| {
            config.listeners.iter().filter(|l| config.listener_kind(&l.name) == kind).count()
        };
        if self.process_roles.broker && of_kind(Listener::Broker, self) != 1 {
            wrong(
                "listeners",
                &given,
                "exactly one listener that is not a controller's, as PLAINTEXT://127.0.0.1:9092"
                    .into(),
            );
        }
        if let Some(listener) = self.listener(Listener::Broker) {
            let name = listener.name.clone();
            if !given.contains_key("inter.broker.listener.name") {
                self.inter_broker_listener_name = name;
            } else if self.inter_broker_listener_name != name {
                wrong(
                    "inter.broker.listener.name",
                    &given,
                    format!("{name}, the only listener that is not a controller's"),
                );
            }
        }
        if self.process_roles.controller && of_kind(Listener::Controller, self) != 1 {
            wrong("listeners", &given, "exactly one listener named in controller.listener.names, as CONTROLLER://127.0.0.1:9093".into());
        }
        for listener in &self.listeners {
            let unusable =
                listener.host.is_empty() || listener.host == "0.0.0.0" || listener.host == "::";
            let advertised = self.advertised_listeners.iter().any(|a| a.name == listener.name);
            if self.listener_kind(&listener.name) == Listener::Broker && unusable && !advertised {
                wrong(
                    "advertised.listeners",
                    &given,
                    format!(
                        "{}://HOST:{} with the host that clients can reach",
                        listener.name, listener.port
                    ),
                );
            }
        }
        if self.auto_create_topics_enable {
            warnings.push(
                "auto.create.topics.enable=true is ignored: topics are created only when asked for"
                    .into(),
            );
        }
        if self.broker_heartbeat_interval_ms >= self.broker_session_timeout_ms {
            wrong(
                "broker.heartbeat.interval.ms",
                &given,
                format!("less than broker.session.timeout.ms ({})", self.broker_session_timeout_ms),
            );
        }
    }

    pub fn is_broker(&self) -> bool {
        self.process_roles.broker
    }

    pub fn is_controller(&self) -> bool {
        self.process_roles.controller
    }

    /// What this node calls itself in requests to its peers.
    pub fn client_id(&self) -> String {
        format!("highwater-{}", self.node_id)
    }

    /// The one directory that holds everything.
    pub fn data_dir(&self) -> &str {
        self.log_dirs.first().map_or(self.log_dir.as_str(), String::as_str)
    }

    pub fn listener_kind(&self, name: &str) -> Listener {
        if self.controller_listener_names.iter().any(|n| n == name) {
            Listener::Controller
        } else {
            Listener::Broker
        }
    }

    /// The listener of that kind, as configured.
    pub fn listener(&self, kind: Listener) -> Option<&ListenerAddress> {
        self.listeners.iter().find(|l| self.listener_kind(&l.name) == kind)
    }

    /// The address of that kind that others are told.
    pub fn advertised(&self, kind: Listener) -> Option<&ListenerAddress> {
        let listener = self.listener(kind)?;
        self.advertised_listeners.iter().find(|l| l.name == listener.name).or(Some(listener))
    }

    /// The voter's controller endpoint.
    pub fn voter_endpoint(&self, id: i32) -> Option<Endpoint> {
        let voter = self.controller_quorum_voters.iter().find(|voter| voter.id == id)?;
        Some(Endpoint { host: voter.host.clone(), port: voter.port })
    }

    /// `log.retention.ms`, `.minutes` or `.hours`, in that order. -1: for ever.
    pub fn retention_ms(&self) -> i64 {
        let hours = self.log_retention_hours;
        let ms = self
            .log_retention_ms
            .or(self.log_retention_minutes.map(|m| m.saturating_mul(60_000)))
            .unwrap_or(hours.saturating_mul(3_600_000));
        if ms < 0 { -1 } else { ms }
    }

    /// `log.roll.ms` or `.hours`.
    pub fn roll_ms(&self) -> i64 {
        self.log_roll_ms.unwrap_or(self.log_roll_hours.saturating_mul(3_600_000))
    }

    /// The cluster id for a directory that has none yet: as given, else the same for all nodes that name the
    /// same voters, so that a hand-written file needs no formatting step.
    pub fn initial_cluster_id(&self) -> String {
        if let Some(id) = &self.highwater_cluster_id {
            return id.clone();
        }
        let mut seed = String::from("cluster");
        for voter in &self.controller_quorum_voters {
            seed.push_str(&format!("|{}@{}:{}", voter.id, voter.host, voter.port));
        }
        log::checkpoint::format_uuid(derived_uuid(&seed))
    }
}

/// A UUID that depends on nothing but the text (two rounds of FNV-1a; no secret hangs on it).
pub fn derived_uuid(text: &str) -> Uuid {
    let mut bytes = [0u8; 16];
    for (half, salt) in
        bytes.chunks_exact_mut(8).zip([0xcbf2_9ce4_8422_2325u64, 0x9ae1_6a3b_2f90_404f])
    {
        let mut hash = salt;
        for byte in text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash ^= hash >> 29;
        hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^= hash >> 32;
        half.copy_from_slice(&hash.to_be_bytes());
    }
    // The version and variant bits of Kafka's own random ids.
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests;
