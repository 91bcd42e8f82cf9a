//! What happened when: one time axis with faults, leaders and ISR, rates, latency, and what was not read yet.

use crate::chart::{LEFT, RIGHT, Svg, TimeAxis, WIDTH, nice_ceiling, table};
use crate::facts::{Facts, Series};
use crate::metrics;
use crate::words::{duration, grouped, role};
use model::cluster::{Observation, PartitionState};
use model::fault::FaultRecord;
use model::history::Phase;
use std::collections::BTreeMap;

/// Partitions that get a lane of their own; what is above is said in the page.
const LANES_MAX: usize = 32;
/// The width of a letter of a label, about, and the room on either side of it.
const LABEL_LETTER: f64 = 5.5;
const LABEL_GAP: f64 = 3.0;
/// Rows of a data table.
const ROWS_MAX: usize = 200;

/// All charts, as HTML.
pub fn charts(facts: &Facts) -> String {
    let observed_ms = facts.observations.iter().filter_map(at_ms).max().unwrap_or(0);
    let series_ms = facts.series.offered.len() as u64 * facts.series.bucket_ms;
    let phases_ms = facts.series.phases.iter().map(|(_, at)| *at).max().unwrap_or(0);
    let end_ms = observed_ms.max(series_ms).max(phases_ms).max(1000);
    let axis = TimeAxis { end_ms };
    [
        faults(&axis, facts),
        leaders(&axis, facts),
        rates(&axis, &facts.series),
        latency(&axis, &facts.series, facts.verdict.availability.deadline_ms),
        unread(&axis, &facts.series),
        metrics::chart(&axis, facts),
    ]
    .concat()
}

fn at_ms(observation: &Observation) -> Option<u64> {
    Some(match observation {
        Observation::Partition(state) => state.at_ms,
        Observation::Quorum { at_ms, .. }
        | Observation::Brokers { at_ms, .. }
        | Observation::Node { at_ms, .. }
        | Observation::Blind { at_ms, .. } => *at_ms,
    })
}

fn figure(heading: &str, legend: &str, svg: Svg, data: String) -> String {
    let svg = svg.finish();
    format!("<figure><figcaption><b>{heading}</b> {legend}</figcaption>{svg}{data}</figure>")
}

fn phase_marks(
    svg: &mut Svg,
    axis: &TimeAxis,
    series: &Series,
    top: f64,
    bottom: f64,
    labelled: bool,
) {
    // Where the label before ends.
    let mut taken = LEFT;
    for (index, (phase, at)) in series.phases.iter().enumerate() {
        let x = axis.x(*at);
        svg.line("phase", x, top, x, bottom);
        let name = match phase {
            Phase::Baseline => "baseline",
            Phase::Faults => "faults",
            Phase::Heal => "heal",
            Phase::FinalReads => "final reads",
            Phase::Settle | Phase::Done => "",
        };
        if !labelled || name.is_empty() {
            continue;
        }
        let width = LABEL_LETTER * name.len() as f64 + 2.0 * LABEL_GAP;
        let next = series.phases.get(index + 1).map_or(WIDTH, |(_, next)| axis.x(*next));
        // To the right of its line, or where the next line is too near, to the left; where there is no room, its line is all.
        if next - x >= width {
            svg.text("tick", x + LABEL_GAP, top + 9.0, "start", name);
            taken = x + width;
        } else if x - taken >= width {
            svg.text("tick", x - LABEL_GAP, top + 9.0, "end", name);
            taken = x;
        }
    }
}

