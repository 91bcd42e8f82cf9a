//! The configuration of one topic: Kafka's topic-level properties, and what is in force after all layers.
//!
//! Promises: [`TopicSettings::resolve`] looks a property up in the topic's own values, then the broker's dynamic ones, then the
//! cluster-wide dynamic ones, then the broker's file, then Kafka's default, in this order. [`check`] accepts exactly what
//! `resolve` can read. Not promised: that every listed property has an effect; those without are marked.

use std::collections::BTreeMap;

use super::NodeConfig;

/// Kafka's config type codes, as DescribeConfigs names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// One row of the table of topic properties.
pub struct TopicProperty {
    pub name: &'static str,
    /// The broker property that holds its default, where there is one.
    pub synonym: Option<&'static str>,
    pub kind: Kind,
    pub default: &'static str,
    /// The least value of a number.
    pub min: i64,
    /// The values of a string or list; empty: any.
    pub allowed: &'static [&'static str],
    pub doc: &'static str,
}

const fn row(
    name: &'static str,
    synonym: Option<&'static str>,
    kind: Kind,
    default: &'static str,
    min: i64,
    allowed: &'static [&'static str],
    doc: &'static str,
) -> TopicProperty {
    TopicProperty { name, synonym, kind, default, min, allowed, doc }
}

/// Every topic property that is accepted.
pub static TOPIC_PROPERTIES: &[TopicProperty] = &[
    row(
        "cleanup.policy",
        Some("log.cleanup.policy"),
        Kind::List,
        "delete",
        0,
        &["delete", "compact"],
        "What is done with old segments.",
    ),
    row(
        "compression.type",
        Some("compression.type"),
        Kind::String,
        "producer",
        0,
        &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
        "Batches stay as the producer sent them, whatever is set.",
    ),
    row(
        "delete.retention.ms",
        None,
        Kind::Long,
        "86400000",
        0,
        &[],
        "Time that tombstones stay readable (no effect yet).",
    ),
    row(
        "file.delete.delay.ms",
        Some("log.segment.delete.delay.ms"),
        Kind::Long,
        "60000",
        0,
        &[],
        "Time between a segment's renaming to .deleted and its end.",
    ),
    row(
        "flush.messages",
        Some("log.flush.interval.messages"),
        Kind::Long,
        "9223372036854775807",
        1,
        &[],
        "Records appended before a sync; 1: each acknowledged write is on disk.",
    ),
    row(
        "flush.ms",
        Some("log.flush.interval.ms"),
        Kind::Long,
        "9223372036854775807",
        0,
        &[],
        "Longest time that a record stays unsynced.",
    ),
    row(
        "index.interval.bytes",
        Some("log.index.interval.bytes"),
        Kind::Int,
        "4096",
        0,
        &[],
        "Bytes between two index entries.",
    ),
    row("max.compaction.lag.ms", None, Kind::Long, "9223372036854775807", 1, &[], "No effect yet."),
    row(
        "max.message.bytes",
        Some("message.max.bytes"),
        Kind::Int,
        "1048588",
        0,
        &[],
        "Largest record batch, in bytes.",
    ),
    row(
        "message.timestamp.after.max.ms",
        Some("log.message.timestamp.after.max.ms"),
        Kind::Long,
        "3600000",
        0,
        &[],
        "How much later than now a record's time may be.",
    ),
    row(
        "message.timestamp.before.max.ms",
        Some("log.message.timestamp.before.max.ms"),
        Kind::Long,
        "9223372036854775807",
        0,
        &[],
        "How much older than now a record's time may be.",
    ),
    row(
        "message.timestamp.type",
        Some("log.message.timestamp.type"),
        Kind::String,
        "CreateTime",
        0,
        &["CreateTime", "LogAppendTime"],
        "Whose time a record carries.",
    ),
    row("min.cleanable.dirty.ratio", None, Kind::Double, "0.5", 0, &[], "No effect yet."),
    row("min.compaction.lag.ms", None, Kind::Long, "0", 0, &[], "No effect yet."),
    row(
        "min.insync.replicas",
        Some("min.insync.replicas"),
        Kind::Int,
        "1",
        1,
        &[],
        "The in-sync replicas that an acks=all write needs.",
    ),
    row("preallocate", None, Kind::Boolean, "false", 0, &[], "No effect."),
    row(
        "retention.bytes",
        Some("log.retention.bytes"),
        Kind::Long,
        "-1",
        -1,
        &[],
        "Size of a partition above which its oldest segments are deleted.",
    ),
    row(
        "retention.ms",
        Some("log.retention.ms"),
        Kind::Long,
        "604800000",
        -1,
        &[],
        "Age at which a segment is deleted.",
    ),
    row(
        "segment.bytes",
        Some("log.segment.bytes"),
        Kind::Int,
        "1073741824",
        14,
        &[],
        "Size at which a segment is rolled.",
    ),
    row(
        "segment.index.bytes",
        Some("log.index.size.max.bytes"),
        Kind::Int,
        "10485760",
        4,
        &[],
        "Largest size of an index.",
    ),
    row("segment.jitter.ms", None, Kind::Long, "0", 0, &[], "No effect."),
    row(
        "segment.ms",
        Some("log.roll.ms"),
        Kind::Long,
        "604800000",
        1,
        &[],
        "Age at which a segment is rolled.",
    ),
    row(
        "unclean.leader.election.enable",
        Some("unclean.leader.election.enable"),
        Kind::Boolean,
        "false",
        0,
        &[],
        "Whether a replica outside the ISR may be elected when no other is left.",
    ),
];

