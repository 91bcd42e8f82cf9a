//! How many operations a second the checker takes, decoding included, in how much memory, and how that grows.
//!
//! ```text
//! cargo bench -p highwater-checker --bench plain                          10^5, 10^6, 10^7 records, and odd ones
//! cargo bench -p highwater-checker --bench plain -- 100000000             another number
//! cargo bench -p highwater-checker --bench plain -- memory=64 100000000   in so many MiB, the rest in a file
//! cargo bench -p highwater-checker --bench plain -- FILE                  a stored history
//! ```
//!
//! `first-offset=N` lets every log begin there, `log-by-log` lets the final reads take one log after the other.
//!
//! An operation is a send with its acknowledgement, or one record that a poll handed out. A record that was sent,
//! acknowledged and read once counts as two, and with both final reads as four. Time is that of decoding, checking
//! and finishing; making the history is measured apart and not counted. Operations a second are told by the time that
//! passed and by the time that a core worked for it: on a machine that others use too, the latter says what one core
//! does. Memory is the peak of the whole process, generator included.

#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

// As the harness calls it, whose spill is measured here.
extern crate highwater_checker as checker;

#[path = "plain/generate.rs"]
mod generate;
#[path = "../../../harness/src/spill.rs"]
mod spill;

use checker::{Checker, Options, Spill, SpillError};
use generate::{Generator, Shape};
use model::finding::CheckVerdict;
use model::history::Event;
use model::history::codec::Decoder;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PIECE_BYTES: usize = 1 << 20;

/// What is counted while a history goes by.
#[derive(Default)]
struct Tally {
    bytes: u64,
    sends: u64,
    polled: u64,
    checking: Spent,
    finishing: Spent,
    generating: Spent,
    /// Where the spill ends.
    spilled_bytes: Arc<AtomicU64>,
}

/// Time that passed, and time that a core worked.
#[derive(Clone, Copy, Default)]
struct Spent {
    passed: Duration,
    worked: Duration,
}

impl Spent {
    fn add<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (began, worked) = (Instant::now(), worked());
        let result = work();
        self.worked += Duration::from_nanos(self::worked() - worked);
        self.passed += began.elapsed();
        result
    }
}

