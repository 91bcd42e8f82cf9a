//! `highwater check`: the same checks, measures and judge over what is stored, and the checks alone over any history.

use crate::analysis::{self, Recorded};
use crate::cli::{CheckArgs, CleanupChoice, ViaChoice};
use crate::exit::Exit;
use crate::history_file::{self, Form};
use crate::measure::Measure;
use crate::metrics;
use crate::run_record::RunRecord;
use crate::spill::FileSpill;
use crate::store::{REPLICAS, RunDir};
use anyhow::Result;
use checker::Checker;
use checker::operations::{Cleanup, OperationChecker, Via, number_of};
use model::fault::FaultRecord;
use model::finding::{Check, CheckVerdict, Finding};
use model::history::RecordId;
use reports::facts::Facts;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of each kind; `--json` has them all.
const FINDINGS_SHOWN: usize = 5;

pub fn check(args: &CheckArgs) -> Result<ExitCode> {
    let mut exit = Exit::Held;
    let mut answers = Vec::new();
    for checked in side_by_side(args) {
        let Checked { text, json, exit: this } = checked?;
        exit = exit.worst(this);
        if args.json {
            answers.push(json);
        } else {
            write!(std::io::stdout(), "{text}")?;
        }
    }
    if args.json {
        let mut out = std::io::stdout().lock();
        match answers.as_slice() {
            [one] => serde_json::to_writer_pretty(&mut out, one)?,
            many => serde_json::to_writer_pretty(&mut out, many)?,
        }
        writeln!(out)?;
    }
    Ok(exit.into())
}

/// What came of one file.
struct Checked {
    text: String,
    json: serde_json::Value,
    exit: Exit,
}

/// Every file's answer, in the order in which they were named.
fn side_by_side(args: &CheckArgs) -> Vec<Result<Checked>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = args.jobs.unwrap_or(cores).clamp(1, args.runs.len().max(1));
    let next = AtomicUsize::new(0);
    let answers: Mutex<Vec<Option<Result<Checked>>>> =
        Mutex::new(args.runs.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = args.runs.get(at) else { break };
                    let answer = one(path, args);
                    answers.lock().expect("no holder of this lock panics")[at] = Some(answer);
                }
            });
        }
    });
    let answers = answers.into_inner().expect("no holder of this lock panics");
    answers.into_iter().map(|answer| answer.expect("each file was checked")).collect()
}

fn one(path: &Path, args: &CheckArgs) -> Result<Checked> {
    if path.is_dir() {
        return run_directory(path);
    }
    let form = Form::of(path)?;
    if history_file::holds_operations(path, form)? {
        return history_of_operations(path, form, args);
    }
    bare_history(path, form)
}

fn run_directory(path: &Path) -> Result<Checked> {
    let run = RunDir::open(path)?;
    let facts = facts_of(&run)?;
    let exit = Exit::of(facts.verdict.verdict);
    let mut json = serde_json::to_value(&facts.verdict)?;
    tell_findings(&mut json["checks"], &facts.verdict.checks, log_name, record_name)?;
    Ok(Checked { text: reports::text::run(&facts), json, exit })
}

/// Everything that a report says, from the stored records of a run alone.
pub fn facts_of(run: &RunDir) -> Result<Facts> {
    let mut record: RunRecord = run.read_json("run.json")?;
    let mut checker = checker_over(run.path(), analysis::checker_options(record.settle_ms));
    let mut measure = Measure::new(record.deadline_ms);
    let history = run.file("history.hwh");
    record.cut = if history.exists() {
        history_file::events(&history, Form::Own, |time, event| {
            measure.feed(&time, &event);
            checker.feed(&time, &event);
            Ok(())
        })?
    } else {
        Some("there is no history: the run ended before its load began".to_string())
    };
    // One line for each change: the last one of each fault is how it ended.
    let changes: Vec<FaultRecord> = run.read_json_lines("faults.jsonl")?;
    let faults: BTreeMap<u32, FaultRecord> =
        changes.into_iter().map(|fault| (fault.id, fault)).collect();
    let observations = run.read_json_lines("cluster.jsonl")?;
    if record.interrupted.is_none() && record.state == crate::run_record::State::Running {
        record.interrupted = Some("the harness ended before the run did".to_string());
    }
    let faults = faults.into_values().collect();
    let compared = run.file(REPLICAS).exists();
    let replicas = compared.then(|| run.read_json(REPLICAS)).transpose()?;
    let metrics = metrics::series::of(run);
    Ok(analysis::analyse(Recorded {
        record,
        checker,
        measure,
        faults,
        observations,
        replicas,
        metrics,
    }))
}

