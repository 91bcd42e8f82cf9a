//! After the verdict: log excerpts, files, and what is kept of the nodes.

use crate::store::RunDir;
use crate::target::local::Local;
use anyhow::Result;
use model::verdict::Word;
use reports::facts::{Excerpt, Facts};
use std::collections::BTreeMap;
use std::fs;

/// Faults whose surroundings are shown, lines of each, characters of a line: the page stays small.
const EXCERPTS_MAX: usize = 24;
const LINES_MAX: usize = 30;
const LINE_CHARACTERS_MAX: usize = 300;
/// How far around a fault the logs are shown.
const AROUND_MS: i64 = 2_000;

/// The settings that each node was started with.
pub fn broker_settings(cluster: &Local) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for name in cluster.names() {
        let Some(dir) = cluster.node_dir(name) else { continue };
        let text = fs::read_to_string(dir.join("server.properties")).unwrap_or_default();
        let pairs = text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once('='));
        all.insert(name.to_string(), pairs.map(|(k, v)| (k.to_string(), v.to_string())).collect());
    }
    all
}

/// Lines of the nodes' logs around each fault, on the nodes that it hit.
pub fn excerpts(run: &RunDir, facts: &Facts) -> Vec<Excerpt> {
    let mut excerpts = Vec::new();
    for fault in &facts.verdict.faults {
        let Some(at_ms) = fault.asked_ms else { continue };
        for node in &fault.nodes {
            if excerpts.len() == EXCERPTS_MAX {
                return excerpts;
            }
            let text = fs::read(run.node_dir(node).join("broker.log")).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let center = facts.info.started_wall_ms + at_ms as i64;
            let lines = around(&text, center);
            if !lines.is_empty() {
                let around = format!("fault {}: {}", fault.id, fault.name);
                excerpts.push(Excerpt { node: node.clone(), at_ms, around, lines });
            }
        }
    }
    excerpts
}

/// The lines of a log whose time is near `center`; lines without a time go with the one before them.
fn around(text: &str, center_wall_ms: i64) -> Vec<String> {
    let (from, to) = (stamp(center_wall_ms - AROUND_MS), stamp(center_wall_ms + AROUND_MS));
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        // `2026-11-21T07:34:00.123Z …` sorts as text.
        if line.len() >= from.len() && line.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            inside = line.get(..from.len()).is_some_and(|time| *time >= *from && *time <= *to);
        }
        if inside && lines.len() < LINES_MAX {
            lines.push(line.chars().take(LINE_CHARACTERS_MAX).collect());
        }
    }
    lines
}

fn stamp(wall_ms: i64) -> String {
    let date = reports::words::date(wall_ms);
    let (day, time) = (date.get(..10).unwrap_or_default(), date.get(11..19).unwrap_or_default());
    format!("{day}T{time}.{:03}Z", wall_ms.rem_euclid(1000))
}

/// Whether the nodes' data is worth its weight: somebody asked for it, or will want to know what went wrong.
pub fn keeps_data(facts: &Facts, keep_data: bool) -> bool {
    keep_data || facts.verdict.verdict == Word::Broken
}

/// Writes verdict and reports, and drops what need not be kept.
pub fn save(run: &RunDir, facts: &mut Facts, keep_data: bool) -> Result<()> {
    if !keeps_data(facts, keep_data) {
        for node in facts.brokers.keys() {
            // Data without a finding is only weight. What can't be deleted stays: no reason to lose a verdict.
            let _ = fs::remove_dir_all(run.node_dir(node).join("data"));
        }
    }
    crate::render::write_all(run, facts)
}
