//! How many operations a second the checker takes, decoding included, in how much memory, and how that grows.
//!
//!     cargo bench -p highwater-checker --bench plain                   10^5, 10^6, 10^7 records
//!     cargo bench -p highwater-checker --bench plain -- 100000000      another number, or several
//!     cargo bench -p highwater-checker --bench plain -- FILE           a stored history
//!     cargo bench -p highwater-checker --bench plain -- memory=64 NUMBER   with so many MiB, the rest in a file
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

use checker::{Checker, Options};
use generate::{Generator, Shape};
use model::finding::CheckVerdict;
use model::history::Event;
use model::history::codec::Decoder;
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

fn new_checker(memory_mib_max: Option<u64>) -> Checker {
    let mut options = Options::default();
    options.memory_bytes_max = memory_mib_max.map_or(options.memory_bytes_max, |mib| mib << 20);
    // Where cargo puts what it builds: a real disk, unlike many a temporary directory.
    let directory = std::env::current_exe().expect("this program has a path");
    let directory = directory.parent().expect("it is in a directory");
    Checker::with_spill(options, Box::new(spill::FileSpill::new(directory)))
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
    let (mut decoder, mut checker) = (Decoder::new(), new_checker(memory_mib_max));
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

fn stored(path: &str) -> Tally {
    let bytes = std::fs::read(path).expect("the history can be read");
    let mut tally = Tally::default();
    let (mut decoder, mut checker) = (Decoder::new(), new_checker(None));
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

fn row(name: &str, measure: impl FnOnce() -> Tally) {
    // 5 sets the peak back to what is used now.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let tally = measure();
    let passed = tally.checking.passed + tally.finishing.passed;
    let worked = tally.checking.worked + tally.finishing.worked;
    let operations = (tally.sends + tally.polled) as f64;
    println!(
        "{name:<24} {:>10} {:>8.2} {:>8.2} {:>8.2} {:>10.0} {:>10.0} {:>6.1} {:>6.1} {:>8}",
        tally.sends,
        tally.generating.passed.as_secs_f64(),
        tally.checking.passed.as_secs_f64(),
        tally.finishing.passed.as_secs_f64(),
        operations / passed.as_secs_f64(),
        operations / worked.as_secs_f64(),
        operations / tally.sends.max(1) as f64,
        tally.bytes as f64 / tally.sends.max(1) as f64,
        peak_memory_mib(),
    );
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    println!(
        "{:<24} {:>10} {:>8} {:>8} {:>8} {:>10} {:>10} {:>6} {:>6} {:>8}",
        "history",
        "records",
        "made s",
        "check s",
        "finish s",
        "op/s",
        "op/core-s",
        "op/rec",
        "B/rec",
        "MiB peak"
    );
    let shape = |records| Shape { records, first_offset: 0, log_by_log: false };
    let mut memory_mib_max = None;
    for argument in &arguments {
        if let Some(mib) = argument.strip_prefix("memory=") {
            memory_mib_max = Some(mib.parse().expect("a number of MiB"));
        } else if let Ok(records) = argument.parse::<u64>() {
            row("plain", || generated(shape(records), memory_mib_max));
        } else {
            row("stored", || stored(argument));
        }
    }
    if arguments.is_empty() {
        for records in [100_000, 1_000_000, 10_000_000] {
            row("plain", || generated(shape(records), None));
        }
        let far = Shape { first_offset: 1_000_000_000_000, ..shape(10_000_000) };
        row("first offset 10^12", || generated(far, None));
        let by_log = Shape { log_by_log: true, ..shape(10_000_000) };
        row("final reads log by log", || generated(by_log, None));
        row("memory=16", || generated(shape(10_000_000), Some(16)));
    }
}
