//! `highwater compare`: the same load under several settings and recipes, in one page.

use super::plans;
use crate::cli::CompareArgs;
use crate::exit::{Exit, Refused};
use crate::interrupt::Interrupt;
use crate::recorder::wall_ms;
use crate::run_record;
use crate::runner::{self, Finished, Request};
use crate::store::{RunDir, Store};
use crate::target::world;
use anyhow::Result;
use model::finding::Kind;
use model::verdict::Word;
use plan::shipped;
use reports::facts::{Cell, Comparison, RunInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ExitCode;

pub fn compare(args: CompareArgs, quiet: bool) -> Result<ExitCode> {
    let name = args.plan.clone().unwrap_or_else(|| shipped::DEFAULT_COMPARISON.to_string());
    let mut overrides = plans::overrides(&args.set)?;
    overrides.extend(plans::target(&args.target));
    let found = plans::load(&name, &overrides)?;
    let (whole, cells) = (&found.loaded.plan, &found.loaded.cells);
    if cells.is_empty() {
        return Err(Refused::usage(format!(
            "{name} has no [matrix] to compare over; `highwater run {name}` runs it once, `highwater list plans` shows the others"
        ))
        .into());
    }
    let seed = args.seed.unwrap_or_else(plans::drawn_seed);
    let mut again = vec!["highwater".to_string(), "compare".to_string(), name.clone()];
    again.extend(plans::target_words(&args.target));
    again.extend(args.set.iter().map(|set| format!("--set '{set}'")));
    again.push(format!("--seed {seed}"));
    let again = again.join(" ");
    if args.dry_run {
        for cell in cells {
            writeln!(
                std::io::stdout(),
                "{}  (at most {} s)",
                cell.label(),
                cell.plan.duration_ms_max() / 1000
            )?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Without root, leaving the machine's network is possible only before there is a second thread.
    let mut left = BTreeSet::new();
    for cell in cells {
        if left.insert(cell.plan.needs()) {
            world::own(&cell.plan)?;
        }
    }
    let interrupt = Interrupt::install()?;
    let started_wall_ms = wall_ms();
    let comparison_dir =
        Store::at(&args.store.out).create_run(&whole.name, seed, started_wall_ms)?;
    comparison_dir.write("plan.toml", found.text.as_bytes())?;
    let store = Store::at(comparison_dir.file("cells")).with_undo_of(&Store::at(&args.store.out));
    let mut done = Vec::new();
    let mut exit = Exit::Held;
    for (number, cell) in cells.iter().enumerate() {
        if interrupt.is_set() {
            done.push(not_run(cell, "interrupted before its turn"));
            exit = exit.worst(interrupt.exit());
            continue;
        }
        if !quiet && args.progress != crate::cli::ProgressMode::None {
            eprintln!("{} of {}: {}", number + 1, cells.len(), cell.label());
        }
        let mut plan = cell.plan.clone();
        plan.name = directory_name(cell);
        let request = |world| Request {
            plan: &plan,
            text: &found.text,
            seed,
            store: &store,
            progress: args.progress,
            quiet,
            keep_data: false,
            again: again.clone(),
            interrupt: &interrupt,
            world,
        };
        match world::own(&plan).and_then(|world| runner::run(request(world))) {
            Ok(finished) => {
                exit = exit.worst(finished.exit);
                done.push(told(cell, &finished, &comparison_dir));
            }
            Err(error) => {
                let why = error
                    .downcast_ref::<Refused>()
                    .map_or(Exit::CouldNotRun, |refused| refused.exit);
                exit = exit.worst(why);
                eprintln!("{}: {error:#}", cell.label());
                done.push(not_run(cell, &format!("{error:#}")));
            }
        }
    }
    let ordered_by = "median latency of acknowledged sends, averaged over the recipes".to_string();
    let comparison = Comparison {
        info: RunInfo {
            plan: whole.name.clone(),
            target: whole.target.title(whole.target.kind.as_str()),
            settings: String::new(),
            seed,
            started_wall_ms,
            duration_ms: (wall_ms() - started_wall_ms).max(0) as u64,
            again: again.clone(),
            next: None,
            directory: comparison_dir.path().display().to_string(),
            versions: run_record::versions(),
            machine: run_record::machine(),
            workload: whole.workload.name.as_str().to_string(),
            profile: format!(
                "timeouts: {} profile, deadline {} ms",
                whole.target.profile.as_str(),
                whole.time.deadline.0
            ),
            interrupted: interrupt.is_set(),
        },
        cheapest: cheapest(&done),
        cells: done,
        ordered_by,
    };
    comparison_dir.write_json("comparison.json", &comparison)?;
    comparison_dir.write("report.html", reports::compare::render(&comparison).as_bytes())?;
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &comparison)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", reports::text::comparison(&comparison))?;
    }
    Ok(exit.into())
}

/// A name for the cell's directory: its label in characters that every file system takes.
fn directory_name(cell: &plan::Cell) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || "-.=".contains(c) { c } else { '_' };
    cell.label().chars().map(clean).collect()
}

