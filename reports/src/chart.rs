//! SVG by hand: themable by CSS classes, printable, readable by a screen reader, no script.
//!
//! All charts of a report share one time axis: the same width, the same left margin, the same scale.

use std::fmt::Write as _;

/// Geometry that all charts share, in SVG user units.
pub const WIDTH: f64 = 1000.0;
pub const LEFT: f64 = 64.0;
pub const RIGHT: f64 = 12.0;

/// The time axis of a report.
#[derive(Clone, Copy, Debug)]
pub struct TimeAxis {
    pub end_ms: u64,
}

impl TimeAxis {
    pub fn x(&self, ms: u64) -> f64 {
        let share = ms as f64 / self.end_ms.max(1) as f64;
        LEFT + share.min(1.0) * (WIDTH - LEFT - RIGHT)
    }

    /// Ticks at round seconds, at most a dozen.
    pub fn ticks(&self) -> Vec<u64> {
        let steps =
            [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400];
        let seconds = self.end_ms / 1000;
        let step = steps
            .into_iter()
            .find(|step| seconds / step <= 12)
            .unwrap_or(86_400 * (1 + seconds / 1_000_000));
        (0..=seconds / step).map(|tick| tick * step * 1000).collect()
    }
}

/// A number short enough for a path.
pub fn coordinate(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(String::from).unwrap_or(text)
}

pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters have no place in HTML or XML, whatever a log holds.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// An SVG being drawn.
pub struct Svg {
    body: String,
    height: f64,
}

impl Svg {
    pub fn new(id: &str, height: f64, title: &str, description: &str) -> Svg {
        let mut body = String::new();
        let (title, description) = (escape(title), escape(description));
        let _ = write!(
            body,
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
             <title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>"
        );
        Svg { body, height }
    }

    pub fn line(&mut self, class: &str, x1: f64, y1: f64, x2: f64, y2: f64) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(coordinate);
        let _ = write!(
            self.body,
            "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
        );
    }

    pub fn rect(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64, tooltip: &str) {
        let [x, y, width, height] = [x, y, width.max(0.8), height].map(coordinate);
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\">"
        );
        if !tooltip.is_empty() {
            let _ = write!(self.body, "<title>{}</title>", escape(tooltip));
        }
        self.body.push_str("</rect>");
    }

    /// `anchor`: `start`, `middle`, `end`.
    pub fn text(&mut self, class: &str, x: f64, y: f64, anchor: &str, text: &str) {
        let (x, y) = (coordinate(x), coordinate(y));
        let _ = write!(
            self.body,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        );
    }

    /// A line through the points; a gap wherever one is missing.
    pub fn path(&mut self, class: &str, points: impl Iterator<Item = (f64, Option<f64>)>) {
        let mut d = String::new();
        let mut pen_down = false;
        for (x, y) in points {
            let Some(y) = y else {
                pen_down = false;
                continue;
            };
            let _ = write!(
                d,
                "{}{} {}",
                if pen_down { 'L' } else { 'M' },
                coordinate(x),
                coordinate(y)
            );
            pen_down = true;
        }
        if !d.is_empty() {
            let _ = write!(self.body, "<path class=\"{class}\" d=\"{d}\"/>");
        }
    }

    /// The area between two curves over the same points.
    pub fn area(&mut self, class: &str, points: &[(f64, f64, f64)]) {
        if points.is_empty() {
            return;
        }
        let mut d = String::new();
        for (index, (x, _, top)) in points.iter().enumerate() {
            let _ = write!(
                d,
                "{}{} {}",
                if index == 0 { 'M' } else { 'L' },
                coordinate(*x),
                coordinate(*top)
            );
        }
        for (x, bottom, _) in points.iter().rev() {
            let _ = write!(d, "L{} {}", coordinate(*x), coordinate(*bottom));
        }
        let _ = write!(self.body, "<path class=\"{class}\" d=\"{d}Z\"/>");
    }

    /// Vertical lines and labels of the time axis; labels only where `labelled`.
    pub fn time_grid(&mut self, axis: &TimeAxis, top: f64, bottom: f64, labelled: bool) {
        for tick in axis.ticks() {
            let x = axis.x(tick);
            self.line("grid", x, top, x, bottom);
            if labelled {
                self.text("tick", x, bottom + 14.0, "middle", &format!("{} s", tick / 1000));
            }
        }
    }

    pub fn finish(mut self) -> String {
        assert!(self.height > 0.0);
        self.body.push_str("</svg>");
        self.body
    }
}

/// A round number at or above `value`: 1, 2 or 5 times a power of ten.
pub fn nice_ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let magnitude = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * magnitude)
        .find(|&c| c >= value * 0.9999)
        .unwrap_or(10.0 * magnitude)
}

/// A data table behind a chart, for those who can't see it and those who want the number.
pub fn table(caption: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<details class=\"data\"><summary>{}</summary><div class=\"scroll\"><table><thead><tr>",
        escape(caption)
    );
    for cell in head {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escape(cell));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td>{}</td>", escape(cell));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div></details>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round() {
        for end_ms in [900, 9_000, 95_000, 600_000, 7_200_000, 100_000_000] {
            let ticks = TimeAxis { end_ms }.ticks();
            assert!(ticks.len() <= 13, "{end_ms}: {ticks:?}");
            assert_eq!(ticks[0], 0);
        }
    }

    #[test]
    fn ceilings_are_round_and_not_below() {
        for value in [0.3, 1.0, 1.1, 49.0, 51.0, 9_999.0, 10_000.0, 12_345.0] {
            assert!(nice_ceiling(value) >= value * 0.999, "{value}");
            assert!(nice_ceiling(value) <= value * 10.0);
        }
    }

    #[test]
    fn hostile_text_is_harmless() {
        assert_eq!(escape("<script>'\"&\u{1b}[31m"), "&lt;script&gt;&#39;&quot;&amp;\u{fffd}[31m");
    }
}
