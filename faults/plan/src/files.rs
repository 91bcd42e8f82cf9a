//! What faults of files are told: which operations, and of which files.
//!
//! Promises: plain data that can be copied, printed as a plan writes it and read again. A pattern looks at the path below the
//! data directory, with `/` between its parts.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// Which operations on files a fault meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    #[default]
    Write,
    Read,
    Fsync,
    /// All three, and what makes, renames and deletes files too.
    All,
}

impl Operation {
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Write => "write",
            Operation::Read => "read",
            Operation::Fsync => "fsync",
            Operation::All => "all",
        }
    }
}

/// The longest pattern.
pub const PATTERN_BYTES_MAX: usize = 96;

/// A part of a path; `*` in it stands for any characters. The empty one is a part of every path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    bytes: [u8; PATTERN_BYTES_MAX],
    len: u8,
}

impl Pattern {
    /// The part of every path.
    pub const ANY: Pattern = Pattern { bytes: [0; PATTERN_BYTES_MAX], len: 0 };

    /// `None`: too long.
    pub fn new(text: &str) -> Option<Pattern> {
        let mut bytes = [0; PATTERN_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Pattern { bytes, len: u8::try_from(text.len()).ok()? })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("it was made from text")
    }

    /// Whether it is a part of this path.
    pub fn matches(&self, path: &str) -> bool {
        let mut rest = path;
        self.as_str().split('*').all(|part| match rest.find(part) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_part_of_the_path_with_anything_for_a_star() {
        let log = "queue-0/00000000000000000000.log";
        for (pattern, path, matches) in [
            ("", log, true),
            (".log", log, true),
            ("queue-*.log", log, true),
            ("queue-0/*.log", log, true),
            ("queue-1/*.log", log, false),
            ("queue-*.index", log, false),
            ("*", log, true),
            (".log", "queue-0/leader-epoch-checkpoint", false),
            ("a*a", "a", false),
        ] {
            let made = Pattern::new(pattern).expect("short enough");
            assert_eq!(made.matches(path), matches, "{pattern} on {path}");
            assert_eq!(made.as_str(), pattern);
        }
        assert!(Pattern::new(&"x".repeat(PATTERN_BYTES_MAX)).is_some());
        assert_eq!(Pattern::new(&"x".repeat(PATTERN_BYTES_MAX + 1)), None);
    }
}