fn recipe_of(cell: &plan::Cell) -> String {
    cell.settings
        .iter()
        .find(|(axis, _)| axis == "recipe")
        .map(|(_, value)| value.clone())
        .unwrap_or_else(|| "faults".to_string())
}

fn not_run(cell: &plan::Cell, reason: &str) -> Cell {
    Cell {
        settings: cell.settings.clone(),
        recipe: recipe_of(cell),
        verdict: None,
        reason: Some(reason.to_string()),
        report: None,
        covered: false,
        lost: 0,
        duplicates: 0,
        throughput_per_s: 0.0,
    }
}

fn told(cell: &plan::Cell, finished: &Finished, comparison: &RunDir) -> Cell {
    let verdict = &finished.facts.verdict;
    let page = finished.run.file("report.html");
    let report = page.strip_prefix(comparison.path()).unwrap_or(&page).display().to_string();
    let durability = verdict.promises.iter().find(|promise| promise.name == "durability");
    let load_ms = verdict.duration_ms.max(1);
    let phases = &finished.facts.series.phases;
    let ended = phases
        .iter()
        .find(|(phase, _)| *phase == model::history::Phase::Heal)
        .map_or(load_ms, |(_, at)| *at);
    let began = phases.first().map_or(0, |(_, at)| *at);
    let acknowledged = verdict.counts.ok + verdict.counts.unacknowledged;
    Cell {
        settings: cell.settings.clone(),
        recipe: recipe_of(cell),
        covered: durability.is_some_and(|promise| promise.verdict != Word::NotPromised),
        lost: reports::html::count(verdict, Kind::LostWrite),
        duplicates: reports::html::count(verdict, Kind::Duplicate),
        throughput_per_s: acknowledged as f64 * 1000.0
            / (ended.saturating_sub(began)).max(1) as f64,
        verdict: Some(verdict.clone()),
        reason: None,
        report: Some(report),
    }
}

/// Of the settings whose promise covered every recipe and held in every cell, the one with the lowest latency.
fn cheapest(cells: &[Cell]) -> Option<String> {
    let mut by_settings: BTreeMap<String, Vec<&Cell>> = BTreeMap::new();
    for cell in cells {
        let words: Vec<String> = cell
            .settings
            .iter()
            .filter(|(axis, _)| axis != "recipe")
            .map(|(axis, value)| format!("{axis}={value}"))
            .collect();
        by_settings.entry(words.join(" ")).or_default().push(cell);
    }
    let qualifies = |cells: &[&Cell]| {
        cells.iter().all(|c| {
            c.covered && c.lost == 0 && c.verdict.as_ref().is_some_and(|v| v.verdict == Word::Held)
        })
    };
    let latency = |cells: &[&Cell]| {
        let medians =
            cells.iter().filter_map(|c| c.verdict.as_ref()).map(|v| v.availability.latency_p50_ms);
        medians.sum::<f64>() / cells.len().max(1) as f64
    };
    let best = by_settings
        .iter()
        .filter(|(_, cells)| qualifies(cells))
        .min_by(|(_, a), (_, b)| latency(a).total_cmp(&latency(b)))?;
    let (settings, of_it) = best;
    let records: u64 = of_it.iter().filter_map(|c| c.verdict.as_ref()).map(|v| v.counts.ok).sum();
    Some(format!(
        "{settings} is the cheapest setting that lost nothing: its promise covered every recipe and held, over {} acknowledged records",
        reports::words::grouped(records)
    ))
}
