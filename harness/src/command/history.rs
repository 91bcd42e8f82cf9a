//! `highwater history convert`: the same history in another form.
//!
//! Promises: what the other form can hold is in it, and what it cannot is counted and told; a file that is there already is
//! never written over; what was written of a conversion that failed is taken away again.

use crate::cli::HistoryCommand;
use crate::exit::{Exit, Refused};
use crate::history_file::{self, Form};
use anyhow::{Context, Result};
use model::history::codec::Encoder;
use model::history::operations::{self, ToOperations};
use model::history::{Event, Time, carried, edn, json};
use model::operation::{Names, Operation};
use std::collections::BTreeMap;
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
    let mut events = Events { form: target, encoder: Encoder::new(), bytes: Vec::new() };
    let cut = match (source, target) {
        (_, Form::Edn) if history_file::holds_operations(from, source)? => {
            let mut lines = EdnLines::new(out);
            let (cut, _) = history_file::operations(from, source, |operation, names| {
                lines.write(operation, names);
                lines.failure()
            })?;
            cut
        }
        (_, Form::Edn) => return as_operations(from, source, EdnLines::new(out)),
        (Form::Edn, _) => {
            let (cut, _) = history_file::operations(from, source, |operation, names| {
                let (time, event) = carried::event_of(operation, names)
                    .context("an operation is too long for any form but EDN")?;
                events.write(&time, &event, out)
            })?;
            cut
        }
        _ => history_file::events(from, source, |time, event| events.write(&time, &event, out))?,
    };
    events.finish(out)?;
    Ok(cut)
}

/// Writes events of ours as operations, and tells what has no place in any.
fn as_operations(from: &Path, source: Form, mut lines: EdnLines) -> Result<Option<String>> {
    let (mut converter, names) = (ToOperations::new(), Names::default());
    let mut left_out: BTreeMap<&str, u64> = BTreeMap::new();
    let cut = history_file::events(from, source, |time, event| {
        operations::left_out(&event, |what| *left_out.entry(what).or_default() += 1);
        converter.feed(&time, &event, |operation| lines.write(operation, &names));
        lines.failure()
    })?;
    converter.finish(|operation| lines.write(operation, &names));
    lines.failure()?;
    if !left_out.is_empty() {
        let all: Vec<String> =
            left_out.iter().map(|(what, count)| format!("{count} × {what}")).collect();
        eprintln!("highwater: left out, for EDN has no words for it: {}", all.join(", "));
    }
    Ok(cut)
}

/// Writes events in our own form, or as JSON Lines.
struct Events {
    form: Form,
    encoder: Encoder,
    bytes: Vec<u8>,
}

impl Events {
    fn write(&mut self, time: &Time, event: &Event, out: &mut BufWriter<File>) -> Result<()> {
        if self.form == Form::JsonLines {
            return Ok(writeln!(out, "{}", json::to_line(time, event))?);
        }
        self.encoder.append(time, event, &mut self.bytes);
        out.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }

    fn finish(&mut self, out: &mut BufWriter<File>) -> Result<()> {
        if self.form == Form::Own {
            self.encoder.flush_block(&mut self.bytes);
            out.write_all(&self.bytes)?;
        }
        Ok(())
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
