//! `highwater run`.

use super::plans;
use crate::cli::RunArgs;
use crate::exit::Refused;
use crate::interrupt::Interrupt;
use crate::runner::{self, Request};
use crate::store::Store;
use crate::target::world;
use anyhow::Result;
use node::defect::Defect;
use plan::{Schedule, TargetKind, shipped};
use std::io::Write;
use std::process::ExitCode;

pub fn run(args: RunArgs, quiet: bool) -> Result<ExitCode> {
    let mut overrides = plans::overrides(&args.set)?;
    overrides.extend(plans::target(&args.target));
    if let Some(time) = &args.time {
        overrides.push(("time.run".to_string(), time.clone()));
    }
    let name = match (&args.plan, &args.defect) {
        (Some(plan), _) => plan.clone(),
        (None, Some(defect)) => {
            let plan = plan_of_defect(defect)?;
            if shipped::plan_for_defect(defect).is_none() && !quiet {
                eprintln!(
                    "note: no shipped plan is made to provoke {defect}: this is {plan} with it"
                );
            }
            plan.to_string()
        }
        (None, None) => shipped::DEFAULT_PLAN.to_string(),
    };
    let found = plans::load(&name, &overrides)?;
    let mut plan = found.loaded.plan;
    if !plan.matrix.is_empty() {
        return Err(Refused::usage(format!(
            "{name} has a [matrix]: it is for `highwater compare {name}`"
        ))
        .into());
    }
    if let Some(defect) = &args.defect {
        known_defect(defect)?;
        if plan.target.kind != TargetKind::Bundled {
            let message = "--defect plants a defect in the bundled broker: the target is another";
            return Err(Refused::usage(message.to_string()).into());
        }
        if !plan.target.defects.contains(defect) {
            plan.target.defects.push(defect.clone());
        }
    } else if args.plan.is_some()
        && shipped::plan(&name).is_some_and(|p| p.defect.is_some())
        && !quiet
    {
        eprintln!("note: {name} without --defect runs its recipe on a broker that is not wrong");
    }
    plan.target.defects.iter().try_for_each(|name| known_defect(name))?;
    let seed = args.seed.unwrap_or_else(plans::drawn_seed);
    if args.dry_run {
        let mut out = std::io::stdout().lock();
        write!(
            out,
            "{}\n# the fault schedule of seed {seed}\n{}",
            plan.to_toml(),
            commented(&Schedule::new(&plan, seed))
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let store = Store::at(&args.store.out);
    // Before there is a second thread.
    let world = world::own(&plan)?;
    let interrupt = Interrupt::install()?;
    let finished = runner::run(Request {
        plan: &plan,
        text: &found.text,
        seed,
        store: &store,
        progress: args.progress,
        quiet,
        keep_data: args.keep_data,
        again: again(&args, &name, seed),
        interrupt: &interrupt,
        world,
    })?;
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &finished.facts.verdict)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", reports::text::run(&finished.facts))?;
    }
    tracing::debug!("run directory {}", finished.run.path().display());
    Ok(finished.exit.into())
}

/// The schedule as comments of the resolved plan, so that the output is itself a plan.
fn commented(schedule: &Schedule) -> String {
    schedule.to_string().lines().map(|line| format!("# {line}\n")).collect()
}

pub(super) fn known_defect(name: &str) -> Result<()> {
    if Defect::all().iter().any(|defect| defect.name() == name) {
        return Ok(());
    }
    let known: Vec<&str> = Defect::all().iter().map(|defect| defect.name()).collect();
    Err(Refused::usage(format!("there is no defect {name}; there are {}", known.join(", "))).into())
}

/// The plan that is made to provoke the defect, else the default one: it may be caught there or not.
fn plan_of_defect(defect: &str) -> Result<&'static str> {
    known_defect(defect)?;
    Ok(shipped::plan_for_defect(defect).map_or(shipped::DEFAULT_PLAN, |plan| plan.name))
}

/// The command that repeats the schedule.
fn again(args: &RunArgs, name: &str, seed: u64) -> String {
    let mut words = vec!["highwater".to_string(), "run".to_string()];
    if args.plan.is_some() {
        words.push(name.to_string());
    }
    if let Some(defect) = &args.defect {
        words.push(format!("--defect {defect}"));
    }
    words.extend(plans::target_words(&args.target));
    words.extend(args.set.iter().map(|set| format!("--set '{set}'")));
    words.extend(args.time.iter().map(|time| format!("--time {time}")));
    words.push(format!("--seed {seed}"));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::plan_of_defect;
    use node::defect::Defect;
    use plan::shipped;

    #[test]
    fn every_defect_has_a_plan_to_run_with() {
        for defect in Defect::all() {
            let name = plan_of_defect(defect.name()).expect("a known defect");
            let own = shipped::plan(name).expect("it is shipped").defect;
            assert!(own == Some(defect.name()) || name == shipped::DEFAULT_PLAN, "{name}");
        }
        assert_eq!(plan_of_defect("ack-before-isr").expect("known"), "defect-ack-before-isr");
        assert_eq!(plan_of_defect("unsynced-vote").expect("known"), shipped::DEFAULT_PLAN);
        assert!(plan_of_defect("rot").is_err());
    }
}