fn faults(axis: &TimeAxis, facts: &Facts) -> String {
    let mut nodes: Vec<String> = facts.brokers.keys().cloned().collect();
    nodes.extend(facts.verdict.faults.iter().flat_map(|f| f.nodes.iter().cloned()));
    nodes.sort();
    nodes.dedup();
    let (top, row) = (16.0, 22.0);
    let bottom = top + row * nodes.len().max(1) as f64;
    let mut svg = Svg::new(
        "faults",
        bottom + 20.0,
        "Faults over time",
        "One lane for each node; a band from the moment a fault was asked for to the moment it was seen to be over, marked where it was confirmed.",
    );
    svg.time_grid(axis, top, bottom, true);
    phase_marks(&mut svg, axis, &facts.series, 4.0, bottom, true);
    for (lane, node) in nodes.iter().enumerate() {
        let y = top + row * lane as f64;
        svg.text("label", LEFT - 8.0, y + 15.0, "end", node);
        svg.line("grid", LEFT, y + row, WIDTH - RIGHT, y + row);
        for fault in facts.verdict.faults.iter().filter(|f| f.nodes.contains(node)) {
            let end = fault.cleared_ms.or(fault.healed_ms).unwrap_or(axis.end_ms);
            for leg in fault.legs.iter().filter(|leg| leg.nodes.contains(node)) {
                let within = (leg.asked_ms, leg.cleared_ms.unwrap_or(end));
                fault_band(&mut svg, axis, fault, within, y + 3.0, row - 6.0);
            }
            if let (Some(asked), []) = (fault.asked_ms, fault.legs.as_slice()) {
                fault_band(&mut svg, axis, fault, (asked, end), y + 3.0, row - 6.0);
            }
        }
    }
    let rows: Vec<Vec<String>> = facts.verdict.faults.iter().map(fault_row).collect();
    let head = [
        "#",
        "fault",
        "role",
        "partition",
        "nodes",
        "asked",
        "confirmed",
        "cleared",
        "state",
        "evidence",
    ];
    let legend = "<span class=\"key kill\">process ended</span><span class=\"key stall\">process held back</span><span class=\"key wipe\">disk</span><span class=\"key cut\">network</span><span class=\"key other\">other</span> a band runs from asked to cleared, the mark is the confirmation";
    figure("Faults", legend, svg, table(&format!("{} faults as a table", rows.len()), &head, &rows))
}

fn fault_band(
    svg: &mut Svg,
    axis: &TimeAxis,
    fault: &FaultRecord,
    (asked, end): (u64, u64),
    y: f64,
    height: f64,
) {
    let (x1, x2) = (axis.x(asked), axis.x(end));
    let on = role(&fault.role);
    let tooltip = format!(
        "{} {on} {} at {}, for {}",
        fault.name,
        fault.nodes.join(" "),
        duration(asked),
        duration(end - asked.min(end))
    );
    svg.rect(&format!("fault {}", class_of(&fault.name)), x1, y, x2 - x1, height, &tooltip);
    if let Some(confirmed) = fault.confirmed_ms.filter(|at| (asked..=end).contains(at)) {
        let x = axis.x(confirmed);
        svg.line("mark", x, y - 2.0, x, y + height + 2.0);
    }
    svg.text("inband", x1 + 2.0, y + height - 5.0, "start", &fault.name);
}

/// What a fault is about, as the legend has it. Its name is all that a record says of that.
fn class_of(name: &str) -> &str {
    match name {
        "kill" | "terminate" | "upgrade" | "crash-loop" => "kill",
        "stall" | "stutter" | "cpu-limit" | "memory-limit" => "stall",
        "wipe" | "power-loss" | "torn-write" | "bit-flip" | "truncate-tail" | "old-snapshot"
        | "io-error" | "fsync-error" | "log-dir-offline" | "slow" | "full" => "wipe",
        "cut" | "isolate" | "flap" | "split" | "delay" | "rate" | "reset" | "half-open"
        | "slice" | "limit-bytes" | "loss" | "lose-response" | "delay-api" | "fail-api"
        | "stale-metadata" | "connection-storm" => "cut",
        _ => "other",
    }
}

fn fault_row(fault: &FaultRecord) -> Vec<String> {
    let time =
        |ms: Option<u64>| ms.map(|ms| format!("{:.2} s", ms as f64 / 1000.0)).unwrap_or("–".into());
    let state = serde_json::to_value(fault.state)
        .ok()
        .and_then(|v| v.as_str().map(String::from))
        .unwrap_or_default();
    vec![
        fault.id.to_string(),
        fault.name.clone(),
        role(&fault.role),
        fault.partition.clone().unwrap_or_default(),
        fault.nodes.join(" "),
        time(fault.asked_ms),
        time(fault.confirmed_ms),
        time(fault.cleared_ms),
        state,
        fault.evidence.join("; "),
    ]
}

