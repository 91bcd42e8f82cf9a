//! From the bytes of an EDN history to its verdict, and from parsed operations: operations a second on one core, where
//! an operation is an invocation and its completion.
//!
//! `cargo bench -p highwater-checker --bench operations -- [OPERATIONS …] [assign] [interleaved] …`; 100,000 and
//! 1,000,000 operations of each shape unless told.
#![allow(clippy::disallowed_methods, reason = "a measurement needs a clock")]

use highwater_checker::operations::{OperationChecker, OperationReport, Options};
use model::finding::CheckVerdict;
use model::history::edn::{Reader, write_line};
use model::operation::{Names, Operation};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Both clocks: on a busy machine only the processor's own tells what one core does.
#[derive(Clone, Copy)]
struct Began {
    at: Instant,
    processor_ns: u64,
}

impl Began {
    fn now() -> Began {
        let status = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
        let processor = status.split_whitespace().next().and_then(|word| word.parse().ok());
        Began { at: Instant::now(), processor_ns: processor.unwrap_or(0) }
    }
}

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../src/operations/tests/generator.rs"]
mod generator;

use generator::{Generator, Shape};

/// As a run of Jepsen's suites: 10 clients, 20 keys at a time, positions kept; about five records polled for each
/// operation.
fn shape(operations: u64, transactions: bool) -> Shape {
    Shape {
        steps: 2 * operations,
        clients: 10,
        keys: 20,
        micro_operations_max: if transactions { 4 } else { 1 },
        fail: 20,
        info: 2,
        assign: 15,
        records_max: 8,
        records_of_key_max: 1024,
        resumed: true,
        ..Shape::small()
    }
}

fn main() {
    if std::env::args().any(|word| word == "--memory") {
        return judge_stdin();
    }
    let sizes: Vec<u64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let is_name = |word: &String| word.chars().all(|char| char.is_ascii_lowercase());
    let wanted: Vec<String> = std::env::args().skip(1).filter(is_name).collect();
    // Without `--bench` it is run as a test among others.
    let measured = std::env::args().any(|word| word == "--bench");
    let sizes = match (sizes.is_empty(), measured) {
        (false, _) => sizes,
        (true, true) => vec![100_000, 1_000_000],
        (true, false) => vec![1_000],
    };
    for size in sizes {
        for (name, transactions, interleaved) in [
            ("assign", false, false),
            ("transactions", true, false),
            ("transactions, interleaved", true, true),
        ] {
            let shape = Shape { interleaved, ..shape(size, transactions) };
            if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
                measure(name, shape);
            }
        }
    }
}

fn measure(name: &str, shape: Shape) {
    let history = Generator::new(1, shape).history();
    let names = Names::default();
    let mut text = String::new();
    for operation in &history {
        write_line(&mut text, operation, &names);
        text.push('\n');
    }
    let operations = history.len() as f64 / 2.0;
    drop(history);
    let megabytes = text.len() as f64 / 1e6;
    println!("{name}: {operations:.0} operations, {megabytes:.0} MB of EDN");

    let began = Began::now();
    let mut reader = Reader::new();
    let mut operation = Operation::default();
    let mut lines = 0u64;
    for piece in text.as_bytes().chunks(1 << 18) {
        reader.feed(piece);
        while reader.next(&mut operation).expect("what was written") {
            lines += 1;
        }
    }
    say("read", operations, began);
    assert!(lines > 0);

    let began = Began::now();
    let mut reader = Reader::new();
    let mut checker = OperationChecker::new(Options::default());
    for piece in text.as_bytes().chunks(1 << 18) {
        reader.feed(piece);
        while reader.next(&mut operation).expect("what was written") {
            checker.feed(&operation);
        }
    }
    let report = checker.finish(reader.names());
    say("EDN to verdict", operations, began);
    let records = (report.counts.ok + report.counts.info + report.counts.fail) as f64;
    let peak = peak_bytes_of_another(text.as_bytes()) as f64;
    println!(
        "    {} polled of {records:.0} records; at most {:.0} MB: {:.0} bytes for each operation, or {:.0} for each record",
        report.counts.polled,
        peak / 1e6,
        peak / operations,
        peak / records
    );
    tell(&report, shape);

    let (history, names, _) = model::history::edn::read(text.as_bytes()).expect("what was written");
    drop(text);
    let began = Began::now();
    let mut checker = OperationChecker::new(Options::default());
    for operation in &history {
        checker.feed(operation);
    }
    say("  fed", operations, began);
    let report = checker.finish(&names);
    say("operations to verdict", operations, began);
    tell(&report, shape);
}

fn say(what: &str, operations: f64, began: Began) {
    let wall = began.at.elapsed().as_secs_f64();
    let processor = (Began::now().processor_ns - began.processor_ns) as f64 / 1e9;
    let seconds = if processor > 0.0 { processor } else { wall };
    println!(
        "  {what}: {seconds:.2} s of one core ({wall:.2} s by the clock), {:.0} operations/s",
        operations / seconds
    );
}

fn tell(report: &OperationReport, shape: Shape) {
    for check in report.checks.iter().filter(|check| check.count > 0) {
        println!("    {} {} ({:?})", check.count, check.name, check.verdict);
    }
    let valid = report.checks.iter().all(|check| check.verdict == CheckVerdict::Valid);
    assert!(valid || shape.interleaved);
}

/// What a process needs that does nothing but judge this history.
fn peak_bytes_of_another(text: &[u8]) -> u64 {
    let program = std::env::current_exe().expect("a program that runs");
    let mut command = Command::new(program);
    command.arg("--memory").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it runs again");
    child.stdin.take().expect("piped").write_all(text).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0)
}

fn judge_stdin() {
    let mut reader = Reader::new();
    let mut checker = OperationChecker::new(Options::default());
    let mut operation = Operation::default();
    let mut piece = vec![0; 1 << 18];
    loop {
        let length = std::io::stdin().read(&mut piece).expect("a pipe");
        if length == 0 {
            break;
        }
        reader.feed(&piece[..length]);
        while reader.next(&mut operation).expect("what was written") {
            checker.feed(&operation);
        }
    }
    checker.finish(reader.names());
    println!("{}", resident_kilobytes("VmHWM") * 1024);
}

/// Of this process; 0 where the system does not tell.
fn resident_kilobytes(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}