/// The row of that name.
pub fn find(name: &str) -> Option<&'static TopicProperty> {
    TOPIC_PROPERTIES.iter().find(|property| property.name == name)
}

/// Whether a topic may be given this value; the error is Kafka's kind of sentence for the client.
pub fn check(name: &str, value: &str) -> Result<(), String> {
    let Some(property) = find(name) else {
        return Err(format!("Unknown topic config name: {name}"));
    };
    let invalid =
        |why: String| Err(format!("Invalid value {value} for configuration {name}: {why}"));
    match property.kind {
        Kind::Boolean if value != "true" && value != "false" => {
            invalid("Expected value to be either true or false".into())
        }
        Kind::Int => match value.trim().parse::<i32>() {
            Ok(number) if i64::from(number) >= property.min => Ok(()),
            Ok(_) => invalid(format!("Value must be at least {}", property.min)),
            Err(_) => invalid("Not a number of type INT".into()),
        },
        Kind::Long => match value.trim().parse::<i64>() {
            Ok(number) if number >= property.min => Ok(()),
            Ok(_) => invalid(format!("Value must be at least {}", property.min)),
            Err(_) => invalid("Not a number of type LONG".into()),
        },
        Kind::Double => match value.trim().parse::<f64>() {
            Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
            _ => invalid("Value must be between 0 and 1".into()),
        },
        Kind::String | Kind::List if !property.allowed.is_empty() => {
            let mut parts: Vec<&str> = vec![value];
            if property.kind == Kind::List {
                parts = value.split(',').map(str::trim).collect();
            }
            if parts.iter().all(|part| property.allowed.contains(part)) {
                Ok(())
            } else {
                invalid(format!("String must be one of: {}", property.allowed.join(", ")))
            }
        }
        _ => Ok(()),
    }
}

/// Where a value in force was set, by DescribeConfigs' codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ValueSource {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
}

/// The dynamic layers above a node's file, from the metadata image. `None`: nothing set there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layers<'a> {
    pub topic: Option<&'a BTreeMap<String, String>>,
    pub broker: Option<&'a BTreeMap<String, String>>,
    pub cluster: Option<&'a BTreeMap<String, String>>,
}

/// The value in force of one topic property and every layer that sets it, the strongest first.
pub fn layered(
    property: &TopicProperty,
    config: &NodeConfig,
    layers: Layers<'_>,
) -> Vec<(String, String, ValueSource)> {
    let mut found = Vec::new();
    if let Some(value) = layers.topic.and_then(|values| values.get(property.name)) {
        found.push((property.name.to_owned(), value.clone(), ValueSource::Topic));
    }
    if let Some(synonym) = property.synonym {
        if let Some(value) = layers.broker.and_then(|values| values.get(synonym)) {
            found.push((synonym.to_owned(), value.clone(), ValueSource::DynamicBroker));
        }
        if let Some(value) = layers.cluster.and_then(|values| values.get(synonym)) {
            found.push((synonym.to_owned(), value.clone(), ValueSource::DynamicDefaultBroker));
        }
        if let Some(value) = file_value(property.name, synonym, config) {
            found.push((synonym.to_owned(), value, ValueSource::StaticBroker));
        }
    }
    let name = property.synonym.unwrap_or(property.name);
    found.push((name.to_owned(), property.default.to_owned(), ValueSource::Default));
    found
}

