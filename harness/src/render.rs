//! Writes every rendering of a run into its directory.

use crate::run_record::{RunRecord, State};
use crate::store::RunDir;
use anyhow::Result;
use model::finding::Finding;
use reports::facts::Facts;

/// Findings that get a file of their own.
const ANOMALY_FILES_MAX: usize = 20;

/// `verdict.json` first: a rendering that fails costs no verdict.
pub fn write_all(run: &RunDir, facts: &mut Facts) -> Result<()> {
    run.write_json("verdict.json", &facts.verdict)?;
    for check in &facts.verdict.checks {
        for (number, finding) in check.findings.iter().take(ANOMALY_FILES_MAX).enumerate() {
            let finding: &Finding = finding;
            run.write_json(&format!("anomalies/{}/{}.json", check.name, number + 1), finding)?;
        }
    }
    facts.files = files(run, facts);
    run.write_json("facts.json", facts)?;
    run.write("report.html", reports::html::render(facts).as_bytes())?;
    run.write("junit.xml", reports::junit::render(facts).as_bytes())?;
    run.write("summary.md", reports::markdown::render(facts).as_bytes())?;
    if let Ok(mut record) = run.read_json::<RunRecord>("run.json") {
        record.state = State::Judged;
        run.write_json("run.json", &record)?;
    }
    Ok(())
}

fn files(run: &RunDir, facts: &Facts) -> Vec<(String, String)> {
    let known = [
        ("verdict.json", "checks, promises, counts, faults"),
        ("summary.md", "for a pull request or a chat"),
        ("junit.xml", "for CI"),
        ("plan.toml", "the plan as it was given"),
        ("plan.resolved.toml", "with every default written out"),
        ("history.hwh", "every operation of every client"),
        ("faults.jsonl", "every change of every fault"),
        ("cluster.jsonl", "leaders, ISRs, the quorum, over time"),
        ("run.json", "what the run was"),
        ("facts.json", "what this page was made from"),
    ];
    let mut files: Vec<(String, String)> = known
        .iter()
        .filter(|(name, _)| run.file(name).exists() || !name.ends_with(".hwh"))
        .map(|(n, w)| (n.to_string(), w.to_string()))
        .collect();
    for node in facts.brokers.keys() {
        files.push((format!("nodes/{node}/broker.log"), format!("the log of {node}")));
    }
    files
}
