//! `highwater sim`: seeded schedules of the bundled broker in simulated time, by the thousand.
//!
//! The simulation itself does no IO and knows no thread; here it is given cores, and what it found is printed and kept.

use crate::cli::SimArgs;
use crate::exit::{Exit, Refused};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result};
use serde::Serialize;
use sim::run::{Outcome, run};
use sim::scenario::Scenario;
use sim::tally::{Failed, Tally};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Schedules where neither seeds nor a time were asked for.
const SCHEDULES: u64 = 1_000;
/// Runs that shrinking one failure may take.
const SHRINK_RUNS_MAX: u32 = 400;
/// How often a line of progress is printed.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// What `--json` prints.
#[derive(Serialize)]
struct Summary<'a> {
    schema: &'static str,
    defects: &'a [String],
    schedules: u64,
    simulated_s: f64,
    wall_s: f64,
    acknowledged: u64,
    failed: Vec<&'a Failed>,
    states: &'a BTreeMap<&'static str, u64>,
    unreached: Vec<&'static str>,
    trace_hash: String,
    /// Schedules of the first failures, shrunk; they replay with `--replay`.
    kept: Vec<PathBuf>,
}

pub fn sim(args: &SimArgs, quiet: bool) -> Result<ExitCode> {
    if let Some(defect) = &args.defect
        && node::defect::Defect::from_name(defect).is_none()
    {
        return Err(Refused::usage(format!(
            "there is no defect {defect}; `highwater list defects` shows them"
        ))
        .into());
    }
    // Failures of schedules are caught and told with their seeds; the hook's own words would only be noise.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(file) = &args.replay {
        return replay(file, args);
    }
    campaign(args, quiet)
}

fn campaign(args: &SimArgs, quiet: bool) -> Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let defects: Vec<String> = args.defect.iter().cloned().collect();
    let seeds = seeds(args);
    let deadline = args.duration.map(|duration| Instant::now() + duration);
    let began = Instant::now();
    let state = Campaign {
        next: AtomicU64::new(seeds.start),
        over: AtomicBool::new(false),
        tally: Mutex::new(Tally::default()),
    };
    let jobs = args.jobs.unwrap_or_else(cores).max(1);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !state.over.load(Ordering::Relaxed) {
                    let seed = state.next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let outcome = run(&sim::swarm::draw(seed, &defects), false);
                    let failed = outcome.failure.is_some();
                    state.tally.lock().expect("a tally").add(seed, &outcome);
                    let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
                    // A planted defect is found once; everything else is counted to the end.
                    if interrupt.is_set() || late || (failed && args.defect.is_some()) {
                        state.over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        if !quiet && !args.json {
            scope.spawn(|| state.report(began, seeds.end));
        }
    });
    let wall = began.elapsed();
    let tally = state.tally.into_inner().expect("a tally");
    let kept = if args.no_shrink { Vec::new() } else { keep(&tally, &defects, args, quiet)? };
    print(&tally, &defects, wall, kept, args)?;
    if interrupt.is_set() {
        return Ok(interrupt.exit().into());
    }
    Ok(if tally.failed.is_empty() { Exit::Held } else { Exit::Broken }.into())
}

struct Campaign {
    next: AtomicU64,
    over: AtomicBool,
    tally: Mutex<Tally>,
}

impl Campaign {
    fn report(&self, began: Instant, end: u64) {
        let mut told = Instant::now();
        while !self.over.load(Ordering::Relaxed) && self.next.load(Ordering::Relaxed) < end {
            std::thread::sleep(Duration::from_millis(100));
            if told.elapsed() >= PROGRESS_EVERY {
                told = Instant::now();
                let tally = self.tally.lock().expect("a tally");
                eprintln!(
                    "{:>6} s  {} schedules, {} simulated s, {} failed",
                    began.elapsed().as_secs(),
                    tally.schedules,
                    tally.simulated_ns / 1_000_000_000,
                    tally.failed.len()
                );
            }
        }
    }
}