/// Nanoseconds that this thread was on a core.
fn worked() -> u64 {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    line.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

/// The harness's file, and how far it was written.
struct Measured {
    file: spill::FileSpill,
    end: Arc<AtomicU64>,
}

impl Spill for Measured {
    fn write(&mut self, position: u64, bytes: &[u8]) -> Result<(), SpillError> {
        self.end.fetch_max(position + bytes.len() as u64, Ordering::Relaxed);
        self.file.write(position, bytes)
    }

    fn read(&mut self, position: u64, into: &mut [u8]) -> Result<(), SpillError> {
        self.file.read(position, into)
    }
}

fn new_checker(memory_mib_max: Option<u64>, tally: &Tally) -> Checker {
    let mut options = Options::default();
    options.memory_bytes_max = memory_mib_max.map_or(options.memory_bytes_max, |mib| mib << 20);
    // Where cargo puts what it builds: a real disk, unlike many a temporary directory.
    let program = std::env::current_exe().expect("this program has a path");
    let file = spill::FileSpill::new(program.parent().expect("it is in a directory"));
    let end = tally.spilled_bytes.clone();
    Checker::with_spill(options, Box::new(Measured { file, end }))
}

fn take(decoder: &mut Decoder, checker: &mut Checker, piece: &[u8], tally: &mut Tally) {
    tally.bytes += piece.len() as u64;
    let mut checking = tally.checking;
    checking.add(|| {
        decoder.feed(piece);
        while let Some((time, event)) = decoder.next().expect("a history of ours") {
            count(&event, tally);
            checker.feed(&time, &event);
        }
    });
    tally.checking = checking;
}

fn count(event: &Event, tally: &mut Tally) {
    match event {
        Event::Send { .. } => tally.sends += 1,
        Event::Polled { records, .. } => tally.polled += records.len() as u64,
        _ => {}
    }
}

fn generated(shape: Shape, memory_mib_max: Option<u64>) -> Tally {
    let mut tally = Tally::default();
    let (mut decoder, mut checker) = (Decoder::new(), new_checker(memory_mib_max, &tally));
    let mut generator = Generator::new(shape);
    let mut piece = Vec::new();
    loop {
        piece.clear();
        let more = tally.generating.add(|| generator.piece(PIECE_BYTES, &mut piece));
        take(&mut decoder, &mut checker, &piece, &mut tally);
        if !more {
            break;
        }
    }
    let report = tally.finishing.add(|| checker.finish());
    assert_eq!((report.counts.ok, report.counts.ok_read), (shape.records, shape.records));
    assert_eq!(report.counts.polled, 3 * shape.records);
    for check in &report.checks {
        assert_eq!(check.verdict, CheckVerdict::Valid, "{check:?}");
    }
    tally
}

fn stored(path: &str, memory_mib_max: Option<u64>) -> Tally {
    let bytes = std::fs::read(path).expect("the history can be read");
    let mut tally = Tally::default();
    let (mut decoder, mut checker) = (Decoder::new(), new_checker(memory_mib_max, &tally));
    for piece in bytes.chunks(PIECE_BYTES) {
        take(&mut decoder, &mut checker, piece, &mut tally);
    }
    tally.finishing.add(|| checker.finish());
    tally
}

/// The most memory that this process had since it last asked to count anew, in MiB.
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

fn row(name: &str, tally: &Tally) {
    let passed = tally.checking.passed + tally.finishing.passed;
    let worked = tally.checking.worked + tally.finishing.worked;
    let operations = (tally.sends + tally.polled) as f64;
    println!(
        "{name:<40} {:>8.2} {:>8.2} {:>8.2} {:>10.0} {:>10.0} {:>6.1} {:>6.1} {:>8} {:>8}",
        tally.generating.passed.as_secs_f64(),
        tally.checking.passed.as_secs_f64(),
        tally.finishing.passed.as_secs_f64(),
        operations / passed.as_secs_f64(),
        operations / worked.as_secs_f64(),
        operations / tally.sends.max(1) as f64,
        tally.bytes as f64 / tally.sends.max(1) as f64,
        peak_memory_mib(),
        tally.spilled_bytes.load(Ordering::Relaxed) >> 20,
    );
}

/// Each row is a process of its own: what one freed would count as memory of the next.
const ROWS: [&[&str]; 6] = [
    &["100000"],
    &["1000000"],
    &["10000000"],
    &["first-offset=1000000000000", "10000000"],
    &["log-by-log", "10000000"],
    &["memory=32", "10000000"],
];

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.is_empty() {
        println!(
            "{:<40} {:>8} {:>8} {:>8} {:>10} {:>10} {:>6} {:>6} {:>8} {:>8}",
            "history",
            "made s",
            "check s",
            "finish s",
            "op/s",
            "op/core-s",
            "op/rec",
            "B/rec",
            "MiB peak",
            "spilled"
        );
        let program = std::env::current_exe().expect("this program has a path");
        for arguments in ROWS {
            let status = std::process::Command::new(&program).args(arguments).status();
            assert!(status.is_ok_and(|status| status.success()), "{arguments:?}");
        }
        return;
    }
    let mut shape = Shape { records: 0, first_offset: 0, log_by_log: false };
    let mut memory_mib_max = None;
    for argument in &arguments {
        if let Some(mib) = argument.strip_prefix("memory=") {
            memory_mib_max = Some(mib.parse().expect("a number of MiB"));
        } else if let Some(offset) = argument.strip_prefix("first-offset=") {
            shape.first_offset = offset.parse().expect("an offset");
        } else if argument == "log-by-log" {
            shape.log_by_log = true;
        } else if let Ok(records) = argument.parse::<u64>() {
            shape.records = records;
        } else {
            return row("stored", &stored(argument, memory_mib_max));
        }
    }
    row(&arguments.join(" "), &generated(shape, memory_mib_max));
}