/// One lane for each partition: who leads, and how many replicas are in sync.
fn leaders(axis: &TimeAxis, facts: &Facts) -> String {
    let mut lanes: BTreeMap<(String, u32), Vec<&PartitionState>> = BTreeMap::new();
    for observation in &facts.observations {
        if let Observation::Partition(state) = observation {
            lanes.entry((state.topic.clone(), state.partition)).or_default().push(state);
        }
    }
    let shown = lanes.len().min(LANES_MAX);
    let (top, row) = (4.0, 15.0);
    let bottom = top + row * shown.max(1) as f64;
    let mut svg = Svg::new(
        "leaders",
        bottom + 20.0,
        "Leaders and in-sync replicas over time",
        "One lane for each partition, coloured by its leader; the lane is full height where all replicas are in sync and lower where the ISR shrank; hatched where there was no leader.",
    );
    svg.time_grid(axis, top, bottom, true);
    let mut rows = Vec::new();
    for (lane, ((_, partition), states)) in lanes.iter().take(LANES_MAX).enumerate() {
        let y = top + row * lane as f64;
        svg.text("label", LEFT - 8.0, y + 11.0, "end", &format!("p{partition}"));
        for (index, state) in states.iter().enumerate() {
            let until = states.get(index + 1).map_or(axis.end_ms, |next| next.at_ms);
            let full = state.isr.len() as f64 / state.replicas.len().max(1) as f64;
            let height = (row - 3.0) * full.clamp(0.15, 1.0);
            let class = if state.leader < 0 {
                "noleader".to_string()
            } else {
                format!("node n{}", (state.leader - 1).rem_euclid(6))
            };
            let tooltip = format!(
                "p{partition} from {:.2} s: leader {}, epoch {}, ISR {:?} of {:?}",
                state.at_ms as f64 / 1000.0,
                state.leader,
                state.leader_epoch,
                state.isr,
                state.replicas
            );
            let (x1, x2) = (axis.x(state.at_ms), axis.x(until));
            svg.rect(&class, x1, y + (row - 3.0) - height, x2 - x1, height, &tooltip);
        }
    }
    for state in lanes.values().flatten().take(ROWS_MAX) {
        rows.push(vec![
            format!("{:.2} s", state.at_ms as f64 / 1000.0),
            format!("{}-{}", state.topic, state.partition),
            state.leader.to_string(),
            state.leader_epoch.to_string(),
            format!("{:?}", state.isr),
            format!("{:?}", state.elr),
        ]);
    }
    let total: usize = lanes.values().map(Vec::len).sum();
    let caption = format!("{} of {} changes as a table", rows.len(), grouped(total as u64));
    let more = if lanes.len() > shown {
        format!(" Showing {shown} of {} partitions.", lanes.len())
    } else {
        String::new()
    };
    let legend = format!(
        "coloured by leader, <span class=\"key n0\">1</span><span class=\"key n1\">2</span><span class=\"key n2\">3</span>; lower where the ISR shrank.{more}"
    );
    figure(
        "Leaders and ISR",
        &legend,
        svg,
        table(&caption, &["at", "partition", "leader", "epoch", "ISR", "ELR"], &rows),
    )
}

fn rates(axis: &TimeAxis, series: &Series) -> String {
    let per_second = |count: u32| f64::from(count) * 1000.0 / series.bucket_ms.max(1) as f64;
    let ceiling =
        nice_ceiling(series.offered.iter().map(|&count| per_second(count)).fold(0.0, f64::max));
    let (top, bottom) = (6.0, 150.0);
    let y = |value: f64| bottom - (value / ceiling) * (bottom - top);
    let mut svg = Svg::new(
        "rates",
        bottom + 20.0,
        "Sends by outcome over time",
        "Sends per second by their intended time, stacked: acknowledged in time, acknowledged late, indeterminate, failed.",
    );
    svg.time_grid(axis, top, bottom, true);
    for share in [0.0, 0.5, 1.0] {
        svg.line("grid", LEFT, y(ceiling * share), WIDTH - RIGHT, y(ceiling * share));
        svg.text(
            "tick",
            LEFT - 6.0,
            y(ceiling * share) + 4.0,
            "end",
            &format!("{}/s", grouped((ceiling * share) as u64)),
        );
    }
    let stack: [(&str, &Vec<u32>); 5] = [
        ("ok", &series.ok),
        ("ok", &series.unacknowledged),
        ("late", &series.late),
        ("info", &series.info),
        ("fail", &series.fail),
    ];
    let mut below = vec![0.0; series.offered.len()];
    for (class, values) in stack {
        let mut points = Vec::with_capacity(values.len());
        for (index, &value) in values.iter().enumerate() {
            let above = below[index] + per_second(value);
            points.push((axis.x(index as u64 * series.bucket_ms), y(below[index]), y(above)));
            below[index] = above;
        }
        if values.iter().any(|&value| value > 0) {
            svg.area(&format!("area {class}"), &points);
        }
    }
    let rows = series_rows(series, |range| {
        let sum = |values: &[u32]| {
            grouped(values[range.clone()].iter().map(|&v| u64::from(v)).sum::<u64>())
        };
        vec![
            sum(&series.offered),
            sum(&series.ok),
            sum(&series.late),
            sum(&series.info),
            sum(&series.fail),
            sum(&series.unacknowledged),
        ]
    });
    let legend = "<span class=\"key ok\">ok</span><span class=\"key late\">late</span><span class=\"key info\">indeterminate</span><span class=\"key fail\">failed</span> by the time at which each send was intended";
    figure(
        "Sends",
        legend,
        svg,
        table(
            "the same as a table",
            &["from", "offered", "ok", "late", "indeterminate", "failed", "unacknowledged"],
            &rows,
        ),
    )
}

