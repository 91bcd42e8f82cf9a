//! What faults of files are told: which operations, and of which files.
//!
//! Promises: plain data that can be copied, printed as a plan writes it and read again. A pattern looks at the path below the
//! data directory, with `/` between its parts.

use crate::text::Text;
use serde::{Deserialize, Serialize};
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

/// The name of a log directory below a broker's data, the first being 1, where it has several. No partition's directory is
/// called like it: topics have no `@` in their names.
pub fn log_dir(number: u32) -> String {
    format!("disk@{number}")
}

/// The longest pattern.
pub const PATTERN_BYTES_MAX: usize = 96;

/// A part of a path; `*` in it stands for any characters. The empty one is a part of every path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Pattern(Text<PATTERN_BYTES_MAX>);

impl Pattern {
    /// The part of every path.
    pub const ANY: Pattern = Pattern(Text::EMPTY);

    /// `None`: too long.
    pub fn new(text: &str) -> Option<Pattern> {
        Text::new(text).map(Pattern)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
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
