//! What the nodes' metrics endpoints told over time: strips on the time axis of all charts, each with its own scale.
//!
//! Promises: a node that did not answer is drawn as silent, and where nobody answered there is no line, never a zero; a run in
//! which nobody was asked says what to do about it, or nothing.

use crate::chart::{LEFT, Svg, TimeAxis, escape, nice_ceiling, table};
use crate::facts::{Alert, Facts, Metrics, Silence};
use crate::words::{duration, grouped};

/// Rows of the data table.
const ROWS_MAX: usize = 200;
/// Nodes that get a lane for their silences; the table has them all.
const LANES_MAX: usize = 12;
const STRIP: f64 = 46.0;
const LANE: f64 = 15.0;

struct Strip<'a> {
    words: &'static str,
    class: &'static str,
    values: &'a [Option<u64>],
}

fn strips(metrics: &Metrics) -> [Strip<'_>; 4] {
    [
        Strip {
            words: "under-replicated partitions",
            class: "info",
            values: &metrics.under_replicated,
        },
        Strip { words: "offline partitions", class: "fail", values: &metrics.offline },
        Strip { words: "ISR shrinks by leaders", class: "late", values: &metrics.isr_shrinks },
        Strip { words: "greatest replica lag, records", class: "lag", values: &metrics.lag_max },
    ]
}

/// The chart, or why there is none; empty where nothing is known.
pub(crate) fn chart(axis: &TimeAxis, facts: &Facts) -> String {
    let metrics = &facts.metrics;
    if let Some(why) = &metrics.missing {
        return format!("<p class=\"dim\"><b>No metrics:</b> {}.</p>", escape(why));
    }
    if metrics.under_replicated.is_empty() {
        return String::new();
    }
    let mut silent: Vec<&str> = metrics.silences.iter().map(|one| one.node.as_str()).collect();
    silent.sort_unstable();
    silent.dedup();
    let strips = strips(metrics);
    let lanes = silent.len().min(LANES_MAX);
    let top = 4.0 + LANE * lanes as f64;
    let bottom = top + STRIP * strips.len() as f64;
    let mut svg = Svg::new(
        "metrics",
        bottom + 20.0,
        "What the nodes' metrics told over time",
        "A lane for each node that did not answer, outlined while it was silent; below, strips with a scale of their own: \
         under-replicated partitions, offline partitions, ISR shrinks, greatest replica lag.",
    );
    svg.time_grid(axis, 4.0, bottom, true);
    for (lane, node) in silent.iter().take(LANES_MAX).enumerate() {
        silences(&mut svg, axis, metrics, node, 4.0 + LANE * lane as f64);
    }
    for (row, strip) in strips.iter().enumerate() {
        draw(&mut svg, axis, metrics.bucket_ms, strip, top + STRIP * row as f64);
    }
    let legend = format!(
        "<span class=\"key info\">under-replicated</span><span class=\"key fail\">offline</span><span class=\"key late\">ISR shrinks</span><span class=\"key lag\">lag</span> \
         the most in each {}, as the nodes told it; outlined: a node that did not answer; no line: nobody did",
        duration(metrics.bucket_ms)
    );
    let head = [
        "from",
        "under-replicated",
        "offline",
        "ISR shrinks",
        "greatest lag",
        "active controllers",
        "no answer from",
    ];
    let data = table("the same as a table", &head, &rows(metrics));
    format!(
        "<figure><figcaption><b>Metrics</b> {legend}</figcaption>{}{data}</figure>",
        svg.finish()
    )
}

fn silences(svg: &mut Svg, axis: &TimeAxis, metrics: &Metrics, node: &str, y: f64) {
    svg.text("label", LEFT - 8.0, y + 11.0, "end", node);
    for one in metrics.silences.iter().filter(|one| one.node == node) {
        let tooltip = format!(
            "{node} did not answer from {} to {}: {}",
            duration(one.from_ms),
            duration(one.to_ms),
            one.why
        );
        let (x1, x2) = (axis.x(one.from_ms), axis.x(one.to_ms));
        svg.rect("noleader", x1, y + 2.0, x2 - x1, LANE - 5.0, &tooltip);
    }
}