/// Rows over whole chunks of buckets, so that a table stays readable.
fn series_rows(
    series: &Series,
    cells: impl Fn(std::ops::Range<usize>) -> Vec<String>,
) -> Vec<Vec<String>> {
    let buckets = series.offered.len();
    let per_row =
        buckets.div_ceil(ROWS_MAX).max(((1000 / series.bucket_ms.max(1)) as usize).max(1));
    (0..buckets)
        .step_by(per_row)
        .map(|from| {
            let mut row = vec![format!("{:.1} s", from as f64 * series.bucket_ms as f64 / 1000.0)];
            row.extend(cells(from..(from + per_row).min(buckets)));
            row
        })
        .collect()
}

/// Logarithmic from 1 ms: what matters are orders of magnitude.
fn latency(axis: &TimeAxis, series: &Series, deadline_ms: u64) -> String {
    let highest = series.latency_max_ms.iter().flatten().fold(f32::from(10u8), |a, &b| a.max(b));
    let decades = f64::from(highest).log10().ceil().max(1.0);
    let (top, bottom) = (6.0, 130.0);
    let y = |ms: f64| bottom - (ms.max(1.0).log10() / decades).clamp(0.0, 1.0) * (bottom - top);
    let mut svg = Svg::new(
        "latency",
        bottom + 20.0,
        "Latency over time",
        "Latency of acknowledged sends from their intended time, on a logarithmic scale: median, 99th percentile and maximum.",
    );
    svg.time_grid(axis, top, bottom, true);
    for decade in 0..=decades as u32 {
        let ms = 10f64.powi(decade as i32);
        svg.line("grid", LEFT, y(ms), WIDTH - RIGHT, y(ms));
        svg.text("tick", LEFT - 6.0, y(ms) + 4.0, "end", &duration(ms as u64));
    }
    svg.line("deadline", LEFT, y(deadline_ms as f64), WIDTH - RIGHT, y(deadline_ms as f64));
    let curves = [
        ("line max", &series.latency_max_ms),
        ("line p99", &series.latency_p99_ms),
        ("line p50", &series.latency_p50_ms),
    ];
    for (class, values) in curves {
        svg.path(
            class,
            values
                .iter()
                .enumerate()
                .map(|(at, v)| (axis.x(at as u64 * series.bucket_ms), v.map(|v| y(f64::from(v))))),
        );
    }
    let rows = series_rows(series, |range| {
        let worst = |values: &[Option<f32>]| {
            values[range.clone()]
                .iter()
                .flatten()
                .copied()
                .reduce(f32::max)
                .map_or("–".into(), |v| format!("{v:.1} ms"))
        };
        vec![
            worst(&series.latency_p50_ms),
            worst(&series.latency_p99_ms),
            worst(&series.latency_max_ms),
        ]
    });
    let legend = "<span class=\"key p50\">median</span><span class=\"key p99\">99 %</span><span class=\"key max\">max</span> from the intended time; the dashed line is the deadline";
    figure(
        "Latency",
        legend,
        svg,
        table(
            "the same as a table (the worst bucket of each row)",
            &["from", "median", "99 %", "max"],
            &rows,
        ),
    )
}

fn unread(axis: &TimeAxis, series: &Series) -> String {
    let ceiling = nice_ceiling(series.unread.iter().copied().max().unwrap_or(0) as f64);
    let (top, bottom) = (6.0, 70.0);
    let y = |value: f64| bottom - (value / ceiling) * (bottom - top);
    let mut svg = Svg::new(
        "unread",
        bottom + 20.0,
        "Acknowledged records not read yet",
        "Records acknowledged and not yet handed to the first live reader.",
    );
    svg.time_grid(axis, top, bottom, true);
    svg.line("grid", LEFT, y(ceiling), WIDTH - RIGHT, y(ceiling));
    svg.text("tick", LEFT - 6.0, y(ceiling) + 4.0, "end", &grouped(ceiling as u64));
    svg.text("tick", LEFT - 6.0, bottom + 4.0, "end", "0");
    let points: Vec<_> = series
        .unread
        .iter()
        .enumerate()
        .map(|(at, &v)| (axis.x(at as u64 * series.bucket_ms), bottom, y(v as f64)))
        .collect();
    svg.area("area lag", &points);
    let rows = series_rows(series, |range| {
        vec![grouped(series.unread[range].iter().copied().max().unwrap_or(0))]
    });
    figure(
        "Not read yet",
        "acknowledged records that the first live reader had not seen",
        svg,
        table("the same as a table", &["from", "records"], &rows),
    )
}
