//! `highwater check`: the same checks, measures and judge over what is stored.

use crate::analysis::{self, Recorded};
use crate::cli::CheckArgs;
use crate::exit::Exit;
use crate::measure::Measure;
use crate::run_record::RunRecord;
use crate::store::RunDir;
use anyhow::{Context, Result};
use checker::Checker;
use model::fault::FaultRecord;
use model::finding::CheckVerdict;
use model::history::codec::{Decoder, Ending};
use model::history::{Event, Time};
use reports::facts::Facts;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

pub fn check(args: &CheckArgs) -> Result<ExitCode> {
    let mut exit = Exit::Held;
    let mut answers = Vec::new();
    for path in &args.runs {
        let (text, json, this) = match path.is_dir() {
            true => run_directory(path)?,
            false => bare_history(path)?,
        };
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

fn run_directory(path: &Path) -> Result<(String, serde_json::Value, Exit)> {
    let run = RunDir::open(path)?;
    let facts = facts_of(&run)?;
    let exit = Exit::of(facts.verdict.verdict);
    Ok((reports::text::run(&facts), serde_json::to_value(&facts.verdict)?, exit))
}

/// Everything that a report says, from the stored records of a run alone.
pub fn facts_of(run: &RunDir) -> Result<Facts> {
    let mut record: RunRecord = run.read_json("run.json")?;
    let mut checker = Checker::new(checker::Options::default());
    let mut measure = Measure::new(record.deadline_ms);
    let history = run.file("history.hwh");
    record.cut = if history.exists() {
        read_history(&history, |time, event| {
            measure.feed(&time, &event);
            checker.feed(&time, &event);
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
    Ok(analysis::analyse(Recorded { record, checker, measure, faults, observations }))
}

/// A history without its run: checks only, nobody knows what was promised.
fn bare_history(path: &Path) -> Result<(String, serde_json::Value, Exit)> {
    let mut checker = Checker::new(checker::Options::default());
    let cut = read_history(path, |time, event| checker.feed(&time, &event))?;
    if let Some(because) = &cut {
        checker.history_was_cut(because);
    }
    let report = checker.finish();
    let any = |verdict: CheckVerdict| report.checks.iter().any(|check| check.verdict == verdict);
    let (word, exit) =
        match (any(CheckVerdict::Invalid), any(CheckVerdict::Unknown) || cut.is_some()) {
            (true, _) => (CheckVerdict::Invalid, Exit::Broken),
            (false, true) => (CheckVerdict::Unknown, Exit::Unknown),
            (false, false) => (CheckVerdict::Valid, Exit::Held),
        };
    let verdict = serde_json::to_value(word)?;
    let word = verdict.as_str().unwrap_or_default().to_uppercase();
    let mut text = format!("{word}  {}\n", path.display());
    if let Some(because) = &cut {
        text.push_str(&format!("  {because}\n"));
    }
    for check in report.checks.iter().filter(|check| check.verdict != CheckVerdict::Valid) {
        text.push_str(&format!(
            "  {:<20} {} {}\n",
            check.name,
            check.count,
            check.because.as_deref().unwrap_or_default()
        ));
        for finding in check.findings.iter().take(5) {
            text.push_str(&format!("    {}\n", finding.because));
        }
    }
    let json = serde_json::json!({ "file": path, "verdict": verdict, "checks": report.checks });
    Ok((text, json, exit))
}

/// Hands on every event; answers why the history proves less than a whole one, where it does.
fn read_history(path: &Path, mut take: impl FnMut(Time, Event)) -> Result<Option<String>> {
    let mut file =
        File::open(path).with_context(|| format!("cannot read the history {}", path.display()))?;
    let mut decoder = Decoder::new();
    let mut buffer = vec![0; 1 << 20];
    let mut events = 0u64;
    let wrong = || format!("{} is not a history of highwater", path.display());
    loop {
        let count =
            file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if count == 0 {
            break;
        }
        decoder.feed(&buffer[..count]);
        while let Some((time, event)) = decoder.next().with_context(wrong)? {
            events += 1;
            take(time, event);
        }
    }
    Ok(match decoder.finish().with_context(wrong)? {
        Ending::Whole if events == 0 => Some(format!("{} holds nothing", path.display())),
        Ending::Whole => None,
        other => Some(format!("{} was cut off: {other:?}", path.display())),
    })
}
