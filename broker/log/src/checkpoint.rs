//! The small text files beside the segments, as Apache Kafka writes them.
//!
//! Promises: what is formatted here parses back to the same value, Kafka reads it, and parsing what Kafka wrote
//! works; damaged text is refused with the reason, never guessed at. Not promised: that files are read or written;
//! these are only the formats.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use uuid::Uuid;

use crate::epoch::EpochEntry;

/// High watermarks of all partitions of a log directory.
pub const REPLICATION_OFFSET_FILE: &str = "replication-offset-checkpoint";
/// Up to which offset each partition's records are known to be synced.
pub const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
/// Log start offsets that lie beyond the first segment's base offset.
pub const LOG_START_OFFSET_FILE: &str = "log-start-offset-checkpoint";
/// In each partition's directory.
pub const LEADER_EPOCH_FILE: &str = "leader-epoch-checkpoint";
/// In each partition's directory: its topic id.
pub const PARTITION_METADATA_FILE: &str = "partition.metadata";
/// In the log directory: cluster, node and directory ids.
pub const META_PROPERTIES_FILE: &str = "meta.properties";
/// In the log directory: the last stop was clean.
pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// A small file does not say what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    pub reason: String,
}

fn error(line: usize, reason: impl Into<String>) -> ParseError {
    ParseError { line, reason: reason.into() }
}

/// Topic, partition, and an offset: what the three offset checkpoints hold.
pub type OffsetCheckpoint = BTreeMap<(String, i32), i64>;

pub fn format_offsets(offsets: &OffsetCheckpoint) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for ((topic, partition), offset) in offsets {
        let _ = writeln!(text, "{topic} {partition} {offset}");
    }
    text
}

pub fn parse_offsets(text: &str) -> Result<OffsetCheckpoint, ParseError> {
    let mut offsets = OffsetCheckpoint::new();
    for (line, [topic, partition, offset]) in checkpoint_lines::<3>(text)? {
        let partition = number(line, partition)?;
        if offsets.insert((topic.to_owned(), partition), number(line, offset)?).is_some() {
            return Err(error(line, format!("{topic} {partition} is listed twice")));
        }
    }
    Ok(offsets)
}

pub fn format_epochs(entries: &[EpochEntry]) -> String {
    let mut text = format!("0\n{}\n", entries.len());
    for entry in entries {
        let _ = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
    }
    text
}

pub fn parse_epochs(text: &str) -> Result<Vec<EpochEntry>, ParseError> {
    checkpoint_lines::<2>(text)?
        .into_iter()
        .map(|(line, [epoch, start_offset])| {
            Ok(EpochEntry {
                epoch: number(line, epoch)?,
                start_offset: number(line, start_offset)?,
            })
        })
        .collect()
}

/// The lines after the version and the count, each with its number and its `N` fields.
fn checkpoint_lines<const N: usize>(text: &str) -> Result<Vec<(usize, [&str; N])>, ParseError> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let mut next = |what: &str, line| {
        lines.next().ok_or_else(|| error(line, format!("ends before the {what}")))
    };
    let (line, version) = next("version", 1)?;
    if version != "0" {
        return Err(error(line, format!("version {version:?}, where only 0 is known")));
    }
    let (line, count) = next("count", 2)?;
    let count: usize = number(line, count)?;
    let mut entries = Vec::new();
    for (line, content) in lines {
        if content.is_empty() {
            continue;
        }
        let fields: Vec<&str> = content.split_whitespace().collect();
        let fields = <[&str; N]>::try_from(fields)
            .map_err(|fields| error(line, format!("{} fields, not {N}", fields.len())))?;
        entries.push((line, fields));
    }
    if entries.len() != count {
        return Err(error(2, format!("{count} entries announced, {} found", entries.len())));
    }
    Ok(entries)
}

fn number<T: std::str::FromStr>(line: usize, text: &str) -> Result<T, ParseError> {
    text.parse().map_err(|_| error(line, format!("{text:?} is not such a number")))
}

