//! `summary.md`: what fits into a pull request or a CI job's summary.

use crate::facts::Facts;
use crate::text;
use crate::words::grouped;
use std::fmt::Write as _;

pub fn render(facts: &Facts) -> String {
    let verdict = &facts.verdict;
    let mut out = String::new();
    let _ = writeln!(out, "## {}\n", cell(&text::one_line(facts)));
    let _ = writeln!(out, "{}\n", cell(&verdict.because));
    let _ = writeln!(out, "| promise | verdict | found |\n|---|---|---|");
    for promise in &verdict.promises {
        let _ = writeln!(
            out,
            "| {} | **{}** | {} |",
            promise.name,
            promise.verdict.as_str(),
            cell(&promise.because)
        );
    }
    let invalid: Vec<String> = verdict
        .checks
        .iter()
        .filter(|check| check.count > 0)
        .map(|check| format!("{} {}", grouped(check.count), check.name))
        .collect();
    if !invalid.is_empty() {
        let _ = writeln!(out, "\nFound: {}.", invalid.join(", "));
    }
    for warning in &verdict.warnings {
        let _ = writeln!(out, "\n> {}", cell(warning));
    }
    let _ = writeln!(out, "\nAgain: `{}`", facts.info.again.replace(['`', '\n'], " "));
    out
}

/// Text that cannot break out of a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;")
}
