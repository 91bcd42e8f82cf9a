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
use model::operation::Names;
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
    let mut text = String::new();
    if source == Form::Edn {
        let (cut, _) = history_file::operations(from, |operation, names| {
            text.clear();
            edn::write_line(&mut text, operation, names);
            Ok(writeln!(out, "{text}")?)
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
            let names = Names::default();
            let mut converter = ToOperations::new();
            let mut failed = Ok(());
            let cut = history_file::events(from, source, |time, event| {
                converter.feed(&time, &event, |operation| {
                    text.clear();
                    edn::write_line(&mut text, operation, &names);
                    if failed.is_ok() {
                        failed = writeln!(out, "{text}");
                    }
                });
                Ok(std::mem::replace(&mut failed, Ok(()))?)
            })?;
            converter.finish(|operation| {
                text.clear();
                edn::write_line(&mut text, operation, &names);
                if failed.is_ok() {
                    failed = writeln!(out, "{text}");
                }
            });
            failed?;
            Ok(cut)
        }
    }
}