pub fn format_partition_metadata(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {}", format_uuid(topic_id))
}

pub fn parse_partition_metadata(text: &str) -> Result<Uuid, ParseError> {
    let mut topic_id = None;
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        match line.split_once(':').map(|(key, value)| (key.trim(), value.trim())) {
            Some(("version", "0")) => {}
            Some(("version", other)) => {
                return Err(error(
                    line_number,
                    format!("version {other:?}, where only 0 is known"),
                ));
            }
            Some(("topic_id", value)) => {
                let id = parse_uuid(value);
                topic_id =
                    Some(id.ok_or_else(|| error(line_number, format!("{value:?} is no id")))?);
            }
            _ if line.trim().is_empty() => {}
            _ => return Err(error(line_number, format!("{line:?} was not expected"))),
        }
    }
    topic_id.ok_or_else(|| error(1, "no topic_id"))
}

/// `meta.properties`, version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    pub cluster_id: String,
    pub node_id: i32,
    pub directory_id: Uuid,
}

pub fn format_meta_properties(meta: &MetaProperties) -> String {
    format!(
        "cluster.id={}\ndirectory.id={}\nnode.id={}\nversion=1\n",
        meta.cluster_id,
        format_uuid(meta.directory_id),
        meta.node_id
    )
}

pub fn parse_meta_properties(text: &str) -> Result<MetaProperties, ParseError> {
    let (mut cluster_id, mut node_id, mut directory_id, mut version) = (None, None, None, None);
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let (key, value) = line
            .split_once(['=', ':'])
            .ok_or_else(|| error(line_number, format!("{line:?} is no property")))?;
        let value = value.trim();
        match key.trim() {
            "cluster.id" => cluster_id = Some(value.to_owned()),
            "node.id" => node_id = Some(number(line_number, value)?),
            "directory.id" => {
                let id = parse_uuid(value);
                directory_id =
                    Some(id.ok_or_else(|| error(line_number, format!("{value:?} is no id")))?);
            }
            "version" => version = Some(number::<i32>(line_number, value)?),
            _ => {}
        }
    }
    if version != Some(1) {
        return Err(error(1, format!("version {version:?}, where only 1 is known")));
    }
    let missing = |name: &str| error(1, format!("no {name}"));
    Ok(MetaProperties {
        cluster_id: cluster_id.ok_or_else(|| missing("cluster.id"))?,
        node_id: node_id.ok_or_else(|| missing("node.id"))?,
        directory_id: directory_id.ok_or_else(|| missing("directory.id"))?,
    })
}

/// `.kafka_cleanshutdown`: the broker epoch that the node had when it stopped, -1 if it had none.
pub fn format_clean_shutdown(broker_epoch: i64) -> String {
    format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}")
}

