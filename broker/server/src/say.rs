//! One line on stderr for each thing that a node says: time in UTC, severity, message.
//!
//! Promises: a line is written whole and in order, and nobody who says something waits for the file behind stderr: a disk that
//! is busy with others' syncs holds a plain write up for seconds. Not promised: lines of the last moment before a SIGKILL.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use node::step::Severity;

/// Whether debug lines are wanted: the environment has `HIGHWATER_LOG=debug`.
fn debug_wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| std::env::var("HIGHWATER_LOG").is_ok_and(|value| value == "debug"))
}

pub fn say(severity: Severity, message: &str) {
    let word = match severity {
        Severity::Debug if !debug_wanted() => return,
        Severity::Debug => "DEBUG",
        Severity::Info => "INFO",
        Severity::Warn => "WARN",
        Severity::Error => "ERROR",
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = format!("{} {word:5} {message}\n", stamp(since.as_millis() as u64));
    match writer() {
        Some(writer) if writer.send(Line::Text(line.clone())).is_ok() => {}
        _ => write(line.as_bytes()),
    }
}

/// Waits until everything said so far is written, or for as long as a last word is worth.
pub fn flush() {
    let (written, all) = channel();
    if let Some(writer) = writer()
        && writer.send(Line::Flush(written)).is_ok()
    {
        // Given up after this: the process ends anyway.
        let _ = all.recv_timeout(Duration::from_secs(2));
    }
}

enum Line {
    Text(String),
    Flush(Sender<()>),
}

/// `None`: there is no thread to be had, and lines are written where they are said.
fn writer() -> Option<&'static Sender<Line>> {
    static WRITER: OnceLock<Option<Sender<Line>>> = OnceLock::new();
    let started = WRITER.get_or_init(|| {
        let (writer, lines) = channel();
        let thread = std::thread::Builder::new().name("say".into()).stack_size(64 * 1024);
        thread.spawn(move || write_lines(&lines)).ok().map(|_| writer)
    });
    started.as_ref()
}

fn write_lines(lines: &Receiver<Line>) {
    while let Ok(line) = lines.recv() {
        match line {
            Line::Text(text) => write(text.as_bytes()),
            // Whoever waited may have given up.
            Line::Flush(written) => drop(written.send(())),
        }
    }
}

fn write(bytes: &[u8]) {
    // Nobody can be told that stderr is gone.
    let _ = std::io::stderr().lock().write_all(bytes);
}

/// `2026-11-21T07:50:54.123Z` of milliseconds since the epoch.
fn stamp(wall_ms: u64) -> String {
    let (days, ms) = (wall_ms / 86_400_000, wall_ms % 86_400_000);
    // Days since 0000-03-01, in the proleptic Gregorian calendar, by eras of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1000 % 60,
        ms % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::stamp;

    #[test]
    fn known_moments_have_their_known_stamps() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(stamp(1_767_225_599_999), "2025-12-31T23:59:59.999Z");
    }
}
