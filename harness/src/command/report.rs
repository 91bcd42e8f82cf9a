//! `highwater report`: renders a stored run again.

use super::check::facts_of;
use crate::cli::{ReportArgs, ReportFormat};
use crate::store::RunDir;
use anyhow::Result;
use reports::facts::Facts;
use std::io::Write;
use std::process::ExitCode;

pub fn report(args: &ReportArgs) -> Result<ExitCode> {
    let run = RunDir::open(&args.run)?;
    // Facts that were saved are rendered as they are; a run that never got there is judged from its records.
    let mut facts: Facts = match run.read_json("facts.json") {
        Ok(facts) => facts,
        Err(_) => facts_of(&run)?,
    };
    let mut out = std::io::stdout().lock();
    match args.format {
        None => {
            crate::render::write_all(&run, &mut facts)?;
            writeln!(out, "{}", run.file("report.html").display())?;
        }
        Some(ReportFormat::Html) => write!(out, "{}", reports::html::render(&facts))?,
        Some(ReportFormat::Json) => {
            serde_json::to_writer_pretty(&mut out, &facts.verdict)?;
            writeln!(out)?;
        }
        Some(ReportFormat::Junit) => write!(out, "{}", reports::junit::render(&facts))?,
        Some(ReportFormat::Markdown) => write!(out, "{}", reports::markdown::render(&facts))?,
        Some(ReportFormat::Text) => write!(out, "{}", reports::text::run(&facts))?,
    }
    Ok(ExitCode::SUCCESS)
}