/// A history without its run: checks only, nobody knows what was promised.
fn bare_history(path: &Path, form: Form) -> Result<Checked> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut checker = checker_over(directory, checker::Options::default());
    let cut = history_file::events(path, form, |time, event| {
        checker.feed(&time, &event);
        Ok(())
    })?;
    if let Some(because) = &cut {
        checker.history_was_cut(because);
    }
    checked(path, &checker.finish().checks, cut.as_deref(), log_name, record_name)
}

fn log_name(finding: &Finding) -> serde_json::Value {
    json!(format!("{}-{}", finding.topic, finding.log.partition))
}

fn record_name(id: &RecordId) -> serde_json::Value {
    json!(format!("{}:{}", id.session.0, id.sequence))
}

/// A checker whose memory is bounded by a file in this directory.
fn checker_over(directory: &Path, options: checker::Options) -> Checker {
    // The parent of a bare file name is the empty path.
    let here = directory.as_os_str().is_empty();
    let directory = if here { Path::new(".") } else { directory };
    Checker::with_spill(options, Box::new(FileSpill::new(directory)))
}

/// A history of Jepsen's Kafka workload: the same checks by the same names, and some beyond.
fn history_of_operations(path: &Path, form: Form, args: &CheckArgs) -> Result<Checked> {
    let mut checker = OperationChecker::new(checker::operations::Options {
        via: match args.via {
            ViaChoice::Assign => Via::Assign,
            ViaChoice::Subscribe => Via::Subscribe,
        },
        ww_deps: !args.no_ww_deps,
        cleanup: args.cleanup.map(|cleanup| match cleanup {
            CleanupChoice::Delete => Cleanup::Delete,
            CleanupChoice::Compact => Cleanup::Compact,
        }),
        ..checker::operations::Options::default()
    });
    let (cut, names) = history_file::operations(path, form, |operation, _| {
        checker.feed(operation);
        Ok(())
    })?;
    if let Some(because) = &cut {
        checker.history_was_cut(because);
    }
    let report = checker.finish(&names);
    let key = |finding: &Finding| match number_of(finding.log) {
        Some(number) => json!(number),
        None => json!(finding.topic),
    };
    let value = |id: &RecordId| json!(id.sequence);
    checked(path, &report.checks, cut.as_deref(), key, value)
}

/// The answer about a history whose checks are these.
fn checked(
    path: &Path,
    checks: &[Check],
    cut: Option<&str>,
    key: impl Fn(&Finding) -> serde_json::Value,
    value: impl Fn(&RecordId) -> serde_json::Value,
) -> Result<Checked> {
    let any = |verdict: CheckVerdict| checks.iter().any(|check| check.verdict == verdict);
    let (word, exit) =
        match (any(CheckVerdict::Invalid), any(CheckVerdict::Unknown) || cut.is_some()) {
            (true, _) => (CheckVerdict::Invalid, Exit::Broken),
            (false, true) => (CheckVerdict::Unknown, Exit::Unknown),
            (false, false) => (CheckVerdict::Valid, Exit::Held),
        };
    let verdict = serde_json::to_value(word)?;
    let word = verdict.as_str().unwrap_or_default().to_uppercase();
    let mut text = format!("{word}  {}\n", path.display());
    text.extend(cut.map(|because| format!("  {because}\n")));
    // What is allowed is told as well, with the word that it is.
    for check in
        checks.iter().filter(|check| check.verdict != CheckVerdict::Valid || check.count > 0)
    {
        let because = check.because.as_deref().unwrap_or_default();
        text.push_str(&format!("  {:<20} {} {because}\n", check.name, check.count));
        let shown = if check.verdict == CheckVerdict::Valid { 1 } else { FINDINGS_SHOWN };
        for finding in check.findings.iter().take(shown) {
            text.push_str(&format!("    {}\n", finding.because.replace('\n', "\n    ")));
        }
    }
    let mut told = serde_json::to_value(checks)?;
    tell_findings(&mut told, checks, key, value)?;
    let json = json!({ "file": path, "verdict": verdict, "cut": cut, "checks": told });
    Ok(Checked { text, json, exit })
}

/// Adds to each finding what it says in the words of any history: its key, offset, values and operations.
fn tell_findings(
    told: &mut serde_json::Value,
    checks: &[Check],
    key: impl Fn(&Finding) -> serde_json::Value,
    value: impl Fn(&RecordId) -> serde_json::Value,
) -> Result<()> {
    for (told, check) in told.as_array_mut().into_iter().flatten().zip(checks) {
        let findings = told.get_mut("findings").and_then(|all| all.as_array_mut());
        for (told, finding) in findings.into_iter().flatten().zip(&check.findings) {
            told["key"] = key(finding);
            told["offset"] = json!(finding.first_offset);
            told["values"] = finding.ids.iter().map(&value).collect();
            told["ops"] = serde_json::to_value(&finding.evidence)?;
        }
    }
    Ok(())
}