fn draw(svg: &mut Svg, axis: &TimeAxis, bucket_ms: u64, strip: &Strip<'_>, y: f64) {
    let most = strip.values.iter().flatten().copied().max();
    let ceiling = nice_ceiling(most.unwrap_or_default() as f64);
    let (top, bottom) = (y + 16.0, y + STRIP - 4.0);
    let height = |value: u64| bottom - (value as f64 / ceiling) * (bottom - top);
    let told = match most {
        Some(_) => strip.words.to_string(),
        None => format!("{}: not told", strip.words),
    };
    svg.text("label", LEFT + 3.0, y + 12.0, "start", &told);
    svg.text("tick", LEFT - 6.0, top + 6.0, "end", &grouped(ceiling as u64));
    svg.text("tick", LEFT - 6.0, bottom + 3.0, "end", "0");
    // A line where somebody told a number, and on it steps where that is more than zero.
    let mut points = Vec::new();
    let mut begun = None;
    for (at, value) in (0..).zip(strip.values.iter().copied().chain([None])) {
        let x = axis.x(at * bucket_ms);
        match (begun, value) {
            (None, Some(_)) => begun = Some(x),
            (Some(from), None) => {
                svg.line("grid", from, bottom, x, bottom);
                begun = None;
            }
            _ => {}
        }
        match value.filter(|value| *value > 0) {
            Some(value) => {
                for edge in [x, axis.x((at + 1) * bucket_ms)] {
                    points.push((edge, bottom, height(value)));
                }
            }
            None => svg.area(&format!("area {}", strip.class), &std::mem::take(&mut points)),
        }
    }
}

fn rows(metrics: &Metrics) -> Vec<Vec<String>> {
    let buckets = metrics.under_replicated.len();
    let per_row = buckets.div_ceil(ROWS_MAX).max(1);
    let rows = (0..buckets).step_by(per_row).map(|from| {
        let range = from..(from + per_row).min(buckets);
        let over = |values: &[Option<u64>], sum: bool| {
            let told = values.get(range.clone()).unwrap_or_default().iter().flatten().copied();
            let value = told.reduce(|a, b| if sum { a.saturating_add(b) } else { a.max(b) });
            value.map_or("–".to_string(), grouped)
        };
        let (from_ms, to_ms) =
            (range.start as u64 * metrics.bucket_ms, range.end as u64 * metrics.bucket_ms);
        let within = |one: &&Silence| one.from_ms < to_ms && one.to_ms > from_ms;
        let mut silent: Vec<&str> =
            metrics.silences.iter().filter(within).map(|one| one.node.as_str()).collect();
        silent.sort_unstable();
        silent.dedup();
        vec![
            format!("{:.1} s", from_ms as f64 / 1000.0),
            over(&metrics.under_replicated, false),
            over(&metrics.offline, false),
            over(&metrics.isr_shrinks, true),
            over(&metrics.lag_max, false),
            over(&metrics.active_controllers, false),
            silent.join(" "),
        ]
    });
    rows.collect()
}

/// When an alert would have fired, in words.
pub(crate) fn fired(alert: &Alert) -> String {
    const SHOWN: usize = 8;
    if let Some(why) = &alert.could_not {
        return format!("could not: {why}");
    }
    let spans: Vec<String> = alert
        .fired
        .iter()
        .take(SHOWN)
        .map(|(from, to)| format!("from {} to {}", duration(from), duration(to)))
        .collect();
    match (alert.fired.len(), alert.fired.len().saturating_sub(SHOWN)) {
        (0, _) => "never".to_string(),
        (_, 0) => spans.join("; "),
        (_, more) => format!("{}; and {more} more", spans.join("; ")),
    }
}
