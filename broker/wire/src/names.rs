//! Names of topics and what Kafka derives from them.
//!
//! Promises: Kafka's own rules, so that any tool agrees with us on what a directory or a group's partition is.

use std::fmt;

/// Longest legal topic name, in bytes: a directory name must still take a partition number and a suffix.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// The topic that group coordinators keep their state in.
pub const CONSUMER_OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The topic that transaction coordinators keep their state in.
pub const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";

/// The metadata log's topic, whose only partition is 0.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Why a topic name is refused, in Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    Empty,
    Dots,
    TooLong,
    Characters,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadName::Empty => "the empty string is not allowed",
            BadName::Dots => "'.' and '..' are not allowed",
            BadName::TooLong => "the length must not be longer than 249 characters",
            BadName::Characters => {
                "it contains a character other than ASCII alphanumerics, '.', '_' and '-'"
            }
        })
    }
}

/// Checks a topic name by Kafka's rules.
pub fn check_topic_name(name: &str) -> Result<(), BadName> {
    if name.is_empty() {
        return Err(BadName::Empty);
    }
    if name == "." || name == ".." {
        return Err(BadName::Dots);
    }
    if name.len() > TOPIC_NAME_BYTES_MAX {
        return Err(BadName::TooLong);
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.bytes().all(legal) { Ok(()) } else { Err(BadName::Characters) }
}

pub fn is_valid_topic_name(name: &str) -> bool {
    check_topic_name(name).is_ok()
}

/// Two topics whose names differ only in `.` and `_` collide in Kafka's metric names, and may not both exist.
pub fn names_collide(a: &str, b: &str) -> bool {
    a.replace('.', "_") == b.replace('.', "_")
}

/// Topics that only the brokers write: clients may not delete or create them by hand in Kafka's tools.
pub fn is_internal_topic(name: &str) -> bool {
    name == CONSUMER_OFFSETS_TOPIC || name == TRANSACTION_STATE_TOPIC
}

/// The directory of a partition, `topic-3`.
pub fn partition_dir_name(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

/// The topic and partition of such a directory, `None` for any other name.
pub fn parse_partition_dir_name(name: &str) -> Option<(&str, i32)> {
    let (topic, partition) = name.rsplit_once('-')?;
    if !is_valid_topic_name(topic) || !partition.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((topic, partition.parse().ok()?))
}

/// Java's `String.hashCode`, over UTF-16 units.
pub fn java_string_hash(text: &str) -> i32 {
    text.encode_utf16()
        .fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The partition of [`CONSUMER_OFFSETS_TOPIC`] (or of the transaction state) that a group id (or transactional id)
/// belongs to.
pub fn coordinator_partition(id: &str, partition_count: i32) -> i32 {
    assert!(partition_count > 0, "a topic has partitions");
    // Kafka's `Utils.abs`: the least number, which has no positive, becomes 0.
    java_string_hash(id).checked_abs().unwrap_or(0) % partition_count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names() {
        for good in ["a", "A.b_c-9", "...", &"x".repeat(249)] {
            assert!(is_valid_topic_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
            assert!(!is_valid_topic_name(bad), "{bad}");
        }
        assert!(names_collide("a.b", "a_b"));
        assert!(!names_collide("a.b", "a-b"));
    }

    #[test]
    fn directories() {
        assert_eq!(partition_dir_name("a-1", 7), "a-1-7");
        assert_eq!(parse_partition_dir_name("a-1-7"), Some(("a-1", 7)));
        for bad in ["a", "a-", "-1", "a-x", "a-+1", "a-99999999999", "a-1.x-delete"] {
            assert_eq!(parse_partition_dir_name(bad), None, "{bad}");
        }
    }

    /// Values from a Java shell.
    #[test]
    fn hashes_are_javas() {
        assert_eq!(java_string_hash(""), 0);
        assert_eq!(java_string_hash("hello"), 99_162_322);
        assert_eq!(java_string_hash("polygenelubricants"), i32::MIN);
        assert_eq!(coordinator_partition("polygenelubricants", 50), 0);
        assert_eq!(coordinator_partition("hello", 50), 22);
    }
}