fn seeds(args: &SimArgs) -> Range<u64> {
    match (args.seed, &args.seeds) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(seeds)) => seeds.0.clone(),
        (None, None) => {
            let first = super::plans::drawn_seed();
            let count = if args.duration.is_some() { u64::from(u32::MAX) } else { SCHEDULES };
            first..first + count
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Shrinks the first failure of each check and writes it down.
fn keep(tally: &Tally, defects: &[String], args: &SimArgs, quiet: bool) -> Result<Vec<PathBuf>> {
    let mut firsts: BTreeMap<&str, &Failed> = BTreeMap::new();
    for failed in tally.failed.values() {
        firsts.entry(&failed.check).or_insert(failed);
    }
    let mut kept = Vec::new();
    for failed in firsts.values() {
        let scenario = sim::swarm::draw(failed.seed, defects);
        let Some(failure) = run(&scenario, false).failure else {
            return Err(anyhow::anyhow!(
                "seed {} failed once and not again: the simulation is not deterministic, which is a bug in highwater",
                failed.seed
            ));
        };
        if !quiet {
            eprintln!("seed {} failed {}: shrinking", failed.seed, failed.check);
        }
        let shrunk = sim::shrink::shrink(&scenario, &failure, SHRINK_RUNS_MAX, |_, _| {});
        let outcome = run(&shrunk.scenario, true);
        let dir = args.store.out.join("sim").join(format!("{}-{}", failed.seed, failed.check));
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot make {}: is the disk full?", dir.display()))?;
        let schedule = dir.join("schedule.toml");
        let write = |path: &Path, text: &str| {
            std::fs::write(path, text)
                .with_context(|| format!("cannot write {}: is the disk full?", path.display()))
        };
        write(&schedule, &toml::to_string(&shrunk.scenario)?)?;
        write(&dir.join("story.txt"), &sim::story::tell(&outcome))?;
        kept.push(schedule);
    }
    Ok(kept)
}

fn print(
    tally: &Tally,
    defects: &[String],
    wall: Duration,
    kept: Vec<PathBuf>,
    args: &SimArgs,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let simulated_s = tally.simulated_ns as f64 / 1e9;
    let wall_s = wall.as_secs_f64();
    if args.json {
        let summary = Summary {
            schema: "highwater/sim/1",
            defects,
            schedules: tally.schedules,
            simulated_s,
            wall_s,
            acknowledged: tally.acknowledged,
            failed: tally.failed.values().collect(),
            states: &tally.states,
            unreached: tally.unreached(),
            trace_hash: format!("{:016x}", tally.trace_hash),
            kept,
        };
        serde_json::to_writer_pretty(&mut out, &summary)?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(
        out,
        "sim · {} schedules · {simulated_s:.0} simulated s in {wall_s:.1} s ({:.0} simulated s a second, {:.0} schedules a minute)",
        tally.schedules,
        simulated_s / wall_s.max(0.001),
        tally.schedules as f64 * 60.0 / wall_s.max(0.001),
    )?;
    writeln!(out, "  load     {} acknowledged sends", tally.acknowledged)?;
    writeln!(
        out,
        "  states   {} of {} reached",
        sim::coverage::STATES.len() - tally.unreached().len(),
        sim::coverage::STATES.len()
    )?;
    if args.states {
        for (state, about) in sim::coverage::STATES {
            let count = tally.states.get(state).copied().unwrap_or(0);
            writeln!(out, "           {count:>10}  {state}  ({about})")?;
        }
    } else if !tally.unreached().is_empty() {
        writeln!(out, "           never: {}", tally.unreached().join(", "))?;
    }
    writeln!(out, "  trace    {:016x}", tally.trace_hash)?;
    for failed in tally.failed.values().take(20) {
        writeln!(
            out,
            "  seed {} failed {} at {:.3} s: {}",
            failed.seed, failed.check, failed.at_s, failed.message
        )?;
    }
    if tally.failed.is_empty() {
        writeln!(out, "HELD  No schedule failed.")?;
    } else {
        writeln!(out, "BROKEN  {} of {} schedules failed.", tally.failed.len(), tally.schedules)?;
    }
    for schedule in kept {
        writeln!(out, "replay   highwater sim --replay {}", schedule.display())?;
    }
    Ok(())
}

/// Runs one schedule from its file and tells its story.
fn replay(file: &Path, args: &SimArgs) -> Result<ExitCode> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Refused::usage(format!("cannot read {}: {error}", file.display())))?;
    let scenario: Scenario = toml::from_str(&text)
        .map_err(|error| Refused::usage(format!("{} is no schedule: {error}", file.display())))?;
    scenario.check().map_err(|error| Refused::usage(format!("{}: {error}", file.display())))?;
    let began = Instant::now();
    let outcome: Outcome = run(&scenario, true);
    if args.json {
        let mut tally = Tally::default();
        tally.add(scenario.seed, &outcome);
        print(&tally, &scenario.defects, began.elapsed(), Vec::new(), args)?;
    } else {
        let mut out = std::io::stdout().lock();
        write!(out, "{}", sim::story::tell(&outcome))?;
        writeln!(out, "trace    {:016x}", outcome.trace_hash)?;
        match &outcome.failure {
            Some(failure) => writeln!(out, "BROKEN  {}", failure.check)?,
            None => writeln!(out, "HELD  This schedule does not fail.")?,
        }
    }
    Ok(if outcome.failure.is_some() { Exit::Broken } else { Exit::Held }.into())
}
