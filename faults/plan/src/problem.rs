//! What is wrong with a plan, where, and what was expected instead.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong with a plan, or doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the `--set` that it came from.
    pub origin: String,
    pub place: Option<Place>,
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// A place in a plan file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Characters to underline, at least 1.
    pub length: usize,
    /// The line itself.
    pub source: String,
}

impl Place {
    /// The place of a range of bytes in a text.
    pub fn of(text: &str, span: Range<usize>) -> Place {
        let start = floor_char_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = floor_char_boundary(text, span.end).clamp(start, line_end);
        Place {
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            length: text[start..end].chars().count().max(1),
            source: text[line_start..line_end].trim_end().to_string(),
        }
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            None => write!(f, "{}: {}", self.origin, self.message)?,
            Some(place) => {
                let margin = " ".repeat(place.line.to_string().len());
                // Tabs stay tabs, so that the caret stands where the text stands.
                let indent: String = place
                    .source
                    .chars()
                    .take(place.column - 1)
                    .map(|c| if c == '\t' { '\t' } else { ' ' })
                    .collect();
                writeln!(f, "{}:{}:{}: {}", self.origin, place.line, place.column, self.message)?;
                writeln!(f, "{margin} |")?;
                writeln!(f, "{} | {}", place.line, place.source)?;
                write!(f, "{margin} | {indent}{}", "^".repeat(place.length))?;
            }
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a plan; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PlanError {
    pub problems: Vec<Problem>,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// The candidate that was probably meant, for a misspelt word.
pub fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let close = candidates.map(|candidate| (edits(word, candidate), candidate));
    let best = close.min_by_key(|(distance, _)| *distance)?;
    (best.0 <= 1 + word.chars().count() / 4).then_some(best.1)
}

/// Levenshtein distance.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_points_at_its_place() {
        let text = "schema = 1\n\tnodes = 33 # ü\n";
        let at = text.find("33").unwrap();
        let problem = Problem {
            origin: "p.toml".to_string(),
            place: Some(Place::of(text, at..at + 2)),
            message: "too many".to_string(),
            help: Some("fewer".to_string()),
        };
        let shown =
            "p.toml:2:10: too many\n  |\n2 | \tnodes = 33 # ü\n  | \t        ^^\n  help: fewer";
        assert_eq!(problem.to_string(), shown);
    }

    #[test]
    fn places_at_the_edges_of_a_text_are_no_panic() {
        for text in ["", "\n", "ü", "a\nü"] {
            for start in 0..6 {
                for end in 0..6 {
                    assert!(Place::of(text, start..end).line >= 1);
                }
            }
        }
    }

    #[test]
    fn a_misspelt_word_is_suggested() {
        let words = ["kill", "stall", "wipe"];
        assert_eq!(did_you_mean("kil", words.into_iter()), Some("kill"));
        assert_eq!(did_you_mean("stal", words.into_iter()), Some("stall"));
        assert_eq!(did_you_mean("partition", words.into_iter()), None);
    }
}
