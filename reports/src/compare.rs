//! The page of a comparison: settings × recipes as a heat map, each cell linking to its run.

use crate::facts::{Cell, Comparison, RunInfo};
use crate::html::{STYLE, class_of};
use crate::words;
use askama::Template;
use model::verdict::Verdict;

/// Writes the page.
pub fn render(comparison: &Comparison) -> String {
    let axes = match comparison.cells.first() {
        Some(cell) => cell
            .settings
            .iter()
            .map(|(axis, _)| axis.as_str())
            .filter(|axis| *axis != "recipe")
            .collect(),
        None => Vec::new(),
    };
    let mut recipes: Vec<&str> = Vec::new();
    let mut settings: Vec<Vec<&str>> = Vec::new();
    for cell in &comparison.cells {
        if !recipes.contains(&cell.recipe.as_str()) {
            recipes.push(&cell.recipe);
        }
        let values = values(cell);
        if !settings.contains(&values) {
            settings.push(values);
        }
    }
    let rows = settings
        .into_iter()
        .map(|settings| {
            let cell_of = |recipe: &&str| {
                comparison.cells.iter().find(|c| c.recipe == *recipe && values(c) == settings)
            };
            let cells = recipes.iter().map(|recipe| cell_of(recipe).map(shown)).collect();
            Row { cells, settings }
        })
        .collect();
    let page = Page {
        style: STYLE,
        info: &comparison.info,
        cheapest: comparison.cheapest.as_deref(),
        ordered_by: &comparison.ordered_by,
        warnings: warnings(comparison),
        axes,
        recipes,
        rows,
    };
    page.render().expect("writing into a string does not fail")
}

fn values(cell: &Cell) -> Vec<&str> {
    cell.settings
        .iter()
        .filter(|(axis, _)| axis != "recipe")
        .map(|(_, value)| value.as_str())
        .collect()
}

/// Warnings of all cells, each once.
fn warnings(comparison: &Comparison) -> Vec<&str> {
    let mut all: Vec<&str> = comparison
        .cells
        .iter()
        .filter_map(|c| c.verdict.as_ref())
        .flat_map(|v| &v.warnings)
        .map(String::as_str)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn shown(cell: &Cell) -> Shown<'_> {
    Shown {
        class: cell.verdict.as_ref().map_or("not-run", |verdict| class_of(verdict.verdict)),
        verdict: cell.verdict.as_ref(),
        reason: cell.reason.as_deref(),
        report: cell.report.as_deref(),
        lost: cell.lost,
        duplicates: cell.duplicates,
        throughput: cell.throughput_per_s as u64,
    }
}

struct Row<'a> {
    settings: Vec<&'a str>,
    cells: Vec<Option<Shown<'a>>>,
}

struct Shown<'a> {
    class: &'static str,
    verdict: Option<&'a Verdict>,
    reason: Option<&'a str>,
    report: Option<&'a str>,
    lost: u64,
    duplicates: u64,
    throughput: u64,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Page<'a> {
    style: &'a str,
    info: &'a RunInfo,
    cheapest: Option<&'a str>,
    ordered_by: &'a str,
    warnings: Vec<&'a str>,
    axes: Vec<&'a str>,
    recipes: Vec<&'a str>,
    rows: Vec<Row<'a>>,
}
