//! A cycle of operations as a small drawing: the operations around a ring, an arrow for each step, numbered as the argument
//! numbers them.
//!
//! Promises: every operation and every step of the finding is in it, told in text too, so that it can be read aloud. Not here:
//! the argument itself, which the finding carries.

use model::finding::{Edge, Evidence, Finding};
use std::fmt::Write;

/// The ring's radius for a few operations; it grows so that the boxes of many have room.
const RING_MIN: f64 = 95.0;
/// Around the ring: half a box, and the bend of an arrow.
const MARGIN: f64 = 66.0;
const BOX_WIDTH: f64 = 92.0;
const BOX_HEIGHT: f64 = 34.0;

/// The drawing as SVG; empty where the finding is no cycle. `number` tells the drawings of a page apart.
pub fn drawing(finding: &Finding, number: usize) -> String {
    if finding.cycle.is_empty() {
        return String::new();
    }
    let count = finding.evidence.len().max(1);
    let ring = RING_MIN.max(count as f64 * BOX_WIDTH * 1.75 / std::f64::consts::TAU);
    let size = (2.0 * (ring + MARGIN)).round();
    let place = |index: usize| {
        let turn = index as f64 / count as f64 * std::f64::consts::TAU;
        (size / 2.0 + ring * turn.sin(), size / 2.0 - ring * turn.cos())
    };
    let tip = format!("tip-{number}");
    let mut svg = format!(
        "<svg class=\"cycle\" style=\"max-width:{size}px\" viewBox=\"0 0 {size} {size}\" role=\"img\" aria-label=\"{}\"><defs><marker id=\"{tip}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\"/></marker></defs>",
        label(finding)
    );
    // The words come last, so that nothing lies over them.
    let mut words = String::new();
    for (number, step) in finding.cycle.iter().enumerate() {
        let (from, to) = (place(step.from), place(step.to));
        arrow(&mut svg, &mut words, from, to, &tip, &format!("{} {}", number + 1, word(step.edge)));
    }
    for (index, operation) in finding.evidence.iter().enumerate() {
        node(&mut svg, place(index), index, operation);
    }
    svg.push_str(&words);
    svg.push_str("</svg>");
    svg
}

/// How a step is spelt in the drawing: Adya's words, and Jepsen's.
fn word(edge: Edge) -> &'static str {
    match edge {
        Edge::WriteWrite => "ww",
        Edge::WriteRead => "wr",
        Edge::Process => "process",
        Edge::Realtime => "realtime",
    }
}

fn label(finding: &Finding) -> String {
    let steps = finding.cycle.iter().enumerate().map(|(number, step)| {
        format!("{}: {} to {} by {}", number + 1, step.from + 1, step.to + 1, word(step.edge))
    });
    let steps: Vec<String> = steps.collect();
    format!("A cycle of {} operations. {}", finding.evidence.len(), steps.join("; "))
}

/// From box to box, bent to the outside so that the way back of a pair is another line.
fn arrow(
    svg: &mut String,
    words: &mut String,
    from: (f64, f64),
    to: (f64, f64),
    tip: &str,
    why: &str,
) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy).max(1.0);
    let bend = 34.0;
    let bent = (
        f64::midpoint(from.0, to.0) + dy / length * bend,
        f64::midpoint(from.1, to.1) - dx / length * bend,
    );
    let (begin, end) = (edge_of_box(from, bent), edge_of_box(to, bent));
    let at = (
        0.25 * begin.0 + 0.5 * bent.0 + 0.25 * end.0,
        0.25 * begin.1 + 0.5 * bent.1 + 0.25 * end.1,
    );
    let _ = write!(
        svg,
        "<path class=\"step\" d=\"M{:.1} {:.1}Q{:.1} {:.1} {:.1} {:.1}\" marker-end=\"url(#{tip})\"/>",
        begin.0, begin.1, bent.0, bent.1, end.0, end.1,
    );
    let _ = write!(words, "<text class=\"why\" x=\"{:.1}\" y=\"{:.1}\">{why}</text>", at.0, at.1);
}

/// Where a line from the middle of a box towards `to` leaves it.
fn edge_of_box(middle: (f64, f64), to: (f64, f64)) -> (f64, f64) {
    let (dx, dy) = (to.0 - middle.0, to.1 - middle.1);
    let scale = (BOX_WIDTH / 2.0 / dx.abs().max(0.001)).min(BOX_HEIGHT / 2.0 / dy.abs().max(0.001));
    let scale = scale.min(1.0);
    (middle.0 + dx * scale, middle.1 + dy * scale)
}

fn node(svg: &mut String, (x, y): (f64, f64), index: usize, operation: &Evidence) {
    let which = match operation.index {
        Some(index) => format!("op {index}"),
        None => format!("{} ms", operation.at_ms),
    };
    let _ = write!(
        svg,
        "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"4\"/><text x=\"{x:.1}\" y=\"{:.1}\">{} · {which}</text><text class=\"dim\" x=\"{x:.1}\" y=\"{:.1}\">client {}</text>",
        x - BOX_WIDTH / 2.0,
        y - BOX_HEIGHT / 2.0,
        y - 2.0,
        index + 1,
        y + 11.0,
        operation.session
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::finding::{CycleStep, Kind};
    use model::history::{LogRef, TopicRef};

    fn cycle(operations: usize) -> Finding {
        let operation = |index: usize| Evidence {
            index: Some(index as u64 * 7),
            at_ms: 0,
            what: "txn".into(),
            session: 3,
            id: None,
            offset: None,
        };
        let step = |from: usize| CycleStep {
            from,
            to: (from + 1) % operations,
            edge: Edge::WriteRead,
            log: None,
            because: "<it>".into(),
        };
        let finding = Finding {
            kind: Kind::G1c,
            log: LogRef { topic: TopicRef(0), partition: 0 },
            topic: String::new(),
            count: 1,
            first_offset: None,
            last_offset: None,
            ids: Vec::new(),
            outcome: None,
            first_ack_ms: None,
            last_ack_ms: None,
            because: String::new(),
            evidence: (0..operations).map(operation).collect(),
            cycle: Vec::new(),
        };
        Finding { cycle: (0..operations).map(step).collect(), ..finding }
    }

    #[test]
    fn every_operation_and_step_is_drawn_and_told() {
        for operations in [2, 3, 12] {
            let svg = drawing(&cycle(operations), 1);
            assert_eq!(svg.matches("<rect").count(), operations);
            assert_eq!(svg.matches("class=\"step\"").count(), operations);
            assert!(svg.contains(&format!("A cycle of {operations} operations. 1: 1 to 2 by wr")));
            assert!(!svg.contains("NaN") && !svg.contains("<it>"), "{svg}");
        }
        let none = Finding { cycle: Vec::new(), ..cycle(2) };
        assert_eq!(drawing(&none, 1), "");
    }
}
