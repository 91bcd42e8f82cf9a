//! From the text of a plan to a [`Plan`], or to errors that say where and what was expected.
//!
//! Promises: an unknown key, a wrong type and a value that makes no sense are all answered with file, line, caret
//! and help; no text makes it panic; all semantic problems are reported at once.

use crate::axis;
use crate::check;
use crate::matrix::{self, Cell};
use crate::plan::Plan;
use crate::problem::{Place, PlanError, Problem, did_you_mean};
use crate::raw::RawPlan;
use serde::Deserialize;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A plan that passed every check.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub plan: Plan,
    /// Doubtful, but allowed.
    pub warnings: Vec<Problem>,
    /// The cells of its matrix in order, settings by axis; empty without a matrix.
    pub cells: Vec<Cell>,
}

/// Loads a plan. `file` names its origin in errors; `overrides` are paths and values from the command line
/// (`--set topic.partitions=12`), which win over the file.
pub fn load(file: &str, text: &str, overrides: &[(String, String)]) -> Result<Loaded, PlanError> {
    // The text alone comes first: its errors have places.
    let spanned = DeTable::parse(text).map_err(|error| one(from_toml(file, text, &error)))?;
    toml::from_str::<RawPlan>(text).map_err(|error| one(from_toml(file, text, &error)))?;
    let mut table: toml::Table =
        toml::from_str(text).map_err(|error| one(from_toml(file, text, &error)))?;
    let mut locator =
        Locator { file, text, root: spanned.into_inner(), set: Vec::new(), note: String::new() };
    for (path, value) in overrides {
        let origin = format!("--set {path}={value}");
        let set = axis::set(&mut table, path, axis::value_of(value));
        let path = set.map_err(|message| one(Problem::without_place(&origin, message)))?;
        let parsed = RawPlan::deserialize(table.clone());
        parsed.map_err(|error| one(Problem::without_place(&origin, tidy(error.message()).0)))?;
        locator.set.push((path, origin));
    }
    let (plan, warnings) = resolve(&table, &locator)?;
    let cells = matrix::expand(&plan, &table, &mut locator)?;
    Ok(Loaded { plan, warnings, cells })
}

/// A table that was parsed before, typed and checked.
pub(crate) fn resolve(
    table: &toml::Table,
    locator: &Locator<'_>,
) -> Result<(Plan, Vec<Problem>), PlanError> {
    let raw = RawPlan::deserialize(table.clone());
    let raw = raw.map_err(|error| {
        let message = format!("{}{}", locator.note, tidy(error.message()).0);
        one(Problem::without_place(locator.file, message))
    })?;
    check::resolve(raw, locator)
}

fn one(problem: Problem) -> PlanError {
    PlanError { problems: vec![problem] }
}

impl Problem {
    pub(crate) fn without_place(origin: &str, message: impl Into<String>) -> Problem {
        let origin = origin.to_string();
        Problem { origin, place: None, message: message.into(), help: None }
    }
}

fn from_toml(file: &str, text: &str, error: &toml::de::Error) -> Problem {
    let (message, help) = tidy(error.message());
    let place = error.span().map(|span| Place::of(text, span));
    Problem { origin: file.to_string(), place, message, help }
}

/// serde's words, and a suggestion where a known word was misspelt.
fn tidy(message: &str) -> (String, Option<String>) {
    let message = message.trim().replace('\n', "; ");
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let misspelt = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let help = match quoted.split_first() {
        Some((word, known)) if misspelt => did_you_mean(word, known.iter().copied())
            .map(|meant| format!("did you mean `{meant}`?")),
        _ => None,
    };
    (message, help)
}

/// Finds the place of a value by its path, `fault.0.every`.
pub(crate) struct Locator<'a> {
    pub file: &'a str,
    text: &'a str,
    root: DeTable<'a>,
    /// Paths that the command line set, and how.
    set: Vec<(String, String)>,
    /// Put before every message: the cell of a matrix.
    pub note: String,
}

impl Locator<'_> {
    /// A problem with the value at a path, or with the nearest thing around it that is written in the file.
    pub fn problem(&self, path: &str, message: String, help: Option<String>) -> Problem {
        let message = format!("{}{message}", self.note);
        if let Some((_, origin)) = self.set.iter().rev().find(|(set, _)| set == path) {
            return Problem { origin: origin.clone(), place: None, message, help };
        }
        let place = self.span(path).map(|span| Place::of(self.text, span));
        Problem { origin: self.file.to_string(), place, message, help }
    }

    fn span(&self, path: &str) -> Option<Range<usize>> {
        let mut parts = path.split('.');
        let (key, mut value) = self.root.get_key_value(parts.next()?)?;
        let mut span = match value.get_ref() {
            DeValue::Table(_) | DeValue::Array(_) => key.span(),
            _ => value.span(),
        };
        for part in parts {
            let found = match value.get_ref() {
                DeValue::Table(table) => {
                    table.get_key_value(part).map(|(key, value)| (Some(key.span()), value))
                }
                DeValue::Array(array) => {
                    let item = part.parse().ok().and_then(|at: usize| array.get(at));
                    item.map(|item| (None, item))
                }
                _ => None,
            };
            let Some((key_span, inner)) = found else { break };
            span = match (inner.get_ref(), key_span) {
                (DeValue::Table(_) | DeValue::Array(_), Some(key_span)) => key_span,
                _ => inner.span(),
            };
            value = inner;
        }
        Some(span)
    }
}

#[cfg(test)]
mod tests;