/// The broker epoch in `.kafka_cleanshutdown`. `None` where there is none that can be read: the stop was clean all
/// the same, since the file is there.
pub fn parse_clean_shutdown(text: &str) -> Option<i64> {
    let (_, rest) = text.split_once("\"brokerEpoch\"")?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Kafka's way to write an id: URL-safe base64 of its 16 bytes without padding, 22 characters.
pub fn format_uuid(id: Uuid) -> String {
    let bits = id.as_u128();
    let mut text = String::with_capacity(22);
    for index in 0..21 {
        text.push(BASE64_URL[(bits >> (122 - 6 * index)) as usize & 63] as char);
    }
    text.push(BASE64_URL[(bits << 4) as usize & 63] as char);
    text
}

/// Reads what [`format_uuid`] writes, and nothing else.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    let text = text.strip_suffix("==").unwrap_or(text);
    if text.len() != 22 {
        return None;
    }
    let mut bits = 0u128;
    for (index, byte) in text.bytes().enumerate() {
        let digit = BASE64_URL.iter().position(|&b| b == byte)? as u128;
        if index < 21 {
            bits = bits << 6 | digit;
        } else if digit & 15 == 0 {
            bits = bits << 2 | digit >> 4;
        } else {
            return None;
        }
    }
    Some(Uuid::from_u128(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_round_trip() {
        let offsets: OffsetCheckpoint =
            [(("a".to_owned(), 0), 17), (("b-c".to_owned(), 12), 0)].into_iter().collect();
        let text = format_offsets(&offsets);
        assert_eq!(text, "0\n2\na 0 17\nb-c 12 0\n");
        assert_eq!(parse_offsets(&text), Ok(offsets));
    }

    #[test]
    fn damage_is_refused_with_its_place() {
        let refused = |text| parse_offsets(text).unwrap_err().to_string();
        assert_eq!(refused(""), "line 1: ends before the version");
        assert_eq!(refused("1\n0\n"), "line 1: version \"1\", where only 0 is known");
        assert_eq!(refused("0\n2\na 0 1\n"), "line 2: 2 entries announced, 1 found");
        assert_eq!(refused("0\n1\na 0\n"), "line 3: 2 fields, not 3");
        assert_eq!(refused("0\n1\na 0 x\n"), "line 3: \"x\" is not such a number");
        assert_eq!(refused("0\n2\na 0 1\na 0 2\n"), "line 4: a 0 is listed twice");
    }

    #[test]
    fn epochs_round_trip() {
        let entries =
            [EpochEntry { epoch: 0, start_offset: 0 }, EpochEntry { epoch: 3, start_offset: 7 }];
        assert_eq!(format_epochs(&entries), "0\n2\n0 0\n3 7\n");
        assert_eq!(parse_epochs("0\n2\n0 0\n3 7\n"), Ok(entries.to_vec()));
    }

    #[test]
    fn ids_are_written_as_kafka_writes_them() {
        // Kafka's Uuid.METADATA_TOPIC_ID is (0, 1).
        assert_eq!(format_uuid(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(parse_uuid("AAAAAAAAAAAAAAAAAAAAAQ"), Some(Uuid::from_u128(1)));
        assert_eq!(parse_uuid("AAAAAAAAAAAAAAAAAAAAAR"), None);
        assert_eq!(parse_uuid("short"), None);
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        assert_eq!(parse_uuid(&format_uuid(id)), Some(id));
    }

    #[test]
    fn partition_metadata_round_trips() {
        let id = Uuid::from_u128(u128::MAX / 3);
        assert_eq!(parse_partition_metadata(&format_partition_metadata(id)), Ok(id));
        assert!(parse_partition_metadata("version: 1\ntopic_id: x").is_err());
        assert!(parse_partition_metadata("version: 0").is_err());
    }

    #[test]
    fn meta_properties_round_trip_and_kafkas_are_read() {
        let meta = MetaProperties {
            cluster_id: "MkU3OEVBNTcwNTJENDM2Qk".to_owned(),
            node_id: 3,
            directory_id: Uuid::from_u128(99),
        };
        assert_eq!(parse_meta_properties(&format_meta_properties(&meta)), Ok(meta));
        let kafkas = "#\n#Mon Jan 01 00:00:00 UTC 2024\ncluster.id=abc\n\
                      directory.id=AAAAAAAAAAAAAAAAAAAAYw\nnode.id=3\nversion=1\n";
        assert_eq!(parse_meta_properties(kafkas).map(|meta| meta.node_id), Ok(3));
        assert!(parse_meta_properties("version=0\nbroker.id=1\n").is_err());
    }

    #[test]
    fn clean_shutdown_round_trips() {
        assert_eq!(parse_clean_shutdown(&format_clean_shutdown(42)), Some(42));
        assert_eq!(parse_clean_shutdown("{\"brokerEpoch\": -1, \"version\": 0}"), Some(-1));
        assert_eq!(parse_clean_shutdown(""), None);
    }
}
