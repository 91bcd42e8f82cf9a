//! Histories in files, whatever they are written in: our own format, JSON Lines, Jepsen's EDN.
//!
//! Promises: what a file is, is told by its name, or by its first bytes where the name says nothing; a file that was cut
//! gives everything before the cut, and says so; an error names the file and the place. Not here: checking.

use anyhow::{Context, Result, bail};
use model::history::carried::Carried;
use model::history::codec::{Decoder, Ending};
use model::history::edn;
use model::history::{Event, Time, json};
use model::operation::{Names, Operation};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

const PIECE_BYTES: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `history.hwh`
    Own,
    /// One event a line.
    JsonLines,
    /// Operations of Jepsen's Kafka workload.
    Edn,
}

impl Form {
    /// By the name's ending.
    pub fn of_name(path: &Path) -> Option<Form> {
        match path.extension()?.to_str()? {
            "hwh" => Some(Form::Own),
            "jsonl" | "ndjson" | "json" => Some(Form::JsonLines),
            "edn" => Some(Form::Edn),
            _ => None,
        }
    }

    /// By its name, or by its first bytes.
    pub fn of(path: &Path) -> Result<Form> {
        if let Some(form) = Form::of_name(path) {
            return Ok(form);
        }
        let mut first = [0; 512];
        let count = open(path)?.read(&mut first).with_context(|| cannot_read(path))?;
        let first = &first[..count];
        let text = first.trim_ascii_start();
        let after = text.get(1..).unwrap_or_default().trim_ascii_start();
        Ok(match text.first() {
            Some(b'{') if after.starts_with(b"\"") => Form::JsonLines,
            Some(b'{' | b'[' | b'(' | b';' | b'#') => Form::Edn,
            _ => Form::Own,
        })
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot read the history {}", path.display()))
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

/// Hands on every event of a file in our own format or in JSON Lines; answers why the history proves less than a whole one,
/// where it does.
pub fn events(
    path: &Path,
    form: Form,
    take: impl FnMut(Time, Event) -> Result<()>,
) -> Result<Option<String>> {
    match form {
        Form::Own => own(path, take),
        Form::JsonLines => json_lines(path, take),
        Form::Edn => bail!("{} holds operations, and no events", path.display()),
    }
}

/// Whether a file holds operations, as EDN does and our own forms may.
pub fn holds_operations(path: &Path, form: Form) -> Result<bool> {
    let mut first = None;
    match form {
        Form::Edn => return Ok(true),
        Form::Own => {
            let mut decoder = Decoder::new();
            pieces(path, |piece| {
                decoder.feed(piece);
                // What is wrong with it will be told by whoever reads it.
                first = decoder.next().unwrap_or_default();
                Ok(first.is_none())
            })?;
        }
        Form::JsonLines => {
            let lines = BufReader::new(open(path)?).lines().map_while(Result::ok);
            let line = lines.map(|line| line.trim().to_owned()).find(|line| !line.is_empty());
            first = line.and_then(|line| json::from_line(&line).ok());
        }
    }
    Ok(matches!(first, Some((_, Event::Operation { .. }))))
}

/// Hands on a file's bytes, piece by piece, as long as more are wanted.
fn pieces(path: &Path, mut take: impl FnMut(&[u8]) -> Result<bool>) -> Result<()> {
    let mut file = open(path)?;
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let count = file.read(&mut buffer).with_context(|| cannot_read(path))?;
        if count == 0 {
            return Ok(());
        }
        if !take(&buffer[..count])? {
            return Ok(());
        }
    }
}

fn own(path: &Path, mut take: impl FnMut(Time, Event) -> Result<()>) -> Result<Option<String>> {
    let mut decoder = Decoder::new();
    let mut events = 0u64;
    let wrong = || format!("{} is not a history of highwater", path.display());
    pieces(path, |piece| {
        decoder.feed(piece);
        while let Some((time, event)) = decoder.next().with_context(wrong)? {
            events += 1;
            take(time, event)?;
        }
        Ok(true)
    })?;
    Ok(match decoder.finish().with_context(wrong)? {
        Ending::Whole if events == 0 => Some(format!("{} holds nothing", path.display())),
        Ending::Whole => None,
        other => Some(format!("{} was cut off: {other:?}", path.display())),
    })
}

fn json_lines(
    path: &Path,
    mut take: impl FnMut(Time, Event) -> Result<()>,
) -> Result<Option<String>> {
    let mut file = BufReader::with_capacity(PIECE_BYTES, open(path)?);
    let mut line = Vec::new();
    let mut number = 0u64;
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line).with_context(|| cannot_read(path))? == 0 {
            let empty = format!("{} holds nothing", path.display());
            return Ok((number == 0).then_some(empty));
        }
        number += 1;
        let is_whole = line.ends_with(b"\n");
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        match json::from_line(text.trim_end()) {
            Ok((time, event)) => take(time, event)?,
            // The line that was being written when its writer ended.
            Err(_) if !is_whole => {
                let place = path.display();
                return Ok(Some(format!("{place} was cut off within line {number}")));
            }
            Err(error) => bail!("{}:{number}: {error}", path.display()),
        }
    }
}

/// Hands on every operation of a file that holds operations; answers as [`events`] does, and what their names stand for.
pub fn operations(
    path: &Path,
    form: Form,
    mut take: impl FnMut(&Operation, &Names) -> Result<()>,
) -> Result<(Option<String>, Names)> {
    if form == Form::Edn {
        return edn(path, take);
    }
    let (mut carried, mut operation) = (Carried::new(), Operation::default());
    let cut = events(path, form, |_, event| {
        carried.take(&event, &mut operation).with_context(|| path.display().to_string())?;
        take(&operation, carried.names())
    })?;
    Ok((cut, carried.into_names()))
}

fn edn(
    path: &Path,
    mut take: impl FnMut(&Operation, &Names) -> Result<()>,
) -> Result<(Option<String>, Names)> {
    let mut reader = edn::Reader::new();
    let mut operation = Operation::default();
    let mut count = 0u64;
    let wrong = || format!("{} is not a history in EDN", path.display());
    pieces(path, |piece| {
        reader.feed(piece);
        while reader.next(&mut operation).with_context(wrong)? {
            count += 1;
            take(&operation, reader.names())?;
        }
        Ok(true)
    })?;
    let cut = match reader.finish().with_context(wrong)? {
        edn::Ending::Whole if count == 0 => Some(format!("{} holds nothing", path.display())),
        edn::Ending::Whole => None,
        edn::Ending::Cut { line, because, .. } => {
            Some(format!("{} was cut off at line {line}: {because}", path.display()))
        }
    };
    Ok((cut, reader.into_names()))
}
