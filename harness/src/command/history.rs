//! `highwater history convert`: the same history in another form.
//!
//! Promises: what the other form can hold is in it; a file that is there already is never written over; what was written of
//! a conversion that failed is taken away again.

use crate::cli::HistoryCommand;
use crate::exit::{Exit, Refused};
use crate::history_file::{self, Form};
use anyhow::{Context, Result};
use model::history::codec::Encoder;
use model::history::edn;
use model::history::json;
use model::history::operations::ToOperations;
use model::operation::{Names, Operation};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

pub fn history(command: &HistoryCommand) -> Result<ExitCode> {
    let HistoryCommand::Convert { from, to } = command;
    let source = Form::of(from)?;
    let Some(target) = Form::of_name(to) else {
        let known = "its name must end in .hwh, .jsonl or .edn";
        return Err(refused(format!("cannot tell what {} is to be: {known}", to.display())));
    };
    if source == Form::Edn && target != Form::Edn {
        let message = "a history in EDN can be written as EDN only: our own form has no word for some of its operations";
        return Err(refused(message.to_owned()));
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(to)
        .with_context(|| format!("cannot make {}", to.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let written = convert(from, source, target, &mut out)
        .and_then(|cut| out.flush().map(|()| cut).with_context(|| cannot_write(to)));
    match written {
        Ok(cut) => {
            if let Some(because) = cut {
                eprintln!("highwater: {because}; what came before is in {}", to.display());
            }
            Ok(Exit::Held.into())
        }
        Err(error) => {
            let _ = std::fs::remove_file(to);
            Err(error)
        }
    }
}

fn refused(message: String) -> anyhow::Error {
    Refused::usage(message).into()
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// Answers why the source is less than a whole history, where it is.
fn convert(
    from: &Path,
    source: Form,
    target: Form,
    out: &mut BufWriter<File>,
) -> Result<Option<String>> {
    if source == Form::Edn {
        let mut lines = EdnLines::new(out);
        let (cut, _) = history_file::operations(from, |operation, names| {
            lines.write(operation, names);
            lines.failure()
        })?;
        return Ok(cut);
    }
    match target {
        Form::Own => {
            let (mut encoder, mut bytes) = (Encoder::new(), Vec::new());
            let cut = history_file::events(from, source, |time, event| {
                encoder.append(&time, &event, &mut bytes);
                out.write_all(&bytes)?;
                bytes.clear();
                Ok(())
            })?;
            encoder.flush_block(&mut bytes);
            out.write_all(&bytes)?;
            Ok(cut)
        }
        Form::JsonLines => history_file::events(from, source, |time, event| {
            Ok(writeln!(out, "{}", json::to_line(&time, &event))?)
        }),
        Form::Edn => {
            let (mut lines, names) = (EdnLines::new(out), Names::default());
            let mut converter = ToOperations::new();
            let cut = history_file::events(from, source, |time, event| {
                converter.feed(&time, &event, |operation| lines.write(operation, &names));
                lines.failure()
            })?;
            converter.finish(|operation| lines.write(operation, &names));
            lines.failure()?;
            Ok(cut)
        }
    }
}

/// Writes operations as lines, for callers that cannot fail: the first failure waits until it is asked for.
struct EdnLines<'a> {
    out: &'a mut BufWriter<File>,
    text: String,
    failed: std::io::Result<()>,
}

impl EdnLines<'_> {
    fn new(out: &mut BufWriter<File>) -> EdnLines<'_> {
        EdnLines { out, text: String::new(), failed: Ok(()) }
    }

    fn write(&mut self, operation: &Operation, names: &Names) {
        self.text.clear();
        edn::write_line(&mut self.text, operation, names);
        if self.failed.is_ok() {
            self.failed = writeln!(self.out, "{}", self.text);
        }
    }

    fn failure(&mut self) -> Result<()> {
        Ok(std::mem::replace(&mut self.failed, Ok(()))?)
    }
}
