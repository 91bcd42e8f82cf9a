//! `highwater sim`: seeded schedules of the bundled broker in simulated time, by the thousand.
//!
//! The simulation itself does no IO and knows no thread; here it is given cores, and what it found is printed and kept.

use crate::cli::SimArgs;
use crate::exit::{Exit, Refused};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result};
use plan::{Plan, TargetKind};
use serde::Serialize;
use sim::run::{Outcome, run, run_plan};
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
    /// The first failure of each check.
    kept: Vec<Kept>,
}

/// A failure that was written down.
#[derive(Serialize)]
struct Kept {
    seed: u64,
    check: String,
    story: PathBuf,
    /// The command that repeats it, byte for byte.
    replay: String,
}

pub fn sim(args: &SimArgs, quiet: bool) -> Result<ExitCode> {
    args.defect.iter().try_for_each(|defect| super::run::known_defect(defect))?;
    let subject = subject(args)?;
    // Failures of schedules are caught and told with their seeds; the hook's own words would only be noise.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(file) = &args.replay {
        return replay(file, args);
    }
    campaign(&subject, args, quiet)
}

/// What a seed is drawn for.
enum Subject {
    /// A schedule of its own.
    Swarm { defects: Vec<String>, insiders: bool },
    /// A plan's schedule of faults.
    Plan { plan: Box<Plan>, name: String, insiders: bool },
}

impl Subject {
    fn run(&self, seed: u64, story: bool) -> Outcome {
        match self {
            Subject::Swarm { defects, insiders } => run(&drawn(seed, defects, *insiders), story),
            Subject::Plan { plan, insiders, .. } => run_plan(plan, seed, *insiders, story),
        }
    }

    fn defects(&self) -> &[String] {
        match self {
            Subject::Swarm { defects, .. } => defects,
            Subject::Plan { plan, .. } => &plan.target.defects,
        }
    }
}

fn drawn(seed: u64, defects: &[String], insiders: bool) -> Scenario {
    Scenario { insiders, ..sim::swarm::draw(seed, defects) }
}

fn subject(args: &SimArgs) -> Result<Subject> {
    let insiders = !args.clients_only;
    let Some(name) = &args.plan else {
        let defects = args.defect.iter().cloned().collect();
        return Ok(Subject::Swarm { defects, insiders });
    };
    let mut plan = super::plans::load(name, &super::plans::overrides(&args.set)?)?.loaded.plan;
    if !plan.matrix.is_empty() {
        return Err(Refused::usage(format!(
            "{name} has a [matrix]: it is for `highwater compare {name}`"
        ))
        .into());
    }
    if plan.target.kind != TargetKind::Bundled {
        return Err(Refused::usage(format!(
            "the simulation runs the bundled broker, and {name} is about another target"
        ))
        .into());
    }
    if let Some(why) = sim::planned::refusal(&plan) {
        return Err(Refused::usage(why).into());
    }
    plan.target.defects.extend(args.defect.iter().cloned());
    Ok(Subject::Plan { plan: Box::new(plan), name: name.clone(), insiders })
}

fn campaign(subject: &Subject, args: &SimArgs, quiet: bool) -> Result<ExitCode> {
    let interrupt = Interrupt::install()?;
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
                    let outcome = subject.run(seed, false);
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
    let kept = if args.no_shrink { Vec::new() } else { keep(&tally, subject, args, quiet)? };
    print(&tally, subject.defects(), wall, kept, args)?;
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

/// Shrinks the first failure of each check, writes it and its story down, and says how it is replayed.
fn keep(tally: &Tally, subject: &Subject, args: &SimArgs, quiet: bool) -> Result<Vec<Kept>> {
    let mut firsts: BTreeMap<&str, &Failed> = BTreeMap::new();
    for failed in tally.failed.values() {
        firsts.entry(&failed.check).or_insert(failed);
    }
    firsts.values().map(|failed| keep_one(failed, subject, args, quiet)).collect()
}

fn keep_one(failed: &Failed, subject: &Subject, args: &SimArgs, quiet: bool) -> Result<Kept> {
    let Failed { seed, check, .. } = failed;
    let Some(failure) = subject.run(*seed, false).failure else {
        anyhow::bail!(
            "seed {seed} failed once and not again: the simulation is not deterministic, which is a bug in highwater"
        );
    };
    let dir = args.store.out.join("sim").join(format!("{seed}-{check}"));
    std::fs::create_dir_all(&dir)
        .with_context(|| format!("cannot make {}: is the disk full?", dir.display()))?;
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text)
            .with_context(|| format!("cannot write {}: is the disk full?", path.display()))
    };
    let (outcome, replay) = match subject {
        // A plan's schedule is the nemesis' own; the plan and the seed are what repeats it.
        Subject::Plan { name, .. } => {
            let defect = args.defect.iter().map(|defect| format!(" --defect {defect}"));
            let set = args.set.iter().map(|set| format!(" --set {set}"));
            let clients_only = args.clients_only.then(|| " --clients-only".to_owned());
            let more: String = defect.chain(set).chain(clients_only).collect();
            (subject.run(*seed, true), format!("highwater sim {name} --seed {seed}{more}"))
        }
        Subject::Swarm { defects, insiders } => {
            if !quiet {
                eprintln!("seed {seed} failed {check}: shrinking it");
            }
            let scenario = drawn(*seed, defects, *insiders);
            let shrunk = sim::shrink::shrink(&scenario, &failure, SHRINK_RUNS_MAX, |_, _| {});
            write("schedule.toml", &toml::to_string(&shrunk.scenario)?)?;
            let schedule = dir.join("schedule.toml");
            let replay = format!("highwater sim --replay {}", schedule.display());
            (run(&shrunk.scenario, true), replay)
        }
    };
    write("story.txt", &sim::story::tell(&outcome))?;
    Ok(Kept { seed: *seed, check: check.clone(), story: dir.join("story.txt"), replay })
}

fn print(
    tally: &Tally,
    defects: &[String],
    wall: Duration,
    kept: Vec<Kept>,
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
    } else if tally.schedules >= SCHEDULES && !tally.unreached().is_empty() {
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
    for kept in kept {
        writeln!(out, "story    {}", kept.story.display())?;
        writeln!(out, "replay   {}", kept.replay)?;
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
