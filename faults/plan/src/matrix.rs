//! The cells of a comparison: every combination of the values of a plan's axes.
//!
//! Promises: the axes vary in the order of their names, the last one fastest; every cell passed the same checks as
//! a plan of its own, before anything is started.

use crate::axis;
use crate::parse::{Locator, resolve};
use crate::plan::Plan;
use crate::problem::{PlanError, Problem};

/// Cells that a comparison may have.
const CELLS_MAX: usize = 200;

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Axis and value, as text, in the order of the axes.
    pub settings: Vec<(String, String)>,
    /// The plan of this cell, without the matrix.
    pub plan: Plan,
}

impl Cell {
    /// `acks=1 min_insync_replicas=2 recipe=…`
    pub fn label(&self) -> String {
        let settings: Vec<String> =
            self.settings.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
        settings.join(" ")
    }
}

pub(crate) fn expand(
    plan: &Plan,
    table: &toml::Table,
    locator: &mut Locator<'_>,
) -> Result<Vec<Cell>, PlanError> {
    if plan.matrix.is_empty() {
        return Ok(Vec::new());
    }
    let refuse = |problem: Problem| PlanError { problems: vec![problem] };
    let axes: Vec<(&String, &Vec<toml::Value>)> = plan.matrix.iter().collect();
    let mut combinations: Vec<Vec<(String, toml::Value)>> = vec![Vec::new()];
    for (axis, values) in axes {
        if values.is_empty() {
            let message = format!("the axis `{axis}` has no values");
            return Err(refuse(locator.problem(&format!("matrix.{axis}"), message, None)));
        }
        let longer = combinations.iter().flat_map(|combination| {
            values.iter().map(|value| {
                let mut longer = combination.clone();
                longer.push((axis.clone(), value.clone()));
                longer
            })
        });
        combinations = longer.take(CELLS_MAX + 1).collect();
    }
    if combinations.len() > CELLS_MAX {
        let message = format!("the matrix has more than {CELLS_MAX} cells");
        return Err(refuse(locator.problem("matrix", message, None)));
    }
    let mut cells = Vec::new();
    for combination in combinations {
        cells.push(cell(table, combination, locator)?);
    }
    Ok(cells)
}

fn cell(
    table: &toml::Table,
    combination: Vec<(String, toml::Value)>,
    locator: &mut Locator<'_>,
) -> Result<Cell, PlanError> {
    let mut table = table.clone();
    table.remove("matrix");
    let mut settings = Vec::new();
    for (axis, value) in combination {
        let as_text = match &value {
            toml::Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        if let Err(message) = axis::set(&mut table, &axis, value) {
            let problem = locator.problem(&format!("matrix.{axis}"), message, None);
            return Err(PlanError { problems: vec![problem] });
        }
        settings.push((axis, as_text));
    }
    let text = |(axis, value): &(String, String)| format!("{axis}={value}");
    let label: Vec<String> = settings.iter().map(text).collect();
    locator.note = format!("in the cell {}: ", label.join(" "));
    let resolved = resolve(&table, locator);
    locator.note.clear();
    let (plan, _) = resolved?;
    Ok(Cell { settings, plan })
}