fn file_value(name: &str, synonym: &str, config: &NodeConfig) -> Option<String> {
    let given = |keys: &[&str]| {
        keys.iter().any(|key| config.given.get(*key).is_some_and(|v| !v.is_empty()))
    };
    match name {
        "retention.ms" => {
            given(&["log.retention.ms", "log.retention.minutes", "log.retention.hours"])
                .then(|| config.retention_ms().to_string())
        }
        "segment.ms" => {
            given(&["log.roll.ms", "log.roll.hours"]).then(|| config.roll_ms().to_string())
        }
        _ => config.given.get(synonym).filter(|value| !value.is_empty()).cloned(),
    }
}

/// What is in force for one topic on one broker.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicSettings {
    pub cleanup_delete: bool,
    pub cleanup_compact: bool,
    pub file_delete_delay_ms: i64,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub index_interval_bytes: i32,
    pub max_message_bytes: i32,
    pub timestamp_after_max_ms: i64,
    pub timestamp_before_max_ms: i64,
    /// LogAppendTime instead of CreateTime.
    pub log_append_time: bool,
    pub min_insync_replicas: i32,
    /// -1: no limit.
    pub retention_bytes: i64,
    /// -1: no limit.
    pub retention_ms: i64,
    pub segment_bytes: i32,
    pub segment_index_bytes: i32,
    pub segment_ms: i64,
    pub unclean_leader_election: bool,
}

impl TopicSettings {
    pub fn resolve(config: &NodeConfig, layers: Layers<'_>) -> TopicSettings {
        // A value that does not read (written by a newer version, say) is skipped for the layer below it.
        let text = |name: &str| -> String {
            let property = find(name).expect("a name of the table");
            layered(property, config, layers)
                .into_iter()
                .map(|(_, value, _)| value)
                .find(|value| check(name, value).is_ok())
                .unwrap_or_else(|| property.default.to_owned())
        };
        let long = |name: &str| text(name).trim().parse::<i64>().unwrap_or_default();
        let int = |name: &str| text(name).trim().parse::<i32>().unwrap_or_default();
        let cleanup = text("cleanup.policy");
        TopicSettings {
            cleanup_delete: cleanup.contains("delete"),
            cleanup_compact: cleanup.contains("compact"),
            file_delete_delay_ms: long("file.delete.delay.ms"),
            flush_messages: long("flush.messages"),
            flush_ms: long("flush.ms"),
            index_interval_bytes: int("index.interval.bytes"),
            max_message_bytes: int("max.message.bytes"),
            timestamp_after_max_ms: long("message.timestamp.after.max.ms"),
            timestamp_before_max_ms: long("message.timestamp.before.max.ms"),
            log_append_time: text("message.timestamp.type") == "LogAppendTime",
            min_insync_replicas: int("min.insync.replicas"),
            retention_bytes: long("retention.bytes"),
            retention_ms: long("retention.ms"),
            segment_bytes: int("segment.bytes"),
            segment_index_bytes: int("segment.index.bytes"),
            segment_ms: long("segment.ms"),
            unclean_leader_election: text("unclean.leader.election.enable") == "true",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Layers, TOPIC_PROPERTIES, TopicSettings, check};
    use crate::config::NodeConfig;

    #[test]
    fn every_default_is_acceptable() {
        for property in TOPIC_PROPERTIES {
            assert_eq!(check(property.name, property.default), Ok(()), "{}", property.name);
        }
    }

    #[test]
    fn the_topic_beats_the_broker_beats_the_file() {
        let text = format!(
            "{}min.insync.replicas=2\nlog.retention.hours=1\n",
            crate::config::tests::COMBINED
        );
        let (config, _) = NodeConfig::parse(&text).expect("reads");
        let settings = TopicSettings::resolve(&config, Layers::default());
        assert_eq!((settings.min_insync_replicas, settings.retention_ms), (2, 3_600_000));
        let cluster = BTreeMap::from([("min.insync.replicas".to_owned(), "3".to_owned())]);
        let topic = BTreeMap::from([("min.insync.replicas".to_owned(), "4".to_owned())]);
        let layers = Layers { cluster: Some(&cluster), ..Layers::default() };
        assert_eq!(TopicSettings::resolve(&config, layers).min_insync_replicas, 3);
        let layers = Layers { topic: Some(&topic), cluster: Some(&cluster), broker: None };
        assert_eq!(TopicSettings::resolve(&config, layers).min_insync_replicas, 4);
    }

    #[test]
    fn bad_values_are_refused_with_a_reason() {
        assert!(check("min.insync.replicas", "0").is_err());
        assert!(check("retention.ms", "-1").is_ok());
        assert!(check("retention.ms", "soon").is_err());
        assert!(check("cleanup.policy", "compact,delete").is_ok());
        assert!(check("cleanup.policy", "burn").is_err());
        assert!(check("no.such.thing", "1").is_err());
    }
}
