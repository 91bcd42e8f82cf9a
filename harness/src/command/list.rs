//! `highwater list`: what there is, from the same registries that everything else uses.

use crate::cli::{ListArgs, ListWhat};
use crate::store::Store;
use anyhow::Result;
use node::defect::{Defect, Subsystem};
use plan::{DeedName, shipped};
use std::io::Write;
use std::process::ExitCode;

/// A name and what it is.
type Rows = Vec<(String, String)>;

pub fn list(args: &ListArgs) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let Some(what) = args.what else {
        writeln!(out, "plans, recipes, faults, roles, checks, defects, targets, workloads, runs")?;
        return Ok(ExitCode::SUCCESS);
    };
    let rows = match what {
        ListWhat::Plans => plans(),
        ListWhat::Recipes => {
            shipped::recipes().into_iter().map(|(name, about)| (name.to_string(), about)).collect()
        }
        ListWhat::Faults => {
            DeedName::ALL.iter().map(|deed| (deed.to_string(), deed.about().to_string())).collect()
        }
        ListWhat::Roles => plan::ROLES
            .iter()
            .map(|(name, _, about)| (name.to_string(), about.to_string()))
            .collect(),
        ListWhat::Checks => checks(),
        ListWhat::Defects => return defects(args.json, &mut out),
        ListWhat::Targets => plan::TargetKind::ALL
            .iter()
            .map(|kind| (kind.as_str().to_string(), kind.about().to_string()))
            .collect(),
        ListWhat::Workloads => plan::WorkloadName::ALL
            .iter()
            .map(|workload| (workload.as_str().to_string(), workload.about().to_string()))
            .collect(),
        ListWhat::Runs => runs(&Store::at(&args.store.out)),
    };
    if args.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, about)| serde_json::json!({ "name": name, "about": about }))
            .collect();
        serde_json::to_writer_pretty(&mut out, &rows)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).min(44);
    for (name, about) in rows {
        writeln!(out, "{name:width$}  {about}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The seeded defects, by the part of the broker that they are in.
fn defects(json: bool, out: &mut impl Write) -> Result<ExitCode> {
    if json {
        let row = |defect: &Defect| {
            serde_json::json!({
                "name": defect.name(),
                "about": defect.doc(),
                "subsystem": defect.subsystem().name(),
                "mirrors": defect.mirrors(),
                "plan": shipped::plan_for_defect(defect.name()).map(|plan| plan.name),
            })
        };
        serde_json::to_writer_pretty(
            &mut *out,
            &Defect::all().iter().map(row).collect::<Vec<_>>(),
        )?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = Defect::all().iter().map(|defect| defect.name().len()).max().unwrap_or(0);
    for subsystem in Subsystem::ALL {
        let mut heading = Some(subsystem.name());
        for defect in Defect::all().iter().filter(|defect| defect.subsystem() == subsystem) {
            if let Some(heading) = heading.take() {
                writeln!(out, "{heading}")?;
            }
            let mirrors = defect.mirrors().map(|mirrors| format!(" ({mirrors})"));
            let (name, about) = (defect.name(), defect.doc());
            writeln!(out, "  {name:width$}  {about}{}", mirrors.unwrap_or_default())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn plans() -> Rows {
    let about = |plan: &shipped::ShippedPlan| match plan::load(plan.name, plan.text, &[]) {
        Ok(loaded) => loaded.plan.about.replace('\n', " "),
        Err(error) => format!("does not load: {error}"),
    };
    shipped::PLANS.iter().map(|plan| (plan.name.to_string(), about(plan))).collect()
}

fn checks() -> Rows {
    use model::finding::Kind;
    // What never recovered is the liveness promise's to say.
    let is_looked_for = |kind: &Kind| *kind != Kind::NeverRecovered;
    Kind::all()
        .filter(is_looked_for)
        .map(|kind| (kind.as_str().to_string(), kind.about().to_string()))
        .collect()
}

fn runs(store: &Store) -> Rows {
    let about = |run: &crate::store::RunDir| match run
        .read_json::<model::verdict::Verdict>("verdict.json")
    {
        Ok(verdict) => format!("{}: {}", verdict.verdict.as_str(), verdict.because),
        Err(_) => "no verdict: it was interrupted, or still runs".to_string(),
    };
    store.runs().iter().map(|run| (run.path().display().to_string(), about(run))).collect()
}
